"""The application as any ASGI server sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from antiphon.server import Settings, create_app

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}


def lifespan(agents: Path, data: Path, **settings: Any) -> list[dict[str, Any]]:
    """What the application says when a server starts and stops it."""
    said: list[dict[str, Any]] = []

    async def scene() -> None:
        app = create_app(Settings.load(None, agents=agents, data=data, **settings))
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait(STARTUP)
        incoming.put_nowait(SHUTDOWN)

        async def send(message: dict[str, Any]) -> None:
            said.append(message)
            if message["type"] == "lifespan.startup.complete":
                assert app.services is not None
                assert sorted(app.services.engines.agent_ids) == ["desk", "private", "voice"]

        await app({"type": "lifespan"}, incoming.get, send)

    asyncio.run(scene())
    return said


def test_lifespan_loads_and_frees_everything(agents: Path, tmp_path: Path) -> None:
    """Under a server that is not ours, too."""
    said = lifespan(agents, tmp_path / "data", api_key="sk_x")
    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_lifespan_says_what_is_wrong(agents: Path, tmp_path: Path) -> None:
    """The server is told not to start, and why."""
    (agents / "broken.json").write_text("{")
    (message,) = lifespan(agents, tmp_path / "data", api_key="sk_x")
    assert message["type"] == "lifespan.startup.failed"
    assert "broken.json" in message["message"]


def test_the_key_is_announced_once_in_the_life_of_a_data_folder(agents: Path, tmp_path: Path) -> None:
    """To whoever made the application; with a key of the operator's own, never."""
    announced: list[str] = []

    async def run(**settings: Any) -> str:
        app = create_app(
            Settings.load(None, agents=agents, data=tmp_path / "data", **settings), announce_key=announced.append
        )
        async with app.running() as services:
            return services.authority.key

    first, second = asyncio.run(run()), asyncio.run(run())
    assert first == second == announced[0]
    assert asyncio.run(run(api_key="sk_own")) == "sk_own"
    assert len(announced) == 1


def test_what_the_body_raises_comes_out_as_it_is(agents: Path, tmp_path: Path) -> None:
    """Not in a group, though tasks run beside it."""

    async def scene() -> None:
        async with create_app(Settings.load(None, agents=agents, data=tmp_path / "data", api_key="sk_x")).running():
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        asyncio.run(scene())
