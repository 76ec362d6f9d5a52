"""A conversation's recording on its way to the disk, as MP3: the caller left, the agent right."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from typing import Any

from antiphon.record.recording import Recording

RATE = 16_000
"Samples a second: what the engines hear and, mostly, speak."
BIT_RATE = 64
"Kilobits a second: 480 kB a minute. Speech at 16 kHz gains nothing by more."
QUALITY = 7
"LAME's scale from 0, the best, to 9: this takes half the time that its default does (4 ms a second of sound)."
SETTLING = 5.0
"""Seconds that sound is kept before it is encoded: the caller's may have been held up on its way, and the agent's be
thrown away."""
STEP_BACK = 10
"By how much the encoders' thread is less urgent than the conversations', on the scale of `nice`: it gets a tenth."


def _step_back() -> None:
    """Makes the thread that calls this a less urgent one."""
    if sys.platform == "linux":  # elsewhere urgency is the whole process's
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + STEP_BACK)


ENCODING = ThreadPoolExecutor(1, "antiphon-recorder", _step_back)
"""Where sound is encoded. Half a second of fifty conversations takes 0.1 s of a processor: where there is only one,
what the agents say would be as late as that. LAME runs without the interpreter's lock, so that nobody waits for it."""


class Recorder:
    """Hand `recording` to the session; `take` on the event loop and `encode` in ENCODING, in turns.

    `clock` has the session's time base; the conversation begins now.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.recording = Recording(RATE)
        self._clock = clock
        self._began = clock()
        self._encoder = _encoder()

    def take(self) -> bytes:
        """The sound that nothing changes any more."""
        return self.recording.take(self._clock() - self._began - SETTLING)

    def take_rest(self) -> bytes:
        """All that is left: the conversation is over."""
        return self.recording.take(self.recording.seconds)

    def encode(self, sound: bytes) -> bytes:
        """MP3 of what was taken. It may be empty: frames are whole. Blocks."""
        return bytes(self._encoder.encode(sound)) if sound else b""

    def finish(self, sound: bytes) -> bytes:
        """MP3 of the rest, to the last sample; empty if there has been no sound at all. Blocks."""
        return self.encode(sound) + bytes(self._encoder.flush()) if self.recording.seconds else b""


def _encoder() -> Any:
    encoder = import_module("lameenc").Encoder()  # by its name: it has no types
    encoder.silence()
    encoder.set_channels(2)
    encoder.set_in_sample_rate(RATE)
    encoder.set_bit_rate(BIT_RATE)
    encoder.set_quality(QUALITY)
    return encoder
