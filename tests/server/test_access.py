"""Keys, signed addresses, allow-lists, limits and queues, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from antiphon.errors import ConfigError
from antiphon.server import Settings, create_app
from antiphon.server.auth import new_key
from antiphon.store.store import open_store

Serving = Callable[..., AbstractAsyncContextManager[Any]]
Document = Callable[..., dict[str, Any]]

SIGNED_URL = "/v1/convai/conversation/get-signed-url?agent_id=desk"
TOKEN = "/v1/convai/conversation/token"


@asynccontextmanager
async def client(server: Any) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.address, trust_env=False) as one:
        yield one


async def made(server: Any, *scopes: str) -> tuple[str, str]:
    """A new key of the running server, and its id."""
    key, kept = new_key("", scopes, now=0.0)
    await server.services.store.keys.add(kept)
    return key, kept.id


def add_agent(agents: Path, name: str, document: dict[str, Any], **platform_settings: Any) -> None:
    document["platform_settings"].update(platform_settings)
    (agents / f"{name}.json").write_text(json.dumps(document))


async def leave(caller: Any) -> None:
    """Say the first word and hang up, unless the server did."""
    with suppress(ConnectionClosed):
        await caller.initiate()
        await caller.socket.close()


# ----------------------------------------------------------------------------------------------------------- keys


def test_a_key_opens_what_its_scopes_say(serving: Serving) -> None:
    """In either header; 403 in the vendor's shape for the rest."""

    async def scene() -> None:
        async with serving() as server:
            key, _ = await made(server, "converse")
            assert (await server.get(SIGNED_URL, key=key)).status_code == 200
            assert (await server.get(SIGNED_URL, key=None, authorization=f"Bearer {key}")).status_code == 200
            refused = await server.get("/v1/convai/conversations/conv_1", key=key)
            assert refused.status_code == 403
            detail = refused.json()["detail"]
            assert (detail["status"], detail["type"]) == ("missing_permissions", "authorization_error")
            assert "conversations:read" in detail["message"]
            reader, _ = await made(server, "conversations:write")
            assert (await server.get("/v1/convai/conversations/conv_1", key=reader)).status_code == 404

    asyncio.run(scene())


def test_a_key_gets_to_a_private_agent(serving: Serving) -> None:
    """In any of the three places where a socket can carry it."""

    async def scene() -> None:
        async with serving() as server:
            key, _ = await made(server, "converse")
            poor, _ = await made(server, "agents:write")
            for options in (
                {"additional_headers": {"xi-api-key": key}},
                {"additional_headers": {"Authorization": f"Bearer {key}"}},
                {"subprotocols": [Subprotocol("convai"), Subprotocol(f"bearer.{key}")]},
            ):
                async with server.call("private", **options) as caller:
                    await caller.hear("conversation_initiation_metadata")
            async with server.call("private", additional_headers={"xi-api-key": poor}) as caller:
                assert (await caller.closed())[0] == 1008

    asyncio.run(scene())


def test_wrong_keys_from_one_address_are_stopped(serving: Serving) -> None:
    """429 with the seconds to wait; browsers may read it; right keys go on."""

    async def scene() -> None:
        async with serving() as server, client(server) as asking:
            wrong = {"xi-api-key": "sk_wrong", "origin": "https://shop.example"}
            answers = [await asking.get(SIGNED_URL, headers=wrong) for _ in range(70)]
            assert [answer.status_code for answer in answers][:60] == [401] * 60
            last = answers[-1]
            assert last.status_code == 429
            assert last.json()["detail"]["status"] == "too_many_requests"
            assert int(last.headers["retry-after"]) >= 1
            assert "access-control-allow-origin" in last.headers
            assert last.json()["detail"]["request_id"] == last.headers["request-id"]
            assert (await server.get(SIGNED_URL)).status_code == 200
            async with server.call("desk", additional_headers={"xi-api-key": "sk_wrong"}) as caller:
                assert (await caller.closed()) == (1008, "too many requests: try again later")

    asyncio.run(scene())


def test_requests_are_limited_by_key_and_by_address(serving: Serving) -> None:
    """A key's requests do not count for its address; whether the server is well may always be asked."""

    async def scene() -> None:
        async with serving(rate_limit_per_minute=12) as server:
            key, _ = await made(server, "converse")
            for offered in (key, "sk_of_the_tests"):
                codes = [(await server.get(SIGNED_URL, key=offered)).status_code for _ in range(4)]
                assert codes == [200, 200, 429, 429]
            codes = [(await server.get(f"{TOKEN}?agent_id=desk", key=None)).status_code for _ in range(4)]
            assert codes == [400, 400, 429, 429]
            assert [(await server.get("/health", key=None)).status_code for _ in range(5)] == [200] * 5

    asyncio.run(scene())


# ------------------------------------------------------------------------------------------------ signed addresses


def test_a_signed_address_is_good_for_many_conversations(serving: Serving) -> None:
    """Until it expires."""

    async def scene() -> None:
        async with serving() as server:
            url = (await server.get(SIGNED_URL.replace("desk", "private"))).json()["signed_url"]
            for _ in range(2):
                async with server.call(url=url) as caller:
                    await caller.hear("conversation_initiation_metadata")

    asyncio.run(scene())


def test_an_address_with_a_conversation_id_is_good_for_that_one_on_any_node(serving: Serving, tmp_path: Path) -> None:
    """Two servers with one secret and one database: one conversation in all, of the id that was told."""
    shared = {"signing_secret": "shared", "database": f"sqlite:///{tmp_path}/shared.db"}

    async def scene() -> None:
        async with serving(data=tmp_path / "a", **shared) as a, serving(data=tmp_path / "b", **shared) as b:
            path = SIGNED_URL.replace("desk", "private") + "&include_conversation_id=true&environment=staging"
            url = (await a.get(path)).json()["signed_url"]
            query = httpx.URL(url).params
            assert query["environment"] == "staging"
            at_b = url.replace(a.address.partition("://")[2], b.address.partition("://")[2])
            async with b.call(url=at_b.replace("staging", "production")) as caller:
                assert (await caller.closed())[0] == 1008
            async with b.call(url=at_b) as caller:
                metadata = await caller.hear("conversation_initiation_metadata")
                assert metadata["conversation_id"] == query["conversation_id"]
            for server, again in ((a, url), (b, at_b)):
                async with server.call(url=again) as caller:
                    code, reason = await caller.closed()
                    assert code == 1008
                    assert "used already" in reason

    asyncio.run(scene())


def test_the_webrtc_token_tells_what_to_use_instead(serving: Serving) -> None:
    """Browsers ask without a key, from another origin; a private agent asks for one."""

    async def scene() -> None:
        async with serving() as server:
            answer = await server.get(f"{TOKEN}?agent_id=desk", key=None, origin="https://shop.example")
            assert answer.status_code == 400
            assert "websocket" in answer.json()["detail"]["message"]
            assert "signedUrl" in answer.json()["detail"]["message"]
            assert "401" not in answer.json()["detail"]["message"]
            assert "access-control-allow-origin" in answer.headers
            private = f"{TOKEN}?agent_id=private"
            assert (await server.get(private, key=None)).status_code == 401
            assert (await server.get(private)).status_code == 400
            assert (await server.get(f"{TOKEN}?agent_id=nobody", key=None)).status_code == 404

    asyncio.run(scene())


def test_a_single_use_token_is_made_for_one_purpose(serving: Serving) -> None:
    """With a key that is good for speech; a type that nobody knows is refused."""

    async def scene() -> None:
        async with serving() as server, client(server) as asking:
            speech, _ = await made(server, "speech")
            for key, kind, code in [
                (speech, "tts_websocket", 200),
                (speech, "realtime_scribe", 200),
                (speech, "anything", 422),
                ("sk_no", "tts_websocket", 401),
            ]:
                answer = await asking.post(f"/v1/single-use-token/{kind}", headers={"xi-api-key": key})
                assert answer.status_code == code
                if code == 200:
                    assert server.services.authority.claims(answer.json()["token"], kind).single_use

    asyncio.run(scene())


# ---------------------------------------------------------------------------------------------- pages and places


def test_an_allow_list_holds_at_the_socket(serving: Serving, agents: Path, document: Document) -> None:
    """By the header that browsers send."""
    auth = {"allowlist": [{"hostname": "shop.example"}], "require_origin_header": True}
    add_agent(agents, "listed", document(), auth=auth)

    async def scene() -> None:
        async with serving() as server:
            async with server.call("listed", origin="https://shop.example") as caller:
                await caller.hear("conversation_initiation_metadata")
            for options in ({"origin": "https://evil.test"}, {}):
                async with server.call("listed", **options) as caller:
                    code, reason = await caller.closed()
                    assert (code, "page" in reason) == (1008, True)

    asyncio.run(scene())


def test_a_full_agent_refuses_and_takes_callers_again(serving: Serving, agents: Path, document: Document) -> None:
    """Before any metadata, as everything that is busy: 1002."""
    add_agent(agents, "small", document(), call_limits={"agent_concurrency_limit": 1})

    async def scene() -> None:
        async with serving() as server:
            async with server.call("small") as first:
                await first.hear("conversation_initiation_metadata")
                async with server.call("small") as second:
                    assert (await second.closed())[0] == 1002
                    assert second.kinds == ["error"]
            await server.services.sessions.idle()
            async with server.call("small") as third:
                await third.hear("conversation_initiation_metadata")

    asyncio.run(scene())


def test_a_caller_waits_its_turn(serving: Serving, agents: Path, document: Document) -> None:
    """Metadata, `waiting`, and once the place is free `admitted` and the conversation; one who hangs up is passed
    over."""
    small = {"call_limits": {"agent_concurrency_limit": 1}, "queueing_config": {"enabled": True}}
    add_agent(agents, "small", document(), **small)

    async def scene() -> None:
        async with serving() as server:
            async with server.call("small") as first:
                await first.initiate()
                await first.hear("agent_response")
                async with server.call("small") as second, server.call("small") as third:
                    assert await second.hear("queue_status") == {"status": "waiting"}
                    await third.initiate()
                    assert await third.hear("queue_status") == {"status": "waiting"}
                    await second.socket.close()
                    await first.socket.close()
                    assert await third.hear("queue_status") == {"status": "admitted"}
                    await third.hear("agent_response")
                    assert third.kinds[:3] == ["conversation_initiation_metadata", "queue_status", "queue_status"]
            await server.services.sessions.idle()

    asyncio.run(scene())


def test_a_caller_who_waits_in_vain_is_told(serving: Serving, agents: Path, document: Document) -> None:
    """`timed_out`, then the close code that clients know it by."""
    queueing = {"enabled": True, "wait_timeout_seconds": 0.05}
    add_agent(agents, "small", document(), call_limits={"agent_concurrency_limit": 1}, queueing_config=queueing)

    async def scene() -> None:
        async with serving() as server, server.call("small") as first:
            await first.hear("conversation_initiation_metadata")
            async with server.call("small") as second:
                assert (await second.closed())[0] == 4300
                statuses = [said["queue_status_event"]["status"] for said in second.heard if "queue" in said["type"]]
                assert statuses == ["waiting", "timed_out"]

    asyncio.run(scene())


def test_the_server_stops_though_somebody_waits(serving: Serving, agents: Path, document: Document) -> None:
    """They are closed as the others: 1001."""
    small = {"call_limits": {"agent_concurrency_limit": 1}, "queueing_config": {"enabled": True}}
    add_agent(agents, "small", document(), **small)

    async def scene() -> None:
        async with serving() as server, server.call("small") as first:
            await first.hear("conversation_initiation_metadata")
            async with server.call("small") as second:
                await second.hear("queue_status")
                await server.services.sessions.stop(5.0)
                assert (await second.closed())[0] == 1001

    asyncio.run(scene())


def test_an_agent_has_had_its_conversations_of_today(
    serving: Serving, agents: Path, document: Document, clock: Any
) -> None:
    """Tomorrow it has others; a restart does not give it more today."""
    add_agent(agents, "small", document(), call_limits={"daily_limit": 1})

    async def call() -> tuple[int, str] | None:
        """How the server refused; None: it did not."""
        async with serving() as server:
            async with server.call("small") as caller:
                if json.loads(await caller.socket.recv())["type"] == "error":
                    return await caller.closed()
                await caller.initiate()
                await caller.hear("agent_response")
            await server.services.sessions.idle()
        return None

    async def scene() -> None:
        assert await call() is None
        assert await call() == (1002, "this agent has had its 1 conversations of today")
        clock.now += 86_400
        assert await call() is None

    asyncio.run(scene())


# ------------------------------------------------------------------------------------------------------- the door


def test_a_public_address_needs_a_key(agents: Path, tmp_path: Path) -> None:
    """One that was set, stored, or made earlier; behind a loopback address one is made as ever."""

    refusals: list[ConfigError] = []

    async def starts(name: str, **settings: Any) -> bool:
        loaded = Settings.load(None, agents=agents, data=tmp_path / name, **settings)
        try:
            async with create_app(loaded).running():
                return True
        except ConfigError as error:
            refusals.append(error)
            return False

    async def store_a_key(name: str) -> str:
        _, kept = new_key("", ["admin"], now=0.0)
        async with open_store(f"sqlite:///{tmp_path}/{name}/antiphon.db") as store:
            await store.keys.add(kept)
        return kept.id

    async def revoke(name: str, key_id: str) -> None:
        async with open_store(f"sqlite:///{tmp_path}/{name}/antiphon.db") as store:
            await store.keys.revoke(key_id, now=0.0)

    async def scene() -> None:
        assert not await starts("none", host="0.0.0.0")
        assert not (tmp_path / "none" / "workspace.key").exists()
        assert await starts("set", host="0.0.0.0", api_key="sk_x")
        key_id = await store_a_key("stored")
        assert await starts("stored", host="0.0.0.0")
        await revoke("stored", key_id)
        assert not await starts("stored", host="0.0.0.0")
        assert await starts("made", host="127.0.0.1")
        assert await starts("made", host="0.0.0.0")

    asyncio.run(scene())
    assert {error.path for error in refusals} == {"host 0.0.0.0"}
    assert all("ANTIPHON_API_KEY" in str(error) for error in refusals)


def test_no_key_is_in_any_log(serving: Serving, agents: Path, document: Document, caplog: Any) -> None:
    """Whatever was done with it, and with whatever came of it."""
    add_agent(agents, "shared", document(), auth={"enable_auth": True, "shareable_token": "a-shared-token"})
    caplog.set_level(logging.DEBUG, logger="antiphon")
    secrets: list[str] = ["sk_of_the_tests", "sk_wrong_one", "a-shared-token", "the-signing-secret"]

    async def scene() -> None:
        async with serving(signing_secret="the-signing-secret") as server, client(server) as asking:
            key, key_id = await made(server, "converse")
            secrets.append(key)
            for offered in ("sk_of_the_tests", "sk_wrong_one", key):
                for path in (SIGNED_URL, "/v1/convai/conversations/c", "/v1/nothing"):
                    await server.get(path, key=offered)
                    await server.get(path, key=None, authorization=f"Bearer {offered}")
                async with server.call("private", additional_headers={"xi-api-key": offered}) as caller:
                    await leave(caller)
            url = (await server.get(SIGNED_URL + "&include_conversation_id=true")).json()["signed_url"]
            secrets.append(httpx.URL(url).params["conversation_signature"])
            for address in (url, url, url.replace("desk", "private"), url.replace("&conversation_id", "&branch_id")):
                async with server.call(url=address) as caller:
                    await leave(caller)
            token = await asking.post("/v1/single-use-token/tts_websocket", headers={"xi-api-key": secrets[0]})
            secrets.append(token.json()["token"])
            base = server.address.replace("http", "ws", 1) + "/v1/convai/conversation?agent_id=shared"
            for shown in ("&token=a-shared-token", f"&conversation_signature={secrets[-1]}"):
                async with server.call(url=base + shown) as caller:
                    await leave(caller)
            await server.services.store.keys.revoke(key_id, now=0.0)
            await server.services.sessions.idle()

    asyncio.run(scene())
    ours = [record for record in caplog.records if record.name.startswith("antiphon")]
    assert any(record.getMessage() == "client refused" for record in ours)
    logged = "\n".join(repr(vars(record)) for record in ours)
    assert [secret for secret in secrets if secret in logged] == []


def test_of_others_lines_only_what_is_wrong_is_logged() -> None:
    """At `debug`, libraries log headers, addresses and statements, and with them keys."""
    program = (
        "import logging; from antiphon.server.logs import log_to_stderr; log_to_stderr('debug');"
        "[print(name, logging.getLogger(name).getEffectiveLevel()) for name in"
        " ('antiphon.server', 'uvicorn.error', 'websockets', 'httpcore', 'sqlalchemy.engine', 'openai')]"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    levels = dict(line.split() for line in ran.stdout.splitlines())
    assert levels.pop("antiphon.server") == "10"
    assert set(levels.values()) == {"30"}
