"""Zero retention: what is said in a conversation is found nowhere afterwards, by a canary planted all over it."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from antiphon.server.logs import JsonFormatter, LineFormatter

Serving = Callable[..., AbstractAsyncContextManager[Any]]
CANARY = "canary-b81f5d"
SECRET = "hush-5512e0"
"A secret variable, which is masked wherever the canary may be."
RULES = [
    {"when": "^look", "tool": {"name": "look_up", "parameters": {"what": CANARY}}, "then": "It is {result}."},
    {"say": f"You said {CANARY}."},
]


def planted(*, text_only: bool, **privacy: Any) -> dict[str, Any]:
    """An agent with the canary wherever words can be."""
    tool = {"type": "client", "name": "look_up", "description": CANARY, "expects_response": True}
    tool["parameters"] = {"type": "object", "properties": {"what": {"type": "string", "description": CANARY}}}
    prompt = {"prompt": f"You know {CANARY}, and {{{{about}}}}.", "tools": [tool]}
    return {
        "name": CANARY,
        "conversation_config": {
            "agent": {"first_message": f"Hello, {CANARY}.", "prompt": prompt},
            "conversation": {"text_only": text_only},
            "antiphon": {
                "llm": {"engine": "scripted", "rules": RULES},
                "stt": {"engine": "scripted", "lines": [f"heard {CANARY}"]},
                "tts": {"engine": "scripted"},
                "vad": {"engine": "energy"},
            },
        },
        "platform_settings": {
            "privacy": privacy,
            "overrides": {
                "custom_llm_extra_body": True,
                "conversation_config_override": {"agent": {"first_message": True}},
            },
        },
    }


@asynccontextmanager
async def collector() -> AsyncGenerator[tuple[str, list[bytes]]]:
    """An OpenTelemetry collector: its address, and what was posted to it."""
    received: list[bytes] = []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(size)
        received.append(zlib.decompress(body, 31) if b"content-encoding: gzip" in head else body)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces", received


@asynccontextmanager
async def quoting_model() -> AsyncGenerator[str]:
    """A language model's server that refuses whatever it is asked, with the question in its reason: its address."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        said = json.loads(await reader.readexactly(size))["messages"][-1]["content"]
        error = {"message": f"this was filtered: {said}", "code": "content_filter"}
        body = json.dumps({"error": error}).encode()
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        writer.write(head + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


def tone() -> str:
    """A tenth of a second of something loud, as a client sends it."""
    import base64

    return base64.b64encode(
        b"".join((12000 if n // 20 % 2 else -12000).to_bytes(2, "little", signed=True) for n in range(1600))
    ).decode()


async def converse(server: Any, url: str, *, text_only: bool) -> str:
    """A conversation with the canary in every field that a client fills; its id, once it is over."""
    async with server.call(url=url) as caller:
        await caller.initiate(
            user_id=CANARY,
            dynamic_variables={"about": CANARY, "secret__token": SECRET},
            custom_llm_extra_body={"key": CANARY},
            conversation_config_override={"agent": {"first_message": f"Good day, {CANARY}."}},
        )
        identifier = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
        assert CANARY in (await caller.hear("agent_response"))["agent_response"]
        await caller.say({"type": "contextual_update", "text": CANARY})
        await caller.say({"type": "user_message", "text": f"look for {CANARY}"})
        call = await caller.hear("client_tool_call")
        result = {"tool_call_id": call["tool_call_id"], "result": CANARY, "is_error": False}
        await caller.say({"type": "client_tool_result", **result})
        assert CANARY in (await caller.hear("agent_response"))["agent_response"]
        if not text_only:
            for _ in range(10):
                await caller.say({"user_audio_chunk": tone()})
            for _ in range(20):
                await caller.say({"user_audio_chunk": "AAAA" * 1000})
            assert CANARY in (await caller.hear("user_transcript"))["user_transcript"]
        await caller.say({"type": "nobody_knows_this", "text": CANARY})
        await caller.hear("ping")
        await caller.say({"type": "feedback", "event_id": 1, "score": CANARY})  # the end, with a reason that quotes it
        assert (await caller.closed())[0] == 1008
    await server.services.sessions.idle()
    return identifier


def with_canary(folder: Path) -> list[str]:
    """Files that hold it, or the secret."""
    files = [(str(file), file.read_bytes()) for file in folder.rglob("*") if file.is_file()]
    return [name for name, data in files if CANARY.encode() in data or SECRET.encode() in data]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """All that the process would log at `log_level = debug`, in both forms."""
    caplog.set_level(logging.WARNING)
    caplog.set_level(logging.DEBUG, "antiphon")

    def text() -> str:
        forms = LineFormatter(), JsonFormatter()
        return "\n".join(form.format(record) for record in caplog.records for form in forms)

    return text


@pytest.mark.component("otel")
@pytest.mark.parametrize("text_only", [True, False], ids=["text", "sound"])
@pytest.mark.parametrize("way", ["agent", "address", "signed address"])
def test_a_canary_is_found_nowhere(
    serving: Serving,
    agents: Path,
    tmp_path: Path,
    lines: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    text_only: bool,
) -> None:
    """Not in a database, a file, a log line, a metric or a span; that the conversation took place is known, no more."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # The agent's own file is in `agents`, where its author has put it.
    agent = planted(text_only=text_only, **({"zero_retention_mode": True} if way == "agent" else {}))
    (agents / "planted.json").write_text(json.dumps(agent))

    async def scene() -> list[bytes]:
        async with collector() as (endpoint, spans):
            async with serving(otlp_endpoint=endpoint) as server:
                url = f"{server.address.replace('http', 'ws', 1)}/v1/convai/conversation?agent_id=planted"
                if way == "address":
                    url += "&enable_logging=false"
                elif way == "signed address":
                    path = "/v1/convai/conversation/get-signed-url?agent_id=planted&enable_logging=false"
                    url = (await server.get(path)).json()["signed_url"].replace("&enable_logging=false", "")
                identifier = await converse(server, url, text_only=text_only)
                record = await server.record(identifier)
                assert record["status"] in ("done", "failed")
                assert record["transcript"] == []
                assert CANARY not in json.dumps(record)
                assert CANARY not in (await server.get("/metrics")).text
                assert with_canary(tmp_path / "data") == [], "while it runs"
            return spans

    spans = asyncio.run(scene())
    assert with_canary(tmp_path / "data") == []
    assert not list(tmp_path.rglob("*.mp3*"))
    assert spans, "there were traces to look at"
    assert CANARY.encode() not in b"".join(spans)
    assert "conversation ended" in lines(), "there were lines to look at"
    assert CANARY not in lines()


@pytest.mark.component("otel")
def test_the_canary_would_be_found(
    serving: Serving, agents: Path, tmp_path: Path, lines: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a conversation may be kept, it is in the database; but never in a log, a metric or a span."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (agents / "planted.json").write_text(json.dumps(planted(text_only=False)))

    async def scene() -> list[bytes]:
        async with collector() as (endpoint, spans):
            async with serving(otlp_endpoint=endpoint) as server:
                url = f"{server.address.replace('http', 'ws', 1)}/v1/convai/conversation?agent_id=planted"
                identifier = await converse(server, url, text_only=False)
                assert CANARY in json.dumps(await server.record(identifier))
                assert CANARY not in (await server.get("/metrics")).text
            return spans

    spans = asyncio.run(scene())
    found = with_canary(tmp_path / "data")
    assert found
    assert not [name for name in found if SECRET.encode() in Path(name).read_bytes()]
    assert spans
    assert CANARY.encode() not in b"".join(spans)
    assert CANARY not in lines()


def test_a_client_cannot_take_the_wish_back(serving: Serving, agents: Path) -> None:
    """Who got an address with `enable_logging=false` cannot have the conversation kept by writing `true` into it."""
    (agents / "planted.json").write_text(json.dumps(planted(text_only=True)))

    async def scene() -> None:
        async with serving() as server:
            path = "/v1/convai/conversation/get-signed-url?agent_id=planted&enable_logging=false"
            url = (await server.get(path)).json()["signed_url"]
            assert "enable_logging=false" in url
            identifier = await converse(server, url.replace("=false", "=true"), text_only=True)
            assert (await server.record(identifier))["transcript"] == []

    asyncio.run(scene())


@pytest.mark.parametrize("kept", [True, False])
def test_a_models_server_that_quotes_what_was_said_is_not_quoted_in_logs(
    serving: Serving, agents: Path, tmp_path: Path, lines: Callable[[], str], kept: bool
) -> None:
    """An operator is told what kind of refusal it was; the server's words are for the conversation's own record."""

    async def scene() -> None:
        async with quoting_model() as address:
            agent = planted(text_only=True, zero_retention_mode=not kept)
            agent["conversation_config"]["antiphon"]["llm"] = {"engine": "openai", "model": "m", "base_url": address}
            (agents / "planted.json").write_text(json.dumps(agent))
            async with serving() as server:
                async with server.call("planted") as caller:
                    await caller.initiate(dynamic_variables={"about": "it"})
                    await caller.say({"type": "user_message", "text": f"look for {CANARY}"})
                    await caller.hear("agent_response")
                    await caller.hear("agent_response")  # an apology
                await server.services.sessions.idle()

    asyncio.run(scene())
    assert "refused with HTTP 400; content_filter" in lines()
    assert CANARY not in lines()
    with closing(sqlite3.connect(tmp_path / "data" / "antiphon.db")) as database:
        journals = [bytes(row[0]) for row in database.execute("SELECT lines FROM journal")]
    assert any(f"this was filtered: look for {CANARY}".encode() in each for each in journals) is kept
