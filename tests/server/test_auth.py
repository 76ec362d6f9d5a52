"""Who gets to an agent, and by which right."""

from __future__ import annotations

import pytest

from antiphon.errors import AuthError
from antiphon.server.auth import Authority

NOW = 1_700_000_000.0
AUTHORITY = Authority("sk_right", b"secret")
SIGNATURE = AUTHORITY.sign("agent_1", now=NOW, nonce=1)


@pytest.mark.parametrize("key", [None, "", "sk_wrong", "sk_righ", "sk_rightt", "ключ"])
def test_a_wrong_key_is_none(key: str | None) -> None:
    """For REST it is refused; a public agent does not look at it; one that needs authorization refuses it."""
    with pytest.raises(AuthError):
        AUTHORITY.require_key(key)
    assert AUTHORITY.admit("agent_1", needed=False, signature=None, key=key, now=NOW) == "public"
    with pytest.raises(AuthError, match="needs a signed address"):
        AUTHORITY.admit("agent_1", needed=True, signature=None, key=key, now=NOW)


def test_the_right_key_opens_everything() -> None:
    """Also an agent that needs authorization."""
    AUTHORITY.require_key("sk_right")
    assert AUTHORITY.admit("agent_1", needed=True, signature=None, key="sk_right", now=NOW) == "authorization_header"


def test_a_signature_admits_without_a_key() -> None:
    """That is what it is for; and how the conversation was begun is known."""
    assert AUTHORITY.admit("agent_1", needed=True, signature=SIGNATURE, key=None, now=NOW) == "signed_url"
    assert AUTHORITY.admit("agent_1", needed=False, signature=SIGNATURE, key=None, now=NOW) == "signed_url"


@pytest.mark.parametrize("needed", [True, False])
def test_a_bad_signature_is_refused_whatever_else_is_there(needed: bool) -> None:
    """Who shows one means it: a public agent and a right key do not make up for it."""
    for agent_id, signature, now in [
        ("agent_2", SIGNATURE, NOW),
        ("agent_1", "cvtkn_x", NOW),
        ("agent_1", SIGNATURE, NOW + 900),
    ]:
        with pytest.raises(AuthError):
            AUTHORITY.admit(agent_id, needed=needed, signature=signature, key="sk_right", now=now)
