"""Where sound begins and ends."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio.levels import RANGE, SILENCE, first_sound, last_sound, rms
from antiphon.audio.wav import read_wav


def pcm(samples: list[int]) -> bytes:
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


def hiss(count: int, level: float = 30.0) -> list[int]:
    source = random.Random(1)
    return [round(source.gauss(0, level)) for _ in range(count)]


@given(before=st.integers(0, 300), inside=st.lists(st.integers(-32768, 32767), max_size=50), after=st.integers(0, 300))
def test_bounds_are_exact_to_the_sample(before: int, inside: list[int], after: int) -> None:
    """From the first loud sample to one past the last, whatever lies between."""
    audio = pcm([0] * before + [-32768, *inside, 32767] + [0] * after)
    assert first_sound(audio, 16_000) == before / 16_000
    assert last_sound(audio, 16_000) == (before + len(inside) + 2) / 16_000


@pytest.mark.parametrize("audio", [b"", bytes(2_000), pcm([SILENCE, -SILENCE] * 500), pcm(hiss(48_000))])
def test_silence_has_no_sound(audio: bytes) -> None:
    """Nor has a noise floor of rms 30, three seconds of it."""
    assert first_sound(audio, 16_000) is None
    assert last_sound(audio, 16_000) is None


def test_a_noise_floor_does_not_move_the_bounds() -> None:
    """A burst of speech level in noise of rms 30 begins and ends where it would without it."""
    quiet, burst = [0] * 8_000, [12_000, -12_000] * 2_000
    clean = pcm(quiet + burst + quiet)
    noisy = pcm([s + n for s, n in zip(quiet + burst + quiet, hiss(20_000), strict=True)])
    assert first_sound(noisy, 16_000) == first_sound(clean, 16_000) == 0.5
    assert last_sound(noisy, 16_000) == last_sound(clean, 16_000) == 0.75


def test_what_is_softer_by_more_than_the_range_is_no_sound() -> None:
    """36 dB below the loudest sample is its echo, not the voice."""
    loud = 32_000
    echo = pcm([loud, loud // RANGE, loud // RANGE])
    voice = pcm([loud, loud // RANGE + 1, 0])
    assert last_sound(echo, 1_000) == 0.001
    assert last_sound(voice, 1_000) == 0.002


@pytest.mark.component("flite")
def test_speech_is_bounded_by_its_own_consonants(tmp_path: Path) -> None:
    """Noise of rms 30 moves the bounds of a spoken sentence by less than 5 ms; its final "s" belongs to it."""
    subprocess.run(
        [
            shutil.which("flite") or "flite",
            "-voice",
            "slt",
            "-t",
            "Six fish and chips, thanks",
            "-o",
            tmp_path / "a.wav",
        ],
        check=True,
    )
    rate, audio = read_wav(tmp_path / "a.wav")
    samples = memoryview(audio).cast("h").tolist()
    noisy = pcm([max(-32768, min(32767, s + n)) for s, n in zip(samples, hiss(len(samples)), strict=True)])
    first, last = first_sound(audio, rate), last_sound(audio, rate)
    assert first is not None
    assert last is not None
    assert 0.1 < first < 0.4 < len(samples) / rate - 0.4 < last < len(samples) / rate
    assert first_sound(noisy, rate) == pytest.approx(first, abs=0.005)
    assert last_sound(noisy, rate) == pytest.approx(last, abs=0.005)


def test_rms_is_in_sample_units() -> None:
    """A square wave's is its amplitude."""
    assert rms(pcm([1_000, -1_000] * 50)) == 1_000
    assert rms(pcm([-32_768] * 8)) == 32_768
    assert rms(b"") == 0
