"""Conversations are forgotten when their agents say so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from antiphon.server.retention import Retention

Serving = Callable[..., AbstractAsyncContextManager[Any]]
CANARY = "canary-77c1e0"
DAY = 86_400.0


@pytest.fixture
def keeping(agents: Path, document: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """Has the agent `keeper` say this of privacy: `keeping(retention_days=1)`."""

    def write(**privacy: Any) -> None:
        agent = document(text_only=False)
        agent["platform_settings"]["privacy"] = privacy
        (agents / "keeper.json").write_text(json.dumps(agent))

    return write


async def talked(server: Any, agent_id: str = "keeper") -> str:
    """A conversation with sound that is over, in which the caller has said the canary."""
    async with server.call(agent_id) as caller:
        await caller.initiate(user_id=CANARY, dynamic_variables={"name": CANARY})
        identifier = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
        await caller.hear("audio")
        await caller.say({"type": "user_message", "text": CANARY})
        await caller.hear("agent_response")
    await server.services.sessions.idle()
    return identifier


def sweeper(server: Any) -> Retention:
    services = server.services
    return Retention(services.store, services.records, services.workspace, services.epoch, 600.0)


def left(data: Path) -> list[str]:
    """Names of files with the canary in them."""
    return [file.name for file in data.rglob("*") if file.is_file() and CANARY.encode() in file.read_bytes()]


def test_a_conversation_goes_when_its_days_are_over(
    serving: Serving, keeping: Callable[..., None], clock: Any, tmp_path: Path
) -> None:
    """Not before; record, journal and recording; those of other agents stay."""
    keeping(retention_days=2)

    async def scene() -> None:
        async with serving() as server:
            gone, stays = await talked(server), await talked(server, "voice")
            clock.now += 1.9 * DAY
            assert await sweeper(server).sweep() == 0
            assert (await server.record(gone))["has_audio"]
            clock.now += 0.2 * DAY
            assert await sweeper(server).sweep() == 1
            assert (await server.get(f"/v1/convai/conversations/{gone}")).status_code == 404
            assert (await server.get(f"/v1/convai/conversations/{gone}/audio")).status_code == 404
            assert (await server.record(stays))["has_audio"]
            assert [file.stem for file in (tmp_path / "data" / "recordings").iterdir()] == [stays]

    asyncio.run(scene())


def test_the_recording_alone_is_forgotten(serving: Serving, keeping: Callable[..., None], clock: Any) -> None:
    """`delete_audio`: the transcript stays, and the record says when the recording went."""
    keeping(retention_days=1, delete_audio=True)

    async def scene() -> None:
        async with serving() as server:
            identifier = await talked(server)
            clock.now += 1.1 * DAY
            assert await sweeper(server).sweep() == 1
            record = await server.record(identifier)
            assert not any((record["has_audio"], record["has_user_audio"], record["has_response_audio"]))
            assert CANARY in [turn["message"] for turn in record["transcript"]]
            assert record["metadata"]["deletion_settings"] == {"deleted_audio_at_time_unix_secs": int(clock.now)}
            assert (await server.get(f"/v1/convai/conversations/{identifier}/audio")).status_code == 404
            assert await sweeper(server).sweep() == 0, "once is enough"

    asyncio.run(scene())


def test_what_was_said_and_by_whom_is_forgotten(
    serving: Serving, keeping: Callable[..., None], clock: Any, tmp_path: Path
) -> None:
    """`delete_transcript_and_pii`: the recording stays; of the words and the caller no byte does."""
    keeping(retention_days=1, delete_transcript_and_pii=True)

    async def scene() -> None:
        async with serving() as server:
            identifier = await talked(server)
            before = await server.record(identifier)
            assert left(tmp_path / "data")
            clock.now += 1.1 * DAY
            assert await sweeper(server).sweep() == 1
            record = await server.record(identifier)
            assert record["transcript"] == []
            assert record["user_id"] is None
            assert record["status"] == before["status"] == "done"
            assert record["metadata"]["call_duration_secs"] == before["metadata"]["call_duration_secs"]
            assert (await server.get(f"/v1/convai/conversations/{identifier}/audio")).status_code == 200
            assert await server.services.store.conversations.journal(identifier) == []
            assert left(tmp_path / "data") == []
            assert await sweeper(server).sweep() == 0, "once is enough"

    asyncio.run(scene())


def test_both_may_go_and_the_conversation_is_still_counted(
    serving: Serving, keeping: Callable[..., None], clock: Any
) -> None:
    """That it took place is all that is known."""
    keeping(retention_days=0, delete_transcript_and_pii=True, delete_audio=True)

    async def scene() -> None:
        async with serving() as server:
            identifier = await talked(server)
            clock.now += 3600
            assert await sweeper(server).sweep() == 2
            record = await server.record(identifier)
            assert (record["transcript"], record["has_audio"]) == ([], False)
            listed = (await server.get("/v1/convai/conversations")).json()["conversations"]
            assert [one["conversation_id"] for one in listed] == [identifier]

    asyncio.run(scene())


def test_what_webhooks_wait_for_is_kept_until_they_are_posted(
    serving: Serving, keeping: Callable[..., None], clock: Any
) -> None:
    """They are made of the record when they are posted."""
    keeping(retention_days=0)

    async def scene() -> None:
        async with serving() as server:
            identifier = await talked(server)
            store = server.services.store
            document = await store.conversations.get(identifier)
            await store.conversations.finish(
                document, webhooks=[({"webhook_id": "wh_1"}, "post_call_audio")], now=clock.now + 10 * DAY
            )
            clock.now += DAY
            assert await sweeper(server).sweep() == 0
            await store.deliveries.forget(identifier)
            assert await sweeper(server).sweep() == 1

    asyncio.run(scene())


def test_the_server_sweeps_at_its_start_and_again(
    serving: Serving, keeping: Callable[..., None], clock: Any, kept: Callable[..., list[Any]]
) -> None:
    """Nobody has to ask for it; a conversation that lives is left alone."""
    keeping(retention_days=1)

    async def scene() -> None:
        async with serving() as server:
            await talked(server)
        clock.now += 1.1 * DAY
        async with serving() as server, server.call("keeper") as caller:  # the first sweep
            await caller.initiate()
            identifier = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
            while len((await server.get("/v1/convai/conversations")).json()["conversations"]) != 1:
                await caller.hear("ping")
        assert kept("SELECT id FROM conversations") == [identifier]
        clock.now += 1.1 * DAY
        async with serving(retention_interval=0.05) as server:
            again = await talked(server)
            clock.now += 1.1 * DAY  # a later sweep
            async with server.call("desk") as caller:
                while (await server.get(f"/v1/convai/conversations/{again}")).status_code == 200:
                    await caller.hear("ping")

    asyncio.run(scene())
