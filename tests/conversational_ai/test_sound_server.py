"""The default audio interfaces on a real sound server.

How fast they are is for benchmarks/audio_devices.py; what takes as long as a reply lasts is told apart here from what
does not, on a busy machine too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks.audio_devices import REPLY_SECONDS, TONE, measure
from benchmarks.sound_server import SoundServer

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON = 1000 * REPLY_SECONDS / 2
"Milliseconds. What waits for the reply takes longer: it is cut off 0.5 s after it began, or earlier."

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
    """Nothing but a block that was on its way is written after it; the loudspeaker falls silent."""
    figures = measure(server, "interrupt", 3)
    assert max(figures["blocks_after"]) <= 1
    assert max(figures["heard"]) < SOON


def test_stop_is_prompt(server: SoundServer) -> None:
    """It does not wait for the reply to be played, wherever it is called."""
    figures = measure(server, "stop", 2)
    assert max(figures["outside"]) < SOON
    assert max(figures["inside"]) < SOON
    assert len(figures["inside"]) == 2


def test_the_loop_goes_on_while_the_agent_speaks(server: SoundServer) -> None:
    """The original's stands still for as long as a chunk lasts, and its microphone sends nothing."""
    figures = measure(server, "loop")
    assert figures["stall"] < SOON
    assert figures["returned"] < SOON
    assert REPLY_SECONDS - 0.1 < figures["played"] < 2 * REPLY_SECONDS
    assert figures["pieces"] > 100
    assert figures["after_stop"] == 0
    assert figures["heard"] < SOON
    assert figures["stopped"] < SOON
