"""The conversation-initiation webhook: a real receiver on loopback, and conversations that begin with what it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.server import initiation_webhook

Serving = Callable[..., AbstractAsyncContextManager[Any]]
KEY = {"xi-api-key": "sk_of_the_tests"}
TYPE = "conversation_initiation_client_data"


class Receiver:
    """A web server that notes what is posted and gives one answer; None: it never does."""

    def __init__(self, answer: Any, status: str = "200 OK") -> None:
        self._answer = answer if isinstance(answer, str) or answer is None else json.dumps(answer)
        self._status = status
        self.posts: list[tuple[str, Any]] = []
        "Head in lower case, and body."

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[str]:
        async with await asyncio.start_server(self._take, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = next(int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:"))
            self.posts.append((head, json.loads(await reader.readexactly(size))))
            if self._answer is None:
                await reader.read()
                return
            body = self._answer.encode()
            writer.write(f"HTTP/1.1 {self._status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()


def greeting(document: Any, address: str | None, headers: Any = None) -> dict[str, Any]:
    """An agent that greets by a variable and lets its first message be overridden; `address`: of its own webhook."""
    agent = document(agent={"first_message": "Hello {{name}}, {{plan}}."})
    agent["platform_settings"]["overrides"] = {
        "enable_conversation_initiation_client_data_from_webhook": True,
        "conversation_config_override": {"agent": {"first_message": True}},
    }
    if address is not None:
        webhook = {"url": address, "request_headers": headers or {}}
        agent["platform_settings"]["workspace_overrides"] = {f"{TYPE}_webhook": webhook}
    return agent


def test_what_the_webhook_says_is_in_the_conversation_and_its_record(
    serving: Serving, agents: Path, document: Any
) -> None:
    """Variables and who it is; the client's own values win; secret variables are in no record, the header's secret is
    in the request."""
    variables = {"name": "Ada", "plan": "gold", "secret__pin": "canary-77"}
    receiver = Receiver({"type": TYPE, "dynamic_variables": variables, "user_id": "u_7", "environment": "staging"})

    async def scene() -> None:
        async with receiver.listening() as address, serving() as server:
            async with httpx.AsyncClient(base_url=server.address, trust_env=False, headers=KEY) as http:
                secret = (await http.post("/v1/convai/secrets", json={"name": "x", "value": "shh-9"})).json()
                headers = {"X-Plain": "plain", "X-Secret": {"secret_id": secret["secret_id"]}}
                body = greeting(document, address, headers)
                made = (await http.post("/v1/convai/agents/create", json=body)).json()
            async with server.call(made["agent_id"]) as caller:
                await caller.initiate(dynamic_variables={"plan": "silver"})
                metadata = await caller.hear("conversation_initiation_metadata")
                said = await caller.hear("agent_response")
                assert said["agent_response"] == "Hello Ada, silver."
            identifier = metadata["conversation_id"]
            record = await server.record(identifier)
            ((head, asked),) = receiver.posts
            assert asked == {
                "caller_id": "",
                "agent_id": made["agent_id"],
                "called_number": "",
                "call_sid": "",
                "conversation_id": identifier,
            }
            assert "x-plain: plain\r\n" in head
            assert "x-secret: shh-9\r\n" in head
            assert "content-type: application/json\r\n" in head
            assert (record["user_id"], record["environment"]) == ("u_7", "staging")
            told = record["conversation_initiation_client_data"]
            assert told["dynamic_variables"] == {"name": "Ada", "plan": "silver"}
            assert "canary-77" not in json.dumps(record)

    asyncio.run(scene())


def test_its_override_needs_permission_and_lies_under_the_clients(
    serving: Serving, agents: Path, document: Any
) -> None:
    """The agent's own address stands before the workspace's."""
    override = {"agent": {"first_message": "From the webhook."}}
    receiver, forbidden = (
        Receiver({"conversation_config_override": override}),
        Receiver({"conversation_config_override": {"agent": {"prompt": {"prompt": "Obey."}}}}),
    )

    async def scene() -> None:
        async with receiver.listening() as address, forbidden.listening() as other:
            (agents / "own.json").write_text(json.dumps(greeting(document, address)))
            (agents / "plain.json").write_text(json.dumps(greeting(document, None)))
            async with serving() as server:
                settings = {f"{TYPE}_webhook": {"url": other, "request_headers": {}}}
                async with httpx.AsyncClient(base_url=server.address, trust_env=False, headers=KEY) as http:
                    assert (await http.patch("/v1/convai/settings", json=settings)).status_code == 200
                async with server.call("own") as caller:
                    await caller.initiate()
                    said = await caller.hear("agent_response")
                    assert said["agent_response"] == "From the webhook."
                async with server.call("own") as caller:
                    mine = {"agent": {"first_message": "From the client."}}
                    await caller.initiate(conversation_config_override=mine)
                    said = await caller.hear("agent_response")
                    assert said["agent_response"] == "From the client."
                async with server.call("plain") as caller:
                    await caller.initiate()
                    code, reason = await caller.closed()
                    assert code == 1008
                    assert "does not allow overriding agent.prompt.prompt" in reason
                async with server.call("desk") as caller:  # has not turned it on
                    await caller.initiate()
                    await caller.hear("agent_response")
            assert (len(receiver.posts), len(forbidden.posts)) == (2, 1)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        ("{}", "500 Broken", "it answered 500"),
        ("no json", "200 OK", "its answer is no JSON"),
        ([], "200 OK", f"its answer is no {TYPE}"),
        ({"type": "pong"}, "200 OK", f"its answer is no {TYPE}"),
        ({"dynamic_variables": 7}, "200 OK", f"its answer is no {TYPE}"),
        ('{"dynamic_variables": {"a": "' + "x" * 300_000 + '"}}', "200 OK", "longer than"),
        (None, "", "no answer within"),
    ],
    ids=["status", "text", "list", "another type", "no variables", "too long", "silence"],
)
def test_a_webhook_that_fails_ends_the_conversation_with_its_reason(
    serving: Serving,
    agents: Path,
    document: Any,
    monkeypatch: pytest.MonkeyPatch,
    answer: Any,
    status: str,
    why: str,
) -> None:
    """An error message, then 1002: without what it would have said, the agent would say the wrong things."""
    monkeypatch.setattr(initiation_webhook, "TIMEOUT", 0.2 if answer is None else 5.0)
    receiver = Receiver(answer, status)

    async def scene() -> None:
        async with receiver.listening() as address:
            (agents / "own.json").write_text(json.dumps(greeting(document, address)))
            async with serving() as server, server.call("own") as caller:
                await caller.initiate()
                code, reason = await caller.closed()
                assert code == 1002
                assert reason.startswith("the conversation initiation webhook failed: ")
                assert why in reason
                assert caller.kinds[-1] == "error"

    asyncio.run(scene())


def test_a_webhook_may_not_be_anywhere(serving: Serving, agents: Path, document: Any) -> None:
    """A server that the world can reach asks nobody on its own network, unless `webhook_hosts` says so."""
    receiver = Receiver({"dynamic_variables": {"name": "Ada", "plan": "gold"}})

    async def scene() -> None:
        async with receiver.listening() as address:
            (agents / "own.json").write_text(json.dumps(greeting(document, address)))
            for hosts, kind in (((), "error"), (("127.0.0.1",), "agent_response")):
                async with serving(host="0.0.0.0", webhook_hosts=hosts) as server, server.call("own") as caller:
                    await caller.initiate()
                    await caller.hear(kind)
            assert len(receiver.posts) == 1

    asyncio.run(scene())
