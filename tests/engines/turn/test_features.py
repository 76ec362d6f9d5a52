"""Smart Turn's features (engines/turn/features.py)."""

from __future__ import annotations

import numpy as np
import pytest

from antiphon.engines.base import SAMPLE_RATE
from antiphon.engines.turn.features import BANDS, FRAMES, HOP, SAMPLES, log_mel


def tone(hertz: float, seconds: float, level: float = 8000.0) -> bytes:
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (level * np.sin(2 * np.pi * hertz * times)).astype(np.int16).tobytes()


def buzz(samples: int) -> bytes:
    """Two saw-teeth, one of them rising: something in every band."""
    times = np.arange(samples)
    return ((times * 37 % 2001 - 1000) * 8 + (times * times // 900 % 1501 - 750) * 6).astype(np.int16).tobytes()


@pytest.mark.parametrize("samples", [0, 1, 150, HOP, SAMPLE_RATE, SAMPLES - 1, SAMPLES, SAMPLES + 1, 2 * SAMPLES])
def test_any_length_of_sound_makes_the_same_shape(samples: int) -> None:
    """Eight seconds, whatever comes in; all finite."""
    sound = np.random.default_rng(samples).normal(0, 1000, samples).astype(np.int16).tobytes()
    features = log_mel(sound)
    assert features.shape == (BANDS, FRAMES)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_they_are_whispers() -> None:
    """The values of WhisperFeatureExtractor(chunk_length=8), normalising, with the silence in front.

    Observed: pipecat-ai 1.14's copy of it, for the same sound; the largest difference over 2.7 s of human speech
    and its cuts, noise and silence was 3.5e-6, and 2.8e-5 for a pure tone.
    """
    features = log_mel(buzz(40_000))
    observed = {
        (0, 0): 0.49357,
        (0, 799): 1.08169,
        (79, 10): -0.22775,
        (3, 548): -0.22775,
        (10, 551): 0.90476,
        (17, 600): 1.17446,
        (17, 640): 1.42674,
        (40, 640): 1.28912,
        (50, 652): 0.80432,
        (55, 700): 0.97917,
        (57, 720): 1.15882,
        (20, 700): 0.90755,
        (70, 780): 1.00109,
        (79, 799): 1.03923,
    }
    for (band, frame), value in observed.items():
        assert features[band, frame] == pytest.approx(value, abs=1e-4), (band, frame)


def test_a_higher_tone_shows_in_a_higher_band() -> None:
    """Bands go up with frequency, over the whole range."""
    loudest = [int(log_mel(tone(hertz, 8.0))[:, FRAMES // 2].argmax()) for hertz in (100, 500, 1000, 2000, 4000, 7500)]
    assert loudest == sorted(set(loudest))
    assert loudest[0] < 5
    assert loudest[-1] > 74


def test_loudness_does_not_matter() -> None:
    """Sound is brought to one variance: a quiet caller looks like a loud one."""
    assert np.abs(log_mel(tone(700, 3.0, 12_000)) - log_mel(tone(700, 3.0, 1_200))).max() < 0.15


def test_the_newest_sound_is_at_the_end() -> None:
    """Silence is put in front, and what is older than eight seconds is left out."""
    assert log_mel(tone(300, 1.0))[:, -50:].max() > log_mel(tone(300, 1.0))[:, :600].max() + 0.5
    assert np.array_equal(log_mel(tone(300, 2.0) + tone(900, 8.0)), log_mel(tone(900, 8.0)))
