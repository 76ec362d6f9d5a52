"""Where a conversation is: addresses, built as the original builds them."""

from __future__ import annotations

import pytest

import antiphon
from antiphon.client.address import conversation_url, is_loopback, with_source

END = f"source=python_sdk&version={antiphon.__version__}"


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://api.elevenlabs.io", "wss://api.elevenlabs.io/v1/convai/conversation"),
        ("https://api.eu.residency.elevenlabs.io", "wss://api.eu.residency.elevenlabs.io/v1/convai/conversation"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/convai/conversation"),
        ("http://h/", "ws://h/v1/convai/conversation"),
        ("http://h/pre/fix/", "ws://h/pre/fix/v1/convai/conversation"),
        ("wss://h", "wss://h/v1/convai/conversation"),
        ("http://[::1]:80", "ws://[::1]:80/v1/convai/conversation"),
    ],
)
def test_the_socket_is_below_the_base(base: str, expected: str) -> None:
    """http becomes ws, a prefix stays, a trailing slash does not double (protocol.md 3.1)."""
    assert conversation_url(base, "agent_1") == f"{expected}?agent_id=agent_1&{END}"


def test_ids_are_encoded_as_the_original_encodes_them() -> None:
    """%20, never +; the environment last."""
    url = conversation_url("http://h", "a b/ü+", environment="staging")
    assert url == f"ws://h/v1/convai/conversation?agent_id=a%20b%2F%C3%BC%2B&{END}&environment=staging"


@pytest.mark.parametrize(
    ("signed", "expected"),
    [
        ("ws://h/p?agent_id=a&conversation_signature=x-_y", "ws://h/p?agent_id=a&conversation_signature=x-_y&"),
        ("wss://h/p", "wss://h/p?"),
        ("wss://h/p?empty=&token=a%2Bb", "wss://h/p?empty=&token=a%2Bb&"),
        ("wss://h/p?token=a+b", "wss://h/p?token=a%20b&"),
    ],
)
def test_a_signed_url_is_kept_and_completed(signed: str, expected: str) -> None:
    """Its query is read and written again, empty values included, as the original does (protocol.md 3.2)."""
    assert with_source(signed) == expected + END


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://127.0.0.1:80/x", True),
        ("ws://localhost/x", True),
        ("ws://[::1]:80/x", True),
        ("wss://api.elevenlabs.io", False),
        ("ws://10.0.0.1", False),
        ("nonsense", False),
    ],
)
def test_no_proxy_leads_to_this_machine(url: str, expected: bool) -> None:
    """Proxy variables would otherwise send loopback traffic to a proxy (clients.md, quirk 9)."""
    assert is_loopback(url) is expected
