"""The client's half of the protocol, without any input or output.

`receive` takes what came in and says what the application should see; `send` takes what the application says; whatever
has to go out, answers to pings included, waits in `messages_to_send`. A shell moves the text; it needs no rule of its
own. `callback` names the application's callback for an event and its arguments, so that every shell calls them alike.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from antiphon.errors import LocalProtocolError

from . import codec
from . import events as ev

# ------------------------------------------------------------------------------------------------------ protocol


class ClientProtocol:
    """One conversation, from `open` to the closing of the socket.

    `strict_audio_gate`: judge stale audio as elevenlabs 2.78.0 does instead of as protocol.md 1.4 recommends.
    """

    def __init__(self, *, strict_audio_gate: bool = False) -> None:
        self.strict_audio_gate = strict_audio_gate
        self.metadata: ev.ConversationMetadata | None = None
        "What the server announced; None until then. The first announcement counts, a second one changes nothing."
        self.last_interruption_id = 0
        self.last_response_id: int | None = None
        "Id of the newest AgentResponse: what a Feedback without an id of its own is about."
        self._opened = False
        self._outgoing: list[str] = []
        # Without a bound: a peer that stops reading is cut off by the WebSocket keepalive after 40 s, and what a
        # microphone hears in that time is about 2 MB.

    @property
    def conversation_id(self) -> str | None:
        """The server's name for this conversation; None before its metadata."""
        return self.metadata.conversation_id if self.metadata is not None else None

    def open(
        self, initiation: ev.ConversationInitiation, setup: ev.EnclaveSetup | ev.UnknownEvent | None = None
    ) -> None:
        """Queues the client's first words. To be called once, before anything is sent.

        Raises:
            LocalProtocolError: the conversation is open already.
        """
        if self._opened:
            raise LocalProtocolError("a conversation is initiated once")
        self._opened = True
        if setup is not None:
            self.send(setup)
        self.send(initiation)

    def send(self, event: ev.ClientEvent) -> None:
        """Queues one event.

        Raises:
            LocalProtocolError: the initiation has to come first.
        """
        if not self._opened:
            raise LocalProtocolError("nothing may be sent before the initiation")
        self._outgoing.append(codec.encode_client(event))

    def messages_to_send(self) -> list[str]:
        """What has to go out now, in order; each message is handed out once."""
        messages, self._outgoing = self._outgoing, []
        return messages

    def receive(self, text: str) -> list[ev.ServerEvent]:
        """The events that the application should see, in order; stale audio is not among them.

        A ping is answered here. An unknown message is an UnknownEvent.

        Raises:
            RemoteProtocolError: the message cannot be understood. The conversation goes on: nothing has changed.
        """
        event = codec.decode_server(text)
        match event:
            case ev.AgentAudio():
                return [] if self._is_stale(event) else [event]
            case ev.Ping():
                self.send(ev.Pong(event_id=event.event_id))
            case ev.Interruption() if self.strict_audio_gate:
                self.last_interruption_id = event.event_id
            case ev.Interruption():
                self.last_interruption_id = max(self.last_interruption_id, event.event_id)
            case ev.AgentResponse():
                self.last_response_id = event.event_id
            case ev.ConversationMetadata() if self.metadata is None:
                self.metadata = event
            case _:
                pass
        return [event]

    def _is_stale(self, audio: ev.AgentAudio) -> bool:
        """Audio of a reply that was interrupted (protocol.md 1.4).

        The answer to a multimodal message may share its id with the interruption before it (elevenlabs-python issue
        829), so only a strictly lower id is stale; the official Python gate drops the equal one too.
        """
        if self.strict_audio_gate:
            return audio.event_id <= self.last_interruption_id
        return audio.event_id < self.last_interruption_id


# ----------------------------------------------------------------------------------------------------- callbacks


class AgentChatResponsePartType(str, enum.Enum):  # noqa: UP042 - printed as the original prints it
    """What a piece of a streamed text answer is."""

    START = "start"
    DELTA = "delta"
    STOP = "stop"


@dataclass
class AudioEventAlignment:
    """When each character of a piece of speech sounds: three lists of one length, in milliseconds from its start."""

    chars: list[str]
    char_start_times_ms: list[int]
    char_durations_ms: list[int]


class Call(NamedTuple):
    """A callback that an event asks for: the application's name for it, and its arguments."""

    name: str
    arguments: tuple[Any, ...]


Arguments: TypeAlias = Callable[[Any], "tuple[Any, ...] | None"]


def _latency(ping: ev.Ping) -> tuple[int] | None:
    return (int(ping.ping_ms),) if ping.ping_ms else None


def _alignment(audio: ev.AgentAudio) -> tuple[AudioEventAlignment] | None:
    if audio.alignment is None:
        return None
    times = audio.alignment
    return (AudioEventAlignment(times.chars, times.char_start_times_ms, times.char_durations_ms),)


def _chat_part(part: ev.AgentChatResponsePart) -> tuple[str, AgentChatResponsePartType]:
    return part.text, AgentChatResponsePartType(part.part)


_CALLBACKS: dict[type[Any], tuple[str, Arguments]] = {
    ev.AgentResponse: ("callback_agent_response", lambda event: (event.text.strip(),)),
    ev.AgentResponseCorrection: (
        "callback_agent_response_correction",
        lambda event: (event.original.strip(), event.corrected.strip()),
    ),
    ev.AgentChatResponsePart: ("callback_agent_chat_response_part", _chat_part),
    ev.UserTranscript: ("callback_user_transcript", lambda event: (event.text.strip(),)),
    ev.Ping: ("callback_latency_measurement", _latency),
    ev.AgentAudio: ("callback_audio_alignment", _alignment),
}
"Event -> its callback and how to get the arguments; None: this one event calls nobody (protocol.md 5.2)."


def callback(event: ev.ServerEvent) -> Call | None:
    """The callback that belongs to an event, with its arguments; None where there is none."""
    name, arguments = _CALLBACKS.get(type(event), ("", None))
    values = arguments(event) if arguments is not None else None
    return Call(name, values) if values is not None else None
