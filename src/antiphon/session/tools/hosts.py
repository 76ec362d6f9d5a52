"""Where tools may connect to: a model, a caller or a web page must not reach what only this machine can reach.

A name is looked up once, every address it has is judged, and one of the judged addresses is dialled: a name server that
answers differently the second time (DNS rebinding) is never asked a second time.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

import httpx

from antiphon.errors import AntiphonError, ConfigError

Address: TypeAlias = IPv4Address | IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64 = ip_network("64:ff9b::/96")
_SITE_LOCAL = ip_network("fec0::/10")
_IPV4_COMPATIBLE = ip_network("::/96")
_TRANSLATED = ip_network("::ffff:0:0:0/96")
_UNROUTED = tuple(map(ip_network, ("100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "64:ff9b:1::/48", "2001::/23")))
"Not private by name, and nobody's public server all the same: carriers, benchmarks, local translation, tunnels."


NEXT_ADDRESS = 2.0
"Seconds after which the next address of a host is tried."


class HostError(AntiphonError):
    """A tool may not connect there. The message names the host as it was asked for, and no address."""


async def look_up(host: str, port: int) -> Sequence[str]:
    """Every address of a name, by the system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class HostPolicy:
    """Public addresses, and what is allowed besides.

    `allow`: host names, addresses and networks (`10.0.0.0/8`) that tools may reach though they are not public. A name
    that is allowed may have any address. `resolve`: how names are looked up.

    Raises:
        ConfigError: an entry of `allow` is none of these.
    """

    def __init__(self, allow: Sequence[str] = (), *, resolve: Resolve = look_up) -> None:
        self._names: set[str] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        self._resolve = resolve
        for entry in allow:
            self._allow(entry.strip())

    def _allow(self, entry: str) -> None:
        try:
            self._networks.append(ip_network(entry.strip("[]"), strict=False))
        except ValueError:
            if not entry or "/" in entry or ":" in entry or "*" in entry:
                raise ConfigError(f"{entry!r} is no host name, address or network") from None
            self._names.add(_plain_name(entry))

    async def addresses(self, host: str, port: int) -> list[str]:
        """What may be dialled for `host`, in the resolver's order.

        Raises:
            HostError: it has an address that tools may not reach; one is enough.
            OSError: the name cannot be looked up.
        """
        name = _plain_name(host)
        try:
            found = [str(ip_address(name))]
        except ValueError:
            found = list(await self._resolve(name, port))
        if not found:
            raise OSError(f"{host} has no address")
        if name not in self._names and not all(self.permits(address) for address in found):
            raise HostError(f"{host} is not a public host; the server's tool_hosts setting can allow it")
        return found

    def permits(self, address: str) -> bool:
        """Whether tools may reach this address."""
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if any(parsed in network for network in self._networks if network.version == parsed.version):
            return True
        inner = _embedded(parsed)
        return self.permits(str(inner)) if inner is not None else _is_public(parsed)


def _plain_name(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _is_public(address: Address) -> bool:
    if any(address in network for network in _UNROUTED if network.version == address.version):
        return False
    if isinstance(address, IPv6Address) and address in _SITE_LOCAL:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that packets to this IPv6 address end up at, if it says so."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _IPV4_COMPATIBLE and int(address) > 1:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


# ---------------------------------------------------------------------------------------------------- transports


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that dials judged addresses only. Connections are kept by host name, never shared by two.

    Raises, besides what httpx's own raises: HostError, and httpx.ConnectError where a name cannot be looked up.
    """

    def __init__(self, hosts: HostPolicy, *, verify: ssl.SSLContext | None = None) -> None:
        self._dialler = Dialler(hosts, httpx, verify)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        return await self._dialler.send(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._dialler.aclose()


class Dialler:
    """What a guarded transport does, for httpx and for the package of the same make that the MCP SDK uses.

    `http`: the package. One transport for each host name: TLS was agreed upon with that name.
    """

    def __init__(self, hosts: HostPolicy, http: Any, verify: ssl.SSLContext | None = None) -> None:
        self._hosts = hosts
        self._http = http
        self._verify = verify
        self._transports: dict[str, Any] = {}

    async def send(self, request: Any) -> Any:
        """Look up, judge, dial the first address that answers."""
        url = request.url
        if url.scheme not in ("http", "https"):
            raise HostError(f"{url.scheme} is not a protocol of tools")
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            addresses = await self._hosts.addresses(url.host, port)
        except OSError as error:
            raise self._http.ConnectError(f"{url.host} cannot be looked up", request=request) from error
        transport = self._transport(url.host)
        for address in addresses[:-1]:
            try:
                return await transport.handle_async_request(self._towards(request, address, NEXT_ADDRESS))
            except (self._http.ConnectError, self._http.ConnectTimeout):
                continue
        return await transport.handle_async_request(self._towards(request, addresses[-1]))

    def _transport(self, host: str) -> Any:
        if host not in self._transports:
            verify = self._verify or trusted()
            self._transports[host] = self._http.AsyncHTTPTransport(verify=verify, trust_env=False)
        return self._transports[host]

    def _towards(self, request: Any, address: str, connect: float | None = None) -> Any:
        """The same request to an address: its Host header and the name in its TLS greeting are the host's."""
        extensions = {**request.extensions, "sni_hostname": request.url.host}
        if connect is not None:
            extensions["timeout"] = {**extensions.get("timeout", {}), "connect": connect}
        return self._http.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions=extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        transports, self._transports = self._transports, {}
        for transport in transports.values():
            await transport.aclose()


@functools.cache
def trusted() -> ssl.SSLContext:
    """Whom we believe: made once for the process, for it takes tens of milliseconds."""
    return httpx.create_ssl_context()
