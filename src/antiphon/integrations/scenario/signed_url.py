"""Asking a server for the address of a socket that needs no key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from antiphon.errors import AuthError, SessionError

from .rest import Answer, base_url_of, get

_TIMEOUT = 15.0


@dataclass(frozen=True, repr=False)
class MintEndpoint:
    """Where signed URLs are had, and the key for it."""

    base_url: str
    api_key: str


@dataclass(frozen=True, repr=False)
class SignedUrl:
    """An address that is good for one conversation."""

    url: str
    session_id: str
    "What a LangWatch gateway calls the conversation; empty: no gateway has answered."


def endpoint(mint: Any, base_url: str | None, api_key: str) -> MintEndpoint | None:
    """Where to ask; None: nowhere, the agent is dialled directly.

    `mint`: False, an object with a `base_url` and an `api_key` of its own (Scenario's ElevenLabsMintEndpoint), or
    anything else for `base_url`, ELEVENLABS_BASE_URL, ELEVENLABS_API_KEY.

    Raises:
        ValueError: the address is none that can be asked.
    """
    if mint is False:
        return None
    if hasattr(mint, "base_url") and hasattr(mint, "api_key"):
        return MintEndpoint(str(mint.base_url).rstrip("/"), str(mint.api_key))
    address = base_url_of(base_url)
    key = api_key or os.environ.get("ELEVENLABS_API_KEY", "")
    return MintEndpoint(address, key) if address and key else None


async def mint(endpoint: MintEndpoint, agent_id: str) -> SignedUrl | None:
    """A signed URL; None: nothing there hands them out (404).

    Raises:
        AuthError: the key is refused.
        SessionError: any other refusal, or no answer.
    """
    path = f"/v1/convai/conversation/get-signed-url?agent_id={quote(agent_id, safe='')}"
    answer = await get(endpoint.base_url + path, endpoint.api_key, timeout=_TIMEOUT)
    if answer.status == 404:
        return None
    if answer.status in (401, 403):
        raise AuthError(f"{endpoint.base_url} refused the key: {answer.status}{_reason(answer)}")
    if answer.status >= 300:
        raise SessionError(f"{endpoint.base_url} refused a signed URL: {answer.status}{_reason(answer)}")
    url = answer.json().get("signed_url")
    if not isinstance(url, str) or not url:
        raise SessionError(f"{endpoint.base_url} answered without a signed_url")
    return SignedUrl(url, answer.headers.get("x-langwatch-session-id", ""))


def _reason(answer: Answer) -> str:
    try:
        return f" ({answer.json()['detail']['message']})"
    except (KeyError, TypeError):
        return ""
