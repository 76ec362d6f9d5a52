"""The server's half: what it takes from clients, and what it never lets out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from antiphon.protocol import codec, server
from antiphon.protocol import events as ev
from antiphon.protocol.server import (
    MAX_MESSAGE_BYTES,
    EventIds,
    ServerProtocol,
    close_reason,
    conversation_id,
    refusal,
)

METADATA = ev.ConversationMetadata(conversation_id="conv_1")


@pytest.fixture
def fresh() -> ServerProtocol:
    """A conversation in which nothing has been said."""
    return ServerProtocol(METADATA)


@pytest.fixture
def protocol(fresh: ServerProtocol) -> ServerProtocol:
    """A conversation whose metadata is out."""
    fresh.send(METADATA)
    return fresh


def audio(event_id: int) -> ev.AgentAudio:
    return ev.AgentAudio(audio=b"\x00\x00", event_id=event_id)


def pong(event_id: Any) -> str:
    return json.dumps({"type": "pong", "event_id": event_id})


# ------------------------------------------------------------------------------------------------------ metadata


@pytest.mark.parametrize(
    "event",
    [
        audio(1),
        ev.Ping(event_id=1),
        ev.AgentResponse(text="hi", event_id=1),
        ev.Interruption(event_id=1),
        ev.UnknownEvent({"type": "hologram"}),
    ],
)
def test_nothing_goes_before_the_metadata(fresh: ServerProtocol, event: ev.ServerEvent) -> None:
    """Clients read the conversation's id from the first message (protocol.md S1)."""
    with pytest.raises(LocalProtocolError, match="before the conversation's metadata"):
        fresh.send(event)
    fresh.send(METADATA)
    fresh.send(event)


def test_the_metadata_goes_once(protocol: ServerProtocol) -> None:
    """A second one ends the original's session (clients.md)."""
    with pytest.raises(LocalProtocolError, match="once"):
        protocol.send(METADATA)


def test_the_metadata_is_this_conversation_s(fresh: ServerProtocol) -> None:
    """The door and the session cannot announce different ones."""
    with pytest.raises(LocalProtocolError, match="another conversation"):
        fresh.send(ev.ConversationMetadata(conversation_id="conv_2"))
    assert (
        json.loads(fresh.send(fresh.metadata))["conversation_initiation_metadata_event"]["conversation_id"] == "conv_1"
    )


@pytest.mark.parametrize(
    "event",
    [ev.ErrorEvent(code=1008), ev.ClientErrorEvent(code=1008), ev.QueueStatus(status="waiting")],
)
def test_a_refusal_needs_no_metadata(fresh: ServerProtocol, event: ev.ServerEvent) -> None:
    """There will be no conversation, or not yet; and if there is one after all, it begins as ever."""
    fresh.send(event)
    fresh.send(METADATA)


# ----------------------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize(
    "event",
    [
        audio(0),
        audio(-1),
        ev.UserTranscript(text="hi"),
        ev.AgentResponse(text="hi"),
        ev.AgentResponseCorrection(original="a b", corrected="a"),
        ev.AgentChatResponsePart(text="a"),
        ev.Interruption(event_id=0),
        ev.ClientToolCall(tool_name="t", tool_call_id="c"),
        ev.TurnWaterfall(event_id=0),
    ],
)
def test_ids_start_at_one(protocol: ServerProtocol, event: ev.ServerEvent) -> None:
    """Audio 0 is silently not played by the original; a forgotten id is 0 everywhere (clients.md)."""
    with pytest.raises(LocalProtocolError, match="ids start at 1"):
        protocol.send(event)


def test_an_interruption_lies_above_all_audio_before_it(protocol: ServerProtocol) -> None:
    """Not equal either: the two official clients disagree about that (protocol.md 1.4)."""
    protocol.send(audio(4))
    protocol.send(audio(7))
    for event_id in (4, 6, 7):
        with pytest.raises(LocalProtocolError, match="not above 7"):
            protocol.send(ev.Interruption(event_id=event_id))
    protocol.send(ev.Interruption(event_id=8))


def test_an_interruption_lies_below_all_audio_after_it(protocol: ServerProtocol) -> None:
    """Or clients would throw the answer away with what it interrupted."""
    protocol.send(audio(7))
    protocol.send(ev.Interruption(event_id=9))
    for event_id in (8, 9):
        with pytest.raises(LocalProtocolError, match="not above interruption 9"):
            protocol.send(audio(event_id))
    protocol.send(audio(10))


def test_interruptions_rise(protocol: ServerProtocol) -> None:
    """A falling one would let stale audio in again (measured: elevenlabs 2.78.0)."""
    protocol.send(ev.Interruption(event_id=5))
    for event_id in (3, 5):
        with pytest.raises(LocalProtocolError, match="not above 5"):
            protocol.send(ev.Interruption(event_id=event_id))
    protocol.send(ev.Interruption(event_id=6))


def test_a_refused_event_leaves_no_trace(protocol: ServerProtocol) -> None:
    """Nothing went out, so nothing follows from it."""
    protocol.send(audio(2))
    broken = ev.Interruption(event_id=9, extra={"x": object()})
    with pytest.raises(LocalProtocolError, match="cannot be written"):
        protocol.send(broken)
    protocol.send(audio(3))
    protocol.send(ev.Interruption(event_id=4))


KINDS = st.sampled_from(["audio", "interruption", "text"])


@given(st.lists(st.tuples(KINDS, st.integers(-1, 12)), max_size=20))
def test_no_client_ever_loses_audio_or_hears_it_stale(script: list[tuple[str, int]]) -> None:
    """Whatever is tried, what gets through satisfies both official gates (protocol.md 1.4)."""
    protocol = ServerProtocol(METADATA)
    protocol.send(METADATA)
    python, javascript, newest_audio = 0, 0, 0
    for kind, event_id in script:
        event: ev.ServerEvent = {
            "audio": audio(event_id),
            "interruption": ev.Interruption(event_id=event_id),
            "text": ev.AgentResponse(text="hi", event_id=event_id),
        }[kind]
        try:
            protocol.send(event)
        except LocalProtocolError:
            continue
        if kind == "audio":
            assert event_id > python, "the Python gate drops it"
            assert event_id >= javascript, "the JavaScript gate drops it"
            newest_audio = max(newest_audio, event_id)
        elif kind == "interruption":
            assert event_id > newest_audio, "audio on its way would still play"
            python = javascript = event_id


# ------------------------------------------------------------------------------------------- what clients cannot take


def test_a_ping_always_has_its_round_trip_key(protocol: ServerProtocol) -> None:
    """The original stops without the key (clients.md)."""
    assert json.loads(protocol.send(protocol.ping(0.0)))["ping_event"] == {"event_id": 1, "ping_ms": None}


def test_audio_without_times_has_no_alignment(protocol: ServerProtocol) -> None:
    """A null stops the original (protocol.md 4.4)."""
    assert "alignment" not in json.loads(protocol.send(audio(1)))["audio_event"]


def test_the_parameters_of_a_tool_call_are_an_object(protocol: ServerProtocol) -> None:
    """Nothing else is survived by the original (clients.md)."""
    text = protocol.send(ev.ClientToolCall(tool_name="t", tool_call_id="c", event_id=1))
    assert json.loads(text)["client_tool_call"]["parameters"] == {}


def test_a_client_s_message_is_not_sent(protocol: ServerProtocol) -> None:
    """It would be unknown to every client."""
    with pytest.raises(LocalProtocolError, match="not a server's message"):
        protocol.send(ev.UserActivity())  # pyright: ignore[reportArgumentType]


# ---------------------------------------------------------------------------------------------------- from clients


def test_the_initiation_is_returned_once(protocol: ServerProtocol) -> None:
    """A conversation is configured once; saying it again changes nothing and costs nobody the call."""
    first = '{"type":"conversation_initiation_client_data","user_id":"u1"}'
    again = '{"type":"conversation_initiation_client_data","user_id":"u2"}'
    assert protocol.receive(first, 0.0) == ev.ConversationInitiation(user_id="u1")
    assert protocol.receive(again, 1.0) is None
    assert protocol.receive('{"type":"user_activity"}', 1.0) == ev.UserActivity()


def test_messages_come_through_before_the_metadata_is_out(fresh: ServerProtocol) -> None:
    """The original starts its microphone without waiting for it (protocol.md 1.5)."""
    assert fresh.receive('{"user_audio_chunk": "AAE="}', 0.0) == ev.UserAudio(b"\x00\x01")
    assert isinstance(fresh.receive('{"type":"conversation_initiation_client_data"}', 0.0), ev.ConversationInitiation)


def test_a_broken_message_is_the_client_s_fault(protocol: ServerProtocol) -> None:
    """And says so."""
    with pytest.raises(RemoteProtocolError) as caught:
        protocol.receive("{", 0.0)
    assert caught.value.close_code == 1008


@pytest.mark.parametrize(("character", "size"), [("a", 1), ("é", 2), ("€", 3), ("👋", 4)])
def test_a_message_may_weigh_sixteen_mebibytes(
    protocol: ServerProtocol, monkeypatch: pytest.MonkeyPatch, character: str, size: int
) -> None:
    """In bytes, not in characters (here with a smaller limit)."""
    assert MAX_MESSAGE_BYTES == 16 * 1024 * 1024
    monkeypatch.setattr(server, "MAX_MESSAGE_BYTES", 1000)
    empty = '{"type":"user_message","text":""}'
    fits = character * ((1000 - len(empty)) // size)
    assert protocol.receive(empty.replace('""', f'"{fits}"'), 0.0) == ev.UserMessage(text=fits)
    with pytest.raises(RemoteProtocolError) as caught:
        protocol.receive(empty.replace('""', f'"{fits + character}"'), 0.0)
    assert caught.value.close_code == 1009


# ------------------------------------------------------------------------------------------------------- round trips


def test_pings_have_ids_of_their_own(protocol: ServerProtocol) -> None:
    """From 1, whatever the events' ids are."""
    protocol.send(audio(50))
    assert [protocol.ping(float(now)).event_id for now in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("event_id", [1, "1", 1.0])
def test_a_pong_tells_the_round_trip(protocol: ServerProtocol, event_id: Any) -> None:
    """From the ping's making to the pong's coming, whatever kind of number the client echoes; the pong is passed on."""
    assert protocol.round_trip is None
    assert protocol.ping(10.0).ping_ms is None
    assert protocol.receive(pong(event_id), 10.048) == ev.Pong(event_id=1)
    assert protocol.round_trip == pytest.approx(0.048)
    assert protocol.ping(12.0).ping_ms == 48


def test_the_round_trip_on_the_wire_is_whole_milliseconds(protocol: ServerProtocol) -> None:
    """The contract has an integer there."""
    protocol.ping(0.0)
    protocol.receive(pong(1), 0.0123456)
    assert '"ping_ms":12}' in protocol.send(protocol.ping(1.0))


def test_the_round_trip_follows_the_newest_answers(protocol: ServerProtocol) -> None:
    """One late answer is forgiven; a line that has become slow is seen two pings later."""

    def answer(round_trip: float) -> float | None:
        ping = protocol.ping(0.0)
        protocol.receive(pong(ping.event_id), round_trip)
        return protocol.round_trip

    assert [answer(0.1), answer(0.1), answer(5.0), answer(0.1)] == [0.1, 0.1, 0.1, 0.1]
    assert [answer(0.3), answer(0.3)] == [0.3, 0.3]


def test_pongs_may_come_in_any_order(protocol: ServerProtocol) -> None:
    """Some clients delay them by the round trip that they were told (protocol.md C2)."""
    protocol.ping(0.0)
    protocol.ping(1.0)
    protocol.receive(pong(2), 1.2)
    assert protocol.round_trip == pytest.approx(0.2)
    protocol.receive(pong(1), 1.3)
    assert protocol.round_trip == pytest.approx(1.3)


@pytest.mark.parametrize("event_id", [2, 0, -1, 10**30, "7"])
def test_a_pong_to_no_ping_changes_nothing(protocol: ServerProtocol, event_id: Any) -> None:
    """It is passed on all the same."""
    protocol.ping(0.0)
    assert protocol.receive(pong(event_id), 1.0) == ev.Pong(event_id=int(event_id))
    assert protocol.round_trip is None


def test_a_second_pong_changes_nothing(protocol: ServerProtocol) -> None:
    """The first one was the answer."""
    protocol.ping(0.0)
    protocol.receive(pong(1), 0.1)
    protocol.receive(pong(1), 9.0)
    assert protocol.round_trip == pytest.approx(0.1)


def test_a_pong_without_an_id_answers_nothing(protocol: ServerProtocol) -> None:
    """It cannot be told which."""
    protocol.ping(0.0)
    assert protocol.receive('{"type":"pong"}', 1.0) == ev.Pong()
    assert protocol.round_trip is None


def test_unanswered_pings_are_forgotten_in_time(protocol: ServerProtocol) -> None:
    """A client that never answers costs no memory; it may still answer the newest."""
    for now in range(10_000):
        protocol.ping(float(now))
    assert len(protocol._unanswered) <= 32
    protocol.receive(pong(1), 10_000.0)
    assert protocol.round_trip is None
    protocol.receive(pong(10_000), 9_999.5)
    assert protocol.round_trip == pytest.approx(0.5)


def test_time_never_runs_backwards_in_a_round_trip(protocol: ServerProtocol) -> None:
    """Not even when a pong comes at the very moment of its ping."""
    protocol.ping(5.0)
    protocol.receive(pong(1), 4.999999)
    assert protocol.round_trip == 0.0


# --------------------------------------------------------------------------------------------------- ids and names


def test_event_ids_rise_from_one() -> None:
    """One counter for a whole conversation."""
    ids, others = EventIds(), EventIds()
    assert [ids.next() for _ in range(5)] == [1, 2, 3, 4, 5]
    assert others.next() == 1


@given(st.integers(0, 2**160 - 1), st.integers(0, 2**160 - 1))
def test_a_conversation_s_name_is_letters_and_digits(one: int, other: int) -> None:
    """And another one for other bits."""
    name = conversation_id(one)
    assert name.startswith("conv_")
    assert len(name) == 37
    assert name[5:].isascii()
    assert name[5:].isalnum()
    assert (conversation_id(other) == name) == (one == other)


@pytest.mark.parametrize("bits", [-1, 2**160])
def test_a_conversation_s_name_is_made_of_160_bits(bits: int) -> None:
    """More would be lost silently."""
    with pytest.raises(ValueError, match="160 bits"):
        conversation_id(bits)


# ---------------------------------------------------------------------------------------------------------- closing


@given(st.text(max_size=200))
def test_a_close_reason_fits_and_is_a_beginning(text: str) -> None:
    """At most 123 bytes, no character split, and nothing cut that would have fitted."""
    reason = close_reason(text)
    size = len(reason.encode())
    assert text.startswith(reason)
    assert size <= 123
    assert reason == text or size + len(text[len(reason)].encode()) > 123


def test_a_close_reason_can_always_be_sent() -> None:
    """Half a surrogate pair has no UTF-8; Python's strings may hold one."""
    assert close_reason("a\ud800b") == "a?b"


def test_a_refusal_tells_the_client_what_it_did() -> None:
    """In the message, in the close code and in its reason."""
    error = RemoteProtocolError("user_transcript: no object", error_type="missing_fields")
    event, code, reason = refusal(error)
    assert event == ev.ErrorEvent(code=1008, message="user_transcript: no object", error_type="missing_fields")
    assert (code, reason) == (1008, "user_transcript: no object")


@pytest.mark.parametrize(
    ("code", "told"), [(1000, 1000), (1002, 1002), (1008, 1008), (1009, 1008), (1011, 1011), (4300, 1002)]
)
def test_the_code_in_a_refusal_is_one_of_the_contract_s(code: int, told: int) -> None:
    """Which knows four; the close frame is free to be exact."""
    event, close_code, _ = refusal(ProtocolError("no", close_code=code))
    assert (event.code, close_code) == (told, code)


def test_a_refusal_s_reason_fits() -> None:
    """The message may be longer."""
    event, _, reason = refusal(RemoteProtocolError("ä" * 100))
    assert event.message == "ä" * 100
    assert reason == "ä" * 61


def test_our_own_fault_is_not_the_client_s() -> None:
    """It is told that something went wrong here, and nothing of what."""
    event, code, reason = refusal(LocalProtocolError("audio 0: event ids start at 1"))
    assert event == ev.ErrorEvent(code=1011, message="internal error", error_type="unknown_websocket_crash")
    assert (code, reason) == (1011, "internal error")


def test_every_error_type_of_a_refusal_can_be_sent_first(fresh: ServerProtocol) -> None:
    """Before any metadata, on a socket that will never have a conversation."""
    event, _, _ = refusal(RemoteProtocolError("binary messages are not spoken here"))
    assert codec.decode_server(fresh.send(event)) == event
