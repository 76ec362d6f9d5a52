"""The client's half of the protocol, without input or output."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.errors import LocalProtocolError, RemoteProtocolError
from antiphon.protocol.client import AgentChatResponsePartType, AudioEventAlignment, ClientProtocol, callback
from antiphon.protocol.codec import encode_server
from antiphon.protocol.events import (
    AgentAudio,
    AgentChatResponsePart,
    AgentResponse,
    AgentResponseCorrection,
    Alignment,
    ClientToolCall,
    ConversationInitiation,
    ConversationMetadata,
    EnclaveSetup,
    Interruption,
    Ping,
    ServerEvent,
    UnknownEvent,
    UserAudio,
    UserMessage,
    UserTranscript,
    VadScore,
)


def opened(**options: Any) -> ClientProtocol:
    protocol = ClientProtocol(**options)
    protocol.open(ConversationInitiation())
    protocol.messages_to_send()
    return protocol


def received(protocol: ClientProtocol, *events: ServerEvent) -> list[ServerEvent]:
    return [seen for event in events for seen in protocol.receive(encode_server(event))]


def audio(event_id: int) -> AgentAudio:
    return AgentAudio(audio=b"\x01\x02", event_id=event_id)


def test_the_initiation_goes_first_and_once() -> None:
    """Setup, initiation, then whatever was said; each message is handed out once."""
    protocol = ClientProtocol()
    protocol.open(ConversationInitiation(user_id="u"), EnclaveSetup())
    protocol.send(UserMessage(text="hello"))
    sent = [json.loads(message)["type"] for message in protocol.messages_to_send()]
    assert sent == ["enclave_setup_config", "conversation_initiation_client_data", "user_message"]
    assert protocol.messages_to_send() == []
    with pytest.raises(LocalProtocolError, match="once"):
        protocol.open(ConversationInitiation())


def test_nothing_is_sent_before_the_initiation() -> None:
    """A server takes the first message for the initiation."""
    with pytest.raises(LocalProtocolError, match="before the initiation"):
        ClientProtocol().send(UserAudio(b"\0\0"))


def test_a_ping_is_answered_and_seen() -> None:
    """The pong carries the ping's id; the application sees the latency."""
    protocol = opened()
    assert received(protocol, Ping(event_id=7, ping_ms=55.7)) == [Ping(event_id=7, ping_ms=55.7)]
    assert protocol.messages_to_send() == ['{"type": "pong", "event_id": 7}']


def test_metadata_is_remembered_and_a_second_one_is_tolerated() -> None:
    """The first announcement holds for the whole conversation (the original ends the session at a second one)."""
    protocol = opened()
    first = ConversationMetadata(conversation_id="conv_1", agent_output_audio_format="pcm_24000")
    second = ConversationMetadata(conversation_id="conv_2")
    assert protocol.conversation_id is None
    assert received(protocol, first, second) == [first, second]
    assert protocol.metadata == first
    assert protocol.conversation_id == "conv_1"


@pytest.mark.parametrize(
    ("strict", "ids", "heard"),
    [
        # positive: audio of that id; negative: an interruption of that id
        (False, [0, 1, 2], [0, 1, 2]),
        (True, [0, 1, 2], [1, 2]),
        (False, [1, 4, -5, 4, 5, 6], [1, 4, 5, 6]),
        (True, [1, 4, -5, 4, 5, 6], [1, 4, 6]),
        (False, [-5, -3, 4, 5], [5]),
        (True, [-5, -3, 4, 5], [4, 5]),
    ],
)
def test_stale_audio_is_dropped(strict: bool, ids: list[int], heard: list[int]) -> None:
    """Only a strictly lower id is stale and a late, smaller interruption re-admits nothing (protocol.md 1.4).

    The strict gate does as elevenlabs 2.78.0: `id > last`, so 0 and an equal id are dropped, plain assignment.
    """
    protocol = opened(strict_audio_gate=strict)
    events = [audio(i) if i >= 0 else Interruption(event_id=-i) for i in ids]
    seen = received(protocol, *events)
    assert [event.event_id for event in seen if isinstance(event, AgentAudio)] == heard


def test_the_reply_that_shares_its_interruptions_id_is_heard() -> None:
    """elevenlabs-python issue 829: after a multimodal message both have one id."""
    protocol = opened()
    assert audio(12) in received(protocol, audio(11), Interruption(event_id=12), audio(12))


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[1]",
        "null",
        '{"type":"audio","audio_event":{"audio_base_64":"%%","event_id":1}}',
        '{"type":"ping"}',
        '{"type":"agent_response","agent_response_event":{"agent_response":null}}',
        '{"type":"client_tool_call","client_tool_call":{"tool_name":"x"}}',
    ],
)
def test_a_bad_message_is_reported_and_changes_nothing(text: str) -> None:
    """One bad frame must not end a session: the next message is received as if it had not been there."""
    protocol = opened()
    with pytest.raises(RemoteProtocolError):
        protocol.receive(text)
    assert protocol.messages_to_send() == []
    assert received(protocol, Ping(event_id=1)) == [Ping(event_id=1)]


def test_unknown_messages_are_kept_whole() -> None:
    """A newer server's message reaches the application, and so does one without a type."""
    protocol = opened()
    assert protocol.receive('{"type":"new_thing","x":1}') == [UnknownEvent({"type": "new_thing", "x": 1})]
    assert protocol.receive('{"x":1}') == [UnknownEvent({"x": 1})]


def test_null_tool_parameters_are_no_parameters() -> None:
    """The original ends the session at a null (protocol.md 5.3)."""
    protocol = opened()
    text = '{"type":"client_tool_call","client_tool_call":{"tool_name":"t","tool_call_id":"c","parameters":null}}'
    assert protocol.receive(text) == [ClientToolCall(tool_name="t", tool_call_id="c", parameters={})]


@pytest.mark.parametrize(
    ("event", "name", "arguments"),
    [
        (AgentResponse(text=" Hello. "), "callback_agent_response", ("Hello.",)),
        (
            AgentResponseCorrection(original=" a b ", corrected=" a "),
            "callback_agent_response_correction",
            ("a b", "a"),
        ),
        (UserTranscript(text=" hi "), "callback_user_transcript", ("hi",)),
        (
            AgentChatResponsePart(text=" x ", part="start"),
            "callback_agent_chat_response_part",
            (" x ", AgentChatResponsePartType.START),
        ),
        (Ping(event_id=1, ping_ms=55.7), "callback_latency_measurement", (55,)),
        (
            AgentAudio(audio=b"", event_id=1, alignment=Alignment(["H"], [0], [50])),
            "callback_audio_alignment",
            (AudioEventAlignment(["H"], [0], [50]),),
        ),
    ],
)
def test_an_event_names_its_callback(event: ServerEvent, name: str, arguments: tuple[Any, ...]) -> None:
    """The names and arguments of the original's callbacks (protocol.md 5.2)."""
    found = callback(event)
    assert found is not None
    assert (found.name, found.arguments) == (name, arguments)


@pytest.mark.parametrize("event", [Ping(event_id=1), Ping(event_id=1, ping_ms=0), audio(1), VadScore(score=0.5)])
def test_some_events_call_nobody(event: ServerEvent) -> None:
    """A ping without a measurement, audio without an alignment, and events that have no callback."""
    assert callback(event) is None
