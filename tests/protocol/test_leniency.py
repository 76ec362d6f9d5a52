"""Real peers are not strict: what they send beside the letter of the protocol is understood all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.errors import LocalProtocolError, RemoteProtocolError
from antiphon.protocol import codec
from antiphon.protocol import events as ev
from antiphon.protocol.codec import decode_client, decode_server, encode_client, encode_server


def client(**message: Any) -> ev.ClientEvent:
    return decode_client(json.dumps(message))


def server(kind: str, payload: str, body: Any) -> ev.ServerEvent:
    return decode_server(json.dumps({payload: body, "type": kind}))


# ------------------------------------------------------------------------------------------------------- unknown


def test_an_unknown_field_of_a_client_is_kept_and_written_back() -> None:
    """A newer client may say more than this version knows."""
    message = {"type": "user_message", "text": "hi", "mood": {"happy": [1, None]}}
    event = client(**message)
    assert event == ev.UserMessage(text="hi", extra={"mood": {"happy": [1, None]}})
    assert json.loads(encode_client(event)) == message


def test_an_unknown_field_of_a_server_is_kept_and_written_back() -> None:
    """It lies in the payload, and returns there."""
    event = server("agent_response", "agent_response_event", {"agent_response": "hi", "event_id": 3, "tone": "warm"})
    assert event == ev.AgentResponse(text="hi", event_id=3, extra={"tone": "warm"})
    assert json.loads(encode_server(event))["agent_response_event"]["tone"] == "warm"


def test_an_unknown_field_of_audio_is_kept_and_written_back() -> None:
    """Audio is read and written on paths of its own."""
    body = {"audio_base_64": "AAE=", "event_id": 3, "is_final": True}
    event = server("audio", "audio_event", body)
    assert event == ev.AgentAudio(audio=b"\x00\x01", event_id=3, extra={"is_final": True})
    assert json.loads(encode_server(event)) == {"audio_event": body, "type": "audio"}


def test_an_unknown_field_never_displaces_a_known_one() -> None:
    """What an application adds by hand cannot make a message into another one."""
    event = ev.UserMessage(text="hi", extra={"type": "pong", "text": "bye", "more": 1})
    assert encode_client(event) == '{"type": "user_message", "text": "hi", "more": 1}'
    files = ev.MultimodalMessage(text="hi", extra={"type": "pong", "more": 1})
    assert json.loads(encode_client(files))["type"] == "multimodal_message"
    part = ev.AgentChatResponsePart(text="a", event_id=1, extra={"type": "stop"})
    assert json.loads(encode_server(part))["text_response_part"]["type"] == "delta"


@pytest.mark.parametrize("message", [{"type": "hologram", "a": [1]}, {"type": 5}, {"type": None}, {"text": "hi"}, {}])
def test_a_message_of_an_unknown_type_is_kept_whole(message: dict[str, Any]) -> None:
    """It is no error: the protocol grows (protocol.md 1.2)."""
    assert client(**message) == ev.UnknownEvent(message)
    event = decode_server(json.dumps(message))
    assert event == ev.UnknownEvent(message)
    assert json.loads(encode_server(event)) == message


def test_a_message_of_the_other_direction_is_unknown() -> None:
    """A client that sends `audio` means nothing that a server knows, and the other way round."""
    assert isinstance(client(type="audio", audio_event={}), ev.UnknownEvent)
    assert isinstance(server("pong", "pong", {}), ev.UnknownEvent)


# ----------------------------------------------------------------------------------------------- ids and numbers


@pytest.mark.parametrize("event_id", [12, "12", 12.0])
def test_an_id_may_come_as_text(event_id: Any) -> None:
    """Observed in documents and in the original's own tests (protocol.md S2, 6.3)."""
    assert client(type="pong", event_id=event_id) == ev.Pong(event_id=12)
    assert client(type="feedback", event_id=event_id, score="like") == ev.Feedback(event_id=12, score="like")
    assert server("interruption", "interruption_event", {"event_id": event_id}) == ev.Interruption(event_id=12)
    audio = server("audio", "audio_event", {"audio_base_64": "", "event_id": event_id})
    assert audio == ev.AgentAudio(audio=b"", event_id=12)


def test_ids_that_may_be_text_stay_as_they_came() -> None:
    """Chat parts have been seen with ids like evt_1 (protocol.md S7)."""
    body = {"type": "delta", "text": "a", "event_id": "evt_1"}
    assert server("agent_chat_response_part", "text_response_part", body) == ev.AgentChatResponsePart(
        text="a", event_id="evt_1"
    )


@pytest.mark.parametrize("event_id", [7, "7"])
def test_the_id_of_a_reasoning_part_is_text(event_id: Any) -> None:
    """The one place where the contract wants a string (protocol.md S8); a number is taken for it."""
    body = {"type": "delta", "text": "a", "event_id": event_id}
    event = server("agent_reasoning_response_part", "reasoning_response_part", body)
    assert event == ev.AgentReasoningResponsePart(text="a", event_id="7")


def test_a_pong_without_an_id_is_a_pong() -> None:
    """The older contract lets it be missing (protocol.md C2)."""
    assert client(type="pong") == ev.Pong()
    assert encode_client(ev.Pong()) == '{"type": "pong"}'


def test_a_score_may_come_as_text_or_as_a_whole_number() -> None:
    """0..1 is often 0 or 1."""
    assert server("vad_score", "vad_score_event", {"vad_score": 1}) == ev.VadScore(score=1.0)
    assert server("vad_score", "vad_score_event", {"vad_score": "0.5"}) == ev.VadScore(score=0.5)


# --------------------------------------------------------------------------------------------- nulls and absence


def test_a_null_means_the_default_where_there_is_one() -> None:
    """Clients fill what they do not set with null."""
    event = client(
        type="conversation_initiation_client_data",
        custom_llm_extra_body=None,
        conversation_config_override=None,
        dynamic_variables=None,
        source_info=None,
        user_id=None,
    )
    assert event == ev.ConversationInitiation()
    called = {"tool_name": "t", "tool_call_id": "c", "parameters": None, "event_id": 1, "expects_response": None}
    assert server("client_tool_call", "client_tool_call", called) == ev.ClientToolCall(
        tool_name="t", tool_call_id="c", event_id=1
    )


def test_a_null_is_no_value_where_one_is_needed() -> None:
    """There is no default to fall back on."""
    with pytest.raises(RemoteProtocolError) as caught:
        client(type="contextual_update", text=None)
    assert caught.value.error_type == "value_error"


def test_an_initiation_may_be_bare() -> None:
    """Most hand-written clients send only the type (protocol.md C3)."""
    assert client(type="conversation_initiation_client_data") == ev.ConversationInitiation()


@pytest.mark.parametrize(
    "alignment", [None, {}, {"chars": None, "char_start_times_ms": None, "char_durations_ms": None}]
)
def test_missing_times_are_empty_times(alignment: Any) -> None:
    """A null alignment ends the original's session (protocol.md 4.4); here it means: none."""
    event = server("audio", "audio_event", {"audio_base_64": "", "event_id": 1, "alignment": alignment})
    assert isinstance(event, ev.AgentAudio)
    assert event.alignment == (None if alignment is None else ev.Alignment())


@pytest.mark.parametrize("body", [{"event_id": 1}, {"event_id": 1, "audio_base_64": None}])
def test_audio_without_sound_is_empty(body: dict[str, Any]) -> None:
    """The last piece of a response may carry none (protocol.md S2)."""
    assert server("audio", "audio_event", body) == ev.AgentAudio(audio=b"", event_id=1)


def test_what_the_original_never_needed_may_be_missing() -> None:
    """Its own tests send metadata without formats and responses without ids (protocol.md 6.3)."""
    metadata = server(
        "conversation_initiation_metadata", "conversation_initiation_metadata_event", {"conversation_id": "c"}
    )
    assert metadata == ev.ConversationMetadata(
        conversation_id="c", agent_output_audio_format="pcm_16000", user_input_audio_format="pcm_16000"
    )
    assert server("agent_response", "agent_response_event", {"agent_response": "hi"}) == ev.AgentResponse(text="hi")


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("guardrail_triggered", ev.GuardrailTriggered()),
        ("external_agent_connected", ev.ExternalAgentConnected()),
        ("external_agent_disconnected", ev.ExternalAgentDisconnected()),
        ("dtmf_request", ev.DtmfRequest()),
    ],
)
def test_some_messages_are_complete_without_a_payload(kind: str, event: ev.ServerEvent) -> None:
    """The contract gives them only a type (protocol.md S21, S26, S30)."""
    assert decode_server(json.dumps({"type": kind})) == event


def test_a_message_without_its_payload_is_refused() -> None:
    """Elsewhere the payload is the message."""
    for body in (None, [], "text", 5):
        with pytest.raises(RemoteProtocolError) as caught:
            server("agent_response", "agent_response_event", body)
        assert caught.value.error_type == "missing_fields"


# --------------------------------------------------------------------------------------------- special messages


def test_an_old_contextual_update_calls_its_text_content() -> None:
    """The Python SDK did until 2025 (protocol.md C5); beside a text it means nothing."""
    assert client(type="contextual_update", content="on the pricing page") == ev.ContextualUpdate(
        text="on the pricing page"
    )
    for message in ('{"content": "old", "text": "new"', '{"text": "new", "content": "old"'):
        event = decode_client(message + ', "type": "contextual_update"}')
        assert isinstance(event, ev.ContextualUpdate)
        assert event.text == "new"


@pytest.mark.parametrize("result", [None, 0, 1.5, False, "", [], {}, [1, {"a": None}], {"total": 3}, "5"])
def test_a_tool_may_return_any_json(result: Any) -> None:
    """The contract wants text; the original sends what the handler returned (clients.md)."""
    event = client(type="client_tool_result", tool_call_id="c", result=result, is_error=False)
    assert event == ev.ClientToolResult(tool_call_id="c", result=result)
    assert type(event.result) is type(result)


FILE_1, FILE_2 = {"type": "file_input", "file_id": "f1"}, {"type": "file_input", "file_id": "f2"}


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        ({"file": FILE_1}, ev.MultimodalMessage(file_ids=["f1"])),
        ({"file": FILE_2, "files": [FILE_1, FILE_2]}, ev.MultimodalMessage(file_ids=["f1", "f2"])),
        ({"file": FILE_1, "files": []}, ev.MultimodalMessage(file_ids=["f1"])),
        ({"file": FILE_1, "files": None}, ev.MultimodalMessage(file_ids=["f1"])),
        ({"text": None, "file": None}, ev.MultimodalMessage()),
        ({"text": {"type": "user_message", "text": "hi"}}, ev.MultimodalMessage(text="hi")),
        ({"text": {"type": "user_message"}}, ev.MultimodalMessage()),
        ({"text": "hi"}, ev.MultimodalMessage(text="hi")),
        ({"mood": 1}, ev.MultimodalMessage(extra={"mood": 1})),
    ],
)
def test_files_win_over_the_file(fields: dict[str, Any], event: ev.MultimodalMessage) -> None:
    """SDKs send both, or the older of the two (protocol.md C8)."""
    assert client(type="multimodal_message", **fields) == event


@pytest.mark.parametrize(
    "fields", [{"files": "f1"}, {"files": 5}, {"files": [{}]}, {"file": {"file_id": 5}}, {"text": 5}]
)
def test_files_that_are_none_are_refused(fields: dict[str, Any]) -> None:
    """A file without an id is not a file."""
    with pytest.raises(RemoteProtocolError):
        client(type="multimodal_message", **fields)


def test_the_caller_s_sound_may_have_a_type() -> None:
    """It needs none; some clients add it (protocol.md C1)."""
    assert client(type="user_audio_chunk", user_audio_chunk="AAE=") == ev.UserAudio(b"\x00\x01")


def test_base64_may_be_broken_into_lines() -> None:
    """As MIME encoders do."""
    assert client(user_audio_chunk="AAE\r\nC\nAwQ=\n") == ev.UserAudio(b"\x00\x01\x02\x03\x04")


@pytest.mark.parametrize("sound", ["AAE", "A*E=", "AA=E", None, 5, ["AAE="]])
def test_what_is_not_base64_is_refused(sound: Any) -> None:
    """Noise in the caller's ear, or worse."""
    with pytest.raises(RemoteProtocolError) as caught:
        client(user_audio_chunk=sound)
    assert caught.value.error_type == "value_error"


# -------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "text", ["", "hello", "[]", "null", "5", '"a"', "{", '{"a":NaN}', '{"a":"\\ud800"}', '{"a":\udc80}']
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    """Not JSON, or not an object."""
    for decode in (decode_client, decode_server):
        with pytest.raises(RemoteProtocolError) as caught:
            decode(text)
        assert caught.value.close_code == 1008
        assert caught.value.error_type == "invalid_message"


def test_a_complaint_speaks_of_the_wire_s_names() -> None:
    """Who reads it knows no others."""
    with pytest.raises(RemoteProtocolError, match=r"at `\$\.conversation_config_override`"):
        client(type="conversation_initiation_client_data", conversation_config_override="none")
    with pytest.raises(RemoteProtocolError, match="missing required field `user_transcript`") as caught:
        server("user_transcript", "user_transcription_event", {})
    assert caught.value.error_type == "missing_fields"


def test_a_complaint_is_short_whatever_it_quotes() -> None:
    """The parser repeats a value that it does not like, all of it."""
    with pytest.raises(RemoteProtocolError) as caught:
        client(type="feedback", event_id=1, score="x" * 100_000)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(("opening", "inmost", "closing"), [("[", "[]", "]"), ('{"a":', "{}", "}")])
def test_nesting_has_a_limit(opening: str, inmost: str, closing: str) -> None:
    """What could be read might be too deep to be written again, in the journal."""

    def nested(levels: int) -> str:
        around = levels - 2  # the message itself is one, the inmost another
        return '{"type":"user_activity","a":' + opening * around + inmost + closing * around + "}"

    assert isinstance(decode_client(nested(codec.MAX_DEPTH)), ev.UserActivity)
    for levels in (codec.MAX_DEPTH + 1, 500, 100_000):
        with pytest.raises(RemoteProtocolError):
            decode_client(nested(levels))


def test_a_wide_message_is_not_a_deep_one() -> None:
    """It is levels that are counted, not brackets."""
    wide = [[{}] for _ in range(1000)]
    assert client(type="user_activity", a=wide) == ev.UserActivity(extra={"a": wide})


@pytest.mark.parametrize("result", [object(), b"bytes", {1, 2}, {"a": object()}])
def test_what_json_cannot_say_is_not_sent(result: Any) -> None:
    """The one who wrote it is told, not the peer."""
    with pytest.raises(LocalProtocolError, match="client_tool_result"):
        encode_client(ev.ClientToolResult(tool_call_id="c", result=result))


def test_a_circle_is_not_sent() -> None:
    """Nor can it be written down."""
    circle: dict[str, Any] = {}
    circle["again"] = circle
    with pytest.raises(LocalProtocolError):
        encode_client(ev.UserMessage(text="hi", extra=circle))
    with pytest.raises(LocalProtocolError):
        encode_server(ev.AgentResponseMetadata(metadata=circle, event_id=1))


def test_each_side_says_only_its_own_messages() -> None:
    """An event knows its direction."""
    with pytest.raises(LocalProtocolError, match="not a server's message"):
        encode_server(ev.UserActivity())  # pyright: ignore[reportArgumentType]
    with pytest.raises(LocalProtocolError, match="not a client's message"):
        encode_client(ev.Interruption(event_id=1))  # pyright: ignore[reportArgumentType]


# ------------------------------------------------------------------------------------------------------- journal


def test_the_journal_keeps_sound_by_its_size() -> None:
    """The recording has the sound itself."""
    assert codec.journal_json(ev.UserAudio(bytes(640))) == {"user_audio_chunk": {"bytes": 640}}
    assert codec.journal_json(ev.AgentAudio(audio=bytes(320), event_id=4)) == {
        "audio_event": {"event_id": 4, "bytes": 320},
        "type": "audio",
    }


def test_the_journal_keeps_neither_pings_nor_scores() -> None:
    """There are many, and they say nothing about what was said."""
    assert codec.journal_json(ev.Ping(event_id=1)) is None
    assert codec.journal_json(ev.VadScore(score=0.5)) is None


def test_the_journal_keeps_everything_else_as_it_is_on_the_wire(golden_messages: list[dict[str, Any]]) -> None:
    """One vocabulary: no second form of a message."""
    kept = 0
    for message in golden_messages:
        text = json.dumps(message)
        event = decode_client(text)
        if isinstance(event, ev.UnknownEvent):
            event = decode_server(text)
        if event.journaled == "whole":
            assert json.loads(json.dumps(codec.journal_json(event))) == message
            kept += 1
    assert kept > 60
