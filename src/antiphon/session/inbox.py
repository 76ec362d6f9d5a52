"""The one way in: whatever happens to a conversation waits here for its loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue for one reader, who can also be woken by a deadline.

    Unbounded by itself: the session, which alone knows what an item weighs, refuses what is too much. This is the
    busiest wait of the server, and its deadline usually moves away before it comes, so a timer that is set too early is
    left alone: it wakes the reader once for nothing.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add an item and wake the reader. Returns at once."""
        self._items.append(item)
        self._wake()

    async def get(self, deadline: float | None) -> T | None:
        """The next item, or None: the loop's clock has reached `deadline`, or an earlier one that has moved away."""
        if not self._items:
            loop = asyncio.get_running_loop()
            self._arm(loop, deadline)
            self._waiter = loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._items.popleft() if self._items else None

    def close(self) -> None:
        """Drop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._timer_at = None

    def _arm(self, loop: asyncio.AbstractEventLoop, deadline: float | None) -> None:
        if deadline is None or (self._timer_at is not None and self._timer_at <= deadline):
            return
        self.close()
        self._timer, self._timer_at = loop.call_at(deadline, self._ring), deadline

    def _ring(self) -> None:
        self._timer = self._timer_at = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
