"""Audio interfaces that are files and memory."""

from __future__ import annotations

import itertools
import math
import struct
import threading
import wave
from pathlib import Path
from typing import Any

import pytest

from antiphon.audio.formats import FORMATS
from antiphon.client import FileAudioInterface, MemoryAudioInterface
from antiphon.client.devices.playback import Playback
from antiphon.errors import ConfigError

SECOND = b"\x01\x02" * 16_000


class Clock:
    """Time that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def playback() -> Playback:
    return Playback(FORMATS["pcm_16000"])


def test_audio_sounds_one_piece_after_another() -> None:
    """A burst of three seconds takes three seconds to be heard."""
    sound = playback()
    for _ in range(3):
        sound.output(SECOND, 10.0)
    assert sound.remaining(10.0) == 3.0
    assert sound.heard(10.0) == b""
    assert len(sound.heard(11.5)) == 48_000
    assert sound.heard(99.0) == SECOND * 3
    assert sound.remaining(13.0) == 0.0


def test_an_interruption_cuts_at_the_sample() -> None:
    """What had not sounded never does, and the next reply begins at once."""
    sound = playback()
    sound.output(SECOND, 10.0)
    sound.output(SECOND, 10.0)
    sound.interrupt(11.25)
    sound.interrupt(11.3)
    assert sound.remaining(11.25) == 0.0
    assert len(sound.heard(99.0)) == 40_000
    sound.output(b"\x07\x07", 11.5)
    assert sound.heard(99.0)[40_000:] == b"\x07\x07"


def test_a_recording_keeps_the_silence() -> None:
    """Sound lies in it at the time at which it was heard."""
    sound = playback()
    sound.output(SECOND, 11.0)
    sound.output(SECOND, 13.0)
    assert sound.recording(10.0) == b"\0" * 32_000 + SECOND + b"\0" * 32_000 + SECOND


def test_silence_of_ulaw_is_not_zero() -> None:
    """A zero byte is the loudest sample that mu-law has."""
    sound = Playback(FORMATS["ulaw_8000"])
    sound.output(b"\x12", 1.0)
    assert sound.recording(0.0) == b"\xff" * 8000 + b"\x12"


def test_memory_knows_what_was_heard_and_when_it_came() -> None:
    """Arrival times and playback by one clock."""
    clock = Clock()
    memory = MemoryAudioInterface(clock=clock)
    memory.start(lambda audio: None)
    memory.output(SECOND)
    clock.now = 100.5
    memory.output(SECOND)
    assert [arrival.at for arrival in memory.arrivals] == [100.0, 100.5]
    assert (len(memory.heard()), memory.remaining()) == (16_000, 1.5)
    memory.interrupt()
    clock.now = 200.0
    assert (len(memory.heard()), memory.remaining(), memory.interruptions) == (16_000, 0.0, [100.5])


def write_wav(path: Path, frames: bytes, *, rate: int = 16_000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(frames)
    return path


def tone(rate: int, seconds: float = 1.0) -> bytes:
    samples = (round(8000 * math.sin(2 * math.pi * 400 * i / rate)) for i in range(round(rate * seconds)))
    return b"".join(struct.pack("<h", sample) for sample in samples)


def crossings(audio: bytes) -> int:
    """Upward crossings of zero: the frequency, for a second of a tone."""
    samples = struct.unpack(f"<{len(audio) // 2}h", audio)
    return sum(a < 0 <= b for a, b in itertools.pairwise(samples))


def dumped(path: Path, **options: Any) -> bytes:
    heard: list[bytes] = []
    device = FileAudioInterface(path, realtime=False, **options)
    device.start(heard.append)
    device.stop()
    assert max(map(len, heard)) <= 8000
    return b"".join(heard)


@pytest.mark.parametrize("name", ["in.wav", "in.WAV", "in.pcm", "in.raw"])
def test_a_dump_sends_exactly_the_file(tmp_path: Path, name: str) -> None:
    """Without a header, without anything before or after; raw files by any other name than .wav."""
    audio = tone(16_000)
    path = tmp_path / name
    if name.lower().endswith(".wav"):
        write_wav(path, audio)
    else:
        path.write_bytes(audio)
    assert dumped(path) == audio


@pytest.mark.parametrize(
    ("rate", "audio_format", "bytes_per_second"), [(44_100, "pcm_16000", 32_000), (16_000, "pcm_24000", 48_000)]
)
def test_other_rates_are_converted(tmp_path: Path, rate: int, audio_format: str, bytes_per_second: int) -> None:
    """The tone of a 44.1 kHz file is the same tone at 16 kHz."""
    audio = dumped(write_wav(tmp_path / "in.wav", tone(rate), rate=rate), audio_format=audio_format)
    assert abs(len(audio) - bytes_per_second) < 200
    assert abs(crossings(audio) - 400) <= 2


def test_ulaw_conversations_get_and_give_ulaw(tmp_path: Path) -> None:
    """One byte per sample on the wire, s16le in the WAV files."""
    clock, out = Clock(), tmp_path / "out.wav"
    device = FileAudioInterface(
        write_wav(tmp_path / "in.wav", tone(8_000), rate=8_000),
        out,
        realtime=False,
        audio_format="ulaw_8000",
        clock=clock,
    )
    heard: list[bytes] = []
    device.start(heard.append)
    audio = b"".join(heard)
    assert abs(len(audio) - 8_000) < 50
    device.output(audio)
    device.stop()
    with wave.open(str(out)) as file:
        assert (file.getframerate(), file.getsampwidth()) == (8_000, 2)
        assert abs(crossings(file.readframes(8_000)) - 400) <= 2


def test_a_file_that_cannot_be_read_is_refused_at_once(tmp_path: Path) -> None:
    """When it is named, not when the conversation starts."""
    with pytest.raises(FileNotFoundError):
        FileAudioInterface(tmp_path / "missing.wav")
    (tmp_path / "text.wav").write_text("not a wave")
    with pytest.raises(ConfigError, match="no PCM WAV file"):
        FileAudioInterface(tmp_path / "text.wav")
    with pytest.raises(ConfigError, match="no audio format"):
        FileAudioInterface(write_wav(tmp_path / "in.wav", b"\0\0"), audio_format="mp3")


def test_in_real_time_silence_follows_the_file(tmp_path: Path) -> None:
    """20 ms pieces, one every 20 ms, until stopped: endpointing needs the silence."""
    audio = tone(16_000, 0.05)
    times: list[float] = []
    heard: list[bytes] = []
    enough = threading.Event()
    device = FileAudioInterface(write_wav(tmp_path / "in.wav", audio))

    def hear(piece: bytes) -> None:
        times.append(device._clock())
        heard.append(piece)
        if len(heard) == 10:
            enough.set()

    device.start(hear)
    assert enough.wait(15)
    device.stop()
    count = len(heard)
    assert {len(piece) for piece in heard} == {640}
    assert b"".join(heard).startswith(audio + b"\0" * 640)
    assert not any(b"".join(heard)[len(audio) :])
    assert times[9] - times[0] > 0.16
    assert not [t for t in threading.enumerate() if t.name == "antiphon-file"]
    assert len(heard) == count


def test_the_output_file_holds_what_was_heard(tmp_path: Path) -> None:
    """Interruptions really cut; silence between; what was still to sound at the end is kept."""
    clock, out = Clock(), tmp_path / "out.wav"
    device = FileAudioInterface(write_wav(tmp_path / "in.wav", b""), out, realtime=False, clock=clock)
    device.start(lambda audio: None)
    device.output(SECOND)
    device.output(SECOND)
    clock.now += 1.5
    device.interrupt()
    clock.now += 0.5
    device.output(SECOND)
    device.stop()
    with wave.open(str(out)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        frames = file.readframes(file.getnframes())
    assert frames == SECOND + SECOND[:16_000] + b"\0" * 16_000 + SECOND


def test_the_output_may_be_raw(tmp_path: Path) -> None:
    """Any other name than .wav."""
    out = tmp_path / "out.pcm"
    device = FileAudioInterface(write_wav(tmp_path / "in.wav", b""), str(out), realtime=False, clock=Clock())
    device.start(lambda audio: None)
    device.output(b"\x01\x02")
    device.stop()
    assert out.read_bytes() == b"\x01\x02"
