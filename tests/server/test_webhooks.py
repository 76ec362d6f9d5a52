"""Post-call webhooks, received by a real server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from antiphon.errors import RemoteProtocolError
from antiphon.protocol.events import EnclaveSetup
from antiphon.server import webhooks
from antiphon.server.webhooks import requested, sign

Serving = Callable[..., AbstractAsyncContextManager[Any]]
SECRET = "a secret of the tests"


def test_a_signature_is_the_vendors() -> None:
    """rest.md 3.2: the vector."""
    digest = "7d44587dddbaf4c7f70fef20f48cd594834ffea1641e3ac227b84408298738af"
    assert sign("whsec", b"{}", 1_700_000_000.9) == f"t=1700000000,v0={digest}"


def test_both_forms_at_once_are_refused() -> None:
    """protocol.md 2.6; the legacy form alone is understood, an empty one is none."""
    with pytest.raises(RemoteProtocolError, match="not both"):
        requested(EnclaveSetup(transcription_webhook_url="http://a", transcription_webhook={"url": "http://a"}))
    (legacy,) = requested(EnclaveSetup(transcription_webhook_url="http://a/b"))
    assert (legacy.url, legacy.secret, legacy.kind) == ("http://a/b", None, "transcription")
    (legacy,) = requested(EnclaveSetup(audio_webhook_url="http://a/b"))
    assert (legacy.url, legacy.secret, legacy.kind) == ("http://a/b", None, "audio")
    assert requested(EnclaveSetup(transcription_webhook_url="", audio_webhook_url="")) == []


def test_the_record_is_posted_signed_and_again_after_an_error(
    serving: Serving, clock: Any, document: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, then 200: two attempts with one body, which is the document that REST answers."""
    monkeypatch.setattr(webhooks, "FIRST_PAUSE", 0.0)
    received: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
    answers = [b"503 Busy", b"200 OK"]

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await received.put((head, await reader.readexactly(size)))
        writer.write(b"HTTP/1.1 " + answers.pop(0) + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async def scene() -> None:
        receiver = await asyncio.start_server(receive, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/hook"
        allowed = ["scripted", "scripted.*", "energy"]
        async with receiver, serving(allow_client_config=True, client_config_engines=allowed) as server:
            url = f"{server.address.replace('http', 'ws', 1)}/v1/convai/orchestrator"
            async with server.call(url=url) as caller:
                hook = {"url": address, "hmac_secret": SECRET}
                setup = {"agent_config_dict": document(), "post_call_transcription_webhook": hook}
                await caller.say({"type": "enclave_setup_config", **setup})
                await caller.initiate()
                metadata = await caller.hear("conversation_initiation_metadata")
                await caller.hear("agent_response")
            (_, first), (head, body) = await received.get(), await received.get()
            assert first == body
            message = json.loads(body)
            assert message["type"] == "post_call_transcription"
            assert message["data"] == await server.record(metadata["conversation_id"])
            assert f"elevenlabs-signature: {sign(SECRET, body, clock.now)}".encode() in head.lower()

    asyncio.run(scene())
