"""Signed addresses: who may make them, for which agent, until when."""

from __future__ import annotations

import re

import pytest

from antiphon.errors import AuthError
from antiphon.server import tokens

SECRET = b"a secret of the server's own"
NOW = 1_700_000_000.0


def signed(agent_id: str = "agent_1", nonce: int = 7) -> str:
    return tokens.sign(SECRET, agent_id, now=NOW, nonce=nonce)


def test_a_token_admits_to_its_agent_for_a_quarter_of_an_hour() -> None:
    """15 minutes, the last instant excluded."""
    tokens.verify(SECRET, signed(), "agent_1", now=NOW)
    tokens.verify(SECRET, signed(), "agent_1", now=NOW + 899.9)
    with pytest.raises(AuthError, match="expired"):
        tokens.verify(SECRET, signed(), "agent_1", now=NOW + 900.0)


def test_a_token_for_one_agent_does_not_admit_to_another() -> None:
    """The agent is part of what is signed."""
    with pytest.raises(AuthError, match="not valid for this agent"):
        tokens.verify(SECRET, signed(), "agent_2", now=NOW)


def test_a_token_of_another_secret_does_not_admit() -> None:
    """Only who knows the secret can sign."""
    with pytest.raises(AuthError):
        tokens.verify(b"another secret", signed(), "agent_1", now=NOW)


def test_no_changed_character_passes() -> None:
    """Expiry and signature alike."""
    token = signed()
    # The last character has bits to spare: two of its neighbours decode to the same bytes.
    for index in range(len(tokens.PREFIX), len(token) - 1):
        for other in ("A", "B"):
            changed = token[:index] + other + token[index + 1 :]
            if changed != token:
                with pytest.raises(AuthError):
                    tokens.verify(SECRET, changed, "agent_1", now=NOW)


@pytest.mark.parametrize("token", ["", "cvtkn_", "cvtkn_!", "\x00", "cvtkn_AAAA", "ü", "cvtkn_" + "A" * 10_000])
def test_what_is_no_token_is_an_auth_error(token: str) -> None:
    """Whatever a stranger writes into the address."""
    with pytest.raises(AuthError):
        tokens.verify(SECRET, token, "agent_1", now=NOW)


def test_a_token_survives_every_way_of_writing_a_query() -> None:
    """Letters, digits, - and _ only: clients re-encode the query and lose a literal + (clients.md)."""
    for nonce in range(500):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", signed(nonce=nonce))


def test_two_tokens_of_one_moment_differ() -> None:
    """The nonce is in them."""
    assert signed(nonce=1) != signed(nonce=2)
