"""What a dialogue does with the items it is handed, one rule a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from antiphon.audio.formats import parse_format
from antiphon.dialogue import items as it
from antiphon.dialogue.outcome import EndCall, Outcome, SkipTurn, SwitchLanguage, Transfer
from antiphon.dialogue.settings import Lines, Settings, ToolRules
from antiphon.engines.base import Speech, TextDelta, ToolCall
from antiphon.protocol import events as ev
from antiphon.turns import observations as ob
from antiphon.turns.machine import State, TurnPolicy
from antiphon.turns.playback import DELAY

World = Callable[..., Any]

SILENT = Settings(
    policy=TurnPolicy(turn_timeout=None),
    lines=Lines(apology="Sorry."),
    output_format=parse_format("pcm_16000"),
)


def asked(world: World, settings: Settings = SILENT) -> Any:
    """A world whose agent has been asked something and thinks."""
    scene = world(settings)
    scene.begin()
    scene.give(ev.UserMessage(text="hello"))
    assert scene.dialogue.state is State.THINKING
    return scene


def test_what_an_old_reply_still_brings_is_void(world: World) -> None:
    """Neither its words nor its sound nor its end touch the reply that lives."""
    scene = asked(world)
    scene.give(ev.UserMessage(text="something else"))
    before = len(scene.events)
    scene.give(it.Thought(1, 0, TextDelta("old")), it.Spoken(1, 1, Speech(bytes(3200))), it.ThoughtsOver(1, 0))
    assert len(scene.events) == before
    scene.settle()
    assert all("old" not in event.text for event in scene.of(ev.AgentResponse))


def test_an_old_round_is_void(world: World) -> None:
    """What the model says after its round was over is not said."""
    scene = asked(world)
    scene.asked.clear()
    scene.give(it.Thought(1, 0, ToolCall("c", "look", {})), it.ThoughtsOver(1, 0))
    scene.give(it.ToolDone(1, "c", Outcome("seen")), it.Thought(1, 0, TextDelta("late")))
    scene.asked.clear()
    scene.give(it.Thought(1, 1, TextDelta("In time.")), it.ThoughtsOver(1, 1))
    scene.settle()
    assert [event.text for event in scene.of(ev.AgentResponse)] == ["In time."]


def test_a_model_that_never_answers_is_given_up(world: World) -> None:
    """Where dead air is allowed, the watchdog ends what will not end: the user has the floor again."""
    scene = asked(world)
    scene.asked.clear()
    for _ in range(70):
        scene.rest(1.0)
        scene.asked.clear()
    assert scene.dialogue.state is State.WAITING
    assert scene.dialogue.healed == 1


def test_a_reply_that_is_gone_is_noticed(world: World) -> None:
    """The machine waits for a reply that the ledger does not know: the watchdog says that it is over."""
    scene = asked(world)
    scene.asked.clear()
    scene.dialogue._reply = None
    scene.rest(6.0)
    assert (scene.dialogue.state, scene.dialogue.healed) == (State.WAITING, 1)


def test_an_agent_may_end_the_call(world: World) -> None:
    """Its message is said, and heard, first."""
    scene = asked(world)
    scene.asked.clear()
    scene.give(it.Thought(1, 0, ToolCall("c", "end_call", {})), it.ThoughtsOver(1, 0))
    scene.give(it.ToolDone(1, "c", Outcome("", action=EndCall("done", "Goodbye then."))))
    assert scene.dialogue.ending is None
    scene.settle()
    assert scene.dialogue.ending is not None
    assert (scene.dialogue.ending.close_code, scene.dialogue.ending.reason) == (1000, "done")
    assert [event.text for event in scene.of(ev.AgentResponse)] == ["Goodbye then."]
    assert scene.now >= 0.05 * len("Goodbye then.")


def test_an_agent_may_skip_its_turn(world: World) -> None:
    """It says nothing, and does not speak again by itself."""
    scene = asked(world, replace(SILENT, policy=TurnPolicy(turn_timeout=5.0)))
    scene.asked.clear()
    scene.give(it.Thought(1, 0, ToolCall("c", "skip_turn", {})), it.ThoughtsOver(1, 0))
    scene.give(it.ToolDone(1, "c", Outcome("", action=SkipTurn())))
    scene.rest(60.0)
    assert scene.dialogue.state is State.WAITING
    assert scene.of(ev.AgentResponse) == []


def test_after_a_change_of_language_the_model_goes_on(world: World) -> None:
    """By the new settings, in the same reply."""
    scene = asked(world)
    scene.asked.clear()
    scene.give(it.Thought(1, 0, ToolCall("c", "language_detection", {})), it.ThoughtsOver(1, 0))
    scene.give(it.ToolDone(1, "c", Outcome("", action=SwitchLanguage("de"))))
    assert not scene.asked
    scene.give(it.Switched(1, settings=replace(SILENT, language="de")))
    scene.asked.clear()
    scene.give(it.Thought(1, 1, TextDelta("Guten Tag.")), it.ThoughtsOver(1, 1))
    scene.settle()
    assert [event.text for event in scene.of(ev.AgentResponse)] == ["Guten Tag."]


def test_another_agent_takes_over_and_greets(world: World) -> None:
    """The one that goes says its words; then the other's first message comes."""
    scene = asked(world)
    scene.asked.clear()
    scene.give(it.Thought(1, 0, ToolCall("c", "transfer_to_agent", {})), it.ThoughtsOver(1, 0))
    scene.give(it.ToolDone(1, "c", Outcome("", action=Transfer("other", "I put you through.", greets=True))))
    scene.settle()
    scene.give(it.Switched(1, True, True, settings=replace(SILENT, lines=Lines(first_message="Other desk, hello."))))
    scene.settle()
    assert [event.text for event in scene.of(ev.AgentResponse)] == ["I put you through.", "Other desk, hello."]


def test_a_tool_may_forbid_interruptions(world: World) -> None:
    """`disable_during_tool`: speech over it is no barge-in; afterwards it is again."""
    rules = {"look": ToolRules(interruption_mode="disable_during_tool")}
    scene = asked(world, replace(SILENT, tools=rules))
    scene.asked.clear()
    scene.give(it.Thought(1, 0, ToolCall("c", "look", {})), it.ThoughtsOver(1, 0))
    scene.give(ob.SpeechStarted(), ob.Speaking(0.9), ob.SpeechStopped(0.9), ob.Silence(1.0))
    assert 1 not in scene.dropped
    scene.give(it.ToolDone(1, "c", Outcome("seen")))
    scene.give(ob.SpeechStarted(), ob.Speaking(0.9))
    assert 1 in scene.dropped


def test_a_tool_may_wait_for_the_agents_words(world: World) -> None:
    """`post_tool_speech`: it runs when what was said before it has been heard."""
    scene = asked(world, replace(SILENT, tools={"look": ToolRules(execution_mode="post_tool_speech")}))
    ran: list[float] = []
    scene.run_tool = lambda reply, call: ran.append(scene.now)
    scene.asked.clear()
    said = "One moment, let me look."
    scene.give(it.Thought(1, 0, TextDelta(said)), it.Thought(1, 0, ToolCall("c", "look", {})), it.ThoughtsOver(1, 0))
    assert ran == []
    scene.rest(5.0)
    assert ran == [pytest.approx(DELAY + 0.05 * len(said))]


def test_nobody_waits_for_a_tool_that_runs_beside(world: World) -> None:
    """`async`: the model goes on at once; its result comes whenever it comes."""
    scene = asked(world, replace(SILENT, tools={"look": ToolRules(execution_mode="async")}))
    scene.asked.clear()
    scene.give(it.Thought(1, 0, ToolCall("c", "look", {})), it.ThoughtsOver(1, 0))
    assert [type(item) for item in scene.asked] == [it.Thought, it.ThoughtsOver]
    scene.settle()
    scene.give(it.ToolDone(1, "c", Outcome("seen")))
    assert len(scene.of(ev.AgentResponse)) == 1


def test_sound_waits_for_the_transport(world: World) -> None:
    """Nothing is sent while it is full; nothing is lost."""
    scene = asked(world)
    scene.full = True
    scene.answer()
    assert scene.of(ev.AgentAudio) == []
    scene.full = False
    scene.give(it.Drained())
    assert scene.of(ev.AgentAudio)
    scene.settle()
    assert scene.dialogue.state is State.WAITING


def test_a_voice_that_breaks_is_asked_for_the_rest_once(world: World) -> None:
    """What it had said is not said again; when it breaks again the conversation ends."""
    scene = asked(world)
    scene.asked.clear()
    spoken: list[str] = []
    scene.pronounce = lambda reply, clause, text: spoken.append(text)
    text = "Twelve words."
    scene.give(it.Thought(1, 0, TextDelta(text)), it.ThoughtsOver(1, 0))
    part = Speech(bytes(1600 * 7), list("Twelve "), [0.05 * i for i in range(7)], [0.05] * 7)
    scene.give(it.Spoken(1, 1, part), it.SpeechOver(1, 1, "broke"))
    assert spoken == [text, "words."]
    scene.give(it.SpeechOver(1, 1, "broke again"))
    assert scene.dialogue.ending is not None
    assert scene.dialogue.ending.error_type == "tts_cascade_error"


def test_interrupted_fillers_are_settled_like_answers(world: World) -> None:
    """What was said to bridge a wait is in the record as far as it was heard, and nothing that was not."""
    settings = replace(SILENT, max_silence=3.0, lines=Lines(apology="Sorry.", fillers=("This takes a moment.",)))
    scene = asked(world, settings)
    scene.asked.clear()
    scene.rest(2.6)
    scene.asked = type(scene.asked)(item for item in scene.asked if isinstance(item, (it.Spoken, it.SpeechOver)))
    scene.rest(0.6)
    scene.give(ev.UserMessage(text="never mind"))
    (correction,) = scene.of(ev.AgentResponseCorrection)
    assert correction.original == "This takes a moment."
    assert correction.corrected in ("This takes", "This takes a")
