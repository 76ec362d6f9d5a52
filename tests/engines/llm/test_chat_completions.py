"""Requests to chat completions, and their streamed answers, without input or output."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest

from antiphon.engines.base import Message, Request, TextDelta, Thought, ToolCall, ToolSpec, Usage
from antiphon.engines.llm.chat_completions import Answer, AnswerError, body
from antiphon.engines.llm.sse import ServerSentEvent

DONE = ServerSentEvent("[DONE]")
WHY = "the server says why"


def chunk(delta: dict[str, Any], **fields: Any) -> ServerSentEvent:
    return ServerSentEvent(json.dumps({"choices": [{"index": 0, "delta": delta, **fields}]}))


def fragment(arguments: Any = None, *, name: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **fields}


def calls(*fragments: dict[str, Any]) -> ServerSentEvent:
    return chunk({"tool_calls": list(fragments)})


def fold(*events: ServerSentEvent, ids: tuple[str, ...] = ()) -> list[Thought]:
    answer = Answer(ids)
    return [thought for event in events for thought in answer.feed(event)] + answer.close()


# ------------------------------------------------------------------------------------------------------- request


def test_a_context_is_written_as_the_wire_has_it() -> None:
    """Roles, tool calls with their arguments as JSON text, results by id, failures said in words."""
    call = ToolCall("c1", "get_order", {"order_id": "für 12"})
    request = Request(
        [
            Message("system", "Be brief."),
            Message("assistant", "Hello!"),
            Message("user", "Where is it?"),
            Message("assistant", "", tool_calls=[call]),
            Message("tool", '{"status":"open"}', tool_call_id="c1"),
            Message("assistant", "Once more.", tool_calls=[call]),
            Message("tool", "no answer", tool_call_id="c1", is_error=True),
        ],
        tools=[ToolSpec("get_order", "Looks it up.", MappingProxyType({"type": "object", "properties": {}}))],
    )
    wire_call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_order", "arguments": '{"order_id":"für 12"}'},
    }
    assert body(request, model="m", temperature=0.0, max_tokens=50) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": "Where is it?"},
            {"role": "assistant", "content": None, "tool_calls": [wire_call]},
            {"role": "tool", "tool_call_id": "c1", "content": '{"status":"open"}'},
            {"role": "assistant", "content": "Once more.", "tool_calls": [wire_call]},
            {"role": "tool", "tool_call_id": "c1", "content": "Error: no answer"},
        ],
        "stream": True,
        "temperature": 0.0,
        "max_tokens": 50,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "get_order",
                    "description": "Looks it up.",
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ],
    }


@pytest.mark.parametrize("max_tokens", [-1, 0])
def test_what_is_not_set_is_not_sent(max_tokens: int) -> None:
    """Temperature null and no token limit leave the choice to the server; an empty list of tools is refused by some."""
    fields = body(Request([Message("user", "Hi")]), model="m", temperature=None, max_tokens=max_tokens)
    assert set(fields) == {"model", "messages", "stream"}


# -------------------------------------------------------------------------------------------------------- answer


def test_text_comes_piece_by_piece() -> None:
    """Each chunk's text is a thought at once; reasoning, roles and empty chunks are none."""
    answer = Answer()
    assert answer.feed(chunk({"role": "assistant", "content": ""})) == []
    assert answer.feed(chunk({"reasoning_content": "The user wants ..."})) == []
    assert not answer.started
    assert answer.feed(chunk({"content": "Hel"})) == [TextDelta("Hel")]
    assert answer.started
    assert answer.feed(ServerSentEvent('{"choices":[]}')) == []
    assert answer.feed(ServerSentEvent("{}")) == []
    assert answer.feed(ServerSentEvent('{"choices":null,"error":null}')) == []
    assert answer.feed(chunk({"content": "lo"}, finish_reason="stop")) == [TextDelta("lo")]
    assert answer.finished
    assert answer.feed(DONE) == []
    assert answer.feed(chunk({"content": "too late"})) == []
    assert answer.close() == []


def test_a_final_chunk_tells_the_usage() -> None:
    """It has no choices; servers that count in every chunk are believed in the last one."""
    events = [
        ServerSentEvent('{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}'),
        ServerSentEvent('{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":12,"total_tokens":19}}'),
        ServerSentEvent('{"choices":[],"usage":{"prompt_tokens":null}}'),
    ]
    assert fold(*events) == [TextDelta("a"), Usage(7, 12)]


def test_a_call_is_assembled_from_its_fragments() -> None:
    """Two calls whose fragments are interleaved, each by its index."""
    assert fold(
        chunk({"content": "Let me see."}),
        calls(fragment("", name="one", index=0, id="a"), fragment('{"x"', name="two", index=1, id="b")),
        calls(fragment('{"n":', index=0)),
        calls(fragment(": [1]}", index=1)),
        calls(fragment(' "1"}', index=0)),
        DONE,
    ) == [TextDelta("Let me see."), ToolCall("a", "one", {"n": "1"}), ToolCall("b", "two", {"x": [1]})]


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [('{"a": 1}', {"a": 1}), ({"a": 1}, {"a": 1}), ("", {}), (None, {}), (" null ", {}), ("{}", {})],
)
def test_arguments_may_come_whole_or_not_at_all(arguments: Any, parameters: dict[str, Any]) -> None:
    """As text, as an object, and in all the ways in which servers say "none"."""
    assert fold(calls(fragment(arguments, name="f", id="c"))) == [ToolCall("c", "f", parameters)]


def test_a_function_call_beside_tool_calls_is_the_same_call() -> None:
    """llama-cpp-python sends both, and repeats id and name in each fragment."""
    events = [
        chunk(
            {
                "tool_calls": [fragment(text, name="get_order", index=0, id="call__0")],
                "function_call": {"name": "get_order", "arguments": text},
            }
        )
        for text in ('{"order', '_id":', " 12}")
    ]
    assert fold(*events) == [ToolCall("call__0", "get_order", {"order_id": 12})]


def test_a_function_call_alone_is_a_call() -> None:
    """The form before `tool_calls`; it has no id, so one is given."""
    events = [chunk({"function_call": {"name": "f"}}), chunk({"function_call": {"arguments": '{"a":1}'}})]
    assert fold(*events) == [ToolCall("call_1", "f", {"a": 1})]


@pytest.mark.parametrize("index", [{}, {"index": 0}, {"index": None}])
def test_parallel_calls_without_an_index_of_their_own_are_told_apart(index: dict[str, Any]) -> None:
    """A new id together with a name begins a new call."""
    assert fold(
        calls(fragment('{"city":"London"}', name="weather", id="a", **index)),
        calls(fragment('{"city":', name="weather", id="b", **index)),
        calls(fragment('"Paris"}', **index)),
    ) == [ToolCall("a", "weather", {"city": "London"}), ToolCall("b", "weather", {"city": "Paris"})]


def test_a_missing_or_taken_id_is_replaced_by_the_next_free_one() -> None:
    """Ids are unique in a conversation, and the same on every run."""
    events = [
        calls(fragment(name="f", index=0), fragment(name="g", index=1, id="mine")),
        calls(fragment(name="h", index=2, id="call_1"), fragment(name="i", index=3)),
    ]
    thoughts = fold(*events, ids=("call_1", "call_3"))
    assert [(call.name, call.id) for call in thoughts if isinstance(call, ToolCall)] == [
        ("f", "call_4"),
        ("g", "mine"),
        ("h", "call_5"),
        ("i", "call_6"),
    ]


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", '"text"', '{"a":1}{"a":1}', "{'a': 1}"])
def test_a_call_with_unusable_arguments_is_a_failure(arguments: str) -> None:
    """No tool is run on arguments that the model did not give."""
    with pytest.raises(AnswerError, match="'f' with arguments that are no JSON object") as failure:
        fold(calls(fragment(arguments, name="f", id="c")))
    assert not failure.value.retryable


def test_arguments_cut_off_at_the_token_limit_say_so() -> None:
    """The remedy is another setting than for a model that cannot write JSON."""
    with pytest.raises(AnswerError, match="cut off at max_tokens"):
        fold(calls(fragment('{"a": ', name="f", id="c")), chunk({}, finish_reason="length"))


def test_a_call_without_a_name_is_a_failure() -> None:
    """Nobody could run it."""
    with pytest.raises(AnswerError, match="without naming it"):
        fold(calls(fragment("{}", id="c")))


def test_further_choices_are_not_spoken() -> None:
    """One answer at a time."""
    event = {"choices": [{"index": 1, "delta": {"content": "B"}}, {"index": 0, "delta": {"content": "A"}}]}
    assert fold(ServerSentEvent(json.dumps(event))) == [TextDelta("A")]


def test_a_completion_that_is_not_streamed_is_an_answer() -> None:
    """Small servers ignore `stream`."""
    event = {
        "object": "chat.completion",
        "choices": [{"message": {"role": "assistant", "content": "Hi.", "tool_calls": None}, "finish_reason": "stop"}],
    }
    assert fold(ServerSentEvent(json.dumps(event))) == [TextDelta("Hi.")]


@pytest.mark.parametrize(
    ("event", "message", "detail", "retryable"),
    [
        (
            ServerSentEvent('{"error":{"message":"overloaded","type":"server_error"}}'),
            "server_error",
            "overloaded",
            True,
        ),
        (ServerSentEvent('{"error":{"message":"slow down","code":429}}'), WHY, "slow down", True),
        (ServerSentEvent('{"error":{"message":"too long","code":400}}'), WHY, "too long", False),
        (
            ServerSentEvent('{"error":{"message":"no such tool","type":"invalid_request_error"}}'),
            "invalid_request_error",
            "no such tool",
            False,
        ),
        (
            ServerSentEvent('{"error":{"message":"filtered","type":"a b","code":"content_filter"}}'),
            "content_filter",
            "filtered",
            True,
        ),
        (ServerSentEvent('{"error":{"message":"two words","code":"not one"}}'), WHY, "two words", True),
        (ServerSentEvent('{"error":"out of memory"}'), WHY, "out of memory", True),
        (ServerSentEvent('{"error":{"metadata":{}}}'), "the server gave no reason", "", True),
        (ServerSentEvent('{"object":"error","message":"bad","code":400}'), WHY, "bad", False),
        (ServerSentEvent('{"code":500,"message":"slot lost"}', "error"), WHY, "slot lost", True),
        (ServerSentEvent("it broke", "error"), WHY, "it broke", True),
    ],
)
def test_a_failure_in_the_stream_is_told_with_its_reason(
    event: ServerSentEvent, message: str, detail: str, retryable: bool
) -> None:
    """In all the shapes that servers give it; blamed on the request, it is not tried again."""
    with pytest.raises(AnswerError) as failure:
        Answer().feed(event)
    assert (str(failure.value), failure.value.detail, failure.value.retryable) == (message, detail, retryable)


@pytest.mark.parametrize("opening", ["[", '{"error":'])
@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_deeply_nested_event_is_a_failure(opening: str, depth: int) -> None:
    """It does no harm to the conversation's task."""
    closing = "]" if opening == "[" else "}"
    with pytest.raises(AnswerError):
        Answer().feed(ServerSentEvent(f'{{"error":{opening * depth}{"1" if opening != "[" else ""}{closing * depth}}}'))


@pytest.mark.parametrize("data", ["<html>", '{"choices": "none"}', "[]", '{"choices":[{"delta":{"content":5}}]}', "1"])
def test_an_event_that_is_no_completion_is_a_failure(data: str) -> None:
    """It is not read as silence."""
    with pytest.raises(AnswerError, match="no chat completion"):
        Answer().feed(ServerSentEvent(data))


def test_an_empty_stream_is_a_failure() -> None:
    """Nothing at all came, so this may not even be a model."""
    with pytest.raises(AnswerError, match="the answer was empty"):
        Answer().close()
