"""The workspace's webhooks: made, changed, and told of conversations, by the next server if need be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx

from antiphon.server.webhooks import sign

Serving = Callable[..., AbstractAsyncContextManager[Any]]
WEBHOOKS = "/v1/workspace/webhooks"
KEY = {"xi-api-key": "sk_of_the_tests"}


class Receiver:
    """Somebody's web server: answers 200 while it is `up`, 503 else, and keeps what it got."""

    def __init__(self) -> None:
        self.up = True
        self.got: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.put_nowait((headers, body))
        status = b"200 OK" if self.up else b"503 Busy"
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()


@asynccontextmanager
async def receiving() -> AsyncGenerator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield receiver


def client(server: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.address, trust_env=False, headers=KEY)


async def chosen(server: Any, asking: httpx.AsyncClient, url: str) -> str:
    """A webhook that the whole workspace uses. Returns its secret."""
    creation = {"settings": {"auth_type": "hmac", "name": "w", "webhook_url": url}}
    made = (await asking.post(WEBHOOKS, json=creation)).json()
    settings = {"webhooks": {"post_call_webhook_id": made["webhook_id"], "events": ["transcript"]}}
    await server.services.store.resources.put("settings", "workspace", "settings", settings, now=1.0)
    return made["webhook_secret"]


async def held(server: Any) -> str:
    async with server.call() as caller:
        await caller.initiate()
        metadata = await caller.hear("conversation_initiation_metadata")
        await caller.hear("agent_response")
    await server.services.sessions.idle()
    return metadata["conversation_id"]


def test_a_webhook_is_made_shown_changed_and_forgotten(serving: Serving) -> None:
    """Its secret is told once."""

    async def scene() -> None:
        async with serving() as server, client(server) as asking:
            settings = {"auth_type": "hmac", "name": "mine", "webhook_url": "https://example.com/x"}
            made = (await asking.post(WEBHOOKS, json={"settings": settings})).json()
            assert made["webhook_secret"].startswith("wsec_")
            (shown,) = (await asking.get(WEBHOOKS)).json()["webhooks"]
            assert shown["webhook_id"] == made["webhook_id"]
            assert (shown["name"], shown["is_disabled"]) == ("mine", False)
            assert shown["webhook_url"] == settings["webhook_url"]
            assert made["webhook_secret"] not in json.dumps(shown)
            path = f"{WEBHOOKS}/{made['webhook_id']}"
            assert (await asking.patch(path, json={"is_disabled": True, "name": "yours"})).json() == {"status": "ok"}
            (shown,) = (await asking.get(WEBHOOKS)).json()["webhooks"]
            assert (shown["name"], shown["is_disabled"]) == ("yours", True)
            assert (await asking.delete(path)).status_code == 200
            assert (await asking.delete(path)).status_code == 404
            assert (await asking.get(WEBHOOKS)).json() == {"webhooks": []}
            wrong = {"settings": {**settings, "webhook_url": "ftp://example.com"}}
            assert (await asking.post(WEBHOOKS, json=wrong)).status_code == 400

    asyncio.run(scene())


def test_the_workspace_is_told_of_a_conversation(serving: Serving, clock: Any) -> None:
    """Signed with the webhook's secret; the body is the record that REST answers."""

    async def scene() -> None:
        async with receiving() as receiver, serving() as server, client(server) as asking:
            secret = await chosen(server, asking, receiver.url)
            identifier = await held(server)
            headers, body = await receiver.got.get()
            assert headers["elevenlabs-signature"] == sign(secret, body, clock.now)
            message = json.loads(body)
            assert message["type"] == "post_call_transcription"
            assert message["data"] == await server.record(identifier)

    asyncio.run(scene())


def test_what_could_not_be_delivered_is_delivered_by_the_next_server(serving: Serving, clock: Any) -> None:
    """The receiver is down until after the restart: nothing is lost, nothing comes twice."""

    async def scene() -> None:
        async with receiving() as receiver:
            receiver.up = False
            async with serving(shutdown_timeout=0.1) as server, client(server) as asking:
                await chosen(server, asking, receiver.url)
                identifier = await held(server)
                await receiver.got.get()
            receiver.up = True
            while not receiver.got.empty():
                receiver.got.get_nowait()
            clock.now += 3600
            async with serving() as server:
                _, body = await receiver.got.get()
                assert json.loads(body)["data"]["conversation_id"] == identifier
                while await server.services.store.deliveries.waiting():  # noqa: ASYNC110  it is about to be forgotten
                    await asyncio.sleep(0.01)
            assert receiver.got.empty()

    asyncio.run(scene())
