"""Where a conversation is: the URLs of its socket (protocol.md 3.1, 3.2)."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import antiphon

from .initiation import SOURCE

_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}


def conversation_url(base_url: str, agent_id: str, *, environment: str | None = None) -> str:
    """The socket of an agent that needs no signature. A path in `base_url` is kept as a prefix."""
    query = {"agent_id": agent_id, "source": SOURCE, "version": antiphon.__version__}
    if environment:
        query["environment"] = environment
    return build_ws_url(base_url, ["v1", "convai", "conversation"], query)


def build_ws_url(
    base_url: str, path_segments: Sequence[Any], params: Mapping[str, str] | Sequence[tuple[str, str]]
) -> str:
    """The socket at `path_segments` below an http(s) address, all of it percent-encoded."""
    base = urllib.parse.urlsplit(base_url)
    path = "".join("/" + urllib.parse.quote(str(segment), safe="") for segment in path_segments)
    query = _encoded(list(params.items() if isinstance(params, Mapping) else params))
    scheme = _WEBSOCKET_SCHEMES.get(base.scheme, base.scheme)
    return urllib.parse.urlunsplit((scheme, base.netloc, base.path.rstrip("/") + path, query, ""))


def with_source(signed_url: str) -> str:
    """A signed URL that also says who is connecting."""
    url = urllib.parse.urlsplit(signed_url)
    query = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
    query += [("source", SOURCE), ("version", antiphon.__version__)]
    return urllib.parse.urlunsplit(url._replace(query=_encoded(query)))


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine, so that no proxy can lead to it."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def has_proxy(url: str) -> bool:
    """Whether the environment wants a proxy between this machine and the URL's host."""
    from websockets.proxy import get_proxy
    from websockets.uri import parse_uri

    return get_proxy(parse_uri(url)) is not None


def _encoded(query: list[tuple[str, str]]) -> str:
    return urllib.parse.urlencode(query, quote_via=urllib.parse.quote, safe="")
