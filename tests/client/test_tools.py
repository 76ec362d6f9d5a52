"""Client tools: always exactly one result, with the true id."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import threading
from typing import Any

import pytest

from antiphon.client import ClientTools
from antiphon.protocol.events import AgentResponse, ClientToolCall

request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


def run(tools: ClientTools, name: str = "tool", call_id: str = "call_1", **parameters: Any) -> tuple[Any, bool]:
    """The one answer of a tool: its text, and whether it is an error."""
    call = ClientToolCall(tool_name=name, tool_call_id=call_id, parameters=parameters)
    result = asyncio.run(tools.run(call))
    assert result.tool_call_id == call_id
    assert isinstance(result.result, str)
    return result.result, result.is_error


def tools_of(handler: Any, **options: Any) -> ClientTools:
    tools = ClientTools()
    tools.register("tool", handler, **options)
    return tools


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("Sunny, 72F", "Sunny, 72F"),
        ("", ""),
        (0, "0"),
        (False, "false"),
        ([], "[]"),
        ({}, "{}"),
        ({"city": "Köln", "t": 1.5}, '{"city": "Köln", "t": 1.5}'),
        (None, "Client tool: tool called successfully."),
    ],
)
def test_a_result_is_text(result: Any, text: str) -> None:
    """Falsy ones are not rewritten (protocol.md 5.5); only None, which says nothing, becomes a sentence."""
    assert run(tools_of(lambda parameters: result)) == (text, False)


@pytest.mark.parametrize("result", [b"bytes", {1, 2}, float("nan"), object(), {"a": {(1, 2): 3}}])
def test_what_is_not_json_is_an_error_not_silence(result: Any) -> None:
    """The original never answers (protocol.md 5.5), and the agent waits."""
    text, is_error = run(tools_of(lambda parameters: result))
    assert is_error
    assert "not JSON" in text


def test_a_circle_is_an_error() -> None:
    """As is any value that JSON cannot hold."""
    circle: list[Any] = []
    circle.append(circle)
    assert run(tools_of(lambda parameters: circle))[1]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such order"), "no such order"),
        (KeyError("k"), "'k'"),
        (RuntimeError(), "RuntimeError"),
        (StopIteration(3), "StopIteration: 3"),
        (asyncio.CancelledError(), "the tool was cancelled"),
        (TimeoutError("slow"), "slow"),
    ],
)
@pytest.mark.parametrize("is_async", [True, False])
def test_an_exception_is_the_answer(error: BaseException, text: str, is_async: bool) -> None:
    """Its text, or its name where it has none; sync and async alike."""

    def fails(parameters: dict[str, Any]) -> None:
        raise error

    async def fails_async(parameters: dict[str, Any]) -> None:
        raise error

    expected = "coroutine raised StopIteration" if is_async and isinstance(error, StopIteration) else text
    assert run(tools_of(fails_async if is_async else fails)) == (expected, True)


def test_an_unknown_tool_is_answered() -> None:
    """With the original's words."""
    assert run(ClientTools(), "x") == ("Tool 'x' is not registered", True)


def test_no_parameter_can_pose_as_the_call() -> None:
    """The handler sees the true id, and the answer goes out under it (the original can be fooled)."""
    seen: list[dict[str, Any]] = []
    run(tools_of(seen.append), call_id="true", tool_call_id="forged", city="Ulm")
    assert seen == [{"tool_call_id": "true", "city": "Ulm"}]


class AsyncCallable:
    async def __call__(self, parameters: dict[str, Any]) -> str:
        return "async object"


async def coroutine_function(parameters: dict[str, Any], prefix: str = "async") -> str:
    return f"{prefix} {threading.current_thread() is threading.main_thread()}"


@pytest.mark.parametrize(
    ("handler", "options", "text"),
    [
        (coroutine_function, {}, "async True"),
        (functools.partial(coroutine_function, prefix="partial"), {}, "partial True"),
        (lambda parameters: coroutine_function(parameters, "lambda"), {}, "lambda True"),
        (AsyncCallable(), {}, "async object"),
        (coroutine_function, {"is_async": True}, "async True"),
        (coroutine_function, {"is_async": False}, "async True"),
        (lambda parameters: threading.current_thread().name.startswith("antiphon-tool"), {}, "true"),
    ],
)
def test_async_handlers_are_recognised(handler: Any, options: dict[str, Any], text: str) -> None:
    """Async ones run on the loop, plain ones in the pool; who forgot `is_async` gets an answer all the same."""
    assert run(tools_of(handler, **options)) == (text, False)


def test_registering_checks_what_it_can() -> None:
    """The original's errors, in the original's words."""
    tools = tools_of(lambda parameters: None)
    with pytest.raises(ValueError, match="Handler must be callable"):
        tools.register("tool", "no function")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="Tool 'tool' is already registered"):
        tools.register("tool", lambda parameters: None)


def test_a_function_can_be_decorated() -> None:
    """Under its own name or another; the function stays what it was."""
    tools = ClientTools()

    @tools.tool
    def order_status(parameters: dict[str, Any]) -> str:
        return "shipped"

    @tools.tool("get_time")
    async def now(parameters: dict[str, Any]) -> str:
        return "noon"

    assert run(tools, "order_status") == ("shipped", False)
    assert run(tools, "get_time") == ("noon", False)
    assert order_status({}) == "shipped"


def test_plain_handlers_see_the_callers_context() -> None:
    """Context variables reach the pool's threads (elevenlabs-python issue 544)."""
    token = request.set("request 7")
    try:
        assert run(tools_of(lambda parameters: request.get())) == ("request 7", False)
    finally:
        request.reset(token)


def test_tools_can_run_on_a_loop_of_ones_own() -> None:
    """`ClientTools(loop)`: an async handler runs there, whatever loop the conversation is on."""
    own = asyncio.new_event_loop()
    thread = threading.Thread(target=own.run_forever)
    thread.start()
    try:
        tools = ClientTools(own)

        @tools.tool
        async def tool(parameters: dict[str, Any]) -> bool:
            return asyncio.get_running_loop() is own

        assert run(tools) == ("true", False)
    finally:
        own.call_soon_threadsafe(own.stop)
        thread.join()
        own.close()


def test_calls_are_answered_each_once(scene: Any, ended: Any) -> None:
    """Concurrent ones, unknown ones, failing ones; a slow one holds up no other."""

    @scene
    async def _(server: Any) -> None:
        tools, release = ClientTools(), threading.Event()

        @tools.tool
        def slow(parameters: dict[str, Any]) -> int:
            release.wait(5)
            return 0

        @tools.tool
        async def fast(parameters: dict[str, Any]) -> Any:
            return parameters["n"]

        conversation, peer = await server.begin(client_tools=tools)
        for name, call_id, n in (("slow", "c0", 0), ("fast", "c1", 1), ("unknown", "c2", 2), ("fast", "c3", [])):
            await peer.say(ClientToolCall(tool_name=name, tool_call_id=call_id, parameters={"n": n}))
        answers = [await peer.hear("client_tool_result") for _ in range(3)]
        release.set()
        answers.append(await peer.hear("client_tool_result"))
        results = {a["tool_call_id"]: (a["result"], a["is_error"]) for a in answers}
        assert answers[-1]["tool_call_id"] == "c0"
        assert results == {
            "c0": ("0", False),
            "c1": ("1", False),
            "c2": ("Tool 'unknown' is not registered", True),
            "c3": ("[]", False),
        }
        assert json.dumps(answers[0]) == json.dumps(
            {"type": "client_tool_result", "tool_call_id": answers[0]["tool_call_id"]}
            | {"result": answers[0]["result"], "is_error": answers[0]["is_error"]}
        )
        await ended(conversation)


def test_tools_can_be_used_again_and_shared(scene: Any, ended: Any) -> None:
    """Three conversations after one another and three at once (the original's pool is shut after the first)."""

    @scene
    async def _(server: Any) -> None:
        tools = tools_of(lambda parameters: "sync")
        tools.register("async", AsyncCallable())

        async def hold(count: int) -> None:
            pairs = [await server.begin(client_tools=tools) for _ in range(count)]
            for _, peer in pairs:
                for name in ("tool", "async"):
                    await peer.say(ClientToolCall(tool_name=name, tool_call_id=name))
            for conversation, peer in pairs:
                answers = [await peer.hear("client_tool_result") for _ in range(2)]
                assert {a["result"] for a in answers} == {"sync", "async object"}
                await ended(conversation)

        for count in (1, 1, 1, 3):
            await hold(count)


@pytest.mark.parametrize("plain", [True, False])
def test_a_tool_can_end_the_session(scene: Any, plain: bool) -> None:
    """From a plain one by returning the coroutine; an async one runs to its end (the original gets a RuntimeError)."""

    @scene
    async def _(server: Any) -> None:
        after: list[str] = []

        async def hang_up(parameters: dict[str, Any]) -> None:
            await conversation.end_session()
            after.append("done")

        tools = tools_of((lambda parameters: hang_up(parameters)) if plain else hang_up)
        conversation, peer = await server.begin(client_tools=tools)
        await peer.say(ClientToolCall(tool_name="tool", tool_call_id="c"))
        assert await peer.hear_end() == (1000, "")
        assert await conversation.wait_for_session_end() == "conv_1"
        assert after == ["done"]
        assert not [m for m in peer.received if m.get("type") == "client_tool_result"]


def test_a_tool_that_outlives_the_session_is_cancelled(scene: Any, ended: Any) -> None:
    """And nothing of it is sent."""

    @scene
    async def _(server: Any) -> None:
        cancelled, running = asyncio.Event(), asyncio.Event()

        async def endless(parameters: dict[str, Any]) -> None:
            running.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        conversation, peer = await server.begin(client_tools=tools_of(endless))
        await peer.say(ClientToolCall(tool_name="tool", tool_call_id="c"))
        await running.wait()
        await ended(conversation)
        assert cancelled.is_set()


def test_a_slow_tool_does_not_delay_events(scene: Any, ended: Any) -> None:
    """Neither a plain one that blocks."""

    @scene
    async def _(server: Any) -> None:
        release = threading.Event()
        heard = asyncio.Queue[str]()
        tools = tools_of(lambda parameters: release.wait(5))
        conversation, peer = await server.begin(client_tools=tools, callback_agent_response=heard.put)
        await peer.say(ClientToolCall(tool_name="tool", tool_call_id="c"))
        await peer.say(AgentResponse(text="One moment."))
        assert await heard.get() == "One moment."
        release.set()
        assert (await peer.hear("client_tool_result"))["result"] == "true"
        await ended(conversation)
