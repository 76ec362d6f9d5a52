"""What every speech-to-text engine must do (engines/base.py: SpeechToText, Recognition)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from antiphon.audio.convert import Encoder
from antiphon.audio.formats import parse_format
from antiphon.engines.base import EngineContext, Recognition, SpeechToText, TextToSpeech, Transcript
from antiphon.engines.registry import Registry

LINES = ["where is my order", "what are your opening hours", "my number is one two three"]
ENGINES = [
    pytest.param(
        ("pocketsphinx", {"workers": 1}),
        id="pocketsphinx",
        marks=[pytest.mark.component("pocketsphinx"), pytest.mark.component("espeak")],
    ),
    pytest.param(("scripted", {"lines": LINES}), id="scripted"),
]

Ears = tuple[Recognition, AsyncIterator[Transcript]]


@asynccontextmanager
async def engine_of(spec: tuple[str, dict[str, Any]]) -> AsyncGenerator[SpeechToText]:
    """An engine, prepared, and closed at the end."""
    name, options = spec
    engine: SpeechToText = Registry().create("stt", name, options, EngineContext(phrasings=LINES))
    await engine.prepare()
    try:
        yield engine
    finally:
        await engine.aclose()


async def speech(text: str) -> bytes:
    """`text` as a caller says it: s16le, 16 kHz, half a second of quiet around it."""
    try:
        voice: TextToSpeech = Registry().create(
            "tts", "espeak", {"voices": {"caller": "en-us+f5"}, "rate_wpm": 150}, EngineContext(voice_id="caller")
        )
    except Exception:  # noqa: BLE001 - scripted ears hear anything
        return bytes(32_000)
    encoder = Encoder(voice.sample_rate, parse_format("pcm_16000"))
    try:
        audio = b"".join([encoder.encode(piece.audio) async for piece in voice.speak(text)])
    finally:
        await voice.aclose()
    return bytes(12_000) + audio + bytes(16_000)


def say(ears: Recognition, audio: bytes) -> None:
    """In pieces, as they come from a line."""
    for begin in range(0, len(audio), 3200):
        ears.feed(audio[begin : begin + 3200])


async def final(transcripts: AsyncIterator[Transcript]) -> str:
    """The next final transcript."""
    async for transcript in transcripts:
        if transcript.final:
            return transcript.text
    raise AssertionError("the stream ended")


def hold(spec: tuple[str, dict[str, Any]], scene: Callable[[SpeechToText], Awaitable[None]]) -> None:
    """Run a scene with an engine."""

    async def main() -> None:
        async with engine_of(spec) as engine, asyncio.timeout(30):
            await scene(engine)

    asyncio.run(main())


@pytest.mark.parametrize("spec", ENGINES)
def test_every_finished_utterance_has_one_final_transcript_in_order(spec: tuple[str, dict[str, Any]]) -> None:
    """finish() is answered once; the stream goes on with the next utterance."""

    async def scene(engine: SpeechToText) -> None:
        async with engine.stream() as ears:
            transcripts = ears.transcripts()
            heard: list[str] = []
            for line in LINES:
                say(ears, await speech(line))
                ears.finish()
                heard.append(await final(transcripts))
            assert heard == LINES

    hold(spec, scene)


@pytest.mark.parametrize("spec", ENGINES)
def test_utterances_may_be_finished_before_the_first_is_transcribed(spec: tuple[str, dict[str, Any]]) -> None:
    """A burst: nothing is mixed up."""

    async def scene(engine: SpeechToText) -> None:
        async with engine.stream() as ears:
            for line in LINES[:2]:
                say(ears, await speech(line))
                ears.finish()
            transcripts = ears.transcripts()
            assert [await final(transcripts), await final(transcripts)] == LINES[:2]

    hold(spec, scene)


@pytest.mark.parametrize("spec", ENGINES)
def test_what_is_discarded_is_never_transcribed(spec: tuple[str, dict[str, Any]]) -> None:
    """No transcript follows, and the next utterance is heard for itself."""

    async def scene(engine: SpeechToText) -> None:
        async with engine.stream() as ears:
            say(ears, await speech(LINES[1]))
            ears.discard()
            say(ears, await speech(LINES[0]))
            ears.finish()
            assert await final(ears.transcripts()) == LINES[0]

    hold(spec, scene)


@pytest.mark.parametrize("spec", ENGINES)
def test_an_utterance_without_sound_has_an_empty_transcript(spec: tuple[str, dict[str, Any]]) -> None:
    """Finished without being fed; silence is silence."""

    async def scene(engine: SpeechToText) -> None:
        async with engine.stream() as ears:
            ears.finish()
            assert await final(ears.transcripts()) == ""

    hold(spec, scene)


@pytest.mark.parametrize("spec", ENGINES)
def test_callers_do_not_hear_each_other(spec: tuple[str, dict[str, Any]]) -> None:
    """Two streams of one engine, fed in turns."""

    async def scene(engine: SpeechToText) -> None:
        async with engine.stream() as one, engine.stream() as other:
            first = await speech(LINES[0])
            for begin in range(0, len(first), 3200):
                one.feed(first[begin : begin + 3200])
                other.feed(first[begin : begin + 3200])
            one.finish()
            other.discard()
            assert await final(one.transcripts()) == LINES[0]
            say(other, first)
            other.finish()
            assert await final(other.transcripts()) == LINES[0]

    hold(spec, scene)


@pytest.mark.parametrize("spec", ENGINES)
def test_a_stream_may_be_left_at_any_moment(spec: tuple[str, dict[str, Any]]) -> None:
    """In the middle of an utterance, or with a transcript due; the engine goes on."""

    async def scene(engine: SpeechToText) -> None:
        async with engine.stream() as ears:
            ears.feed(bytes(6400))
        async with engine.stream() as ears:
            ears.feed(bytes(6400))
            ears.finish()
        async with engine.stream() as ears:
            say(ears, await speech(LINES[0]))
            ears.finish()
            assert await final(ears.transcripts()) == LINES[0]

    hold(spec, scene)


@pytest.mark.parametrize("spec", ENGINES)
def test_an_engine_may_be_closed_twice_and_before_it_was_prepared(spec: tuple[str, dict[str, Any]]) -> None:
    """Closing is always allowed."""

    async def main() -> None:
        name, options = spec
        engine: SpeechToText = Registry().create("stt", name, options, EngineContext(phrasings=LINES))
        await engine.aclose()
        await engine.prepare()
        await engine.aclose()
        await engine.aclose()

    asyncio.run(main())
