"""The espeak engine: what becomes of its program, its options, its pauses."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from array import array
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from antiphon.engines.base import EngineContext
from antiphon.engines.registry import Registry
from antiphon.engines.tts import espeak_link
from antiphon.engines.tts.espeak import SAMPLE_RATE, Espeak
from antiphon.engines.tts.espeak_link import Program
from antiphon.engines.tts.espeak_program import last_sound
from antiphon.engines.tts.espeak_voices import VARIANTS
from antiphon.errors import ConfigError, EngineError
from antiphon.simulation.loop import run as run_virtually

SENTENCE = "Good morning, this is the front desk."
LONG = " ".join(f"This is sentence number {number}, and it is not short." for number in range(30))

pytestmark = pytest.mark.component("espeak")


def program_of(engine: Espeak) -> Program:
    assert engine._program is not None
    return engine._program


# ------------------------------------------------------------------------------------------------ when it goes wrong


@pytest.mark.parametrize("after", [0, 1, 30])
@pytest.mark.parametrize("whom", ["program", "child"])
def test_a_killed_program_is_started_again_and_goes_on(espeak: Any, say: Any, after: int, whom: str) -> None:
    """kill -9 after so many pieces, of the program or of the process that speaks: the text comes out whole."""

    async def main() -> None:
        async with espeak() as engine:
            expected = await say(engine, LONG)
            pieces: list[Any] = []
            async for piece in engine.speak(LONG):
                if len(pieces) == after:
                    pid = program_of(engine).pid
                    victims = children(pid) if whom == "child" else [pid]
                    for victim in victims:
                        os.kill(victim, signal.SIGKILL)
                pieces.append(piece)
            assert pieces == expected

    asyncio.run(main())


def test_a_program_that_died_while_idle_is_started_again(espeak: Any, say: Any) -> None:
    """Nobody notices, again and again; no process and no file descriptor is left."""

    async def main() -> None:
        async with espeak() as engine:
            expected = await say(engine, SENTENCE)
            descriptors = open_descriptors()
            for _ in range(3):
                pid = program_of(engine).pid
                os.kill(pid, signal.SIGKILL)
                assert await say(engine, SENTENCE) == expected
                assert not exists(pid)
            assert open_descriptors() == descriptors

    asyncio.run(main())


def test_a_hung_program_is_replaced(espeak: Any, say: Any) -> None:
    """It is stopped (SIGSTOP): after `patience`, another one speaks, for everybody who waits."""

    async def main() -> None:
        async with espeak(patience=1.0) as engine:
            expected = await say(engine, SENTENCE)
            hung = program_of(engine).pid
            os.killpg(hung, signal.SIGSTOP)
            assert await asyncio.gather(*(say(engine, SENTENCE) for _ in range(3))) == [expected] * 3
            assert program_of(engine).pid != hung
            assert not exists(hung)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (["-c", "pass"], "it ended"),
        (["-c", "import time; time.sleep(60)"], "it said nothing for 0.5 s"),
        ([str(espeak_link.PROGRAM), "/nowhere/libespeak-ng.so"], "/nowhere/libespeak-ng.so"),
    ],
    ids=["ends", "hangs", "without its library"],
)
def test_a_program_that_does_not_work_is_an_engine_error(
    espeak: Any, say: Any, program: list[str], reason: str
) -> None:
    """With the reason; another try may help."""

    async def main() -> None:
        async with espeak(program=[sys.executable, "-I", "-S", *program], patience=0.5) as engine:
            for attempt in (engine.prepare(), say(engine, "Hello.")):
                with pytest.raises(EngineError, match=f"^espeak: .*{reason}") as failure:
                    await attempt
                assert failure.value.retryable

    asyncio.run(main())


def test_a_program_that_cannot_be_started_is_an_engine_error(espeak: Any) -> None:
    """Too many open files, for example; another try may help."""

    async def main() -> None:
        async with espeak(program=["/nowhere/python"]) as engine:
            with pytest.raises(EngineError, match="cannot be started") as failure:
                await engine.prepare()
            assert failure.value.retryable

    asyncio.run(main())


def test_who_speaks_while_the_engine_is_closed_gets_an_error(espeak: Any, say: Any) -> None:
    """And so does who speaks later; no new program is started for them."""

    async def main() -> None:
        async with espeak() as engine:
            speech = engine.speak(LONG)
            await anext(speech)
            await engine.aclose()
            for attempt in (anext_until_end(speech), say(engine, "Hello.")):
                with pytest.raises(EngineError, match="closed") as failure:
                    await attempt
                assert not failure.value.retryable

    asyncio.run(main())


def test_a_speaker_that_is_stopped_stops_the_process_behind_it(espeak: Any) -> None:
    """It does not stay there with what nobody will read: more than a pipe holds."""

    async def main() -> None:
        async with espeak() as engine:
            speech = engine.speak(LONG)
            await anext(speech)
            # The one that spoke when the engine was made may not be gone yet.
            watched = [os.pidfd_open(child) for child in children(program_of(engine).pid)]
            assert watched
            await speech.aclose()
            for child in watched:
                assert select.select([child], [], [], 10)[0] == [child]
                os.close(child)

    asyncio.run(main())


def test_closing_leaves_nothing_behind(espeak: Any) -> None:
    """No process, not even a dead one, and no file descriptor, whatever was being said."""

    async def main() -> None:
        descriptors = open_descriptors()
        async with espeak() as engine:
            await anext(engine.speak(LONG))
            pid = program_of(engine).pid
            assert open_descriptors() > descriptors
        assert open_descriptors() == descriptors
        assert not exists(pid)

    asyncio.run(main())


def test_one_engine_serves_one_event_loop_after_another(espeak: Any, say: Any) -> None:
    """Its program lives on; nothing of it stays in a loop, even when that ended in the middle of a word."""
    engine = Registry().create("tts", "espeak", {}, EngineContext())

    async def leave_early() -> None:
        await anext(engine.speak(LONG))

    asyncio.run(leave_early())
    pid = program_of(engine).pid
    first = asyncio.run(say(engine, SENTENCE))
    assert asyncio.run(say(engine, SENTENCE)) == first
    assert program_of(engine).pid == pid
    asyncio.run(engine.aclose())


def test_an_idle_program_does_not_hold_up_virtual_time(espeak: Any, say: Any) -> None:
    """An hour passes at once between two sentences."""

    async def main() -> None:
        async with espeak() as engine:
            first = await say(engine, SENTENCE)
            await asyncio.sleep(3600)
            assert await say(engine, SENTENCE) == first

    run_virtually(main())


def test_the_server_does_not_load_the_library(espeak: Any, say: Any) -> None:
    """It is GPL: it belongs in a program of its own."""

    async def main() -> None:
        async with espeak() as engine:
            await say(engine, SENTENCE)
            assert "espeak" not in loaded_files("self")
            assert "libespeak-ng" in loaded_files(program_of(engine).pid)

    asyncio.run(main())


# --------------------------------------------------------------------------------------------------- how it sounds


@pytest.mark.parametrize(
    ("text", "pause"),
    [("Well, yes.", 0.15), ("“Well!” ", 0.15), ("**Well?**", 0.15), ("Well,", 0.1), ("Well –", 0.1), ("Well", 0.05)],
)
def test_the_pause_at_the_end_fits_the_punctuation(espeak: Any, say: Any, text: str, pause: float) -> None:
    """espeak-ng itself ends with 0.3 s of silence."""

    async def main() -> None:
        async with espeak() as engine:
            said = await say(engine, text)
            silence = said.seconds - last_sound(array("h", said.audio)) / SAMPLE_RATE
            assert silence == pytest.approx(pause, abs=0.001)

    asyncio.run(main())


@pytest.mark.parametrize("variant", [*VARIANTS, "whisper", "Andy", "iven"])
def test_every_voice_is_about_as_loud(espeak: Any, say: Any, variant: str) -> None:
    """Left alone they peak anywhere from -12 dB to full scale, and clip."""

    async def main() -> None:
        async with espeak(voice_id=f"en-us+{variant}") as engine:
            samples = memoryview((await say(engine, LONG)).audio).cast("h")
            assert 9_000 < max(max(samples), -min(samples)) < 29_000

    asyncio.run(main())


def test_a_character_sounds_where_it_is_written(espeak: Any, say: Any) -> None:
    """The words of a sentence begin where a word as long ends; pauses go to the punctuation."""

    async def main() -> None:
        async with espeak() as engine:
            at = 0.0
            starts: list[float] = []
            durations: list[float] = []
            text = "Yes, **I** can. No."
            for piece in await say(engine, text):
                starts += [at + start for start in piece.starts]
                durations += piece.durations
                at += len(piece.audio) / 2 / SAMPLE_RATE
            assert starts[text.index("I")] > 0.4
            assert durations[text.index(",")] + durations[text.index(" ")] > 0.1
            assert durations[text.index(".")] + durations[text.rindex(" ")] > 0.25
            assert [durations[index] for index, char in enumerate(text) if char == "*"] == [0.0] * 4

    asyncio.run(main())


def test_speed_and_rate_and_pitch_change_the_sound(espeak: Any, say: Any) -> None:
    """Speed scales the rate, within what espeak-ng can do."""

    async def said(options: dict[str, Any] | None = None, **context: Any) -> Any:
        async with espeak(options, **context) as engine:
            return await say(engine, SENTENCE)

    async def main() -> None:
        normal = await said()
        assert (await said(speed=0.7)).seconds > normal.seconds * 1.2
        assert (await said(speed=1.2)).seconds < normal.seconds * 0.95
        assert (await said({"rate_wpm": 210})).audio == (await said(speed=1.2)).audio
        assert (await said(speed=50.0)).audio == (await said({"rate_wpm": 450})).audio
        assert (await said({"pitch": 80})).audio != normal.audio
        assert (await said(voice_id="somebody else")).audio != normal.audio

    asyncio.run(main())


# ----------------------------------------------------------------------------------------------------- its options


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"rate_wpm": 10}, ""),
        ({"rate_wpm": "fast"}, ".rate_wpm"),
        ({"pitch": 100}, ""),
        ({"voices": {"x": 1}}, ".voices"),
        ({"voice": "en"}, ""),
    ],
)
def test_a_wrong_option_is_refused_by_its_place_in_the_file(options: dict[str, Any], path: str) -> None:
    """As soon as the engine is made."""
    with pytest.raises(ConfigError, match=rf"^conversation_config\.antiphon\.tts{path}"):
        Registry().create("tts", "espeak", options, EngineContext())


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra that brings it; but where the system has espeak-ng, that is used."""
    monkeypatch.setattr(espeak_link, "find_spec", no_package)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(ConfigError, match=r"antiphon\[espeak\]"):
        Registry().create("tts", "espeak", {}, EngineContext())
    monkeypatch.setattr("ctypes.util.find_library", lambda name: f"lib{name}.so.1")
    assert espeak_link.command()[-2:] == [str(espeak_link.PROGRAM), "libespeak-ng.so.1"]


def no_package(name: str) -> ModuleSpec | None:
    return None


async def anext_until_end(speech: Any) -> None:
    async for _ in speech:
        pass


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def exists(process: int) -> bool:
    """Dead ones that nobody has waited for count."""
    return Path(f"/proc/{process}").exists()


def loaded_files(process: int | str) -> str:
    return Path(f"/proc/{process}/maps").read_text()
