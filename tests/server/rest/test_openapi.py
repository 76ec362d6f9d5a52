"""The server's own description of its REST surface, and whatever somebody may make of it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx

Serving = Callable[..., AbstractAsyncContextManager[Any]]
KEY = {"xi-api-key": "sk_of_the_tests"}


def test_nothing_of_an_answer_goes_through_a_thread(serving: Serving) -> None:
    """What endpoints depend on and the answers to errors are async: a plain function would be sent through FastAPI's
    threads, which takes as long as the rest of the request and delays the sound of conversations."""

    async def scene() -> None:
        async with serving() as server, httpx.AsyncClient(base_url=server.address, trust_env=False) as http:
            for path in (
                "/health",
                "/v1/convai/agents",
                "/v1/convai/agents/none",
                "/nowhere",
                "/v1/convai/conversations",
            ):
                await http.get(path, headers=KEY)
            await http.get("/v1/convai/agents")
            await http.post("/v1/convai/agents/create", json={}, headers=KEY)
            await http.get("/v1/convai/conversations?cursor=none", headers=KEY)
        assert not [thread.name for thread in threading.enumerate() if "AnyIO" in thread.name]

    asyncio.run(scene())


def test_the_surface_describes_itself(serving: Serving) -> None:
    """A page for people and a file for machines; every operation has a summary."""

    async def scene() -> None:
        async with serving() as server, httpx.AsyncClient(base_url=server.address, trust_env=False) as http:
            assert (await http.get("/docs")).status_code == 200
            described = (await http.get("/openapi.json")).json()
        operations = [operation for methods in described["paths"].values() for operation in methods.values()]
        assert len(operations) > 80
        assert all(operation.get("description") for operation in operations)

    asyncio.run(scene())


def test_nothing_that_is_asked_makes_the_server_fail(serving: Serving, tmp_path: Path) -> None:
    """schemathesis asks what the description allows and what it does not: no answer is a 5xx."""

    async def scene() -> str:
        async with serving(within=110.0, rate_limit_per_minute=0) as server:
            program = Path(sys.executable).with_name("st")
            options = ["--checks", "not_a_server_error", "--max-examples", "3", "--phases", "coverage,fuzzing"]
            asking = await asyncio.create_subprocess_exec(
                *(program, "run", f"{server.address}/openapi.json", "-H", f"xi-api-key: {KEY['xi-api-key']}"),
                *(*options, "--seed", "1"),
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            async with asyncio.timeout(100):
                out, _ = await asking.communicate()
            assert asking.returncode == 0, out.decode()[-4000:]
            return out.decode()

    assert "passed" in asyncio.run(scene())
