"""Voice activity by loudness alone: for tests, simulations and quiet lines. Any noise is speech to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from antiphon.engines.base import EngineContext, VoiceActivityModel
from antiphon.errors import ConfigError, EngineError

FRAME_SAMPLES = 512
THRESHOLD = 300.0
"Root mean square, in sample units, that scores 0.5: 41 dB below full scale."


def create(options: Mapping[str, Any], context: EngineContext) -> VoiceActivityModel:
    """The `energy` engine. Option `threshold`: the root mean square, in sample units, that scores 0.5.

    Raises:
        ConfigError: the threshold is no positive number.
    """
    threshold = options.get("threshold", THRESHOLD)
    if not isinstance(threshold, int | float) or isinstance(threshold, bool) or threshold <= 0:
        raise ConfigError(f"{threshold!r} is no positive number", path="antiphon.vad.threshold")
    return _Model(float(threshold))


class _Model:
    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def stream(self) -> Energy:
        """See VoiceActivityModel."""
        return Energy(self._threshold)


class Energy:
    """Scores a frame p / (p + t), where p is its mean square and t the threshold's. No frame counts for the next."""

    def __init__(self, threshold: float) -> None:
        self.frame_samples = FRAME_SAMPLES
        self._threshold = threshold * threshold * FRAME_SAMPLES
        self._frame = b""
        self._score = 0.0
        "Of that frame: lines that are digitally silent send the same one over and over."

    def score(self, frame: bytes) -> float:
        """See VoiceActivity."""
        if len(frame) != 2 * FRAME_SAMPLES:
            raise EngineError(
                "energy", f"a frame of {len(frame)} bytes came in where {2 * FRAME_SAMPLES} are one frame"
            )
        if frame == self._frame:
            return self._score
        # Squares of 16-bit samples sum up exactly in double precision, whatever the order: the same on every machine.
        samples = np.frombuffer(frame, np.int16).astype(np.float64)
        energy = float(samples.dot(samples))
        self._frame, self._score = frame, energy / (energy + self._threshold)
        return self._score
