"""The sync Conversation against a scripted server: each way in which the original fails, and how this one does not."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import json
import os
import queue
import signal
import socket
import threading
import time
from typing import Any

import pytest

from antiphon import Antiphon, ConversationInitiationData, DisconnectionDetails
from antiphon.client import ClientTools
from antiphon.conversational_ai.conversation import (
    AsyncConversation,
    Conversation,
    OnPremInitiationData,
    OrchestratorConfig,
)
from antiphon.errors import RemoteProtocolError, SessionError
from antiphon.protocol.codec import encode_server
from antiphon.protocol.events import (
    AgentAudio,
    AgentResponse,
    ClientToolCall,
    ConversationMetadata,
    Interruption,
    Ping,
    UserTranscript,
)

PATIENCE = 15.0
SOON = 1.0
"Seconds. What waits for a close that does not come takes 2, and a loop that nobody wakes never runs a tool."


class Told(queue.SimpleQueue[Any]):
    """What a callback was given, in order."""

    def next(self) -> Any:
        return self.get(timeout=PATIENCE)


# ---------------------------------------------------------------------------------------------- start and end


def test_a_conversation_in_text(server: Any) -> None:
    """Said and heard in order; the id is there as soon as the server has named it."""
    heard = Told()
    conversation, peer = server.begin(callback_agent_response=heard.put, callback_user_transcript=heard.put)
    assert conversation.conversation_id == "conv_1"
    conversation.send_user_message("hello")
    assert peer.hear() == {"type": "user_message", "text": "hello"}
    peer.say(UserTranscript(text=" hello "))
    peer.say(AgentResponse(text=" hi "))
    assert [heard.next(), heard.next()] == ["hello", "hi"]
    conversation.end_session()
    assert conversation.wait_for_session_end() == "conv_1"
    assert peer.hear_end() == 1000


def test_what_is_sent_before_the_socket_is_open_waits_for_it(server: Any) -> None:
    """The original raises right after `start_session` (protocol.md 5.1); the initiation still comes first."""
    conversation = server.conversation()
    conversation.start_session()
    conversation.send_user_message("early")
    peer = server.accept()
    assert peer.hear()["text"] == "early"
    conversation.end_session()
    conversation.wait_for_session_end()


def test_nothing_can_be_said_outside_a_session(server: Any) -> None:
    """With the original's errors and words."""
    conversation = server.conversation()
    with pytest.raises(RuntimeError, match=r"^Session not started\.$"):
        conversation.wait_for_session_end()
    with pytest.raises(RuntimeError, match=r"^Session not started or websocket not connected\.$"):
        conversation.send_multimodal_message()
    conversation.end_session()
    conversation, _ = server.begin(conversation)
    with pytest.raises(ValueError, match=r"^At least one of text, file_id, or file_ids must be provided\.$"):
        conversation.send_multimodal_message()
    with pytest.raises(SessionError, match="running already"):
        conversation.start_session()
    conversation.end_session()
    conversation.wait_for_session_end()
    with pytest.raises(RuntimeError, match=r"^Session not started or websocket not connected\.$"):
        conversation.send_user_message("late")


def test_waiting_for_the_end_can_have_a_limit(server: Any) -> None:
    """TimeoutError, and the session goes on."""
    conversation, peer = server.begin()
    with pytest.raises(TimeoutError):
        conversation.wait_for_session_end(timeout=0.01)
    peer.socket.close(1000, "agent ended")
    assert conversation.wait_for_session_end(timeout=PATIENCE) == "conv_1"


def test_connected_says_why_it_will_not_be(server: Any) -> None:
    """The server's own words."""
    conversation = server.conversation()
    with pytest.raises(SessionError):
        conversation.connected()
    conversation.start_session()
    with pytest.raises(TimeoutError):
        conversation.connected(timeout=0.01)
    peer = server.accept(metadata=None)
    peer.socket.close(1008, "no such agent")
    with pytest.raises(SessionError, match="no such agent"):
        conversation.connected(PATIENCE)
    conversation.wait_for_session_end()


def test_a_conversation_can_be_started_again(server: Any) -> None:
    """The original's exits at once and gives the old id (protocol.md 5.3)."""
    conversation = server.conversation()
    for number in range(3):
        conversation.start_session()
        peer = server.accept(ConversationMetadata(conversation_id=f"conv_{number}"))
        assert conversation.connected(PATIENCE) == f"conv_{number}"
        conversation.end_session()
        assert conversation.wait_for_session_end() == f"conv_{number}"
        assert peer.hear_end() == 1000


def test_it_can_be_started_again_in_callback_disconnect(server: Any) -> None:
    """The place where programs reconnect."""
    ends = Told()

    def again(details: DisconnectionDetails) -> None:
        ends.put(details.close_code)
        if details.reason == "agent":
            conversation.start_session()

    conversation, peer = server.begin(callback_disconnect=again)
    peer.socket.close(1000)
    server.accept()
    conversation.connected(PATIENCE)
    conversation.end_session()
    assert [ends.next(), ends.next()] == [1000, None]
    conversation.wait_for_session_end()


@pytest.mark.parametrize(
    "place", ["main", "callback", "on_event", "tool", "async tool", "microphone", "output", "signal"]
)
def test_the_end_comes_at_once_wherever_it_is_asked_for(server: Any, device: Any, place: str) -> None:
    """The original only notices after up to 0.5 s, and raises in a tool (protocol.md 5.1, 5.5)."""
    durations, details = Told(), Told()

    def end(*_: Any) -> None:
        began = time.perf_counter()
        conversation.end_session()
        durations.put(time.perf_counter() - began)

    async def end_async(parameters: dict[str, Any]) -> None:
        end()

    tools = ClientTools()
    tools.register("tool", end)
    tools.register("async tool", end_async)
    if place == "output":
        device.output = end
    conversation, peer = server.begin(
        audio_interface=device,
        client_tools=tools,
        callback_agent_response=end if place == "callback" else None,
        on_event=end if place == "on_event" else None,
        callback_disconnect=details.put,
    )
    if place == "main":
        end()
    elif place == "microphone":
        microphone = threading.Thread(target=end)
        microphone.start()
        microphone.join()
    elif place == "signal":
        before = signal.signal(signal.SIGUSR1, end)
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)
    elif "tool" in place:
        peer.say(ClientToolCall(tool_name=place, tool_call_id="call_1"))
    elif place == "output":
        peer.say(AgentAudio(audio=b"12", event_id=1))
    else:
        peer.say(AgentResponse(text="bye"))
    began = time.perf_counter()
    assert peer.hear_end() == 1000
    assert conversation.wait_for_session_end(PATIENCE) == "conv_1"
    assert time.perf_counter() - began < SOON
    assert durations.next() < SOON
    assert details.next() == DisconnectionDetails("user")
    assert details.empty()
    assert device.stopped == 1


def test_ending_twice_changes_nothing(server: Any) -> None:
    """The first reason counts, each callback comes once, `callback_disconnect` last."""
    order: list[Any] = []
    with pytest.warns(DeprecationWarning, match="callback_end_session is deprecated, use callback_disconnect instead."):
        conversation = server.conversation(
            callback_end_session=lambda: order.append("end"), callback_disconnect=order.append
        )
    server.begin(conversation)
    threads = [threading.Thread(target=conversation.end_session) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    conversation.end_session()
    conversation.wait_for_session_end()
    assert order == ["end", DisconnectionDetails("user")]
    assert order[1].conversation_id == "conv_1"


def test_waiting_in_a_callback_is_refused(server: Any) -> None:
    """It would wait for itself; the original's error."""
    told = Told()

    def wait(text: str) -> None:
        with pytest.raises(RuntimeError, match="cannot join current thread"):
            conversation.wait_for_session_end()
        told.put(text)

    conversation, peer = server.begin(callback_agent_response=wait)
    peer.say(AgentResponse(text="hi"))
    assert told.next() == "hi"
    conversation.end_session()
    conversation.wait_for_session_end()


@pytest.mark.parametrize(
    ("code", "reason", "who", "message"),
    [
        (1000, "agent ended", "agent", None),
        (1001, "going away", "agent", None),
        (1002, "protocol", "error", "received 1002 (protocol error) protocol; then sent"),
        (1008, "override", "error", "received 1008 (policy violation) override; then sent"),
        (1011, "crash", "error", "received 1011 (internal error) crash; then sent"),
    ],
)
def test_the_application_is_told_how_the_server_hung_up(
    server: Any, code: int, reason: str, who: Any, message: str | None
) -> None:
    """As the original tells it (protocol.md 5.2)."""
    told = Told()
    conversation, peer = server.begin(callback_disconnect=told.put)
    peer.socket.close(code, reason)
    conversation.wait_for_session_end()
    details = told.next()
    assert (details.reason, details.close_code, details.close_reason) == (who, code, reason)
    assert (details.message or "").startswith(message or "")


def test_a_dropped_connection_is_an_error(server: Any) -> None:
    """No close frame: code 1006."""
    told = Told()
    conversation, peer = server.begin(callback_disconnect=told.put)
    peer.drop()
    conversation.wait_for_session_end()
    assert told.next() == DisconnectionDetails("error", 1006, "", "no close frame received or sent")


def test_a_refused_connection_is_told_and_raises_nothing() -> None:
    """As the original: the thread ends, the callback has the reason."""
    told = Told()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    conversation = Conversation(
        Antiphon(f"http://127.0.0.1:{port}"), "a", requires_auth=False, callback_disconnect=told.put
    )
    conversation.start_session()
    assert conversation.wait_for_session_end() is None
    assert told.next() == DisconnectionDetails("error", message="[Errno 111] Connection refused")


def test_a_device_that_does_not_start_ends_the_session(server: Any, device: Any) -> None:
    """The reason is the device's error; what it may have opened is closed."""

    def fail(input_callback: Any) -> None:
        raise OSError("no microphone")

    device.start = fail
    told = Told()
    conversation = server.conversation(audio_interface=device, callback_disconnect=told.put)
    conversation.start_session()
    conversation.wait_for_session_end()
    assert told.next() == DisconnectionDetails("error", message="no microphone")
    assert device.stopped == 1


def test_with_starts_and_ends_it(server: Any) -> None:
    """The socket is closed with 1000 also where the body raises."""
    conversation = server.conversation()

    def fail() -> None:
        with conversation:
            peers.put(server.accept())
            conversation.connected(PATIENCE)
            raise KeyError

    peers = Told()
    with pytest.raises(KeyError):
        fail()
    peer = peers.next()
    assert peer.hear_end() == 1000
    assert conversation.wait_for_session_end() == "conv_1"


def test_a_lost_socket_can_be_resumed_by_a_subclass(server: Any, device: Any) -> None:
    """The seam `resume_url`: the device stays open, the initiation is sent again, the new id counts."""

    class Resuming(Conversation):
        def resume_url(self, details: DisconnectionDetails) -> str | None:
            assert details.close_code == 1006
            return self._get_wss_url() + "&resumed=1"

    told = Told()
    conversation = Resuming(
        Antiphon(server.url), "a", requires_auth=False, audio_interface=device, callback_disconnect=told.put
    )
    _, peer = server.begin(conversation)
    peer.drop()
    peer = server.accept(ConversationMetadata(conversation_id="conv_2"))
    assert peer.path.endswith("&resumed=1")
    peer.say(AgentAudio(audio=b"12", event_id=1))
    assert [device.next(), device.next()] == ["start", b"12"]
    conversation.end_session()
    assert conversation.wait_for_session_end() == "conv_2"
    assert told.next() == DisconnectionDetails("user")
    assert device.stopped == 1


def test_no_thread_and_no_file_is_left_after_many_sessions(server: Any, device: Any) -> None:
    """Also not of conversations that were never started: the original has a thread for each (protocol.md 5.1)."""
    tools = ClientTools()
    tools.register("tool", lambda parameters: "x")

    def one() -> None:
        conversation, peer = server.begin(audio_interface=device, client_tools=tools)
        peer.say(ClientToolCall(tool_name="tool", tool_call_id="c"))
        peer.hear("client_tool_result")
        conversation.end_session()
        conversation.wait_for_session_end()
        peer.hear_end()

    one()
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    idle = [server.conversation() for _ in range(20)]
    for _ in range(30):
        one()
    assert len(idle) == 20
    assert threading.active_count() <= threads + 2  # the server's own, just ending
    assert len(os.listdir("/proc/self/fd")) <= files + 6


# ------------------------------------------------------------------------------------------------- callbacks


@pytest.mark.parametrize("error", [ValueError("oops"), TimeoutError("oops"), ConnectionError("oops")])
def test_a_callback_that_raises_ends_nothing(server: Any, error: Exception) -> None:
    """The original ends the session (protocol.md 5.2); here the error is logged, and `on_error` told."""
    heard, errors = Told(), Told()

    def fail(text: str) -> None:
        heard.put(text)
        raise error

    conversation, peer = server.begin(callback_agent_response=fail, on_error=errors.put)
    peer.say(AgentResponse(text="one"))
    peer.say(AgentResponse(text="two"))
    assert [heard.next(), heard.next()] == ["one", "two"]
    assert errors.next() is error
    peer.say(Ping(event_id=7))
    assert peer.hear() == {"type": "pong", "event_id": 7}
    conversation.end_session()
    conversation.wait_for_session_end()


def test_a_slow_callback_delays_neither_pongs_nor_audio(server: Any, device: Any) -> None:
    """The original's pong is as late as the callback is slow (protocol.md 5.2)."""
    go_on, heard = threading.Event(), Told()

    def slow(text: str) -> None:
        go_on.wait(PATIENCE)
        heard.put(text)

    conversation, peer = server.begin(audio_interface=device, callback_agent_response=slow)
    assert device.next() == "start"
    peer.say(AgentResponse(text="hi"))
    peer.say(Ping(event_id=1))
    peer.say(AgentAudio(audio=b"sound", event_id=1))
    peer.hear("pong")
    assert device.next() == b"sound"
    assert heard.empty()
    go_on.set()
    assert heard.next() == "hi"
    conversation.end_session()
    conversation.wait_for_session_end()


def test_an_async_callback_is_awaited(server: Any) -> None:
    """Who mixes them up is served all the same."""
    heard = Told()

    async def hear(text: str) -> None:
        await asyncio.sleep(0)
        heard.put(text)

    conversation, peer = server.begin(callback_agent_response=hear)
    peer.say(AgentResponse(text="hi"))
    assert heard.next() == "hi"
    conversation.end_session()
    conversation.wait_for_session_end()


def test_a_callback_may_be_set_while_it_goes_on(server: Any) -> None:
    """They are looked up for each message (protocol.md 5.1)."""
    conversation, peer = server.begin()
    heard = Told()
    conversation.callback_agent_response = heard.put
    peer.say(AgentResponse(text="hi"))
    assert heard.next() == "hi"
    conversation.end_session()
    conversation.wait_for_session_end()


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        b"\x00",
        "[]",
        {"no": "type"},
        {"type": "unheard_of", "x": 1},
        {"type": "ping"},
        {"type": "audio", "audio_event": {"audio_base_64": "AAA=", "event_id": 1, "alignment": None}},
        {"type": "ping", "ping_event": {"event_id": 1}},
        {"type": "agent_response", "agent_response_event": {}},
        {"type": "client_tool_call", "client_tool_call": {"tool_name": "t", "tool_call_id": "c", "parameters": None}},
        {"type": "conversation_initiation_metadata"},
        ConversationMetadata(conversation_id="another"),
    ],
    ids=str,
)
def test_no_message_ends_the_session(server: Any, device: Any, message: Any) -> None:
    """Null and missing fields, other types, no JSON: each of them ends the original's (protocol.md 5.3, 7)."""
    heard = Told()
    conversation, peer = server.begin(
        audio_interface=device,
        callback_agent_response=heard.put,
        callback_latency_measurement=heard.put,
        callback_audio_alignment=heard.put,
    )
    peer.say(message)
    peer.say(AgentResponse(text="still here"))
    assert heard.next() == "still here"
    assert conversation.conversation_id == "conv_1"
    conversation.end_session()
    conversation.wait_for_session_end()


def test_a_message_that_makes_no_sense_is_reported(server: Any) -> None:
    """To `on_error`."""
    errors = Told()
    conversation, peer = server.begin(on_error=errors.put)
    peer.say("no json")
    assert isinstance(errors.next(), RemoteProtocolError)
    conversation.end_session()
    conversation.wait_for_session_end()


def test_a_message_in_fragments_is_one(server: Any) -> None:
    """Texts that the server sends in several frames."""
    heard = Told()
    conversation, peer = server.begin(callback_agent_response=heard.put)
    text = encode_server(AgentResponse(text="Grüße"))
    peer.socket.send([text[:20], text[20:40], text[40:]])
    peer.say(AgentResponse(text="next"))
    assert [heard.next(), heard.next()] == ["Grüße", "next"]
    conversation.end_session()
    conversation.wait_for_session_end()


def test_every_event_comes_typed_and_as_an_iteration(server: Any) -> None:
    """`on_event` and `for event in conversation`, from the first to the last."""
    told = Told()
    conversation, peer = server.begin(on_event=told.put)
    said = [AgentResponse(text="hi", event_id=3), Interruption(event_id=4, reason="user")]
    for event in said:
        peer.say(event)
    peer.socket.close()
    events = list(conversation)
    assert events == [ConversationMetadata(conversation_id="conv_1"), *said]
    assert [told.next() for _ in events] == events
    conversation.wait_for_session_end()


# ----------------------------------------------------------------------------------------------------- sound


def test_sound_both_ways(server: Any, device: Any) -> None:
    """The microphone's as it is heard, the agent's as it comes; an interruption silences it."""
    conversation, peer = server.begin(audio_interface=device)
    assert device.next() == "start"
    device.speak(b"hear me")
    assert peer.hear() == {"user_audio_chunk": "aGVhciBtZQ=="}
    assert peer.texts[-1] == '{"user_audio_chunk": "aGVhciBtZQ=="}'
    for event in (
        AgentAudio(audio=b"one", event_id=0),
        Interruption(event_id=2),
        AgentAudio(audio=b"stale", event_id=1),
        AgentAudio(audio=b"same id", event_id=2),
        Interruption(event_id=1),
        AgentAudio(audio=b"stale", event_id=1),
    ):
        peer.say(event)
    assert [device.next() for _ in range(4)] == [b"one", "interrupt", b"same id", "interrupt"]
    conversation.end_session()
    conversation.wait_for_session_end()
    assert device.next() == "stop"
    device.speak(b"too late")


@pytest.mark.parametrize(("audio_format", "silent"), [("pcm_16000", b"\0\0\0\0"), ("ulaw_8000", b"\xff\xff\xff\xff")])
def test_a_muted_microphone_sends_silence(server: Any, device: Any, audio_format: str, silent: bytes) -> None:
    """As much as it hears, so that the server's time goes on."""
    conversation = server.conversation(audio_interface=device)
    conversation.start_session()
    peer = server.accept(ConversationMetadata(conversation_id="c", user_input_audio_format=audio_format))
    conversation.connected(PATIENCE)
    assert device.next() == "start"
    conversation.muted = True
    device.speak(b"priv")
    conversation.muted = False
    device.speak(b"publ")
    texts = [peer.hear()["user_audio_chunk"] for _ in range(2)]
    assert texts == [base64.b64encode(audio).decode() for audio in (silent, b"publ")]
    conversation.end_session()
    conversation.wait_for_session_end()


def test_a_device_that_fails_ends_nothing(server: Any, device: Any) -> None:
    """What `output` raises is logged and reported."""
    errors = Told()

    def fail(audio: bytes) -> None:
        raise OSError("unplugged")

    device.output = fail
    conversation, peer = server.begin(audio_interface=device, on_error=errors.put)
    peer.say(AgentAudio(audio=b"12", event_id=1))
    assert str(errors.next()) == "unplugged"
    conversation.send_user_message("still here")
    peer.hear("user_message")
    conversation.end_session()
    conversation.wait_for_session_end()


def test_many_threads_may_send_at_once(server: Any, device: Any) -> None:
    """Nothing is lost, and each thread's order kept."""
    conversation, peer = server.begin(audio_interface=device)
    assert device.next() == "start"

    def talk(name: int) -> None:
        for number in range(50):
            device.speak(bytes([name, number]))

    threads = [threading.Thread(target=talk, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    heard = [base64.b64decode(peer.hear()["user_audio_chunk"]) for _ in range(200)]
    for thread in threads:
        thread.join()
    for name in range(4):
        assert [audio[1] for audio in heard if audio[0] == name] == list(range(50))
    conversation.end_session()
    conversation.wait_for_session_end()


# ----------------------------------------------------------------------------------------------- what is said


def test_everything_that_can_be_said(server: Any) -> None:
    """Exactly the text that the original writes, where it writes it (protocol.md 5.7)."""
    conversation, peer = server.begin()
    conversation.send_contextual_update("on the pricing page")
    conversation.send_contextual_update("on page 2", context_id="page")
    conversation.register_user_activity()
    conversation.send_multimodal_message("look", file_ids=["f1", "f2"])
    conversation.send_multimodal_message(file_id="f1")
    conversation.send_feedback("like", event_id=4)
    conversation.approve_mcp_tool("call_9", approved=False)
    texts = [(peer.hear(), peer.texts[-1])[1] for _ in range(7)]
    assert texts == [
        '{"type": "contextual_update", "text": "on the pricing page"}',
        '{"type": "contextual_update", "text": "on page 2", "context_id": "page"}',
        '{"type": "user_activity"}',
        '{"type": "multimodal_message", "text": {"type": "user_message", "text": "look"}, '
        '"file": {"type": "file_input", "file_id": "f1"}, "files": [{"type": "file_input", "file_id": "f1"}, '
        '{"type": "file_input", "file_id": "f2"}]}',
        '{"type": "multimodal_message", "file": {"type": "file_input", "file_id": "f1"}, '
        '"files": [{"type": "file_input", "file_id": "f1"}]}',
        '{"type": "feedback", "event_id": 4, "score": "like"}',
        '{"type": "mcp_tool_approval_result", "tool_call_id": "call_9", "is_approved": false}',
    ]
    conversation.end_session()
    conversation.wait_for_session_end()


def test_the_user_id_is_sent_from_either_place(server: Any) -> None:
    """The original ignores that of the configuration (elevenlabs-python issue 679)."""
    for options in ({"user_id": "u"}, {"config": ConversationInitiationData(user_id="u")}):
        conversation, peer = server.begin(**options)
        assert json.loads(peer.texts[0])["user_id"] == "u"
        conversation.end_session()
        conversation.wait_for_session_end()


def test_what_the_application_keeps_is_not_changed(server: Any) -> None:
    """Not even below the first level (protocol.md 5.1)."""
    override: dict[str, Any] = {"agent": {"language": "de"}}
    config = ConversationInitiationData(conversation_config_override=override)
    conversation = server.conversation(config=config)
    conversation.config.conversation_config_override["agent"]["language"] = "fr"
    assert config.conversation_config_override == {"agent": {"language": "de"}}
    assert conversation.config.conversation_config_override["text_only"] is True


class Holder:
    """A client object with a key, whose signed URL must not be asked for."""

    def __init__(self) -> None:
        self._client_wrapper = type("Wrapper", (), {"_api_key": "secret"})()


@pytest.mark.parametrize("auth", [True, False])
def test_an_orchestrator_of_ones_own_is_not_left_for_the_cloud(server: Any, auth: bool) -> None:
    """With `requires_auth` the original connects to the cloud's signed URL (protocol.md 5.1); here it gets the key."""
    url = server.url.replace("http", "ws") + "/own?conversation_id=x"
    conversation = Conversation(
        Holder(), "", requires_auth=auth, on_prem_config=OnPremInitiationData(url, agent_config_dict={"a": 1})
    )
    server.begin(conversation)
    conversation.end_session()
    conversation.wait_for_session_end()


def test_what_an_orchestrator_is_told(server: Any) -> None:
    """The setup before the initiation, the key where one is required, under the names of 3.0, too."""
    url = server.url.replace("http", "ws") + "/own?conversation_id=x"
    config = OrchestratorConfig(url, agent_config_dict={"a": 1}, extra_setup_config={"later": True})
    conversation = Conversation(Holder(), "", requires_auth=True, orchestrator_config=config)
    conversation, peer = server.begin(conversation)
    setup = json.loads(peer.texts[0])
    assert list(setup)[:3] == ["later", "type", "agent_config_dict"]
    assert peer.texts[0] == conversation._create_orchestrator_initiation_message()
    assert (peer.path, peer.headers["xi-api-key"]) == ("/own?conversation_id=x", "secret")
    conversation.end_session()
    conversation.wait_for_session_end()
    with pytest.raises(ValueError, match="ws://"):
        OrchestratorConfig("https://example.com")


def test_an_async_client_can_sign(server: Any) -> None:
    """AsyncElevenLabs, whose answer has to be awaited; also where the caller is in an event loop (issue 484)."""

    class Conversations:
        async def get_signed_url(self, *, agent_id: str, environment: str | None) -> Any:
            return type("Signed", (), {"signed_url": server.url.replace("http", "ws") + f"/signed?a={agent_id}"})()

    class Client:
        conversational_ai = type("Api", (), {"conversations": Conversations()})()

    async def start() -> None:
        conversation.start_session()

    conversation = Conversation(Client(), "agent 1", requires_auth=True)
    asyncio.run(start())
    peer = server.accept()
    assert peer.path.startswith("/signed?a=agent%201&source=python_sdk&version=")
    conversation.end_session()
    conversation.wait_for_session_end()


# ----------------------------------------------------------------------------------------------------- tools

name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


def call(peer: Any, tool: str, call_id: str = "call_1", **parameters: Any) -> tuple[str, bool]:
    peer.say(ClientToolCall(tool_name=tool, tool_call_id=call_id, parameters=parameters))
    answer = peer.hear("client_tool_result")
    assert answer["tool_call_id"] == call_id
    return answer["result"], answer["is_error"]


def test_tools_are_answered_exactly_once(server: Any) -> None:
    """Sync and async, falsy and unserialisable results, errors, unknown ones, forged ids (protocol.md 5.5)."""
    tools = ClientTools()

    async def later(parameters: dict[str, Any]) -> str:
        await asyncio.sleep(0)
        return f"later {parameters['x']} {name.get()}"

    def fail(parameters: dict[str, Any]) -> None:
        raise KeyError("k")

    tools.register("later", later)
    tools.register("zero", lambda parameters: 0)
    tools.register("bytes", lambda parameters: b"")
    tools.register("fail", fail)
    tools.register("id", lambda parameters: parameters["tool_call_id"])
    tools.register("name", lambda parameters: name.get())
    name.set("Ada")
    conversation, peer = server.begin(client_tools=tools)
    assert call(peer, "later", x=1) == ("later 1 Ada", False)
    assert call(peer, "zero") == ("0", False)
    assert call(peer, "bytes")[1] is True
    assert call(peer, "fail") == ("'k'", True)
    assert call(peer, "nothing") == ("Tool 'nothing' is not registered", True)
    assert call(peer, "id", "true", tool_call_id="forged") == ("true", False)
    assert call(peer, "name") == ("Ada", False)
    conversation.end_session()
    conversation.wait_for_session_end()


def test_the_same_tools_serve_conversation_after_conversation_and_several_at_once(server: Any) -> None:
    """In the original's second one every sync tool fails (protocol.md 5.5)."""
    tools = ClientTools()
    tools.register("tool", lambda parameters: "x")
    for _ in range(3):
        conversation, peer = server.begin(client_tools=tools)
        assert call(peer, "tool") == ("x", False)
        conversation.end_session()
        conversation.wait_for_session_end()
    pairs = [server.begin(client_tools=tools) for _ in range(3)]
    for conversation, peer in pairs:
        assert call(peer, "tool") == ("x", False)
        conversation.end_session()
        conversation.wait_for_session_end()
    assert not tools._running.is_set()


def test_an_idle_loop_of_the_applications_runs_the_tool_at_once(server: Any) -> None:
    """The original does not wake it: no result within 2 s (protocol.md 5.5)."""
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()
    tools = ClientTools(loop)

    async def where(parameters: dict[str, Any]) -> bool:
        return asyncio.get_running_loop() is loop

    tools.register("where", where)
    conversation, peer = server.begin(client_tools=tools)
    began = time.perf_counter()
    assert call(peer, "where") == ("true", False)
    assert time.perf_counter() - began < SOON
    conversation.end_session()
    conversation.wait_for_session_end()
    loop.call_soon_threadsafe(loop.stop)
    running.join()
    loop.close()


def test_an_endless_tool_does_not_hold_up_the_end(server: Any) -> None:
    """An async one is cancelled."""
    began, cancelled = threading.Event(), threading.Event()

    async def endless(parameters: dict[str, Any]) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    tools = ClientTools()
    tools.register("endless", endless)
    conversation, peer = server.begin(client_tools=tools)
    peer.say(ClientToolCall(tool_name="endless", tool_call_id="c"))
    assert began.wait(PATIENCE)
    conversation.end_session()
    conversation.wait_for_session_end(1.0)
    assert cancelled.is_set()


def test_tools_of_another_class_are_used_as_the_original_uses_its_own(server: Any) -> None:
    """`start`, `execute_tool(name, parameters, callback)`, `stop`: that is all that is asked of it."""
    calls: list[Any] = []

    class Foreign:
        def start(self) -> None:
            calls.append("start")

        def stop(self) -> None:
            calls.append("stop")

        def execute_tool(self, tool_name: str, parameters: dict[str, Any], callback: Any) -> None:
            calls.append((tool_name, parameters))
            callback({"type": "client_tool_result", "tool_call_id": parameters["tool_call_id"], "result": 5})

    conversation, peer = server.begin(client_tools=Foreign())
    peer.say(ClientToolCall(tool_name="t", tool_call_id="c", parameters={"x": 1}))
    assert peer.hear("client_tool_result")["result"] == 5
    conversation.end_session()
    conversation.wait_for_session_end()
    assert calls == ["start", ("t", {"x": 1, "tool_call_id": "c"}), "stop"]


def test_the_two_conversations_have_the_same_methods() -> None:
    """What one can do the other can, under the same names."""
    for one, other in ((Conversation, AsyncConversation), (AsyncConversation, Conversation)):
        names = {n for n in dir(one) if not n.startswith("_")}
        assert names <= set(dir(other))
