"""What is kept until the session exists, and a client that reads nothing: the socket as two callables, no network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from antiphon.audio.formats import parse_format
from antiphon.protocol.events import UserActivity, UserAudio
from antiphon.server.early import EARLY_AUDIO, EarlyMessages
from antiphon.server.websocket import ConversationRoute, pieces

Serving = Callable[..., AbstractAsyncContextManager[Any]]

PCM = parse_format("pcm_16000")


def chunk(number: int) -> UserAudio:
    """A tenth of a second that can be told from others."""
    return UserAudio(bytes([number]) * PCM.bytes_of(0.1))


def test_the_newest_five_seconds_of_audio_are_kept_with_everything_else_in_order() -> None:
    """The oldest audio goes; a message between two chunks stays between them."""
    early = EarlyMessages(PCM)
    early.add(UserActivity(), 10)
    for number in range(60):
        early.add(chunk(number), 0)
        if number == 40:
            early.add(UserActivity(extra={"after": 40}), 10)
    kept = early.take()
    audio = [event.audio[0] for event in kept if isinstance(event, UserAudio)]
    assert audio == list(range(10, 60))
    assert len(audio) * 0.1 == EARLY_AUDIO
    assert kept[0] == UserActivity()
    assert kept.index(UserActivity(extra={"after": 40})) == kept.index(chunk(40)) + 1
    assert early.take() == []


def test_audio_never_stops_the_reading_but_messages_do() -> None:
    """A client cannot fill the memory with either."""
    early = EarlyMessages(PCM)
    for number in range(200):
        early.add(chunk(number), 4300)
    assert not early.full
    for _ in range(2000):
        early.add(UserActivity(), 25)
    assert early.full


def test_long_audio_is_cut_and_no_byte_is_lost() -> None:
    """A client may send minutes in one message; hearing them in one go would stop everybody else."""
    audio = bytes(range(256)) * 400
    cut = list(pieces(UserAudio(audio), 8000))
    assert max(len(piece.audio) for piece in cut) == 8000
    assert b"".join(piece.audio for piece in cut) == audio
    assert list(pieces(UserAudio(b"x" * 8000), 8000)) == [UserAudio(b"x" * 8000)]
    assert list(pieces(UserAudio(b""), 8000)) == []
    assert list(pieces(UserActivity(), 8000)) == [UserActivity()]
    assert list(pieces(None, 8000)) == []


def test_a_client_that_reads_nothing_is_given_up(serving: Serving) -> None:
    """The transport takes no more for longer than `unread_timeout`: the conversation ends, its place is free."""

    async def scene() -> None:
        async with serving(unread_timeout=0.1, ping_interval=0.01, initiation_timeout=0.05) as server:
            incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            incoming.put_nowait({"type": "websocket.connect"})
            sent: list[dict[str, Any]] = []

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)
                if len(sent) > 3:
                    await asyncio.Event().wait()  # as a full send buffer: it never drains

            scope = {"query_string": b"agent_id=desk", "headers": [], "subprotocols": []}
            await ConversationRoute(server.services)(scope, incoming.get, send)
            assert server.services.sessions.live == {}
            assert "websocket.close" not in [message["type"] for message in sent]

    asyncio.run(scene())


def test_a_client_that_is_gone_is_not_written_to(serving: Serving) -> None:
    """ASGI says so by OSError from `send`: no traceback, an ordinary end."""

    async def scene() -> None:
        async with serving(initiation_timeout=3600) as server:
            incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            incoming.put_nowait({"type": "websocket.connect"})

            async def send(message: dict[str, Any]) -> None:
                if message["type"] == "websocket.send":
                    raise OSError("the peer is gone")

            scope = {"query_string": b"agent_id=desk", "headers": [], "subprotocols": []}
            await ConversationRoute(server.services)(scope, incoming.get, send)
            assert server.services.sessions.live == {}

    asyncio.run(scene())
