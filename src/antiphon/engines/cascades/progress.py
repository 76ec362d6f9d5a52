"""An engine's stream, read with a limit on every wait: one that stalls ends in an error, never in silence for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from antiphon.engines.base import closing
from antiphon.errors import EngineError

logger = logging.getLogger(__name__)

T = TypeVar("T")

GRACE = 0.25
"Seconds that an engine may take to stop once its stream is closed. One that clings longer is left behind."

COOL_DOWN = 30.0
"Seconds for which an engine that failed is asked last, so that every turn does not wait for it again."

_clinging: set[asyncio.Task[None]] = set()
"Tasks of engines that do not obey closing, kept so that they are not collected while they run."


class Progress(Generic[T]):
    """The items of one stream, each awaited under a limit of its own."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._items: asyncio.Queue[T | EngineError | None] = asyncio.Queue(maxsize=1)
        self.left = False
        "Nobody reads any more."

    async def next(self, limit: float) -> T | None:
        """The next item, None at the end.

        Raises:
            EngineError: the engine's own failure, or nothing came within `limit` seconds.
        """
        return await self.until(limit)()

    def until(self, limit: float) -> Callable[[], Awaitable[T | None]]:
        """As `next`, for several items that together must come within `limit` seconds from now."""
        deadline = asyncio.get_running_loop().time() + limit

        async def take() -> T | None:
            try:
                async with asyncio.timeout_at(deadline):
                    return await self.wait()
            except TimeoutError as error:
                raise EngineError(self._engine, f"no progress within {limit:g} s", retryable=True) from error

        return take

    async def wait(self) -> T | None:
        """As `next`, however long it takes: for a stream that is silent by right."""
        item = await self._items.get()
        if isinstance(item, EngineError):
            raise item
        return item

    async def pump(self, stream: AsyncIterator[T]) -> None:
        """Read the stream to its end, at most one item ahead of who takes them."""
        end: EngineError | None = None
        try:
            async with closing(stream):
                async for item in stream:
                    if self.left:
                        return
                    await self._items.put(item)
        except EngineError as error:
            end = error
        except Exception as error:  # a door: the fault of a stranger's engine must not end the conversation
            logger.exception("an engine has a fault", extra={"engine": self._engine})
            end = EngineError(self._engine, f"has a fault: {error!r}")
        if not self.left:
            await self._items.put(end)


@asynccontextmanager
async def progress(engine: str, stream: AsyncIterator[T]) -> AsyncGenerator[Progress[T]]:
    """Read a stream in a task of its own, which ends with this block; an engine that clings is given `GRACE`."""
    items: Progress[T] = Progress(engine)
    # No TaskGroup: it would wait for ever for an engine that swallows its cancellation.
    task = asyncio.get_running_loop().create_task(items.pump(stream))
    try:
        yield items
    finally:
        items.left = True
        task.cancel()
        _clinging.add(task)
        task.add_done_callback(_let_go)
        await asyncio.wait({task}, timeout=GRACE)
        if not task.done():
            logger.warning("an engine does not obey closing and is left behind", extra={"engine": engine})


def _let_go(task: asyncio.Task[None]) -> None:
    _clinging.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("an engine failed after its stream was closed: %r", error)


class Order:
    """Whom to ask first: those that work, in the configured order, then those that failed a short while ago."""

    def __init__(self, names: Sequence[str], cool_down: float = COOL_DOWN) -> None:
        self._names = names
        self._cool_down = cool_down
        self._cold_until = [0.0] * len(names)

    def now(self) -> list[int]:
        """Every engine's index, once."""
        now = asyncio.get_running_loop().time()
        return sorted(range(len(self._names)), key=lambda index: (self._cold_until[index] > now, index))

    def failed(self, index: int, error: EngineError) -> None:
        """This engine is asked last for a while."""
        self._cold_until[index] = asyncio.get_running_loop().time() + self._cool_down
        logger.warning("an engine failed: %s", error, extra={"engine": self._names[index]})

    def works(self, index: int) -> None:
        """This engine answered."""
        self._cold_until[index] = 0.0
