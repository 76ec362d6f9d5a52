"""The formats that speech is asked for in: `mp3_44100_128`, `pcm_16000`, `wav_24000`, `ulaw_8000`, `alaw_8000`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from antiphon.audio import alaw, ulaw
from antiphon.audio.convert import Resampler
from antiphon.audio.riff import wav_header
from antiphon.server.rest.errors import ApiError

RATES = {
    "mp3": (22_050, 24_000, 44_100),
    "pcm": (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "wav": (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "ulaw": (8_000,),
    "alaw": (8_000,),
}
BIT_RATES = (32, 48, 64, 96, 128, 192)
"Of MP3, in kilobits a second; below 32 kHz it has 160 at most."
MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "pcm": "audio/pcm",
    "wav": "audio/wav",
    "ulaw": "audio/basic",
    "alaw": "audio/x-alaw-basic",
}
QUALITY = 5
"LAME's scale from 0, the best, to 9."


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """One of them."""

    codec: str
    rate: int
    kilobits: int = 0
    "Of MP3."

    @property
    def media_type(self) -> str:
        """As HTTP calls it."""
        return MEDIA_TYPES[self.codec]


class Writer(Protocol):
    """Speech on its way into a format. Every call may take milliseconds a second of sound."""

    def write(self, audio: bytes) -> bytes:
        """The next piece, s16le at the rate of the engine."""
        ...

    def finish(self) -> bytes:
        """The rest."""
        ...


def parse_output_format(name: str) -> OutputFormat:
    """The format of that name. Raises ApiError."""
    parsed = re.fullmatch(r"([a-z0-9]+?)_(\d{4,5})(?:_(\d{2,3}))?", name)
    if parsed is not None:
        codec, rate, kilobits = parsed[1], int(parsed[2]), int(parsed[3] or 0)
        fits = kilobits in BIT_RATES if codec == "mp3" else not kilobits
        if rate in RATES.get(codec, ()) and fits:
            return OutputFormat(codec, rate, kilobits)
    raise ApiError(
        400,
        "output_format_not_supported",
        f"the output format {name!r} is not made here; mp3_44100_128 and other MP3, pcm_8000 to pcm_48000, wav_8000 to "
        "wav_48000, ulaw_8000 and alaw_8000 are",
    )


def writer(output: OutputFormat, rate: int) -> Writer:
    """What makes that format out of an engine's s16le mono at `rate`."""
    if output.codec == "mp3":
        return _Mp3(output, rate)
    encode = {"ulaw": ulaw.encode, "alaw": alaw.encode}.get(output.codec, _as_it_is)
    return _Plain(rate, output.rate, encode, wav_header(output.rate) if output.codec == "wav" else b"")


def whole(output: OutputFormat, written: bytes) -> bytes:
    """All that was written, now that its length is known: the header of a WAV file tells it."""
    if output.codec != "wav":
        return written
    sound = written[len(wav_header(output.rate)) :]
    return wav_header(output.rate, len(sound)) + sound


def _as_it_is(audio: bytes) -> bytes:
    return audio


class _Plain:
    def __init__(self, rate_in: int, rate_out: int, encode: Callable[[bytes], bytes], header: bytes) -> None:
        self._resampler = Resampler(rate_in, rate_out)
        self._encode = encode
        self._header = header

    def write(self, audio: bytes) -> bytes:
        header, self._header = self._header, b""
        return header + self._encode(self._resampler.resample(audio))

    def finish(self) -> bytes:
        return self._encode(self._resampler.flush())


class _Mp3:
    def __init__(self, output: OutputFormat, rate: int) -> None:
        self._resampler = Resampler(rate, output.rate)
        encoder: Any = import_module("lameenc").Encoder()  # by its name: it has no types
        encoder.silence()
        encoder.set_channels(1)
        encoder.set_in_sample_rate(output.rate)
        encoder.set_out_sample_rate(output.rate)
        encoder.set_bit_rate(output.kilobits if output.rate >= 32_000 else min(output.kilobits, 160))
        encoder.set_quality(QUALITY)
        self._encoder = encoder
        self._begun = False

    def write(self, audio: bytes) -> bytes:
        resampled = self._resampler.resample(audio)
        self._begun = self._begun or bool(resampled)
        return bytes(self._encoder.encode(resampled)) if resampled else b""

    def finish(self) -> bytes:
        rest = self.write(b"\0\0") if not self._begun else b""
        if tail := self._resampler.flush():
            rest += bytes(self._encoder.encode(tail))
            self._begun = True
        return rest + (bytes(self._encoder.flush()) if self._begun else b"")
