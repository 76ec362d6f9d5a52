"""How loud it is, as a meter shows it, and when somebody has stopped speaking."""

from __future__ import annotations

import math

from antiphon.audio.levels import SILENCE

FULL_SCALE = 32768
QUIETEST = -60.0
"Decibels of full scale at which a meter begins."
_ABOVE_NOISE = 3.0
"Speech is louder than the room's noise by this factor at least: 10 dB."
_RISE = 1.05
"How fast the estimate of the noise may grow, a second; it falls at once."


def decibels(rms: float) -> float:
    """Decibels of full scale, QUIETEST at least. `rms`: in sample units."""
    return max(QUIETEST, 20 * math.log10(rms / FULL_SCALE)) if rms > 0 else QUIETEST


def cells(level: float, width: int) -> int:
    """How many of a meter's `width` cells are lit at `level` decibels of full scale."""
    return max(0, min(width, round((level - QUIETEST) / -QUIETEST * width)))


class SpeechEnd:
    """Tells when the microphone last heard speech, for measuring how long an answer takes.

    Speech is what stands out of the room's noise, whose level is learnt from the quietest pieces.
    """

    def __init__(self) -> None:
        self.last: float | None = None
        "When speech was last heard; None: not since it was `answered`."
        self._noise: float | None = None

    def hear(self, rms: float, seconds: float, now: float) -> None:
        """A piece of the microphone's audio that ends `now`. `rms`: in sample units."""
        noise = rms if self._noise is None else min(rms, self._noise * _RISE**seconds)
        self._noise = min(max(noise, 1.0), SILENCE / 2) if self._noise is None else max(noise, 1.0)
        if rms > max(SILENCE, self._noise * _ABOVE_NOISE):
            self.last = now

    def answered(self, now: float) -> float | None:
        """The first sound of an answer: seconds since speech was last heard; None if nobody spoke before it."""
        last, self.last = self.last, None
        return now - last if last is not None else None
