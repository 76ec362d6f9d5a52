"""A scripted server on the loopback: a test plays its part, message by message."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import websockets

from antiphon import Antiphon, AsyncConversation
from antiphon.protocol.codec import encode_server
from antiphon.protocol.events import ConversationMetadata

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

METADATA = ConversationMetadata(conversation_id="conv_1")


class Peer:
    """The server's end of one conversation."""

    def __init__(self, socket: websockets.ServerConnection) -> None:
        self.socket = socket
        self.path = socket.request.path if socket.request is not None else ""
        self.received: list[dict[str, Any]] = []

    async def say(self, message: Any) -> None:
        """Sends an event, a JSON object, or any text or bytes as they are."""
        if isinstance(message, dict):
            message = json.dumps(message)
        elif not isinstance(message, str | bytes):
            message = encode_server(message)
        await self.socket.send(message)

    async def hear(self, kind: str | None = None) -> dict[str, Any]:
        """The client's next message; of type `kind`, leaving out what comes before it."""
        while True:
            message = json.loads(await self.socket.recv())
            self.received.append(message)
            if kind is None or message.get("type") == kind or kind in message:
                return message

    async def hear_end(self) -> tuple[int | None, str | None]:
        """The code and reason with which the client closes; its messages until then are in `received`."""
        try:
            while True:
                await self.hear()
        except websockets.ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (None, None)


class Server:
    """Takes conversations in."""

    def __init__(self) -> None:
        self.url = ""
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()

    async def __aenter__(self) -> Server:
        self._server = await websockets.serve(self._hold, "127.0.0.1", 0, max_size=None)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _hold(self, socket: websockets.ServerConnection) -> None:
        self._peers.put_nowait(Peer(socket))
        await socket.wait_closed()

    async def accept(self, metadata: ConversationMetadata | None = METADATA) -> Peer:
        """The next conversation, its initiation heard, its metadata said unless that is None."""
        peer = await self._peers.get()
        await peer.hear("conversation_initiation_client_data")
        if metadata is not None:
            await peer.say(metadata)
        return peer

    def conversation(self, **options: Any) -> AsyncConversation:
        """A conversation with this server."""
        return AsyncConversation(Antiphon(self.url), "agent_1", **({"requires_auth": False} | options))

    async def begin(self, **options: Any) -> tuple[AsyncConversation, Peer]:
        """A conversation that is going on, and the server's end of it."""
        conversation = self.conversation(**options)
        await conversation.start_session()
        peer = await self.accept()
        await conversation.connected()
        return conversation, peer


@pytest.fixture
def scene() -> Callable[[Callable[[Server], Awaitable[None]]], None]:
    """Plays a scene against a scripted server, within 10 seconds; nothing of it may be left running."""

    def play(script: Callable[[Server], Awaitable[None]]) -> None:
        async def run() -> None:
            async with asyncio.timeout(10):
                async with Server() as server:
                    await script(server)
                await asyncio.sleep(0)
            left = {task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}}
            assert not left, f"tasks left running: {left}"

        before = set(threading.enumerate())
        asyncio.run(run())
        left = [t for t in set(threading.enumerate()) - before if t.name.startswith("antiphon-audio")]
        for thread in left:
            thread.join(1)
            assert not thread.is_alive(), f"thread left running: {thread.name}"

    return play


@pytest.fixture
def ended() -> Callable[[AsyncConversation], Awaitable[str | None]]:
    """Ends a conversation and waits until all is over."""

    async def end(conversation: AsyncConversation) -> str | None:
        await conversation.end_session()
        return await conversation.wait_for_session_end()

    return end
