"""What a conversation does when something breaks: an engine, the client, the transport, ourselves."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from antiphon.agents.config import AgentConfig
from antiphon.engines.base import Request, Speech, TextDelta, Thought, Transcript
from antiphon.engines.registry import Registry
from antiphon.errors import EngineError, SessionError
from antiphon.protocol import events as ev
from antiphon.session.assembly import assemble
from antiphon.session.engines import load_engines
from antiphon.session.session import Ending, Session
from antiphon.simulation.call import BargeIn, Call, Say, Speak, Wait
from antiphon.simulation.loop import run

Hold = Callable[..., Call]


@dataclass
class Ears:
    """Speech-to-text and its stream in one, which breaks where it is told to."""

    breaks: str = ""
    transcript_delay: float = 0.0
    left: bool = False
    finished: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def prepare(self) -> None: ...

    async def aclose(self) -> None: ...

    @asynccontextmanager
    async def stream(self) -> AsyncGenerator[Ears]:
        self._maybe("open")
        try:
            yield self
        finally:
            self.left = True

    def feed(self, audio: bytes) -> None:
        self._maybe("feed")

    def finish(self) -> None:
        self._maybe("finish")
        if self.breaks != "silent":
            self.finished.put_nowait("hello")

    def discard(self) -> None: ...

    async def transcripts(self) -> AsyncIterator[Transcript]:
        self._maybe("transcripts")
        if self.breaks == "over":
            return
        while True:
            yield Transcript(await self.finished.get(), final=True)

    def _maybe(self, where: str) -> None:
        if self.breaks == where:
            raise EngineError("stt", f"broken at {where}")


@dataclass
class Thoughts:
    """A language model that says its words, then fails with `error`."""

    words: Sequence[str]
    error: Exception | None = None
    then: Sequence[str] = ("Fine.",)
    asked: int = 0

    async def prepare(self) -> None: ...

    async def aclose(self) -> None: ...

    async def reply(self, request: Request) -> AsyncGenerator[Thought]:
        self.asked += 1
        for word in self.words if self.asked == 1 else self.then:
            yield TextDelta(word)
        if self.error is not None and self.asked == 1:
            raise self.error


@dataclass
class Throat:
    """A voice that says `pieces` tenths of a second of each clause, then fails with `error`."""

    pieces: int
    error: Exception
    sample_rate: int = 16_000

    async def prepare(self) -> None: ...

    async def aclose(self) -> None: ...

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        for _ in range(self.pieces):
            yield Speech(bytes(3200))
            await asyncio.sleep(0.1)
        raise self.error


def registry(**engines: Any) -> Registry:
    """A registry in which `broken` is the engine given for each kind."""
    known = Registry()
    for kind, engine in engines.items():
        known.add(kind, "broken", lambda _options, _context, engine=engine: engine)  # pyright: ignore[reportArgumentType]
    return known


def broken(**engines: Any) -> dict[str, Any]:
    """Arguments for `call`: the agent uses these engines."""
    default = {"engine": "scripted"}
    antiphon: dict[str, Any] = {"stt": {**default, "lines": ["hello"]}, "tts": default, "vad": {"engine": "energy"}}
    antiphon |= {kind: {"engine": "broken"} for kind in engines}
    return {"registry": registry(**engines), "antiphon": antiphon}


def journal(call: Call) -> list[dict[str, Any]]:
    return [json.loads(line) for line in call.journal]


# ------------------------------------------------------------------------------------------------------- engines


@pytest.mark.parametrize("where", ["open", "feed", "finish", "transcripts", "over"])
def test_an_agent_that_can_no_longer_hear_says_so_and_hangs_up(call: Hold, where: str) -> None:
    """A closed ear must not look like a silent user: 1002 with the contract's own name for it, told to the client."""
    ears = Ears(breaks=where)
    held = call([Speak()], **broken(stt=ears))
    assert held.ending == Ending(1002, "the agent lost its hearing", "asr_transcription_error")
    (error,) = held.events(ev.ErrorEvent)
    assert error.error_type == "asr_transcription_error"
    assert journal(held)[-1]["end"]["close_code"] == 1002
    assert ears.left is (where != "open")


def test_hearing_that_breaks_while_the_agent_speaks_settles_what_was_heard(call: Hold) -> None:
    """The record holds what the user heard of the sentence, not the whole of it."""
    held = call([BargeIn(into=0.95)], **broken(stt=Ears(breaks="feed")))
    (correction,) = held.events(ev.AgentResponseCorrection)
    assert correction.original.startswith(correction.corrected)


def test_a_recogniser_that_never_answers_is_not_waited_for_for_ever(call: Hold) -> None:
    """The user is asked again."""
    held = call([Speak()], **broken(stt=Ears(breaks="silent")))
    assert held.texts[-1] == "agent: Sorry, I did not catch that. Could you say it again?"


def test_a_model_that_fails_before_its_first_word_is_excused(call: Hold) -> None:
    """The user hears that something went wrong, and the conversation goes on."""
    held = call([Speak(), Say(ev.UserMessage(text="again"))], **broken(llm=Thoughts([], EngineError("llm", "no"))))
    assert held.texts[-2].startswith("agent: Sorry, something went wrong")
    assert held.texts[-1] == "agent: Fine."


def test_what_a_failing_model_had_said_is_spoken_to_its_last_word(call: Hold) -> None:
    """What is announced is what sounds: the clause that was never finished, too."""
    held = call([Speak()], **broken(llm=Thoughts(["Your ", "order ", "is "], EngineError("llm", "no"))))
    assert held.texts[-1] == "agent: Your order is"
    spoken = "".join(char for audio in held.events(ev.AgentAudio) if audio.alignment for char in audio.alignment.chars)
    assert spoken.endswith("Your order is")


def test_a_model_that_fails_after_the_tool_is_excused_too(call: Hold) -> None:
    """ "One moment." is no answer."""

    class FailsAfterTool(Thoughts):
        async def reply(self, request: Request) -> AsyncGenerator[Thought]:
            from antiphon.engines.base import ToolCall

            self.asked += 1
            if self.asked > 1:
                raise EngineError("llm", "no")
            yield TextDelta("One moment.")
            yield ToolCall("call_1", "order_status", {})

    held = call([Speak()], **broken(llm=FailsAfterTool([])), tools={"order_status": lambda _: "lost"})
    assert held.texts[-2] == "agent: One moment."
    assert held.texts[-1].startswith("agent: Sorry, something went wrong")


@pytest.mark.parametrize("pieces", [0, 8])
def test_an_agent_that_can_no_longer_speak_says_so_and_hangs_up(call: Hold, pieces: int) -> None:
    """And what was heard of the sentence is settled."""
    held = call([Wait(5.0)], **broken(tts=Throat(pieces, EngineError("tts", "no"))))
    assert held.ending == Ending(1002, "the agent lost its voice", "tts_cascade_error")
    (correction,) = held.events(ev.AgentResponseCorrection)
    assert bool(correction.corrected) is bool(pieces)
    assert held.events(ev.ErrorEvent)


def test_a_bug_in_an_engine_is_a_failure_of_that_engine(call: Hold) -> None:
    """What had come until then is said, and the conversation goes on."""
    held = call(
        [Speak(), Say(ev.UserMessage(text="again"))],
        **broken(llm=Thoughts(["Well, "], ZeroDivisionError("a bug"))),
    )
    assert held.texts[-2:] == ["agent: Well,", "agent: Fine."]


def test_a_bug_of_ours_ends_this_conversation_with_1011_and_comes_out() -> None:
    """The door logs it, once; the journal is complete; nothing is left behind."""

    async def scene() -> list[dict[str, Any]]:
        lines: list[bytes] = []

        async def send(event: ev.ServerEvent) -> None:
            raise ZeroDivisionError("a bug")

        session = await assembled(lines, send)
        with pytest.raises(ExceptionGroup) as caught:
            await session.run()
        assert caught.group_contains(ZeroDivisionError)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return [json.loads(line) for line in lines]

    assert run(scene())[-1]["end"]["close_code"] == 1011


def test_an_agent_that_loses_its_hearing_says_goodbye(call: Hold) -> None:
    """`antiphon.lines.goodbye`, where there is one; then the close that would have come at once."""
    arguments = broken(stt=Ears(breaks="finish"))
    arguments["antiphon"]["lines"] = {"goodbye": "I cannot hear you any more. Goodbye."}
    held = call([Speak(), Wait(6.0)], **arguments)
    assert held.texts[-1] == "agent: I cannot hear you any more. Goodbye."
    assert held.ending == Ending(1002, "the agent lost its hearing", "asr_transcription_error")
    assert sum(len(piece.audio) for piece in held.events(ev.AgentAudio)) / 32_000 > 0.06 * 36


# ------------------------------------------------------------------------------------- the client, the transport


async def assembled(
    lines: list[bytes], send: Callable[[ev.ServerEvent], Awaitable[None]] | None = None, **document: Any
) -> Session:
    """A session by itself, on the running loop."""
    config: dict[str, Any] = {
        "agent": {"first_message": "Hello, this is quite a long greeting, so that it lasts."},
        "antiphon": {
            "llm": {"engine": "scripted", "rules": [{"say": "Yes."}]},
            "stt": {"engine": "scripted", "lines": ["hello"]},
            "tts": {"engine": "scripted"},
            "vad": {"engine": "energy"},
        },
    }
    known = document.pop("registry", None) or Registry()
    for name, block in document.items():
        config[name] = {**config.get(name, {}), **block}
    agent = AgentConfig.parse({"conversation_config": config}, agent_id="scene")

    async def ignore(event: ev.ServerEvent) -> None: ...

    return assemble(
        agent,
        await load_engines(agent, known, models={}),
        conversation_id="conv_scene",
        send=send or ignore,
        write=lines.append,
        clock=asyncio.get_running_loop().time,
        header={},
    )


def test_a_cancelled_conversation_is_gone_at_once_and_its_journal_complete() -> None:
    """In whatever it was doing: no task, no stream of the recogniser is left."""

    async def scene(after: float) -> None:
        lines: list[bytes] = []
        ears = Ears()
        session = await assembled(lines, **broken(stt=ears))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(session.run())
            await asyncio.sleep(after)
            running.cancel()
        assert running.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert b'"end":{' in lines[-1]
        assert ears.left

    for after in (0.0, 0.01, 1.0, 5.0, 20.0):
        run(scene(after))


def test_closing_from_our_side_settles_the_reply_and_tells_the_client() -> None:
    """A server that stops does not leave a sentence that nobody heard in the record."""

    async def scene() -> list[ev.ServerEvent]:
        sent: list[ev.ServerEvent] = []

        async def send(event: ev.ServerEvent) -> None:
            sent.append(event)

        session = await assembled([], send)
        asyncio.get_running_loop().call_later(1.0, session.close, 1002, "the server goes", "asyncio_timeout")
        assert await session.run() == Ending(1002, "the server goes", "asyncio_timeout")
        return sent

    *_, interruption, correction, error = run(scene())
    assert isinstance(interruption, ev.Interruption)
    assert isinstance(correction, ev.AgentResponseCorrection)
    assert isinstance(error, ev.ErrorEvent)


@pytest.mark.parametrize("after", [0.0, 0.5, 3.6, 4.7, 5.0, 5.4, 9.0])
def test_a_client_may_leave_at_any_moment(after: float) -> None:
    """Greeting, silence, speech, pause, transcription, answer: the session ends there and then."""

    async def scene() -> float:
        lines: list[bytes] = []
        loop = asyncio.get_running_loop()
        ears = Ears()
        session = await assembled(lines, **broken(stt=ears))
        loud = ev.UserAudio(b"\x00\x10\x00\xf0" * 800)
        for index in range(10):
            loop.call_at(3.7 + index / 10, session.receive, loud)
        loop.call_later(after, session.disconnect)
        ending = await session.run()
        assert ending.reason == "the client hung up"
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert ears.left
        return loop.time()

    assert run(scene()) == pytest.approx(after, abs=0.01)


def test_a_connection_that_breaks_ends_the_conversation() -> None:
    """What the transport raises is the client's leaving."""

    async def scene() -> Ending:
        async def send(event: ev.ServerEvent) -> None:
            if isinstance(event, ev.AgentAudio) and event.event_id > 5:
                raise ConnectionResetError

        return await (await assembled([], send)).run()

    assert run(scene()).reason == "the client hung up"


def test_a_client_that_takes_nothing_holds_up_speech_but_not_the_end() -> None:
    """Audio is not made for a transport that does not take it; hanging up does not wait for it either."""

    async def scene() -> tuple[int, float]:
        lines: list[bytes] = []
        loop = asyncio.get_running_loop()

        async def send(event: ev.ServerEvent) -> None:
            await loop.create_future()

        session = await assembled(lines, send)
        loop.call_later(10.0, session.close, 1000, "enough")
        await session.run()
        return sum(b'"audio"' in line for line in lines), loop.time()

    pieces, ended_at = run(scene())
    assert pieces <= 2
    assert ended_at == pytest.approx(11.0, abs=0.01)


def test_a_client_that_reads_nothing_and_says_much_is_hung_up_on() -> None:
    """What waits for it has a bound."""

    async def scene() -> Ending:
        loop = asyncio.get_running_loop()

        async def send(event: ev.ServerEvent) -> None:
            await loop.create_future()

        session = await assembled([], send, conversation={"text_only": True})
        for index in range(3000):
            loop.call_at(index / 100, session.receive, ev.UserMessage(text="more"))
        return await session.run()

    assert run(scene()).reason == "the client reads nothing"


def test_a_flood_of_messages_is_refused_but_a_flood_of_sound_is_dropped() -> None:
    """Neither fills the memory, however small the pieces."""

    async def scene(event: ev.ClientEvent) -> int:
        session = await assembled([])
        for _ in range(50_000):
            session.receive(event)
        return len(session._inbox)  # pyright: ignore[reportPrivateUsage]

    assert run(scene(ev.UserAudio(b"\x00"))) < 11_000
    assert run(scene(ev.UserAudio(bytes(32_000)))) <= 30
    with pytest.raises(SessionError):
        run(scene(ev.UserActivity()))


def test_a_text_only_conversation_does_not_mind_sound(call: Hold) -> None:
    """It is not heard; nothing breaks."""
    script = [Speak(patient=False), Say(ev.UserMessage(text="hello"), after=3.0, patient=False)]
    held = call(script, conversation={"text_only": True})
    assert held.texts[-1] == "agent: You said something."


def test_sound_that_comes_too_fast_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Once per flood, not per message."""

    async def scene() -> None:
        session = await assembled([])
        for _ in range(100):
            session.receive(ev.UserAudio(bytes(32_000)))

    with caplog.at_level(logging.WARNING):
        run(scene())
    assert len(caplog.records) == 1
