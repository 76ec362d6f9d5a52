"""The socket of the async client, against a server of websockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.frames import Frame, Opcode

from antiphon.client.loop_socket import LoopSocket, open_socket

MOST = 100_000


def joined(answer: Callable[[ServerConnection], Awaitable[None]], scene: Callable[[LoopSocket], Any]) -> None:
    """Run both ends."""

    async def run() -> None:
        async with asyncio.timeout(10), serve(answer, "127.0.0.1", 0, compression=None) as server:
            port = server.sockets[0].getsockname()[1]
            async with open_socket(f"ws://127.0.0.1:{port}/?a=b", max_size=MOST, headers={"x-a": "b"}) as socket:
                await scene(socket)

    asyncio.run(run())


async def to_the_end(socket: LoopSocket) -> tuple[list[str | bytes], ConnectionClosed]:
    """What comes, and how it ends."""
    heard: list[str | bytes] = []
    socket.begin(heard.append)
    with pytest.raises(ConnectionClosed) as closed:
        await socket.recv()
    return heard, closed.value


def test_messages_come_whole_and_in_order_from_the_first_on() -> None:
    """Those that came before anybody took them, those in fragments, and those that are no text."""

    async def answer(peer: ServerConnection) -> None:
        assert (peer.request.path, peer.request.headers["x-a"]) == ("/?a=b", "b")
        await peer.send("early")
        assert await peer.recv() == "go on"
        await peer.send(["in ", "two ", "and a half: \N{SNOWMAN}"])
        await peer.send(b"bytes")
        await peer.send([b"by", b"tes"])
        await peer.close(1000, "done")

    async def scene(socket: LoopSocket) -> None:
        socket.send_now("go on")
        heard, closed = await to_the_end(socket)
        assert heard == ["early", "in two and a half: \N{SNOWMAN}", b"bytes", b"bytes"]
        assert isinstance(closed, ConnectionClosedOK)
        assert (closed.rcvd.code, closed.rcvd.reason) == (1000, "done")
        assert str(closed) == "received 1000 (OK) done; then sent 1000 (OK) done"

    joined(answer, scene)


def test_a_refusal_during_the_conversation_is_told_with_its_words() -> None:
    """As websockets words it."""

    async def answer(peer: ServerConnection) -> None:
        await peer.close(1008, "not allowed")

    async def scene(socket: LoopSocket) -> None:
        _, closed = await to_the_end(socket)
        assert isinstance(closed, ConnectionClosedError)
        assert str(closed).startswith("received 1008 (policy violation) not allowed; then sent 1008")
        socket.send_now("nobody hears it")
        with pytest.raises(ConnectionClosedError):
            await socket.send("nobody hears it")

    joined(answer, scene)


@pytest.mark.parametrize(
    ("broken", "code"), [("dropped", 1006), ("too big", 1009), ("fragments too big", 1009), ("no text", 1007)]
)
def test_what_breaks_the_protocol_breaks_the_connection(broken: str, code: int) -> None:
    """And nothing of it reaches the taker."""
    ended = asyncio.Event()

    async def answer(peer: ServerConnection) -> None:
        match broken:
            case "dropped":
                peer.transport.abort()
            case "too big":
                await peer.send("x" * (MOST + 1))
            case "fragments too big":
                await peer.send(["x" * (MOST // 2)] * 3)
            case _:
                peer.transport.write(Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=False))
        await peer.wait_closed()
        ended.set()

    async def scene(socket: LoopSocket) -> None:
        heard, closed = await to_the_end(socket)
        assert [len(each) for each in heard] == []
        assert isinstance(closed, ConnectionClosedError)
        assert (closed.sent.code if closed.sent is not None else 1006) == code
        await ended.wait()

    joined(answer, scene)


def test_closing_tells_the_server_and_waits_for_it() -> None:
    """With a code and words."""
    told: list[tuple[int | None, str | None]] = []

    async def answer(peer: ServerConnection) -> None:
        await peer.wait_closed()
        told.append((peer.close_code, peer.close_reason))

    async def scene(socket: LoopSocket) -> None:
        await socket.close(1000, "enough")
        with pytest.raises(ConnectionClosedOK):
            await socket.recv()
        await asyncio.sleep(0)  # the server's handler ends

    joined(answer, scene)
    assert told == [(1000, "enough")]


def test_who_is_not_let_in_is_told_the_status() -> None:
    """As websockets tells it."""

    async def run() -> None:
        def refuse(peer: ServerConnection, request: Any) -> Any:
            return peer.respond(401, "no")

        async def answer(peer: ServerConnection) -> None:
            raise AssertionError

        async with serve(answer, "127.0.0.1", 0, process_request=refuse) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(InvalidStatus, match="server rejected WebSocket connection: HTTP 401"):
                async with open_socket(f"ws://127.0.0.1:{port}/", max_size=MOST):
                    raise AssertionError
        with pytest.raises(OSError, match="Errno 111"):
            async with open_socket(f"ws://127.0.0.1:{port}/", max_size=MOST):
                raise AssertionError

    asyncio.run(run())
