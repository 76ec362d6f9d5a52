"""Post-call webhooks: the record of a conversation, and its recording, signed and posted to who asked for them.

Deliveries are queued in the store together with the record itself, so that neither a crash nor a restart loses one.
They run beside the live conversations and get a last deadline when the server stops; what is left is delivered by the
next one. `post_call_audio` is sent only of conversations that were recorded.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import urlsplit

import httpx
import msgspec

from antiphon.agents.config import AgentConfig
from antiphon.errors import NotFoundError, RemoteProtocolError, StoreError
from antiphon.protocol.events import EnclaveSetup
from antiphon.session.tools.hosts import GuardedTransport, HostError, HostPolicy
from antiphon.store.deliveries import Delivery
from antiphon.store.resources import Resources
from antiphon.store.store import Store

from .alongside import alongside
from .records import Records
from .workspace_settings import mapping, setting_for

logger = logging.getLogger(__name__)

SIGNATURE_HEADER = "ElevenLabs-Signature"
SHORTEST_SECRET = 16
"Characters; the original's orchestrator refuses shorter ones (protocol.md 2.6)."
ATTEMPTS = 16
"Deliveries tried before a webhook is given up: for about four hours."
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 3600.0
"Seconds before the second attempt; each further pause is twice as long, up to the longest."
ATTEMPT_TIMEOUT = 10.0
"Seconds that a receiver has to answer one attempt."
MOST_DELIVERIES = 16
"Deliveries under way at one time; the others wait in the store."
CLAIM = 60.0
"Seconds for which a delivery is this node's alone."
LOOK = 5.0
"Seconds after which the queue is looked at anyway: another node may have put something into it, or have died."
PIECE = 1 << 16
"Bytes of a chunk in which a recording is posted."
NO_PUBLIC_HOST = "not a public host, and not in the server's webhook_hosts"
"What is said of an address that a webhook may not go to: tools have another setting."

Kind: TypeAlias = Literal["transcription", "audio"]


class PostCallWebhook(msgspec.Struct, frozen=True):
    """Where the record or the recording goes: to a webhook of the workspace, or to an address that a client gave."""

    url: str = ""
    secret: str | None = None
    "What it is signed with; None: it is not signed."
    kind: Kind = "transcription"
    webhook_id: str | None = None
    "The workspace's webhook, whose address and secret are looked up when it is posted."

    @property
    def queued(self) -> tuple[Mapping[str, Any], str]:
        """As it stands in the queue: target and event."""
        target = (
            {"url": self.url, "secret": self.secret} if self.webhook_id is None else {"webhook_id": self.webhook_id}
        )
        return target, f"post_call_{self.kind}"


def sign(secret: str, body: bytes, now: float) -> str:
    """The signature header's value for exactly these bytes at this time (rest.md 3.2)."""
    stamp = int(now)
    digest = hmac.new(secret.encode(), b"%d." % stamp + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v0={digest}"


def transcription(document: Mapping[str, Any], now: float) -> bytes:
    """The body of `post_call_transcription`: the document as REST answers it, in UTF-8."""
    event = {"type": "post_call_transcription", "event_timestamp": int(now), "data": document}
    return json.dumps(event, ensure_ascii=False).encode()


def audio(document: Mapping[str, Any], mp3: bytes, now: float) -> bytes:
    """The body of `post_call_audio`."""
    data = {
        "agent_id": document["agent_id"],
        "conversation_id": document["conversation_id"],
        "full_audio": base64.b64encode(mp3).decode(),
    }
    return json.dumps({"type": "post_call_audio", "event_timestamp": int(now), "data": data}).encode()


def requested(setup: EnclaveSetup) -> list[PostCallWebhook]:
    """The webhooks that a client asks for.

    Raises:
        RemoteProtocolError: one is no webhook, its secret is too short, or it is given in both forms.
    """
    asked = (
        _webhook("transcription", setup.transcription_webhook, setup.transcription_webhook_url),
        _webhook("audio", setup.audio_webhook, setup.audio_webhook_url),
    )
    return [webhook for webhook in asked if webhook is not None]


def _webhook(kind: Kind, given: Mapping[str, Any] | None, url: str | None) -> PostCallWebhook | None:
    field = f"post_call_{kind}_webhook"
    if given and url:
        raise RemoteProtocolError(f"{field} and {field}_url: not both")
    if not given and not url:
        return None
    address = given.get("url") if given else url
    secret = (given or {}).get("hmac_secret")
    try:
        parts = urlsplit(address) if isinstance(address, str) else None
        port = parts.port if parts else None
    except ValueError:
        parts = port = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise RemoteProtocolError(f"{field}: url should be an http or https address")
    if secret is not None and (not isinstance(secret, str) or len(secret) < SHORTEST_SECRET):
        raise RemoteProtocolError(f"{field}: hmac_secret needs {SHORTEST_SECRET} characters")
    return PostCallWebhook(str(address), secret, kind)


async def chosen(agent: AgentConfig, resources: Resources) -> list[PostCallWebhook]:
    """The webhooks of the workspace that want this agent's conversations. Raises StoreError.

    The agent's `platform_settings.workspace_overrides.webhooks` stand before the workspace's settings.
    """
    wanted = await setting_for(agent, resources, "webhooks", having="post_call_webhook_id")
    webhook_id = wanted.get("post_call_webhook_id")
    if not isinstance(webhook_id, str) or not webhook_id:
        return []
    events = wanted.get("events")
    named: list[Any] = cast("list[Any]", events) if isinstance(events, list) else ["transcript"]
    kinds: list[Kind] = ["transcription"] if "transcript" in named else []
    if "audio" in named or wanted.get("send_audio"):
        kinds.append("audio")
    return [PostCallWebhook(kind=kind, webhook_id=webhook_id) for kind in kinds]


class Deliveries:
    """Posts records and recordings in the background, out of the queue in the store.

    `hosts`: where to; `epoch`: seconds since 1970; `count`: called with the outcome of each attempt.
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        hosts: HostPolicy,
        epoch: Callable[[], float],
        count: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self._store = store
        self._records = records
        self._hosts = hosts
        self._epoch = epoch
        self._count = count
        self._nudged = asyncio.Event()
        self._idle = asyncio.Event()

    @asynccontextmanager
    async def running(self, drain_timeout: float) -> AsyncGenerator[None]:
        """Deliver meanwhile; on leaving, try for so many seconds to deliver what is due. The rest stays queued."""
        async with alongside(self._work()):
            try:
                yield
            finally:
                self._idle.clear()
                self.nudge()
                try:
                    async with asyncio.timeout(drain_timeout):
                        await self._idle.wait()
                except TimeoutError:
                    logger.warning("not all webhooks were delivered before the stop: the next start goes on")

    def nudge(self) -> None:
        """Something was queued."""
        self._nudged.set()

    async def check(self, webhook: PostCallWebhook) -> None:
        """Raises RemoteProtocolError if the server may not or cannot reach it."""
        parts = urlsplit(webhook.url)
        try:
            await self._hosts.addresses(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        except HostError as error:
            raise RemoteProtocolError(f"post_call_{webhook.kind}_webhook: {NO_PUBLIC_HOST}") from error
        except (OSError, UnicodeError) as error:
            raise RemoteProtocolError(f"post_call_{webhook.kind}_webhook: its host cannot be looked up") from error

    async def _work(self) -> None:
        """Take what is due, deliver it, wait for what comes next; until cancelled."""
        while True:
            self._nudged.clear()
            try:
                pause = await self._round()
            except StoreError:
                logger.exception("the queue of webhooks cannot be read")
                pause = LOOK
            if pause <= 0:
                continue
            self._idle.set()
            try:
                async with asyncio.timeout(min(pause, LOOK)):
                    await self._nudged.wait()
            except TimeoutError:
                pass

    async def _round(self) -> float:
        """Deliver as much as may be under way at one time. Returns the seconds until more is due."""
        now = self._epoch()
        claimed = await self._store.deliveries.claim(now, until=now + CLAIM, limit=MOST_DELIVERIES)
        if claimed:
            async with asyncio.TaskGroup() as tasks:
                for delivery in claimed:
                    tasks.create_task(self._deliver(delivery))
            return 0.0
        due = await self._store.deliveries.next_due()
        return LOOK if due is None else max(0.05, due - now)

    async def _deliver(self, delivery: Delivery) -> None:
        extra: dict[str, Any] = {"conversation_id": delivery.conversation_id, "event": delivery.event}
        queue = self._store.deliveries
        try:
            failure = await self._post(delivery, extra)
        except NotFoundError as error:
            logger.warning("a webhook cannot be posted: %s", error, extra=extra)
            failure = None
        except HostError:
            logger.warning("a webhook cannot be posted: %s", NO_PUBLIC_HOST, extra=extra)
            failure = None
        except asyncio.CancelledError:
            await queue.later(delivery.id, due_at=self._epoch())
            raise
        except Exception:
            logger.exception("a webhook failed", extra=extra)
            failure = "failed"
        if failure is not None and delivery.attempts + 1 < ATTEMPTS:
            pause = min(FIRST_PAUSE * 2**delivery.attempts, LONGEST_PAUSE)
            await queue.later(delivery.id, due_at=self._epoch() + pause, failure=failure)
            return
        if failure is not None:
            logger.warning("a webhook was given up", extra={**extra, "attempts": ATTEMPTS})
        await queue.done(delivery.id)

    async def _post(self, delivery: Delivery, extra: Mapping[str, Any]) -> str | None:
        """One attempt. None: it was taken, or refused for good; else why it should be tried again."""
        url, secret, headers = await self._target(delivery.target)
        body = await self._body(delivery)
        content = body if delivery.event == "post_call_transcription" else _chunks(body)
        if secret is not None:
            headers[SIGNATURE_HEADER] = sign(secret, body, self._epoch())
        try:
            async with (
                asyncio.timeout(ATTEMPT_TIMEOUT),
                httpx.AsyncClient(transport=GuardedTransport(self._hosts), timeout=ATTEMPT_TIMEOUT) as client,
                client.stream("POST", url, content=content, headers=headers) as answer,
            ):
                status = answer.status_code
        except (httpx.TransportError, TimeoutError):
            self._count("unreachable")
            return "unreachable"
        if 200 <= status < 300:
            self._count("ok")
            return None
        self._count("refused")
        logger.warning("a webhook was refused", extra={**extra, "status": status})
        return f"status {status}" if status >= 500 or status == 429 else None

    async def _target(self, target: Mapping[str, Any]) -> tuple[str, str | None, dict[str, str]]:
        """Address, secret and headers. Raises NotFoundError: the webhook was deleted or disabled meanwhile."""
        headers = {"content-type": "application/json"}
        webhook_id = target.get("webhook_id")
        if webhook_id is None:
            return target["url"], target["secret"], headers
        document = (await self._store.resources.get("webhook", webhook_id)).document
        if document.get("is_disabled"):
            raise NotFoundError("webhook", webhook_id)
        given = mapping(document.get("request_headers"))
        return document["webhook_url"], document["secret"], {**{str(k): str(v) for k, v in given.items()}, **headers}

    async def _body(self, delivery: Delivery) -> bytes:
        document = await self._records.document(delivery.conversation_id)
        if delivery.event == "post_call_audio":
            sound = await self._records.audio(delivery.conversation_id)
            return await asyncio.to_thread(audio, document, sound, self._epoch())
        return await asyncio.to_thread(transcription, document, self._epoch())


async def _chunks(body: bytes) -> AsyncGenerator[bytes]:
    """As the original posts a recording: its receivers know it by the chunked transfer encoding (rest.md 3.2)."""
    for begin in range(0, len(body), PIECE):
        yield body[begin : begin + PIECE]
