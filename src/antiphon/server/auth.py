"""Who is calling: the holder of the workspace key, of a signed address, or anybody."""

from __future__ import annotations

import hmac
from typing import Literal, TypeAlias

import msgspec

from antiphon.errors import AuthError

from . import tokens

AuthorizationMethod: TypeAlias = Literal["public", "authorization_header", "signed_url"]
"How a conversation was allowed to begin, by the record's own names (rest.md 3.1)."

API_KEY_HEADER = "xi-api-key"


class Authority(msgspec.Struct, frozen=True):
    """Decides who may do what. Pure: the time is an argument."""

    key: str
    "The workspace key."
    secret: bytes
    "Signed addresses are made with it."

    def holds_key(self, offered: str | None) -> bool:
        """Whether this is the workspace key, compared in a time that tells nothing."""
        return offered is not None and hmac.compare_digest(offered.encode(), self.key.encode())

    def require_key(self, offered: str | None) -> None:
        """Return if this is the workspace key. Raises AuthError."""
        if not offered:
            raise AuthError(f"the header {API_KEY_HEADER} with the workspace key is needed", status="missing_api_key")
        if not self.holds_key(offered):
            raise AuthError("the workspace key is not valid")

    def sign(self, agent_id: str, *, now: float, nonce: int) -> str:
        """A token that starts a conversation with one agent for a quarter of an hour."""
        return tokens.sign(self.secret, agent_id, now=now, nonce=nonce)

    def admit(
        self, agent_id: str, *, needed: bool, signature: str | None, key: str | None, now: float
    ) -> AuthorizationMethod:
        """How a client gets to an agent. `needed`: whether the agent asks for authorization.

        A wrong key on the way to a public agent is not looked at, since clients send whatever they have; a signature
        is: who shows one was given it for this purpose.

        Raises:
            AuthError: it does not get there.
        """
        if signature is not None:
            tokens.verify(self.secret, signature, agent_id, now=now)
            return "signed_url"
        if self.holds_key(key):
            return "authorization_header"
        if needed:
            raise AuthError("this agent needs a signed address or the workspace key", status="authorization_required")
        return "public"
