"""Post-call webhooks, received by a real server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from antiphon.errors import RemoteProtocolError
from antiphon.protocol.events import EnclaveSetup
from antiphon.server import webhooks
from antiphon.server.records import Records
from antiphon.server.webhooks import FIRST_PAUSE, Deliveries, PostCallWebhook, requested, sign
from antiphon.session.tools.hosts import HostPolicy
from antiphon.store.conversations import Conversation
from antiphon.store.recordings import open_recordings
from antiphon.store.store import open_store

Serving = Callable[..., AbstractAsyncContextManager[Any]]
Kept = Callable[..., list[Any]]
SECRET = "a secret of the tests"
OPEN = {"allow_client_config": True, "client_config_engines": ["scripted", "scripted.*", "energy"]}


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


class Receiver:
    """A web server that takes what is posted, and answers as it is told: an answer each, in the order of the posts."""

    def __init__(self) -> None:
        self.posts: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        "Head and body."
        self.answers: asyncio.Queue[str] = asyncio.Queue()

    def will_answer(self, *statuses: str) -> None:
        for status in statuses:
            self.answers.put_nowait(status)

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[str]:
        async with await asyncio.start_server(self._take, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await self.posts.put((head, await reader.readexactly(size)))
            answering = asyncio.create_task(self.answers.get())
            gone = asyncio.create_task(reader.read())
            await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                status = answering.result()
                writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            answering.cancel()
            gone.cancel()


async def converse(server: Any, document: Any, address: str) -> str:
    """A conversation of which the record goes to `address`. Returns its id; its record is written."""
    async with server.call(url=f"{server.address.replace('http', 'ws', 1)}/v1/convai/orchestrator") as caller:
        hook = {"url": address, "hmac_secret": SECRET}
        setup = {"agent_config_dict": document(), "post_call_transcription_webhook": hook}
        await caller.say({"type": "enclave_setup_config", **setup})
        await caller.initiate()
        metadata = await caller.hear("conversation_initiation_metadata")
        await caller.hear("agent_response")
    await server.services.sessions.idle()
    return metadata["conversation_id"]


async def failed(server: Any, attempts: int) -> None:
    """Returns when so many attempts at the one delivery have failed."""
    while [delivery.attempts for delivery in await server.services.store.deliveries.waiting()] != [attempts]:
        pass


def later(server: Any, clock: Any, seconds: float) -> None:
    """So much time goes by, for the queue too."""
    clock.now += seconds
    server.services.deliveries.nudge()


def test_the_record_is_posted_signed_and_again_after_an_error(serving: Serving, clock: Any, document: Any) -> None:
    """500, 503, then 200: each attempt after twice the pause, with the document that REST answers, signed anew."""

    async def scene() -> None:
        receiver = Receiver()
        async with receiver.listening() as address, serving(**OPEN) as server:
            receiver.will_answer("500 Broken", "503 Busy", "200 OK")
            conversation_id = await converse(server, document, address)
            _, first = await receiver.posts.get()
            await failed(server, 1)
            later(server, clock, FIRST_PAUSE)
            await receiver.posts.get()
            await failed(server, 2)
            assert (await server.services.store.deliveries.next_due()) == clock.now + 2 * FIRST_PAUSE
            later(server, clock, 2 * FIRST_PAUSE)
            head, body = await receiver.posts.get()
            assert json.loads(first)["data"] == json.loads(body)["data"]
            message = json.loads(body)
            assert message["type"] == "post_call_transcription"
            assert message["data"] == await server.record(conversation_id)
            assert f"elevenlabs-signature: {sign(SECRET, body, clock.now)}".encode() in head.lower()

    asyncio.run(scene())


def test_a_receiver_that_does_not_answer_is_tried_again(
    serving: Serving, clock: Any, document: Any, monkeypatch: pytest.MonkeyPatch, kept: Kept
) -> None:
    """It has so many seconds, then it counts as not there."""

    async def scene() -> None:
        receiver = Receiver()
        async with receiver.listening() as address, serving(**OPEN) as server:
            with monkeypatch.context() as impatient:
                impatient.setattr(webhooks, "ATTEMPT_TIMEOUT", 0.05)
                await converse(server, document, address)
                await failed(server, 1)
            assert receiver.posts.qsize() <= 1  # less, if the time was over before it had read everything
            receiver.will_answer("200 OK")
            later(server, clock, FIRST_PAUSE)

    asyncio.run(scene())
    assert kept("SELECT id FROM deliveries") == []


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone", "302 Found"])
def test_a_refusal_is_final(serving: Serving, document: Any, kept: Kept, status: str) -> None:
    """Only 5xx and 429 are tried again; redirects are not followed."""

    async def scene() -> None:
        receiver = Receiver()
        async with receiver.listening() as address, serving(**OPEN) as server:
            receiver.will_answer(status)
            await converse(server, document, address)
            await receiver.posts.get()

    asyncio.run(scene())
    assert kept("SELECT id FROM deliveries") == []


def test_a_stop_waits_for_what_is_being_delivered(tmp_path: Path, clock: Any) -> None:
    """The receiver answers when the end has begun already."""

    async def scene() -> None:
        receiver, folder = Receiver(), tmp_path / "recordings"
        async with receiver.listening() as address, open_store(f"sqlite:///{tmp_path / 'antiphon.db'}") as store:
            talk = Conversation("conv_1", "desk", clock.now, status="done", document={"conversation_id": "conv_1"})
            await store.conversations.begin(talk, now=clock.now)
            await store.conversations.finish(talk, webhooks=[PostCallWebhook(address).queued], now=clock.now)
            records = Records(store.conversations, open_recordings(str(folder)), folder, clock)
            async with Deliveries(store, records, HostPolicy(["127.0.0.1"]), clock).running(20):
                await receiver.posts.get()
                asyncio.get_running_loop().call_soon(receiver.will_answer, "200 OK")
            assert await store.deliveries.waiting() == []

    asyncio.run(scene())


def test_a_conversation_that_the_stop_ends_is_posted_too(serving: Serving, document: Any, kept: Kept) -> None:
    """Its record is written in time for it."""

    async def scene() -> None:
        receiver = Receiver()
        receiver.will_answer("200 OK")
        async with receiver.listening() as address, AsyncExitStack() as stack:
            async with serving(**OPEN) as server:
                url = f"{server.address.replace('http', 'ws', 1)}/v1/convai/orchestrator"
                caller = await stack.enter_async_context(server.call(url=url))
                setup = {"agent_config_dict": document(), "post_call_transcription_webhook": {"url": address}}
                await caller.say({"type": "enclave_setup_config", **setup})
                await caller.initiate()
                metadata = await caller.hear("conversation_initiation_metadata")
                await caller.hear("agent_response")
            _, body = receiver.posts.get_nowait()
            assert json.loads(body)["data"]["conversation_id"] == metadata["conversation_id"]

    asyncio.run(scene())
    assert kept("SELECT id FROM deliveries") == []


def test_what_a_stop_breaks_off_is_delivered_by_the_next_start(serving: Serving, document: Any, kept: Kept) -> None:
    """The stop has a deadline; the attempt that it broke off is not counted."""
    receiver = Receiver()

    async def scene() -> None:
        async with receiver.listening() as address:
            async with serving(**OPEN, shutdown_timeout=0.1) as server:
                conversation_id = await converse(server, document, address)
                await receiver.posts.get()
            assert kept("SELECT attempts FROM deliveries") == [0]
            receiver.will_answer("200 OK")
            async with serving(**OPEN):
                _, body = await receiver.posts.get()
            assert json.loads(body)["data"]["conversation_id"] == conversation_id

    asyncio.run(scene())
    assert kept("SELECT id FROM deliveries") == []


def test_an_address_that_is_forbidden_by_now_is_named_in_the_log(
    serving: Serving, clock: Any, document: Any, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """With the setting that would allow it: tools have another one."""

    async def scene() -> None:
        receiver = Receiver()
        receiver.will_answer("503 Busy")
        async with receiver.listening() as address:
            async with serving(**OPEN) as server:
                conversation_id = await converse(server, document, address)
                await failed(server, 1)
            clock.now += FIRST_PAUSE
            async with serving(public_url="https://voice.example.com"):
                pass
            assert receiver.posts.qsize() == 1
        (line,) = [record for record in caplog.records if "cannot be posted" in record.getMessage()]
        assert "webhook_hosts" in line.getMessage()
        assert "tool_hosts" not in line.getMessage()
        assert line.__dict__["conversation_id"] == conversation_id

    asyncio.run(scene())
    assert kept("SELECT id FROM deliveries") == []
