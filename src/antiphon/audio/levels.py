"""How loud, and where sound begins and ends. Audio here is s16le mono.

`first_sound` and `last_sound` anchor latency measurements (the caller's last sample, the agent's first), so they are
exact to the sample and depend on nothing but the audio given: *sound* is every sample whose magnitude exceeds

    max(SILENCE, loudest magnitude in `audio` / RANGE)

SILENCE keeps a noise floor of rms 30 (white, at most 5 standard deviations) out, RANGE the echo and breath around loud
speech; a final unvoiced consonant of speech at a normal level stays in.
"""

from __future__ import annotations

import math

from .arrays import load_numpy

SILENCE = 184
"Magnitude that nothing silent exceeds: -45 dB of full scale."
RANGE = 64
"Sound is not softer than the loudest sample by more than this factor: 36 dB."


def rms(audio: bytes) -> float:
    """Root mean square in sample units, 0 to 32768; 0 for no audio."""
    np = load_numpy()
    samples = np.frombuffer(audio, np.dtype("<i2")).astype(np.float64)
    return math.sqrt(float(samples.dot(samples)) / len(samples)) if len(samples) else 0.0


def first_sound(audio: bytes, rate: int) -> float | None:
    """Seconds from the start of `audio` to its first sound; None where all is silence."""
    bounds = _sound(audio)
    return bounds and bounds[0] / rate


def last_sound(audio: bytes, rate: int) -> float | None:
    """Seconds from the start of `audio` to the end of its last sound; None where all is silence."""
    bounds = _sound(audio)
    return bounds and bounds[1] / rate


def _sound(audio: bytes) -> tuple[int, int] | None:
    """Index of the first sample that is sound, and one past the last."""
    np = load_numpy()
    magnitudes = np.abs(np.frombuffer(audio, np.dtype("<i2")).astype(np.int32))
    loudest = int(magnitudes.max(initial=0))
    if loudest <= SILENCE:
        return None
    loud = magnitudes > max(SILENCE, loudest / RANGE)
    return int(loud.argmax()), len(loud) - int(loud[::-1].argmax())
