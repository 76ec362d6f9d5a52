"""The audio formats of the wire (protocol.md 4.1): names, bytes, samples, seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from antiphon.errors import ConfigError


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Mono sound as a client sends or plays it; no header, no negotiation."""

    encoding: Literal["pcm", "ulaw"]
    "`pcm`: signed 16-bit little-endian. `ulaw`: G.711 mu-law, one byte per sample."
    rate: int
    "Samples per second."

    @property
    def name(self) -> str:
        """As the wire spells it: `pcm_16000`, `ulaw_8000`."""
        return f"{self.encoding}_{self.rate}"

    @property
    def bytes_per_sample(self) -> int:
        """2 for pcm, 1 for ulaw."""
        return 2 if self.encoding == "pcm" else 1

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second of sound."""
        return self.rate * self.bytes_per_sample

    def seconds(self, audio_bytes: int) -> float:
        """How long that many bytes sound."""
        return audio_bytes / (2 * self.rate if self.encoding == "pcm" else self.rate)  # asked for every piece of sound

    def bytes_of(self, seconds: float) -> int:
        """Bytes of that much sound, rounded to the nearest whole sample."""
        return round(seconds * self.rate) * self.bytes_per_sample


FORMATS: dict[str, AudioFormat] = {
    audio_format.name: audio_format
    for audio_format in (
        *(AudioFormat("pcm", rate) for rate in (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)),
        AudioFormat("ulaw", 8_000),
    )
}
"Every format that the protocol knows, by name."


def parse_format(name: str) -> AudioFormat:
    """The format of that name.

    Raises:
        ConfigError: the protocol has no such format.
    """
    audio_format = FORMATS.get(name)
    if audio_format is None:
        raise ConfigError(f"there is no audio format {name!r}; choose one of {', '.join(FORMATS)}")
    return audio_format
