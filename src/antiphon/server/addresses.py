"""The address under which a client reached this server, and should reach it again; and the client's own."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

from starlette.types import Scope

from .settings import Settings

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


def websocket_base(scope: Scope, settings: Settings) -> str:
    """`ws://` or `wss://` and the host, without a slash at the end.

    `public_url` where the operator has set it. Otherwise what the request says: its Host, and where it came through a
    trusted proxy, what that proxy says of the original request. A header that is no host is not repeated.
    """
    if settings.public_url is not None:
        return "ws" + settings.public_url.removeprefix("http")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    secure = scope["scheme"] in ("https", "wss")
    hosts = [headers.get("host", "")]
    if _is_trusted(scope, settings):
        secure = _first(headers.get("x-forwarded-proto", scope["scheme"])) in ("https", "wss")
        hosts.insert(0, _first(headers.get("x-forwarded-host", "")))
    host = next((host for host in hosts if _HOST.fullmatch(host)), None) or _own_host(scope)
    return f"{'wss' if secure else 'ws'}://{host}"


def client_address(scope: Scope, settings: Settings) -> str:
    """Where a request comes from, for counting: behind trusted proxies, what the last of them says.

    Of an IPv6 address it is the network of 64 bits: who has one address there has all of them.
    """
    peer: str = scope["client"][0] if scope.get("client") else ""
    if _is_trusted(scope, settings):
        said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
        hops = [hop.strip() for hop in said.split(",") if hop.strip()]
        peer = next((hop for hop in reversed(hops) if hop not in settings.trusted_proxies), peer)
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
    return str(address)


def _is_trusted(scope: Scope, settings: Settings) -> bool:
    peer = scope["client"][0] if scope.get("client") else None
    return "*" in settings.trusted_proxies or peer in settings.trusted_proxies


def _first(values: str) -> str:
    """Of a list that every proxy on the way has added to: what the client's own request said."""
    return values.partition(",")[0].strip()


def _own_host(scope: Scope) -> str:
    host, port = scope["server"]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
