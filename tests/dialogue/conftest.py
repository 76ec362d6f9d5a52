"""A dialogue without a session: hands that write down what they are given, and a world that answers when told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from antiphon.audio.formats import parse_format
from antiphon.dialogue import items as it
from antiphon.dialogue.dialogue import Dialogue
from antiphon.dialogue.settings import Lines, Settings
from antiphon.engines.base import Speech, TextDelta, ToolCall
from antiphon.protocol import events as ev
from antiphon.record.transcript import Transcript
from antiphon.turns import observations as ob
from antiphon.turns.machine import State, TurnPolicy

ANSWER = "This is a whole answer, and it has a second clause to it. Then it ends."


class World:
    """Hands of a dialogue. What they are asked for waits in `asked` until `answer` gives it."""

    def __init__(self, settings: Settings | None = None) -> None:
        settings = settings or Settings(
            policy=TurnPolicy(transcript_timeout=3.0),
            lines=Lines(first_message="Hello, how are you today?", apology="Sorry.", fillers=("One moment.",)),
            output_format=parse_format("pcm_16000"),
            max_silence=3.0,
        )
        self.now = 0.0
        self.events: list[tuple[float, ev.ServerEvent]] = []
        self.asked: deque[it.Item] = deque()
        self.dropped: set[int] = set()
        self.full = False
        self.transcript = Transcript()
        self.dialogue = Dialogue(settings, hands=self, transcript=self.transcript)

    def emit(self, event: ev.ServerEvent) -> None:
        self.events.append((self.now, event))
        self.transcript.apply(event)

    def play(self, event: ev.AgentAudio, at: float) -> None:
        self.events.append((self.now, event))

    def room(self) -> bool:
        return not self.full

    def hush(self, at: float) -> None: ...

    def saw(self, observation: ob.Observation) -> None: ...

    def think(self, reply: int, round: int, text: str | None) -> None:  # noqa: A002
        self.asked.append(it.Thought(reply, round, TextDelta(ANSWER)))
        self.asked.append(it.ThoughtsOver(reply, round))

    def compose(self, reply: int, otherwise: str) -> None:
        self.asked.append(it.Composed(reply, otherwise))

    def pronounce(self, reply: int, clause: int, text: str) -> None:
        self.asked.append(it.Spoken(reply, clause, speech(text)))
        self.asked.append(it.SpeechOver(reply, clause))

    def run_tool(self, reply: int, call: ToolCall) -> None: ...

    def resolve(self, event: Any) -> None: ...

    def drop(self, reply: int) -> None:
        self.dropped.add(reply)

    def switch(self, reply: int, change: Any) -> None: ...

    def end_utterance(self, utterance: int) -> None:
        self.asked.append(it.UtteranceEnded(utterance, self.now))
        self.asked.append(ob.Heard(utterance, "something else"))

    def discard_utterance(self) -> None: ...

    def judge(self, pause: int) -> None: ...

    def begin(self) -> None:
        self.dialogue.begin(self.now)

    def give(self, *items: it.Item) -> None:
        for item in items:
            self.dialogue.handle(item, self.now)

    def answer(self) -> None:
        """Everything that was asked for comes."""
        while self.asked:
            item = self.asked.popleft()
            if getattr(item, "reply", 0) not in self.dropped:
                self.dialogue.handle(item, self.now)

    def rest(self, seconds: float) -> None:
        """Time passes; what is asked for comes at once."""
        end = self.now + seconds
        for _ in range(10_000):
            self.answer()
            deadline = self.dialogue.deadline
            if deadline is None or deadline > end or self.dialogue.ending is not None:
                self.now = end
                return
            self.now = max(self.now, deadline)
            self.dialogue.handle(ob.Tick(), self.now)
        raise AssertionError("the dialogue never comes to rest")

    def settle(self) -> None:
        """Until the agent has no more to say."""
        for _ in range(40):
            if self.dialogue.ending is not None or self.dialogue.state is State.WAITING:
                return
            self.rest(1.0)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]


def speech(text: str) -> Speech:
    """0.05 s a character, with timings."""
    count = len(text)
    return Speech(bytes(1600 * count), list(text), [0.05 * i for i in range(count)], [0.05] * count)


@pytest.fixture
def world() -> Callable[..., World]:
    return World
