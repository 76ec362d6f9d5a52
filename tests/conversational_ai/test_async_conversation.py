"""What AsyncConversation has beyond tests/client/test_conversation.py: the original's surface, and seams."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from typing import Any

import pytest

from antiphon import Antiphon, AsyncConversation, DisconnectionDetails
from antiphon.client import AsyncAudioInterface, ClientTools
from antiphon.conversational_ai.conversation import OnPremInitiationData
from antiphon.errors import RemoteProtocolError
from antiphon.protocol.events import (
    AgentResponse,
    ClientToolCall,
    ConversationMetadata,
    McpToolApprovalResult,
    Ping,
)

PATIENCE = 5.0


def play(script: Any) -> None:
    """Runs a script on a loop of its own, within 10 s."""

    async def run() -> None:
        async with asyncio.timeout(10):
            await script()

    asyncio.run(run())


async def begin(server: Any, conversation: AsyncConversation) -> Any:
    await conversation.start_session()
    peer = await asyncio.to_thread(server.accept)
    await conversation.connected(PATIENCE)
    return peer


def call(server: Any, **options: Any) -> AsyncConversation:
    return AsyncConversation(Antiphon(server.url), "agent_1", **({"requires_auth": False} | options))


async def end(conversation: AsyncConversation) -> str | None:
    await conversation.end_session()
    return await conversation.wait_for_session_end()


class Device(AsyncAudioInterface):
    def __init__(self) -> None:
        self.speak: Any = None
        self.started, self.stopped = asyncio.Event(), 0

    async def start(self, input_callback: Any) -> None:
        self.speak = input_callback
        self.started.set()

    async def stop(self) -> None:
        self.stopped += 1

    async def output(self, audio: bytes) -> None: ...

    async def interrupt(self) -> None: ...


def test_the_microphone_may_be_on_any_loop_and_be_muted(server: Any) -> None:
    """The original sends nothing from another thread (protocol.md 5.8); muted, silence is sent."""

    async def script() -> None:
        device = Device()
        conversation = call(server, audio_interface=device)
        peer = await begin(server, conversation)
        await device.started.wait()
        await device.speak(b"here")
        threading.Thread(target=lambda: asyncio.run(device.speak(b"there"))).start()
        heard = [(await asyncio.to_thread(peer.hear))["user_audio_chunk"] for _ in range(2)]
        conversation.muted = True
        await device.speak(b"priv")
        heard.append((await asyncio.to_thread(peer.hear))["user_audio_chunk"])
        assert [base64.b64decode(text) for text in heard] == [b"here", b"there", b"\0\0\0\0"]
        assert await end(conversation) == "conv_1"
        assert device.stopped == 1

    play(script)


def test_errors_are_reported(server: Any) -> None:
    """What a callback raises, and messages that make no sense, to `on_error`; the session goes on."""

    async def script() -> None:
        errors: asyncio.Queue[Exception] = asyncio.Queue()

        async def fail(text: str) -> None:
            raise KeyError(text)

        conversation = call(server, callback_agent_response=fail, on_error=errors.put)
        peer = await begin(server, conversation)
        peer.say(AgentResponse(text="x"))
        assert str(await errors.get()) == "'x'"
        peer.say("no json")
        assert isinstance(await errors.get(), RemoteProtocolError)
        await conversation.approve_mcp_tool("call_9")
        assert await asyncio.to_thread(peer.hear) == {
            "type": "mcp_tool_approval_result",
            "tool_call_id": "call_9",
            "is_approved": True,
        }
        await conversation.send(McpToolApprovalResult(tool_call_id="x", is_approved=False))
        await end(conversation)

    play(script)


def test_a_lost_socket_can_be_resumed_by_a_subclass(server: Any) -> None:
    """The seam `resume_url`: the device stays open, the initiation is sent again, the new id counts."""

    class Resuming(AsyncConversation):
        async def resume_url(self, details: DisconnectionDetails) -> str | None:
            assert details.close_code == 1006
            return self._get_wss_url() + "&resumed=1"

    async def script() -> None:
        told: list[DisconnectionDetails] = []
        device = Device()
        conversation = Resuming(
            Antiphon(server.url), "a", requires_auth=False, audio_interface=device, callback_disconnect=told.append
        )
        peer = await begin(server, conversation)
        peer.drop()
        peer = await asyncio.to_thread(server.accept, ConversationMetadata(conversation_id="conv_2"))
        assert peer.path.endswith("&resumed=1")
        await device.speak(b"on")
        assert "user_audio_chunk" in await asyncio.to_thread(peer.hear)
        async for event in conversation:
            if event == ConversationMetadata(conversation_id="conv_2"):
                break
        assert await end(conversation) == "conv_2"
        assert told == [DisconnectionDetails("user")]
        assert device.stopped == 1

    play(script)


def test_a_subclass_may_see_each_message_first(server: Any) -> None:
    """By overriding `_handle_message`."""
    seen: list[str] = []

    class Seeing(AsyncConversation):
        async def _handle_message(self, message: dict[str, Any], ws: Any) -> None:
            seen.append(message["type"])
            await super()._handle_message(message, ws)

    async def script() -> None:
        conversation = Seeing(Antiphon(server.url), "a", requires_auth=False)
        peer = await begin(server, conversation)
        peer.say(Ping(event_id=1))
        assert await asyncio.to_thread(peer.hear) == {"type": "pong", "event_id": 1}
        await end(conversation)
        assert seen == ["conversation_initiation_metadata", "ping"]

    play(script)


def test_it_can_be_started_again_in_callback_disconnect(server: Any) -> None:
    """The place where programs reconnect."""

    async def script() -> None:
        again = asyncio.Event()

        async def restart(details: DisconnectionDetails) -> None:
            if details.reason == "agent":
                await conversation.start_session()
                again.set()

        conversation = call(server, callback_disconnect=restart)
        peer = await begin(server, conversation)
        await asyncio.to_thread(peer.socket.close, 1000)
        await again.wait()
        await asyncio.to_thread(server.accept)
        await conversation.connected(PATIENCE)
        await end(conversation)

    play(script)


def test_tools_run_on_the_conversations_own_loop(server: Any) -> None:
    """The original sends their results from another thread's loop (protocol.md 5.4)."""

    async def script() -> None:
        loop = asyncio.get_running_loop()
        tools = ClientTools()

        @tools.tool
        async def where() -> bool:
            return asyncio.get_running_loop() is loop

        conversation = call(server, client_tools=tools)
        peer = await begin(server, conversation)
        peer.say(ClientToolCall(tool_name="where", tool_call_id="c"))
        answer = await asyncio.to_thread(peer.hear, "client_tool_result")
        assert (answer["result"], answer["is_error"]) == ("true", False)
        await end(conversation)

    play(script)


def test_tools_of_another_class_are_served(server: Any) -> None:
    """They answer from whatever thread; the result is sent on the conversation's loop."""

    class Foreign:
        def start(self) -> None: ...

        def execute_tool(self, tool_name: str, parameters: dict[str, Any], callback: Any) -> None:
            message = {"type": "client_tool_result", "tool_call_id": parameters["tool_call_id"], "result": tool_name}
            threading.Thread(target=callback, args=(message,)).start()

    async def script() -> None:
        conversation = call(server, client_tools=Foreign())
        peer = await begin(server, conversation)
        peer.say(ClientToolCall(tool_name="t", tool_call_id="c"))
        assert (await asyncio.to_thread(peer.hear, "client_tool_result"))["result"] == "t"
        await end(conversation)

    play(script)


def test_an_orchestrator_gets_its_setup_first(server: Any) -> None:
    """Then the initiation (protocol.md 2.6)."""

    async def script() -> None:
        url = server.url.replace("http", "ws") + "/own"
        config = OnPremInitiationData(url, agent_config_dict={"a": 1})
        conversation = call(server, requires_auth=True, on_prem_config=config)
        peer = await begin(server, conversation)
        assert json.loads(peer.texts[0])["agent_config_dict"] == {"a": 1}
        assert peer.path == "/own"
        await end(conversation)

    play(script)


def test_a_handshake_that_never_ends_can_be_left(server: Any) -> None:
    """`connected` with a limit, and the end within 50 ms all the same."""

    async def script() -> None:
        conversation = call(server)
        await conversation.start_session()
        with pytest.raises(TimeoutError):
            await conversation.connected(timeout=0)
        await conversation.end_session()
        assert await conversation.wait_for_session_end() is None

    play(script)
