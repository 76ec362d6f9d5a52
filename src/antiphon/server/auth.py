"""Who is calling, and what for: the holder of a key, of a signed address, or anybody."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from antiphon.agents.config import Auth
from antiphon.errors import AuthError, StoreError
from antiphon.store.keys import ApiKey, ApiKeys

from . import tokens
from .limits import Buckets
from .tokens import Claims

logger = logging.getLogger(__name__)

AuthorizationMethod: TypeAlias = Literal["public", "authorization_header", "signed_url", "shareable_link"]
"How a conversation was allowed to begin, by the record's own names (rest.md 3.1)."

API_KEY_HEADER = "xi-api-key"

SCOPES = (
    "agents:read",
    "agents:write",
    "conversations:read",
    "conversations:write",
    "converse",
    "speech",
    "workspace:read",
    "workspace:write",
    "admin",
)
"What a key may be good for. `...:write` includes `...:read`; `admin` is everything."

MOST_REMEMBERED = 1_024
"Keys whose validity is remembered."
REMEMBERED = 0.9
"Seconds for which it is: a revoked key opens nothing after a second, on any node."

_AGENT_NOUNS = frozenset(
    {"agents", "agent-testing", "test-invocations", "tools", "knowledge-base", "mcp-servers", "phone-numbers", "llm"}
)
_CONVERSE_NOUNS = frozenset({"conversation", "twilio", "sip-trunk", "exotel", "whatsapp", "batch-calling"})
_SPEECH_NOUNS = frozenset({"text-to-speech", "speech-to-text", "voices", "single-use-token"})


def scope_of(method: str, path: str) -> str:
    """What a key has to be good for to make this request; an empty scope: any valid key will do."""
    parts = path.strip("/").split("/")
    noun = parts[1] if len(parts) > 1 else parts[0]
    if noun == "convai":
        noun = parts[2] if len(parts) > 2 else ""
    kind = "read" if method in ("GET", "HEAD") else "write"
    if noun in ("user", "models"):
        return ""
    if noun in _AGENT_NOUNS:
        return f"agents:{kind}"
    if noun == "conversations":
        return f"conversations:{kind}"
    if noun in _CONVERSE_NOUNS:
        return "converse"
    if noun in _SPEECH_NOUNS:
        return "speech"
    return f"workspace:{kind}"


class KeyHolder(msgspec.Struct, frozen=True):
    """Who called with a valid key."""

    key_id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the key is good for this."""
        if not scope or "admin" in self.scopes or scope in self.scopes:
            return True
        return scope.endswith(":read") and scope.removesuffix("read") + "write" in self.scopes


WORKSPACE = KeyHolder("workspace", frozenset({"admin"}))
"The holder of the workspace key."


class InsufficientScopeError(AuthError):
    """The key is valid, but not for this."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this key lacks the scope {scope}", status="missing_permissions")


def new_key(name: str, scopes: Sequence[str], *, now: float) -> tuple[str, ApiKey]:
    """A key that nobody can guess, and what is to be kept of it."""
    key = f"sk_{secrets.token_hex(24)}"
    identifier = f"key_{secrets.token_hex(8)}"
    return key, ApiKey(identifier, name, digest(key), f"...{key[-4:]}", tuple(scopes), now)


def offered_key(header: Callable[[str], str | None]) -> str | None:
    """The key that a request came with, valid or not. `header`: a header's value by its name in lower case.

    It is in a header of its own, a bearer token, or, from a browser's socket, a subprotocol `bearer.<key>`.
    """
    if key := header(API_KEY_HEADER):
        return key
    kind, _, bearer = (header("authorization") or "").partition(" ")
    if kind.lower() == "bearer" and bearer.strip():
        return bearer.strip()
    protocols = [protocol.strip() for protocol in (header("sec-websocket-protocol") or "").split(",")]
    return next((protocol[7:] for protocol in protocols if protocol.startswith("bearer.") and protocol[7:]), None)


def digest(key: str) -> str:
    """What a key is found by."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class Authority:
    """Decides who may do what."""

    def __init__(
        self,
        key: str | None,
        secret: bytes,
        keys: ApiKeys,
        failures: Buckets,
        epoch: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """`key`: the workspace key, if there is one; `secret`: what tokens are made with; `keys`: the others."""
        self.key = key
        self._secret = secret
        self._keys = keys
        self._failures = failures
        self._epoch = epoch
        self._clock = clock
        self._remembered: dict[str, tuple[float, KeyHolder | None]] = {}
        "Until when, by digest."

    # ----------------------------------------------------------------------------------------------------- keys

    async def holder(self, offered: str | None, *, address: str) -> KeyHolder | None:
        """Who holds this key; None: nobody. `address`: where it was offered from.

        Raises:
            TooManyRequestsError: too many wrong keys came from there.
            StoreError: the database cannot say.
        """
        if not offered:
            return None
        if self.key is not None and hmac.compare_digest(offered.encode("utf-8", "surrogatepass"), self.key.encode()):
            return WORKSPACE
        digested = digest(offered)
        remembered = self._remembered.get(digested)
        if remembered is not None and self._clock() < remembered[0] and remembered[1] is not None:
            return remembered[1]
        self._failures.take(address, self._clock())
        if remembered is not None and self._clock() < remembered[0]:
            return None
        holder = await self._look_up(digested)
        if holder is not None:
            self._failures.give_back(address, self._clock())
        return holder

    async def _look_up(self, digested: str) -> KeyHolder | None:
        now = self._clock()
        key = await self._keys.by_digest(digested)
        holder = None if key is None else KeyHolder(key.id, frozenset(key.scopes))
        self._remembered.pop(digested, None)
        self._remembered[digested] = now + REMEMBERED, holder
        if len(self._remembered) > MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        if key is not None:
            try:
                await self._keys.note_use(key, now=self._epoch())
            except StoreError:
                logger.exception("the use of a key could not be noted", extra={"key_id": key.id})
        return holder

    # --------------------------------------------------------------------------------------------------- tokens

    def sign(
        self,
        agent_id: str,
        *,
        token_id: str,
        branch_id: str | None = None,
        environment: str | None = None,
        conversation_id: str = "",
        logging: bool = True,
    ) -> str:
        """A token that starts conversations with one agent for a quarter of an hour; with an id, that one alone."""
        claims = Claims(
            tokens.CONVERSATION,
            token_id,
            self._epoch() + tokens.LIFETIME,
            agent_id,
            branch_id or "",
            environment or tokens.DEFAULT_ENVIRONMENT,
            conversation_id,
            logging,
        )
        return tokens.sign(self._secret, claims)

    def sign_single_use(self, purpose: str, *, token_id: str) -> str:
        """A token for one use within a quarter of an hour."""
        return tokens.sign(self._secret, Claims(purpose, token_id, self._epoch() + tokens.LIFETIME))

    def claims(self, token: str, purpose: str) -> Claims:
        """What a token of ours says. Whether it was used already is for `SpentTokens`. Raises AuthError."""
        return tokens.verify(self._secret, token, purpose, now=self._epoch())


class Credentials(msgspec.Struct, frozen=True):
    """What a client shows on its way to an agent."""

    signature: str | None = None
    holder: KeyHolder | None = None
    origin: str | None = None
    "The page that it runs in, as browsers say it."
    branch_id: str | None = None
    environment: str | None = None
    conversation_id: str | None = None


def admit(
    authority: Authority, agent_id: str, auth: Auth, shown: Credentials
) -> tuple[AuthorizationMethod, Claims | None]:
    """How a client gets to an agent, and what its signed address says.

    A wrong key on the way to a public agent is not looked at, since clients send whatever they have; a signature is:
    who shows one was given it for this purpose. The allow-list holds for everybody but holders of a key: a signed
    address may have been carried to another page.

    Raises:
        AuthError: it does not get there.
    """
    may_converse = shown.holder is not None and shown.holder.may("converse")
    if not (may_converse and shown.signature is None) and not allows_origin(auth, shown.origin):
        raise AuthError("this agent does not take calls from this page", status="origin_not_allowed")
    if shown.signature is not None:
        if auth.shareable_token and hmac.compare_digest(
            shown.signature.encode("utf-8", "surrogatepass"), auth.shareable_token.encode("utf-8", "surrogatepass")
        ):
            return "shareable_link", None
        claims = authority.claims(shown.signature, tokens.CONVERSATION)
        _check_address(claims, agent_id, shown)
        return "signed_url", claims
    if may_converse:
        return "authorization_header", None
    if auth.enable_auth:
        raise AuthError("this agent needs a signed address or a key", status="authorization_required")
    return "public", None


def _check_address(claims: Claims, agent_id: str, shown: Credentials) -> None:
    """The address around a token may say less than the token, but nothing else."""
    if claims.agent_id != agent_id:
        raise AuthError("the signature is not valid for this agent", status="invalid_signature")
    for name, signed, said in (
        ("branch_id", claims.branch_id, shown.branch_id),
        ("environment", claims.environment, shown.environment),
        ("conversation_id", claims.conversation_id, shown.conversation_id),
    ):
        if said and said != signed:
            raise AuthError(f"the signature is not valid for this {name}", status="invalid_signature")


def allows_origin(auth: Auth, origin: str | None) -> bool:
    """Whether pages of this origin may call. An entry is a host, with a port or a scheme where those matter."""
    if not auth.allowlist:
        return True
    if not origin:
        return not auth.require_origin_header
    try:
        page = urlsplit(origin.lower())
        host, port = page.hostname, page.port
    except ValueError:
        return False
    for entry in auth.allowlist:
        written = entry.hostname.strip().lower().rstrip("/")
        try:
            allowed = urlsplit(written if "://" in written else f"//{written}")
            same_host = host and allowed.hostname == host
            if same_host and allowed.scheme in ("", page.scheme) and allowed.port in (None, port):
                return True
        except ValueError:  # an entry that is no host allows nothing
            continue
    return False
