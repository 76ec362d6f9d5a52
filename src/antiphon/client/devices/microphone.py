"""From PortAudio's callback, which may not wait, to an application that may."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

MOST_PIECES = 250
"How much may wait for the application: 5 s in pieces of 20 ms."
_JOIN_TIMEOUT = 0.2


class Microphone:
    """Gives what is put into it to `hear`, in order, on a thread of its own.

    Where `hear` is so slow that more than MOST_PIECES wait, the oldest are lost, with a warning in the log. What it
    raises is logged.
    """

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        # Unbounded by itself, since only a SimpleQueue is free of locks that Python code holds; put() keeps the bound.
        self._waiting: queue.SimpleQueue[bytes | Callable[[], None] | None] = queue.SimpleQueue()
        self._lost = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="antiphon-microphone", daemon=True)
        self._thread.start()

    def put(self, audio: bytes) -> None:
        """Has `hear` called with `audio`. Never waits."""
        if self._closed:
            return
        if self._waiting.qsize() >= MOST_PIECES:
            try:
                self._waiting.get_nowait()
                self._lost += 1
            except queue.Empty:
                pass
        self._waiting.put(audio)

    def call(self, function: Callable[[], None]) -> None:
        """Has `function` called on the thread, after what was put before. Never waits."""
        self._waiting.put(function)

    def close(self) -> None:
        """Ends the thread; `hear` is not called again. May be called from `hear` itself.

        Waits 0.2 s at most for a call of `hear` that has begun.
        """
        self._closed = True
        self._waiting.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_TIMEOUT)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None and not self._closed:
            try:
                if isinstance(item, bytes):
                    self._hear(item)
                else:
                    item()
            except Exception:
                logger.exception("what was heard could not be handed over")
            if self._lost:
                lost, self._lost = self._lost, 0
                logger.warning("the microphone's audio is not taken fast enough: %d pieces were lost", lost)
