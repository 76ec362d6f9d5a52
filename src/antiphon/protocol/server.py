"""The server's half of the protocol, without any input or output.

`receive` takes what came in and says what the conversation should see; `send` gives the text for an event and refuses
what would break a client. The door moves the text, keeps the time and closes the socket; it needs no rule of its own.
"""

from __future__ import annotations

from collections import deque

from antiphon.errors import LocalProtocolError, ProtocolError, RemoteProtocolError

from . import codec
from . import events as ev

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"What one message of a client may weigh (protocol.md 3.4: what the original's clients accept from their server)."
TOO_BIG = 1009
"WebSocket close code for a message above that."
INTERNAL_ERROR = 1011

MAX_REASON_BYTES = 123
"A WebSocket close frame has no room for more (RFC 6455 5.5: 125, two of them for the code)."

_UNANSWERED_PINGS = 32
"Pings whose answer is still waited for; a pong to an older one is too late to say anything."
_ROUND_TRIPS = 3
"Newest round trips that the estimate looks at: their median forgives one late answer and is up to date two pings on."

_BEFORE_METADATA = (ev.ErrorEvent, ev.ClientErrorEvent, ev.QueueStatus)
"What a client may be told before its conversation exists: that it has to wait, or why there will be none."

_ERROR_CODES = frozenset({1000, 1002, 1008, 1011})
"Codes that the contract allows inside an `error` message (WebSocketCloseCode); the close frame may say more."

# ------------------------------------------------------------------------------------------------------ protocol


class ServerProtocol:
    """One conversation on one socket. `metadata` has to be sent before anything else: `send(protocol.metadata)`."""

    def __init__(self, metadata: ev.ConversationMetadata) -> None:
        self.metadata = metadata
        self._announced = False
        self._initiated = False
        self._newest_audio = 0
        self._newest_interruption = 0
        self._ping_ids = EventIds()
        self._unanswered: dict[int, float] = {}
        "Ping id -> when it was made, oldest first."
        self._round_trips: deque[float] = deque(maxlen=_ROUND_TRIPS)

    def receive(self, text: str, now: float) -> ev.ClientEvent | None:
        """What the client said; None for what is of no consequence to anybody.

        A pong is accounted for here and returned all the same, so that the journal can have it. Late, repeated and
        unknown pongs change nothing: clients delay them on purpose (protocol.md C2). An initiation is returned once; a
        second one says nothing new, because a conversation's configuration is settled by the first, and no client is
        known to send it, so it is dropped rather than punished.

        Raises:
            RemoteProtocolError: the message is too big (close code 1009) or cannot be understood.
        """
        if _exceeds(text, MAX_MESSAGE_BYTES):
            raise RemoteProtocolError("a message of more than 16 MiB", close_code=TOO_BIG)
        event = codec.decode_client(text)
        if isinstance(event, ev.Pong):
            self._answered(event, now)
        elif isinstance(event, ev.ConversationInitiation):
            if self._initiated:
                return None
            self._initiated = True
        return event

    def send(self, event: ev.ServerEvent) -> str:
        """The text of an event, to be handed to the transport in the order of the calls.

        Raises:
            LocalProtocolError: a client would misunderstand it. The metadata comes first and once; ids start at 1; an
                interruption's id lies strictly above all audio before it and strictly below all audio after it
                (protocol.md 1.4). Nothing has changed: the conversation may go on without the event.
        """
        if type(event) is ev.AgentAudio:
            self._check_audio(event)
        else:
            self._check(event)
        text = codec.encode_server(event)
        match event:
            case ev.AgentAudio():
                self._newest_audio = max(self._newest_audio, event.event_id)
            case ev.Interruption():
                self._newest_interruption = event.event_id
            case ev.ConversationMetadata():
                self._announced = True
            case _:
                pass
        return text

    def _check_audio(self, event: ev.AgentAudio) -> None:
        if not self._announced:
            raise LocalProtocolError("audio before the conversation's metadata")
        if event.event_id < 1:
            raise LocalProtocolError(f"audio {event.event_id}: event ids start at 1")
        if event.event_id <= self._newest_interruption:
            raise LocalProtocolError(f"audio {event.event_id} is not above interruption {self._newest_interruption}")

    def _check(self, event: ev.ServerEvent) -> None:
        if isinstance(event, ev.ConversationMetadata):
            if self._announced:
                raise LocalProtocolError("the metadata is sent once")
            if event != self.metadata:
                raise LocalProtocolError("the metadata of another conversation")
        elif not self._announced and not isinstance(event, _BEFORE_METADATA):
            raise LocalProtocolError(f"{codec.wire_type(event)} before the conversation's metadata")
        event_id = getattr(event, "event_id", None)
        if isinstance(event_id, int) and event_id < 1:
            raise LocalProtocolError(f"{codec.wire_type(event)} {event_id}: event ids start at 1")
        if isinstance(event, ev.Interruption):
            newest = max(self._newest_audio, self._newest_interruption)
            if event.event_id <= newest:
                raise LocalProtocolError(f"interruption {event.event_id} is not above {newest}, which was sent")

    # --------------------------------------------------------------------------------------------- round trips

    def ping(self, now: float) -> ev.Ping:
        """The next ping, for `send`, with what the newest answers say of the round trip. Its ids are its own."""
        event_id = self._ping_ids.next()
        self._unanswered[event_id] = now
        if len(self._unanswered) > _UNANSWERED_PINGS:
            del self._unanswered[next(iter(self._unanswered))]
        round_trip = self.round_trip
        return ev.Ping(event_id=event_id, ping_ms=None if round_trip is None else round(round_trip * 1000))

    @property
    def round_trip(self) -> float | None:
        """Seconds from a ping to its pong, lately; None before the first pong."""
        if not self._round_trips:
            return None
        return sorted(self._round_trips)[len(self._round_trips) // 2]

    def _answered(self, pong: ev.Pong, now: float) -> None:
        sent = self._unanswered.pop(pong.event_id, None) if pong.event_id is not None else None
        if sent is not None:
            self._round_trips.append(max(0.0, now - sent))


def _exceeds(text: str, size: int) -> bool:
    """Whether a text has more UTF-8 bytes than `size`; nearly always known without encoding it."""
    if text.isascii() or len(text) > size:
        return len(text) > size
    return len(text) * 4 > size and len(text.encode("utf-8", "surrogatepass")) > size


# ----------------------------------------------------------------------------------------------------------- ids


class EventIds:
    """The ids of one conversation's events: 1, 2, 3, ... One counter for all kinds but pings (protocol.md 1.4)."""

    def __init__(self) -> None:
        self._newest = 0

    def next(self) -> int:
        """An id above every one before it."""
        self._newest += 1
        return self._newest


_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
"Crockford's base 32, as in the original's ids; nothing in it needs quoting in a URL or a file name."


def conversation_id(random_bits: int) -> str:
    """A conversation's name: `conv_` and 32 letters and digits. `random_bits` has 160 of them, from the caller."""
    if not 0 <= random_bits < 1 << 160:
        raise ValueError("a conversation id is made of 160 bits")
    return "conv_" + "".join(_DIGITS[random_bits >> shift & 31] for shift in range(155, -1, -5))


# ------------------------------------------------------------------------------------------------------- closing


def close_reason(text: str) -> str:
    """A sentence as a close frame can carry it: its beginning, at most 123 bytes of UTF-8, no character split."""
    return text.encode("utf-8", "replace")[:MAX_REASON_BYTES].decode("utf-8", "ignore")


def refusal(error: ProtocolError) -> tuple[ev.ErrorEvent, int, str]:
    """How to end a conversation over a broken rule: the message to send first, then the close code and its reason.

    What the peer did is told to it. What we did (LocalProtocolError) is our own affair: the peer learns that something
    went wrong here. The message's code is one that the contract knows, the close frame's the exact one.
    """
    if isinstance(error, LocalProtocolError):
        code, error_type, message = INTERNAL_ERROR, "unknown_websocket_crash", "internal error"
    else:
        code, error_type, message = error.close_code, error.error_type, str(error)
    return ev.ErrorEvent(code=error_code(code), message=message, error_type=error_type), code, close_reason(message)


def error_code(close_code: int) -> int:
    """The code inside an `error` message for a close code: of those that the contract allows, the nearest."""
    return close_code if close_code in _ERROR_CODES else 1008 if close_code == TOO_BIG else 1002
