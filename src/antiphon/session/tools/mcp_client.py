"""Connections to MCP servers, through the official SDK.

One task holds a server's connection from its opening to its end: the SDK's cancel scopes must be left by the task that
entered them. Calls may come from any task.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from antiphon.agents.mcp import McpServerConfig, approval_hash
from antiphon.errors import ConfigError

from .hosts import Dialler, HostError, HostPolicy
from .values import Values

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
"Seconds for connecting to a server and asking it for its tools."
ATTEMPTS = 3
"How often a server is connected to in one conversation: it may go away and come back."
BETWEEN_ATTEMPTS = 1.0
"Seconds."
MAX_TOOLS = 256
"Tools of one server that are taken."
_READ_TIMEOUT = 300.0
"Seconds without an event on a server's open stream; the SDK's own default."


def require_mcp() -> None:
    """Raises ConfigError where the MCP SDK is not installed."""
    if importlib.util.find_spec("mcp") is None:
        raise ConfigError("MCP servers need the MCP SDK: pip install 'antiphon[mcp]'")


class Unreachable(Exception):  # noqa: N818  how a connection went, on its way up
    """A server could not be reached, or no longer can be. The message holds no address."""


@dataclass(frozen=True, slots=True)
class ServerTool:
    """A tool as its server describes it."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """What an approval is bound to."""
        return approval_hash(self.description, self.parameters)


@dataclass(slots=True)
class Connection:
    """One server: connected, or not."""

    server_id: str
    config: McpServerConfig
    tools: list[ServerTool] = field(default_factory=list["ServerTool"])
    client: Any = None
    "The SDK's client while there is a connection."
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    "Set by whoever finds that the connection is gone."

    async def call(self, name: str, arguments: dict[str, Any], meta: Mapping[str, Any]) -> Any:
        """Have a tool run; returns the SDK's CallToolResult.

        Raises:
            Unreachable: there is no connection.
            MCPError: the server refuses.
        """
        if self.client is None:
            raise Unreachable("the server is not connected")
        try:
            return await self.client.call_tool(name, arguments, meta=dict(meta) or None)
        except _broken() as error:
            self.lost.set()
            raise Unreachable("the connection to the server is gone") from error
        except importlib.import_module("mcp").MCPError as error:
            if error.error.code == importlib.import_module("mcp_types").CONNECTION_CLOSED:
                self.lost.set()
                raise Unreachable("the connection to the server is gone") from error
            raise


async def hold(
    connection: Connection, values: Values, hosts: HostPolicy, settled: Callable[[Connection], None]
) -> None:
    """Keep a server connected, until cancelled. `settled` is called whenever that has changed or failed."""
    await asyncio.to_thread(importlib.import_module, "mcp")  # takes a second, once in the process's life
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(BETWEEN_ATTEMPTS)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT) as limit, _client(connection.config, values, hosts) as client:
                connection.tools = await _list_tools(client)
                limit.reschedule(None)
                connection.client = client
                connection.lost.clear()
                settled(connection)
                await connection.lost.wait()
        except Exception as error:  # noqa: BLE001  the SDK raises whatever its parts raise, in groups
            # without the traceback: its messages hold the address, which may be a secret
            logger.warning(
                "an MCP server is not connected", extra={"server": connection.server_id, "why": _causes(error)}
            )
        finally:
            connection.client = None
        settled(connection)


async def _list_tools(client: Any) -> list[ServerTool]:
    tools: list[ServerTool] = []
    cursor: str | None = None
    while len(tools) < MAX_TOOLS:
        page = await client.list_tools(cursor=cursor)
        tools += [ServerTool(tool.name, tool.description or "", tool.input_schema or {}) for tool in page.tools]
        cursor = page.next_cursor
        if not cursor:
            break
    return tools[:MAX_TOOLS]


@asynccontextmanager
async def _client(config: McpServerConfig, values: Values, hosts: HostPolicy) -> AsyncGenerator[Any]:
    """The SDK's client, connected. Raises whatever it raises, ValueMissingError and HostError."""
    import httpx2
    import mcp
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client

    url = await values.header(config.url)
    headers = await _headers(config, values)

    def http_client(
        headers: dict[str, str] | None = None, timeout: httpx2.Timeout | None = None, auth: httpx2.Auth | None = None
    ) -> httpx2.AsyncClient:
        limits = timeout or httpx2.Timeout(CONNECT_TIMEOUT, read=_READ_TIMEOUT)
        return httpx2.AsyncClient(
            transport=_guarded(hosts), trust_env=False, headers=headers, timeout=limits, auth=auth
        )

    if config.transport == "SSE":
        transport = sse_client(url, headers, httpx_client_factory=http_client)
        async with mcp.Client(transport, mode="legacy", cache=None) as client:  # SSE is older than any other handshake
            yield client
    else:
        async with (
            http_client(headers=headers) as http,
            mcp.Client(streamable_http_client(url, http_client=http), cache=None) as client,
        ):
            yield client


async def _headers(config: McpServerConfig, values: Values) -> dict[str, str]:
    headers = {name: await values.header(value) for name, value in config.request_headers.items()}
    if config.secret_token is not None:
        token = await values.header(config.secret_token)
        headers["Authorization"] = token if " " in token else f"Bearer {token}"
    if config.disable_compression:
        headers["Accept-Encoding"] = "identity"
    return headers


def _guarded(hosts: HostPolicy) -> Any:
    import httpx2

    class Guarded(httpx2.AsyncBaseTransport):
        """hosts.GuardedTransport, for the SDK's own HTTP package."""

        def __init__(self) -> None:
            self._dialler = Dialler(hosts, httpx2)

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            return await self._dialler.send(request)

        async def aclose(self) -> None:
            await self._dialler.aclose()

    return Guarded()


def _broken() -> tuple[type[Exception], ...]:
    """What the SDK raises where a connection is gone."""
    import anyio
    import httpx2

    return (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream, httpx2.TransportError, HostError)


def _causes(error: BaseException) -> str:
    """The kinds of what went wrong, and the words of those errors that are ours."""
    if isinstance(error, BaseExceptionGroup):
        inner = cast("tuple[BaseException, ...]", error.exceptions)
        return "; ".join(dict.fromkeys(_causes(each) for each in inner))
    return str(error) if type(error).__module__.startswith("antiphon.") else type(error).__name__
