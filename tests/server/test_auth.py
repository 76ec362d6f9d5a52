"""Who is calling, and who gets to an agent by which right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from antiphon.agents.config import AllowedHost, Auth
from antiphon.errors import AuthError
from antiphon.server.auth import (
    SCOPES,
    WORKSPACE,
    Authority,
    Credentials,
    KeyHolder,
    admit,
    allows_origin,
    new_key,
    offered_key,
    scope_of,
)
from antiphon.server.limits import Limits, TooManyRequestsError
from antiphon.store.store import Store, open_store

NOW = 1_700_000_000.0
PUBLIC, PRIVATE = Auth(), Auth(enable_auth=True)


class Scene:
    """An authority on a store of its own, and both clocks."""

    def __init__(self, store: Store, key: str | None = "sk_right") -> None:
        self.store = store
        self.now = 0.0
        failures = Limits.of(0).failures
        self.authority = Authority(key, b"secret", store.keys, failures, lambda: NOW + self.now, lambda: self.now)
        self.reads = 0

    async def holder(self, key: str | None, address: str = "192.0.2.1") -> KeyHolder | None:
        return await self.authority.holder(key, address=address)

    async def made(self, *scopes: str) -> tuple[str, str]:
        """A new key and its id."""
        key, kept = new_key("", scopes, now=NOW)
        await self.store.keys.add(kept)
        return key, kept.id

    def sign(self, **bound: str) -> str:
        return self.authority.sign("agent_1", token_id="t1", **bound)

    def _count(self, *_: object) -> None:
        self.reads += 1

    def watch(self) -> None:
        """Count statements from now on."""
        event.listen(self.store.database._reader.engine, "before_cursor_execute", self._count)


@asynccontextmanager
async def scene(tmp_path: Path, key: str | None = "sk_right") -> AsyncGenerator[Scene]:
    async with open_store(f"sqlite:///{tmp_path}/antiphon.db") as store:
        yield Scene(store, key)


# ----------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("key", [None, "", "sk_wrong", "sk_righ", "sk_rightt", "ключ", "\ud83d"])
def test_a_wrong_key_is_nobodys(key: str | None, tmp_path: Path) -> None:
    """Also where there is no workspace key at all."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            assert await it.holder(key) is None
        async with scene(tmp_path, key=None) as it:
            assert await it.holder(key) is None

    asyncio.run(play())


def test_the_workspace_key_opens_everything_without_the_database(tmp_path: Path) -> None:
    """It is in memory."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            it.watch()
            assert await it.holder("sk_right") == WORKSPACE
            assert it.reads == 0

    asyncio.run(play())
    assert all(WORKSPACE.may(scope) for scope in SCOPES)


def test_a_key_costs_the_database_one_read_a_second(tmp_path: Path) -> None:
    """However many requests it makes; a wrong one too."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            key, key_id = await it.made("agents:read")
            it.watch()
            for _ in range(50):
                assert await it.holder(key) == KeyHolder(key_id, frozenset({"agents:read"}))
                assert await it.holder("sk_wrong") is None
            assert it.reads == 2

    asyncio.run(play())


def test_a_revoked_key_opens_nothing_after_a_second(tmp_path: Path) -> None:
    """Though it was revoked on another node."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            key, key_id = await it.made("admin")
            assert await it.holder(key) is not None
            await it.store.keys.revoke(key_id, now=NOW)
            it.now = 1.0
            assert await it.holder(key) is None

    asyncio.run(play())


def test_use_is_noted(tmp_path: Path) -> None:
    """For people who wonder which keys are still needed."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            key, _ = await it.made("admin")
            it.now = 5.0
            await it.holder(key)
            (kept,) = await it.store.keys.all()
            assert kept.used_at == NOW + 5.0

    asyncio.run(play())


def test_who_tries_keys_is_stopped_and_others_are_not(tmp_path: Path) -> None:
    """Sixty a minute from one address; the same wrong key counts each time; right keys never count."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            key, _ = await it.made("admin")
            for number in range(60):
                assert await it.holder(f"sk_{number // 2}") is None
                assert await it.holder(key) is not None
            with pytest.raises(TooManyRequestsError):
                await it.holder("sk_next")
            assert await it.holder(key) is not None
            assert await it.holder("sk_right") is not None
            assert await it.holder("sk_next", address="192.0.2.2") is None
            it.now = 1.0
            assert await it.holder("sk_next") is None

    asyncio.run(play())


def test_a_key_comes_in_three_ways() -> None:
    """A header of its own, a bearer token, a subprotocol of a browser's socket; the first that is there counts."""
    assert offered_key({"xi-api-key": "a", "authorization": "Bearer b"}.get) == "a"
    assert offered_key({"authorization": "bearer  b "}.get) == "b"
    assert offered_key({"authorization": "Basic b"}.get) is None
    assert offered_key({"sec-websocket-protocol": "convai, bearer.c"}.get) == "c"
    assert offered_key({"sec-websocket-protocol": "convai,bearer."}.get) is None
    assert offered_key({}.get) is None


@pytest.mark.parametrize(
    ("request_line", "scope"),
    {
        "GET /v1/convai/agents": "agents:read",
        "HEAD /v1/convai/agents/a": "agents:read",
        "POST /v1/convai/agents/create": "agents:write",
        "DELETE /v1/convai/tools/t": "agents:write",
        "GET /v1/convai/knowledge-base": "agents:read",
        "PATCH /v1/convai/conversations/c": "conversations:write",
        "GET /v1/convai/conversations/c/audio": "conversations:read",
        "GET /v1/convai/conversation/get-signed-url": "converse",
        "POST /v1/convai/twilio/outbound-call": "converse",
        "POST /v1/text-to-speech/v/stream": "speech",
        "GET /v2/voices": "speech",
        "POST /v1/single-use-token/tts_websocket": "speech",
        "GET /v1/user/subscription": "",
        "GET /v1/models": "",
        "GET /v1/convai/secrets": "workspace:read",
        "POST /v1/convai/secrets": "workspace:write",
        "PATCH /v1/convai/settings": "workspace:write",
        "GET /v1/workspace/webhooks": "workspace:read",
        "GET /metrics": "workspace:read",
        "POST /v1/convai": "workspace:write",
        "GET /": "workspace:read",
    }.items(),
)
def test_every_request_needs_one_scope(request_line: str, scope: str) -> None:
    """By method and noun; what nobody foresaw needs the workspace's."""
    assert scope_of(*request_line.split(" ")) == scope
    assert scope in ("", *SCOPES)


def test_write_includes_read_and_nothing_else() -> None:
    """Of its own noun."""
    writer = KeyHolder("key_1", frozenset({"agents:write"}))
    assert [scope for scope in SCOPES if writer.may(scope)] == ["agents:read", "agents:write"]
    assert writer.may("")
    reader = KeyHolder("key_2", frozenset({"agents:read"}))
    assert [scope for scope in SCOPES if reader.may(scope)] == ["agents:read"]


# ---------------------------------------------------------------------------------------------------- to an agent


def test_a_public_agent_takes_everybody(tmp_path: Path) -> None:
    """A key that is no key is not looked at; a right one is the reason given."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            assert admit(it.authority, "agent_1", PUBLIC, Credentials()) == ("public", None)
            assert admit(it.authority, "agent_1", PUBLIC, Credentials(holder=WORKSPACE))[0] == "authorization_header"
            reader = KeyHolder("key_1", frozenset({"agents:read"}))
            assert admit(it.authority, "agent_1", PUBLIC, Credentials(holder=reader))[0] == "public"

    asyncio.run(play())


def test_an_agent_that_needs_authorization_takes_keys_and_signatures(tmp_path: Path) -> None:
    """A key that is not good for conversations is none here."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            for holder in (None, KeyHolder("key_1", frozenset({"agents:write"}))):
                with pytest.raises(AuthError, match="needs a signed address"):
                    admit(it.authority, "agent_1", PRIVATE, Credentials(holder=holder))
            assert admit(it.authority, "agent_1", PRIVATE, Credentials(signature=it.sign()))[0] == "signed_url"
            caller = KeyHolder("key_2", frozenset({"converse"}))
            assert admit(it.authority, "agent_1", PRIVATE, Credentials(holder=caller))[0] == "authorization_header"

    asyncio.run(play())


@pytest.mark.parametrize("auth", [PUBLIC, PRIVATE])
def test_a_bad_signature_is_refused_whatever_else_is_there(auth: Auth, tmp_path: Path) -> None:
    """Who shows one means it: a public agent and a right key do not make up for it."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            good = it.sign()
            for agent_id, signature, later in [
                ("agent_2", good, 0.0),
                ("agent_1", "cvtkn_x", 0.0),
                ("agent_1", good, 900.0),
            ]:
                it.now = later
                with pytest.raises(AuthError):
                    admit(it.authority, agent_id, auth, Credentials(signature=signature, holder=WORKSPACE))

    asyncio.run(play())


def test_an_address_may_say_less_than_its_signature_but_nothing_else(tmp_path: Path) -> None:
    """Branch, environment and conversation are signed; no environment is `production`."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            bound = it.sign(branch_id="b1", environment="staging", conversation_id="conv_1")
            free = it.sign()
            for signature, said in [
                (bound, {}),
                (bound, {"branch_id": "b1", "environment": "staging", "conversation_id": "conv_1"}),
                (free, {"environment": "production"}),
            ]:
                assert admit(it.authority, "agent_1", PRIVATE, Credentials(signature=signature, **said))[1] is not None
            for signature, said in [
                (bound, {"branch_id": "b2"}),
                (bound, {"environment": "production"}),
                (bound, {"conversation_id": "conv_2"}),
                (free, {"branch_id": "b1"}),
                (free, {"environment": "staging"}),
                (free, {"conversation_id": "conv_1"}),
            ]:
                with pytest.raises(AuthError, match="is not valid for this"):
                    admit(it.authority, "agent_1", PRIVATE, Credentials(signature=signature, **said))

    asyncio.run(play())


def test_a_shareable_token_admits_to_its_agent(tmp_path: Path) -> None:
    """Until its owner changes it; an agent without one takes none."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            shared = Auth(enable_auth=True, shareable_token="share-me")
            shown = Credentials(signature="share-me")
            assert admit(it.authority, "agent_1", shared, shown) == ("shareable_link", None)
            for auth in (PRIVATE, Auth(enable_auth=True, shareable_token=""), Auth(shareable_token="other")):
                with pytest.raises(AuthError):
                    admit(it.authority, "agent_1", auth, shown)

    asyncio.run(play())


# ------------------------------------------------------------------------------------------------------- pages


@pytest.mark.parametrize(
    ("entry", "origin", "allowed"),
    [
        ("shop.example", "https://shop.example", True),
        ("shop.example", "http://SHOP.example:8080", True),
        ("Shop.Example", "https://shop.example", True),
        ("https://shop.example/", "https://shop.example", True),
        ("https://shop.example", "http://shop.example", False),
        ("shop.example:8080", "http://shop.example:8080", True),
        ("shop.example:8080", "http://shop.example", False),
        ("shop.example", "https://www.shop.example", False),
        ("shop.example", "https://evilshop.example", False),
        ("shop.example", "https://shop.example.evil.test", False),
        ("shop.example", "https://shop.example@evil.test", False),
        ("shop.example", "null", False),
        ("", "null", False),
        ("[", "https://shop.example", False),
        ("shop.example", "https://[", False),
        ("shop.example", "https://shop.example:99999", False),
    ],
)
def test_a_page_is_allowed_by_its_exact_host(entry: str, origin: str, allowed: bool) -> None:
    """A port or a scheme counts where the entry has one."""
    assert allows_origin(Auth(allowlist=(AllowedHost(hostname=entry),)), origin) is allowed


def test_what_is_no_page_is_allowed_unless_an_origin_is_required() -> None:
    """And without a list, everything is."""
    hosts = (AllowedHost(hostname="shop.example"),)
    assert allows_origin(Auth(allowlist=hosts), None)
    assert not allows_origin(Auth(allowlist=hosts, require_origin_header=True), None)
    assert allows_origin(Auth(require_origin_header=True), None)
    assert allows_origin(Auth(), "https://anywhere.test")


def test_a_signed_address_does_not_carry_to_other_pages_but_a_key_does(tmp_path: Path) -> None:
    """Keys belong to programs, which have no pages."""

    async def play() -> None:
        async with scene(tmp_path) as it:
            auth = Auth(allowlist=(AllowedHost(hostname="shop.example"),), require_origin_header=True)
            elsewhere = "https://evil.test"
            for shown in (Credentials(), Credentials(origin=elsewhere), Credentials(it.sign(), origin=elsewhere)):
                with pytest.raises(AuthError, match="this page"):
                    admit(it.authority, "agent_1", auth, shown)
            assert admit(it.authority, "agent_1", auth, Credentials(holder=WORKSPACE))[0] == "authorization_header"
            at_home = Credentials(it.sign(), origin="https://shop.example")
            assert admit(it.authority, "agent_1", auth, at_home)[0] == "signed_url"

    asyncio.run(play())
