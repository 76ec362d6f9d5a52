"""Things that happen at once may come in any order: whatever the order, the books are right and the talk goes on."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from antiphon.dialogue import items as it
from antiphon.engines.base import Speech, TextDelta
from antiphon.protocol import events as ev
from antiphon.turns import observations as ob
from antiphon.turns.machine import State

World = Callable[..., Any]

TONE = Speech(bytes(3200), ["a"], [0.0], [0.1])

OVER_A_REPLY: Sequence[it.Item] = [
    ob.SpeechStarted(),
    ob.Speaking(0.5),
    ob.Partial("stop that"),
    it.Thought(2, 0, TextDelta(" And more.")),
    it.ThoughtsOver(2, 0),
    it.Spoken(2, 1, TONE),
    it.SpeechOver(2, 1, "the voice broke"),
    ev.UserMessage(text="typed"),
]
AROUND_A_TRANSCRIPT: Sequence[it.Item] = [
    ob.Heard(2, "hello"),
    it.UtteranceEnded(2, 1.0),
    ob.SpeechStarted(),
    ob.SpeechStopped(0.3),
    ob.Silence(0.8),
    ob.Partial("hello there"),
    ev.UserActivity(),
    it.Spoken(2, 1, TONE),
]


def answering(world: World) -> Any:
    """A world whose agent is in the middle of its second reply."""
    scene = world()
    scene.begin()
    scene.rest(3.0)
    scene.give(ob.SpeechStarted(), ob.SpeechStopped(0.8), ob.Silence(3.0))
    scene.rest(0.8)
    assert scene.dialogue.state is State.AGENT_SPEAKING
    return scene


def transcribing(world: World) -> Any:
    """A world that waits for the text of the second turn."""
    scene = answering(world)
    scene.settle()
    scene.give(ob.SpeechStarted(), ob.SpeechStopped(0.8), ob.Silence(3.0))
    scene.asked.clear()
    assert scene.dialogue.state is State.TRANSCRIBING
    return scene


def check(scene: Any) -> None:
    """What holds in every order."""
    assert scene.dialogue.ending is not None or scene.dialogue.state is State.WAITING, "it goes on"
    ids = [event.event_id for _, event in scene.events if hasattr(event, "event_id")]
    newest = 0
    announced: set[int] = set()
    for _, event in scene.events:
        if isinstance(event, ev.AgentResponse):
            assert event.event_id not in announced, "a text is announced once"
            announced.add(event.event_id)
        if isinstance(event, ev.AgentResponseCorrection):
            assert event.original.startswith(event.corrected)
            assert event.event_id in announced
        if isinstance(event, ev.AgentAudio | ev.Interruption):
            assert event.event_id > newest, "ids grow"
            newest = event.event_id
    assert ids
    heard = [entry.text for entry in scene.transcript.entries if type(entry).__name__ == "UserSaid"]
    answers = scene.of(ev.AgentResponse)
    assert len(answers) >= len(heard) - 1, "turns are answered"
    assert scene.dialogue.healed == 0, "nothing had to be mended"


def hold(world: World, prepare: Callable[[World], Any], order: Sequence[it.Item]) -> None:
    scene = prepare(world)
    scene.give(*order)
    scene.give(ob.SpeechStopped(0.6), ob.Silence(3.0))
    scene.settle()
    check(scene)


@pytest.mark.parametrize(
    ("prepare", "items"),
    [(answering, OVER_A_REPLY), (transcribing, AROUND_A_TRANSCRIPT)],
    ids=["over_a_reply", "around_a_transcript"],
)
def test_eight_things_at_once_in_any_order(
    world: World, prepare: Callable[[World], Any], items: Sequence[it.Item]
) -> None:
    """A twentieth of the 40,320 orders, drawn at random; all of them under ANTIPHON_FULL=1 (`make bench`)."""
    orders = list(itertools.permutations(items))
    for order in orders if os.environ.get("ANTIPHON_FULL") else random.Random(8).sample(orders, 2016):
        hold(world, prepare, order)
