"""Between a conversation, which never waits, and a sound device, which may."""

from __future__ import annotations

import asyncio
import logging
import types
from asyncio.tasks import _enter_task as enter_task  # documented for those who run tasks themselves ("Extending")
from asyncio.tasks import _leave_task as leave_task
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Literal, cast

from . import threads
from .audio_interface import AsyncAudioInterface, AudioInterface

logger = logging.getLogger(__name__)

_UNPLAYED_BYTES = 32 * 1024 * 1024
"How much a device may leave untaken; at 16 kHz, 17 minutes of speech that the server sent at once."
_STOP_TIMEOUT = 5.0


def silence(size: int, audio_format: str) -> bytes:
    """What a muted microphone hears: `size` bytes in the format that the server announced, such as `ulaw_8000`."""
    return (b"\xff" if audio_format.startswith("ulaw") else b"\0") * size


def find_set_formats(interface: object) -> Callable[..., Any] | None:
    """The interface's own `set_formats(input_format, output_format)`, which it need not have.

    It is looked for in the class, since a mock has every method.
    """
    return getattr(interface, "set_formats", None) if hasattr(type(interface), "set_formats") else None


@types.coroutine
def _go_on(begun: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Awaits the rest of a coroutine that has been begun, and that waits for `awaited`."""
    try:
        while True:
            try:
                result = yield awaited
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's
                awaited = begun.throw(error)
            else:
                awaited = begun.send(result)
    except StopIteration:
        return
    finally:
        begun.close()


class AudioLink:
    """Gives one audio interface its work in order, and what it hears to the conversation.

    `hear` is called on the loop with each piece of the microphone's audio. A plain AudioInterface runs in threads, an
    AsyncAudioInterface on the loop. Whatever the interface raises after its start is logged.
    """

    def __init__(self, interface: AudioInterface | AsyncAudioInterface, hear: Callable[[bytes], None]) -> None:
        self._interface = interface
        self._is_async = isinstance(interface, AsyncAudioInterface) or threads.is_async(interface.start)
        self._hear = hear
        self._work: deque[bytes | tuple[str, str] | Literal["interrupt"]] = deque()
        self._unplayed_bytes = 0
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[None] | None = None
        "The one that `run` is awaited in."
        self._idle = False
        "That task waits, and could do something for an async interface."
        self._begun: Awaitable[None] | None = None
        "What was begun in its name and not finished at once."
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="antiphon-audio")

    def output(self, audio: bytes) -> None:
        """Has `audio` played after what is waiting."""
        if self._unplayed_bytes + len(audio) > _UNPLAYED_BYTES:
            logger.error("the audio interface does not take its audio: some is lost")
            return
        if self._idle and not self._work and self._begun is None and asyncio.current_task(self._loop) is None:
            self._begin(audio)
            return
        self._unplayed_bytes += len(audio)
        self._work.append(audio)
        self._changed.set()

    def announce(self, input_format: str, output_format: str) -> None:
        """Tells an interface that wants to know what the server's audio formats are, such as `pcm_16000`."""
        if find_set_formats(self._interface) is not None:
            self._work.append((input_format, output_format))
            self._changed.set()

    def interrupt(self) -> None:
        """Drops what the interface has not taken yet, and has the interface drop the rest."""
        self._work = deque(work for work in self._work if isinstance(work, tuple))
        self._unplayed_bytes = 0
        self._work.append("interrupt")
        self._changed.set()

    async def run(self) -> None:
        """Opens the interface, serves it until cancelled, closes it.

        Raises:
            Exception: whatever its `start` raises; then it is not closed.
        """
        loop = asyncio.get_running_loop()
        started = False
        try:
            await self._start(loop)
            started = True
            self._loop, self._task = loop, asyncio.current_task()
            while True:
                self._idle = self._is_async
                await self._changed.wait()
                self._idle = False
                self._changed.clear()
                if self._begun is not None:
                    begun, self._begun = self._begun, None
                    await begun
                while self._work:
                    await self._do(loop, self._work.popleft())
        except asyncio.CancelledError:
            started = True  # a `start` that was cut short may have opened the device
            raise
        finally:
            if started:
                await self._stop()
            self._thread.shutdown(wait=False)

    def _begin(self, audio: bytes) -> None:
        """Has an async interface play `audio` now, in the name of the task that would do it one turn of the loop later:
        that turn is a good part of the way from the socket to the device. Where the interface waits for something, the
        task goes on with it."""
        playing = self._play(audio)
        task = self._task
        assert task is not None
        enter_task(self._loop, task)
        try:
            awaited = playing.send(None)
        except StopIteration:
            return
        finally:
            leave_task(self._loop, task)
        self._begun = _go_on(playing, awaited)
        self._changed.set()

    async def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        def hear(audio: bytes) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(self._hear, bytes(audio))

        async def hear_async(audio: bytes) -> None:
            if asyncio.get_running_loop() is loop:
                self._hear(bytes(audio))
            else:
                hear(audio)

        if self._is_async:
            await self._call(loop, self._interface.start, hear_async)
        else:
            await threads.in_thread(self._interface.start, hear)

    async def _play(self, audio: bytes) -> None:
        try:
            await cast("Awaitable[None]", self._interface.output(audio))
        except Exception:
            logger.exception("the audio interface failed")

    async def _do(self, loop: asyncio.AbstractEventLoop, work: bytes | tuple[str, str] | Literal["interrupt"]) -> None:
        try:
            if work == "interrupt":
                await self._call(loop, self._interface.interrupt)
            elif isinstance(work, tuple):
                set_formats = find_set_formats(self._interface)
                assert set_formats is not None
                await self._call(loop, set_formats, *work)
            else:
                self._unplayed_bytes -= len(work)
                await self._call(loop, self._interface.output, work)
        except Exception:
            logger.exception("the audio interface failed")

    async def _call(self, loop: asyncio.AbstractEventLoop, method: Callable[..., Any], *arguments: Any) -> None:
        if self._is_async:
            await method(*arguments)
        else:
            await loop.run_in_executor(self._thread, method, *arguments)

    async def _stop(self) -> None:
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                stopping = self._interface.stop() if self._is_async else threads.in_thread(self._interface.stop)
                await cast("Awaitable[None]", stopping)
        except TimeoutError:
            logger.error("the audio interface did not stop within %.0f s", _STOP_TIMEOUT)  # noqa: TRY400
        except Exception:
            logger.exception("the audio interface failed to stop")
