"""A conversation as one of LlamaIndex's voice agents."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import suppress
from statistics import mean
from typing import Any, TypeVar

from antiphon.client.audio_interface import AudioInterface
from antiphon.client.initiation import ConversationInitiationData
from antiphon.client.tools import ClientTools
from antiphon.conversational_ai.conversation import Conversation
from antiphon.errors import SessionError
from antiphon.protocol.events import ClientEvent, UserAudio, UserMessage

from . import chat, core, events
from .interface import ElevenLabsVoiceAgentInterface
from .tools import register

logger = logging.getLogger(__name__)

_BaseVoiceAgent: Any = core.voice_agents.BaseVoiceAgent
E = TypeVar("E", bound=events.VoiceAgentEvent)


class _Done:
    """What a method returns that has done its work: it may be awaited, and need not be."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


_DONE = _Done()


class ElevenLabsVoiceAgent(Conversation, _BaseVoiceAgent):
    """A spoken conversation that LlamaIndex can start, watch and give tools to. It is a `Conversation` in all else.

    `client`: an `Antiphon`, or the original's client. `interface`: any AudioInterface; by default the computer's
    microphone and loudspeaker. `tools`: any of LlamaIndex's; the agent's configuration has to name them
    (`tool_definitions`). `keep_audio=False`: neither messages nor events hold sound, of which a minute is 5 MB.
    `options`: whatever else `Conversation` takes, such as `user_id` and callbacks.

    `start`, `stop`, `send`, `interrupt` and `handle_message` may be called with `await`, as LlamaIndex declares them,
    or without it, as its own ElevenLabs package has them. Where an event loop runs, `start` and `stop` work in a thread
    until what they return is awaited.

    Raises:
        ImportError: no `interface` is given, and there is no package for sound devices.
        ValueError: two tools have the same name.
    """

    def __init__(
        self,
        client: Any,
        agent_id: str,
        requires_auth: bool,
        interface: AudioInterface | None = None,
        config: ConversationInitiationData | None = None,
        tools: Iterable[Any] | None = None,
        *,
        client_tools: ClientTools | None = None,
        keep_audio: bool = True,
        **options: Any,
    ) -> None:
        tools = list(tools or ())
        interface = interface or ElevenLabsVoiceAgentInterface()
        client_tools = client_tools or ClientTools()
        register(client_tools, tools)
        Conversation.__init__(
            self,
            client,
            agent_id,
            requires_auth=requires_auth,
            audio_interface=interface,
            config=config,
            client_tools=client_tools,
            **options,
        )
        _BaseVoiceAgent.__init__(self, interface=interface, tools=tools)
        self.keep_audio = keep_audio
        self._keeping = threading.Lock()
        self._typed: str | None = None
        self._latencies: list[int] = []
        self._all_chat: chat.Turns = {}
        self._current_message_id = 0
        self._callback_agent_response: Callable[..., None] = chat.add_agent_message
        self._callback_agent_response_correction: Callable[..., None] = chat.correct_agent_message
        self._callback_user_transcript: Callable[..., None] = chat.add_user_message
        self._callback_latency_measurement: Callable[..., None] = chat.add_latency

    @property
    def interface(self) -> Any:
        """The audio interface: the conversation's own `audio_interface`."""
        return self.audio_interface

    @interface.setter
    def interface(self, value: Any) -> None:
        self.audio_interface = value

    # ------------------------------------------------------------------------------------------ LlamaIndex's methods

    def start(self, *args: Any, **kwargs: Any) -> Awaitable[None]:
        """Begins the conversation; see Conversation.start_session. What is said then adds to what was said before."""
        return _finish(self.start_session)

    def stop(self) -> Awaitable[None]:
        """Ends the conversation, and waits until all is over, except in a callback. Without a conversation: nothing."""
        return _finish(self._stop)

    def interrupt(self) -> Awaitable[None]:
        """Falls silent, and forgets what was waiting to be played. The agent is not told: to it, say something."""
        self.audio_interface.interrupt()
        return _DONE

    def send(self, audio: bytes | str | ClientEvent, *args: Any, **kwargs: Any) -> Awaitable[None]:  # pyright: ignore[reportIncompatibleMethodOverride] - LlamaIndex has this name for audio
        """Says a piece of audio in the conversation's input format, base64 where it is text; or sends any event.

        Raises:
            SessionError: the session was not started or has ended.
            ValueError: the text is not base64.
        """
        if isinstance(audio, str):
            audio = base64.b64decode(audio, validate=True)
        super().send(UserAudio(bytes(audio)) if isinstance(audio, bytes | bytearray | memoryview) else audio)
        if isinstance(audio, UserMessage) and audio.text:
            self._typed = audio.text.strip()
            with self._keeping:
                self._begin_turn(self._typed)
        return _DONE

    def handle_message(self, message: dict[str, Any], *args: Any, **kwargs: Any) -> Awaitable[None]:
        """Does what a message of the server asks for, and keeps it. Every message passes here.

        Raises:
            SessionError: the session was not started.
        """
        running = self._started()
        try:
            with self._keeping:
                self._keep(message)
        except Exception as error:
            logger.exception("a message could not be kept")
            running.report(error)
        super()._handle_message(message, self._ws)
        return _DONE

    def events(self, kind: type[E] = events.VoiceAgentEvent) -> list[E]:
        """The events of one class, in order; of VoiceAgentEvent: all."""
        return [event for event in self._events if isinstance(event, kind)]

    @property
    def average_latency(self) -> float:
        """Milliseconds from the server to here and back, on average; 0 before any was measured."""
        return mean(self._latencies) if self._latencies else 0

    # ------------------------------------------------------------------------------------------------------- inside

    def _stop(self) -> None:
        self.end_session()
        with suppress(SessionError):  # there was none, or this is a callback
            self.wait_for_session_end()

    def _handle_message(self, message: dict[str, Any], ws: Any) -> None:
        result: Any = self.handle_message(message, ws)
        if inspect.iscoroutine(result):  # of a subclass
            asyncio.run(result)

    def _keep(self, message: dict[str, Any]) -> None:
        event: Any = events.event_of(message)
        turn: dict[str, Any] = {"messages": self._all_chat, "message_id": self._current_message_id}
        match event:
            case events.AudioEvent():
                if not self.keep_audio:
                    event.base_64_encoded_audio = ""
                elif not self._is_stale(event):
                    audio, audio_format = event.base_64_encoded_audio.encode(), self.agent_output_audio_format
                    self._callback_agent_response(**turn, audio=audio, audio_format=audio_format or "pcm_16000")
            case events.AgentResponseEvent():
                self._callback_agent_response(**turn, text=event.agent_response.strip())
            case events.AgentResponseCorrectionEvent():
                heard, said = event.corrected_agent_response.strip(), event.original_agent_response.strip()
                self._callback_agent_response_correction(**turn, text=heard, original=said)
            case events.UserTranscriptionEvent():
                text, typed, self._typed = event.user_transcript.strip(), self._typed, None
                if text != typed:  # else the server repeats what was typed, which most do not
                    self._begin_turn(text)
            case events.PingEvent(ping_ms=float(latency)):
                self._callback_latency_measurement(self._latencies, int(latency))
            case events.ClientToolCallEvent():
                called = f"Calling tool: {event.tool_name} with parameters: {event.parameters}"
                self._callback_agent_response(**turn, text=called)
            case _:
                pass
        self._events.append(event)
        if not isinstance(event, events.PingEvent):
            self._gather()

    def _begin_turn(self, text: str) -> None:
        self._current_message_id += 1
        self._callback_user_transcript(messages=self._all_chat, message_id=self._current_message_id, text=text)
        self._gather()

    def _gather(self) -> None:
        self._messages = [message for turn in self._all_chat.values() for message in turn]

    def _is_stale(self, audio: events.AudioEvent) -> bool:
        """Whether it is not played: ClientProtocol's rule."""
        try:
            event_id = int(getattr(audio, "event_id", 0))
        except (TypeError, ValueError):
            return False
        last = self._last_interrupt_id
        return event_id <= last if self.strict_audio_gate else event_id < last


def _finish(work: Callable[[], None]) -> Awaitable[None]:
    """Has it done before this returns; in an event loop, which must not be kept waiting, before that is awaited."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        work()
        return _DONE
    return loop.run_in_executor(None, contextvars.copy_context().run, work)
