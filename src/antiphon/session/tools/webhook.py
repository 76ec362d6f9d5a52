"""Tools that are HTTP requests of ours."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpx

from antiphon.agents.tools import ToolConfig
from antiphon.agents.webhook import Webhook, as_text
from antiphon.dialogue.outcome import Outcome

from .address import AddressError, address
from .answer import NOTHING, assigned, filtered, parsed, sanitized
from .hosts import GuardedTransport, HostError
from .values import ValueMissingError, Values

logger = logging.getLogger(__name__)

MAX_ANSWER = 1024 * 1024
"Bytes of an answer that are read, unpacked. More is a failure."
SUCCEEDED = "The request succeeded."
FAILED = "The tool failed; no details are available."

_NOT_THE_AUTHORS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
"Headers that a request has for HTTP's own sake."
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TEXTUAL = re.compile(r"text/|application/(.*[+.])?(json|xml|javascript|x-www-form-urlencoded|yaml)|^$")


class Failure(Exception):  # noqa: N818  not an error of this package: how a request ended, on its way up
    """A request failed. `summary` may be told to the model where the author does not hide it; `detail` is the rest."""

    def __init__(self, summary: str, detail: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: a status, where it leads, and a text."""

    status: int
    reason: str
    location: str
    kind: str
    text: str


class WebhookTools:
    """Sends the requests. One connection pool for each host, for as long as the conversation lasts.

    It speaks to the transport itself: a client would write every address, with the caller's words in it, to the log.
    """

    def __init__(self, values: Values, transport: GuardedTransport) -> None:
        self._values = values
        self._transport = transport

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def run(self, tool: ToolConfig, arguments: Mapping[str, Any]) -> Outcome:
        """Send it and read the answer."""
        assert tool.api_schema is not None, "offered only if it has an address"
        limit = tool.response_timeout_secs
        try:
            async with asyncio.timeout(limit if limit > 0 else None):
                reply = await self._exchange(tool, tool.api_schema, arguments)
        except TimeoutError:
            return self._failed(tool, Failure(f"there was no answer within {limit:g} seconds"))
        except Failure as failure:
            return self._failed(tool, failure)
        if not 200 <= reply.status < 300:
            return self._failed(tool, Failure(f"the answer was {reply.status} {reply.reason}".rstrip(), reply.text))
        return _outcome(reply, tool, tool.api_schema)

    def _failed(self, tool: ToolConfig, failure: Failure) -> Outcome:
        logger.warning(
            "a webhook tool failed", extra={"tool": tool.name, "why": self._values.redact(failure.summary)[:200]}
        )
        match tool.tool_error_handling_mode:
            case "passthrough":
                text = f"{failure.summary}: {failure.detail}" if failure.detail else failure.summary
            case "summarized":
                text = failure.summary
            case _:
                text = FAILED
        return Outcome(text, is_error=True)

    async def _exchange(self, tool: ToolConfig, webhook: Webhook, arguments: Mapping[str, Any]) -> Reply:
        try:
            request = await self._request(webhook, arguments)
            reply = await self._send(request)
            if tool.follow_redirects and reply.location:
                reply = await self._send(_next(request, reply.location, tool.follow_redirects_allowed_domains))
        except HostError as error:
            raise Failure(str(error)) from error
        except (AddressError, ValueMissingError) as error:
            raise Failure(f"the request could not be made: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise Failure(f"there was no connection ({type(error).__name__})") from error
        return reply

    async def _request(self, webhook: Webhook, arguments: Mapping[str, Any]) -> httpx.Request:
        if webhook.auth_connection:
            raise ValueMissingError("auth_connection is not supported by this server; use request_headers")
        parts = webhook.sort(arguments)
        url = httpx.URL(address(webhook.url, parts.path, self._values.variable))
        query = {name: _field(value) for name, value in parts.query.items()}
        headers = {"accept": "application/json, */*;q=0.5", "accept-encoding": "gzip", "user-agent": "antiphon"}
        content = None
        if webhook.has_body:
            headers["content-type"] = webhook.content_type
            content = _body(parts.body, webhook.content_type)
        for name, value in webhook.request_headers.items():
            if name.lower() not in _NOT_THE_AUTHORS:
                headers[name.lower()] = _checked(name, await self._values.header(value))
        encoded = {name.encode(): value.encode() for name, value in headers.items()}
        return httpx.Request(
            webhook.method, url.copy_merge_params(query) if query else url, headers=encoded, content=content
        )

    async def _send(self, request: httpx.Request) -> Reply:
        response = await self._transport.handle_async_request(request)
        body = bytearray()
        try:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_ANSWER:
                    raise Failure(f"the answer was longer than {MAX_ANSWER} bytes")
        finally:
            await response.aclose()
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        text = (
            _decoded(bytes(body), response.charset_encoding) if _TEXTUAL.match(kind) else f"({kind}, {len(body)} bytes)"
        )
        location = response.headers.get("location", "") if 300 <= response.status_code < 400 else ""
        return Reply(response.status_code, response.reason_phrase, location, kind, text)


def _outcome(reply: Reply, tool: ToolConfig, webhook: Webhook) -> Outcome:
    document = parsed(reply.text)
    if document is NOTHING:
        return Outcome(reply.text or SUCCEEDED)
    seen = sanitized(document, tool.assignments)
    if "json" in reply.kind:
        seen = filtered(seen, webhook.response_filter)
    text = (
        reply.text if seen is document else json.dumps(seen, ensure_ascii=False) if seen is not NOTHING else SUCCEEDED
    )
    return Outcome(text, assignments=assigned(document, tool.assignments))


def _next(request: httpx.Request, location: str, domains: tuple[str, ...]) -> httpx.Request:
    """The one request that follows a redirect: a GET that carries nothing of the tool's (openapi.json)."""
    target = request.url.join(location)
    if (request.url.scheme, target.scheme) != ("https", "https"):
        raise Failure("the answer was a redirect, and only https leads to https")
    if target.host.lower() not in {domain.strip().lower() for domain in domains}:
        raise Failure("the answer was a redirect to a domain that is not allowed")
    return httpx.Request("GET", target.copy_with(userinfo=b""), headers={"user-agent": "antiphon"})


def _body(body: Any, content_type: str) -> bytes:
    if content_type == "application/json":
        return json.dumps(body, ensure_ascii=False).encode()
    fields = cast("Mapping[str, Any]", body if isinstance(body, Mapping) else {})
    return str(httpx.QueryParams({name: _field(value) for name, value in fields.items()})).encode()


def _field(value: Any) -> str | list[str]:
    """A value as a query or a form has it: lists repeat their name, objects are JSON."""
    return [as_text(each) for each in cast("list[Any]", value)] if isinstance(value, list) else as_text(value)


def _checked(name: str, value: str) -> str:
    if _CONTROL.search(value):
        raise ValueMissingError(f"the header {name} would have control characters in it")
    return value


def _decoded(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")
