"""Real servers on loopback, and runners that record what they announce."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from antiphon.agents.tools import ToolConfig
from antiphon.agents.workspace import McpServer
from antiphon.dialogue.outcome import Outcome
from antiphon.engines.base import ToolCall
from antiphon.errors import NotFoundError
from antiphon.session.tools.hosts import HostPolicy
from antiphon.session.tools.runner import ToolRunner

Serve = Callable[..., AbstractAsyncContextManager[int]]


@asynccontextmanager
async def _serve(app: Any, **options: Any) -> AsyncIterator[int]:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1, ws="none", **options
    )
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(server.serve())
        while not server.started:
            if task.done():
                raise RuntimeError("the server did not start")
            await asyncio.sleep(0.005)
        try:
            yield server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True


@pytest.fixture
def serve() -> Serve:
    """An ASGI app on a port of its own."""
    return _serve


class Upstream:
    """Somebody's API: remembers every request; `answer` says what it says."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: Callable[[Request], Response] = lambda request: JSONResponse({"ok": True})
        self.asked = asyncio.Event()
        self.delay = 0.0
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        self.app = Starlette(routes=[Route("/{path:path}", self._handle, methods=methods)])

    async def _handle(self, request: Request) -> Response:
        body = await request.body()
        self.requests.append(
            {
                "method": request.method,
                "path": request.scope["raw_path"].decode(),
                "query": request.scope["query_string"].decode(),
                "headers": dict(request.headers),
                "body": body.decode(),
            }
        )
        self.asked.set()
        if self.delay:
            await asyncio.sleep(self.delay)
        return self.answer(request)

    @property
    def last(self) -> dict[str, Any]:
        return self.requests[-1]

    @property
    def json(self) -> Any:
        return json.loads(self.last["body"])


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


class Shelf:
    """A workspace of secrets and MCP servers."""

    def __init__(
        self, secrets: Mapping[str, str] | None = None, servers: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self._secrets = secrets or {}
        self._servers = servers or {}

    async def secret(self, secret_id: str) -> str:
        if secret_id not in self._secrets:
            raise NotFoundError("secret", secret_id)
        return self._secrets[secret_id]

    async def mcp_server(self, server_id: str) -> McpServer:
        if server_id not in self._servers:
            raise NotFoundError("MCP server", server_id)
        return McpServer(server_id, self._servers[server_id])


class Bench:
    """A runner with its events."""

    def __init__(self, *tools: Mapping[str, Any], **options: Any) -> None:
        self.events: list[Any] = []
        self.on_event: Callable[[Any], None] = lambda event: None
        options.setdefault("hosts", HostPolicy(["127.0.0.1"]))
        options.setdefault("variables", {})
        parsed = [ToolConfig.parse(tool) for tool in tools]
        self.runner = ToolRunner({tool.name: tool for tool in parsed}, announce=self._announce, **options)

    def _announce(self, event: Any) -> None:
        self.events.append(event)
        self.on_event(event)

    async def call(self, name: str, /, **parameters: Any) -> Outcome:
        return await self.runner.run(ToolCall(f"call_{len(self.events)}", name, parameters))

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if type(event) is kind]


@pytest.fixture
def bench() -> type[Bench]:
    return Bench


@pytest.fixture
def shelf() -> type[Shelf]:
    return Shelf
