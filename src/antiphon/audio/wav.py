"""WAV files: read one as s16le mono, keep a conversation as a stereo one."""

from __future__ import annotations

import os
import wave
from array import array
from typing import TypeAlias

from antiphon.errors import ConfigError

Path: TypeAlias = str | os.PathLike[str]


def read_wav(path: Path) -> tuple[int, bytes]:
    """The file's rate and its sound as s16le mono; of several channels, their mean.

    Raises:
        ConfigError: it is no WAV file of 16-bit PCM. Other sizes are refused rather than guessed at.
        OSError: it cannot be read.
    """
    try:
        with wave.open(os.fspath(path), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            audio = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ConfigError(f"this is no PCM WAV file: {error}", path=os.fspath(path)) from error
    if width != 2:
        raise ConfigError(
            f"this WAV file has {8 * width} bits per sample, not 16; `sox in.wav -b 16 out.wav` converts it",
            path=os.fspath(path),
        )
    audio = audio[: len(audio) - len(audio) % (2 * channels)]  # of a file that was cut short
    return rate, audio if channels == 1 else _downmix(audio, channels)


def _downmix(audio: bytes, channels: int) -> bytes:
    samples = array("h", audio)
    tracks = [samples[channel::channels] for channel in range(channels)]
    return array("h", (sum(frame) // channels for frame in zip(*tracks, strict=True))).tobytes()


def read_tracks(path: Path) -> tuple[int, bytes, bytes]:
    """A stereo recording's rate and its two tracks, left and right, each s16le mono.

    Raises:
        ConfigError: it is no WAV file of 16-bit stereo PCM.
        OSError: it cannot be read.
    """
    try:
        with wave.open(os.fspath(path), "rb") as file:
            rate, layout = file.getframerate(), (file.getnchannels(), file.getsampwidth())
            audio = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ConfigError(f"this is no PCM WAV file: {error}", path=os.fspath(path)) from error
    if layout != (2, 2):
        raise ConfigError("this is no stereo recording of 16-bit samples", path=os.fspath(path))
    samples = array("h", audio[: len(audio) // 4 * 4])
    return rate, samples[0::2].tobytes(), samples[1::2].tobytes()


def write_wav(path: Path, rate: int, audio: bytes) -> None:
    """Save `audio`, s16le mono at `rate`."""
    _write(path, rate, 1, audio)


class StereoRecording:
    """Two mono tracks side by side, each piece of sound placed at its time. All of it is kept in memory.

    What comes before the end of what its track already holds is put after it: nothing is mixed or overwritten.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._left = bytearray()
        self._right = bytearray()

    def write_left(self, at: float, audio: bytes) -> None:
        """Put s16le mono at `rate` on the left track, `at` seconds from the beginning."""
        self._place(self._left, at, audio)

    def write_right(self, at: float, audio: bytes) -> None:
        """Put s16le mono at `rate` on the right track, `at` seconds from the beginning."""
        self._place(self._right, at, audio)

    def _place(self, track: bytearray, at: float, audio: bytes) -> None:
        track.extend(bytes(max(0, round(at * self.rate) * 2 - len(track))))
        track.extend(audio)

    @property
    def seconds(self) -> float:
        """Length of the longer track."""
        return max(len(self._left), len(self._right)) / (2 * self.rate)

    def save(self, path: Path) -> None:
        """Write what is recorded so far as a stereo WAV file; the shorter track ends in silence."""
        length = max(len(self._left), len(self._right))
        frames = bytearray(2 * length)
        for channel, track in enumerate((self._left, self._right)):
            frames[2 * channel : 2 * len(track) : 4] = track[0::2]
            frames[2 * channel + 1 : 2 * len(track) : 4] = track[1::2]
        _write(path, self.rate, 2, frames)


def _write(path: Path, rate: int, channels: int, frames: bytes | bytearray) -> None:
    with wave.open(os.fspath(path), "wb") as file:
        file.setframerate(rate)
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.writeframes(frames)
