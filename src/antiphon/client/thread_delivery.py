"""Handing events to the application without waiting for it, in threads: what delivery.py is on an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from antiphon.protocol.events import ServerEvent

from .delivery import WAITING_CALLS, Backlog

logger = logging.getLogger(__name__)


class CallbackThread:
    """Calls the application's functions, one after another, in the order of `put`, in a thread of its own.

    The thread begins with the first call. What a function raises goes to `report` and ends nothing.
    """

    def __init__(self, report: Callable[[Exception], None]) -> None:
        self._report = report
        self._context = contextvars.copy_context()
        self._waiting: queue.SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._behind = False

    def put(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Has `function` called soon; when too many calls are waiting already, not at all."""
        if self._waiting.qsize() >= WAITING_CALLS:
            if not self._behind:
                logger.error("callbacks are too slow: events are lost to them")
            self._behind = True
            return
        self._behind = False
        self._waiting.put((function, arguments))
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._context.run, args=(self._run,), name="antiphon-callbacks", daemon=True
            )
            self._thread.start()

    def finish(self, timeout: float) -> bool:
        """Waits until everything put so far is done; False: it is not, after `timeout` seconds."""
        if self._thread is None:
            return True
        self._waiting.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def is_current(self) -> bool:
        """Whether this is asked in a callback."""
        return self._thread is threading.current_thread()

    def _run(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            call(waiting[0], waiting[1], self._report)


def call(function: Callable[..., Any], arguments: tuple[Any, ...], report: Callable[[Exception], None]) -> None:
    """Calls one function of the application, a plain or an async one; what it raises goes to `report`."""
    try:
        result = function(*arguments)
        if inspect.isawaitable(result):
            asyncio.run(_awaited(result))
    except Exception as error:
        logger.exception("a callback failed")
        report(error)


async def _awaited(result: Awaitable[Any]) -> None:
    await result


class EventQueue:
    """The events of one conversation as an iterator, which ends when the conversation has.

    Nothing is lost between the start and the first `for`, as long as that comes within some 64 events; a loop that
    falls behind by 1024 loses the oldest.
    """

    def __init__(self) -> None:
        self._backlog = Backlog()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._closed = False

    def put(self, event: ServerEvent) -> None:
        """Adds an event."""
        with self._lock:
            self._backlog.add(event)
            if self._backlog.claimed:  # else nobody waits
                self._changed.notify()

    def close(self) -> None:
        """Ends the iteration after what is waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[ServerEvent]:
        self._backlog.claimed = True
        return self

    def __next__(self) -> ServerEvent:
        with self._changed:
            while not self._backlog.waiting:
                if self._closed:
                    raise StopIteration
                self._changed.wait()
            return self._backlog.waiting.popleft()
