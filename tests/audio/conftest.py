"""Tones, and what became of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

AMPLITUDE = 0.5 * 32767


@dataclass(frozen=True)
class Fit:
    """A tone found in audio."""

    gain: float
    "Decibels against the tone of `make_tone`."
    snr: float
    "Decibels of the tone over all that is not the tone."
    phase: float
    "Radians by which it lags a sine that begins with the audio."


@pytest.fixture
def make_tone() -> Callable[..., bytes]:
    """`make_tone(frequency, rate, seconds=1.0)`: a sine at half of full scale, s16le."""

    def make(frequency: float, rate: int, seconds: float = 1.0) -> bytes:
        at = np.arange(round(rate * seconds)) / rate
        return np.rint(AMPLITUDE * np.sin(2 * np.pi * frequency * at)).astype("<i2").tobytes()

    return make


@pytest.fixture
def fit_tone() -> Callable[..., Fit]:
    """`fit_tone(audio, frequency, rate)`: that tone in s16le audio, 50 ms at both ends left out."""

    def fit(audio: bytes, frequency: float, rate: int) -> Fit:
        edge = rate // 20
        samples = np.frombuffer(audio, "<i2").astype(float)
        at = np.arange(len(samples)) / rate
        samples, at = samples[edge:-edge], at[edge:-edge]
        waves = np.stack([np.sin(2 * np.pi * frequency * at), np.cos(2 * np.pi * frequency * at)], axis=1)
        (sine, cosine), *_ = np.linalg.lstsq(waves, samples, rcond=None)
        rest = samples - waves @ (sine, cosine)
        power = (sine**2 + cosine**2) / 2
        return Fit(
            gain=10 * math.log10(power / (AMPLITUDE**2 / 2)),
            snr=10 * math.log10(power / max(float(np.mean(rest**2)), 1e-12)),
            phase=math.atan2(-cosine, sine),
        )

    return fit


@pytest.fixture
def level_of() -> Callable[[bytes, int], float]:
    """`level_of(audio, rate)`: decibels against the tone of `make_tone`, 50 ms at both ends left out."""

    def level(audio: bytes, rate: int) -> float:
        edge = rate // 20
        samples = np.frombuffer(audio, "<i2").astype(float)[edge:-edge]
        return 10 * math.log10(max(float(np.mean(samples**2)), 1e-12) / (AMPLITUDE**2 / 2))

    return level
