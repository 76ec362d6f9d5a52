"""REST: answers, and errors in the API's own words."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

Serving = Callable[..., AbstractAsyncContextManager[Any]]

SIGNED_URL = "/v1/convai/conversation/get-signed-url?agent_id=desk"


def answers(serving: Serving, *requests: tuple[str, dict[str, Any]], **settings: Any) -> list[httpx.Response]:
    """What a server answers to these paths, each with its headers."""

    async def scene() -> list[httpx.Response]:
        async with serving(**settings) as server:
            return [await server.get(path, **headers) for path, headers in requests]

    return asyncio.run(scene())


def test_health_needs_no_key(serving: Serving) -> None:
    """Load balancers ask it."""
    (answer,) = answers(serving, ("/health", {"key": None}))
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("key", [None, "", "sk_wrong"])
@pytest.mark.parametrize("path", [SIGNED_URL, "/v1/convai/conversations/conv_1"])
def test_without_the_workspace_key_the_answer_is_401(serving: Serving, path: str, key: str | None) -> None:
    """In the classic shape, with what newer clients read beside it (rest.md 6)."""
    (answer,) = answers(serving, (path, {"key": key}))
    assert answer.status_code == 401
    detail = answer.json()["detail"]
    assert detail["status"] == "invalid_api_key"
    assert set(detail) == {"status", "message", "type", "code", "request_id"}
    assert detail["request_id"] == answer.headers["request-id"]
    assert "sk_" not in answer.text


def test_a_signed_address_is_on_the_host_that_was_asked(serving: Serving) -> None:
    """ws:// for http, URL-safe, the agent's id quoted; the deprecated path answers alike."""
    current, deprecated = answers(
        serving, (SIGNED_URL, {}), (SIGNED_URL.replace("get-signed-url", "get_signed_url"), {})
    )
    for answer in (current, deprecated):
        assert answer.status_code == 200
        expected = rf"ws://127\.0\.0\.1:{answer.request.url.port}/v1/convai/conversation\?agent_id=desk"
        assert re.fullmatch(expected + r"&conversation_signature=[A-Za-z0-9_-]+", answer.json()["signed_url"])


def test_a_signed_address_is_on_the_public_url(serving: Serving) -> None:
    """Where the operator has set one; a loopback proxy's word is taken where not."""
    (answer,) = answers(serving, (SIGNED_URL, {}), public_url="https://voice.example.com/x")
    assert answer.json()["signed_url"].startswith("wss://voice.example.com/x/v1/convai/conversation?agent_id=desk&")
    forwarded = {"X-Forwarded-Host": "voice.example.com", "X-Forwarded-Proto": "https"}
    (answer,) = answers(serving, (SIGNED_URL, forwarded))
    assert answer.json()["signed_url"].startswith("wss://voice.example.com/v1/")


def test_what_is_not_there_is_404_in_the_same_shape(serving: Serving) -> None:
    """Agents, conversations and routes; an id never becomes a path."""
    requests = {
        "/v1/convai/conversation/get-signed-url?agent_id=nobody": "agent_not_found",
        "/v1/convai/conversations/conv_none": "conversation_not_found",
        "/v1/convai/conversations/..%2Fworkspace.key": "not_found",
        "/v1/convai/conversations/%2e%2e": "conversation_not_found",
        "/v1/convai/conversations/workspace.key": "conversation_not_found",
        "/v1/convai/nothing": "not_found",
    }
    for answer, status in zip(answers(serving, *((path, {}) for path in requests)), requests.values(), strict=True):
        assert answer.status_code == 404
        assert answer.json()["detail"]["status"] == status
        assert answer.json()["detail"]["message"]


def test_a_missing_parameter_is_422_in_fastapis_shape(serving: Serving) -> None:
    """Generated clients parse exactly this."""
    (answer,) = answers(serving, ("/v1/convai/conversation/get-signed-url", {}))
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["query", "agent_id"]
    assert problem["type"] == "missing"
    assert "msg" in problem


def test_a_wrong_method_is_405_in_the_same_shape(serving: Serving) -> None:
    """With the header that says which ones are right."""

    async def scene() -> None:
        async with serving() as server, httpx.AsyncClient(base_url=server.address, trust_env=False) as client:
            answer = await client.post("/health")
            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET"
            assert answer.json()["detail"]["status"] == "method_not_allowed"

    asyncio.run(scene())


def test_browsers_may_call_from_anywhere(serving: Serving) -> None:
    """Preflight with the key's header, and the answer itself."""

    async def scene() -> None:
        async with serving() as server, httpx.AsyncClient(base_url=server.address, trust_env=False) as client:
            asked = {
                "Origin": "https://shop.example",
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "xi-api-key,content-type",
            }
            preflight = await client.options(SIGNED_URL, headers=asked)
            assert preflight.status_code == 200
            assert "xi-api-key" in preflight.headers["access-control-allow-headers"]
            for answer in (preflight, await client.get("/health", headers={"Origin": "https://shop.example"})):
                assert answer.headers["access-control-allow-origin"] in ("*", "https://shop.example")

    asyncio.run(scene())


def test_every_request_has_an_id_of_its_own(serving: Serving) -> None:
    """In a header, on success too."""
    first, second = answers(serving, ("/health", {}), ("/health", {}))
    assert re.fullmatch("[0-9a-f]{32}", first.headers["request-id"])
    assert first.headers["request-id"] != second.headers["request-id"]


def test_a_failure_of_the_server_tells_its_request_id_and_nothing_else(
    serving: Serving, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with the id under which the log has the rest, once."""
    answers(serving, ("/health", {}))  # the database is there
    with closing(sqlite3.connect(tmp_path / "data" / "antiphon.db")) as database:
        columns = "id, agent_id, status, text_only, started_at, duration, messages, successful, has_audio, alive_at"
        values = "'conv_broken', 'desk', 'done', 1, 0, 0, 0, 'unknown', 0, 0"
        database.execute(f"INSERT INTO conversations ({columns}, document) VALUES ({values}, 'no JSON')")
        database.commit()
    (answer,) = answers(serving, ("/v1/convai/conversations/conv_broken", {}))
    assert answer.status_code == 500
    detail = answer.json()["detail"]
    assert detail["status"] == "internal_error"
    assert "JSON" not in detail["message"]
    (logged,) = [record for record in caplog.records if record.exc_info]
    assert detail["request_id"] == getattr(logged, "request_id", None)


def test_two_servers_share_nothing(serving: Serving, tmp_path: Path) -> None:
    """In one process, with one agents folder: neither keys nor signatures nor conversations of one mean a thing at the
    other."""

    async def scene() -> None:
        async with (
            serving(data=tmp_path / "a", api_key="sk_a") as a,
            serving(data=tmp_path / "b", api_key="sk_b") as b,
        ):
            assert (await b.get(SIGNED_URL, key="sk_a")).status_code == 401
            url = (await a.get(SIGNED_URL, key="sk_a")).json()["signed_url"]
            async with b.call(url=url.replace(a.address.partition("://")[2], b.address.partition("://")[2])) as caller:
                assert (await caller.closed())[0] == 1008
            async with a.call() as caller:
                conversation_id = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
                await caller.initiate()
                await caller.hear("agent_response")
                path = f"/v1/convai/conversations/{conversation_id}"
                assert (await a.get(path, key="sk_a")).status_code == 200
                assert (await b.get(path, key="sk_b")).status_code == 404
                assert b.services.sessions.live == {}

    asyncio.run(scene())
