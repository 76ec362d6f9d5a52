"""A microphone that is never switched off: a piece of sound every 20 ms, of speech where there is some."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from websockets.exceptions import ConnectionClosed

from .audio_chunk import SAMPLE_RATE

INTERVAL = 0.02
"Seconds of sound in a piece, and from one to the next."
FRAME_BYTES = round(SAMPLE_RATE * INTERVAL) * 2
_SILENCE = bytes(FRAME_BYTES)

_log = logging.getLogger(__name__)


class Microphone:
    """Hands `send` what the user says, piece by piece in real time, and silence after it until it is paused.

    Langwatch-scenario 1.6.0 listens like this: servers find the end of a turn in the silence that follows it. While
    the agent has the word, nothing is sent, so that nobody seems to be on the line saying nothing.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self.paused = False
        "Whether no silence is sent. Speech is sent anyhow."
        self._send = send
        self._frames: deque[bytes] = deque()  # as long as what the script says
        self._task: asyncio.Task[None] | None = None

    def say(self, audio: bytes) -> None:
        """Queue speech; its last piece is filled up with silence."""
        for start in range(0, len(audio), FRAME_BYTES):
            self._frames.append(audio[start : start + FRAME_BYTES].ljust(FRAME_BYTES, b"\0"))

    def start(self) -> None:
        """Begin to send. Nothing happens where it has begun."""
        if self._task is None or self._task.done():
            # No TaskGroup can hold it: it outlives the call that connects.
            self._task = asyncio.create_task(self._run(), name="antiphon-scenario-microphone")  # noqa: TID251

    async def stop(self) -> None:
        """Stop sending; what is queued is forgotten."""
        task, self._task = self._task, None
        self._frames.clear()
        self.paused = False
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("the microphone failed", exc_info=error)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            # From the time at which the last one was due, so that no delay adds up; a stalled loop is not made up for.
            due = max(due + INTERVAL, loop.time())
            await asyncio.sleep(due - loop.time())
            if self._frames:
                frame = self._frames.popleft()
            elif self.paused:
                continue
            else:
                frame = _SILENCE
            try:
                await self._send(frame)
            except (ConnectionClosed, OSError):
                return  # the socket is gone, and recv_audio says so
