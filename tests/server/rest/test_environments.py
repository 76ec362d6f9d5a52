"""Branches and environments: what a conversation was asked to run in, and what labels stand for there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from .test_agents import V1, Api, Serving, asking

VARIABLES = "/environment-variables"
ONE = "/environment-variables/{env_var_id}"


def test_there_is_one_branch_and_it_is_shown(serving: Serving) -> None:
    """As the list has it; of no other agent, and no other branch."""

    async def scene(server: Any, api: Api) -> None:
        (listed,) = (await api("GET", "/agents/{agent_id}/branches", agent_id="desk"))["results"]
        one = "/agents/{agent_id}/branches/{branch_id}"
        shown = await api("GET", one, agent_id="desk", branch_id=listed["id"])
        same = ("id", "name", "agent_id", "created_at", "last_committed_at", "current_live_percentage")
        assert [shown[key] for key in same] == [listed[key] for key in same]
        await api("GET", one, agent_id="desk", branch_id="another", status=404)
        await api("GET", one, agent_id="nobody", branch_id=listed["id"], status=404)

    asking(serving, scene)


def test_a_variable_is_made_shown_listed_changed_and_forgotten(serving: Serving) -> None:
    """Of each type; lists are filtered by label, type and environment."""

    async def scene(server: Any, api: Api) -> None:
        secret = (await api("POST", "/secrets", {"name": "k", "value": "very-secret"}))["secret_id"]
        values = {"production": "https://a", "staging": "https://b"}
        made = await api("POST", VARIABLES, {"type": "string", "label": "base", "values": values})
        assert (made["label"], made["type"], made["values"]) == ("base", "string", values)
        held: dict[str, Any] = {"production": {"secret_id": secret}}
        kept = await api("POST", VARIABLES, {"type": "secret", "label": "token", "values": held})
        assert kept["values"] == held
        held = {"production": {"auth_connection_id": "auth_1"}}
        await api("POST", VARIABLES, {"type": "auth_connection", "label": "login", "values": held})
        assert await api("GET", ONE, env_var_id=made["id"]) == made

        async def labels(**params: str) -> list[str]:
            listed = (await api("GET", VARIABLES, params=params))["environment_variables"]
            return sorted(variable["label"] for variable in listed)

        assert await labels() == ["base", "login", "token"]
        assert await labels(label="base") == ["base"]
        assert await labels(type="secret") == ["token"]
        assert await labels(environment="staging") == ["base"]
        (only,) = (await api("GET", VARIABLES, params={"environment": "staging"}))["environment_variables"]
        assert only["values"] == {"staging": "https://b"}
        assert "very-secret" not in json.dumps(await api("GET", VARIABLES))
        change = {"values": {"staging": None, "dev": "https://c"}}
        changed = await api("PATCH", ONE, change, env_var_id=made["id"])
        assert changed["values"] == {"production": "https://a", "dev": "https://c"}
        gone = await api.http.delete(V1 + ONE.format(env_var_id=made["id"]))
        assert gone.status_code == 200, gone.text  # its answer is not in the published description
        await api("GET", ONE, env_var_id=made["id"], status=404)
        await api("PATCH", ONE, change, env_var_id=made["id"], status=404)

    asking(serving, scene)


@pytest.mark.parametrize(
    "body",
    [
        {"type": "string", "label": "x", "values": {"staging": "a"}},
        {"type": "string", "label": "x", "values": {"production": ""}},
        {"type": "string", "label": "x", "values": {"production": {"secret_id": "s"}}},
        {"type": "secret", "label": "x", "values": {"production": "text"}},
        {"type": "secret", "label": "x", "values": {"production": {"secret_id": "nobody"}}},
        {"type": "number", "label": "x", "values": {"production": "1"}},
        {"type": "string", "values": {"production": "1"}},
    ],
    ids=["no production", "empty", "an object", "no object", "no secret", "no type", "no label"],
)
def test_what_is_no_variable_is_refused(serving: Serving, body: dict[str, Any]) -> None:
    """422, and nothing is kept; a label is taken once, and `production` is never without a value."""

    async def scene(server: Any, api: Api) -> None:
        await api("POST", VARIABLES, body, status=422)
        good = {"type": "string", "label": "x", "values": {"production": "1"}}
        made = await api("POST", VARIABLES, good)
        await api("POST", VARIABLES, good, status=409)
        await api("PATCH", ONE, {"values": {"production": None}}, env_var_id=made["id"], status=422)
        assert len((await api("GET", VARIABLES))["environment_variables"]) == 1

    asking(serving, scene)


class Endpoint:
    """A web server that notes the head of each request and answers `{}`."""

    def __init__(self) -> None:
        self.heads: list[str] = []

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[str]:
        async with await asyncio.start_server(self._take, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/call"

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}")
            await writer.drain()


def test_a_conversation_has_the_values_of_its_environment(
    serving: Serving, agents: Path, document: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts as `system__env_...`, both as headers of tools; what an environment lacks is that of `production`. Branch
    and environment are in the record, and a secret is in no record."""
    agent = document(agent={"first_message": "This is {{system__env_place}}."})
    agent["conversation_config"]["antiphon"]["llm"]["rules"] = [
        {"when": "^call", "tool": {"name": "fetch"}},
        {"say": "Done."},
    ]

    async def scene(server: Any, api: Api) -> None:
        endpoint = Endpoint()
        async with endpoint.listening() as address:
            secret = (await api("POST", "/secrets", {"name": "k", "value": "very-secret"}))["secret_id"]
            for kind, label, values in (
                ("string", "place", {"production": "the world", "staging": "the workshop"}),
                ("string", "common", {"production": "everywhere"}),
                ("secret", "token", {"production": {"secret_id": secret}}),
            ):
                await api("POST", VARIABLES, {"type": kind, "label": label, "values": values})
            labels = {"X-Place": "place", "X-Common": "common", "X-Token": "token"}
            headers = {name: {"env_var_label": label} for name, label in labels.items()}
            schema = {"url": address, "method": "GET", "request_headers": headers}
            tool = {"type": "webhook", "name": "fetch", "description": "Fetch.", "api_schema": schema}
            agent["conversation_config"]["agent"]["prompt"] = {"tools": [tool]}
            agent_id = (await api("POST", "/agents/create", agent))["agent_id"]
            url = f"{server.address.replace('http', 'ws', 1)}{V1}/conversation?agent_id={agent_id}"
            for query, place, environment, branch in (
                ("", "the world", "production", None),
                ("&environment=staging&branch_id=main", "the workshop", "staging", "main"),
                ("&environment=elsewhere", "the world", "elsewhere", None),
            ):
                async with server.call(url=url + query) as caller:
                    await caller.initiate()
                    identifier = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
                    said = await caller.hear("agent_response")
                    assert said["agent_response"] == f"This is {place}."
                    await caller.say({"type": "user_message", "text": "call"})
                    await caller.hear("agent_response")
                record = await server.record(identifier)
                assert (record["environment"], record["branch_id"]) == (environment, branch)
                assert "very-secret" not in json.dumps(record)
                head = endpoint.heads.pop()
                assert f"x-place: {place}\r\n" in head
                assert "x-common: everywhere\r\n" in head
                assert "x-token: very-secret\r\n" in head
            page = (await api.http.get(f"{V1}/conversations", params={"branch_id": "main"})).json()
            assert len(page["conversations"]) == 1

    asking(serving, scene, tool_hosts=["127.0.0.1"])
