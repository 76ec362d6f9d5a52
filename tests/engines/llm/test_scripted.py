"""The engine `scripted`: rules, places, tools."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from antiphon.engines.base import (
    CONTEXT_PREFIX,
    EngineContext,
    Message,
    Request,
    Scripted,
    TextDelta,
    Thought,
    ToolCall,
)
from antiphon.engines.llm.scripted import ERROR, MAX_TEXT, ScriptedLanguageModel, create
from antiphon.errors import ConfigError
from antiphon.simulation.loop import run

ORDER = {
    "when": r"order (?:number )?(?P<number>\d+)( please)?",
    "examples": ["where is order 12", "order number 7 please"],
    "say": "Let me see.",
    "tool": {"name": "get_order", "parameters": {"order_id": "{number}", "options": [{"raw": "<{0}>"}, 3]}},
    "then": "Order {1} is {result.status}, due {result.days.0}.",
    "error": "I cannot see order {number}: {result}",
}
DEFAULT = {"say": "Sorry, I can only tell you about orders."}


def engine(*rules: dict[str, Any]) -> ScriptedLanguageModel:
    return create({"rules": list(rules)}, EngineContext())


def answer(model: ScriptedLanguageModel, messages: Sequence[Message]) -> list[Thought]:
    async def collect() -> list[Thought]:
        return [thought async for thought in model.reply(Request(messages))]

    return run(collect())


def says(model: ScriptedLanguageModel, *messages: Message | str) -> str:
    context = [Message("user", message) if isinstance(message, str) else message for message in messages]
    return "".join(thought.text for thought in answer(model, context) if isinstance(thought, TextDelta))


def note(text: str) -> Message:
    return Message("system", CONTEXT_PREFIX + text)


def called(result: str, *, is_error: bool = False, name: str = "get_order", call_id: str = "call_1") -> list[Message]:
    return [
        Message("assistant", "Let me see.", tool_calls=[ToolCall(call_id, name, {})]),
        Message("tool", result, tool_call_id=call_id, is_error=is_error),
    ]


# ---------------------------------------------------------------------------------------------------- which rule


def test_the_first_rule_that_fits_answers() -> None:
    """Anywhere in the text, upper or lower case; if none fits, the last."""
    model = engine({"when": "opening", "say": "A"}, {"when": "^open", "say": "B"}, DEFAULT)
    assert says(model, "your OPENING hours?") == "A"
    assert says(model, "Open today?") == "B"
    assert says(model, "reopen") == DEFAULT["say"]


def test_the_last_user_text_counts() -> None:
    """Not what was said before, and not what the agent said."""
    model = engine({"when": "one", "say": "A"}, {"when": "two", "say": "B"}, DEFAULT)
    assert says(model, "one", Message("assistant", "one"), "two") == "B"


def test_a_contextual_update_can_be_a_condition() -> None:
    """Any of those the client sent, wherever they stand; the system prompt is none."""
    model = engine(
        {"when": "price", "context": "^page: (shoes|boots)", "say": "Shoes are 50."},
        {"context": "vip", "say": "Welcome back."},
        DEFAULT,
    )
    prompt = Message("system", "page: shoes vip")
    assert says(model, prompt, "price?") == DEFAULT["say"]
    assert says(model, prompt, note("Page: BOOTS"), "price?", note("other")) == "Shoes are 50."
    assert says(model, prompt, "price?", note("page: shoes")) == "Shoes are 50."
    assert says(model, note("page: shoes"), "hello") == DEFAULT["say"]
    assert says(model, note("a VIP"), "hello") == "Welcome back."


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [Message("system", "Be brief.")],
        [Message("user", "...")],
        [Message("user", "  ")],
        [Message("user", "order 7"), Message("assistant", "Anything else?")],
        [Message("user", "order 7"), Message("assistant", "Anything else?"), note("x"), Message("user", "...")],
    ],
)
def test_a_user_who_says_nothing_is_the_empty_text(messages: list[Message]) -> None:
    """A rule can be there for it; else the default answers. What was said earlier is not answered again."""
    assert says(engine({"when": "^$", "say": "Are you there?"}, ORDER, DEFAULT), *messages) == "Are you there?"
    assert says(engine(ORDER, DEFAULT), *messages) == DEFAULT["say"]


def test_a_very_long_text_is_matched_in_part() -> None:
    """A pattern that tries too hard must not stop the server."""
    model = engine({"when": "end$", "say": "A"}, DEFAULT)
    assert says(model, "x" * (MAX_TEXT - 3) + "end" + "y") == "A"
    assert says(model, "x" * MAX_TEXT + "end") == DEFAULT["say"]


# -------------------------------------------------------------------------------------------------------- answers


def test_groups_fill_the_answer() -> None:
    """By number and by name; a group that took no part is empty; other braces stay."""
    model = engine({"when": r"(\w+)(?P<rest> there)?", "say": "{{x}} {1}{2}{rest} { 1 } {}"}, DEFAULT)
    assert says(model, "hello") == "{{x}} hello { 1 } {}"
    assert says(model, "hello there") == "{{x}} hello there there { 1 } {}"


def test_an_answer_comes_word_by_word() -> None:
    """Each with the space after it: joined they are the text."""
    words = answer(engine({"say": " One  two,\nthree. "}), [Message("user", "x")])
    assert words == [TextDelta(" One  "), TextDelta("two,\n"), TextDelta("three. ")]


def test_a_delay_comes_before_the_answer() -> None:
    """By the loop's clock."""
    model = engine({"say": "One two.", "delay": 1.5})

    async def case() -> None:
        now = asyncio.get_running_loop().time
        times = [now() async for _ in model.reply(Request([Message("user", "x")]))]
        assert times == [1.5, 1.5]

    run(case())


# ---------------------------------------------------------------------------------------------------------- tools


def test_a_tool_is_called_after_the_words() -> None:
    """With groups in its parameters, at any depth, as texts."""
    assert answer(engine(ORDER, DEFAULT), [Message("user", "Order 12 please")]) == [
        TextDelta("Let "),
        TextDelta("me "),
        TextDelta("see."),
        ToolCall("call_1", "get_order", {"order_id": "12", "options": [{"raw": "<Order 12 please>"}, 3]}),
    ]


def test_ids_count_the_calls_of_the_conversation() -> None:
    """The same context gives the same id, another call another one."""
    model = engine(ORDER, DEFAULT)
    context = [Message("user", "order 1"), *called("{}"), Message("assistant", "Well."), Message("user", "order 2")]
    for _ in range(2):
        assert answer(model, context)[-1] == ToolCall(
            "call_2", "get_order", {"order_id": "2", "options": [{"raw": "<order 2>"}, 3]}
        )


def test_the_same_rule_goes_on_with_the_result() -> None:
    """Groups still hold; a contextual update that came meanwhile does not matter."""
    result = '{"status": "on its way", "days": ["Monday"]}'
    context = [Message("user", "order 12"), *called(result)]
    for late in ([], [note("page: boots")]):
        assert answer(engine(ORDER, DEFAULT), [*context, *late])[-1] == TextDelta("Monday.")
        assert says(engine(ORDER, DEFAULT), *context, *late) == "Order 12 is on its way, due Monday."


def test_the_rule_that_called_is_found_among_others_that_fit() -> None:
    """A condition on the context may have changed since: what counts is the call that was made."""
    first = {"when": "order", "context": "closed", "say": "We are closed."}
    assert says(engine(first, ORDER, DEFAULT), "order 12", *called('{"status":"lost"}'), note("closed")).startswith(
        "Order 12 is lost"
    )


def test_a_rule_without_then_has_said_all_it_had_to() -> None:
    """The answer to the result is empty."""
    model = engine({"when": "bye", "say": "Goodbye.", "tool": {"name": "end_call"}}, DEFAULT)
    assert answer(model, [Message("user", "bye")])[-1] == ToolCall("call_1", "end_call", {})
    assert answer(model, [Message("user", "bye"), *called("ok", name="end_call")]) == []


def test_what_a_result_lacks_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """The caller hears a gap, the author finds a warning, which holds nothing of the result."""
    assert says(engine(ORDER, DEFAULT), "order 12", *called('{"status":"secret"}')) == "Order 12 is secret, due ."
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.__dict__["at"] == "result.days.0"
    assert "secret" not in str(record.__dict__)


def test_a_failed_call_is_admitted() -> None:
    """With the rule's own words, or with a sentence for all."""
    failed = called("no answer", is_error=True)
    assert says(engine(ORDER, DEFAULT), "order 12", *failed) == "I cannot see order 12: no answer"
    plain = {name: value for name, value in ORDER.items() if name != "error"}
    assert says(engine(plain, DEFAULT), "order 12", *failed) == ERROR


def test_a_result_of_a_tool_that_no_rule_calls_is_answered_like_a_question() -> None:
    """The script was changed, or another model began the turn."""
    context = [Message("user", "order 12"), *called("x", name="other")]
    assert says(engine({"when": "order", "say": "A"}, DEFAULT), *context) == "A"
    assert says(engine(DEFAULT), *context) == DEFAULT["say"]


def test_an_interrupted_call_is_over() -> None:
    """The user has said something else since: that is answered."""
    context = [Message("user", "order 12"), *called("interrupted", is_error=True), Message("user", "never mind")]
    assert says(engine(ORDER, DEFAULT), *context) == DEFAULT["say"]


# ------------------------------------------------------------------------------------------------ what is expected


def test_the_script_tells_what_will_be_said() -> None:
    """By callers and by the agent: each sentence once, without the places that are filled later."""
    model = engine(
        ORDER,
        {"when": "again", "examples": ["where is order 12", "say {1} again"], "say": "Let me see."},
        {"when": "x", "tool": {"name": "f"}, "then": "{result}"},
        DEFAULT,
    )
    assert isinstance(model, Scripted)
    assert model.phrasings == ["where is order 12", "order number 7 please", "say again"]
    assert model.texts == ["Let me see.", "Order is , due .", "I cannot see order :", DEFAULT["say"]]


# --------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("rules", "path", "message"),
    [
        ([], "", "at least a last rule"),
        ([{"when": "a", "say": "A"}], "[0]", "the default"),
        ([DEFAULT, {"say": "A", "context": "x"}], "[0]", "no rule after it is reached"),
        ([{"when": "", "say": "A"}, DEFAULT], "[0]", "no rule after it is reached"),
        ([{"say": "A"}, {"context": "x", "say": "B"}], "[0]", "no rule after it is reached"),
        ([{"context": "x", "say": "B"}], "[0]", "the default"),
        ([{"say": "A", "tool": {"name": "f"}}], "[0]", "the default"),
        ([{"say": ""}], "[0]", "`say`, `tool` or both"),
        ([{"when": "a"}, DEFAULT], "[0]", "`say`, `tool` or both"),
        ([ORDER, {"when": "a", "say": "x", "then": "y"}, DEFAULT], "[1]", "there is no `tool`"),
        ([{"when": "(", "say": "x"}, DEFAULT], "[0].when", "no regular expression: missing"),
        ([ORDER, {"when": "a", "context": "*", "say": "x"}, DEFAULT], "[1].context", "no regular expression"),
        ([{"when": "(?P<result>a)", "say": "x"}, DEFAULT], "[0].when", "another name"),
        ([ORDER, {"wehn": "a", "say": "x"}, DEFAULT], "[1]", "unknown field `wehn`"),
        ([{"when": 3, "say": "x"}, DEFAULT], "[0].when", "Expected `str | null`"),
        ([{"when": "a", "tool": {"name": "f", "params": {}}}, DEFAULT], "[0].tool", "unknown field `params`"),
        ([{"when": "a", "tool": {}}, DEFAULT], "[0].tool", "missing required field `name`"),
        ([{"say": "x", "delay": -1}], "[0].delay", ">= 0"),
        ([{"say": "x", "examples": "hello"}], "[0].examples", "array"),
        ([{"when": "(a)", "say": "{2}"}, DEFAULT], "[0].say", r"nothing fills {2}; known here: {0}, {1}"),
        ([{"when": "(a)", "say": "{name}"}, DEFAULT], "[0].say", "nothing fills {name}"),
        ([{"when": "(a)", "say": "{1.x}"}, DEFAULT], "[0].say", "nothing fills {1.x}"),
        ([{"when": "a", "say": "{result}"}, DEFAULT], "[0].say", "nothing fills {result}"),
        (
            [{"when": "a", "tool": {"name": "f", "parameters": {"a": [{"b": "{result.x}"}]}}}, DEFAULT],
            "[0].tool.parameters",
            "nothing fills {result.x}",
        ),
        ([{"when": "a", "tool": {"name": "f"}, "then": "{results}"}, DEFAULT], "[0].then", "known here: {0}, {result}"),
        ([{"when": "a", "tool": {"name": "f"}, "error": "{1}"}, DEFAULT], "[0].error", "nothing fills {1}"),
    ],
)
def test_a_mistake_is_told_with_its_place(rules: list[dict[str, Any]], path: str, message: str) -> None:
    """When the agent is loaded: not one of them waits for a caller to find it."""
    with pytest.raises(ConfigError) as error:
        engine(*rules)
    assert error.value.path == f"conversation_config.antiphon.llm.rules{path}"
    assert message in error.value.message


@pytest.mark.parametrize("options", [{}, {"rules": [DEFAULT], "rule": []}, {"rules": {}}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    """Rules are needed, other keys are mistakes."""
    with pytest.raises(ConfigError) as error:
        create(options, EngineContext())
    assert error.value.path.startswith("conversation_config.antiphon.llm")
