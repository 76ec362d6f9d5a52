"""AsyncConversation against a scripted server on loopback."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

import antiphon
from antiphon import Antiphon, AsyncConversation, ConversationInitiationData, DisconnectionDetails
from antiphon.errors import SessionError
from antiphon.protocol.events import AgentResponse, ConversationMetadata, ErrorEvent, Interruption, Ping, UnknownEvent

if TYPE_CHECKING:
    from antiphon.protocol.events import ServerEvent

SOON = 1.0
"Seconds. What waits for a close that does not come takes 2."


def test_the_first_message_says_who_calls_and_what_is_wished(scene: Any, ended: Any) -> None:
    """The initiation, in the text and order of the original (protocol.md C3), and where it is sent (3.1)."""

    @scene
    async def _(server: Any) -> None:
        config = ConversationInitiationData({"temperature": 1}, {"agent": {"first_message": "Hi"}}, {"name": "Ann"})
        conversation = server.conversation(user_id="u1", config=config)
        await conversation.start_session()
        peer = await server.accept()
        assert list(peer.received[0].items()) == [
            ("type", "conversation_initiation_client_data"),
            ("custom_llm_extra_body", {"temperature": 1}),
            (
                "conversation_config_override",
                {"agent": {"first_message": "Hi"}, "text_only": True, "conversation": {"text_only": True}},
            ),
            ("dynamic_variables", {"name": "Ann"}),
            ("source_info", {"source": "python_sdk", "version": antiphon.__version__}),
            ("user_id", "u1"),
        ]
        assert peer.path == f"/v1/convai/conversation?agent_id=agent_1&source=python_sdk&version={antiphon.__version__}"
        assert "permessage-deflate" not in peer.socket.request.headers.get("Sec-WebSocket-Extensions", "")
        assert config.conversation_config_override == {"agent": {"first_message": "Hi"}}
        await ended(conversation)


def test_the_id_and_the_formats_are_known_once_connected(scene: Any, ended: Any) -> None:
    """`connected` answers with the server's name for the conversation; the formats are the server's."""

    @scene
    async def _(server: Any) -> None:
        conversation = server.conversation()
        await conversation.start_session()
        assert conversation.conversation_id is None
        assert conversation.agent_output_audio_format is None
        await server.accept(ConversationMetadata("conv_9", "ulaw_8000", "pcm_8000"))
        assert await conversation.connected() == "conv_9"
        assert conversation.conversation_id == "conv_9"
        assert (conversation.agent_output_audio_format, conversation.user_input_audio_format) == (
            "ulaw_8000",
            "pcm_8000",
        )
        assert await ended(conversation) == "conv_9"


def test_what_is_sent_before_the_connection_is_not_lost(scene: Any, ended: Any) -> None:
    """The original raises when asked right after start_session() (protocol.md 5.1)."""

    @scene
    async def _(server: Any) -> None:
        conversation = server.conversation()
        await conversation.start_session()
        await conversation.send_user_message("early")
        peer = await server.accept()
        assert await peer.hear() == {"type": "user_message", "text": "early"}
        await ended(conversation)


def test_everything_an_application_can_say(scene: Any, ended: Any) -> None:
    """The texts are exactly json.dumps's: tests of the original compare them as strings (protocol.md 5.7)."""

    @scene
    async def _(server: Any) -> None:
        conversation, peer = await server.begin()
        await conversation.send_user_message("")
        await conversation.send_contextual_update("on the pricing page")
        await conversation.send_contextual_update("on the pricing page", context_id="page")
        await conversation.register_user_activity()
        await conversation.send_multimodal_message("what is this?", file_ids=["f1", "f2"], file_id="f0")
        await peer.say(AgentResponse(text="A cat.", event_id=7))
        async for event in conversation:
            if isinstance(event, AgentResponse):
                break
        await conversation.send_feedback("like")
        await conversation.send_feedback(None, event_id=3)
        await conversation.send(UnknownEvent({"type": "something_new"}))
        f1, f2 = ({"type": "file_input", "file_id": f} for f in ("f1", "f2"))
        for expected in (
            {"type": "user_message", "text": ""},
            {"type": "contextual_update", "text": "on the pricing page"},
            {"type": "contextual_update", "text": "on the pricing page", "context_id": "page"},
            {"type": "user_activity"},
            {
                "type": "multimodal_message",
                "text": {"type": "user_message", "text": "what is this?"},
                "file": f1,
                "files": [f1, f2],
            },
            {"type": "feedback", "event_id": 7, "score": "like"},
            {"type": "feedback", "event_id": 3, "score": None},
            {"type": "something_new"},
        ):
            assert await peer.socket.recv() == json.dumps(expected)
        await ended(conversation)


def test_nothing_can_be_said_outside_a_session(scene: Any, ended: Any) -> None:
    """Before the start and after the end every method says so."""

    @scene
    async def _(server: Any) -> None:
        conversation = server.conversation()
        with pytest.raises(SessionError, match="not started"):
            await conversation.send_user_message("hello")
        with pytest.raises(SessionError, match="not started"):
            await conversation.wait_for_session_end()
        await conversation.end_session()
        conversation, _peer = await server.begin()
        with pytest.raises(ValueError, match="At least one of"):
            await conversation.send_multimodal_message()
        with pytest.raises(ValueError, match="no agent response"):
            await conversation.send_feedback("like")
        with pytest.raises(SessionError, match="running already"):
            await conversation.start_session()
        await ended(conversation)
        with pytest.raises(SessionError, match="not connected"):
            await conversation.send_user_message("hello")


def test_a_ping_is_answered_at_once(scene: Any, ended: Any) -> None:
    """An application level pong, with the ping's id."""

    @scene
    async def _(server: Any) -> None:
        conversation, peer = await server.begin()
        await peer.say(Ping(event_id=41))
        assert await peer.hear() == {"type": "pong", "event_id": 41}
        await ended(conversation)


def test_bad_messages_do_not_end_the_session(scene: Any, ended: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Unknown types, missing fields, nulls, a second metadata, no JSON, a binary frame: each is logged or passed on."""

    @scene
    async def _(server: Any) -> None:
        conversation, peer = await server.begin()
        for bad in (
            {"type": "brand_new"},
            {"no": "type"},
            {"type": "ping"},
            {"type": "audio", "audio_event": {"audio_base_64": "AAA=", "event_id": 1, "alignment": None}},
            {
                "type": "conversation_initiation_metadata",
                "conversation_initiation_metadata_event": {"conversation_id": 2},
            },
            {"type": "interruption", "interruption_event": {}},
            "no json at all",
            b"\x00\x01",
        ):
            await peer.say(bad)
        await peer.say(Ping(event_id=1))
        assert await peer.hear() == {"type": "pong", "event_id": 1}
        assert conversation.conversation_id == "conv_1"
        await ended(conversation)

    assert sum("was ignored" in record.message for record in caplog.records) >= 4


def test_events_can_be_iterated_from_the_first_to_the_last(scene: Any) -> None:
    """None is lost between the start and the loop; the loop ends when the server hangs up."""

    @scene
    async def _(server: Any) -> None:
        conversation, peer = await server.begin()
        said: list[ServerEvent] = [AgentResponse(text=str(i), event_id=i) for i in range(1, 40)]
        for event in said:
            await peer.say(event)
        await peer.socket.close()
        await conversation.wait_for_session_end()
        assert [event async for event in conversation] == [ConversationMetadata("conv_1"), *said]


@pytest.mark.filterwarnings("ignore:callback_end_session is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (1000, "agent ended", DisconnectionDetails("agent", 1000, "agent ended")),
        (1001, "going away", DisconnectionDetails("agent", 1001, "going away")),
        (1002, "llm timeout", DisconnectionDetails("error", 1002, "llm timeout", "received 1002")),
        (1008, "override not allowed", DisconnectionDetails("error", 1008, "override not allowed", "received 1008")),
        (1011, "crash", DisconnectionDetails("error", 1011, "crash", "received 1011")),
    ],
)
def test_the_application_is_told_how_the_server_hung_up(
    scene: Any, code: int, reason: str, expected: DisconnectionDetails
) -> None:
    """Code and reason reach the application, whatever they are, with the conversation's id (protocol.md 5.2)."""

    @scene
    async def _(server: Any) -> None:
        told: list[DisconnectionDetails] = []
        order: list[str] = []
        conversation, peer = await server.begin(
            callback_disconnect=lambda details: (told.append(details), order.append("disconnect")),
            callback_end_session=lambda: order.append("end"),
        )
        await peer.say(ErrorEvent(code=code, message=reason))
        await peer.socket.close(code, reason)
        assert await conversation.wait_for_session_end() == "conv_1"
        assert order == ["end", "disconnect"]
        (details,) = told
        assert (details.reason, details.close_code, details.close_reason) == (expected.reason, code, reason)
        assert (details.message or "").startswith(expected.message or "")
        assert (details.message is None) == (expected.message is None)
        assert details.conversation_id == "conv_1"


def test_a_dropped_connection_is_an_error(scene: Any) -> None:
    """No close frame: code 1006."""

    @scene
    async def _(server: Any) -> None:
        told: list[DisconnectionDetails] = []
        conversation, peer = await server.begin(callback_disconnect=told.append)
        peer.socket.transport.abort()
        assert await conversation.wait_for_session_end() == "conv_1"
        assert told == [DisconnectionDetails("error", 1006, "", "no close frame received or sent")]


def test_a_refused_connection_is_raised_and_told(scene: Any) -> None:
    """Whoever waits gets the exception, the callback its text, `connected` both."""

    @scene
    async def _(server: Any) -> None:
        told: list[DisconnectionDetails] = []
        client = Antiphon("http://127.0.0.1:1")
        conversation = AsyncConversation(client, "agent_1", requires_auth=False, callback_disconnect=told.append)
        await conversation.start_session()
        with pytest.raises(SessionError, match="before the agent was there"):
            await conversation.connected()
        with pytest.raises(OSError, match="Connect call failed"):
            await conversation.wait_for_session_end()
        (details,) = told
        assert (details.reason, details.close_code, details.conversation_id) == ("error", None, None)
        assert "Connect call failed" in (details.message or "")


def test_a_server_that_hangs_up_before_its_metadata_is_told_apart(scene: Any) -> None:
    """`connected` says why instead of waiting for ever."""

    @scene
    async def _(server: Any) -> None:
        conversation = server.conversation()
        await conversation.start_session()
        peer = await server.accept(metadata=None)
        await peer.socket.close(1008, "no agent with id 'agent_1'")
        with pytest.raises(SessionError, match="no agent with id"):
            await conversation.connected()
        assert await conversation.wait_for_session_end() is None


def test_ending_closes_the_socket_at_once(scene: Any) -> None:
    """With 1000; what was said before goes out first; doing it again changes nothing."""

    @scene
    async def _(server: Any) -> None:
        told: list[DisconnectionDetails] = []
        conversation, peer = await server.begin(callback_disconnect=told.append)
        loop = asyncio.get_running_loop()
        await conversation.send_user_message("bye")
        began = loop.time()
        _, end = await asyncio.gather(conversation.end_session(), peer.hear_end())
        assert loop.time() - began < SOON
        assert end == (1000, "")
        assert peer.received[-1] == {"type": "user_message", "text": "bye"}
        await conversation.end_session()
        assert await conversation.wait_for_session_end() == "conv_1"
        assert told == [DisconnectionDetails("user")]


def test_nothing_is_told_that_came_after_the_end(scene: Any) -> None:
    """Who hung up is not spoken to any more."""

    @scene
    async def _(server: Any) -> None:
        told: list[str] = []
        conversation, peer = await server.begin(callback_agent_response=told.append)
        await asyncio.gather(conversation.end_session(), peer.say(AgentResponse(text="too late")))
        await conversation.wait_for_session_end()
        assert told == []


def test_no_proxy_is_asked_the_way_to_loopback(scene: Any, ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says (clients.md, quirk 9)."""
    for name in ("http_proxy", "https_proxy", "ws_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    @scene
    async def _(server: Any) -> None:
        conversation, _ = await server.begin()
        await ended(conversation)


def test_ending_does_not_wait_for_a_server_that_is_stuck(scene: Any) -> None:
    """A server that never answers the close frame holds end_session() up for 50 ms, and the rest for 2 s."""

    @scene
    async def _(server: Any) -> None:
        conversation, peer = await server.begin()
        peer.socket.transport.pause_reading()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await conversation.end_session()
        assert loop.time() - began < SOON
        await conversation.wait_for_session_end(timeout=15)
        peer.socket.transport.abort()


def test_ending_gives_up_a_connection_that_is_not_there_yet() -> None:
    """A host that accepts and never answers the handshake does not keep the session."""

    async def play() -> None:
        accepted = asyncio.Event()
        release = asyncio.Event()

        async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.set()
            await release.wait()
            writer.close()

        async with await asyncio.start_server(silence, "127.0.0.1", 0) as server, asyncio.timeout(15):
            client = Antiphon(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            conversation = AsyncConversation(client, "agent_1", requires_auth=False)
            await conversation.start_session()
            await accepted.wait()
            await conversation.end_session()
            assert await conversation.wait_for_session_end(timeout=10) is None
            release.set()

    asyncio.run(play())


def test_waiting_has_a_limit_that_ends_nothing(scene: Any, ended: Any) -> None:
    """wait_for_session_end(timeout) raises TimeoutError and the conversation goes on."""

    @scene
    async def _(server: Any) -> None:
        conversation, peer = await server.begin()
        with pytest.raises(TimeoutError):
            await conversation.wait_for_session_end(timeout=0.01)
        await peer.say(Ping(event_id=1))
        await peer.hear("pong")
        await ended(conversation)


def test_cancelling_the_waiting_ends_the_session_in_order(scene: Any) -> None:
    """The socket is closed with 1000 and the application told (the original leaves everything open)."""

    @scene
    async def _(server: Any) -> None:
        told: list[DisconnectionDetails] = []
        conversation, peer = await server.begin(callback_disconnect=told.append)
        waiting = asyncio.create_task(conversation.wait_for_session_end())
        await asyncio.sleep(0)
        waiting.cancel()
        assert await peer.hear_end() == (1000, "")
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert told == [DisconnectionDetails("user")]


def test_a_loop_that_shuts_down_tells_the_application(scene: Any) -> None:
    """asyncio.run cancels the session's own task: the callback is called and the socket closed all the same."""
    told: list[DisconnectionDetails] = []

    async def forget(server: Any) -> None:
        await server.begin(callback_disconnect=told.append)

    with pytest.raises(AssertionError, match="antiphon-conversation"):  # the scene's own check: the task is left
        scene(forget)
    assert told
    assert told[0].reason in ("user", "agent")  # the server shuts down too: whoever is first


def test_a_conversation_can_be_held_again(scene: Any, ended: Any) -> None:
    """A second start is a new conversation: new id, new ids of events."""

    @scene
    async def _(server: Any) -> None:
        conversation, peer = await server.begin()
        await peer.say(Interruption(event_id=100))
        await ended(conversation)
        await conversation.start_session()
        await server.accept(ConversationMetadata("conv_2"))
        assert await conversation.connected() == "conv_2"
        assert conversation._protocol.last_interruption_id == 0
        assert await ended(conversation) == "conv_2"


def test_a_with_block_starts_and_ends_it(scene: Any) -> None:
    """Leaving the block, by an exception too, ends the session completely."""

    @scene
    async def _(server: Any) -> None:
        told: list[DisconnectionDetails] = []
        peers = []

        async def hold_and_fail() -> None:
            async with server.conversation(callback_disconnect=told.append) as conversation:
                peers.append(await server.accept())
                await conversation.connected()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await hold_and_fail()
        assert told == [DisconnectionDetails("user")]
        assert await peers[0].hear_end() == (1000, "")


def test_many_conversations_share_nothing(scene: Any, ended: Any) -> None:
    """Twenty at once, each with its own id and text (elevenlabs-python issue 417: state on the class)."""

    @scene
    async def _(server: Any) -> None:
        heard: dict[int, list[str]] = {i: [] for i in range(20)}

        async def hold(i: int) -> None:
            conversation = server.conversation(callback_agent_response=heard[i].append)
            await conversation.start_session()
            await conversation.send_user_message(str(i))
            await conversation.connected()
            assert (await conversation.wait_for_session_end()) == f"conv_{i}"

        async def answer() -> None:
            peer = await server.accept(metadata=None)
            text = (await peer.hear("user_message"))["text"]
            await peer.say(ConversationMetadata(f"conv_{text}"))
            await peer.say(AgentResponse(text=text))
            await peer.socket.close()

        async with asyncio.TaskGroup() as tasks:
            for i in range(20):
                tasks.create_task(hold(i))
                tasks.create_task(answer())
        assert heard == {i: [str(i)] for i in range(20)}
