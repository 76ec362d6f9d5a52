"""Virtual time: an event loop whose clock jumps to the next timer instead of sleeping.

A minute of conversation takes milliseconds and happens the same way every time. Time stands still while work is under
way outside the loop, or every timeout would fire at once: threads (`run_in_executor`) are counted, and while a file
descriptor other than the loop's own is watched (a socket, a worker process) time runs as the wall clock does.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import Any, TypeVar

T = TypeVar("T")

THREAD_POLL = 0.01
"Seconds of real time between two looks at threads under way."


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting, it moves the clock."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        super().__init__()
        self._wall_clock = wall_clock
        self.now = 0.0
        self.threads = 0
        self.watched = 0
        "How many file descriptors are watched..."
        self.own = 0
        "...and how many of them belong to the loop itself."

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As usual, counted."""
        key = super().register(fileobj, events, data)
        self.watched += 1
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As usual, counted."""
        key = super().unregister(fileobj)
        self.watched -= 1
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; with nothing to wait for outside, the clock has moved by `timeout`."""
        if self.watched == self.own and not self.threads:
            if timeout is None:
                raise RuntimeError("deadlock: every task waits, no timer is set and nothing is under way outside")
            if timeout > 0:
                self.now += timeout
            return []
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if self.threads:
            return super().select(THREAD_POLL)
        began = self._wall_clock()
        ready = super().select(timeout)
        waited = self._wall_clock() - began
        self.now += waited if timeout is None or (ready and waited < timeout) else timeout
        return ready


class _Handle(asyncio.Handle):
    """As usual, without a look at the debug mode."""

    __slots__ = ()

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], loop: Any, context: contextvars.Context | None
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class _Timer(asyncio.TimerHandle):
    """The same of a timer."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: Any,
        context: contextvars.Context | None,
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = False  # not in the loop's own heap, which counts those that are cancelled


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`loop.time()` starts at 0.0 and moves only when every task waits.

    What a loop does with its callbacks is written out here once more, shorter: thousands of turns of it make a
    simulated minute, and most of what CPython's does in each (debug mode, system calls) has no use in this one. The
    order in which things happen is the same.
    """

    _ready: deque[asyncio.Handle]
    _clock_resolution: float
    _stopping: bool
    _closed: bool
    _process_events: Callable[[list[Any]], None]

    def __init__(self) -> None:
        self._jumping = _JumpingSelector(super().time)
        super().__init__(self._jumping)
        self._jumping.own = self._jumping.watched
        self._timers: list[tuple[float, _Timer]] = []

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._jumping.now

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """As usual."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As usual."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        timer = _Timer(when, callback, args, self, context)
        heappush(self._timers, (when, timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As usual."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        when = self._jumping.now + delay
        timer = _Timer(when, callback, args, self, context)
        heappush(self._timers, (when, timer))
        return timer

    def _run_once(self) -> None:
        """One turn: what is ready is called; if nothing is, the clock moves to the next timer first."""
        jumping, timers, ready = self._jumping, self._timers, self._ready
        while timers and timers[0][1]._cancelled:  # noqa: SLF001
            heappop(timers)
        if not ready or jumping.threads or jumping.watched != jumping.own:
            idle = not ready and not self._stopping
            until = max(0.0, timers[0][0] - jumping.now) if timers else None
            self._process_events(jumping.select(until if idle else 0.0))
        due = jumping.now + self._clock_resolution
        while timers and timers[0][0] < due:
            ready.append(heappop(timers)[1])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:  # noqa: SLF001
                handle._run()  # noqa: SLF001

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """As usual; time stands still until it is done."""
        self._jumping.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _future: asyncio.Future[Any]) -> None:
        self._jumping.threads -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """As usual; its joining thread is outside work too."""
        self._jumping.threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jumping.threads -= 1


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` under virtual time."""
    results: list[T] = []

    async def keep_result() -> None:
        results.append(await main)

    # A task that held the result would be printed with it by the runner, which asks about signals when all is done: a
    # quarter of a simulated call's time, to be thrown away (CPython: `signal.getsignal` tries its answer as an enum).
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(keep_result())
    return results[0]
