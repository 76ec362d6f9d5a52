"""A judge's answers, good and bad."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import pytest

from antiphon.engines.base import Request, TextDelta, Thought
from antiphon.errors import EngineError
from antiphon.evaluation.judge import Judge, Verdict
from antiphon.evaluation.tool_calls import MISSING, at

SAID = [{"role": "agent", "message": "Hello."}]


class Model:
    """A language model that answers what it is told to, once each."""

    def __init__(self, answers: Iterable[str]) -> None:
        self._answers = iter(answers)

    async def prepare(self) -> None:
        """Nothing to load."""

    async def reply(self, request: Request) -> AsyncGenerator[Thought]:
        """The next answer; without one, it fails."""
        answer = next(self._answers, None)
        if answer is None:
            raise EngineError("model", "out of order")
        yield TextDelta(answer)

    async def aclose(self) -> None:
        """Nothing to free."""


def verdict(*answers: str, **options: Any) -> Verdict:
    """Of a model that answers so."""
    return asyncio.run(Judge(Model(answers)).verdict("it greets", SAID, **options))


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ('{"result": "success", "rationale": "x"}', "success"),
        ('```json\n{"result": "FAIL", "rationale": "x"}\n```', "failure"),
        ('{"thought": 1} {"result": true}', "success"),
        ("**Failed**: it did not.", "failure"),
        ("unknown", "unknown"),
    ],
)
def test_a_verdict_is_read_whatever_is_around_it(answer: str, result: str) -> None:
    """Fences, other objects, other words for the same."""
    assert verdict(answer).result == result


def test_an_answer_that_is_no_verdict_is_asked_for_once_more() -> None:
    """The second one counts; without one it is unknown, with the reason."""
    assert verdict("Hm.", '{"result": "success"}').result == "success"
    unsure = verdict("Hm.", "Well.", '{"result": "success"}')
    assert (unsure.result, "'Well.'" in unsure.rationale) == ("unknown", True)
    failed = verdict()
    assert (failed.result, "out of order" in failed.rationale) == ("unknown", True)


def test_a_score_stays_on_its_scale() -> None:
    """Where none was asked for there is none."""
    assert verdict('{"result": "success", "score": 12}', max_score=10).score == 10
    assert verdict('{"result": "success", "score": "good"}', max_score=10).score is None
    assert verdict('{"result": "success", "score": 12}').score is None


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("integer", '"4"', 4),
        ("integer", "4.5", None),
        ("boolean", '"yes"', True),
        ("number", "2", 2.0),
        ("string", "7", "7"),
    ],
)
def test_a_value_has_the_type_that_was_asked_for(kind: str, value: str, read: Any) -> None:
    """Or there is none."""
    judge = Judge(Model([f'{{"value": {value}, "rationale": "x"}}']))
    found = asyncio.run(judge.found("guests", {"type": kind}, SAID))
    assert found.value == read


def test_a_parameter_is_found_by_its_path() -> None:
    """Names and places in lists, with or without the root."""
    values = {"order": {"items": [{"id": 7}]}}
    assert at(values, "order.items.0.id") == at(values, "$.order.items[0].id") == 7
    assert at(values, "order.name") is MISSING
