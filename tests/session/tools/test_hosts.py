"""Where tools may connect to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.errors import ConfigError
from antiphon.session.tools.hosts import HostError, HostPolicy

REFUSED = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    "2001:0:5ef5:79fd:0:59d:a0e5:ba2d",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:10.0.0.1",
    "::127.0.0.1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "not an address",
]
PUBLIC = ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "2002:101:101::1", "64:ff9b::1.1.1.1"]


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    """In either version of IP, and whatever it is wrapped in."""
    assert not HostPolicy().permits(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_not(address: str) -> None:
    """Or nothing would work."""
    assert HostPolicy().permits(address)


def addresses(policy: HostPolicy, host: str) -> list[str]:
    return asyncio.run(policy.addresses(host, 443))


def resolving(*found: str, allow: Any = ()) -> HostPolicy:
    async def resolve(host: str, port: int) -> list[str]:
        return list(found)

    return HostPolicy(allow, resolve=resolve)


def test_one_private_address_of_a_name_is_enough() -> None:
    """A name with a public and a private address would be dialled at either."""
    with pytest.raises(HostError, match=r"example\.test is not a public host"):
        addresses(resolving("1.1.1.1", "10.0.0.1"), "example.test")
    assert addresses(resolving("1.1.1.1", "2606:4700::1111"), "example.test") == ["1.1.1.1", "2606:4700::1111"]


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost"])
def test_other_ways_to_write_an_address_are_looked_up(host: str) -> None:
    """The resolver makes an address of them, and that is what is judged."""
    with pytest.raises((HostError, OSError)):
        addresses(HostPolicy(), host)


def test_allowed_are_names_addresses_and_networks() -> None:
    """A name in any case, with any address; an address under any name."""
    assert addresses(resolving("10.0.0.1", allow=["Inner.Test"]), "inner.test.") == ["10.0.0.1"]
    assert addresses(resolving("10.0.0.1", allow=["10.0.0.0/8"]), "other.test") == ["10.0.0.1"]
    assert addresses(HostPolicy(["::1"]), "[::1]") == ["::1"]
    assert addresses(HostPolicy(["10.0.0.0/8"]), "::ffff:10.1.2.3") == ["::ffff:a01:203"]
    with pytest.raises(HostError):
        addresses(resolving("10.0.0.1", allow=["inner.test"]), "evil.inner.test")
    with pytest.raises(HostError):
        addresses(resolving("192.168.0.1", allow=["10.0.0.0/8"]), "other.test")


@pytest.mark.parametrize("entry", ["", "http://x.test", "*.test", "10.0.0.0/99", "x.test:80"])
def test_an_entry_that_is_nothing_is_refused(entry: str) -> None:
    """Said when the policy is made, not when a tool is called."""
    with pytest.raises(ConfigError):
        HostPolicy([entry])


def test_a_name_is_looked_up_once_for_each_connection(serve: Any, upstream: Any, bench: Any) -> None:
    """DNS rebinding: the second answer, a private address, is judged and never dialled."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), 2) - 1]

    async def scene() -> list[Any]:
        async with serve(upstream.app) as port:
            tool = {"type": "webhook", "name": "hook", "tool_error_handling_mode": "summarized"}
            tool["api_schema"] = {"url": f"http://rebinding.test:{port}/"}
            one = bench(tool, hosts=HostPolicy(["127.0.0.1"], resolve=resolve))
            async with one.runner:
                return [await one.call("hook"), await one.call("hook")]

    first, second = asyncio.run(scene())
    assert not first.is_error
    assert upstream.last["headers"]["host"].startswith("rebinding.test:")
    assert second.is_error
    assert "rebinding.test is not a public host" in second.text
    assert len(upstream.requests) == 1
    assert asked == ["rebinding.test"] * 2


def test_an_address_that_does_not_answer_is_followed_by_the_next(serve: Any, upstream: Any, bench: Any) -> None:
    """As with any client: here the first address of two has nobody listening."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    async def scene() -> Any:
        async with serve(upstream.app) as port:
            tool = {"type": "webhook", "name": "hook", "api_schema": {"url": f"http://two.test:{port}/"}}
            one = bench(tool, hosts=HostPolicy(["127.0.0.0/8"], resolve=resolve))
            async with one.runner:
                return await one.call("hook")

    assert not asyncio.run(scene()).is_error


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://1.1.1.1/x", "https:///x", "nonsense", "http://[::1", ""])
def test_only_http_is_spoken(bench: Any, url: str) -> None:
    """Whatever else an address may mean, nothing is opened."""

    async def scene() -> Any:
        one = bench({"type": "webhook", "name": "hook", "api_schema": {"url": url}})
        async with one.runner:
            return await one.call("hook")

    assert asyncio.run(scene()).is_error


def test_by_default_nothing_private_is_reached(serve: Any, upstream: Any, bench: Any) -> None:
    """The policy without a setting."""

    async def scene() -> Any:
        async with serve(upstream.app) as port:
            tool = {"type": "webhook", "name": "hook", "api_schema": {"url": f"http://127.0.0.1:{port}/"}}
            one = bench(tool, hosts=HostPolicy())
            async with one.runner:
                return await one.call("hook")

    assert asyncio.run(scene()).is_error
    assert upstream.requests == []
