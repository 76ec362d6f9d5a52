"""Recogniser processes: killed, hung, shared, ended. No utterance is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import wave
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from antiphon.audio.convert import Encoder
from antiphon.audio.formats import parse_format
from antiphon.engines.base import EngineContext
from antiphon.engines.registry import Registry
from antiphon.engines.stt.pocketsphinx import PocketsphinxSpeechToText, create
from antiphon.engines.stt.workers import Pool, WorkerStream
from antiphon.errors import ConfigError, EngineError
from antiphon.turns.backchannels import backchannels, is_backchannel

pytestmark = [pytest.mark.component("pocketsphinx"), pytest.mark.component("testdata")]

DATA = Path("/usr/share/pocketsphinx/test/data")
FORWARD = "go forward ten meters"
PHRASINGS = [FORWARD, "go backward five meters", "turn left", "stop now"]


def forward() -> bytes:
    """A person, saying "go forward ten meters"."""
    return (DATA / "goforward.raw").read_bytes()


def hold(
    scene: Callable[[PocketsphinxSpeechToText, WorkerStream], Awaitable[None]],
    backchannels: Sequence[str] = (),
    **options: Any,
) -> None:
    """Run a scene with one stream of an engine with one worker."""

    async def main() -> None:
        context = EngineContext(phrasings=PHRASINGS, backchannels=backchannels)
        engine = create({"workers": 1, **options}, context)
        await engine.prepare()
        try:
            async with asyncio.timeout(40), engine.stream() as ears:
                await scene(engine, ears)
        finally:
            await engine.aclose()

    asyncio.run(main())


async def final(ears: WorkerStream) -> str:
    """The next final transcript."""
    async for transcript in ears.transcripts():
        if transcript.final:
            return transcript.text
    raise AssertionError("the stream ended")


def say(ears: WorkerStream, audio: bytes) -> None:
    """In pieces."""
    for begin in range(0, len(audio), 3200):
        ears.feed(audio[begin : begin + 3200])


def worker_of(ears: WorkerStream) -> int:
    """Its process."""
    return ears._worker.pid


def test_a_person_is_understood() -> None:
    """A human recording, with fitting phrasings; partial transcripts come first."""

    async def scene(_engine: PocketsphinxSpeechToText, ears: WorkerStream) -> None:
        say(ears, forward())
        partial = await anext(ears.transcripts())
        assert not partial.final
        ears.finish()
        assert await final(ears) == FORWARD

    hold(scene)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("expected", [(), ("mm hm", "okay", "quite xkcdqz", "ja so")])
def test_a_sentence_over_the_agent_is_understood_like_any_other(expected: Sequence[str], killed: bool) -> None:
    """However likely backchannels are: it is too long for one. Those that nobody could pronounce are left out."""

    async def scene(_engine: PocketsphinxSpeechToText, ears: WorkerStream) -> None:
        audio = forward()
        for _ in range(2):
            say(ears, audio[:16_000])
            ears.over_agent()
            say(ears, audio[16_000:])
            ears.finish()
            if killed:
                os.kill(worker_of(ears), signal.SIGKILL)
            assert await final(ears) == FORWARD
            say(ears, audio)
            ears.finish()
            assert await final(ears) == FORWARD

    hold(scene, expected)


@pytest.mark.component("espeak")
def test_a_short_sound_over_the_agent_is_a_backchannel_rather_than_one_of_its_sentences() -> None:
    """Not so in the caller's own turn, where nothing is likelier than what the agent has sentences for."""
    heard: list[str] = []

    async def scene(_engine: PocketsphinxSpeechToText, ears: WorkerStream) -> None:
        audio = await spoken("uh huh")
        say(ears, forward())  # so that the channel is known
        ears.finish()
        await final(ears)
        for over_agent in (True, False):
            say(ears, audio)
            if over_agent:
                ears.over_agent()
            ears.finish()
            heard.append(await final(ears))

    hold(scene, sorted(backchannels()), fallback=False)
    assert is_backchannel(heard[0])
    assert not is_backchannel(heard[1])


async def spoken(text: str) -> bytes:
    """By a synthetic caller; s16le, 16 kHz, with quiet around it."""
    voice = Registry().create("tts", "espeak", {"voices": {"caller": "en-us+f5"}}, EngineContext(voice_id="caller"))
    encoder = Encoder(voice.sample_rate, parse_format("pcm_16000"))
    try:
        audio = b"".join([encoder.encode(piece.audio) async for piece in voice.speak(text)])
    finally:
        await voice.aclose()
    return bytes(12_000) + audio + bytes(10_000)


@pytest.mark.parametrize("when", ["in the middle", "after the end"])
def test_a_worker_that_is_killed_costs_no_utterance(when: str) -> None:
    """Another is told everything again, the next utterance included."""

    async def scene(_engine: PocketsphinxSpeechToText, ears: WorkerStream) -> None:
        audio = forward()
        before = worker_of(ears)
        say(ears, audio[: len(audio) // 2])
        if when == "in the middle":
            os.kill(before, signal.SIGKILL)
        say(ears, audio[len(audio) // 2 :])
        ears.finish()
        if when == "after the end":
            os.kill(before, signal.SIGKILL)
        assert await final(ears) == FORWARD
        say(ears, audio)
        ears.finish()
        assert await final(ears) == FORWARD
        assert worker_of(ears) != before

    hold(scene)


def test_a_worker_that_hangs_is_replaced() -> None:
    """`patience` seconds without the transcript, and it is killed."""

    async def scene(_engine: PocketsphinxSpeechToText, ears: WorkerStream) -> None:
        os.kill(worker_of(ears), signal.SIGSTOP)
        say(ears, forward())
        ears.finish()
        assert await final(ears) == FORWARD

    hold(scene, patience=1.5)


def test_an_utterance_that_kills_every_worker_is_given_up() -> None:
    """With an error, not for ever."""

    async def scene(_engine: PocketsphinxSpeechToText, ears: WorkerStream) -> None:
        say(ears, forward())
        ears.finish()
        with pytest.raises(EngineError, match="again and again"):
            await final(ears)

    hold(scene, patience=0.001)


def test_nothing_is_left_behind() -> None:
    """No process, no file, no folder."""
    descriptors = len(os.listdir("/proc/self/fd"))
    seen: list[tuple[int, Path]] = []

    async def scene(engine: PocketsphinxSpeechToText, ears: WorkerStream) -> None:
        assert engine._folder is not None
        seen.append((worker_of(ears), engine._folder))
        say(ears, forward())

    hold(scene)
    ((process, folder),) = seen
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_agents_of_one_server_share_the_workers() -> None:
    """One process per processor, not per agent; the last agent ends them."""

    async def main() -> None:
        engines = [create({"workers": 2}, EngineContext(phrasings=PHRASINGS)) for _ in range(3)]
        for engine in engines:
            await engine.prepare()
        pool = Pool._of_loop[asyncio.get_running_loop()]
        assert len(pool._workers) == 2
        for engine in engines:
            await engine.aclose()
        assert asyncio.get_running_loop() not in Pool._of_loop

    asyncio.run(main())


@pytest.mark.parametrize("language", ["de", "pt-br", "eng-like"])
def test_other_languages_than_english_are_refused_with_the_setting_to_change(language: str) -> None:
    """At load, before anybody calls."""
    with pytest.raises(ConfigError, match=r"conversation_config\.agent\.language"):
        create({}, EngineContext(language=language))


def test_wrong_options_are_named() -> None:
    """By their JSON path."""
    with pytest.raises(ConfigError, match=r"conversation_config\.antiphon\.stt"):
        create({"slots": {"name": "anna"}}, EngineContext())


def test_speech_that_nobody_could_foresee_is_not_guessed_at() -> None:
    """Sentences of a novel, read by a person, to an agent that knows four commands: an empty transcript."""
    texts: list[str] = []

    async def scene(_engine: PocketsphinxSpeechToText, ears: WorkerStream) -> None:
        for file in sorted((DATA / "librivox").glob("*.wav"))[:3]:
            with wave.open(str(file), "rb") as sound:
                say(ears, sound.readframes(sound.getnframes()))
            ears.finish()
            texts.append(await final(ears))

    hold(scene, fallback=False, patience=20)
    assert texts == ["", "", ""]
