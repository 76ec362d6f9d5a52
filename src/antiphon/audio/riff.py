"""WAV files in memory, of any sample format that is in use: what people upload, and a header for what they download."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from antiphon.errors import ConfigError

from . import alaw, ulaw
from .arrays import load_numpy

UNKNOWN = 0xFFFF_FFFF
"The length of a stream whose end nobody knows yet."

_PCM, _EXTENSIBLE = 1, 0xFFFE
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORMAT = struct.Struct("<HHIIHH")


@dataclass(frozen=True, slots=True)
class Sound:
    """What was in a file."""

    rate: int
    channels: tuple[bytes, ...]
    "Each s16le."

    @property
    def seconds(self) -> float:
        """How long it sounds."""
        return len(self.channels[0]) / (2 * self.rate)

    @property
    def mono(self) -> bytes:
        """The channels as one: their mean."""
        if len(self.channels) == 1:
            return self.channels[0]
        np = load_numpy()
        tracks = np.stack([np.frombuffer(channel, np.dtype("<i2")) for channel in self.channels])
        return tracks.mean(axis=0).astype("<i2").tobytes()


def wav_header(rate: int, length: int = UNKNOWN) -> bytes:
    """What comes before `length` bytes of s16le mono in a WAV file."""
    whole = min(length + _HEADER.size - 8, UNKNOWN)
    return _HEADER.pack(b"RIFF", whole, b"WAVE", b"fmt ", _FORMAT.size, _PCM, 1, rate, 2 * rate, 2, 16, b"data", length)


def is_wav(data: bytes) -> bool:
    """Whether it says so."""
    return data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE"


def parse_wav(data: bytes) -> Sound:
    """The sound in a WAV file: PCM of 8, 16, 24 or 32 bits, floats, A-law or mu-law, any number of channels.

    A file that was cut short, or whose header leaves its length open, ends where it ends.

    Raises:
        ConfigError: it is no WAV file, or one of another format.
    """
    if not is_wav(data):
        raise ConfigError("this is no WAV file")
    found: tuple[int, int, int, int] | None = None
    place = 12
    while place + 8 <= len(data):
        name, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8
        if name == b"data":
            if found is None:
                raise ConfigError("this WAV file has sound before it says what sound")
            return _sound(data[place : place + length], *found)
        if name == b"fmt ":
            found = _format(data[place : place + length])
        place += length + length % 2
    raise ConfigError("there is no sound in this WAV file")


def _format(chunk: bytes) -> tuple[int, int, int, int]:
    """Kind of samples, channels, rate, bits of a sample."""
    if len(chunk) < _FORMAT.size:
        raise ConfigError("this WAV file does not say what sound it holds")
    kind, channels, rate, _, _, bits = _FORMAT.unpack_from(chunk)
    if kind == _EXTENSIBLE and len(chunk) >= 26:
        kind = int.from_bytes(chunk[24:26], "little")
    if not 1 <= channels <= 32 or not 1_000 <= rate <= 400_000:
        raise ConfigError(f"{channels} channels at {rate} samples a second are nothing that can be heard")
    return kind, channels, rate, bits


def _sound(data: bytes, kind: int, channels: int, rate: int, bits: int) -> Sound:
    size = bits // 8
    if bits % 8 or not size:
        raise ConfigError(f"this WAV file has {bits} bits per sample")
    samples = _samples(data[: len(data) // (size * channels) * size * channels], kind, bits)
    return Sound(rate, tuple(samples[channel::channels].tobytes() for channel in range(channels)))


def _samples(data: bytes, kind: int, bits: int) -> Any:
    np: Any = load_numpy()
    sixteen: Any = np.dtype("<i2")
    match kind, bits:
        case (1, 8):
            return ((np.frombuffer(data, np.uint8).astype(np.int16) - 128) << 8).astype(sixteen)
        case (1, 16):
            return np.frombuffer(data, sixteen)
        case (1, 24):
            upper = np.frombuffer(data, np.uint8).reshape(-1, 3)[:, 1:]
            return np.ascontiguousarray(upper).view(sixteen)[:, 0]
        case (1, 32):
            return (np.frombuffer(data, np.dtype("<i4")) >> 16).astype(sixteen)
        case (3, 32 | 64):
            floats = np.nan_to_num(np.frombuffer(data, np.dtype(f"<f{bits // 8}")).astype(np.float64))
            return np.rint(np.clip(floats, -1.0, 1.0) * 32767).astype(sixteen)
        case (6, 8):
            return np.frombuffer(alaw.decode(data), sixteen)
        case (7, 8):
            return np.frombuffer(ulaw.decode(data), sixteen)
        case _:
            raise ConfigError(f"WAV files of format {kind} with {bits} bits per sample are not read here")
