"""MCP tools against servers made with the official SDK, over both transports."""

from __future__ import annotations

import asyncio
import builtins
import importlib.util
import logging
from collections.abc import Callable
from typing import Any

import pytest

from antiphon.agents.mcp import approval_hash
from antiphon.errors import ConfigError
from antiphon.protocol.events import McpConnectionStatus, McpToolApprovalResult, McpToolCall
from antiphon.session.tools.hosts import HostPolicy
from antiphon.session.tools.runner import ToolRunner

pytest.importorskip("mcp", reason="needs the extra antiphon[mcp]")

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

TRANSPORTS = {"SSE": "/sse", "STREAMABLE_HTTP": "/mcp"}
both = pytest.mark.parametrize("transport", TRANSPORTS)
CANARY = "token-canary-77"


class Example:
    """A server of a few tools; remembers what it was asked."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.called: list[Any] = []
        self.began = asyncio.Event()
        server = self.server = MCPServer("example")

        @server.tool(description="Add two numbers")
        def add(a: int, b: int) -> str:
            self.called.append(("add", a, b))
            return str(a + b)

        @server.tool(name="weather.today", description="The weather")
        async def weather(city: str, unit: str = "C") -> str:
            self.called.append(("weather", city, unit))
            return f'{{"city": "{city}", "unit": "{unit}", "degrees": 21}}'

        @server.tool(description="Fails")
        def fail() -> str:
            raise ToolError("the stock is empty")

        @server.tool(description="Takes long")
        async def slow() -> str:
            self.began.set()
            await asyncio.sleep(30)
            return "done"

        @server.tool(description="Repeats a header")
        async def echo_header(context: Context) -> str:
            return str(self.headers[-1])

    def app(self, transport: str) -> Any:
        inner = self.server.sse_app() if transport == "SSE" else self.server.streamable_http_app()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
            await inner(scope, receive, send)

        return app


@pytest.fixture
def example() -> Example:
    return Example()


@pytest.fixture
def connected(serve: Any, bench: Any, shelf: Any, example: Example) -> Callable[..., Any]:
    """Run a scene with a bench whose agent is connected to the example server."""

    def run(transport: str, scene: Callable[[Any], Any], *tools: Any, config: Any = None, **options: Any) -> Any:
        async def whole() -> Any:
            async with serve(example.app(transport)) as port:
                server = {
                    "name": "example",
                    "url": f"http://127.0.0.1:{port}{TRANSPORTS[transport]}",
                    "transport": transport,
                    "approval_policy": "auto_approve_all",
                    **(config or {}),
                }
                workspace = shelf({"token": CANARY}, {"srv": server})
                one = bench(*tools, workspace=workspace, mcp_server_ids=["srv"], mcp_patience=15.0, **options)
                async with one.runner:
                    return await scene(one)

        return asyncio.run(whole())

    return run


def answering(one: Any, approved: bool) -> None:
    """A user who says the same to everything."""

    def answer(event: Any) -> None:
        if isinstance(event, McpToolCall) and event.state == "awaiting_approval":
            one.runner.resolve(McpToolApprovalResult(event.tool_call_id, approved))

    one.on_event = lambda event: asyncio.get_running_loop().call_soon(answer, event)


def states(one: Any) -> list[str]:
    return [event.state for event in one.of(McpToolCall)]


# ---------------------------------------------------------------------------------------------------- connected


@both
def test_a_servers_tools_are_the_agents(connected: Any, example: Example, transport: str) -> None:
    """Offered with their schemas, under names that chat models take; run; told of as the protocol has it."""

    async def scene(one: Any) -> Any:
        specs = {spec.name: spec for spec in one.runner.specs}
        assert {"add", "weather_today", "fail", "slow"} <= specs.keys()
        assert specs["add"].description == "Add two numbers"
        assert set(specs["add"].parameters["properties"]) == {"a", "b"}
        assert one.runner.config("add").type == "mcp"
        (status,) = one.of(McpConnectionStatus)
        assert status.integrations == [
            {"integration_id": "srv", "integration_type": "mcp_server", "is_connected": True, "tool_count": 5}
        ]
        assert (await one.call("weather_today", city="Bonn")).text.startswith('{"city": "Bonn"')
        del one.events[:]
        return await one.call("add", a="2", b=3), one

    outcome, one = connected(transport, scene)
    assert (outcome.text, outcome.is_error) == ("5", False)
    assert example.called[-1] == ("add", 2, 3)
    assert states(one) == ["loading", "success"]
    loading, success = one.of(McpToolCall)
    assert loading.tool_call_id == success.tool_call_id
    assert (loading.service_id, loading.tool_name, loading.parameters) == ("srv", "add", {"a": 2, "b": 3})
    assert success.result[0]["text"] == "5"


@both
def test_a_tool_that_fails_says_why(connected: Any, transport: str) -> None:
    """An error of the tool, and one of ours before it was asked."""

    async def scene(one: Any) -> Any:
        return await one.call("fail"), await one.call("add", a="two", b=3), one

    failed, wrong, one = connected(transport, scene)
    assert failed.is_error
    assert "the stock is empty" in failed.text
    assert states(one) == ["loading", "failure"]
    assert "the stock is empty" in one.of(McpToolCall)[-1].error_message
    assert wrong.is_error
    assert "a should be an integer" in wrong.text


@both
def test_a_slow_tool_is_given_up(connected: Any, transport: str) -> None:
    """The server's response_timeout_secs, or the tool's own."""
    config = {"tool_config_overrides": [{"tool_name": "slow", "response_timeout_secs": 0.2}]}

    async def scene(one: Any) -> Any:
        slow = await one.call("slow")
        return slow, await one.call("add", a=1, b=1)

    slow, after = connected(transport, scene, config=config)
    assert slow.is_error
    assert slow.text == "the server did not answer within 0.2 seconds"
    assert after.text == "2"


@both
def test_a_cancelled_call_leaves_the_connection(connected: Any, example: Example, transport: str) -> None:
    """An interruption ends one call; others go on, side by side."""

    async def scene(one: Any) -> Any:
        task = asyncio.create_task(one.call("slow"))
        await example.began.wait()
        sums = asyncio.gather(*(one.call("add", a=n, b=n) for n in range(5)))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [outcome.text for outcome in await sums]

    assert connected(transport, scene) == ["0", "2", "4", "6", "8"]


@both
def test_a_conversation_that_is_cancelled_leaves_nothing(connected: Any, transport: str) -> None:
    """No task stays behind, also where another task closes than opened."""

    async def scene(one: Any) -> None:
        before = asyncio.all_tasks()
        await asyncio.create_task(one.runner.__aexit__(None, None, None))
        left = {task for task in asyncio.all_tasks() if "mcp" in task.get_name() or task not in before}
        assert not left
        outcome = await one.call("add", a=1, b=1)
        assert outcome.is_error

    connected(transport, scene)


# ----------------------------------------------------------------------------------------------------- approvals


@both
@pytest.mark.parametrize("approved", [True, False])
def test_the_user_is_asked(connected: Any, example: Example, transport: str, approved: bool) -> None:
    """require_approval_all, which is the default."""

    async def scene(one: Any) -> Any:
        answering(one, approved)
        return await one.call("add", a=1, b=2), one

    outcome, one = connected(transport, scene, config={"approval_policy": None})
    assert outcome.is_error is not approved
    assert states(one) == ["awaiting_approval", *(["loading", "success"] if approved else ["failure"])]
    assert one.of(McpToolCall)[0].approval_timeout_secs == 300
    assert bool(example.called) is approved


def test_nobody_answers(connected: Any, example: Example) -> None:
    """The call is not made; an answer that comes late is ignored."""

    async def scene(one: Any) -> Any:
        outcome = await one.call("add", a=1, b=2)
        one.runner.resolve(McpToolApprovalResult(one.of(McpToolCall)[0].tool_call_id, True))
        one.runner.resolve(McpToolApprovalResult("unknown", True))
        return outcome

    policy = {"approval_policy": "require_approval_all"}
    outcome = connected("STREAMABLE_HTTP", scene, config=policy, approval_timeout=0.1)
    assert outcome.is_error
    assert example.called == []


def test_a_user_who_cannot_be_asked_has_not_approved(connected: Any, example: Example) -> None:
    """Without `mcp_tool_call` in `client_events` nobody would ever answer: the call fails at once."""

    async def scene(one: Any) -> Any:
        return await one.call("add", a=1, b=2)

    outcome = connected("STREAMABLE_HTTP", scene, config={"approval_policy": "require_approval_all"}, approves=False)
    assert outcome.is_error
    assert example.called == []


def test_approval_of_single_tools_is_bound_to_what_they_were(connected: Any, example: Example) -> None:
    """A tool that has changed since, and one that is not listed, are asked for."""

    async def learn(one: Any) -> Any:
        return {tool.name: tool.hash for tool in one.runner._mcp._offers["add"].connection.tools}

    hashes = connected("STREAMABLE_HTTP", learn)
    approvals = [
        {"tool_name": "add", "tool_hash": hashes["add"], "approval_policy": "auto_approved"},
        {"tool_name": "fail", "tool_hash": approval_hash("Fails", {}), "approval_policy": "auto_approved"},
    ]

    async def scene(one: Any) -> None:
        answering(one, False)
        assert (await one.call("add", a=1, b=2)).text == "3"
        assert (await one.call("fail")).text == "the user does not want this to be done"
        assert (await one.call("weather_today", city="x")).text == "the user does not want this to be done"

    policy = {"approval_policy": "require_approval_per_tool", "tool_approval_hashes": approvals}
    connected("STREAMABLE_HTTP", scene, config=policy)
    assert example.called == [("add", 1, 2)]


# ------------------------------------------------------------------------------------------------- configuration


def test_a_server_may_be_configured_tool_by_tool(connected: Any, example: Example) -> None:
    """Modes, variables set by the answer, arguments that are not the model's."""
    override = {
        "tool_name": "weather.today",
        "pre_tool_speech": "force",
        "interruption_mode": "disable_during_tool",
        "execution_mode": "async",
        "assignments": [{"dynamic_variable": "degrees", "value_path": "degrees"}],
        "input_overrides": {
            "city": {"source": "dynamic_variable", "dynamic_variable": "home"},
            "unit": {"source": "constant", "constant_value": "F"},
        },
    }

    async def scene(one: Any) -> Any:
        config = one.runner.config("weather_today")
        assert (config.pre_tool_speech, config.interruption_mode, config.execution_mode) == (
            "force",
            "disable_during_tool",
            "async",
        )
        spec = next(spec for spec in one.runner.specs if spec.name == "weather_today")
        assert spec.parameters["properties"] == {}
        assert "tell the user" in spec.description
        await one.call("weather_today")
        return one.runner.variables

    config = {"tool_config_overrides": [override]}
    variables = connected("STREAMABLE_HTTP", scene, config=config, variables={"home": "Bonn"})
    assert example.called == [("weather", "Bonn", "F")]
    assert variables["degrees"] == 21


@both
def test_credentials_go_to_the_server_and_nowhere_else(
    connected: Any, example: Example, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The token as Authorization, headers as a webhook's; what the server repeats of them is not told."""
    caplog.set_level(logging.DEBUG)
    config = {"secret_token": {"secret_id": "token"}, "request_headers": {"X-Tenant": "{{tenant}}"}}

    async def scene(one: Any) -> Any:
        return await one.call("echo_header"), one

    outcome, one = connected(transport, scene, config=config, variables={"tenant": "t1"})
    assert all(headers["authorization"] == f"Bearer {CANARY}" for headers in example.headers)
    assert all(headers["x-tenant"] == "t1" for headers in example.headers)
    assert "[secret]" in outcome.text
    assert CANARY not in outcome.text + repr(one.events)
    ours = [r for r in caplog.records if r.name.startswith("antiphon")]
    above = [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert CANARY not in " ".join(record.getMessage() + repr(vars(record)) for record in [*ours, *above])


def test_the_agents_own_tools_keep_their_names(connected: Any) -> None:
    """A server's tool of the same name is offered under the server's."""
    own = {"type": "client", "name": "add", "description": "mine"}

    async def scene(one: Any) -> Any:
        names = {spec.name: spec.description for spec in one.runner.specs}
        assert names["add"] == "mine"
        assert names["example_add"] == "Add two numbers"
        return await one.call("example_add", a=1, b=1)

    assert connected("STREAMABLE_HTTP", scene, own).text == "2"


# ------------------------------------------------------------------------------------------------- not connected


@pytest.mark.parametrize(
    "servers",
    [
        {},
        {"srv": {"name": "x"}},
        {"srv": {"name": "x", "url": "http://127.0.0.1:1/mcp", "transport": "STREAMABLE_HTTP"}},
        {"srv": {"name": "x", "url": "http://127.0.0.1:1/sse"}},
        {"srv": {"name": "x", "url": {"secret_id": "none"}}},
    ],
    ids=["unknown", "misconfigured", "gone over HTTP", "gone over SSE", "without its secret"],
)
def test_a_server_that_cannot_be_reached_is_done_without(bench: Any, shelf: Any, servers: Any) -> None:
    """It is told of, and the conversation goes on with the tools that there are."""

    async def scene() -> Any:
        own = {"type": "client", "name": "mine", "description": "d"}
        one = bench(own, workspace=shelf({}, servers), mcp_server_ids=["srv"], mcp_patience=15.0)
        async with one.runner:
            assert [spec.name for spec in one.runner.specs] == ["mine"]
            return one

    one = asyncio.run(scene())
    (status,) = one.of(McpConnectionStatus)
    assert status.integrations[0]["is_connected"] is False


def test_a_private_server_is_refused(connected: Any, example: Example) -> None:
    """The same guard as for webhooks."""

    async def scene(one: Any) -> Any:
        return one.runner.specs

    for transport in TRANSPORTS:
        assert connected(transport, scene, hosts=HostPolicy()) == []
    assert example.headers == []


def test_a_silent_server_holds_nobody_up(bench: Any, shelf: Any) -> None:
    """The conversation begins when its patience is over, and ends at once."""

    async def scene() -> float:
        async def mute(reader: Any, writer: Any) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            config = {"name": "x", "url": f"http://127.0.0.1:{port}/mcp", "transport": "STREAMABLE_HTTP"}
            one = bench(workspace=shelf({}, {"srv": config}), mcp_server_ids=["srv"], mcp_patience=0.1)
            await asyncio.to_thread(__import__, "mcp")
            begun = asyncio.get_running_loop().time()
            async with one.runner:
                pass
            return asyncio.get_running_loop().time() - begun

    assert asyncio.run(scene()) < 2.0


def test_opening_can_be_cancelled(bench: Any, shelf: Any) -> None:
    """A caller who hangs up while a server is still being waited for: no task stays behind."""

    async def scene() -> set[Any]:
        before = asyncio.all_tasks()
        connected = asyncio.Event()

        async def mute(reader: Any, writer: Any) -> None:
            connected.set()
            await reader.read()
            writer.close()

        async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            config = {"name": "x", "url": f"http://127.0.0.1:{port}/sse"}
            one = bench(workspace=shelf({}, {"srv": config}), mcp_server_ids=["srv"], mcp_patience=15.0)
            opening = asyncio.create_task(one.runner.__aenter__())
            await connected.wait()
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            return {task for task in asyncio.all_tasks() - before if "mute" not in repr(task)}

    assert asyncio.run(scene()) == set()


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the conversation is put together, not in the middle of it; and only where it is needed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mcp" else find(name))
    with pytest.raises(ConfigError, match=r"antiphon\[mcp\]"):
        ToolRunner({}, variables={}, announce=builtins.print, mcp_server_ids=["srv"])
    ToolRunner({}, variables={}, announce=builtins.print)


def test_a_server_that_comes_back_is_found_again(serve: Any, bench: Any, shelf: Any) -> None:
    """A call finds the connection gone; the status says so; soon the tools are there again."""
    first, second = Example(), Example()

    async def scene() -> Any:
        app = first.app("STREAMABLE_HTTP")

        async def switching(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and broken:
                raise OSError("gone")
            await app(scope, receive, send)

        broken: list[bool] = []
        async with serve(switching) as port:
            config = {
                "name": "x",
                "url": f"http://127.0.0.1:{port}/mcp",
                "transport": "STREAMABLE_HTTP",
                "approval_policy": "auto_approve_all",
            }
            one = bench(workspace=shelf({}, {"srv": config}), mcp_server_ids=["srv"], mcp_patience=15.0)
            async with one.runner:
                assert (await one.call("add", a=1, b=1)).text == "2"
                broken.append(True)
                failed = await one.call("add", a=1, b=1)
                broken.clear()
                again = await one.call("add", a=2, b=2)
                return failed, again

    failed, again = asyncio.run(scene())
    assert failed.is_error
    assert again.text == "4"
    assert second.called == []
