"""Handing events to the application without waiting for it.

Both ways out are bounded: an application that falls behind loses events, which is logged, and never holds up the
conversation that they come from.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from antiphon.protocol.events import ServerEvent

from . import threads

logger = logging.getLogger(__name__)

WAITING_CALLS = 1024
"Calls that may wait, in both shells."
_WAITING_EVENTS = 1024
_UNCLAIMED_EVENTS = 64


class Callbacks:
    """Calls the application's functions, one after another, in the order of `put`.

    Async functions run on the loop, plain ones in a thread. What one raises is logged, given to what `on_error` finds,
    and ends nothing.
    """

    def __init__(self, on_error: Callable[[], Callable[..., Any] | None] = lambda: None) -> None:
        self._on_error = on_error
        self._waiting: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._changed = asyncio.Event()
        self._closed = False
        self._behind = False

    def put(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Has `function` called soon; when too many calls are waiting already, not at all."""
        if len(self._waiting) >= WAITING_CALLS:
            if not self._behind:
                logger.error("callbacks are too slow: events are lost to them")
            self._behind = True
            return
        self._behind = False
        self._waiting.append((function, arguments))
        self._changed.set()

    def close(self) -> None:
        """Makes `run` return once everything put so far is done."""
        self._closed = True
        self._changed.set()

    async def run(self) -> None:
        """Makes the calls until `close`."""
        while self._waiting or not self._closed:
            if not self._waiting:
                self._changed.clear()
                await self._changed.wait()
                continue
            function, arguments = self._waiting.popleft()
            error = await call(function, *arguments)
            on_error = self._on_error() if error is not None else None
            if on_error is not None:
                await call(on_error, error)


async def call(function: Callable[..., Any], *arguments: Any) -> Exception | None:
    """Calls one function of the application; what it raises is logged and returned."""
    try:
        if threads.is_async(function):
            await function(*arguments)
            return None
        result = await threads.in_thread(function, *arguments)
        if inspect.isawaitable(result):  # such as `lambda text: conversation.end_session()`
            await result
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        logger.exception("a callback was cancelled")  # by itself: something that it awaited was
    except Exception as error:
        logger.exception("a callback failed")
        return error
    return None


class Backlog:
    """Events that nobody has taken yet: the newest 64 until a loop over them has begun, then the newest 1024."""

    def __init__(self) -> None:
        self.waiting: deque[ServerEvent] = deque()
        self.claimed = False
        "A loop over them has begun."
        self._behind = False

    def add(self, event: ServerEvent) -> None:
        """Add an event; the oldest may be lost for it, which is logged once for each time that a loop falls behind."""
        self.waiting.append(event)
        if len(self.waiting) > (_WAITING_EVENTS if self.claimed else _UNCLAIMED_EVENTS):
            self.waiting.popleft()
            if self.claimed and not self._behind:
                logger.error("the loop over a conversation's events is too slow: the oldest events are lost")
            self._behind = self.claimed
        else:
            self._behind = False


class EventStream:
    """The events of one conversation as an async iterator, which ends when the conversation has.

    Nothing is lost between the start and the first `async for`, as long as that comes within some 64 events; a loop
    that falls behind by 1024 loses the oldest.
    """

    def __init__(self) -> None:
        self._backlog = Backlog()
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, event: ServerEvent) -> None:
        """Adds an event."""
        self._backlog.add(event)
        if self._backlog.claimed:  # else nobody waits
            self._changed.set()

    def close(self) -> None:
        """Ends the iteration after what is waiting."""
        self._closed = True
        self._changed.set()

    def __aiter__(self) -> EventStream:
        self._backlog.claimed = True
        return self

    async def __anext__(self) -> ServerEvent:
        while not self._backlog.waiting:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._backlog.waiting.popleft()
