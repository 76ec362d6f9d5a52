"""Conversations with an agent, as an application holds them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, TypeAlias

from antiphon.errors import SessionError
from antiphon.protocol.client import AgentChatResponsePartType, AudioEventAlignment, ClientProtocol
from antiphon.protocol.events import (
    ClientEvent,
    ContextualUpdate,
    Feedback,
    MultimodalMessage,
    ServerEvent,
    UserActivity,
    UserMessage,
)

from . import address
from .audio_interface import AsyncAudioInterface, AudioInterface
from .connection import Connection
from .disconnection import DisconnectionDetails
from .initiation import ConversationInitiationData, initiation
from .tools import ClientTools

__all__ = [
    "AgentChatResponsePartType",
    "AsyncAudioInterface",
    "AsyncConversation",
    "AudioEventAlignment",
    "AudioInterface",
    "BaseConversation",
    "ClientTools",
    "ConversationInitiationData",
    "DisconnectionDetails",
]

Result: TypeAlias = Awaitable[None] | None
"What a callback returns: it may be an async function or a plain one."

_END_TIMEOUT = 0.05


class BaseConversation:
    """What a conversation is told before it starts, as attributes.

    Callbacks may be changed at any time, the rest counts when the session starts.
    """

    def __init__(
        self,
        client: Any,
        agent_id: str,
        user_id: str | None = None,
        *,
        requires_auth: bool,
        audio_interface: AudioInterface | AsyncAudioInterface | None = None,
        config: ConversationInitiationData | None = None,
        client_tools: ClientTools | None = None,
        callback_agent_response: Callable[[str], Result] | None = None,
        callback_agent_response_correction: Callable[[str, str], Result] | None = None,
        callback_agent_chat_response_part: Callable[[str, AgentChatResponsePartType], Result] | None = None,
        callback_user_transcript: Callable[[str], Result] | None = None,
        callback_latency_measurement: Callable[[int], Result] | None = None,
        callback_audio_alignment: Callable[[AudioEventAlignment], Result] | None = None,
        callback_end_session: Callable[[], Result] | None = None,
        callback_disconnect: Callable[[DisconnectionDetails], Result] | None = None,
        environment: str | None = None,
        on_event: Callable[[ServerEvent], Result] | None = None,
        strict_audio_gate: bool = False,
    ) -> None:
        self.client = client
        self.agent_id = agent_id
        self.user_id = user_id
        self.requires_auth = requires_auth
        self.audio_interface = audio_interface
        self.config = config or ConversationInitiationData()
        self.client_tools = client_tools or ClientTools()
        self.callback_agent_response = callback_agent_response
        self.callback_agent_response_correction = callback_agent_response_correction
        self.callback_agent_chat_response_part = callback_agent_chat_response_part
        self.callback_user_transcript = callback_user_transcript
        self.callback_latency_measurement = callback_latency_measurement
        self.callback_audio_alignment = callback_audio_alignment
        self.callback_end_session = callback_end_session
        self.callback_disconnect = callback_disconnect
        self.environment = environment
        self.on_event = on_event
        self.strict_audio_gate = strict_audio_gate
        self._protocol = ClientProtocol(strict_audio_gate=strict_audio_gate)

    @property
    def conversation_id(self) -> str | None:
        """The server's name for the conversation; None until the server has said it."""
        return self._protocol.conversation_id

    @property
    def user_input_audio_format(self) -> str | None:
        """What the server takes the microphone's audio for, such as `pcm_16000`; None until it has said so."""
        return self._protocol.metadata.user_input_audio_format if self._protocol.metadata is not None else None

    @property
    def agent_output_audio_format(self) -> str | None:
        """What the agent's audio is, such as `pcm_16000`; None until the server has said so."""
        return self._protocol.metadata.agent_output_audio_format if self._protocol.metadata is not None else None

    def _get_wss_url(self) -> str:
        base_url: str = self.client._client_wrapper.get_base_url()  # noqa: SLF001 - where the original's client has it
        return address.conversation_url(base_url, self.agent_id, environment=self.environment)

    def _get_signed_url(self) -> Any:
        """The client's answer, whose `signed_url` is meant; awaitable where the client is an async one. May block."""
        return self.client.conversational_ai.conversations.get_signed_url(
            agent_id=self.agent_id, environment=self.environment
        )

    def _open_protocol(self) -> ClientProtocol:
        self._protocol = ClientProtocol(strict_audio_gate=self.strict_audio_gate)
        self._protocol.open(initiation(self.config, user_id=self.user_id, text_only=self.audio_interface is None))
        return self._protocol

    def _find_callback(self, name: str) -> Callable[..., Any] | None:
        return getattr(self, name)


class AsyncConversation(BaseConversation):
    """A conversation with an agent, on the event loop that it is started on.

    `client` says where the server is: an `Antiphon`, or the original's `ElevenLabs` or `AsyncElevenLabs`.
    `requires_auth`: ask it for a signed URL first. Without an `audio_interface` the conversation is held in text.

    Callbacks and tools may be async functions, which run on the loop, or plain ones, which run in threads. Callbacks
    are called one after another, apart from the conversation: one that is slow or raises delays and ends nothing else.
    `on_event` is called with every event; `async for event in conversation` yields them too, until the end.

    `strict_audio_gate`: tell stale audio as elevenlabs 2.78.0 does, see ClientProtocol.

    A conversation that has ended can be started again. `async with` starts it and ends it.
    """

    _connection: Connection | None = None
    _task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------------------ from start to end

    async def start_session(self) -> None:
        """Begins the conversation. It need not be connected yet when this returns; what is sent meanwhile waits.

        Raises:
            SessionError: it is running, or the server gave no signed URL.
            AuthError: a signed URL was refused.
            NotFoundError: there is no such agent to sign for.
        """
        if self._task is not None and not self._task.done():
            raise SessionError("the session is running already")
        url = await self._signed_url() if self.requires_auth else self._get_wss_url()
        self._connection = Connection(
            self._open_protocol(),
            audio_interface=self.audio_interface,
            client_tools=self.client_tools,
            find_callback=self._find_callback,
        )
        # The one task that no TaskGroup can hold: the session outlives the call that starts it.
        self._task = asyncio.create_task(self._run(url), name="antiphon-conversation")  # noqa: TID251

    async def connected(self) -> str:
        """The conversation's id, as soon as the server has accepted the conversation and named it.

        Raises:
            SessionError: it was not started, or it ended before that.
        """
        connection = self._started()
        await connection.settled.wait()
        if self.conversation_id is None:
            details = connection.details or DisconnectionDetails("user")
            why = details.message or details.close_reason or f"by the {details.reason}"
            raise SessionError(f"the session ended before the agent was there: {why}") from connection.failure
        return self.conversation_id

    async def end_session(self) -> None:
        """Ends the conversation. Returns when the socket is closed, after 50 ms at most; may be called anywhere.

        What was received before is still delivered to callbacks: wait_for_session_end() waits for that too.
        """
        if self._connection is None:
            return
        self._connection.end(DisconnectionDetails("user"))
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT):
                await self._connection.closed.wait()

    async def wait_for_session_end(self, timeout: float | None = None) -> str | None:
        """The conversation's id, or None if the server never named it, once all is over. Cancelling ends the session.

        Raises:
            SessionError: it was not started.
            TimeoutError: it still goes on after `timeout` seconds.
            Exception: what kept the conversation from beginning, such as ConnectionRefusedError.
        """
        connection, task = self._started(), self._task
        assert task is not None
        try:
            await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            if connection.details is None:
                connection.end(DisconnectionDetails("user"))
                await asyncio.wait({task})
            raise
        if not task.done():
            raise TimeoutError(f"the session has not ended within {timeout} s")
        if connection.failure is not None:
            raise connection.failure
        if not task.cancelled():
            task.result()
        return self.conversation_id

    async def __aenter__(self) -> AsyncConversation:
        await self.start_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.end_session()
        if self._task is not None:
            await asyncio.wait({self._task})

    def __aiter__(self) -> AsyncIterator[ServerEvent]:
        return aiter(self._started().events)

    # ---------------------------------------------------------------------------------------------- what is said

    async def send(self, event: ClientEvent) -> None:
        """Sends any event of the protocol; the methods below are shorter.

        Raises:
            SessionError: the session was not started or has ended.
        """
        self._started().send(event)

    async def send_user_message(self, text: str) -> None:
        """A finished user turn, typed: interrupts the agent and is answered."""
        await self.send(UserMessage(text=text))

    async def send_contextual_update(self, text: str, context_id: str | None = None) -> None:
        """Background for the agent, not answered. Of one `context_id` only the newest counts."""
        await self.send(ContextualUpdate(text=text, context_id=context_id))

    async def register_user_activity(self) -> None:
        """Tells the agent that the user is busy, so that it does not speak up."""
        await self.send(UserActivity())

    async def send_multimodal_message(
        self, text: str | None = None, file_id: str | None = None, file_ids: Sequence[str] | None = None
    ) -> None:
        """A user turn with uploaded files. `file_ids` wins over `file_id`.

        Raises:
            ValueError: there is neither text nor file.
        """
        files = list(file_ids) if file_ids else [file_id] if file_id else []
        if text is None and not files:
            raise ValueError("At least one of text, file_id, or file_ids must be provided.")
        await self.send(MultimodalMessage(text=text, file_ids=files))

    async def send_feedback(self, score: Literal["like", "dislike"] | None, event_id: int | None = None) -> None:
        """What the user thinks of an agent response, by default of the newest; None takes it back.

        Raises:
            ValueError: there is no response yet.
        """
        event_id = event_id if event_id is not None else self._protocol.last_response_id
        if event_id is None:
            raise ValueError("there is no agent response to give feedback on")
        await self.send(Feedback(event_id=event_id, score=score))

    # ----------------------------------------------------------------------------------------------------- inside

    async def _run(self, ws_url: str) -> None:
        await self._started().run(ws_url)

    async def _signed_url(self) -> str:
        answer = await asyncio.to_thread(self._get_signed_url)
        if inspect.isawaitable(answer):
            answer = await answer
        return address.with_source(answer.signed_url)

    def _started(self) -> Connection:
        if self._connection is None:
            raise SessionError("Session not started or websocket not connected.")
        return self._connection
