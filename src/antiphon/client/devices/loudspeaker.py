"""What waits to be played, between a conversation and PortAudio's callback."""

from __future__ import annotations

import logging
import threading
from collections import deque

logger = logging.getLogger(__name__)

MOST_BYTES = 32 * 1024 * 1024
"How much may wait: at 16 kHz, 17 minutes of speech that the server sent at once."


class Loudspeaker:
    """A queue of s16le audio that is emptied block by block.

    The lock is held for the few microseconds in which references change hands, never while audio is calculated with:
    PortAudio's thread, which already shares the interpreter's lock, waits no longer for this one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[memoryview] = deque()
        self._bytes = 0

    def output(self, audio: bytes) -> None:
        """Plays `audio` after what is waiting. What exceeds the bound is lost, with an error in the log."""
        with self._lock:
            fits = self._bytes + len(audio) <= MOST_BYTES
            if fits and audio:
                self._waiting.append(memoryview(audio))
                self._bytes += len(audio)
        if not fits:
            logger.error("more than %d bytes wait to be played: some are lost", MOST_BYTES)

    def interrupt(self) -> None:
        """Forgets what is waiting: the next block is silent."""
        with self._lock:
            self._waiting.clear()
            self._bytes = 0

    def block(self, size: int) -> bytes:
        """The next `size` bytes to be played, silence where nothing is waiting."""
        if not self._waiting:
            return bytes(size)
        pieces: list[memoryview] = []
        missing = size
        with self._lock:
            while missing and self._waiting:
                piece = self._waiting.popleft()
                if len(piece) > missing:
                    self._waiting.appendleft(piece[missing:])
                    piece = piece[:missing]
                pieces.append(piece)
                missing -= len(piece)
            self._bytes -= size - missing
        return b"".join(pieces) + bytes(missing)
