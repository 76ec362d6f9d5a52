"""What is at an address on the web, for whoever holds the key: judged like the addresses of tools, and bounded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx

from antiphon.errors import AntiphonError
from antiphon.session.tools.hosts import GuardedTransport, HostError, HostPolicy

MOST_REDIRECTS = 5
TIMEOUT = 20.0
"Seconds for all of it, redirects included."


class FetchError(AntiphonError):
    """It could not be had. The message says why and may be told to the caller."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was there."""

    url: str
    "Where it was in the end."
    media_type: str
    "As the server calls it, in lower case, without parameters; empty: it did not say."
    charset: str | None
    data: bytes


async def fetch(url: str, hosts: HostPolicy, *, most: int, timeout: float = TIMEOUT) -> Fetched:
    """GET an address, through redirects; every host on the way is judged by `hosts`.

    `most`: bytes, unpacked; `timeout`: seconds. Raises FetchError.
    """
    transport = GuardedTransport(hosts)
    try:
        async with asyncio.timeout(timeout):
            target = _parsed(url)
            for _ in range(MOST_REDIRECTS + 1):
                response = await transport.handle_async_request(_request(target))
                try:
                    location = response.headers.get("location", "") if response.has_redirect_location else ""
                    if not location:
                        return await _read(target, response, most)
                finally:
                    await response.aclose()
                target = target.join(location)
            raise FetchError(f"there are more than {MOST_REDIRECTS} redirects")
    except TimeoutError as error:
        raise FetchError(f"it did not come within {timeout:g} s") from error
    except HostError as error:
        raise FetchError(str(error)) from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
        raise FetchError(f"there was no connection ({type(error).__name__})") from error
    finally:
        await transport.aclose()


def _parsed(url: str) -> httpx.URL:
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise FetchError("an address that begins with http:// or https:// is needed")
    return parsed


def _request(target: httpx.URL) -> httpx.Request:
    headers = {"accept": "*/*", "accept-encoding": "gzip", "user-agent": "antiphon"}
    return httpx.Request("GET", target.copy_with(userinfo=b"", fragment=None), headers=headers)


async def _read(target: httpx.URL, response: httpx.Response, most: int) -> Fetched:
    if response.status_code != 200:
        raise FetchError(f"its server answered {response.status_code} {response.reason_phrase}".rstrip())
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > most:
            raise FetchError(f"it is longer than {most} bytes")
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Fetched(str(target), media_type, response.charset_encoding, bytes(data))
