"""Running a plain function beside the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns, run in a thread of its own with the caller's context variables.

    Unlike asyncio.to_thread, a function that never returns holds up neither other calls nor the end of the program:
    what runs here is the application's. Cancelling stops the waiting, not the function.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if isinstance(error, StopIteration):  # a future cannot hold one
            error = RuntimeError(f"StopIteration: {error}")
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)

    def work() -> None:
        result, error = None, None
        try:
            result = context.run(function, *arguments)
        except BaseException as raised:  # noqa: BLE001 - raised again where it is awaited
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name=f"antiphon-{_name(function)}", daemon=True).start()
    return await done


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling `function` makes a coroutine, as far as can be told without calling it."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)
