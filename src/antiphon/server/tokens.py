"""Signed addresses: a token that admits to one agent until a moment, and that nobody else can make.

The token is stateless: `cvtkn_` and the URL-safe base64 of its expiry, some random bytes and an HMAC-SHA256 over both
and the agent's id. Clients re-encode the query of a signed address, and a literal `+` turns into a space on the way
(clients.md), hence the alphabet.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import struct
from base64 import b64decode, urlsafe_b64encode

from antiphon.errors import AuthError

LIFETIME = 15 * 60.0
"Seconds for which a signed address may start a conversation; one that runs is not affected (protocol.md 3.2)."

PREFIX = "cvtkn_"

_EXPIRY = struct.Struct(">d")
_NONCE_BYTES = 8
_BODY_BYTES = _EXPIRY.size + _NONCE_BYTES


def sign(secret: bytes, agent_id: str, *, now: float, nonce: int, lifetime: float = LIFETIME) -> str:
    """A token for one agent.

    `now`: seconds since the epoch. `nonce`: 64 random bits, so that two tokens of one moment differ.
    """
    body = _EXPIRY.pack(now + lifetime) + nonce.to_bytes(_NONCE_BYTES, "big")
    return PREFIX + urlsafe_b64encode(body + _mac(secret, agent_id, body)).decode("ascii").rstrip("=")


def verify(secret: bytes, token: str, agent_id: str, *, now: float) -> None:
    """Return if the token admits to the agent at `now`.

    Raises:
        AuthError: it is not ours, was made for another agent, or has expired.
    """
    try:
        encoded = token.removeprefix(PREFIX).encode("ascii")
        raw = b64decode(encoded + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise AuthError("the conversation signature is malformed", status="invalid_signature") from error
    body, mac = raw[:_BODY_BYTES], raw[_BODY_BYTES:]
    if not hmac.compare_digest(mac, _mac(secret, agent_id, body)):
        raise AuthError("the conversation signature is not valid for this agent", status="invalid_signature")
    if now >= _EXPIRY.unpack_from(body)[0]:
        raise AuthError("the signed address has expired: ask for a new one", status="expired_signature")


def _mac(secret: bytes, agent_id: str, body: bytes) -> bytes:
    return hmac.digest(secret, body + agent_id.encode("utf-8", "surrogatepass"), hashlib.sha256)
