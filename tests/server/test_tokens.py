"""Tokens: who may make them, for what, until when."""

from __future__ import annotations

import re
from typing import Any

import pytest

from antiphon.errors import AuthError
from antiphon.server import tokens
from antiphon.server.tokens import CONVERSATION, Claims

SECRET = b"a secret of the server's own"
NOW = 1_700_000_000.0


def claims(**changes: Any) -> Claims:
    return Claims(**{"purpose": CONVERSATION, "token_id": "t1", "expires_at": NOW + 900, "agent_id": "a1", **changes})


def signed(**changes: Any) -> str:
    return tokens.sign(SECRET, claims(**changes))


def test_a_token_says_what_was_signed() -> None:
    """Agent, branch, environment, conversation; any text."""
    full = claims(branch_id="b ü", environment="staging", conversation_id="conv_1")
    assert tokens.verify(SECRET, tokens.sign(SECRET, full), CONVERSATION, now=NOW) == full


def test_a_token_is_void_when_it_has_expired() -> None:
    """The last instant excluded."""
    tokens.verify(SECRET, signed(), CONVERSATION, now=NOW + 899.9)
    with pytest.raises(AuthError, match="expired"):
        tokens.verify(SECRET, signed(), CONVERSATION, now=NOW + 900.0)


def test_a_token_for_one_purpose_is_not_for_another() -> None:
    """A speech token opens no conversation, under either prefix."""
    speech = signed(purpose="tts_websocket")
    assert speech.startswith("sutkn_")
    for token in (speech, speech.replace("sutkn_", "cvtkn_")):
        with pytest.raises(AuthError):
            tokens.verify(SECRET, token, CONVERSATION, now=NOW)
    with pytest.raises(AuthError):
        tokens.verify(SECRET, speech, "realtime_scribe", now=NOW)
    assert tokens.verify(SECRET, speech, "tts_websocket", now=NOW).single_use


def test_an_address_is_single_use_with_a_conversation_id_alone() -> None:
    """As the original's: `include_conversation_id` makes it so."""
    assert not claims().single_use
    assert claims(conversation_id="conv_1").single_use


def test_a_token_of_another_secret_does_not_admit() -> None:
    """Only who knows the secret can sign."""
    with pytest.raises(AuthError):
        tokens.verify(b"another secret", signed(), CONVERSATION, now=NOW)


def test_no_changed_character_passes() -> None:
    """Claims and signature alike."""
    token = signed()
    # The last character has bits to spare: two of its neighbours decode to the same bytes.
    for index in range(len("cvtkn_"), len(token) - 1):
        for other in ("A", "B"):
            changed = token[:index] + other + token[index + 1 :]
            if changed != token:
                with pytest.raises(AuthError):
                    tokens.verify(SECRET, changed, CONVERSATION, now=NOW)


@pytest.mark.parametrize("token", ["", "cvtkn_", "cvtkn_!", "\x00", "cvtkn_AAAA", "ü", "cvtkn_" + "A" * 10_000])
def test_what_is_no_token_is_an_auth_error(token: str) -> None:
    """Whatever a stranger writes into the address."""
    with pytest.raises(AuthError):
        tokens.verify(SECRET, token, CONVERSATION, now=NOW)


def test_a_token_survives_every_way_of_writing_a_query() -> None:
    """Letters, digits, - and _ only: clients re-encode the query and lose a literal + (clients.md)."""
    for number in range(500):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", signed(token_id=f"{number}"))
