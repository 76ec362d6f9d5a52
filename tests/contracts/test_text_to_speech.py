"""What every text-to-speech engine must do (engines/base.py: TextToSpeech)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest

from antiphon.audio.levels import first_sound
from antiphon.engines.base import EngineContext, Speech, TextToSpeech, closing
from antiphon.engines.registry import Registry

Engine: TypeAlias = Callable[[], Any]
"Makes an engine, as an async context; it is prepared, and closed at the end."

ENGINES = [
    pytest.param(("espeak", {}), id="espeak", marks=pytest.mark.component("espeak")),
    pytest.param(("scripted", {}), id="scripted"),
]

SENTENCE = "Good morning, this is the front desk. How may I help you?"
OTHER = "Your order has been shipped and will arrive on Tuesday."

TORTURE = [
    "a",
    "Yes.",
    SENTENCE,
    "  white space \t around\n\nand inside  ",
    "**bold**, *slanted*, `code`, # hash\n- item\n1. number",
    '<speak>Tags<break time="1s"/> and <b>more</b></speak>',
    "5 < 3 > 2 & 7 * 8 = 56",
    "$5.20, 1,234,567 or 3.14; 50% off at 12:30 on 1/2/2026!",
    "smile 😀, family 👩‍👩‍👧‍👦, flag 🇩🇪, skin 👍🏽, key 1️⃣ done",
    "control \x00\x01\x02\x1b[31m characters\x7f and \u202eoverride\u202c",
    "lone surrogate \ud83d, private \ue000, not a character \uffff",
    "e\u0301 combining, ﷺ ligature, ½ fraction, № 5, 𝒜",
    "Привет, world! שלום מה שלומך. مرحبا بك. 日本語 text です。 สวัสดีครับ नमस्ते 안녕하세요",
    "5 ž<,ب م本.\ufe0f#मبбبे 😀今гस$a3 でस🇪त、h.Ĩ ",
    "今天天气很好，我们一起去公园散步吧。" * 8,
    "x" * 500,
    "1" * 120,
    "word " * 200,
    "visit https://example.com/a_long/path?query=1 or mail a.b@example.com",
    "“Quoted,” she said – and paused… (aside) [note] {brace} «oui»",
    "[[h@loU]] |table|cell| ~tilde~ ^caret ___ --- ***",
    "?!",
    "…",
    "- ",
    "😀",
]


@asynccontextmanager
async def made(name: str, options: dict[str, Any]) -> AsyncGenerator[TextToSpeech]:
    engine: TextToSpeech = Registry().create("tts", name, options, EngineContext())
    await engine.prepare()
    try:
        yield engine
    finally:
        await engine.aclose()


@pytest.fixture(params=ENGINES)
def tts(request: pytest.FixtureRequest) -> Engine:
    """An engine made by the registry, as everybody gets it."""
    name, options = request.param
    return lambda: made(name, options)


async def spoken(engine: TextToSpeech, text: str) -> list[Speech]:
    async with closing(engine.speak(text)) as pieces:
        return [piece async for piece in pieces]


def audio_of(pieces: list[Speech]) -> bytes:
    return b"".join(piece.audio for piece in pieces)


def run(main: Callable[[TextToSpeech], Coroutine[Any, Any, None]], tts: Engine) -> None:
    async def whole() -> None:
        async with tts() as engine:
            await main(engine)

    asyncio.run(whole())


def check_alignment(pieces: list[Speech], text: str, rate: int) -> None:
    """All pieces together are the text; within each, characters follow each other from its beginning to its end."""
    if not pieces:
        return
    assert "".join(char for piece in pieces for char in piece.chars) == text
    for piece in pieces:
        seconds = len(piece.audio) / 2 / rate
        assert len(piece.audio) > 0
        assert len(piece.audio) % 2 == 0
        assert len(piece.chars) == len(piece.starts) == len(piece.durations)
        at = 0.0
        for start, duration in zip(piece.starts, piece.durations, strict=True):
            assert start == pytest.approx(at, abs=1e-9)
            assert duration >= 0
            at = start + duration
        assert at == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize("text", TORTURE, ids=range(len(TORTURE)))
def test_every_character_has_its_time_once_and_in_order(tts: Engine, text: str) -> None:
    """Whatever the text: unspoken and unspeakable characters too. Where there is nothing to say, nothing may come."""

    async def main(engine: TextToSpeech) -> None:
        check_alignment(await spoken(engine, text), text, engine.sample_rate)

    run(main, tts)


def test_a_sentence_takes_the_time_that_it_takes_to_say(tts: Engine) -> None:
    """Between 8 and 30 characters a second, in more than one piece."""

    async def main(engine: TextToSpeech) -> None:
        pieces = await spoken(engine, SENTENCE)
        assert len(pieces) > 1
        assert 8 < len(SENTENCE) / (len(audio_of(pieces)) / 2 / engine.sample_rate) < 30

    run(main, tts)


@pytest.mark.parametrize("text", [SENTENCE, OTHER, "Could you?", "Fish.", "“Well”", "**bold**", "Hmm", "7"])
def test_the_first_piece_begins_with_sound(tts: Engine, text: str) -> None:
    """No silence before it: that would be heard as latency."""

    async def main(engine: TextToSpeech) -> None:
        pieces = await spoken(engine, text)
        for audio in (pieces[0].audio, audio_of(pieces)):
            begin = first_sound(audio, engine.sample_rate)
            assert begin is not None
            assert begin < 0.002

    run(main, tts)


def test_it_is_as_loud_as_speech_and_does_not_clip(tts: Engine) -> None:
    """Peaks between -15 and -2 dB of full scale."""

    async def main(engine: TextToSpeech) -> None:
        for text in (SENTENCE, OTHER):
            samples = memoryview(audio_of(await spoken(engine, text))).cast("h")
            assert 5_800 < max(max(samples), -min(samples)) < 26_000

    run(main, tts)


def test_the_same_text_sounds_the_same(tts: Engine) -> None:
    """Byte for byte, whatever was said in between, and from another engine: a conversation can be repeated."""

    async def main(engine: TextToSpeech) -> None:
        first = await spoken(engine, SENTENCE)
        await spoken(engine, OTHER)
        assert await spoken(engine, SENTENCE) == first
        async with tts() as another:
            assert await spoken(another, SENTENCE) == first

    run(main, tts)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_voice_that_was_stopped_says_the_next_thing_right(tts: Engine, taken: int) -> None:
    """Nothing is left over of what was closed before, or after, its first pieces."""

    async def main(engine: TextToSpeech) -> None:
        expected = await spoken(engine, SENTENCE)
        for _ in range(5):
            async with closing(engine.speak(OTHER * 10)) as pieces:
                for _ in range(taken):
                    await anext(pieces)
            assert await spoken(engine, SENTENCE) == expected

    run(main, tts)


def test_speakers_at_the_same_time_do_not_mix(tts: Engine) -> None:
    """Each gets its own audio, one that is slow to take it too; the others do not wait for that one."""

    async def main(engine: TextToSpeech) -> None:
        texts = [SENTENCE, OTHER, "Three.", SENTENCE * 5, OTHER * 3] * 3
        expected = {text: await spoken(engine, text) for text in set(texts)}
        async with closing(engine.speak(SENTENCE * 20)) as slow:
            first = await anext(slow)
            answers = await asyncio.gather(*(spoken(engine, text) for text in texts))
            assert answers == [expected[text] for text in texts]
            rest = [piece async for piece in slow]
        assert [first, *rest] == await spoken(engine, SENTENCE * 20)

    run(main, tts)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89])
def test_it_bears_being_cancelled_anywhere(tts: Engine, steps: int) -> None:
    """The speaker is cancelled after so many turns of the loop; the next speaker is well."""

    async def main(engine: TextToSpeech) -> None:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(spoken(engine, OTHER * 3))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
        pieces = await spoken(engine, SENTENCE)
        check_alignment(pieces, SENTENCE, engine.sample_rate)
        assert pieces == await spoken(engine, SENTENCE)

    run(main, tts)


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("case", ENGINES)
def test_closing_twice_is_closing_once(case: tuple[str, dict[str, Any]], prepared: bool) -> None:
    """Also before it was prepared."""

    async def main() -> None:
        engine: TextToSpeech = Registry().create("tts", case[0], case[1], EngineContext())
        if prepared:
            await engine.prepare()
        await engine.aclose()
        await engine.aclose()

    asyncio.run(main())
