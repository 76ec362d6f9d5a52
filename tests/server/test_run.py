"""The server as a process: what it prints, how it starts, how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

PROGRAM = "import sys; from antiphon.server import Settings, serve; sys.exit(serve(Settings.load()))"


class Process:
    """A server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ready(self) -> str:
        """Its address, from the one line on its standard output."""
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode()
        match = re.fullmatch(r"antiphon ready (https?://127\.0\.0\.1:[1-9][0-9]*)\n", line)
        assert match is not None, line
        return match[1]

    async def end(self) -> tuple[int, str, str]:
        """Exit code, and what it had still to say on standard output and on standard error."""
        out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()

    async def stopped(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """The same, after a signal; it has fifteen seconds."""
        self.process.send_signal(number)
        async with asyncio.timeout(15):
            return await self.end()


@asynccontextmanager
async def started(agents: Path, data: Path, **settings: Any) -> AsyncGenerator[Process]:
    """Run `serve` with these settings in its environment; it does not outlive the test."""
    values = {"port": 0, "agents": agents, "data": data, **settings}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    environment |= {f"ANTIPHON_{name.upper()}": str(value) for name, value in values.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def closed(caller: ClientConnection) -> tuple[int | None, str | None]:
    """How the server closed, once it has."""
    async for _ in caller:
        pass
    return caller.close_code, caller.close_reason


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_once_that_it_is_ready_and_stops_in_order(
    agents: Path, tmp_path: Path, kept: Callable[..., list[Any]], number: int
) -> None:
    """One line on stdout, with the real port; a signal ends live conversations with 1001, writes their records, and the
    process exits with 0 within five seconds."""

    async def scene() -> str:
        async with started(agents, tmp_path / "data", api_key="sk_x") as server:
            address = await server.ready()
            url = address.replace("http", "ws", 1) + "/v1/convai/conversation?agent_id="
            async with connect(url + "desk", proxy=None) as talking, connect(url + "voice", proxy=None) as silent:
                conversation_id = json.loads(await talking.recv())["conversation_initiation_metadata_event"][
                    "conversation_id"
                ]
                await silent.recv()
                await talking.send('{"type": "conversation_initiation_client_data"}')
                while json.loads(await talking.recv())["type"] != "agent_response":
                    pass
                ending = asyncio.ensure_future(server.stopped(number))
                for caller in (talking, silent):
                    assert await closed(caller) == (1001, "the server is shutting down")
                code, out, err = await ending
            assert (code, out) == (0, ""), err
            assert "Traceback" not in err
            return conversation_id

    conversation_id = asyncio.run(scene())
    (document,) = kept("SELECT document FROM conversations WHERE id = ?", conversation_id)
    record = json.loads(document)
    assert record["status"] == "done"
    assert record["transcript"][0]["message"] == "Hello, how can I help?"


def test_a_client_that_does_not_answer_the_close_cannot_hold_it_up(agents: Path, tmp_path: Path) -> None:
    """Half-open: a raw socket that reads nothing after its handshake."""

    async def scene() -> None:
        async with started(agents, tmp_path / "data", api_key="sk_x") as server:
            host, port = (await server.ready()).removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"GET /v1/convai/conversation?agent_id=desk HTTP/1.1\r\n"
                b"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
            )
            assert b"101" in await reader.readline()
            code, _, err = await server.stopped()
            assert code == 0, err
            writer.close()

    asyncio.run(scene())


def test_a_key_is_made_printed_once_and_kept(agents: Path, tmp_path: Path) -> None:
    """On standard error at the first start; it opens REST at the second one, too, and is its owner's alone."""

    async def scene() -> None:
        data = tmp_path / "data"
        async with started(agents, data) as server:
            await server.ready()
            _, _, err = await server.stopped()
        (key,) = re.findall(r"sk_[0-9a-f]{48}", err)
        assert (data / "workspace.key").read_text().strip() == key
        assert stat.S_IMODE((data / "workspace.key").stat().st_mode) == 0o600
        async with started(agents, data) as server:
            address = await server.ready()
            async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
                path = "/v1/convai/conversation/get-signed-url?agent_id=desk"
                assert (await client.get(path, headers={"xi-api-key": key})).status_code == 200
                assert (await client.get(path, headers={"xi-api-key": key[:-1]})).status_code == 401
            _, _, err = await server.stopped()
        assert key not in err

    asyncio.run(scene())


async def failed(agents: Path, data: Path, **settings: Any) -> str:
    """The one line in which a server says why it does not start; the exit code is 2."""
    async with started(agents, data, api_key="sk_x", **settings) as server:
        code, out, err = await server.end()
    assert (code, out) == (2, "")
    assert err.startswith("antiphon: ")
    assert err.count("\n") == 1
    return err


def test_a_broken_agent_stops_the_start_with_its_path(agents: Path, tmp_path: Path) -> None:
    """The file and the place in it, in one line, not a traceback."""

    def fails_with(document: str) -> str:
        (agents / "broken.json").write_text(document)
        return asyncio.run(failed(agents, tmp_path / "data"))

    assert "broken.json" in fails_with("{")
    assert "conversation_config.turn.turn_timeout" in fails_with(
        '{"conversation_config": {"turn": {"turn_timeout": "soon"}}}'
    )
    unknown = '{"conversation_config": {"antiphon": {"llm": {"engine": "oracle"}}}}'
    line = fails_with(unknown)
    assert "broken.json" in line
    assert "oracle" in line


def test_a_folder_without_agents_or_a_taken_port_stops_the_start(agents: Path, tmp_path: Path) -> None:
    """Whatever is wrong is named."""
    assert "nowhere" in asyncio.run(failed(tmp_path / "nowhere", tmp_path / "data"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}" in asyncio.run(failed(agents, tmp_path / "data", port=port))
    certificate = {"tls_cert": tmp_path / "no.pem", "tls_key": tmp_path / "no.pem"}
    assert "no.pem" in asyncio.run(failed(agents, tmp_path / "data", **certificate))


def test_it_speaks_tls(agents: Path, tmp_path: Path) -> None:
    """https in the ready line, wss in signed addresses, and a conversation over it."""
    certificate = Path(__file__).with_name("localhost.pem")
    trusting = ssl.create_default_context(cafile=str(certificate))

    async def scene() -> None:
        tls = {"tls_cert": certificate, "tls_key": certificate}
        async with started(agents, tmp_path / "data", api_key="sk_x", **tls) as server:
            address = await server.ready()
            assert address.startswith("https://")
            async with httpx.AsyncClient(base_url=address, verify=trusting, trust_env=False) as client:
                path = "/v1/convai/conversation/get-signed-url?agent_id=private"
                url = (await client.get(path, headers={"xi-api-key": "sk_x"})).json()["signed_url"]
            assert url.startswith(address.replace("https", "wss", 1))
            async with connect(url, ssl=trusting, proxy=None) as caller:
                assert json.loads(await caller.recv())["type"] == "conversation_initiation_metadata"
            code, _, err = await server.stopped()
            assert code == 0
            assert "conversation begins" in err
            assert "cvtkn_" not in err, "a signature is nobody's business, the log's reader's included"

    asyncio.run(scene())
