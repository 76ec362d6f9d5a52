"""The client's own tools: functions of the application that the agent may call."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar, overload

from antiphon.protocol.events import ClientToolCall, ClientToolResult

from . import threads
from .tool_schema import Signature

logger = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[dict[str, Any]], Any]
F = TypeVar("F", bound=Callable[..., Any])

_STOP_TIMEOUT = 2.0


class ClientTools:
    """Tools by name. One object may serve any number of conversations, one after another or at once.

    `loop`: where async handlers run. By default that is the loop of the AsyncConversation that calls them, or, for the
    sync Conversation, a loop in a thread of this object's own, which there is only while it is needed. Plain handlers
    run in `thread_pool`. Both see the context variables of whoever started the conversation.

    Conversations start and stop it as they need; `start` and `stop` are for those who call `execute_tool` themselves.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.tools: dict[str, tuple[Handler, bool]] = {}
        "Name -> handler and whether it is async."
        self.lock = threading.Lock()
        self.thread_pool = _pool()
        self._custom_loop = loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._running = threading.Event()
        self._starting = threading.RLock()
        self._users = 0
        self._definitions: dict[str, dict[str, Any]] = {}

    # ---------------------------------------------------------------------------------------------- what there is

    def register(self, tool_name: str, handler: Handler, is_async: bool = False) -> None:
        """Adds a tool. `handler` is given one dict: the parameters and, beside them, `tool_call_id`.

        `is_async` need not be said: async functions are recognised.

        Raises:
            ValueError: the handler cannot be called, or there is a tool of that name already.
        """
        if not callable(handler):
            raise ValueError("Handler must be callable")
        with self.lock:
            if tool_name in self.tools:
                raise ValueError(f"Tool '{tool_name}' is already registered")
            self.tools[tool_name] = (handler, is_async or threads.is_async(handler))

    @overload
    def tool(self, handler: F, /) -> F: ...
    @overload
    def tool(self, name: str | None = None, /) -> Callable[[F], F]: ...
    def tool(self, handler_or_name: Any = None, /) -> Any:
        """Registers the decorated function: `@tools.tool` under its own name, `@tools.tool("name")` under that one.

        A function with typed parameters gets them by name, as those types: `def weather(city: str, days: int = 1)`. One
        with a single dict gets that.
        """
        if callable(handler_or_name):
            return self.tool(None)(handler_or_name)

        def registered(handler: F) -> F:
            name: str = handler_or_name or handler.__name__
            signature = Signature(handler)
            definition = signature.definition(name)
            if signature.takes_dict:
                self.register(name, handler)
            else:
                self.register(name, _by_name(handler, signature), threads.is_async(handler))
            self._definitions[name] = definition
            return handler

        return registered

    def definitions(self) -> list[dict[str, Any]]:
        """The decorated tools as an agent's configuration takes them: `conversation_config.agent.prompt.tools`.

        The schema of `parameters` comes from the type hints, descriptions from the docstring (its first paragraph, and
        what it says below `Args:`) or from `Annotated[str, "what it is"]`. `expects_response` is false for a function
        that is declared to return None.
        """
        return list(self._definitions.values())

    # ----------------------------------------------------------------------------------------------------- calling

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
        text, failed = await self._outcome(call.tool_name, parameters)
        return ClientToolResult(tool_call_id=call.tool_call_id, result=text, is_error=failed)

    def execute_tool(
        self, tool_name: str, parameters: dict[str, Any], callback: Callable[[dict[str, Any]], Any]
    ) -> None:
        """Has a tool run and its answer, a `client_tool_result` message, given to `callback`. Returns at once.

        Raises:
            RuntimeError: this object has not been started.
        """
        if not self._running.is_set():
            raise RuntimeError("ClientTools event loop is not running")
        if self._loop is None:
            raise RuntimeError("Event loop is not available")

        async def run() -> None:
            text, failed = await self._outcome(tool_name, parameters)
            answer = {
                "type": "client_tool_result",
                "tool_call_id": parameters.get("tool_call_id"),
                "result": text,
                "is_error": failed,
            }
            try:
                callback(answer)
            except Exception:
                logger.exception("the answer of a tool could not be passed on")

        self._schedule_coroutine(run())

    async def _outcome(self, tool_name: str, parameters: dict[str, Any]) -> tuple[str, bool]:
        try:
            return _text(tool_name, await self.handle(tool_name, parameters)), False
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return "the tool was cancelled", True  # by itself: something that it awaited was
        except Exception as error:  # noqa: BLE001 - the agent is told, which is the application's way to refuse
            return str(error) or type(error).__name__, True

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

    # ------------------------------------------------------------------------------------- outside of an event loop

    def start(self) -> None:
        """Makes `execute_tool` work: with the loop given, or one in a thread of its own. Twice changes nothing."""
        with self._starting:
            if self._running.is_set():
                return
            if self._custom_loop is not None:
                self._loop = self._custom_loop
            else:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run_loop, args=(self._loop,), daemon=True, name="ClientTools-EventLoop"
                )
                self._thread.start()
            self._running.set()

    def stop(self) -> None:
        """Cancels what still runs on its own loop and ends that; a loop that was given is left alone.

        Returns when the thread has ended, unless it is called there. Results of plain tools that still run are lost.
        Afterwards everything can be used anew.
        """
        with self._starting:
            self._running.clear()
            loop, thread, pool = self._loop, self._thread, self.thread_pool
            self._thread, self.thread_pool = None, _pool()
            if self._custom_loop is None:
                self._loop = None
        pool.shutdown(wait=False)
        if loop is not None and thread is not None:
            with suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():
                thread.join(_STOP_TIMEOUT)

    def submit(self, call: ClientToolCall, respond: Callable[[ClientToolResult], Any]) -> Future[None]:
        """Runs a tool for a conversation that has no loop; `respond` gets the one answer, in some other thread."""

        async def run() -> None:
            respond(await self.run(call))

        with self._starting:
            self.start()
            return self._schedule_coroutine(run())

    def attach(self) -> None:
        """A conversation begins that uses these tools."""
        with self._starting:
            self._users += 1

    def detach(self) -> None:
        """It is over; with the last one the threads go."""
        with self._starting:
            self._users -= 1
            if self._users > 0:
                return
            self._users = 0
        self.stop()

    def _schedule_coroutine(self, coro: Coroutine[Any, Any, None]) -> Future[None]:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coro, self._loop)


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="antiphon-tool")  # which has no thread before its first work


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=1))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _by_name(function: Callable[..., Any], signature: Signature) -> Handler:
    def handler(parameters: dict[str, Any]) -> Any:
        positional, named = signature.arguments(parameters)
        return function(*positional, **named)

    return handler


def _text(tool_name: str, result: Any) -> str:
    if result is None:
        return f"Client tool: {tool_name} called successfully."
    if isinstance(result, str):
        return result
    try:
        return json.dumps(result, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"tool {tool_name!r} returned something that is not JSON: {error}") from error
