"""The default audio interfaces on a real sound server. Bounds are generous; benchmarks/audio_devices.py has figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks.audio_devices import TONE, measure
from benchmarks.sound_server import SoundServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.component("sounddevice"), pytest.mark.component("pulseaudio")]


@pytest.fixture(scope="module")
def server() -> Iterator[SoundServer]:
    with SoundServer() as running:
        yield running


def test_a_tone_is_heard_at_its_pitch(server: SoundServer) -> None:
    """In every format that the server may announce."""
    pitches = measure(server, "play")["pitches"]
    assert pitches == {name: pytest.approx(TONE, abs=5) for name in pitches}
    assert len(pitches) == 4


def test_the_microphone_arrives(server: SoundServer) -> None:
    """In pieces of 20 ms, and not after the stop."""
    figures = measure(server, "record")
    assert figures == {"pitch": pytest.approx(TONE, abs=5), "piece_bytes": [640], "after_stop": 0}


def test_an_interruption_is_heard(server: SoundServer) -> None:
    """At once in what is written; at the loudspeaker when the sound system's buffers are empty."""
    figures = measure(server, "interrupt", 3)
    assert max(figures["written"]) <= 60
    assert min(figures["heard"]) <= 130
    assert max(figures["heard"]) <= 300


def test_stop_is_prompt(server: SoundServer) -> None:
    """It does not wait for the reply to be played, wherever it is called."""
    figures = measure(server, "stop", 2)
    assert max(figures["outside"]) < 500
    assert max(figures["inside"]) < 500
    assert len(figures["inside"]) == 2


def test_the_loop_goes_on_while_the_agent_speaks(server: SoundServer) -> None:
    """The original's stands still for as long as a chunk lasts, and its microphone sends nothing."""
    figures = measure(server, "loop")
    assert figures["stall"] <= 100
    assert figures["returned"] <= 100
    assert figures["played"] == pytest.approx(3, abs=0.5)
    assert figures["pieces"] > 100
    assert figures["after_stop"] == 0
    assert figures["heard"] <= 300
    assert figures["stopped"] <= 500
