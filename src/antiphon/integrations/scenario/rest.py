"""Requests to a server that speaks the ElevenLabs API, with the standard library alone."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from antiphon.client.address import is_loopback
from antiphon.errors import SessionError

HOSTED = "https://api.elevenlabs.io"


@dataclass(frozen=True)
class Answer:
    """What a server answered, whatever its status."""

    status: int
    headers: Mapping[str, str]
    "By name in lower case."
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body's object; an empty one where it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def base_url_of(given: str | None) -> str | None:
    """A server's address without a slash at its end: `given`, else ELEVENLABS_BASE_URL; None: there is neither.

    Raises:
        ValueError: it is no http(s) address, or ends in /v1, which is added here.
    """
    address = (given if given is not None else os.environ.get("ELEVENLABS_BASE_URL", "")).strip().rstrip("/")
    if not address:
        return None
    url = urlsplit(address)
    if url.scheme not in ("http", "https") or not url.netloc:
        raise ValueError(f"base_url must be an http or https address, not {address!r}")
    if url.path.endswith("/v1"):
        raise ValueError(f"base_url must not include /v1, which is added to it: {address!r}")
    return address


async def get(url: str, api_key: str, *, timeout: float) -> Answer:
    """GET. `timeout`: seconds without a byte.

    Raises:
        SessionError: there was no answer.
    """
    return await asyncio.to_thread(_request, url, {"xi-api-key": api_key}, None, timeout)


async def post(url: str, headers: Mapping[str, str], body: bytes, *, timeout: float) -> Answer:
    """POST. `timeout`: seconds without a byte.

    Raises:
        SessionError: there was no answer.
    """
    return await asyncio.to_thread(_request, url, headers, body, timeout)


def _request(url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Answer:
    import http.client  # here, not above: they load ssl, and many conversations need no request
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, data=body, headers=dict(headers))
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if is_loopback(url) else []))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return _answer(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return _answer(refusal)
    except (OSError, http.client.HTTPException) as error:
        raise SessionError(f"no answer from {urlsplit(url).netloc}: {error}") from error


def _answer(answer: Any) -> Answer:
    return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read())
