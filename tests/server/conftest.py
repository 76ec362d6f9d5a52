"""A real server on a free port, scripted agents, and a caller that speaks JSON over a real socket."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from antiphon.server import Settings, create_app, listening
from antiphon.server.services import Services

KEY = "sk_of_the_tests"

RULES = [
    {"when": "^book (\\w+)", "say": "I have booked {1}."},
    {"when": "^goodbye", "say": "Goodbye."},
    {"say": "You said something."},
]


def agent_document(*, auth: bool = False, text_only: bool = True, **blocks: Any) -> dict[str, Any]:
    """A scripted agent as its author writes it; `blocks` go into conversation_config."""
    config: dict[str, Any] = {
        "agent": {"first_message": "Hello, how can I help?"},
        "conversation": {"text_only": text_only},
        "antiphon": {
            "llm": {"engine": "scripted", "rules": RULES},
            "stt": {"engine": "scripted", "lines": ["book Monday"]},
            "tts": {"engine": "scripted"},
            "vad": {"engine": "energy"},
        },
        **blocks,
    }
    return {
        "name": "Front desk",
        "conversation_config": config,
        "platform_settings": {"auth": {"enable_auth": auth}},
    }


class Caller:
    """One socket: messages in, messages out, and how it was closed."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []

    async def say(self, message: Mapping[str, Any] | str | bytes) -> None:
        """Send one message; a mapping as JSON."""
        await self.socket.send(json.dumps(message) if isinstance(message, Mapping) else message)

    async def initiate(self, **fields: Any) -> None:
        """The first word of a client."""
        await self.say({"type": "conversation_initiation_client_data", **fields})

    async def hear(self, kind: str) -> dict[str, Any]:
        """The payload of the next message of this type; the others are kept in `heard`."""
        while True:
            message = json.loads(await self.socket.recv())
            self.heard.append(message)
            if message["type"] == kind:
                return next((body for key, body in message.items() if key != "type"), {})

    async def closed(self) -> tuple[int, str]:
        """Close code and reason, once the server has closed; what came before is kept in `heard`."""
        try:
            while True:
                self.heard.append(json.loads(await self.socket.recv()))
        except ConnectionClosed:
            assert self.socket.close_code is not None
            return self.socket.close_code, self.socket.close_reason or ""

    @property
    def kinds(self) -> list[str]:
        """Types of what was heard, pings left out."""
        return [message["type"] for message in self.heard if message["type"] != "ping"]


class Server:
    """A running server, from outside and from inside."""

    def __init__(self, address: str, services: Services) -> None:
        self.address = address
        self.services = services

    @asynccontextmanager
    async def call(
        self, agent_id: str | None = "desk", *, url: str | None = None, **options: Any
    ) -> AsyncGenerator[Caller]:
        """A socket to an agent, or to `url`; `options` go to the websockets library."""
        if url is None:
            url = f"{self.address.replace('http', 'ws', 1)}/v1/convai/conversation"
            url += f"?agent_id={agent_id}" if agent_id is not None else ""
        async with connect(url, proxy=None, max_size=None, **options) as socket:
            yield Caller(socket)

    async def get(self, path: str, *, key: str | None = KEY, **headers: str) -> httpx.Response:
        """A REST answer."""
        with_key = {"xi-api-key": key} if key is not None else {}
        async with httpx.AsyncClient(base_url=self.address, trust_env=False) as client:
            return await client.get(path, headers={**with_key, **headers})

    async def record(self, conversation_id: str) -> dict[str, Any]:
        """The stored document of a conversation that is over."""
        await self.services.sessions.idle()
        answer = await self.get(f"/v1/convai/conversations/{conversation_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()


class Clock:
    """The epoch as the tests want it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def kept(tmp_path: Path) -> Callable[..., list[Any]]:
    """What the database of a stopped server holds: `kept("SELECT ...", value)`, the first column of each row."""

    def rows(query: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(tmp_path / "data" / "antiphon.db")) as database:
            return [row[0] for row in database.execute(query, values)]

    return rows


@pytest.fixture
def clock() -> Clock:
    """The server's epoch clock; set `clock.now`."""
    return Clock()


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """A folder with the agents `desk` (public), `private` (needs authorization) and `voice` (with sound)."""
    folder = tmp_path / "agents"
    folder.mkdir()
    documents = {
        "desk": agent_document(),
        "private": agent_document(auth=True),
        "voice": agent_document(text_only=False),
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def document() -> Callable[..., dict[str, Any]]:
    """An agent's file: `document(auth=True, text_only=False, turn={...})`."""
    return agent_document


@pytest.fixture
def serving(tmp_path: Path, agents: Path, clock: Clock) -> Callable[..., AbstractAsyncContextManager[Server]]:
    """A running server: `async with serving(max_sessions=1) as server`."""

    @asynccontextmanager
    async def run(*, within: float = 30.0, **overrides: Any) -> AsyncGenerator[Server]:
        values = {"port": 0, "agents": agents, "data": tmp_path / "data", "api_key": KEY, "ping_interval": 0.2}
        settings = Settings.load(None, **{**values, **overrides})
        app = create_app(settings, epoch=clock)
        async with asyncio.timeout(within), listening(app, settings) as address:
            yield Server(address, cast("Services", app.services))

    return run
