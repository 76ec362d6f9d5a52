"""Random callers against random engines: what must hold in every conversation, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.agents.config import AgentConfig
from antiphon.engines.base import (
    SILENT_USER,
    EngineContext,
    LanguageModel,
    Request,
    Speech,
    TextDelta,
    Thought,
    ToolCall,
)
from antiphon.engines.registry import Registry
from antiphon.errors import EngineError
from antiphon.protocol import events as ev
from antiphon.session.engines import load_engines
from antiphon.simulation.call import BargeIn, Burst, Call, HangUp, Mute, Say, Speak, Step, Wait, hold
from antiphon.simulation.engines import ScriptedTextToSpeech, create_text_to_speech
from antiphon.simulation.loop import run
from antiphon.simulation.replay import replay

EVENTS = [
    "audio",
    "interruption",
    "agent_response",
    "user_transcript",
    "agent_response_correction",
    "agent_response_complete",
    "agent_chat_response_part",
]


# ----------------------------------------------------------------------------------------------- random engines


@dataclass(frozen=True)
class Answer:
    """What the model does when it is asked once more."""

    words: int = 8
    delay: float = 0.0
    pace: float = 0.0
    "Seconds between words."
    calls_tool: bool = False
    fails: bool = False
    "After its words."


@dataclass
class Model:
    """Follows a list of answers, and keeps what it was shown. Every word says whose it is: `r3w1`."""

    answers: Sequence[Answer]
    requests: list[tuple[float, Request]] = field(default_factory=list)
    began: float = 0.0
    "When the conversation began: the journal counts from there."

    async def prepare(self) -> None: ...

    async def aclose(self) -> None: ...

    async def reply(self, request: Request) -> AsyncGenerator[Thought]:
        self.requests.append((asyncio.get_running_loop().time() - self.began, request))
        number = len(self.requests)
        answer = self.answers[(number - 1) % len(self.answers)]
        await asyncio.sleep(answer.delay)
        for index in range(answer.words):
            yield TextDelta(f"r{number}w{index}" + (". " if index % 5 == 4 else " "))
            if answer.pace:
                await asyncio.sleep(answer.pace)
        if answer.fails:
            raise EngineError("llm", "as the script has it")
        if answer.calls_tool and number % 3:
            yield ToolCall(f"call_{number}", "order_status", {})


@dataclass
class Voice:
    """The scripted voice, which may fail at one of its clauses."""

    voice: ScriptedTextToSpeech
    fails_at: int | None
    clauses: int = 0

    @property
    def sample_rate(self) -> int:
        return self.voice.sample_rate

    async def prepare(self) -> None: ...

    async def aclose(self) -> None: ...

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        self.clauses += 1
        pieces = 0
        async for speech in self.voice.speak(text):
            if self.clauses == self.fails_at and pieces:
                raise EngineError("tts", "as the script has it")
            pieces += 1
            yield speech


# ---------------------------------------------------------------------------------------------- random scenarios


@dataclass(frozen=True)
class Scenario:
    """One conversation, to be held the same way every time."""

    script: list[Step]
    answers: list[Answer]
    lines: list[str]
    stt_delay: float
    tts_delay: float
    tts_fails_at: int | None
    chunk: float
    tool_answers: bool
    formats: tuple[str, str]
    turn: dict[str, Any]


seconds = st.sampled_from([0.0, 0.05, 0.3, 1.1])
steps = st.one_of(
    st.builds(Speak, seconds=st.sampled_from([0.1, 0.3, 1.0, 2.5]), after=seconds, patient=st.booleans()),
    st.builds(BargeIn, seconds=st.sampled_from([0.1, 0.3, 1.0]), into=st.sampled_from([0.0, 0.2, 0.9, 2.0])),
    st.builds(
        Say,
        st.sampled_from(
            [
                ev.UserMessage(text="typed"),
                ev.UserMessage(text=None),
                ev.UserActivity(),
                ev.ContextualUpdate(text="background", context_id="one"),
                ev.ContextualUpdate(text="more background"),
                ev.ClientToolResult(tool_call_id="call_1", result={"late": True}),
                ev.UnknownEvent({"type": "news", "of": "tomorrow"}),
            ]
        ),
        after=seconds,
        patient=st.booleans(),
    ),
    st.builds(Burst, speech=st.sampled_from([0.3, 1.0]), silence=st.sampled_from([0.0, 1.5]), after=seconds),
    st.just(Mute()),
    st.builds(Wait, st.sampled_from([0.5, 9.0])),
)
scenarios = st.builds(
    Scenario,
    script=st.builds(
        lambda many, last: [*many, *last],
        st.lists(steps, min_size=1, max_size=7),
        st.one_of(st.just([]), st.builds(lambda after: [HangUp(after)], st.floats(0.0, 6.0))),
    ),
    answers=st.lists(
        st.builds(
            Answer,
            words=st.sampled_from([0, 1, 6, 14]),
            delay=seconds,
            pace=st.sampled_from([0.0, 0.0, 0.15]),
            calls_tool=st.booleans(),
            fails=st.sampled_from([False, False, False, True]),
        ),
        min_size=1,
        max_size=4,
    ),
    lines=st.lists(st.sampled_from(["one", "two words", ""]), max_size=8),
    stt_delay=st.sampled_from([0.0, 0.2, 1.5, 9.0]),
    tts_delay=st.sampled_from([0.0, 0.1, 0.7]),
    tts_fails_at=st.sampled_from([None, None, None, 1, 4]),
    chunk=st.sampled_from([0.02, 0.1, 0.25, 1.0]),
    tool_answers=st.booleans(),
    formats=st.tuples(
        st.sampled_from(["pcm_16000", "pcm_48000", "ulaw_8000"]),
        st.sampled_from(["pcm_16000", "pcm_44100", "ulaw_8000"]),
    ),
    turn=st.sampled_from([{}, {"turn_timeout": 2}, {"silence_end_call_timeout": 6}, {"turn_eagerness": "patient"}]),
)


@dataclass
class Held:
    """What came of a scenario."""

    call: Call
    model: Model
    left_over: set[asyncio.Task[Any]]


def held(scenario: Scenario) -> Held:
    model = Model(scenario.answers)
    registry = Registry()
    registry.add("llm", "random", lambda _options, _context: model)
    voices: list[Voice] = []

    def voice_of(_options: object, context: EngineContext) -> Voice:
        voices.append(Voice(create_text_to_speech({"delay": scenario.tts_delay}, context), scenario.tts_fails_at))
        return voices[-1]

    registry.add("tts", "random", voice_of)
    tool = {
        "type": "client",
        "name": "order_status",
        "description": "Where an order is",
        "expects_response": True,
        "response_timeout_secs": 2,
    }
    document = {
        "name": "Any",
        "conversation_config": {
            "agent": {"first_message": "r0w0 r0w1 r0w2.", "prompt": {"tools": [tool]}},
            "asr": {"user_input_audio_format": scenario.formats[0]},
            "tts": {"agent_output_audio_format": scenario.formats[1]},
            "turn": scenario.turn,
            "conversation": {"client_events": EVENTS, "max_duration_seconds": 90},
            "antiphon": {
                "llm": {"engine": "random"},
                "stt": {"engine": "scripted", "lines": scenario.lines, "delay": scenario.stt_delay},
                "tts": {"engine": "random"},
                "vad": {"engine": "energy"},
            },
        },
    }

    async def scene() -> Held:
        agent = AgentConfig.parse(document, agent_id="any")
        engines = await load_engines(agent, registry, models={})
        tools = {"order_status": lambda _: "on its way"} if scenario.tool_answers else {}
        model.began = asyncio.get_running_loop().time()
        for voice in voices:  # what it has rehearsed does not count
            voice.clauses = 0
        call = await hold(agent, engines, scenario.script, tools=tools, chunk=scenario.chunk)
        return Held(call, model, asyncio.all_tasks() - {asyncio.current_task()})

    return run(scene())


# ------------------------------------------------------------------------------------------------- what must hold


def check_order(call: Call) -> None:
    """Metadata first; ids of what has one of its own rise; the journal begins and ends as it should."""
    assert isinstance(call.heard[0][1], ev.ConversationMetadata)
    own = (ev.AgentAudio, ev.Interruption, ev.UserTranscript, ev.ClientToolCall)
    ids = [event.event_id for event in call.events(*own)]
    assert ids == sorted(set(ids))
    first, last = json.loads(call.journal[0]), json.loads(call.journal[-1])
    assert "journal" in first
    assert "end" in last
    assert sum(b'"end":{' in line for line in call.journal) == 1


def check_interruptions(call: Call) -> None:
    """Nothing of an interrupted reply sounds later, unless it is said as a new one because nobody had meant to
    interrupt; and a player that stops at the interruption agrees about what was heard, to a word."""
    player = Player()
    stopped: set[str] = set()
    unheard = ""
    events = call.heard
    for index, (at, event) in enumerate(events):
        match event:
            case ev.AgentAudio():
                player.play(at, event, call)
            case ev.AgentResponse():
                player.texts[event.event_id] = event.text
                if event.text.strip() and event.text.strip() in unheard:
                    stopped -= replies_in(event.text)
            case ev.AgentResponseComplete():
                player.finished()
            case ev.Interruption():
                corrected = dict(player.texts)
                for _, then in events[index + 1 :]:
                    if isinstance(then, (ev.UserTranscript, ev.AgentAudio, ev.AgentResponse, ev.Interruption)):
                        break
                    if isinstance(then, ev.AgentResponseCorrection):
                        assert then.original == player.texts[then.event_id]
                        assert then.original.startswith(then.corrected)
                        assert then.original != then.corrected
                        corrected[then.event_id] = then.corrected
                said = sum(len(text.split()) for text in corrected.values())
                assert abs(said - player.words_heard(at)) <= 1
                unheard = " ".join(player.texts.values())
                stopped |= replies_in(unheard)
                player.finished()
            case _:
                pass
        assert not stopped & replies_in(player.spoken)


def replies_in(text: str) -> set[str]:
    """Whose words these are."""
    return set(re.findall(r"(r\d+)w\d+", text))


class Player:
    """Plays what it gets from the moment it gets it; shares nothing with the ledger of the server."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.chars: list[tuple[float, str]] = []
        self.until = 0.0

    def play(self, at: float, event: ev.AgentAudio, call: Call) -> None:
        name = call.events(ev.ConversationMetadata)[0].agent_output_audio_format
        rate, size = int(name.split("_")[1]), 1 if name.startswith("ulaw") else 2
        starts = max(at, self.until)
        self.until = starts + len(event.audio) / rate / size
        if event.alignment is not None:
            for char, ms in zip(event.alignment.chars, event.alignment.char_start_times_ms, strict=True):
                self.chars.append((starts + ms / 1000, char))

    @property
    def spoken(self) -> str:
        return "".join(char for _, char in self.chars)

    def words_heard(self, at: float) -> float:
        """How many words had sounded by then: the one that was sounding counts half."""
        heard = sum(1 for starts, char in self.chars if starts < at and not char.isspace())
        words = 0.0
        for word in " ".join(self.texts.values()).split():
            if heard <= 0:
                break
            words += 1.0 if heard >= len(word) else 0.5
            heard -= len(word)
        return words

    def finished(self) -> None:
        self.texts, self.chars, self.until = {}, [], 0.0


def check_answers(scenario: Scenario, call: Call) -> None:
    """No turn is left without an answer, unless the call was over before."""
    assert call.ending is not None
    if call.ending.reason != "the client hung up" or any(isinstance(step, HangUp) for step in scenario.script):
        return
    said = [type(event) for _, event in call.heard if isinstance(event, (ev.UserTranscript, ev.AgentResponse))]
    assert not said or said[-1] is ev.AgentResponse


def check_context(call: Call, model: Model) -> None:
    """What the model was shown is what the journal says at that moment, corrections included."""
    lines = [json.loads(line) for line in call.journal]
    for at, request in model.requests:
        shown = [(message.role, message.text) for message in request.messages if message.role in ("user", "assistant")]
        if shown[-1] == ("user", SILENT_USER):
            shown.pop()
        shown = [(role, text) for role, text in shown if text]
        # The two clocks round to microseconds, and not always to the same one.
        certain = sum(line["at"] < at - 2e-6 for line in lines)
        possible = sum(line["at"] <= at + 2e-6 for line in lines)
        told = [said_by(lines[:count]) for count in range(certain, possible + 1)]
        assert in_turns(shown) in [in_turns(each) for each in told], (at, shown, told)


def in_turns(said: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Turn by turn: what was said before something was typed is transcribed after it, and shown to the model first."""
    return [(role, sorted(text for _, text in group)) for role, group in itertools.groupby(said, lambda each: each[0])]


def said_by(lines: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """The dialogue as the journal tells it."""
    said: list[list[Any]] = []
    for line in lines:
        event = line.get("out") or line.get("in") or {}
        match event:
            case {"type": "user_transcript", "user_transcription_event": {"user_transcript": text}}:
                said.append(["user", text, None])
            case {"type": "user_message", "text": str(text)}:
                said.append(["user", text, None])
            case {"type": "agent_response", "agent_response_event": {"agent_response": text, "event_id": event_id}}:
                said.append(["assistant", text, event_id])
            case {"type": "agent_response_correction", "agent_response_correction_event": correction}:
                for entry in said:
                    if entry[2] == correction["event_id"]:
                        entry[1] = correction["corrected_agent_response"]
            case _:
                pass
    return [(role, text) for role, text, _ in said if text]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios)
def test_whatever_callers_and_engines_do(scenario: Scenario) -> None:
    """Every conversation ends, in order, with every turn answered, and the books agree."""
    result = held(scenario)
    assert result.left_over == set()
    check_order(result.call)
    check_interruptions(result.call)
    check_answers(scenario, result.call)
    check_context(result.call, result.model)
    replayed = replay(result.call.journal)
    assert replayed.same, "\n".join([f"{replayed.expected} {replayed.got}", *replayed.diff[:40]])


def check_protocols(model: Model) -> LanguageModel:
    """Types alone: the random model is one."""
    return model
