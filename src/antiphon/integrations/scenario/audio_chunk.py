"""A piece of sound as Scenario passes it around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import langwatch

__all__ = ["AUDIO_FORMAT", "SAMPLE_RATE", "AudioChunk"]

SAMPLE_RATE = 24_000
"Samples per second of every AudioChunk: s16le, mono."
AUDIO_FORMAT = "pcm_24000"
"The same in the protocol's words."

if TYPE_CHECKING or langwatch.voice is None:

    @dataclass
    class AudioChunk:
        """Sound, s16le mono at 24 kHz, and what is known about it.

        Raises:
            ValueError: half a sample is missing.
        """

        data: bytes
        transcript: str | None = None
        "What is said in it."
        start_time: float | None = None
        "Seconds from the start of the scenario."
        end_time: float | None = None
        "Seconds from the start of the scenario."

        def __post_init__(self) -> None:
            if len(self.data) % 2:
                raise ValueError(f"{len(self.data)} bytes are no whole number of 16-bit samples")

        @property
        def sample_rate(self) -> int:
            """Samples per second."""
            return SAMPLE_RATE

        @property
        def channels(self) -> int:
            """It is mono."""
            return 1

        @property
        def duration_seconds(self) -> float:
            """How long it sounds."""
            return len(self.data) / (2 * SAMPLE_RATE)

else:
    AudioChunk = langwatch.voice.AudioChunk
