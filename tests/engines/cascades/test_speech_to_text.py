"""Recognisers in a row under virtual time: who fails is replaced, and every finished utterance is answered once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from antiphon.engines.base import Guessing, Interjected, Recognition, Transcript
from antiphon.engines.cascades import speech_to_text
from antiphon.engines.cascades.speech_to_text import SpeechToTextCascade
from antiphon.errors import EngineError
from antiphon.simulation.loop import run

FAILURE = EngineError("ear", "broken", retryable=True)


class Ear:
    """Answers each utterance with its own audio as text, `delay` seconds after its end; breaks as it is told to."""

    def __init__(self, breaks: str = "", delay: float = 0.0, guess: float | None = None) -> None:
        self.breaks, self.delay = breaks, delay
        self.opened = self.closed = 0
        self.heard: list[bytes] = []
        if guess is not None:
            self.sure_after = guess

    async def prepare(self) -> None:
        if self.breaks == "prepare":
            raise FAILURE

    async def aclose(self) -> None: ...

    @asynccontextmanager
    async def stream(self) -> AsyncGenerator[Recognition]:
        if self.breaks == "open":
            raise FAILURE
        if self.breaks == "opens never":
            await asyncio.Event().wait()
        self.opened += 1
        try:
            yield EarStream(self)
        finally:
            self.closed += 1
            if self.breaks == "close":
                raise FAILURE


class EarStream:
    def __init__(self, ear: Ear) -> None:
        self.ear = ear
        self.audio = b""
        self.answers: asyncio.Queue[str] = asyncio.Queue()

    def feed(self, audio: bytes) -> None:
        if self.ear.breaks == "feed":
            raise FAILURE
        self.audio += audio
        self.ear.heard.append(audio)

    def over_agent(self) -> None:
        self.audio += b"!"

    def finish(self) -> None:
        if self.ear.breaks == "finish":
            raise FAILURE
        self.answers.put_nowait(self.audio.decode())
        self.audio = b""

    def discard(self) -> None:
        self.audio = b""

    async def transcripts(self) -> AsyncGenerator[Transcript]:
        while self.ear.breaks != "over":
            text = await self.answers.get()
            if self.ear.breaks == "answer":
                raise FAILURE
            if self.ear.breaks == "bug":
                raise ZeroDivisionError
            if self.ear.breaks == "silent":
                continue
            yield Transcript(text[:1], final=False)
            await asyncio.sleep(self.ear.delay)
            yield Transcript(text, final=True)


def ears(*recognisers: Ear) -> SpeechToTextCascade:
    return SpeechToTextCascade(recognisers, [f"ear {index}" for index in range(len(recognisers))])


async def finals(stream: Recognition, count: int) -> list[tuple[str, float]]:
    """So many final transcripts, and when they came."""
    heard: list[tuple[str, float]] = []
    async for transcript in stream.transcripts():
        if transcript.final:
            heard.append((transcript.text, asyncio.get_running_loop().time()))
            if len(heard) == count:
                break
    return heard


async def say(cascade: SpeechToTextCascade, *utterances: str, pause: float = 1.0) -> list[tuple[str, float]]:
    """Each utterance in two pieces, finished one `pause` after the other; the transcripts and when they came."""
    began = asyncio.get_running_loop().time()
    async with cascade.stream() as stream, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(finals(stream, len(utterances)))
        for text in utterances:
            await asyncio.sleep(pause)
            stream.feed(text[:2].encode())
            stream.feed(text[2:].encode())
            stream.finish()
    return [(text, at - began) for text, at in reading.result()]


@pytest.mark.parametrize(
    ("breaks", "seconds"),
    [
        ("open", 0.0),
        ("opens never", 5.0),
        ("feed", 0.0),
        ("finish", 0.0),
        ("answer", 0.0),
        ("bug", 0.0),
        ("silent", 8.0),
        ("over", 0.0),
    ],
)
def test_a_recogniser_that_fails_is_replaced_and_nothing_said_is_lost(breaks: str, seconds: float) -> None:
    """Wherever it fails, the next one hears the utterance whole and answers it once; who comes later does not wait."""

    async def scene() -> None:
        first, second = Ear(breaks), Ear()
        cascade = ears(first, second)
        heard = await say(cascade, "hello", "world")
        assert [text for text, _ in heard] == ["hello", "world"]
        assert heard[0][1] == pytest.approx(1.0 + seconds)
        assert first.closed == first.opened
        assert await say(cascade, "again") == [("again", pytest.approx(1.0))]
        assert (first.opened, second.opened, second.closed) == (0 if breaks.startswith("open") else 1, 2, 2)

    run(scene())


def test_a_recogniser_that_works_is_left_alone() -> None:
    """A final that takes its time is waited for, silence between utterances is no failure, and nobody else is asked."""

    async def scene() -> None:
        first, second = Ear(delay=7.0), Ear()
        assert await say(ears(first, second), "hello", "world", pause=100.0) == [
            ("hello", pytest.approx(107.0)),
            ("world", pytest.approx(207.0)),
        ]
        assert (second.opened, second.heard) == (0, [])

    run(scene())


def test_utterances_that_wait_for_their_answers_are_answered_in_order() -> None:
    """Two were finished, and a third under way, when the first recogniser turned out to be deaf."""

    async def scene() -> list[str]:
        async with ears(Ear("silent"), Ear()).stream() as stream, asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(finals(stream, 3))
            for text in (b"one", b"two"):
                stream.feed(text)
                stream.finish()
            stream.feed(b"th")
            await asyncio.sleep(9.0)
            stream.feed(b"ree")
            stream.finish()
        return [text for text, _ in reading.result()]

    assert run(scene()) == ["one", "two", "three"]


def test_what_was_discarded_is_not_heard_by_the_next() -> None:
    """It was no turn."""

    async def scene() -> list[bytes]:
        second = Ear()
        async with ears(Ear("answer"), second).stream() as stream, asyncio.TaskGroup() as tasks:
            tasks.create_task(finals(stream, 1))
            stream.feed(b"cough")
            stream.discard()
            stream.feed(b"hello")
            stream.finish()
        return second.heard

    assert run(scene()) == [b"hello"]


@pytest.mark.parametrize("breaks", ["", "answer"])
def test_that_an_utterance_is_spoken_over_the_agent_is_passed_on(breaks: str) -> None:
    """To whoever hears, and to the next that hears it again; of the utterance after it nothing is said."""

    async def scene() -> None:
        async with ears(Ear(breaks), Ear()).stream() as stream:
            stream.feed(b"okay")
            assert isinstance(stream, Interjected)
            stream.over_agent()
            stream.finish()
            stream.feed(b"okay")
            stream.finish()
            assert [text for text, _ in await finals(stream, 2)] == ["okay!", "okay"]

    run(scene())


def test_of_an_endless_utterance_the_newest_minute_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; what was said last matters most."""
    monkeypatch.setattr(speech_to_text, "REPLAYED", 4 / 32_000)

    async def scene() -> list[tuple[str, float]]:
        return await say(ears(Ear("answer"), Ear()), "abcdef")

    assert [text for text, _ in run(scene())] == ["cdef"]


@pytest.mark.parametrize("breaks", ["answer", "over", "silent", "feed"])
def test_when_nobody_is_left_the_failure_comes_out(breaks: str) -> None:
    """The conversation then says goodbye; streams are closed."""

    async def scene() -> None:
        recognisers = Ear(breaks), Ear(breaks)
        with pytest.raises(ExceptionGroup) as caught:
            await say(ears(*recognisers), "hello")
        assert caught.group_contains(EngineError)
        assert [ear.opened - ear.closed for ear in recognisers] == [0, 0]

    run(scene())


def test_a_stream_that_nobody_can_open_fails_at_once() -> None:
    """With the last recogniser's own words."""

    async def scene() -> None:
        with pytest.raises(EngineError, match="broken"):
            async with ears(Ear("open"), Ear("open")).stream():
                raise AssertionError

    run(scene())


def test_a_recogniser_that_fails_in_closing_does_not_take_the_conversation_with_it() -> None:
    """What it said counts."""

    async def scene() -> list[tuple[str, float]]:
        return await say(ears(Ear("close"), Ear()), "hello")

    assert run(scene()) == [("hello", pytest.approx(1.0))]


def test_a_fallback_that_cannot_be_prepared_is_asked_last() -> None:
    """The agent's own must be; the others need not."""

    async def scene() -> None:
        good = Ear()
        cascade = ears(Ear("answer"), Ear("prepare"), good)
        await cascade.prepare()
        assert [text for text, _ in await say(cascade, "hello")] == ["hello"]
        assert good.opened == 1
        with pytest.raises(EngineError):
            await ears(Ear("prepare"), good).prepare()

    run(scene())


def test_when_partial_transcripts_are_sure_is_for_the_first_to_say() -> None:
    """The turn machine's delays are the agent's own recogniser's."""
    cascade = ears(Ear(guess=0.7), Ear(guess=0.2))
    assert isinstance(cascade, Guessing)
    assert cascade.sure_after == 0.7
    assert ears(Ear(), Ear(guess=0.2)).sure_after == 0.0


def test_a_cascade_needs_recognisers_with_names() -> None:
    """A mistake of ours, not of an agent's author."""
    with pytest.raises(ValueError, match="a name for each"):
        SpeechToTextCascade([], [])
