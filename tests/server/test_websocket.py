"""The conversation socket, as a client that nobody here wrote meets it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

Serving = Callable[..., AbstractAsyncContextManager[Any]]

MIB = 1 << 20


async def answered(caller: Any, text: str) -> None:
    """Wait until the agent says this; a message that comes early may cut the greeting short."""
    while (await caller.hear("agent_response"))["agent_response"] != text:
        pass


# ------------------------------------------------------------------------------------------------- the way in


def test_the_metadata_comes_first_and_once_without_being_asked_for(serving: Serving) -> None:
    """It is sent on accept, before the client has said anything; then the agent speaks."""

    async def scene() -> None:
        async with serving(initiation_timeout=30) as server, server.call() as caller:
            metadata = await caller.hear("conversation_initiation_metadata")
            assert metadata["conversation_id"].startswith("conv_")
            assert metadata["conversation_id"].isascii()
            assert metadata["conversation_id"].removeprefix("conv_").isalnum()
            assert metadata["agent_output_audio_format"] == "pcm_16000"
            assert metadata["user_input_audio_format"] == "pcm_16000"
            await caller.initiate()
            assert (await caller.hear("agent_response"))["agent_response"] == "Hello, how can I help?"
            assert caller.kinds.count("conversation_initiation_metadata") == 1
            assert caller.heard[0]["type"] == "conversation_initiation_metadata"

    asyncio.run(scene())


def test_a_user_message_is_answered_and_recorded(serving: Serving) -> None:
    """A whole conversation in text, and its record over REST once the client has hung up."""

    async def scene() -> None:
        async with serving() as server:
            async with server.call() as caller:
                conversation_id = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
                await caller.initiate(user_id="u1", source_info={"source": "python_sdk", "version": "2.78.0"})
                await caller.hear("agent_response")
                await caller.say({"type": "user_message", "text": "book Monday"})
                assert (await caller.hear("agent_response"))["agent_response"] == "I have booked Monday."
            record = await server.record(conversation_id)
            assert record["conversation_id"] == conversation_id
            assert record["agent_id"] == "desk"
            assert record["status"] == "done"
            assert [turn["message"] for turn in record["transcript"]] == [
                "Hello, how can I help?",
                "book Monday",
                "I have booked Monday.",
            ]
            assert record["metadata"]["start_time_unix_secs"] == 1_700_000_000
            assert record["metadata"]["authorization_method"] == "public"
            assert record["user_id"] == "u1"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["convai"], "convai"), (["convai", "bearer.x"], "convai"), (["other"], None), (None, None)]
)
def test_the_subprotocol_is_chosen_when_offered_and_never_required(
    serving: Serving, offered: list[str] | None, chosen: str | None
) -> None:
    """Browsers offer it and fail without it; the Python client offers none."""

    async def scene() -> None:
        async with serving() as server, server.call(subprotocols=offered) as caller:
            assert caller.socket.subprotocol == chosen
            await caller.hear("conversation_initiation_metadata")

    asyncio.run(scene())


def test_compression_is_not_negotiated(serving: Serving) -> None:
    """The websockets library offers permessage-deflate by default; it would only undo base64, dearly."""

    async def scene() -> None:
        async with serving() as server, server.call(compression="deflate") as caller:
            assert caller.socket.request.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
            assert "Sec-WebSocket-Extensions" not in caller.socket.response.headers

    asyncio.run(scene())


# ------------------------------------------------------------------------------------------------- initiation


def test_a_client_that_does_not_initiate_gets_the_agents_defaults(serving: Serving) -> None:
    """After the grace time the conversation begins all the same; an initiation after that changes nothing."""

    async def scene() -> None:
        async with serving(initiation_timeout=0.05) as server, server.call() as caller:
            assert (await caller.hear("agent_response"))["agent_response"] == "Hello, how can I help?"
            await caller.initiate(conversation_config_override={"agent": {"first_message": "not allowed"}})
            await caller.say({"type": "user_message", "text": "book Monday"})
            assert (await caller.hear("agent_response"))["agent_response"] == "I have booked Monday."

    asyncio.run(scene())


def test_what_comes_before_the_initiation_is_not_lost(serving: Serving) -> None:
    """Clients do not wait for anything before they speak; audio may even come before their initiation."""

    async def scene() -> None:
        async with serving(initiation_timeout=30) as server, server.call() as caller:
            chunk = base64.b64encode(bytes(8000)).decode()
            for _ in range(100):  # 25 seconds
                await caller.say({"user_audio_chunk": chunk})
            await caller.say({"type": "user_message", "text": "book Monday"})
            await caller.initiate()
            await answered(caller, "I have booked Monday.")

    asyncio.run(scene())


def test_a_client_that_says_very_much_before_its_session_is_read_on_later(serving: Serving) -> None:
    """Two megabytes of messages: more than is kept; reading waits for the session, and nothing is refused or lost."""

    async def scene() -> None:
        async with serving(initiation_timeout=0.3) as server, server.call() as caller:
            for _ in range(20):
                await caller.say({"type": "contextual_update", "text": "x" * (MIB // 10)})
            await caller.say({"type": "user_message", "text": "book Monday"})
            await answered(caller, "I have booked Monday.")

    asyncio.run(scene())


@pytest.mark.parametrize("override", [{"text_only": True}, {"conversation": {"text_only": True}}])
def test_text_only_is_honoured_at_both_places(serving: Serving, override: dict[str, Any]) -> None:
    """The Python client puts it at the root, everybody else under `conversation` (protocol.md 2.2)."""

    async def scene() -> None:
        async with serving() as server, server.call("voice") as caller:
            await caller.initiate(conversation_config_override=override)
            await caller.hear("agent_response")
            await caller.say({"type": "user_message", "text": "book Monday"})
            await caller.hear("agent_response")
            assert "audio" not in caller.kinds

    asyncio.run(scene())


def test_an_agent_with_a_voice_speaks(serving: Serving) -> None:
    """Text, then audio with ids of 1 and above."""

    async def scene() -> None:
        async with serving() as server, server.call("voice") as caller:
            await caller.initiate()
            await caller.hear("agent_response")
            audio = await caller.hear("audio")
            assert audio["event_id"] >= 1
            assert len(base64.b64decode(audio["audio_base_64"])) <= 6400

    asyncio.run(scene())


# --------------------------------------------------------------------------------------------------- refusals


async def refused(caller: Any, close_code: int, words: str) -> None:
    """The last message is an `error`, and the close frame says why in a sentence."""
    code, reason = await caller.closed()
    assert code == close_code
    assert words in reason
    assert 0 < len(reason.encode()) <= 123
    error = caller.heard[-1]
    assert error["type"] == "error"
    assert words in error["error_event"]["message"]


@pytest.mark.parametrize("offered", [["convai"], None])
def test_an_unknown_agent_is_refused_on_the_socket(serving: Serving, offered: list[str] | None) -> None:
    """The socket is accepted first, its subprotocol echoed: a refused handshake would tell a browser nothing."""

    async def scene() -> None:
        async with serving() as server:
            async with server.call("nobody", subprotocols=offered) as caller:
                await refused(caller, 1008, "nobody")
                assert caller.kinds == ["error"]
            async with server.call("x" * 3000) as caller:
                await refused(caller, 1008, "no agent")
            async with server.call(None) as caller:
                await refused(caller, 1008, "agent_id")

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("", "not a JSON object"),
        ('{"user_audio_chunk": 7}', "base64"),
        ('{"user_audio_chunk": "!"}', "base64"),
        ('{"type": "pong", "event_id": "first"}', "pong"),
        (b"\x00\x01", "binary"),
    ],
)
@pytest.mark.parametrize("when", ["before the initiation", "in the conversation"])
def test_a_message_that_nobody_understands_ends_the_conversation(
    serving: Serving, message: str | bytes, words: str, when: str
) -> None:
    """With an `error` message, 1008 and a sentence; others on the same server notice nothing."""

    async def scene() -> None:
        async with serving() as server, server.call() as other:
            await other.initiate()
            async with server.call() as caller:
                if when == "in the conversation":
                    await caller.initiate()
                    await caller.hear("agent_response")
                await caller.say(message)
                await refused(caller, 1008, words)
            await other.say({"type": "user_message", "text": "book Monday"})
            await answered(other, "I have booked Monday.")

    asyncio.run(scene())


@pytest.mark.parametrize("when", ["before the initiation", "in the conversation"])
def test_a_message_above_16_mib_is_refused_as_too_big(serving: Serving, when: str) -> None:
    """1009, and the client is told before; a message below passes."""

    async def scene() -> None:
        async with serving() as server, server.call() as caller:
            if when == "in the conversation":
                await caller.initiate()
                await caller.hear("agent_response")
            await caller.say({"type": "unknown", "text": "x" * (15 * MIB)})
            await caller.say({"type": "unknown", "text": "x" * (17 * MIB)})
            await refused(caller, 1009, "16 MiB")

    asyncio.run(scene())


def test_a_message_far_above_the_limit_is_cut_off(serving: Serving) -> None:
    """Not even read to its end; its place is free again, and the server lives."""

    async def scene() -> None:
        async with serving() as server:
            async with server.call() as caller:
                await caller.hear("conversation_initiation_metadata")
                sent, closed = await asyncio.gather(
                    caller.socket.send("x" * (40 * MIB)), caller.closed(), return_exceptions=True
                )
                assert isinstance(sent, ConnectionClosed)
                # The reset of a connection with unread data may overtake the close frame: then it is 1006.
                assert closed[0] in (1009, 1006)
            await server.services.sessions.idle()
            assert (await server.get("/health")).json() == {"status": "ok"}

    asyncio.run(scene())


def test_a_forbidden_override_is_refused_with_its_name(serving: Serving) -> None:
    """The metadata has gone out by then, as the original does it; the reason names what was not allowed."""

    async def scene() -> None:
        async with serving() as server, server.call() as caller:
            await caller.initiate(conversation_config_override={"agent": {"first_message": "Hi"}})
            await refused(caller, 1008, "first_message")
            assert caller.heard[-1]["error_event"]["error_type"] == "override_error"
            assert caller.kinds == ["conversation_initiation_metadata", "error"]

    asyncio.run(scene())


def test_a_full_server_says_so(serving: Serving) -> None:
    """One place: the second caller is refused, and let in once the first has gone."""

    async def scene() -> None:
        async with serving(max_sessions=1) as server:
            async with server.call() as first:
                await first.hear("conversation_initiation_metadata")
                async with server.call() as second:
                    await refused(second, 1002, "try again later")
            await server.services.sessions.idle()
            async with server.call() as third:
                await third.hear("conversation_initiation_metadata")

    asyncio.run(scene())


def test_a_socket_on_another_path_is_no_conversation(serving: Serving) -> None:
    """The handshake is refused with 404 and the right path."""

    async def scene() -> None:
        async with serving() as server:
            url = f"{server.address.replace('http', 'ws')}/v1/convai/elsewhere"
            with pytest.raises(InvalidStatus) as caught:
                async with server.call(url=url):
                    pass
            assert caught.value.response.status_code == 404
            assert json.loads(caught.value.response.body)["detail"]["status"] == "not_found"

    asyncio.run(scene())


# ----------------------------------------------------------------------------------------------- authorization


def test_a_signed_address_admits_to_a_private_agent_for_15_minutes(serving: Serving, clock: Any) -> None:
    """For starting: a running conversation is not affected, and the same address may be used again."""

    async def scene() -> None:
        async with serving() as server:
            answer = await server.get("/v1/convai/conversation/get-signed-url?agent_id=private")
            url = answer.json()["signed_url"]
            # What the Python client appends; it re-encodes the query on the way.
            async with server.call(url=f"{url}&source=python_sdk&version=2.78.0") as caller:
                conversation_id = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
                await caller.initiate()
                await caller.hear("agent_response")
                clock.now += 899
                async with server.call(url=url) as again:
                    await again.hear("conversation_initiation_metadata")
                clock.now += 1
                async with server.call(url=url) as late:
                    await refused(late, 1008, "expired")
                await caller.say({"type": "user_message", "text": "book Monday"})
                await caller.hear("agent_response")
            assert (await server.record(conversation_id))["metadata"]["authorization_method"] == "signed_url"

    asyncio.run(scene())


def test_a_signature_is_good_for_its_agent_alone(serving: Serving) -> None:
    """One for a public agent does not open a private one; a broken one opens nothing."""

    async def scene() -> None:
        async with serving() as server:
            url = (await server.get("/v1/convai/conversation/get-signed-url?agent_id=desk")).json()["signed_url"]
            async with server.call(url=url.replace("agent_id=desk", "agent_id=private")) as caller:
                await refused(caller, 1008, "not valid for this agent")
            async with server.call(url=url + "x") as caller:
                await refused(caller, 1008, "signature")

    asyncio.run(scene())


def test_the_workspace_key_admits_and_a_wrong_one_is_not_looked_at(serving: Serving) -> None:
    """Clients send whatever key they have; only an agent that needs authorization cares."""

    async def scene() -> None:
        async with serving() as server:
            async with server.call("private", additional_headers={"xi-api-key": "sk_of_the_tests"}) as caller:
                await caller.hear("conversation_initiation_metadata")
            for key in ({}, {"xi-api-key": "sk_wrong"}):
                async with server.call("private", additional_headers=key) as caller:
                    await refused(caller, 1008, "signed address")
                async with server.call("desk", additional_headers=key) as caller:
                    await caller.hear("conversation_initiation_metadata")

    asyncio.run(scene())


# ------------------------------------------------------------------------------------------- while it is live


def test_pings_carry_the_round_trip_once_it_is_known(serving: Serving) -> None:
    """The first has none, and each has the key; an answer gives the next ones a number."""

    async def scene() -> None:
        async with serving(ping_interval=0.02) as server, server.call() as caller:
            first = await caller.hear("ping")
            assert first == {"event_id": 1, "ping_ms": None}
            await caller.say({"type": "pong", "event_id": first["event_id"]})
            while (ping := await caller.hear("ping"))["ping_ms"] is None:
                assert ping["event_id"] > 1
            assert 0 <= ping["ping_ms"] < 5000

    asyncio.run(scene())


def test_a_client_that_vanishes_leaves_nothing_behind(serving: Serving) -> None:
    """No goodbye, a dead connection: its place is free, its record written."""

    async def scene() -> None:
        async with serving() as server:
            async with server.call() as caller:
                conversation_id = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
                await caller.initiate()
                await caller.hear("agent_response")
                assert list(server.services.sessions.live) == [conversation_id]
                caller.socket.transport.abort()
                await server.services.sessions.idle()
            assert server.services.sessions.live == {}
            assert (await server.record(conversation_id))["status"] == "done"

    asyncio.run(scene())


def test_a_client_that_vanishes_while_it_is_waited_for_leaves_nothing_behind(serving: Serving) -> None:
    """The same before the initiation: nobody waits for the grace time, and there is no record."""

    async def scene() -> None:
        async with serving(initiation_timeout=3600) as server:
            async with server.call() as caller:
                conversation_id = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
                caller.socket.transport.abort()
                await server.services.sessions.idle()
            answer = await server.get(f"/v1/convai/conversations/{conversation_id}")
            assert answer.status_code == 404

    asyncio.run(scene())


def test_a_live_conversation_can_be_read_over_rest(serving: Serving) -> None:
    """As much of it as has happened."""

    async def scene() -> None:
        async with serving() as server, server.call() as caller:
            conversation_id = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
            await caller.initiate()
            await caller.hear("agent_response")
            record = (await server.get(f"/v1/convai/conversations/{conversation_id}")).json()
            assert record["status"] == "in-progress"
            assert [turn["message"] for turn in record["transcript"]] == ["Hello, how can I help?"]

    asyncio.run(scene())


def test_the_journal_is_kept_beside_the_record(serving: Serving, kept: Callable[..., list[Any]]) -> None:
    """A line of JSON per event, first and last as journal.py says."""

    async def scene() -> str:
        async with serving() as server, server.call() as caller:
            conversation_id = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
            await caller.initiate(dynamic_variables={"name": "Ann"})
            await caller.hear("agent_response")
            return conversation_id

    conversation_id = asyncio.run(scene())
    pieces = kept("SELECT lines FROM journal WHERE conversation_id = ? ORDER BY number", conversation_id)
    lines = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert lines[0]["journal"]["conversation_id"] == conversation_id
    assert lines[0]["journal"]["initiation"]["dynamic_variables"] == {"name": "Ann"}
    assert "end" in lines[-1]


def test_a_flood_from_one_client_does_not_starve_another(serving: Serving) -> None:
    """Thousands of messages in one go: the other is answered while they are still being read."""

    async def scene() -> None:
        async with serving() as server, server.call() as flooding, server.call() as other:
            await flooding.initiate()
            await other.initiate()
            await other.hear("agent_response")
            line = json.dumps({"type": "user_activity"})
            for _ in range(20_000):
                await flooding.say(line)
            await other.say({"type": "user_message", "text": "book Monday"})
            assert (await other.hear("agent_response"))["agent_response"] == "I have booked Monday."

    asyncio.run(scene())
