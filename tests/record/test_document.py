"""The record of a conversation says what its journal says, in the shape that the API promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.protocol import events as ev
from antiphon.record.document import SOURCES, JournalError, conversation_document
from antiphon.record.journal import Journal

SCHEMA = json.loads((Path(__file__).parent / "conversation_schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
HEADER = {
    "conversation_id": "conv_1",
    "agent_id": "agent_1",
    "agent_name": "Desk",
    "started_at": 1_714_423_232.75,
    "user_id": "u1",
    "initiation": {
        "type": "conversation_initiation_client_data",
        "conversation_config_override": {"text_only": True},
        "custom_llm_extra_body": {"k": 1},
        "dynamic_variables": {"name": "Ada", "secret__token": "hush"},
        "source_info": {"source": "python_sdk", "version": "2.78.0"},
    },
    "authorization_method": "signed_url",
    "language": "en",
    "text_only": False,
}


class Story:
    """A journal, written as it is in earnest: `story.out(2.5, AgentResponse(...))`."""

    def __init__(self, **header: Any) -> None:
        self.lines: list[bytes] = []
        self._now = 50.0
        self._journal = Journal(self.lines.append, lambda: self._now)
        self._journal.begin({**HEADER, **header})

    def came(self, at: float, *events: ev.ClientEvent) -> Story:
        self._now = 50.0 + at
        for event in events:
            self._journal.received(event)
        return self

    def out(self, at: float, *events: ev.ServerEvent) -> Story:
        self._now = 50.0 + at
        for event in events:
            self._journal.emitted(event)
        return self

    def end(self, at: float, code: int = 1000, reason: str = "the client hung up", error: str | None = None) -> Story:
        self._now = 50.0 + at
        self._journal.end(code, reason, error)
        return self

    def told(self) -> dict[str, Any]:
        """The record, checked against the API's schema on the way."""
        document = conversation_document(self.lines)
        VALIDATOR.validate(document)
        return document

    def transcript(self) -> list[dict[str, Any]]:
        return self.told()["transcript"]

    def said(self) -> list[tuple[str, str | None]]:
        return [(turn["role"], turn["message"]) for turn in self.transcript()]


def audio(event_id: int) -> ev.AgentAudio:
    return ev.AgentAudio(audio=b"\0" * 320, event_id=event_id)


def response(text: str, event_id: int) -> ev.AgentResponse:
    return ev.AgentResponse(text=text, event_id=event_id)


# ----------------------------------------------------------------------------------------------------- the whole


def test_a_conversation_becomes_the_document_of_the_api() -> None:
    """Metadata, flags and initiation are those of the journal's first and last line."""
    document = (
        Story()
        .out(0.0, ev.ConversationMetadata(conversation_id="conv_1"))
        .out(0.4, response("Hello!", 1), audio(2), ev.AgentResponseComplete(event_id=1))
        .came(2.0, ev.UserAudio(b"\1" * 3200))
        .out(3.6, ev.UserTranscript(text="hi there", event_id=3))
        .end(11.9)
        .told()
    )
    assert document["status"] == "done"
    assert (document["agent_id"], document["agent_name"]) == ("agent_1", "Desk")
    assert (document["conversation_id"], document["user_id"], document["environment"]) == ("conv_1", "u1", "production")
    metadata = document["metadata"]
    assert metadata["start_time_unix_secs"] == 1_714_423_232
    assert metadata["call_duration_secs"] == 11
    assert metadata["cost_fiat"] is None
    assert metadata["termination_reason"] == "the client hung up"
    assert metadata["error"] is None
    assert metadata["authorization_method"] == "signed_url"
    assert metadata["main_language"] == "en"
    assert metadata["conversation_initiation_source"] == "python_sdk"
    assert metadata["conversation_initiation_source_version"] == "2.78.0"
    assert [(turn["role"], turn["message"], turn["time_in_call_secs"]) for turn in document["transcript"]] == [
        ("agent", "Hello!", 0),
        ("user", "hi there", 3),
    ]
    assert document["transcript"][1]["source_medium"] == "audio"


def test_what_nobody_promised_to_keep_is_not_promised() -> None:
    """Audio in the journal is a size: a recording exists only where the caller says so."""
    story = Story().came(1.0, ev.UserAudio(b"\0" * 320)).out(1.0, audio(1)).end(2.0)
    document = story.told()
    flags = ("has_audio", "has_user_audio", "has_response_audio", "has_auxiliary_audio")
    assert [document[flag] for flag in flags] == [False] * 4
    recorded = conversation_document(story.lines, recordings={"user"})
    assert [recorded[flag] for flag in flags] == [True, True, False, False]


def test_a_secret_is_in_no_record() -> None:
    """Variables with the prefix secret__ are left out of what the client is recorded to have sent."""
    document = Story().end(1.0).told()
    assert document["conversation_initiation_client_data"]["dynamic_variables"] == {"name": "Ada"}
    assert "hush" not in json.dumps(document)


def test_a_client_that_nobody_knows_is_recorded_as_unknown() -> None:
    """Strict clients refuse a source that is not in the API's list, and a version of more than 50 characters."""
    initiation = {"source_info": {"source": "my_robot", "version": "1" * 80}}
    metadata = Story(initiation=initiation).end(1.0).told()["metadata"]
    assert metadata["conversation_initiation_source"] == "unknown"
    assert metadata["conversation_initiation_source_version"] == "1" * 50
    assert set(SCHEMA["$defs"]["ConversationInitiationSource"]["enum"]) == SOURCES | {"unknown"}


def test_a_client_that_said_nothing_at_the_start_has_a_record_too() -> None:
    """Without initiation every part of it is empty."""
    document = Story(initiation={}, user_id=None).end(1.0).told()
    assert document["conversation_initiation_client_data"]["conversation_config_override"] == {}
    assert document["metadata"]["conversation_initiation_source"] == "unknown"


@pytest.mark.parametrize(
    ("code", "error", "status"),
    [
        (1000, None, "done"),
        (1000, "max_duration_exceeded", "done"),
        (1001, None, "done"),
        (1002, "tts_cascade_error", "failed"),
        (1011, "unknown_websocket_crash", "failed"),
    ],
)
def test_a_conversation_failed_only_if_something_broke(code: int, error: str | None, status: str) -> None:
    """An error that closes normally is a way to end; any other failed, and the record says with what."""
    document = Story().end(3.0, code, "because", error).told()
    assert document["status"] == status
    expected = {"code": code, "reason": "because"} if status == "failed" else None
    assert document["metadata"]["error"] == expected


# -------------------------------------------------------------------------------------------------------- turns


def test_typed_and_spoken_turns_are_told_apart() -> None:
    """Typed turns come from the client's message, spoken ones from the server's transcript; null text is no turn."""
    story = Story().came(1.0, ev.UserMessage(text="typed"), ev.UserMessage(text=None))
    story.out(4.0, ev.UserTranscript(text="spoken", event_id=5))
    assert [(turn["message"], turn["source_medium"]) for turn in story.transcript()] == [
        ("typed", "text"),
        ("spoken", "audio"),
    ]


def test_an_interrupted_message_holds_what_was_heard() -> None:
    """The correction replaces the message; the whole of it is kept beside."""
    story = Story().out(1.0, response("A long story about a lighthouse.", 1), audio(2))
    story.out(2.0, ev.Interruption(event_id=3))
    story.out(
        2.0, ev.AgentResponseCorrection(original="A long story about a lighthouse.", corrected="A long", event_id=1)
    )
    story.out(3.0, ev.UserTranscript(text="stop", event_id=4))
    first, second = story.transcript()
    assert (first["message"], first["original_message"]) == ("A long", "A long story about a lighthouse.")
    assert first["interrupted"]
    assert not second["interrupted"]


def test_a_correction_without_an_id_meets_the_last_message() -> None:
    """The older contract gives corrections no event id."""
    story = Story().out(1.0, response("One.", 1), response("Two, and more.", 2))
    story.out(2.0, ev.AgentResponseCorrection(original="Two, and more.", corrected="Two,"))
    assert story.said() == [("agent", "One."), ("agent", "Two,")]


def test_a_correction_finds_its_message_by_id() -> None:
    """A reply of two messages is corrected message by message."""
    story = Story().out(1.0, response("One moment.", 1), response("It is on its way.", 4))
    story.out(2.0, ev.AgentResponseCorrection(original="One moment.", corrected="One", event_id=1))
    assert story.said() == [("agent", "One"), ("agent", "It is on its way.")]


def test_a_reply_cut_off_by_typing_stands_before_what_was_typed() -> None:
    """Its text comes out only when it is cut off, after the user's message; it was said before."""
    story = Story().came(1.0, ev.UserMessage(text="first"))
    story.out(1.5, audio(1)).came(2.0, ev.UserMessage(text="second"))
    story.out(2.0, response("I was about", 2), ev.TurnWaterfall(event_id=2), ev.Interruption(event_id=3))
    story.out(3.0, response("To the second.", 4))
    assert story.said() == [
        ("user", "first"),
        ("agent", "I was about"),
        ("user", "second"),
        ("agent", "To the second."),
    ]
    assert [turn["interrupted"] for turn in story.transcript()] == [False, True, False, False]


@pytest.mark.parametrize("greeting", [False, True], ids=["in silence", "over the greeting"])
def test_an_answer_cut_off_by_hanging_up_stands_after_what_was_typed(greeting: bool) -> None:
    """Its text was out, and its sound begun, when it was cut off; what was typed is what it answers."""
    story = Story()
    if greeting:
        story.out(0.1, response("Hello.", 1), audio(2))
    story.came(1.0, ev.UserMessage(text="first"))
    if greeting:
        story.out(1.0, ev.Interruption(event_id=3))
    story.out(1.5, response("It is about", 4), ev.TurnWaterfall(event_id=4))
    if not greeting:
        story.out(1.5, audio(5))
    story.out(2.0, ev.Interruption(event_id=6))
    assert story.said()[-2:] == [("user", "first"), ("agent", "It is about")]


def test_a_reply_cut_off_by_voice_stands_where_it_was_said() -> None:
    """The sound that cut it off came after the message that it answers."""
    story = Story().came(1.0, ev.UserMessage(text="first"))
    story.out(1.5, audio(1)).came(2.0, ev.UserAudio(b"\1" * 3200))
    story.out(2.0, response("I was about", 2), ev.Interruption(event_id=3))
    assert story.said() == [("user", "first"), ("agent", "I was about")]


# -------------------------------------------------------------------------------------------------------- tools


def request(call_id: str = "c1", kind: str = "client", **parameters: Any) -> ev.AgentToolRequest:
    return ev.AgentToolRequest(tool_name="order_status", tool_call_id=call_id, tool_type=kind, parameters=parameters)


def client_call(call_id: str = "c1", **parameters: Any) -> ev.ClientToolCall:
    return ev.ClientToolCall(tool_name="order_status", tool_call_id=call_id, parameters=parameters, event_id=3)


def report(text: str, *, call_id: str = "c1", kind: str = "client", is_error: bool = False) -> list[ev.ServerEvent]:
    named: dict[str, Any] = {
        "tool_name": "order_status",
        "tool_call_id": call_id,
        "tool_type": kind,
        "is_error": is_error,
    }
    return [ev.AgentToolResponse(**named), ev.AgentToolResponseFullPayload(**named, full_tool_result=text)]


def test_a_tool_call_stands_with_its_result_on_the_turn_that_called_it() -> None:
    """After some text: on that message's turn; what is said of the result is a turn of its own."""
    story = Story().out(1.0, response("One moment.", 1), request(order="42"), client_call(order="42"))
    story.came(1.25, ev.ClientToolResult(tool_call_id="c1", result="on its way"))
    story.out(1.25, *report("on its way")).out(1.5, response("It is on its way.", 5))
    first, second = story.transcript()
    assert first["message"] == "One moment."
    assert second["tool_calls"] == second["tool_results"] == []
    assert first["tool_calls"] == [
        {
            "type": "client",
            "request_id": "c1",
            "tool_name": "order_status",
            "params_as_json": '{"order": "42"}',
            "tool_has_been_called": True,
            "tool_details": {"type": "client", "parameters": '{"order": "42"}'},
        }
    ]
    (result,) = first["tool_results"]
    assert (result["result_value"], result["is_error"], result["tool_latency_secs"]) == ("on its way", False, 0.25)


def test_a_tool_called_before_any_word_has_a_turn_without_a_message() -> None:
    """Also when the reply before it was never interrupted: that one is over."""
    story = Story().out(0.5, response("Hello!", 1), audio(2)).out(1.5, ev.AgentResponseComplete(event_id=1))
    story.out(2.0, client_call(order="42")).came(2.5, ev.ClientToolResult(tool_call_id="c1", result={"eta": 3}))
    story.out(3.0, response("Three days.", 5))
    assert story.said() == [("agent", "Hello!"), ("agent", None), ("agent", "Three days.")]
    assert story.transcript()[1]["tool_results"][0]["result_value"] == '{"eta": 3}'


def test_parallel_calls_share_a_turn() -> None:
    """Each result goes to its own call, in whatever order they come."""
    story = Story().out(1.0, request("a", order="1"), request("b", order="2"), client_call("a"), client_call("b"))
    story.came(1.5, ev.ClientToolResult(tool_call_id="b", result="B", is_error=True))
    story.came(2.0, ev.ClientToolResult(tool_call_id="a", result="A"))
    (turn,) = story.transcript()
    assert [call["request_id"] for call in turn["tool_calls"]] == ["a", "b"]
    assert [(r["request_id"], r["result_value"], r["is_error"]) for r in turn["tool_results"]] == [
        ("a", "A", False),
        ("b", "B", True),
    ]


def test_a_tool_that_did_not_answer_has_the_failure_that_the_model_read() -> None:
    """The client's answer comes too late to change it."""
    story = Story().out(1.0, request(order="42"), client_call(order="42"))
    story.out(21.0, *report("the client did not answer within 20 seconds", is_error=True))
    story.came(22.0, ev.ClientToolResult(tool_call_id="c1", result="here!"))
    (result,) = story.transcript()[0]["tool_results"]
    assert result["is_error"]
    assert result["result_value"] == result["raw_error_message"] == "the client did not answer within 20 seconds"
    assert result["tool_latency_secs"] == 20.0


def test_a_call_that_was_interrupted_has_no_result() -> None:
    """Nobody waits for it any more: a late answer is not what the agent was told."""
    story = Story().out(1.0, response("One moment.", 1), client_call()).out(1.5, ev.Interruption(event_id=4))
    story.came(2.0, ev.ClientToolResult(tool_call_id="c1", result="late"))
    (turn,) = story.transcript()
    assert len(turn["tool_calls"]) == 1
    assert turn["tool_results"] == []


@pytest.mark.parametrize("kind", ["webhook", "mcp", "system", "client", "", "code"])
def test_tools_of_every_type_are_recorded(kind: str) -> None:
    """Those that the API's record has no word for are recorded without a type."""
    (turn,) = Story().out(1.0, request(kind=kind, a=1)).out(2.0, *report("done", kind=kind)).transcript()
    expected = kind if kind in ("webhook", "mcp", "system", "client") else None
    assert turn["tool_calls"][0]["type"] == turn["tool_results"][0]["type"] == expected
    assert turn["tool_calls"][0]["params_as_json"] == '{"a": 1}'
    assert turn["tool_results"][0]["result_value"] == "done"


def test_a_tool_whose_arguments_were_refused_was_not_called() -> None:
    """A client's tool has been called when the client was asked, not before."""
    (turn,) = Story().out(1.0, request(order=None)).out(1.0, *report("order is required", is_error=True)).transcript()
    assert not turn["tool_calls"][0]["tool_has_been_called"]
    assert not turn["tool_results"][0]["tool_has_been_called"]


# ----------------------------------------------------------------------------------------- feedback and waterfalls


@pytest.mark.parametrize("rated", [6, 7, 8, 10])
def test_feedback_meets_the_message_or_any_sound_of_it(rated: int) -> None:
    """Clients know the id of the newest sound, which may be below or above that of the text."""
    story = Story().out(1.0, response("Hello!", 1), audio(2)).out(2.0, ev.AgentResponseComplete(event_id=1))
    story.out(3.0, ev.UserTranscript(text="hi", event_id=5))
    story.out(3.5, audio(6), audio(7), response("Good day.", 8), audio(10))
    story.came(4.2, ev.Feedback(event_id=rated, score="dislike"))
    document = story.told()
    assert [turn["feedback"] for turn in document["transcript"]] == [
        None,
        None,
        {"score": "dislike", "time_in_call_secs": 4},
    ]
    assert document["metadata"]["feedback"]["dislikes"] == 1


def test_feedback_can_be_taken_back() -> None:
    """A null score clears it."""
    story = Story().out(1.0, response("Hello!", 1)).came(2.0, ev.Feedback(event_id=1, score="like"))
    assert story.told()["metadata"]["feedback"]["likes"] == 1
    story.came(3.0, ev.Feedback(event_id=1, score=None))
    document = story.told()
    assert document["transcript"][0]["feedback"] is None
    assert document["metadata"]["feedback"]["likes"] == 0


def test_a_waterfall_says_where_the_time_of_its_message_went() -> None:
    """Stages as they were measured, their sum, and the API's own figures taken from them."""
    stages = {"endpointing": 0.5, "stt": 0.1, "llm": 0.2, "clause": 0.05, "tts": 0.03, "output": 0.001}
    story = Story().out(3.0, response("It is a long answer.", 8), audio(9))
    story.out(3.0, ev.TurnWaterfall(event_id=8, stages=stages, user_speech_ended_at=2.1, first_audio_at=2.981))
    story.out(4.0, ev.AgentResponseCorrection(original="It is a long answer.", corrected="It is", event_id=8))
    document = story.told()
    assert document["antiphon"]["turns"] == [
        {
            "event_id": 8,
            "role": "agent",
            "message": "It is",
            "waterfall": stages,
            "total": 0.881,
            "user_speech_ended_at": 2.1,
            "first_audio_at": 2.981,
        }
    ]
    assert document["transcript"][0]["conversation_turn_metrics"]["metrics"] == {
        "convai_llm_service_ttfb": {"elapsed_time": 0.2},
        "convai_llm_service_ttf_sentence": {"elapsed_time": 0.25},
    }


# ------------------------------------------------------------------------------------------------------- damage


def test_a_conversation_without_an_end_is_in_progress() -> None:
    """The process may have died, or the conversation lives: the journal does not know."""
    document = Story().out(7.5, response("Hello!", 1)).told()
    assert document["status"] == "in-progress"
    assert document["metadata"]["call_duration_secs"] == 7


def test_a_line_that_was_being_written_is_left_out() -> None:
    """However much of it reached the disk, the record is that of the lines before it."""
    lines = Story().out(1.0, response("Grüße!", 1)).lines
    whole = conversation_document(lines)
    message = '{"agent_response_event":{"agent_response":"Tschüß","event_id":2},"type":"agent_response"}'
    torn = f'{{"at":2.0,"out":{message}}}'.encode()
    for length in range(len(torn)):
        assert conversation_document([*lines, torn[:length]]) == whole
    assert len(conversation_document([*lines, torn])["transcript"]) == 2


@pytest.mark.parametrize(
    "damage", [b'{"at":1.0,"out":\n', b"[]\n", b'{"out":{}}\n', b"\xff\xfe\n", b'{"at":"x"}\n'], ids=repr
)
def test_damage_before_the_end_is_an_error_that_names_the_line(damage: bytes) -> None:
    """A record with a hole in it would tell something else than what happened."""
    first, *rest = Story().out(1.0, response("One.", 1), response("Two.", 2)).lines
    with pytest.raises(JournalError, match="line 2 "):
        conversation_document([first, damage, *rest])


def test_a_line_that_holds_no_message_is_an_error() -> None:
    """It is whole JSON, so no writing was cut short: something else is wrong."""
    lines = [*Story().lines, b'{"at":1.0,"out":{"type":"agent_response"}}\n', *Story().end(2.0).lines[1:]]
    with pytest.raises(JournalError, match=r"line 2 .*agent_response"):
        conversation_document(lines)


@pytest.mark.parametrize("lines", [[], [b"\n"], [b'{"at":0.0,"jour']], ids=repr)
def test_an_empty_journal_is_no_conversation(lines: list[bytes]) -> None:
    """Nothing was written before the process died."""
    with pytest.raises(JournalError, match="empty"):
        conversation_document(lines)


def test_a_journal_of_another_version_is_refused() -> None:
    """Its lines may mean something else."""
    newer = Story().lines[0].replace(b'"version":2', b'"version":3')
    with pytest.raises(JournalError, match="version"):
        conversation_document([newer])
    with pytest.raises(JournalError, match="version"):
        conversation_document(Story().lines[1:] + Story().end(1.0).lines[1:])


def test_text_lines_are_as_good_as_bytes() -> None:
    """A file may be opened either way; spaces and kinds of lines that are of no concern here change nothing."""
    story = Story().came(0.5, ev.UserAudio(b"\0\0")).out(1.0, response("Hello!", 1)).end(2.0)
    lines = [json.dumps(json.loads(line)) for line in story.lines]
    lines.insert(1, '{"at": 0.1, "saw": {"type": "Opened"}}')
    lines.insert(2, '{"at": 0.2, "engine": "llm", "text": "Hel"}')
    assert conversation_document(lines) == story.told()


# ---------------------------------------------------------------------------------------------- whatever happens

EVENTS: list[Callable[[int], tuple[str, Any]]] = [
    lambda n: ("came", ev.UserMessage(text=f"typed {n}")),
    lambda n: ("came", ev.UserAudio(b"\0" * n)),
    lambda n: ("came", ev.ClientToolResult(tool_call_id=f"c{n % 3}", result=[n])),
    lambda n: ("came", ev.Feedback(event_id=n, score="like")),
    lambda n: ("came", ev.UnknownEvent({"type": "new", "n": n})),
    lambda n: ("out", ev.UserTranscript(text=f"spoken {n}", event_id=n)),
    lambda n: ("out", response(f"said {n}", n)),
    lambda n: ("out", audio(n)),
    lambda n: ("out", ev.AgentResponseComplete(event_id=n)),
    lambda n: ("out", ev.Interruption(event_id=n)),
    lambda n: ("out", ev.AgentResponseCorrection(original="o", corrected="c", event_id=n)),
    lambda n: ("out", request(f"c{n % 3}", kind="webhook")),
    lambda n: ("out", client_call(f"c{n % 3}")),
    lambda n: ("out", report("r", call_id=f"c{n % 3}")[1]),
    lambda n: ("out", ev.TurnWaterfall(event_id=n, stages={"llm": 0.1})),
]


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 12)), max_size=30))
def test_whatever_the_order_of_events_the_record_has_the_apis_shape(
    happened: list[tuple[Callable[[int], tuple[str, Any]], int]],
) -> None:
    """And it holds every message that anybody said, once."""
    story, at = Story(), 0.0
    for make, number in happened:
        direction, event = make(number)
        (story.came if direction == "came" else story.out)(at, event)
        at += 0.5
    transcript = story.end(at).transcript()
    said = [event for _, event in (make(number) for make, number in happened)]
    messages = (ev.UserMessage, ev.UserTranscript, ev.AgentResponse)
    expected = sorted(event.text for event in said if isinstance(event, messages))
    told = [turn["message"] if turn["original_message"] is None else None for turn in transcript]
    corrected = sum(turn["original_message"] is not None for turn in transcript)
    assert len([text for text in told if text is not None]) + corrected == len(expected)
    assert set(filter(None, told)) <= set(expected)
