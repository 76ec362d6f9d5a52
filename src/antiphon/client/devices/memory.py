"""An audio interface without a device: for tests, and for programs that bring their own sound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from antiphon.audio.formats import parse_format
from antiphon.client.audio_interface import AudioInterface

from .playback import Playback


@dataclass(frozen=True)
class Arrival:
    """A piece of the agent's audio."""

    at: float
    "When it came, in seconds of the interface's clock."
    audio: bytes


class MemoryAudioInterface(AudioInterface):
    """Hears what the program feeds it; keeps what the agent says, and knows how much of it would have been heard.

    `audio_format`: that of the conversation, both ways. `clock`: seconds, never falling.
    """

    def __init__(
        self,
        audio_format: str = "pcm_16000",
        *,
        clock: Callable[[], float] = time.monotonic,  # noqa: TID251 - a device tells real time
    ) -> None:
        self.arrivals: list[Arrival] = []
        "All audio that came, in order, interrupted or not."
        self.interruptions: list[float] = []
        "When the conversation had the playback stopped."
        self.playback = Playback(parse_format(audio_format))
        self._clock = clock
        self._lock = threading.Lock()
        self._input_callback: Callable[[bytes], None] | None = None
        self._waiting: list[bytes] = []
        self._stopped = False

    def feed(self, audio: bytes) -> None:
        """Says `audio`, at once and in one piece; before the start, as soon as it starts; after the end, to nobody.

        Pacing is the caller's business. May be called from any thread.
        """
        with self._lock:
            if self._input_callback is None:
                self._waiting.append(audio)
            elif not self._stopped:
                self._input_callback(audio)

    def heard(self) -> bytes:
        """What a listener has heard of the agent by now, back to back."""
        with self._lock:
            return self.playback.heard(self._clock())

    def remaining(self) -> float:
        """Seconds for which the agent will still be heard if nothing more comes."""
        with self._lock:
            return self.playback.remaining(self._clock())

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        """Called by the conversation."""
        with self._lock:
            self._input_callback, self._stopped = input_callback, False
            for audio in self._waiting:
                input_callback(audio)
            self._waiting.clear()

    def stop(self) -> None:
        """Called by the conversation."""
        with self._lock:
            self._stopped = True

    def output(self, audio: bytes) -> None:
        """Called by the conversation."""
        with self._lock:
            now = self._clock()
            self.arrivals.append(Arrival(now, audio))
            self.playback.output(audio, now)

    def interrupt(self) -> None:
        """Called by the conversation."""
        with self._lock:
            now = self._clock()
            self.interruptions.append(now)
            self.playback.interrupt(now)
