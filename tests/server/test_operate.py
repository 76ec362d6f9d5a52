"""What an operator sees and does: metrics, readiness, log lines, traces, draining, and a process that is killed."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from antiphon.protocol import events as ev
from antiphon.server.logs import JsonFormatter
from antiphon.server.metrics import Metrics

Serving = Callable[..., AbstractAsyncContextManager[Any]]
KEY = "sk_of_the_tests"
PROGRAM = """
import sys
from antiphon.server import Settings, recorder, serve
recorder.SETTLING = 0.0  # sound is on the disk as soon as words are
sys.exit(serve(Settings.load()))
"""
QUIET = "AAAA" * 1000


def waterfall(**stages: float) -> ev.TurnWaterfall:
    return ev.TurnWaterfall(event_id=3, user_speech_ended_at=2.0, stages=stages)


# ---------------------------------------------------------------------------------------------------------- metrics


def samples(text: bytes) -> dict[str, float]:
    """Value by name and labels."""
    lines = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_count_what_conversations_emit() -> None:
    """Answers with their stages, interruptions, tools, errors, ends, refusals, webhooks, and who lives."""
    metrics = Metrics(lambda: 7)
    metrics.observe("desk", waterfall(endpointing=0.3, llm=0.5))
    metrics.observe("desk", ev.Interruption(event_id=4))
    metrics.observe("desk", ev.ErrorEvent(code=1002, message="words", error_type="llm_failed"))
    metrics.ended("desk", 1000, 61.0)
    metrics.refused("invalid_signature")
    metrics.delivered("ok")
    found = samples(metrics.text())
    assert found["antiphon_live_conversations"] == 7
    assert found['antiphon_answer_seconds_sum{agent_id="desk"}'] == pytest.approx(0.8)
    assert found['antiphon_answer_stage_seconds_sum{stage="llm"}'] == pytest.approx(0.5)
    assert found['antiphon_interruptions_total{agent_id="desk"}'] == 1
    assert found['antiphon_errors_total{type="llm_failed"}'] == 1
    assert found['antiphon_conversations_total{agent_id="desk",close_code="1000"}'] == 1
    assert found['antiphon_conversation_seconds_bucket{le="120.0"}'] == 1
    assert found['antiphon_refused_conversations_total{reason="invalid_signature"}'] == 1
    assert found['antiphon_webhook_attempts_total{outcome="ok"}'] == 1
    assert "words" not in metrics.text().decode()


def test_the_server_tells_its_metrics_to_who_has_a_key(serving: Serving) -> None:
    """In the OpenMetrics format, which the scraper asks for with a bearer token."""

    async def scene() -> None:
        async with serving() as server:
            async with server.call("desk") as caller:
                await caller.initiate()
                await caller.hear("agent_response")
                answer = await server.get("/metrics", key=None, authorization=f"Bearer {KEY}")
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith("application/openmetrics-text")
                assert answer.text.endswith("# EOF\n")
                assert samples(answer.content)["antiphon_live_conversations"] == 1
            async with server.call("nobody") as caller:
                await caller.closed()
            await server.services.sessions.idle()
            found = samples((await server.get("/metrics")).content)
            assert found["antiphon_live_conversations"] == 0
            assert found['antiphon_conversations_total{agent_id="desk",close_code="1000"}'] == 1
            assert sum(value for name, value in found.items() if name.startswith("antiphon_refused")) >= 1
            assert not [name for name in found if "nobody" in name], "strangers' words are no labels"
            assert (await server.get("/metrics", key=None)).status_code == 401

    asyncio.run(scene())


# -------------------------------------------------------------------------------------------------------- readiness


def test_it_is_ready_while_conversations_can_begin(serving: Serving) -> None:
    """Not while it is full or drains; it lives all the same."""

    async def scene() -> None:
        async with serving(max_sessions=1) as server:

            async def state() -> tuple[int, str]:
                answer = await server.get("/ready", key=None)
                return answer.status_code, answer.json()["status"]

            assert await state() == (200, "ok")
            async with server.call("desk") as caller:
                await caller.hear("conversation_initiation_metadata")
                assert await state() == (503, "full")
                assert (await server.get("/health", key=None)).json() == {"status": "ok"}
            await server.services.sessions.idle()
            assert await state() == (200, "ok")
            await server.services.sessions.stop(0.0)
            assert await state() == (503, "draining")
            assert (await server.get("/health", key=None)).status_code == 200

    asyncio.run(scene())


def test_it_is_not_ready_without_its_database(serving: Serving, tmp_path: Path) -> None:
    """Nothing could be kept of a conversation that began now."""

    async def scene() -> None:
        async with serving() as server:
            await server.services.store.database.aclose()  # the next question connects anew
            folder = tmp_path / "data"
            for file in folder.glob("antiphon.db*"):
                file.unlink()
            (folder / "antiphon.db").mkdir()
            answer = await server.get("/ready", key=None)
            assert (answer.status_code, answer.json()) == (503, {"status": "database unreachable"})

    asyncio.run(scene())


# ------------------------------------------------------------------------------------------------- logs and traces


def test_a_log_line_can_be_one_json_object() -> None:
    """With what it is about as fields, a traceback in it, and no line break but its last."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("antiphon.tests")  # noqa: LOG001  one that nobody else hears
    logger.addHandler(handler)
    logger.info("conversation ended", extra={"conversation_id": "conv_1", "reason": 'said "no"\n'})
    try:
        raise ValueError("wrong")
    except ValueError:
        logger.exception("a conversation failed", extra={"path": Path("x")})
    first, second = [json.loads(line) for line in out.getvalue().splitlines()]
    assert first.pop("time") > 1_600_000_000
    assert first == {
        "level": "info",
        "logger": "antiphon.tests",
        "message": "conversation ended",
        "conversation_id": "conv_1",
        "reason": 'said "no"\n',
    }
    assert second["level"] == "error"
    assert "ValueError: wrong" in second["traceback"]


@pytest.mark.component("otel")
def test_a_trace_shows_where_an_answers_time_went() -> None:
    """A span for the conversation, in it one for each answer, in that one for each stage, end to end."""
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from antiphon.server.tracing import open_tracing

    exporter = InMemorySpanExporter()
    tracing = open_tracing("http://127.0.0.1:9/v1/traces", exporter=exporter)
    trace = tracing.begin("conv_1", "desk", 1_000.0)
    trace.observe(waterfall(endpointing=0.25, llm=0.5))
    trace.observe(ev.Interruption(event_id=3))
    trace.observe(ev.AgentResponse(text="words", event_id=3))
    trace.end(1_010.0, 1000)
    tracing.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    times = {name: (span.start_time / 1e9, span.end_time / 1e9) for name, span in spans.items()}
    assert times == {
        "conversation": (1000.0, 1010.0),
        "answer": (1002.0, 1002.75),
        "endpointing": (1002.0, 1002.25),
        "llm": (1002.25, 1002.75),
    }
    parents = {name: span.parent and span.parent.span_id for name, span in spans.items()}
    assert parents["conversation"] is None
    assert parents["answer"] == spans["conversation"].context.span_id
    assert parents["endpointing"] == parents["llm"] == spans["answer"].context.span_id
    whole = spans["conversation"]
    assert dict(whole.attributes) == {
        "antiphon.conversation_id": "conv_1",
        "antiphon.agent_id": "desk",
        "antiphon.close_code": 1000,
    }
    assert [event.name for event in whole.events] == ["interruption"]
    assert "words" not in "".join(span.to_json() for span in spans.values())


# --------------------------------------------------------------------------------------------------------- draining


@asynccontextmanager
async def process(agents: Path, data: Path, **settings: Any) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """A server in a process of its own, and its address; it does not outlive the test."""
    values = {"port": 0, "agents": agents, "data": data, "api_key": KEY, "ping_interval": 0.1, **settings}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    environment |= {f"ANTIPHON_{name.upper()}": str(value) for name, value in values.items()}
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-c", PROGRAM)
    running = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(60):
            assert running.stdout is not None
            yield running, (await running.stdout.readline()).decode().split()[-1]
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def hear(caller: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this type."""
    while (message := json.loads(await caller.recv()))["type"] != kind:
        pass
    return message


async def closed(caller: ClientConnection) -> tuple[int | None, str | None]:
    """How the server closed, once it has."""
    async for _ in caller:
        pass
    return caller.close_code, caller.close_reason


def calling(address: str, agent_id: str) -> connect:
    return connect(f"{address.replace('http', 'ws', 1)}/v1/convai/conversation?agent_id={agent_id}", proxy=None)


def test_conversations_may_end_by_themselves_while_it_drains(agents: Path, tmp_path: Path) -> None:
    """Told to stop, it is not ready any more and refuses new ones with 1001; it ends as soon as the last one has."""

    async def scene() -> None:
        async with (
            process(agents, tmp_path / "data", drain_timeout=50, log_format="json") as (running, address),
            httpx.AsyncClient(base_url=address, trust_env=False) as client,
            calling(address, "desk") as caller,
        ):
            await caller.send('{"type": "conversation_initiation_client_data"}')
            await hear(caller, "agent_response")
            running.send_signal(signal.SIGTERM)
            while (answer := await client.get("/ready")).status_code == 200:
                await hear(caller, "ping")
            assert answer.json() == {"status": "draining"}
            async with calling(address, "desk") as late:
                assert await closed(late) == (1001, "the server is shutting down")
            await caller.send('{"type": "user_message", "text": "book Monday"}')
            said = await hear(caller, "agent_response")
            assert said["agent_response_event"]["agent_response"] == "I have booked Monday."
            await caller.close()
            async with asyncio.timeout(10):  # not the fifty seconds
                _, err = await running.communicate()
            assert running.returncode == 0, err.decode()
            lines = [json.loads(line) for line in err.decode().splitlines()]
            assert {"message": "draining", "conversations": 1, "seconds": 50.0}.items() <= next(
                line for line in lines if line["message"] == "draining"
            ).items()

    asyncio.run(scene())


def test_who_goes_on_is_ended_when_the_drain_is_over(agents: Path, tmp_path: Path) -> None:
    """With 1001, as without a drain."""

    async def scene() -> None:
        async with (
            process(agents, tmp_path / "data", drain_timeout=0.3) as (running, address),
            calling(address, "desk") as caller,
        ):
            await caller.send('{"type": "conversation_initiation_client_data"}')
            await hear(caller, "agent_response")
            running.send_signal(signal.SIGTERM)
            assert await closed(caller) == (1001, "the server is shutting down")
            _, err = await running.communicate()
            assert running.returncode == 0, err.decode()

    asyncio.run(scene())


# ------------------------------------------------------------------------------------------------------------ death


def in_journal(data: Path, identifier: str) -> bytes:
    """What the database of a living process holds of a conversation now."""
    query = "SELECT lines FROM journal WHERE conversation_id = ? ORDER BY number"
    with closing(sqlite3.connect(f"file:{data / 'antiphon.db'}?mode=ro", uri=True)) as database:
        return b"".join(row[0] for row in database.execute(query, [identifier]))


def test_a_killed_servers_conversations_are_kept(agents: Path, tmp_path: Path) -> None:
    """`kill -9`: a second after they were said, words are in the database. The next start ends the conversation as
    failed, with those words, and makes a recording of the part that there is."""
    data = tmp_path / "data"

    async def killed() -> tuple[str, float]:
        async with process(agents, data) as (running, address), calling(address, "voice") as caller:
            await caller.send('{"type": "conversation_initiation_client_data", "user_id": "anna"}')
            metadata = await hear(caller, "conversation_initiation_metadata")
            identifier = metadata["conversation_initiation_metadata_event"]["conversation_id"]
            await hear(caller, "agent_response")
            await caller.send('{"type": "user_message", "text": "book Monday"}')
            await hear(caller, "agent_response")
            loop = asyncio.get_running_loop()
            said_at, kept_after = loop.time(), 0.0
            part = data / "recordings" / f"{identifier}.mp3.part"
            while not kept_after or not part.exists() or part.stat().st_size < 2_000:
                await caller.send(json.dumps({"user_audio_chunk": QUIET}))
                await hear(caller, "ping")
                if not kept_after and b"I have booked Monday." in in_journal(data, identifier):
                    kept_after = loop.time() - said_at
            running.kill()
            await running.wait()
            return identifier, kept_after

    async def reborn(identifier: str) -> tuple[dict[str, Any], bytes]:
        async with process(agents, data) as (_, address):
            headers = {"xi-api-key": KEY}
            async with httpx.AsyncClient(base_url=address, trust_env=False, headers=headers) as client:
                record = await client.get(f"/v1/convai/conversations/{identifier}")
                sound = await client.get(f"/v1/convai/conversations/{identifier}/audio")
                assert (record.status_code, sound.status_code) == (200, 200)
                return record.json(), sound.content

    identifier, kept_after = asyncio.run(killed())
    assert 0.0 < kept_after < 2.0, "a second, and what a busy machine takes"
    record, sound = asyncio.run(reborn(identifier))
    assert record["status"] == "failed"
    assert record["user_id"] == "anna"
    messages = [turn["message"] for turn in record["transcript"]]
    assert messages[1:3] == ["book Monday", "I have booked Monday."]
    assert record["has_audio"]
    assert sound[0] == 0xFF
    assert len(sound) >= 2_000
    assert not list((data / "recordings").glob("*.part"))
    with closing(sqlite3.connect(data / "antiphon.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
