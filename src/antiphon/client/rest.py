"""The REST calls that a conversation needs, with the standard library alone.

`Antiphon` has the attributes of the original's client object that a conversation touches, so that either can be given.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from antiphon.errors import AuthError, NotFoundError, SessionError

from .address import is_loopback

_TIMEOUT = 10.0


class Antiphon:
    """A server and the key to it.

    `base_url`: `http://host:port`, with a path prefix where the server has one. `api_key`: needed for agents that
    require a signed URL; by default the environment's ANTIPHON_API_KEY.
    """

    def __init__(self, base_url: str = "http://127.0.0.1:8080", api_key: str | None = None) -> None:
        self._client_wrapper = ClientWrapper(base_url, api_key or os.environ.get("ANTIPHON_API_KEY"))
        self.conversational_ai = ConversationalAi(self._client_wrapper)


class ClientWrapper:
    """How requests reach the server."""

    def __init__(self, base_url: str, api_key: str | None) -> None:
        self._base_url = base_url
        self._api_key = api_key

    def get_base_url(self) -> str:
        """The address given to Antiphon."""
        return self._base_url

    def get(self, path: str, query: dict[str, str]) -> Any:
        """The JSON that GET `path` answers. Blocks.

        Raises:
            AuthError: 401 or 403.
            NotFoundError: 404.
            SessionError: any other refusal, no answer, or no JSON in it.
        """
        import urllib.error  # here, not above: most conversations need no request, and it loads ssl
        import urllib.request

        url = self._base_url.rstrip("/") + path + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        request = urllib.request.Request(url, headers={"xi-api-key": self._api_key} if self._api_key else {})
        proxies = [urllib.request.ProxyHandler({})] if is_loopback(url) else []
        try:
            with urllib.request.build_opener(*proxies).open(request, timeout=_TIMEOUT) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error.code, error.read(), path, query) from error
        except (OSError, ValueError) as error:
            raise SessionError(f"GET {path}: {error}") from error


def _refusal(status: int, body: bytes, path: str, query: dict[str, str]) -> Exception:
    """What the server's refusal means. Body: `{"detail": {"status", "message"}}` (protocol.md 3.2)."""
    try:
        detail = json.loads(body)["detail"]
        name, message = str(detail["status"]), str(detail["message"])
    except (ValueError, KeyError, TypeError):
        name, message = "", body.decode("utf-8", "replace")[:200]
    if status in (401, 403):
        return AuthError(message, status=name or "invalid_api_key")
    if status == 404 and "agent_id" in query:
        return NotFoundError("agent", query["agent_id"])
    return SessionError(f"GET {path} answered {status}: {message}")


@dataclass(frozen=True)
class SignedUrl:
    """The answer of get-signed-url."""

    signed_url: str
    "The address of a socket, good for a conversation that starts within 15 minutes."


class Conversations:
    """The calls below /v1/convai/conversation."""

    def __init__(self, client_wrapper: ClientWrapper) -> None:
        self._client_wrapper = client_wrapper

    def get_signed_url(self, *, agent_id: str, environment: str | None = None) -> SignedUrl:
        """The address of a socket to an agent that requires a signature. Blocks; raises as ClientWrapper.get."""
        query = {"agent_id": agent_id} | ({"environment": environment} if environment is not None else {})
        answer = self._client_wrapper.get("/v1/convai/conversation/get-signed-url", query)
        try:
            return SignedUrl(str(answer["signed_url"]))
        except (KeyError, TypeError) as error:
            raise SessionError("get-signed-url answered without a signed_url") from error


class ConversationalAi:
    """The part of the API that is about conversations."""

    def __init__(self, client_wrapper: ClientWrapper) -> None:
        self.conversations = Conversations(client_wrapper)
