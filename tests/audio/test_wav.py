"""WAV files in and out."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import pytest

from antiphon.audio.wav import StereoRecording, read_wav, write_wav
from antiphon.errors import ConfigError


def pcm(*samples: int) -> bytes:
    return struct.pack(f"<{len(samples)}h", *samples)


def save(path: Path, channels: int, width: int, frames: bytes) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(22_050)
        file.writeframes(frames)
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Mono, byte for byte, with its rate."""
    write_wav(tmp_path / "a.wav", 24_000, pcm(1, -2, 32_767, -32_768))
    assert read_wav(tmp_path / "a.wav") == (24_000, pcm(1, -2, 32_767, -32_768))


@pytest.mark.parametrize(
    ("channels", "frames", "mono"),
    [(2, pcm(100, 200, -32_768, -32_768, 32_767, 32_767), pcm(150, -32_768, 32_767)), (3, pcm(3, 6, 9), pcm(6))],
)
def test_channels_are_averaged(tmp_path: Path, channels: int, frames: bytes, mono: bytes) -> None:
    """Two full-scale channels do not overflow."""
    assert read_wav(save(tmp_path / "a.wav", channels, 2, frames)) == (22_050, mono)


@pytest.mark.parametrize(("width", "bits"), [(1, "8 bits"), (3, "24 bits"), (4, "32 bits")])
def test_other_sample_sizes_are_refused_with_a_way_out(tmp_path: Path, width: int, bits: str) -> None:
    """The error names the file, its sample size and a command that converts it."""
    with pytest.raises(ConfigError, match=bits) as refusal:
        read_wav(save(tmp_path / "a.wav", 1, width, bytes(12 * width)))
    assert str(tmp_path / "a.wav") in str(refusal.value)
    assert "-b 16" in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"ID3\x04 not a wav file at all, but an mp3 of sixty bytes or so.."])
def test_what_is_no_wav_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """A ConfigError with the path, not wave.Error or EOFError."""
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.wav"):
        read_wav(tmp_path / "a.wav")


def test_a_file_cut_short_gives_the_samples_that_are_there(tmp_path: Path) -> None:
    """A recorder that was killed leaves half a sample at the end."""
    path = save(tmp_path / "a.wav", 2, 2, pcm(1, 3, 5, 7))
    path.write_bytes(path.read_bytes()[:-1])
    assert read_wav(path) == (22_050, pcm(2))


def stereo(path: Path) -> list[tuple[int, int]]:
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 1_000)
        samples = struct.unpack(f"<{2 * file.getnframes()}h", file.readframes(file.getnframes()))
    return list(zip(samples[::2], samples[1::2], strict=True))


def test_a_recording_places_sound_at_its_time(tmp_path: Path) -> None:
    """Left and right each at their own time, silence where nothing was said, both tracks of one length."""
    recording = StereoRecording(1_000)
    recording.write_left(0.002, pcm(1, 2))
    recording.write_right(0.003, pcm(7, 8, 9))
    recording.save(tmp_path / "a.wav")
    assert stereo(tmp_path / "a.wav") == [(0, 0), (0, 0), (1, 0), (2, 7), (0, 8), (0, 9)]
    assert recording.seconds == 0.006


def test_sound_that_comes_too_early_is_put_after_what_is_there(tmp_path: Path) -> None:
    """Nothing is mixed, overwritten or lost: audio that ran ahead plays back to back, as a player would."""
    recording = StereoRecording(1_000)
    recording.write_left(0.0, pcm(1, 2, 3))
    recording.write_left(0.001, pcm(4, 5))
    recording.write_left(0.007, pcm(6))
    recording.save(tmp_path / "a.wav")
    assert [left for left, _ in stereo(tmp_path / "a.wav")] == [1, 2, 3, 4, 5, 0, 0, 6]


def test_a_recording_of_nothing_is_an_empty_file(tmp_path: Path) -> None:
    """Saved all the same, and readable."""
    StereoRecording(1_000).save(tmp_path / "a.wav")
    assert stereo(tmp_path / "a.wav") == []
