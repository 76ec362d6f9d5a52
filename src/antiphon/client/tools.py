"""The client's own tools: functions of the application that the agent may call."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar, overload

from antiphon.protocol.events import ClientToolCall, ClientToolResult

from . import threads

Handler: TypeAlias = Callable[[dict[str, Any]], Any]
H = TypeVar("H", bound=Handler)


class ClientTools:
    """Tools by name. One object may serve any number of conversations, one after another or at once.

    `loop`: where async handlers run; by default on the loop of the conversation that calls them. Plain handlers run in
    `thread_pool`, with the context variables of the conversation's task.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.tools: dict[str, tuple[Handler, bool]] = {}
        "Name -> handler and whether it is async."
        self.lock = threading.Lock()
        self.thread_pool = ThreadPoolExecutor(thread_name_prefix="antiphon-tool")
        self._custom_loop = loop

    def register(self, name: str, handler: Handler, is_async: bool | None = None) -> None:
        """Adds a tool. `handler` is given one dict: the parameters and, beside them, `tool_call_id`.

        `is_async`: by default found out from the handler.

        Raises:
            ValueError: the handler cannot be called, or there is a tool of that name already.
        """
        if not callable(handler):
            raise ValueError("Handler must be callable")
        with self.lock:
            if name in self.tools:
                raise ValueError(f"Tool '{name}' is already registered")
            self.tools[name] = (handler, threads.is_async(handler) if is_async is None else is_async)

    @overload
    def tool(self, handler: H, /) -> H: ...
    @overload
    def tool(self, name: str | None = None, /) -> Callable[[H], H]: ...
    def tool(self, handler_or_name: Any = None, /) -> Any:
        """Registers the decorated function: `@tools.tool` under its own name, `@tools.tool("name")` under that one."""
        if callable(handler_or_name):
            return self.tool(None)(handler_or_name)

        def registered(handler: H) -> H:
            self.register(handler_or_name or handler.__name__, handler)
            return handler

        return registered

    async def handle(self, tool_name: str, parameters: dict[str, Any]) -> Any:
        """What the tool returns.

        Raises:
            ValueError: there is no tool of that name.
            Exception: whatever the tool raises.
        """
        with self.lock:
            if tool_name not in self.tools:
                raise ValueError(f"Tool '{tool_name}' is not registered")
            handler, runs_on_loop = self.tools[tool_name]
        if runs_on_loop:
            return await self._on_loop(handler, parameters)
        result = await self._in_pool(handler, parameters)
        return await result if inspect.isawaitable(result) else result

    async def run(self, call: ClientToolCall) -> ClientToolResult:
        """The one answer to a call, whatever the tool does: its result as text, or what went wrong.

        A text is passed on as it is, None becomes a sentence, everything else JSON, falsy values too.
        """
        parameters = {"tool_call_id": call.tool_call_id} | call.parameters | {"tool_call_id": call.tool_call_id}
        try:
            text, failed = _text(call.tool_name, await self.handle(call.tool_name, parameters)), False
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            text, failed = "the tool was cancelled", True  # by itself: something that it awaited was
        except Exception as error:  # noqa: BLE001 - the agent is told, which is the application's way to refuse
            text, failed = str(error) or type(error).__name__, True
        return ClientToolResult(tool_call_id=call.tool_call_id, result=text, is_error=failed)

    async def _on_loop(self, handler: Handler, parameters: dict[str, Any]) -> Any:
        if self._custom_loop is None or self._custom_loop is asyncio.get_running_loop():
            return await handler(parameters)
        coroutine: Coroutine[Any, Any, Any] = handler(parameters)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._custom_loop))

    async def _in_pool(self, handler: Handler, parameters: dict[str, Any]) -> Any:
        context = contextvars.copy_context()

        def outcome() -> tuple[Any, Exception | None]:
            try:
                return context.run(handler, parameters), None
            except Exception as error:  # noqa: BLE001 - raised again below: a future cannot hold a StopIteration
                return None, error

        result, error = await asyncio.get_running_loop().run_in_executor(self.thread_pool, outcome)
        if isinstance(error, StopIteration):  # nor can a coroutine raise one
            raise RuntimeError(f"StopIteration: {error}") from error
        if error is not None:
            raise error
        return result


def _text(tool_name: str, result: Any) -> str:
    if result is None:
        return f"Client tool: {tool_name} called successfully."
    if isinstance(result, str):
        return result
    try:
        return json.dumps(result, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"tool {tool_name!r} returned something that is not JSON: {error}") from error
