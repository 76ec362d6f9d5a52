"""A task beside a body of code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def alongside(work: Coroutine[Any, Any, None]) -> AsyncGenerator[asyncio.Task[None]]:
    """Run `work` while the body runs; leaving the body cancels it and waits for its end.

    What the body raises comes out as it is. If `work` fails, the body is cancelled and an ExceptionGroup comes out.
    """
    raised: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        try:
            yield task
        except Exception as error:  # noqa: BLE001  raised again below, where the group cannot wrap it
            raised = error
        task.cancel()
    if raised is not None:
        raise raised
