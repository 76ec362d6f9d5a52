"""The address in a signed URL is one that the client can reach."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.server.addresses import client_address, websocket_base
from antiphon.server.settings import Settings


def scope(peer: str = "203.0.113.9", scheme: str = "http", **headers: str) -> dict[str, Any]:
    return {
        "scheme": scheme,
        "client": (peer, 50_000),
        "server": ("127.0.0.1", 8080),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


def test_it_is_the_host_that_the_request_went_to() -> None:
    """With its port, and encrypted where the request was."""
    assert websocket_base(scope(host="voice.example:8080"), Settings.load()) == "ws://voice.example:8080"
    assert websocket_base(scope(scheme="https", host="[::1]:8443"), Settings.load()) == "wss://[::1]:8443"


def test_the_public_url_goes_before_everything() -> None:
    """Its path prefix is kept."""
    settings = Settings.load(public_url="https://voice.example.com/prefix/")
    assert websocket_base(scope(host="10.0.0.5:8080"), settings) == "wss://voice.example.com/prefix"


def test_a_trusted_proxy_says_what_the_client_asked_for() -> None:
    """The first of each list is the original request's."""
    forwarded = {"x_forwarded_host": "voice.example.com, inner", "x_forwarded_proto": "https, http"}
    asked = scope(peer="127.0.0.1", host="localhost:8080", **forwarded)
    assert websocket_base(asked, Settings.load()) == "wss://voice.example.com"


def test_nobody_else_does() -> None:
    """Forwarded headers of a peer that is no proxy of ours are not looked at."""
    asked = scope(peer="203.0.113.9", host="voice.example", x_forwarded_host="evil.example", x_forwarded_proto="https")
    assert websocket_base(asked, Settings.load()) == "ws://voice.example"
    assert websocket_base(asked, Settings.load(trusted_proxies=("*",))) == "wss://evil.example"


@pytest.mark.parametrize("host", ["", "evil.example/path?", "user@evil.example", "a b", "evil.example#"])
def test_a_host_that_is_none_is_not_repeated(host: str) -> None:
    """Nothing but a host and a port can get into the address."""
    assert websocket_base(scope(host=host), Settings.load()) == "ws://127.0.0.1:8080"


def test_a_caller_is_counted_by_where_it_comes_from() -> None:
    """What a stranger says of itself is not believed."""
    settings = Settings.load()
    assert client_address(scope(peer="203.0.113.9", x_forwarded_for="192.0.2.1"), settings) == "203.0.113.9"
    assert client_address({**scope(), "client": None}, settings) == ""


def test_behind_trusted_proxies_the_last_of_them_says_it() -> None:
    """What stands before that, the client may have made up."""
    settings = Settings.load(trusted_proxies=("127.0.0.1", "10.0.0.1"))
    hops = "192.0.2.66, 198.51.100.7, 10.0.0.1"
    assert client_address(scope(peer="127.0.0.1", x_forwarded_for=hops), settings) == "198.51.100.7"
    assert client_address(scope(peer="127.0.0.1"), settings) == "127.0.0.1"


def test_a_network_of_ipv6_is_one_caller() -> None:
    """Its addresses are without number; IPv4 in IPv6 is IPv4."""
    settings = Settings.load()
    assert client_address(scope(peer="2001:db8:1:2:3::4"), settings) == "2001:db8:1:2::"
    assert client_address(scope(peer="::ffff:192.0.2.1"), settings) == "192.0.2.1"
