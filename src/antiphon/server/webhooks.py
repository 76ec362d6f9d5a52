"""Post-call webhooks: the record of a conversation, and its recording, signed and posted to who asked for them.

Deliveries wait in nobody's way: they begin when a conversation's record is written, run beside the live ones, and get a
last deadline when the server stops. `post_call_audio` is sent only of conversations that were recorded.
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
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import httpx
import msgspec

from antiphon.errors import NotFoundError, RemoteProtocolError
from antiphon.protocol.events import EnclaveSetup
from antiphon.session.tools.hosts import GuardedTransport, HostError, HostPolicy

logger = logging.getLogger(__name__)

SIGNATURE_HEADER = "ElevenLabs-Signature"
SHORTEST_SECRET = 16
"Characters; the original's orchestrator refuses shorter ones (protocol.md 2.6)."
ATTEMPTS = 4
"Deliveries tried before a webhook is given up."
FIRST_PAUSE = 1.0
"Seconds before the second attempt; each further pause is twice as long."
ATTEMPT_TIMEOUT = 10.0
"Seconds that a receiver has to answer one attempt."
MOST_DELIVERIES = 256
"Deliveries under way at one time; further ones are dropped with a warning, so that a dead receiver costs no memory."
PIECE = 1 << 16
"Bytes of a chunk in which a recording is posted."

Kind: TypeAlias = Literal["transcription", "audio"]


class PostCallWebhook(msgspec.Struct, frozen=True):
    """Where the record or the recording goes. `secret`: what it is signed with; None: it is not signed."""

    url: str
    secret: str | None = None
    kind: Kind = "transcription"


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


class Deliveries:
    """Posts records and recordings in the background.

    `hosts`: where to; `document`: the record of a conversation, blocking; `recording`: its recording, which raises
    NotFoundError where there is none; `epoch`: seconds since 1970.
    """

    def __init__(
        self,
        hosts: HostPolicy,
        document: Callable[[str], dict[str, Any]],
        recording: Callable[[str], Path],
        epoch: Callable[[], float],
    ) -> None:
        self._hosts = hosts
        self._document = document
        self._recording = recording
        self._epoch = epoch
        self._tasks: asyncio.TaskGroup | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self, drain_timeout: float) -> AsyncGenerator[None]:
        """Deliver meanwhile; on leaving, wait so many seconds for what is under way and give up the rest."""
        raised: Exception | None = None
        async with asyncio.TaskGroup() as self._tasks:
            try:
                yield
            except Exception as error:  # noqa: BLE001  raised again below, where the group cannot wrap it
                raised = error
            finally:
                if self._under_way:
                    _, late = await asyncio.wait(self._under_way, timeout=drain_timeout)
                    for task in late:
                        task.cancel()
                    if late:
                        logger.warning("%d webhooks were not delivered before the stop", len(late))
        if raised is not None:
            raise raised

    async def check(self, webhook: PostCallWebhook) -> None:
        """Raises RemoteProtocolError if the server may not or cannot reach it."""
        parts = urlsplit(webhook.url)
        try:
            await self._hosts.addresses(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        except HostError as error:
            message = f"post_call_{webhook.kind}_webhook: not a public host, and not in the server's webhook_hosts"
            raise RemoteProtocolError(message) from error
        except (OSError, UnicodeError) as error:
            raise RemoteProtocolError(f"post_call_{webhook.kind}_webhook: its host cannot be looked up") from error

    def post(self, webhook: PostCallWebhook, conversation_id: str) -> None:
        """Deliver what is wanted of a conversation that is over. Returns at once."""
        if self._tasks is None or len(self._under_way) >= MOST_DELIVERIES:
            logger.warning("a webhook is dropped: too many wait", extra={"conversation_id": conversation_id})
            return
        task = self._tasks.create_task(self._deliver(webhook, conversation_id))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _deliver(self, webhook: PostCallWebhook, conversation_id: str) -> None:
        extra: dict[str, Any] = {"conversation_id": conversation_id}
        try:
            body = await asyncio.to_thread(self._body, webhook.kind, conversation_id)
            async with httpx.AsyncClient(transport=GuardedTransport(self._hosts), timeout=ATTEMPT_TIMEOUT) as client:
                for attempt in range(ATTEMPTS):
                    if attempt:
                        await asyncio.sleep(FIRST_PAUSE * 2 ** (attempt - 1))
                    if await self._attempt(client, webhook, body, extra):
                        return
            logger.warning("a webhook was given up", extra={**extra, "attempts": ATTEMPTS})
        except NotFoundError:
            logger.info("a webhook has nothing to post: the conversation was not recorded", extra=extra)
        except Exception:
            logger.exception("a webhook failed", extra=extra)

    def _body(self, kind: Kind, conversation_id: str) -> bytes:
        document = self._document(conversation_id)
        if kind == "audio":
            return audio(document, self._recording(conversation_id).read_bytes(), self._epoch())
        return transcription(document, self._epoch())

    async def _attempt(
        self, client: httpx.AsyncClient, webhook: PostCallWebhook, body: bytes, extra: Mapping[str, Any]
    ) -> bool:
        """Whether there is nothing more to try: it was taken, or refused for good."""
        headers = {"content-type": "application/json"}
        content = body if webhook.kind == "transcription" else _chunks(body)
        if webhook.secret is not None:
            headers[SIGNATURE_HEADER] = sign(webhook.secret, body, self._epoch())
        try:
            async with (
                asyncio.timeout(ATTEMPT_TIMEOUT),
                client.stream("POST", webhook.url, content=content, headers=headers) as answer,
            ):
                status = answer.status_code
        except (httpx.TransportError, TimeoutError):
            return False
        if not 200 <= status < 300:
            logger.warning("a webhook was refused", extra={**extra, "status": status})
        return status < 500 and status != 429


async def _chunks(body: bytes) -> AsyncGenerator[bytes]:
    """As the original posts a recording: its receivers know it by the chunked transfer encoding (rest.md 3.2)."""
    for begin in range(0, len(body), PIECE):
        yield body[begin : begin + PIECE]
