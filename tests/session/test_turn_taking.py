"""How turns are taken, in whole conversations: holding, backchannels, resuming, fillers, speculation, farewells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from antiphon.engines.base import Transcript
from antiphon.engines.registry import Registry
from antiphon.protocol import events as ev
from antiphon.simulation.call import BargeIn, Call, Say, Speak, Wait

Hold = Callable[..., Call]

LONG = "This is a very long answer, with many words in it, so that there is time to interrupt it."


def saw(call: Call, kind: str) -> list[tuple[float, dict[str, Any]]]:
    lines = [json.loads(line) for line in call.journal]
    return [(line["at"], line["saw"]) for line in lines if "saw" in line and line["saw"]["kind"] == kind]


def audio_times(call: Call) -> list[float]:
    return [at for at, event in call.heard if isinstance(event, ev.AgentAudio)]


def test_output_is_held_while_it_is_unclear_what_the_caller_wants(call: Hold) -> None:
    """With 20 ms messages no sound leaves 250 ms after the onset; a cough, and the same reply goes on."""
    held = call([Speak(), BargeIn(seconds=0.15, into=1.0), Wait(0.1)], lines=["long story"], chunk=0.02)
    (_, _), (onset, _) = saw(held, "SpeechStarted")
    pieces = audio_times(held)
    before = [at for at in pieces if at <= onset + 0.15]
    gap = min(at for at in pieces if at > onset + 0.15) - before[-1]
    assert gap > 0.1
    assert held.events(ev.Interruption) == []
    assert held.texts[-1] == f"agent: {LONG}"
    assert sum(len(piece.audio) for piece in held.events(ev.AgentAudio)) / 32_000 == pytest.approx(
        0.06 * len("Hello, how can I help?" + LONG), abs=0.2
    )


@pytest.mark.parametrize("word", ["mm-hm", "Yeah.", "right"])
@pytest.mark.parametrize("seconds", [0.22, 0.3])
def test_a_backchannel_sends_nothing_and_the_same_reply_goes_on(call: Hold, word: str, seconds: float) -> None:
    """No interruption, no transcript, no second announcement."""
    held = call([Speak(), BargeIn(seconds=seconds, into=1.0), Wait(0.1)], lines=["long story", word], chunk=0.02)
    assert held.events(ev.Interruption) == []
    assert [event.text for event in held.events(ev.UserTranscript)] == ["long story"]
    assert [event.text for event in held.events(ev.AgentResponse)][-1] == LONG
    assert held.events(ev.AgentResponseCorrection) == []


class Attentive:
    """Hears the lines of a script, and notes for which of its utterances it was told that the agent was speaking."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.told: list[str] = []

    async def prepare(self) -> None: ...

    async def aclose(self) -> None: ...

    @asynccontextmanager
    async def stream(self) -> AsyncGenerator[Attentive]:
        self.texts: asyncio.Queue[Transcript] = asyncio.Queue()
        yield self

    def feed(self, audio: bytes) -> None: ...

    def over_agent(self) -> None:
        self.told.append(self.lines[0])

    def finish(self) -> None:
        self.texts.put_nowait(Transcript(self.lines.pop(0), final=True))

    def discard(self) -> None: ...

    async def transcripts(self) -> AsyncGenerator[Transcript]:
        while True:
            yield await self.texts.get()


def test_speech_to_text_is_told_once_what_is_said_over_the_agent(call: Hold) -> None:
    """A backchannel and an interruption, but nothing in the caller's own turns."""
    ears = Attentive("long story", "yeah", "stop", "thanks")
    registry = Registry()
    registry.add("stt", "attentive", lambda options, context: ears)
    call(
        [Speak(), BargeIn(seconds=0.3, into=1.0), BargeIn(seconds=0.3, into=2.5), Wait(2.0), Speak()],
        chunk=0.02,
        registry=registry,
        antiphon={"stt": {"engine": "attentive"}},
    )
    assert ears.lines == []
    assert ears.told == ["yeah", "stop"]


def test_the_agents_own_terms_are_ignored_too(call: Hold) -> None:
    """`interruption_ignore_terms`, in any case."""
    held = call(
        [Speak(), BargeIn(seconds=0.3, into=1.0), Wait(0.1)],
        lines=["long story", "Blimey"],
        chunk=0.02,
        turn={"interruption_ignore_terms": ["blimey"]},
    )
    assert held.events(ev.Interruption) == []


def test_a_short_word_that_means_something_interrupts(call: Hold) -> None:
    """ "Stop" takes 0.3 s: its text decides."""
    held = call([Speak(), BargeIn(seconds=0.3, into=1.0), Wait(0.1)], lines=["long story", "stop"], chunk=0.02)
    assert len(held.events(ev.Interruption)) == 1
    assert held.texts[-2:] == ["user: stop", "agent: You said something."]


def test_the_interruption_goes_out_in_half_a_second(call: Hold) -> None:
    """From the onset of speech that is no backchannel, with 20 ms messages."""
    held = call([Speak(), BargeIn(seconds=1.0, into=1.0), Wait(0.1)], lines=["long story", "stop that"], chunk=0.02)
    ((at, _),) = [(at, event) for at, event in held.heard if isinstance(event, ev.Interruption)]
    (_, _), (onset, _) = saw(held, "SpeechStarted")
    assert at - (onset - 0.064) <= 0.5


def test_after_a_wrong_interruption_the_rest_is_said(call: Hold) -> None:
    """As a new reply with new ids; what was heard and what is said then are the whole."""
    held = call([Speak(), BargeIn(seconds=1.0, into=1.0), Wait(3.0)], lines=["long story", "mm-hm"], chunk=0.02)
    (correction,) = held.events(ev.AgentResponseCorrection)
    rest = held.events(ev.AgentResponse)[-1]
    assert f"{correction.corrected} {rest.text}" == LONG
    assert rest.event_id > correction.event_id
    assert [event.text for event in held.events(ev.UserTranscript)] == ["long story"]


def test_a_filler_bridges_the_models_silence(call: Hold) -> None:
    """`soft_timeout_config`: the messages in order, up to the limit, then the answer; all of it in the record."""
    soft = {
        "timeout_seconds": 1.0,
        "message": "Hm.",
        "additional_soft_timeout_messages": ["Let me see."],
        "max_soft_timeouts_per_generation": 2,
    }
    held = call([Speak(), Wait(4.0)], lines=["slow"], turn={"soft_timeout_config": soft})
    assert held.texts[-3:] == ["agent: Hm.", "agent: Let me see.", "agent: That took long."]


@pytest.mark.parametrize("limit", [1.5, 3.0])
def test_dead_air_is_bridged_whatever_the_vendor_says(call: Hold, limit: float) -> None:
    """No span without sound is longer than `max_silence_seconds`, by the caller's clock."""
    antiphon = {
        "llm": {"engine": "scripted", "rules": [{"say": "That took long.", "delay": 9.0}]},
        "stt": {"engine": "scripted", "lines": ["slow"]},
        "tts": {"engine": "scripted"},
        "vad": {"engine": "energy"},
        "max_silence_seconds": limit,
    }
    held = call([Speak(), Wait(8.0)], antiphon=antiphon)
    asked = next(at for at, event in held.heard if isinstance(event, ev.UserTranscript))
    last = asked
    for at, event in held.heard:
        if at < asked or not isinstance(event, ev.AgentAudio):
            continue
        assert at - last <= limit
        last = max(last, at) + len(event.audio) / 32_000
    assert held.texts[-1] == "agent: That took long."


def test_an_answer_is_prepared_in_the_pause(call: Hold) -> None:
    """`speculative_turn`: the model has thought by the time the turn is surely over, and nothing was to be seen."""
    antiphon = {
        "llm": {"engine": "scripted", "rules": [{"say": "Here you are.", "delay": 0.25}]},
        "stt": {"engine": "scripted", "lines": ["one two three"], "partials": True},
        "tts": {"engine": "scripted"},
        "vad": {"engine": "energy"},
    }
    gaps: dict[bool, float] = {}
    for speculative in (False, True):
        turn = {"speculative_turn": speculative, "turn_eagerness": "patient"}
        held = call([Speak(1.0)], antiphon=antiphon, turn=turn, chunk=0.02)
        asked = next(at for at, event in held.heard if isinstance(event, ev.UserTranscript))
        first = next(at for at in audio_times(held) if at >= asked)
        gaps[speculative] = first - asked
        assert held.texts[-2:] == ["user: one two three", "agent: Here you are."]
        order = [type(event) for at, event in held.heard if at >= asked]
        assert order[0] is ev.UserTranscript
    assert gaps[False] == pytest.approx(0.25, abs=0.05)
    assert gaps[True] < 0.02


def test_a_prepared_answer_is_forgotten_when_the_caller_goes_on(call: Hold) -> None:
    """No event of it, no tool, no trace but in the journal."""
    rules = [
        {"when": "now$", "say": "Four."},
        {"when": "^please", "tool": {"name": "order_status", "parameters": {}}, "then": "Wrong."},
        {"say": "What?"},
    ]
    antiphon = {
        "llm": {"engine": "scripted", "rules": rules},
        "stt": {"engine": "scripted", "lines": ["please tell me where my second order is now"], "partials": True},
        "tts": {"engine": "scripted"},
        "vad": {"engine": "energy"},
    }
    script = [Speak(0.7), Wait(0.3), Speak(0.7, after=0.35, patient=False), Wait(2.0)]
    called: list[Any] = []
    held = call(
        script,
        antiphon=antiphon,
        turn={"speculative_turn": True, "turn_eagerness": "patient"},
        chunk=0.02,
        tools={"order_status": called.append},
    )
    assert held.texts[-1] == "agent: Four."
    assert called == []
    assert held.events(ev.ClientToolCall) == []
    assert any(b'"tool":"order_status"' in line for line in held.journal)


def test_the_conversation_ends_with_its_own_words(call: Hold) -> None:
    """`max_conversation_duration_message`, which nobody can interrupt; then the close."""
    held = call(
        [Speak(), Wait(20.0)],
        lines=["hello"],
        agent={"max_conversation_duration_message": "Our time is up. Goodbye."},
        conversation={"max_duration_seconds": 6},
    )
    assert held.texts[-1] == "agent: Our time is up. Goodbye."
    assert held.ending is not None
    assert held.ending.error_type == "max_duration_exceeded"
    spoken = sum(len(event.audio) for event in held.events(ev.AgentAudio)) / 32_000
    assert spoken >= 0.06 * len("Our time is up. Goodbye.")


def test_typing_does_not_lose_what_was_being_said(call: Hold) -> None:
    """Spoken words whose text is on its way are answered together with the typed ones."""
    antiphon = {
        "llm": {"engine": "scripted", "rules": [{"say": "Yes."}]},
        "stt": {"engine": "scripted", "lines": ["spoken words"], "delay": 1.0},
        "tts": {"engine": "scripted"},
        "vad": {"engine": "energy"},
    }
    script = [Speak(0.8), Say(ev.UserMessage(text="typed words"), after=1.5, patient=False), Wait(3.0)]
    held = call(script, antiphon=antiphon, chunk=0.02)
    said = json.dumps([json.loads(line) for line in held.journal])
    assert "typed words" in said
    assert "spoken words" in said
