"""What lies between a conversation and PortAudio's callback."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import threading

import pytest

from antiphon.client.devices import loudspeaker as loudspeaker_module
from antiphon.client.devices.echo_cancellation import EchoCanceller, load_processor
from antiphon.client.devices.loudspeaker import Loudspeaker
from antiphon.client.devices.microphone import MOST_PIECES, Microphone
from antiphon.errors import ConfigError


def test_blocks_are_cut_from_what_waits() -> None:
    """Whatever the pieces, a block has the length that was asked for, and silence fills the last one."""
    speaker = Loudspeaker()
    for piece in (b"abc", b"", b"defgh", b"i"):
        speaker.output(piece)
    assert [speaker.block(4) for _ in range(4)] == [b"abcd", b"efgh", b"i\0\0\0", bytes(4)]


def test_after_an_interruption_the_next_block_is_silent() -> None:
    """Even the rest of the piece that was playing."""
    speaker = Loudspeaker()
    speaker.output(b"a" * 96_000)
    speaker.block(640)
    speaker.interrupt()
    assert speaker.block(640) == bytes(640)
    speaker.output(b"b" * 640)
    assert speaker.block(640) == b"b" * 640


def test_a_loudspeaker_does_not_keep_everything(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What exceeds its bound is lost, with an error; what is played makes room."""
    monkeypatch.setattr(loudspeaker_module, "MOST_BYTES", 8)
    speaker = Loudspeaker()
    speaker.output(b"a" * 8)
    speaker.output(b"b")
    assert "are lost" in caplog.text
    assert speaker.block(4) == b"aaaa"
    speaker.output(b"cccc")
    assert speaker.block(8) == b"aaaacccc"


def test_what_a_slow_application_does_not_take_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """The oldest is lost, the order is kept, and PortAudio's thread never waits."""
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()
    heard: list[bytes] = []

    def hear(audio: bytes) -> None:
        heard.append(audio)
        begun.set()
        go_on.wait(10)
        if audio == b"last":
            done.set()

    microphone = Microphone(hear)
    microphone.put(b"first")
    assert begun.wait(10)
    for number in range(MOST_PIECES + 10):
        microphone.put(b"%d" % number)
    microphone.put(b"last")
    go_on.set()
    assert done.wait(10)
    microphone.close()
    assert heard == [b"first", *(b"%d" % number for number in range(11, MOST_PIECES + 10)), b"last"]
    assert "11 pieces were lost" in caplog.text


def test_an_application_that_raises_goes_on_hearing(caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged."""
    second = threading.Event()

    def hear(audio: bytes) -> None:
        if audio == b"1":
            raise KeyError("mine")
        second.set()

    microphone = Microphone(hear)
    microphone.put(b"1")
    microphone.put(b"2")
    assert second.wait(10)
    microphone.close()
    assert "mine" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_nothing_is_heard_after_the_close() -> None:
    """Not even what was put before; and the callback itself may close."""
    heard: list[bytes] = []
    closed = threading.Event()

    def hear(audio: bytes) -> None:
        heard.append(audio)
        microphone.put(b"2")
        microphone.close()
        closed.set()

    microphone = Microphone(hear)
    microphone.put(b"1")
    assert closed.wait(10)
    microphone.close()
    microphone.put(b"3")
    assert heard == [b"1"]


def test_the_import_loads_no_sound() -> None:
    """Neither numpy nor a binding of PortAudio, until an interface is made."""
    code = "import sys; import antiphon.conversational_ai.default_audio_interface; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"numpy", "sounddevice", "pyaudio", "pydantic", "typer", "pywebrtc_audio"} & set(loaded)


# ------------------------------------------------------------------------------------------------ echo cancellation


def loudness(audio: bytes) -> float:
    """In dB of mean power."""
    import numpy as np

    return 10 * math.log10(float(np.mean(np.frombuffer(audio, "<i2").astype(float) ** 2)) + 1e-9)


def speech(seconds: float, seed: int) -> bytes:
    """Noise in syllables, s16le at 16 kHz."""
    import numpy as np

    count = round(16_000 * seconds)
    noise = np.convolve(np.random.default_rng(seed).standard_normal(count), [1, 0.9, 0.6, 0.3, 0.1], "same")
    syllables = np.sin(2 * np.pi * (2 + seed) * np.arange(count) / 16_000) > 0
    return (noise / np.abs(noise).max() * 12_000 * syllables).astype("<i2").tobytes()


def in_a_room(audio: bytes) -> bytes:
    """What a microphone hears of it: 40 ms late, half as loud, with two reflections and a little noise."""
    import numpy as np

    answer = np.zeros(1600)
    answer[[640, 700, 900]] = 0.5, -0.2, 0.1
    samples = np.frombuffer(audio, "<i2").astype(float)
    echo = np.convolve(samples, answer)[: len(samples)] + np.random.default_rng(9).standard_normal(len(samples)) * 5
    return echo.astype("<i2").tobytes()


def cancelled(canceller: EchoCanceller, far: bytes, near: bytes) -> bytes:
    """As both devices bring it, 20 ms at a time."""
    cleaned = bytearray()
    for at in range(0, len(near), 640):
        canceller.played(far[at : at + 640])
        cleaned += canceller.hear(near[at : at + 640])
    return bytes(cleaned)


@pytest.mark.component("aec")
def test_the_agents_own_voice_is_taken_out() -> None:
    """At least 15 dB of it (echo return loss enhancement), in every second from the second one on."""
    far = speech(6, 1)
    near = in_a_room(far)
    cleaned = cancelled(EchoCanceller(16_000, 16_000), far, near)
    assert len(cleaned) == len(near)
    for second in range(1, 6):
        part = slice(second * 32_000, (second + 1) * 32_000)
        assert loudness(near[part]) - loudness(cleaned[part]) > 15


@pytest.mark.component("aec")
def test_the_callers_voice_is_left_in() -> None:
    """Within 3 dB, while the agent is silent."""
    far = speech(3, 1) + bytes(64_000)
    near = in_a_room(far)[:96_000] + speech(2, 2)
    cleaned = cancelled(EchoCanceller(16_000, 16_000), far, near)
    assert abs(loudness(near[-48_000:]) - loudness(cleaned[-48_000:])) < 3


@pytest.mark.component("aec")
def test_devices_of_other_rates_are_cancelled_too() -> None:
    """A microphone at 44.1 kHz is heard at 48 kHz, in whole frames of 10 ms."""
    canceller = EchoCanceller(44_100, 24_000)
    assert canceller.rate == 48_000
    canceller.played(bytes(960))
    heard = canceller.hear(bytes(882 * 2))
    assert len(heard) % 960 == 0
    assert heard


def test_without_its_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a ConfigError, when the interface is made."""
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with pytest.raises(ConfigError, match=r"pip install 'antiphon\[aec\]'"):
        load_processor()
