"""The private names that programs are known to use (protocol.md 5.9), and the other import paths."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest.mock import AsyncMock

import pytest

from antiphon import Antiphon, ConversationInitiationData
from antiphon.client import ClientTools
from antiphon.conversational_ai import conversation as module
from antiphon.conversational_ai.conversation import (
    AsyncConversation,
    AudioEventAlignment,
    BaseConversation,
    Conversation,
)
from antiphon.protocol.codec import encode_server
from antiphon.protocol.events import AgentAudio, AgentResponse, ClientToolCall, ConversationMetadata, Ping

PATIENCE = 5.0
SOUND = base64.b64encode(b"sound").decode()


class Noting:
    """A handler object as the original's inner classes are, which notes what it is asked for."""

    callback_agent_response = callback_agent_response_correction = callback_agent_chat_response_part = True
    callback_user_transcript = callback_latency_measurement = callback_audio_alignment = True

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))


class NotingLater(Noting):
    def __getattr__(self, name: str) -> Any:
        async def note(*arguments: Any) -> None:
            self.calls.append((name, *arguments))

        return note


def audio(event_id: Any, **more: Any) -> dict[str, Any]:
    return {"type": "audio", "audio_event": {"event_id": event_id, "audio_base_64": SOUND, **more}}


MESSAGES: list[tuple[dict[str, Any], list[tuple[Any, ...]]]] = [
    (
        {
            "type": "conversation_initiation_metadata",
            "conversation_initiation_metadata_event": {"conversation_id": "c"},
        },
        [],
    ),
    (
        audio("3", alignment={"chars": ["a"], "char_start_times_ms": [0], "char_durations_ms": [5]}),
        [("handle_audio_output", b"sound"), ("handle_audio_alignment", AudioEventAlignment(["a"], [0], [5]))],
    ),
    (audio(3, alignment=None), [("handle_audio_output", b"sound")]),
    ({"type": "agent_response", "agent_response_event": {"agent_response": " a "}}, [("handle_agent_response", "a")]),
    (
        {
            "type": "agent_response_correction",
            "agent_response_correction_event": {"original_agent_response": " a", "corrected_agent_response": "b "},
        },
        [("handle_agent_response_correction", "a", "b")],
    ),
    (
        {"type": "agent_chat_response_part", "text_response_part": {"text": " x ", "type": "delta"}},
        [("handle_agent_chat_response_part", " x ", "delta")],
    ),
    (
        {"type": "user_transcript", "user_transcription_event": {"user_transcript": " u "}},
        [("handle_user_transcript", "u")],
    ),
    ({"type": "interruption", "interruption_event": {"event_id": "4"}}, [("handle_interruption",)]),
    (audio(3), []),
    (
        {"type": "ping", "ping_event": {"event_id": 9, "ping_ms": 55.7}},
        [("handle_ping", {"event_id": 9, "ping_ms": 55.7}), ("handle_latency_measurement", 55)],
    ),
    ({"type": "ping", "ping_event": {"event_id": 9}}, [("handle_ping", {"event_id": 9})]),
    (
        {"type": "client_tool_call", "client_tool_call": {"tool_name": "t", "tool_call_id": "c", "parameters": None}},
        [("handle_client_tool_call", "t", {"tool_call_id": "c"})],
    ),
    (
        {
            "type": "client_tool_call",
            "client_tool_call": {"tool_name": "t", "tool_call_id": "c", "parameters": {"tool_call_id": "x", "y": 1}},
        },
        [("handle_client_tool_call", "t", {"tool_call_id": "c", "y": 1})],
    ),
    ({"type": "keep_alive"}, []),
    ({}, []),
]


def test_a_handler_object_is_asked_for_what_each_message_means() -> None:
    """`_handle_message_core` and its async twin, on an object that was never initialised."""
    for later in (False, True):
        conversation = BaseConversation.__new__(BaseConversation)
        conversation._last_interrupt_id = 0
        for message, expected in MESSAGES:
            handler = NotingLater() if later else Noting()
            if later:
                asyncio.run(conversation._handle_message_core_async(message, handler))
            else:
                conversation._handle_message_core(message, handler)
            assert handler.calls == expected, message
        assert conversation._conversation_id == "c"
        assert conversation._last_interrupt_id == 4


def test_a_reply_under_the_interruptions_own_id_is_heard() -> None:
    """elevenlabs-python issue 829: the answer to a multimodal message is silent there; so is id 0 at first."""
    conversation = BaseConversation.__new__(BaseConversation)
    conversation._last_interrupt_id = 5
    for event_id, heard in ((5, True), (4, False), (6, True)):
        handler = Noting()
        conversation._handle_message_core(audio(event_id), handler)
        assert bool(handler.calls) == heard


class Uninitialised(Conversation):
    """As the LlamaIndex agent of the seed does it: no `super().__init__`, a `_run` of its own."""

    def __init__(self, client: Any, tools: ClientTools) -> None:
        self.client = client
        self.agent_id = "agent_1"
        self.requires_auth = False
        self.config = ConversationInitiationData()
        self.client_tools = tools
        self.client_tools.start()
        self._thread = None
        self._ws = None
        self._should_stop = threading.Event()
        self._conversation_id = None
        self._last_interrupt_id = 0
        self.heard: list[str] = []

    def _run(self, ws_url: str) -> None:
        with module.connect(ws_url, max_size=16 * 1024 * 1024) as ws:
            self._ws = ws
            ws.send(json.dumps({"type": "conversation_initiation_client_data"}))
            while not self._should_stop.is_set():
                try:
                    message = json.loads(ws.recv(timeout=0.5))
                except TimeoutError:
                    continue
                except module.ConnectionClosedOK:
                    self.end_session()
                    continue
                if message["type"] == "conversation_initiation_metadata":
                    assert self._conversation_id is None
                    self._conversation_id = message["conversation_initiation_metadata_event"]["conversation_id"]
                elif message["type"] == "agent_response":
                    self.heard.append(message["agent_response_event"]["agent_response"])
                    ws.send(json.dumps({"type": "heard"}))
                elif message["type"] == "client_tool_call":
                    call = message["client_tool_call"]
                    self.client_tools.execute_tool(call["tool_name"], dict(call), lambda r: ws.send(json.dumps(r)))
            self._ws = None


def test_a_subclass_need_not_call_init_and_may_run_its_own_socket(server: Any) -> None:
    """With elevenlabs 2.78.0 it fails at its first call (protocol.md 5.9)."""
    tools = ClientTools()
    tools.register("tool", lambda parameters: "x")
    conversation = Uninitialised(Antiphon(server.url), tools)
    conversation.start_session()
    peer = server.accept()
    peer.say(AgentResponse(text="hi"))
    peer.hear("heard")
    conversation.send_user_message("hello")
    assert peer.hear() == {"type": "user_message", "text": "hello"}
    peer.say(ClientToolCall(tool_name="tool", tool_call_id="c"))
    assert peer.hear("client_tool_result")["result"] == "x"
    conversation.end_session()
    assert conversation.wait_for_session_end(PATIENCE) == "conv_1"
    assert conversation.heard == ["hi"]
    assert peer.hear_end() == 1000


def test_a_subclass_may_see_each_message_first(server: Any) -> None:
    """By overriding `_handle_message`, as programs do to get at events without a callback."""
    seen: list[str] = []

    class Seeing(Conversation):
        def _handle_message(self, message: dict[str, Any], ws: Any) -> None:
            seen.append(message["type"])
            assert ws is self._ws
            if message["type"] != "agent_response":
                super()._handle_message(message, ws)

    conversation = Seeing(Antiphon(server.url), "agent_1", requires_auth=False)
    conversation.start_session()
    peer = server.accept()
    peer.say(AgentResponse(text="kept back"))
    peer.say(Ping(event_id=1))
    assert peer.hear() == {"type": "pong", "event_id": 1}
    conversation.end_session()
    assert conversation.wait_for_session_end() == "conv_1"
    assert seen == ["conversation_initiation_metadata", "agent_response", "ping"]


class StandIn:
    """A socket that is only a fake with the original's three calls, and knows no way to be closed."""

    def __init__(self, messages: list[str]) -> None:
        self.sent: list[str] = []
        self._messages = messages

    def send(self, text: str) -> None:
        self.sent.append(text)

    def recv(self, timeout: float) -> str:
        return self._messages.pop(0) if self._messages else '{"type": "keep_alive"}'


def test_the_socket_is_opened_by_the_modules_own_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked up when the session starts, with no more options than the original gives (protocol.md 6.3)."""
    socket = StandIn([encode_server(ConversationMetadata(conversation_id="c"))])

    @contextmanager
    def connect(url: str, max_size: int) -> Any:
        yield socket

    monkeypatch.setattr(module, "connect", connect)
    conversation = Conversation(Antiphon(), "a", requires_auth=False)
    conversation.start_session()
    assert conversation.connected(PATIENCE) == "c"
    conversation.end_session()
    assert conversation.wait_for_session_end(PATIENCE) == "c"
    assert socket.sent == [conversation._create_initiation_message()]


def test_the_async_socket_is_opened_by_websockets_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the module `websockets` has it when the session starts. A stand-in that has every method there is, as mocks
    do, is still used as a socket of websockets."""
    metadata = encode_server(ConversationMetadata(conversation_id="c"))

    class Everything(AsyncMock):
        waits = 0

        async def recv(self) -> str:
            self.waits += 1
            return metadata if self.waits == 1 else await asyncio.get_running_loop().create_future()

    socket = Everything()

    @asynccontextmanager
    async def connect(url: str, max_size: int) -> Any:
        yield socket

    async def scene() -> None:
        conversation = AsyncConversation(Antiphon(), "a", requires_auth=False)
        await conversation.start_session()
        assert await conversation.connected(PATIENCE) == "c"
        await conversation.send_user_message("hello")
        await conversation.end_session()
        assert await conversation.wait_for_session_end(PATIENCE) == "c"
        socket.send.assert_any_await('{"type": "user_message", "text": "hello"}')

    monkeypatch.setattr(module.websockets, "connect", connect)
    asyncio.run(scene())


def test_the_path_of_3_0_is_the_very_same_module() -> None:
    """So that patching one reaches the other."""
    later = importlib.import_module("antiphon.agents.conversation")
    assert later is module
    assert later.OrchestratorConfig


def test_audio_goes_past_a_conversation_without_a_device(server: Any) -> None:
    """Text only, though the server speaks."""
    conversation, peer = server.begin()
    peer.say(AgentAudio(audio=b"12", event_id=1))
    peer.say(Ping(event_id=1))
    peer.hear("pong")
    conversation.end_session()
    conversation.wait_for_session_end()
