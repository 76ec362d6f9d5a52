"""Tokens that nobody else can make: signed addresses of conversations, and single-use tokens for browsers.

A token is stateless: a prefix, and in URL-safe base64 what it claims and an HMAC-SHA256 over that, so that any server
with the same secret can check it. Clients re-encode the query of a signed address, and a literal `+` turns into a space
on the way (clients.md), hence the alphabet. That a token is used once alone is for its taker to see to: `token_id`.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, urlsafe_b64encode

import msgspec

from antiphon.errors import AuthError

LIFETIME = 15 * 60.0
"Seconds for which a signed address may start a conversation; one that runs is not affected (protocol.md 3.2)."

CONVERSATION = "conversation"
"The purpose of a signed address; single-use tokens have others (rest/single_use_tokens.py)."

DEFAULT_ENVIRONMENT = "production"
"What no environment at all means."

_MAC_BYTES = 32


class Claims(msgspec.Struct, frozen=True, array_like=True):
    """What a token says. All of it is signed."""

    purpose: str
    token_id: str
    "Different in every token."
    expires_at: float
    agent_id: str = ""
    branch_id: str = ""
    "Empty: the agent as it is for everybody."
    environment: str = DEFAULT_ENVIRONMENT
    conversation_id: str = ""
    "The conversation that the token starts, which can only be one; empty: it may start many."
    logging: bool = True
    "Whether what is said in its conversations may be kept."

    @property
    def single_use(self) -> bool:
        """Whether it is void once used."""
        return self.purpose != CONVERSATION or bool(self.conversation_id)


def sign(secret: bytes, claims: Claims) -> str:
    """A token that says so."""
    body = msgspec.json.encode(claims)
    encoded = urlsafe_b64encode(_mac(secret, body) + body).decode("ascii").rstrip("=")
    return _prefix(claims.purpose) + encoded


def verify(secret: bytes, token: str, purpose: str, *, now: float) -> Claims:
    """What a token of this purpose says.

    Raises:
        AuthError: it is not ours, is for something else, or has expired.
    """
    try:
        encoded = token.removeprefix(_prefix(purpose)).encode("ascii")
        raw = b64decode(encoded + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise AuthError("the signature is malformed", status="invalid_signature") from error
    mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(secret, body)):
        raise AuthError("the signature is not valid", status="invalid_signature")
    try:
        claims = msgspec.json.decode(body, type=Claims)
    except msgspec.DecodeError as error:  # of another version of this server
        raise AuthError("the signature is not valid any more", status="invalid_signature") from error
    if claims.purpose != purpose:
        raise AuthError(f"the token is for {claims.purpose}, not for {purpose}", status="invalid_signature")
    if now >= claims.expires_at:
        raise AuthError("the signed address has expired: ask for a new one", status="expired_signature")
    return claims


def _prefix(purpose: str) -> str:
    return "cvtkn_" if purpose == CONVERSATION else "sutkn_"


def _mac(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, b"antiphon token\0" + body, hashlib.sha256)
