"""What a client says before its session exists. It is kept, not refused: clients wait for nothing (protocol.md 1.5)."""

from __future__ import annotations

from collections import deque

from antiphon.audio.formats import AudioFormat
from antiphon.protocol.events import ClientEvent, UserAudio

EARLY_AUDIO = 5.0
"Seconds of audio, the newest, that are kept."
EARLY_MESSAGES = 1 << 20
"Size of the other messages that are kept; a client that sends more is read on only once it has a session."
MESSAGE_OVERHEAD = 1000
"What a message weighs in memory besides its text, about."


class EarlyMessages:
    """What a client says before its session exists, in order."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._events: deque[ClientEvent] = deque()
        self._audio = 0
        self._size = 0

    @property
    def full(self) -> bool:
        """Whether to stop reading: audio gives way to newer audio, other messages do not."""
        return self._size >= EARLY_MESSAGES

    def add(self, event: ClientEvent, size: int) -> None:
        """Keep a message of `size` characters."""
        self._events.append(event)
        if isinstance(event, UserAudio):
            self._audio += len(event.audio)
            while self._audio > self._format.bytes_of(EARLY_AUDIO):
                self._drop_oldest_audio()
        else:
            self._size += size + MESSAGE_OVERHEAD

    def _drop_oldest_audio(self) -> None:
        index, oldest = next((i, e) for i, e in enumerate(self._events) if isinstance(e, UserAudio))
        self._audio -= len(oldest.audio)
        del self._events[index]

    def take(self) -> list[ClientEvent]:
        """All of it; nothing is kept afterwards."""
        events, self._events = list(self._events), deque()
        return events
