"""Virtual time: an event loop whose clock jumps to the next timer instead of sleeping.

A minute of conversation takes milliseconds and happens the same way every time. Time stands still while work is under
way outside the loop, or every timeout would fire at once: threads (`run_in_executor`) are counted, and while a file
descriptor other than the loop's own is watched (a socket, a worker process) time runs as the wall clock does.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

THREAD_POLL = 0.01
"Seconds of real time between two looks at threads under way."


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting, it moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.own = 0
        "How many file descriptors belong to the loop itself."
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; with nothing to wait for outside, the clock has moved by `timeout`."""
        foreign = len(self.get_map()) > self.own
        if not foreign and not self.threads:
            if timeout is None:
                raise RuntimeError("deadlock: every task waits, no timer is set and nothing is under way outside")
            if timeout > 0:
                self.now += timeout
            return []
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if self.threads:
            return super().select(THREAD_POLL)
        ready = super().select(timeout)
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`loop.time()` starts at 0.0 and moves only when every task waits."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._jumping.own = len(self._jumping.get_map())

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._jumping.now

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
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
