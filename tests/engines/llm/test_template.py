"""Places in a script's texts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.engines.llm.template import blank, fill, fill_all, places, result_value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Order {1}, {name}: {result.items.0.x-y}.", ["1", "name", "result.items.0.x-y"]),
        ('{} { 1 } {{1}} {a b} {.x} {x.} {"a": 1} 1} {2 {{3} {4}}', []),
        ("{1}{2}", ["1", "2"]),
    ],
)
def test_only_a_name_or_number_in_single_braces_is_a_place(text: str, found: list[str]) -> None:
    """All other braces are text."""
    assert places(text) == found
    assert fill(text, lambda place: f"<{place}>").count("<") == len(found)


def test_what_is_filled_in_is_not_filled_again() -> None:
    """A caller who says "{2}" gets just that."""
    assert fill("{1} {2}", {"1": "{2}", "2": "x"}.__getitem__) == "{2} x"


def test_texts_are_filled_at_any_depth_and_stay_texts() -> None:
    """Numbers, truth values and names of fields are left alone."""
    values = {"{1}": "{1}", "list": ["{1}!", 7, {"deep": ("{1}", None, True)}]}
    assert fill_all(values, lambda _: "5") == {"{1}": "5", "list": ["5!", 7, {"deep": ["5", None, True]}]}


def test_a_text_without_its_places_reads_on() -> None:
    """What is left is what can be known beforehand."""
    assert blank("Order {1}  is {result.status}.") == "Order is ."
    assert blank("{result}") == ""


@pytest.mark.parametrize(
    ("result", "path", "words"),
    [
        ("sunny", "", "sunny"),
        ('"sunny"', "", "sunny"),
        ("7", "", "7"),
        ('{"a": {"b": [{"c": "x"}, 2.50]}}', "a.b.0.c", "x"),
        ('{"a": {"b": [{"c": "x"}, 2.50]}}', "a.b.1", "2.5"),
        ('{"open": true}', "open", "true"),
        ('{"days": ["Monday", null, "Friday"]}', "days", "Monday, Friday"),
        ('{"a": {"b": "ü"}}', "a", '{"b": "ü"}'),
        ('{"0": "zero"}', "0", "zero"),
        ('{"a": null}', "a", None),
        ('{"a": 1}', "b", None),
        ('{"a": 1}', "a.b", None),
        ("[1]", "1", None),
        ("[1]", "-1", None),
        ("sunny", "weather", None),
    ],
)
def test_a_result_is_read_by_its_path(result: str, path: str, words: str | None) -> None:
    """As words to say; where there is nothing, nothing is made up."""
    assert result_value(result, path.split(".") if path else []) == words


def test_a_result_that_is_no_standard_json_is_text() -> None:
    """Whatever a client sends, it can be said."""
    for result in ("{'a': 1}", "", "9" * 5000, "[" * 100_000):
        assert result_value(result, []) == result
        assert result_value(result, ["a"]) is None


@pytest.mark.parametrize("depth", [100, 500, 900, 950, 990, 5000])
def test_a_deep_result_does_no_harm(depth: int) -> None:
    """A client chooses how deep."""
    assert isinstance(result_value("[" * depth + "]" * depth, []), str)


def test_numbers_are_said_as_they_were_sent() -> None:
    """A long number is not rounded."""
    value: dict[str, Any] = {"id": 12345678901234567890}
    assert result_value(json.dumps(value), ["id"]) == "12345678901234567890"
