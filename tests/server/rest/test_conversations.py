"""The list of conversations, what people thought of them, how they are forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

Serving = Callable[..., AbstractAsyncContextManager[Any]]
LIST = "/v1/convai/conversations"
KEY = {"xi-api-key": "sk_of_the_tests"}


async def held(server: Any, agent: str = "desk", **initiation: Any) -> str:
    async with server.call(agent) as caller:
        await caller.initiate(**initiation)
        metadata = await caller.hear("conversation_initiation_metadata")
        await caller.hear("agent_response")
    await server.services.sessions.idle()
    return metadata["conversation_id"]


def client(server: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.address, trust_env=False, headers=KEY)


def test_conversations_are_listed_newest_first_in_pages(serving: Serving, clock: Any) -> None:
    """Every one once, with what the list shows of it, whatever the size of the page."""

    async def scene() -> None:
        async with serving() as server, client(server) as asking:
            made: list[str] = []
            for _ in range(5):
                clock.now += 10
                made.append(await held(server, user_id="ann"))
            found: list[str] = []
            cursor = None
            while True:
                place = {"cursor": cursor} if cursor else {}
                page = (await asking.get(LIST, params={"page_size": 2, **place})).json()
                found += [each["conversation_id"] for each in page["conversations"]]
                cursor = page["next_cursor"]
                assert page["has_more"] is (cursor is not None)
                if cursor is None:
                    break
            assert found == made[::-1]
            oldest = await asking.get(LIST, params={"sort_direction": "asc", "page_size": 1})
            (first,) = oldest.json()["conversations"]
            assert first["conversation_id"] == made[0]
            assert (first["agent_id"], first["agent_name"], first["status"]) == ("desk", "Front desk", "done")
            assert first["message_count"] == 1
            assert first["start_time_unix_secs"] == 1_700_000_010
            assert (await asking.get(LIST, params={"cursor": "none"})).status_code == 400

    asyncio.run(scene())


def test_conversations_are_found_by_what_is_known_of_them(serving: Serving, clock: Any) -> None:
    """Agent, user, time, sound, rating; what nobody keeps is no filter."""

    async def scene() -> None:
        async with serving() as server, client(server) as asking:
            ann, bob = await held(server, user_id="ann"), await held(server, "voice", user_id="bob")
            clock.now += 100
            await asking.post(f"{LIST}/{bob}/feedback", json={"rating": 4, "comment": "fine"})

            async def found(**params: Any) -> set[str]:
                answer = await asking.get(LIST, params=params)
                assert answer.status_code == 200, answer.text
                return {each["conversation_id"] for each in answer.json()["conversations"]}

            assert await found(user_id="ann") == {ann}
            assert await found(agent_id="voice") == {bob}
            assert await found(text_only=True) == {ann}
            assert await found(rating_min=3) == {bob}
            assert await found(rating_max=3) == set()
            assert await found(call_start_after_unix=int(clock.now)) == set()
            assert await found(call_start_before_unix=int(clock.now)) == {ann, bob}
            assert await found(exclude_statuses="done") == set()
            assert await found(main_languages="en") == {ann, bob}
            assert await found(topic_ids="unknown") == {ann, bob}

    asyncio.run(scene())


@pytest.mark.parametrize("name", ["call_start_after_unix", "call_duration_max_secs", "rating_min"])
@pytest.mark.parametrize("number", [2**63, -(10**400)])
def test_numbers_that_no_database_takes_are_refused(serving: Serving, name: str, number: int) -> None:
    """With a reason; a schema-based fuzzer found them to be a server's error."""

    async def scene() -> None:
        async with serving() as server, client(server) as asking:
            answer = await asking.get(LIST, params={name: str(number)})
            assert answer.status_code == 422
            assert name in answer.text

    asyncio.run(scene())


def test_feedback_needs_no_key_and_is_kept(serving: Serving) -> None:
    """A browser sends it; the record has it."""

    async def scene() -> None:
        async with serving() as server, client(server) as asking:
            identifier = await held(server)
            del asking.headers["xi-api-key"]
            answer = await asking.post(f"{LIST}/{identifier}/feedback", json={"feedback": "like"})
            assert answer.status_code == 200, answer.text
            feedback = (await server.record(identifier))["metadata"]["feedback"]
            assert (feedback["type"], feedback["overall_score"], feedback["likes"]) == ("thumbs", "like", 1)
            assert (await asking.post(f"{LIST}/conv_none/feedback", json={"feedback": "like"})).status_code == 404
            assert (await asking.post(f"{LIST}/{identifier}/feedback", json={})).status_code == 400
            assert (await asking.post(f"{LIST}/{identifier}/feedback", json={"feedback": "so-so"})).status_code == 422

    asyncio.run(scene())


def test_a_deleted_conversation_leaves_nothing(serving: Serving, kept: Callable[..., list[Any]]) -> None:
    """Its record, its journal and its recording; one that lives is not written down any more, but goes on."""

    async def scene() -> None:
        async with serving() as server, client(server) as asking:
            over = await held(server, "voice")
            assert (await asking.get(f"{LIST}/{over}/audio")).status_code == 200
            assert (await asking.delete(f"{LIST}/{over}")).status_code == 200
            for path in (f"{LIST}/{over}", f"{LIST}/{over}/audio"):
                assert (await asking.get(path)).status_code == 404
            assert (await asking.delete(f"{LIST}/{over}")).status_code == 404
            async with server.call() as caller:
                await caller.initiate()
                living = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
                await caller.hear("agent_response")
                assert (await asking.get(f"{LIST}/{living}")).json()["status"] == "in-progress"
                assert (await asking.delete(f"{LIST}/{living}")).status_code == 200
                await caller.say({"type": "user_message", "text": "book Monday"})
                await caller.hear("agent_response")
            await server.services.sessions.idle()
            assert (await asking.get(f"{LIST}/{living}")).status_code == 404

    asyncio.run(scene())
    assert kept("SELECT id FROM conversations") == kept("SELECT conversation_id FROM journal") == []
