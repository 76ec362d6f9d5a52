"""The tones of a telephone's keys."""

from __future__ import annotations

import math

import numpy as np
import pytest

from antiphon.audio.levels import rms
from antiphon.audio.tones import FREQUENCIES, dtmf

RATES = [8000, 16000, 22050, 24000, 44100, 48000]


def power(samples: np.ndarray, frequency: float, rate: int) -> float:
    """Goertzel's question: how much of one frequency is in there."""
    turns = np.exp(-2j * np.pi * frequency * np.arange(len(samples)) / rate)
    return float(abs((samples * turns).sum()) ** 2)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("key", "0123456789*#ABCD")
def test_a_receiver_hears_the_key(key: str, rate: int) -> None:
    """Of the eight frequencies the two right ones are far above all others, and close to each other (ITU-T Q.24)."""
    samples = np.frombuffer(dtmf(key, rate), "<i2")[: round(0.1 * rate)].astype(float)
    heard = {f: power(samples, f, rate) for pair in FREQUENCIES.values() for f in pair}
    pair = sorted(heard, key=lambda f: heard[f])[-2:]
    assert tuple(sorted(pair)) == FREQUENCIES[key]
    others = max(value for f, value in heard.items() if f not in pair)
    assert 10 * math.log10(min(heard[f] for f in pair) / others) > 15
    assert abs(10 * math.log10(heard[pair[0]] / heard[pair[1]])) < 2


@pytest.mark.parametrize("rate", RATES)
def test_keys_and_pauses_last_as_long_as_they_should(rate: int) -> None:
    """100 ms of tone, 60 ms of silence; w half a second, W a second."""
    assert len(dtmf("12", rate)) == 2 * 2 * (round(0.1 * rate) + round(0.06 * rate))
    assert dtmf("wW", rate) == bytes(2 * (round(0.5 * rate) + rate))
    assert dtmf("", rate) == b""


def test_the_level_is_that_of_speech() -> None:
    """-9 dBFS by rms, no peak above half of full scale, and no step at either end."""
    samples = np.frombuffer(dtmf("5", 16000), "<i2")[:1600]
    decibels = 20 * math.log10(rms(samples[160:-160].tobytes()) / (32767 / math.sqrt(2)))
    assert -10 <= decibels <= -6
    assert abs(samples).max() <= 16384
    assert samples[0] == 0
    assert abs(samples[-1]) < 400


def test_what_is_no_key_is_an_error() -> None:
    """Small letters are keys, spaces are none."""
    assert dtmf("a", 8000) == dtmf("A", 8000)
    with pytest.raises(ValueError, match="no key"):
        dtmf("1 2", 8000)
