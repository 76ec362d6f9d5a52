"""Conversations with an agent, as an application holds them.

The names, their order and their meaning are those of elevenlabs 2.78.0's module of this name (protocol.md 5), private
ones included that programs are known to use. `Conversation` runs in threads, `AsyncConversation` on an event loop; both
are shells of one ClientProtocol.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import inspect
import json
import logging
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import websockets
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

from antiphon import __version__ as __version__  # read there by programs
from antiphon.client import address, connection, thread_connection
from antiphon.client.address import build_ws_url
from antiphon.client.audio_interface import AsyncAudioInterface, AudioInterface
from antiphon.client.disconnection import DisconnectionDetails
from antiphon.client.initiation import ConversationInitiationData, initiation
from antiphon.client.messages import (
    ClientToOrchestratorEvent,
    ContextualUpdateClientToOrchestratorEvent,
    MultimodalMessageClientToOrchestratorEvent,
    MultimodalMessageFile,
    UserActivityClientToOrchestratorEvent,
    UserMessageClientToOrchestratorEvent,
)
from antiphon.client.on_prem import OnPremInitiationData, OrchestratorConfig, PostCallWebhookConfig, setup
from antiphon.client.thread_connection import connect
from antiphon.client.tools import ClientTools
from antiphon.errors import RemoteProtocolError, SessionError
from antiphon.protocol import codec
from antiphon.protocol.client import AgentChatResponsePartType, AudioEventAlignment, ClientProtocol, callback
from antiphon.protocol.events import (
    AgentAudio,
    ClientEvent,
    ClientToolCall,
    ContextualUpdate,
    ConversationInitiation,
    ConversationMetadata,
    Feedback,
    Interruption,
    McpToolApprovalResult,
    MultimodalMessage,
    Ping,
    ServerEvent,
    UserActivity,
    UserMessage,
)

__all__ = [
    "AgentChatResponsePartType",
    "AsyncAudioInterface",
    "AsyncConversation",
    "AudioEventAlignment",
    "AudioInterface",
    "BaseConversation",
    "ClientToOrchestratorEvent",
    "ClientTools",
    "Connection",
    "ConnectionClosed",
    "ConnectionClosedOK",
    "ContextualUpdateClientToOrchestratorEvent",
    "Conversation",
    "ConversationInitiationData",
    "DisconnectionDetails",
    "MultimodalMessageClientToOrchestratorEvent",
    "MultimodalMessageFile",
    "OnPremInitiationData",
    "OrchestratorConfig",
    "PostCallWebhookConfig",
    "UserActivityClientToOrchestratorEvent",
    "UserMessageClientToOrchestratorEvent",
    "build_ws_url",
    "connect",
    "websockets",
]

if TYPE_CHECKING:
    from websockets.sync.connection import Connection

logger = logging.getLogger(__name__)

Result: TypeAlias = Awaitable[None] | None
"What a callback returns: it may be an async function or a plain one."

_END_TIMEOUT = 0.05
_NOT_STARTED = "Session not started."
_NOTHING_SAID = "At least one of text, file_id, or file_ids must be provided."


class BaseConversation:
    """What a conversation is told before it starts, as attributes.

    Callbacks may be changed at any time, the rest counts when the session starts. A subclass need not call this
    `__init__`: what it leaves out has its default.
    """

    client: Any = None
    agent_id: str = ""
    user_id: str | None = None
    requires_auth: bool = False
    audio_interface: Any = None
    config: ConversationInitiationData = ConversationInitiationData()
    client_tools: Any = None
    on_prem_config: OnPremInitiationData | None = None
    environment: str | None = None
    callback_agent_response: Callable[[str], Any] | None = None
    callback_agent_response_correction: Callable[[str, str], Any] | None = None
    callback_agent_chat_response_part: Callable[[str, AgentChatResponsePartType], Any] | None = None
    callback_user_transcript: Callable[[str], Any] | None = None
    callback_latency_measurement: Callable[[int], Any] | None = None
    callback_audio_alignment: Callable[[AudioEventAlignment], Any] | None = None
    callback_end_session: Callable[[], Any] | None = None
    callback_disconnect: Callable[[DisconnectionDetails], Any] | None = None
    on_event: Callable[[ServerEvent], Any] | None = None
    on_error: Callable[[Exception], Any] | None = None
    strict_audio_gate: bool = False
    muted: bool = False
    "The microphone is not heard: what is sent of it is silence. May be changed at any time."

    def __init__(
        self,
        client: Any,
        agent_id: str,
        user_id: str | None = None,
        *,
        requires_auth: bool,
        audio_interface: Any = None,
        config: ConversationInitiationData | None = None,
        client_tools: ClientTools | None = None,
        on_prem_config: OnPremInitiationData | None = None,
        environment: str | None = None,
    ) -> None:
        self.client = client
        self.agent_id = agent_id
        self.user_id = user_id
        self.requires_auth = requires_auth
        self.audio_interface = audio_interface
        given = config or ConversationInitiationData()
        self.config = ConversationInitiationData(  # a copy: what the application keeps is never changed
            extra_body=copy.deepcopy(given.extra_body),
            conversation_config_override=copy.deepcopy(given.conversation_config_override),
            dynamic_variables=copy.deepcopy(given.dynamic_variables),
            user_id=given.user_id,
        )
        if audio_interface is None:
            self.config.conversation_config_override.setdefault("text_only", True)
        self.client_tools = client_tools or ClientTools()
        self.on_prem_config = on_prem_config
        self.environment = environment

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

    def _set_callbacks(self, **given: Callable[..., Any] | None) -> None:
        if given["callback_end_session"] is not None:
            warnings.warn(
                "callback_end_session is deprecated, use callback_disconnect instead.",
                DeprecationWarning,
                stacklevel=3,
            )
        for name, callback_or_none in given.items():
            setattr(self, name, callback_or_none)

    def _handles_messages(self, shell: type[Any]) -> bool:
        return getattr(type(self), "_handle_message") is not getattr(shell, "_handle_message")  # noqa: B009 - private

    def _find_callback(self, name: str) -> Callable[..., Any] | None:
        return getattr(self, name)

    # ------------------------------------------------------------------------------------------- the first message

    def _get_wss_url(self) -> str:
        if self.on_prem_config:
            return self.on_prem_config.on_prem_conversation_url
        base_url: str = self.client._client_wrapper.get_base_url()  # noqa: SLF001 - where the original's client has it
        return address.conversation_url(base_url, self.agent_id, environment=self.environment)

    def _get_signed_url(self) -> Any:
        """The signed URL, with our name in it; awaitable where the client is an async one. May block."""
        try:
            conversations = self.client.conversational_ai.conversations
        except AttributeError:
            conversations = self.client.agents.conversations  # the original's client from 3.0 on
        answer = conversations.get_signed_url(agent_id=self.agent_id, environment=self.environment)
        return _signed_later(answer) if inspect.isawaitable(answer) else address.with_source(answer.signed_url)

    def _needs_signed_url(self) -> bool:
        return self.requires_auth and not self.on_prem_config

    def _headers(self) -> dict[str, str] | None:
        """An orchestrator of one's own is not asked for a signed URL: where it requires a key, it gets the key."""
        if not (self.requires_auth and self.on_prem_config):
            return None
        key = getattr(getattr(self.client, "_client_wrapper", None), "_api_key", None)
        return {"xi-api-key": key} if isinstance(key, str) else None

    def _create_initiation_message(self) -> str:
        return codec.encode_client(self._initiation())

    def _create_on_prem_initiation_message(self) -> str:
        assert self.on_prem_config is not None
        return codec.encode_client(setup(self.on_prem_config))

    _create_orchestrator_initiation_message = _create_on_prem_initiation_message

    def _initiation(self) -> ConversationInitiation:
        return initiation(self.config, user_id=self.user_id, text_only=self.audio_interface is None)

    @functools.cached_property
    def _protocol(self) -> ClientProtocol:
        """Before the first start: what a program that handles messages itself works with."""
        protocol = ClientProtocol(strict_audio_gate=self.strict_audio_gate)
        protocol.open(ConversationInitiation())
        protocol.messages_to_send()
        return protocol

    def _open_protocol(self) -> ClientProtocol:
        self._protocol = ClientProtocol(strict_audio_gate=self.strict_audio_gate)
        self._protocol.open(
            self._initiation(),
            setup(self.on_prem_config) if self.on_prem_config else None,
        )
        return self._protocol

    @property
    def _conversation_id(self) -> str | None:
        return self._protocol.conversation_id

    @_conversation_id.setter
    def _conversation_id(self, value: str | None) -> None:
        self._protocol.metadata = ConversationMetadata(conversation_id=value) if value is not None else None

    @property
    def _last_interrupt_id(self) -> int:
        return self._protocol.last_interruption_id

    @_last_interrupt_id.setter
    def _last_interrupt_id(self, value: int) -> None:
        self._protocol.last_interruption_id = value

    # ----------------------------------------------------------------------- one message for a handler of its own

    def _handle_message_core(self, message: dict[str, Any], message_handler: Any) -> None:
        """Has `message_handler`, an object as the original's, do what a message asks for (protocol.md 5.9)."""
        for name, arguments in self._handling(message, message_handler):
            getattr(message_handler, name)(*arguments)

    async def _handle_message_core_async(self, message: dict[str, Any], message_handler: Any) -> None:
        for name, arguments in self._handling(message, message_handler):
            result = getattr(message_handler, name)(*arguments)
            if inspect.isawaitable(result):
                await result

    def _handling(self, message: dict[str, Any], message_handler: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
        protocol = self._protocol
        try:
            events = protocol.receive(json.dumps(message))
        except RemoteProtocolError:
            logger.warning("a message of the server was ignored", exc_info=True)
            return
        protocol.messages_to_send()  # the pong: here the handler sends it
        for event in events:
            match event:
                case AgentAudio():
                    yield "handle_audio_output", (event.audio,)
                case Interruption():
                    yield "handle_interruption", ()
                case Ping():
                    yield "handle_ping", (message["ping_event"],)
                case ClientToolCall():
                    call_id = {"tool_call_id": event.tool_call_id}
                    yield "handle_client_tool_call", (event.tool_name, call_id | event.parameters | call_id)
                case _:
                    pass
            wanted = callback(event)
            if wanted is not None and getattr(message_handler, wanted.name, None):
                yield wanted.name.replace("callback_", "handle_", 1), wanted.arguments

    def _multimodal(self, text: str | None, file_id: str | None, file_ids: Sequence[str] | None) -> MultimodalMessage:
        if not text and not file_id and not file_ids:
            raise ValueError(_NOTHING_SAID)
        return MultimodalMessage(
            text=text or None, file_ids=list(file_ids) if file_ids else [file_id] if file_id else []
        )

    def _feedback(self, score: Literal["like", "dislike"] | None, event_id: int | None) -> Feedback:
        event_id = event_id if event_id is not None else self._protocol.last_response_id
        if event_id is None:
            raise ValueError("there is no agent response to give feedback on")
        return Feedback(event_id=event_id, score=score)


async def _signed_later(answer: Awaitable[Any]) -> str:
    return address.with_source((await answer).signed_url)


class Conversation(BaseConversation):
    """A conversation with an agent, in threads of its own.

    `client` says where the server is: an `Antiphon`, or the original's `ElevenLabs` or `AsyncElevenLabs`.
    `requires_auth`: ask it for a signed URL first. Without an `audio_interface` the conversation is held in text.
    `on_prem_config`: the conversation is held with an orchestrator of one's own, which may require the client's key.

    Callbacks are called one after another in a thread of theirs, apart from the conversation: one that is slow or
    raises delays and ends nothing else. `on_event` is called with every event, `on_error` with what callbacks raise and
    with messages that cannot be understood; `for event in conversation` yields the events too, until the end.

    `strict_audio_gate`: tell stale audio as elevenlabs 2.78.0 does, see ClientProtocol.

    A conversation that has ended can be started again. `with` starts it and ends it.
    """

    _connection: thread_connection.ThreadConnection | None = None
    _thread: threading.Thread | None = None
    _ws: Any = None
    _audio_started: bool = False

    def __init__(
        self,
        client: Any,
        agent_id: str,
        user_id: str | None = None,
        *,
        requires_auth: bool,
        audio_interface: AudioInterface | None = None,
        config: ConversationInitiationData | None = None,
        client_tools: ClientTools | None = None,
        callback_agent_response: Callable[[str], Any] | None = None,
        callback_agent_response_correction: Callable[[str, str], Any] | None = None,
        callback_agent_chat_response_part: Callable[[str, AgentChatResponsePartType], Any] | None = None,
        callback_user_transcript: Callable[[str], Any] | None = None,
        callback_latency_measurement: Callable[[int], Any] | None = None,
        callback_audio_alignment: Callable[[AudioEventAlignment], Any] | None = None,
        callback_end_session: Callable[[], Any] | None = None,
        callback_disconnect: Callable[[DisconnectionDetails], Any] | None = None,
        on_prem_config: OnPremInitiationData | None = None,
        environment: str | None = None,
        on_event: Callable[[ServerEvent], Any] | None = None,
        on_error: Callable[[Exception], Any] | None = None,
        strict_audio_gate: bool = False,
        orchestrator_config: OrchestratorConfig | None = None,
    ) -> None:
        self._set_callbacks(
            callback_agent_response=callback_agent_response,
            callback_agent_response_correction=callback_agent_response_correction,
            callback_agent_chat_response_part=callback_agent_chat_response_part,
            callback_user_transcript=callback_user_transcript,
            callback_latency_measurement=callback_latency_measurement,
            callback_audio_alignment=callback_audio_alignment,
            callback_end_session=callback_end_session,
            callback_disconnect=callback_disconnect,
            on_event=on_event,
            on_error=on_error,
        )
        self.strict_audio_gate = strict_audio_gate
        super().__init__(
            client,
            agent_id,
            user_id,
            requires_auth=requires_auth,
            audio_interface=audio_interface,
            config=config,
            client_tools=client_tools,
            on_prem_config=on_prem_config or orchestrator_config,
            environment=environment,
        )

    @functools.cached_property
    def _should_stop(self) -> threading.Event:
        return threading.Event()

    # ------------------------------------------------------------------------------------------ from start to end

    def start_session(self) -> None:
        """Begins the conversation. It need not be connected yet when this returns; what is sent meanwhile waits.

        Raises:
            SessionError: it is running, or the server gave no signed URL.
            AuthError: a signed URL was refused.
            NotFoundError: there is no such agent to sign for.
        """
        if self._connection is not None and not self._connection.over:
            raise SessionError("the session is running already")
        url = self._signed_url() if self._needs_signed_url() else self._get_wss_url()
        self._should_stop.clear()
        self._connection = running = thread_connection.ThreadConnection(
            self._open_protocol,
            connect=connect,
            audio_interface=self.audio_interface,
            client_tools=self.client_tools,
            find_callback=self._find_callback,
            is_muted=lambda: self.muted,
            resume=self.resume_url,
            on_socket=self._take_socket,
            on_end=self._should_stop.set,
            on_message=self._on_message if self._handles_messages(Conversation) else None,
            headers=self._headers(),
        )
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._hold, url, running), name="antiphon-conversation"
        )
        self._thread.start()

    def connected(self, timeout: float | None = None) -> str:
        """The conversation's id, as soon as the server has accepted the conversation and named it.

        Raises:
            SessionError: it was not started, or it ended before that.
            TimeoutError: neither happened within `timeout` seconds.
        """
        running = self._started()
        if not running.settled.wait(timeout):
            raise TimeoutError(f"the server has not named the conversation within {timeout} s")
        return _named(self.conversation_id, running.details, running.failure)

    wait_until_connected = connected

    def end_session(self) -> None:
        """Ends the conversation. Returns when the socket is closed, after 50 ms at most; may be called anywhere.

        What was received before is still delivered to callbacks: wait_for_session_end() waits for that too.
        """
        self._end_session(DisconnectionDetails("user"))

    def wait_for_session_end(self, timeout: float | None = None) -> str | None:
        """The conversation's id, or None if the server never named it, once all is over.

        Raises:
            SessionError: it was not started, or this is called in a callback, which is part of what is waited for.
            TimeoutError: it still goes on after `timeout` seconds.
        """
        thread = self._thread
        if not thread:
            raise SessionError(_NOT_STARTED)
        if thread is threading.current_thread() or (self._connection is not None and self._connection.is_callback()):
            raise SessionError("cannot join current thread")
        thread.join(timeout)
        if thread.is_alive():
            raise TimeoutError(f"the session has not ended within {timeout} s")
        return self.conversation_id

    def __enter__(self) -> Conversation:
        self.start_session()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end_session()
        if self._thread is not None:
            self._thread.join()

    def __iter__(self) -> Iterator[ServerEvent]:
        return iter(self._started().events)

    def resume_url(self, details: DisconnectionDetails) -> str | None:
        """Called when the socket was lost without a close frame: the address to go on at, or None to end.

        None by default: the protocol has no resumption. A subclass whose server has one returns its URL, and may block
        to wait. The initiation is sent again; what the new socket says of the conversation's id counts from then on.
        """
        return None

    # ---------------------------------------------------------------------------------------------- what is said

    def send(self, event: ClientEvent) -> None:
        """Sends any event of the protocol; the methods below are shorter.

        Raises:
            SessionError: the session was not started or has ended.
        """
        running = self._connection
        if self._ws and (running is None or self._ws is not running.socket):  # a subclass runs its own
            self._ws.send(codec.encode_client(event))
        else:
            self._started().send(event)

    def send_user_message(self, text: str) -> None:
        """A finished user turn, typed: interrupts the agent and is answered."""
        self.send(UserMessage(text=text))

    def register_user_activity(self) -> None:
        """Tells the agent that the user is busy, so that it does not speak up."""
        self.send(UserActivity())

    def send_contextual_update(self, text: str, *, context_id: str | None = None) -> None:
        """Background for the agent, not answered. Of one `context_id` only the newest counts."""
        self.send(ContextualUpdate(text=text, context_id=context_id))

    def send_multimodal_message(
        self, text: str | None = None, file_id: str | None = None, file_ids: Sequence[str] | None = None
    ) -> None:
        """A user turn with uploaded files. `file_ids` wins over `file_id`.

        Raises:
            SessionError: the session was not started or has ended.
            ValueError: there is neither text nor file.
        """
        if not self._ws:
            self._started()
        self.send(self._multimodal(text, file_id, file_ids))

    def send_feedback(self, score: Literal["like", "dislike"] | None, event_id: int | None = None) -> None:
        """What the user thinks of an agent response, by default of the newest; None takes it back.

        Raises:
            ValueError: there is no response yet.
        """
        self.send(self._feedback(score, event_id))

    def approve_mcp_tool(self, tool_call_id: str, approved: bool = True) -> None:
        """The user's yes or no to an MCP tool call whose state is `awaiting_approval`."""
        self.send(McpToolApprovalResult(tool_call_id=tool_call_id, is_approved=approved))

    # ----------------------------------------------------------------------------------------------------- inside

    def _run(self, ws_url: str) -> None:
        self._started().run(ws_url)

    def _hold(self, url: str, running: thread_connection.ThreadConnection) -> None:
        runs_its_own = type(self)._run is not Conversation._run  # noqa: SLF001
        try:
            if runs_its_own:
                running.attach()
            self._run(url)
        except Exception as error:
            logger.exception("Error running conversation: %s", error)
            running.end(DisconnectionDetails("error", message=str(error)))
        finally:
            running.finish(stop_audio=runs_its_own)

    def _end_session(self, details: DisconnectionDetails) -> None:
        self._should_stop.set()
        if self._connection is not None:
            if self._ws and self._connection.socket is None:
                self._connection.socket = self._ws  # of a subclass that runs its own: it is closed, too
            self._connection.end(details)

    def _handle_message(self, message: dict[str, Any], ws: Any) -> None:
        """Each message passes here in a subclass that overrides this; to go on with it, call `super()`."""
        self._started().take(json.dumps(message))

    def _on_message(self, text: str) -> None:
        self._handle_message(json.loads(text), self._ws)

    def _take_socket(self, socket: Any) -> None:
        self._ws = socket
        self._audio_started = socket is not None and self.audio_interface is not None

    def _signed_url(self) -> str:
        url = self._get_signed_url()
        if not inspect.isawaitable(url):
            return url
        outcome: list[str] = []
        failure: list[BaseException] = []

        def fetch() -> None:
            try:
                outcome.append(asyncio.run(cast("Any", url)))
            except BaseException as error:  # noqa: BLE001 - raised again below
                failure.append(error)

        fetching = threading.Thread(target=fetch, name="antiphon-signed-url")  # the caller may be in an event loop
        fetching.start()
        fetching.join()
        if failure:
            raise failure[0]
        return outcome[0]

    def _started(self) -> thread_connection.ThreadConnection:
        if self._connection is None:
            raise SessionError(connection.NOT_CONNECTED)
        return self._connection


class AsyncConversation(BaseConversation):
    """A conversation with an agent, on the event loop that it is started on.

    `client` says where the server is: an `Antiphon`, or the original's `ElevenLabs` or `AsyncElevenLabs`.
    `requires_auth`: ask it for a signed URL first. Without an `audio_interface` the conversation is held in text.
    `on_prem_config`: the conversation is held with an orchestrator of one's own, which may require the client's key.

    Callbacks and tools may be async functions, which run on the loop, or plain ones, which run in threads. Callbacks
    are called one after another, apart from the conversation: one that is slow or raises delays and ends nothing else.
    `on_event` is called with every event, `on_error` with what callbacks raise and with messages that cannot be
    understood; `async for event in conversation` yields the events too, until the end.

    `strict_audio_gate`: tell stale audio as elevenlabs 2.78.0 does, see ClientProtocol.

    A conversation that has ended can be started again. `async with` starts it and ends it.
    """

    _connection: connection.Connection | None = None
    _task: asyncio.Task[None] | None = None
    _ws: Any = None
    _audio_started: bool = False

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
        on_prem_config: OnPremInitiationData | None = None,
        environment: str | None = None,
        on_event: Callable[[ServerEvent], Result] | None = None,
        on_error: Callable[[Exception], Result] | None = None,
        strict_audio_gate: bool = False,
        orchestrator_config: OrchestratorConfig | None = None,
    ) -> None:
        self._set_callbacks(
            callback_agent_response=callback_agent_response,
            callback_agent_response_correction=callback_agent_response_correction,
            callback_agent_chat_response_part=callback_agent_chat_response_part,
            callback_user_transcript=callback_user_transcript,
            callback_latency_measurement=callback_latency_measurement,
            callback_audio_alignment=callback_audio_alignment,
            callback_end_session=callback_end_session,
            callback_disconnect=callback_disconnect,
            on_event=on_event,
            on_error=on_error,
        )
        self.strict_audio_gate = strict_audio_gate
        super().__init__(
            client,
            agent_id,
            user_id,
            requires_auth=requires_auth,
            audio_interface=audio_interface,
            config=config,
            client_tools=client_tools,
            on_prem_config=on_prem_config or orchestrator_config,
            environment=environment,
        )

    @functools.cached_property
    def _should_stop(self) -> asyncio.Event:
        return asyncio.Event()

    # ------------------------------------------------------------------------------------------ from start to end

    async def start_session(self) -> None:
        """Begins the conversation. It need not be connected yet when this returns; what is sent meanwhile waits.

        Raises:
            SessionError: it is running, or the server gave no signed URL.
            AuthError: a signed URL was refused.
            NotFoundError: there is no such agent to sign for.
        """
        if self._connection is not None and not self._connection.over and self._task is not None:
            raise SessionError("the session is running already")
        url = await self._signed_url() if self._needs_signed_url() else self._get_wss_url()
        self._should_stop.clear()
        self._connection = connection.Connection(
            self._open_protocol,
            connect=websockets.connect,
            audio_interface=self.audio_interface,
            client_tools=self.client_tools,
            find_callback=self._find_callback,
            is_muted=lambda: self.muted,
            resume=self.resume_url,
            on_socket=self._take_socket,
            on_end=self._should_stop.set,
            on_message=self._on_message if self._handles_messages(AsyncConversation) else None,
            headers=self._headers(),
        )
        # The one task that no TaskGroup can hold: the session outlives the call that starts it.
        self._task = asyncio.create_task(self._run(url), name="antiphon-conversation")  # noqa: TID251

    async def connected(self, timeout: float | None = None) -> str:
        """The conversation's id, as soon as the server has accepted the conversation and named it.

        Raises:
            SessionError: it was not started, or it ended before that.
            TimeoutError: neither happened within `timeout` seconds.
        """
        running = self._started()
        async with asyncio.timeout(timeout):
            await running.settled.wait()
        return _named(self.conversation_id, running.details, running.failure)

    wait_until_connected = connected

    async def end_session(self) -> None:
        """Ends the conversation. Returns when the socket is closed, after 50 ms at most; may be called anywhere.

        What was received before is still delivered to callbacks: wait_for_session_end() waits for that too.
        """
        await self._end_session(DisconnectionDetails("user"))

    async def wait_for_session_end(self, timeout: float | None = None) -> str | None:
        """The conversation's id, or None if the server never named it, once all is over. Cancelling ends the session.

        Raises:
            SessionError: it was not started.
            TimeoutError: it still goes on after `timeout` seconds.
            Exception: what kept the conversation from beginning, such as ConnectionRefusedError.
        """
        running, task = self._connection, self._task
        if running is None or task is None:
            raise SessionError(_NOT_STARTED)
        try:
            await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            if running.details is None:
                running.end(DisconnectionDetails("user"))
                await asyncio.wait({task})
            raise
        if not task.done():
            raise TimeoutError(f"the session has not ended within {timeout} s")
        if running.failure is not None:
            raise running.failure
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

    async def resume_url(self, details: DisconnectionDetails) -> str | None:
        """Called when the socket was lost without a close frame: the address to go on at, or None to end.

        None by default: the protocol has no resumption. A subclass whose server has one returns its URL, and may wait
        first. The initiation is sent again; what the new socket says of the conversation's id counts from then on.
        """
        return None

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

    async def register_user_activity(self) -> None:
        """Tells the agent that the user is busy, so that it does not speak up."""
        await self.send(UserActivity())

    async def send_contextual_update(self, text: str, *, context_id: str | None = None) -> None:
        """Background for the agent, not answered. Of one `context_id` only the newest counts."""
        await self.send(ContextualUpdate(text=text, context_id=context_id))

    async def send_multimodal_message(
        self, text: str | None = None, file_id: str | None = None, file_ids: Sequence[str] | None = None
    ) -> None:
        """A user turn with uploaded files. `file_ids` wins over `file_id`.

        Raises:
            SessionError: the session was not started or has ended.
            ValueError: there is neither text nor file.
        """
        self._started()
        await self.send(self._multimodal(text, file_id, file_ids))

    async def send_feedback(self, score: Literal["like", "dislike"] | None, event_id: int | None = None) -> None:
        """What the user thinks of an agent response, by default of the newest; None takes it back.

        Raises:
            ValueError: there is no response yet.
        """
        await self.send(self._feedback(score, event_id))

    async def approve_mcp_tool(self, tool_call_id: str, approved: bool = True) -> None:
        """The user's yes or no to an MCP tool call whose state is `awaiting_approval`."""
        await self.send(McpToolApprovalResult(tool_call_id=tool_call_id, is_approved=approved))

    # ----------------------------------------------------------------------------------------------------- inside

    async def _run(self, ws_url: str) -> None:
        await self._started().run(ws_url)

    async def _end_session(self, details: DisconnectionDetails) -> None:
        self._should_stop.set()
        if self._connection is None:
            return
        self._connection.end(details)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT):
                await self._connection.closed.wait()

    async def _handle_message(self, message: dict[str, Any], ws: Any) -> None:
        """Each message passes here in a subclass that overrides this; to go on with it, call `super()`."""
        self._started().take(json.dumps(message))

    async def _on_message(self, text: str) -> None:
        await self._handle_message(json.loads(text), self._ws)

    def _take_socket(self, socket: Any) -> None:
        self._ws = socket
        self._audio_started = socket is not None and self.audio_interface is not None

    async def _signed_url(self) -> str:
        url = await asyncio.to_thread(self._get_signed_url)
        return await url if inspect.isawaitable(url) else url

    def _started(self) -> connection.Connection:
        if self._connection is None:
            raise SessionError(connection.NOT_CONNECTED)
        return self._connection


def _named(conversation_id: str | None, details: DisconnectionDetails | None, failure: Exception | None) -> str:
    if conversation_id is not None:
        return conversation_id
    details = details or DisconnectionDetails("user")
    why = details.message or details.close_reason or f"by the {details.reason}"
    raise SessionError(f"the session ended before the agent was there: {why}") from failure


def __getattr__(name: str) -> Any:
    if name == "Connection":  # which the original imports; loading it costs more than all of this
        from websockets.sync.connection import Connection

        return Connection
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
