"""Texts and values as a scene names them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_core import PydanticCustomError

from antiphon.simulation.scenes.matching import MISSING, at_path, checked, said, same


@pytest.mark.parametrize(
    ("wanted", "text", "is_said"),
    [
        ("how can i help", "Hello! How can I help?", True),
        ("How can I help you?", "Hello! How can I help?", False),
        ("can", "I cannot", False),
        ("it's seven", "IT’S  SEVEN.", True),
        ("straße", "Die STRASSE", True),
        ("/seven|eight/", "at eight", True),
        ("/SEVEN/", "at seven", False),
        ("/SEVEN/i", "at seven", True),
        ("/^at/", "look at", False),
    ],
)
def test_speech_is_compared_as_it_is_heard(wanted: str, text: str, is_said: bool) -> None:
    """Whole words, in any case and punctuation; an expression as it stands."""
    assert said(wanted, text) is is_said


@pytest.mark.parametrize("text", ["/(/", "", "?!"])
def test_what_cannot_be_looked_for_is_refused(text: str) -> None:
    """A broken expression, and a text without a word, which would be in every text."""
    with pytest.raises(PydanticCustomError):
        checked(text)


@pytest.mark.parametrize(
    ("path", "value"),
    [("a.0.b", 1), ("a.1", MISSING), ("a.x", MISSING), ("c", None), ("d", MISSING)],
)
def test_a_path_leads_into_a_message(path: str, value: Any) -> None:
    """Keys and indices; null is a value."""
    assert at_path({"a": [{"b": 1}], "c": None}, path) is value or at_path({"a": [{"b": 1}], "c": None}, path) == value


@pytest.mark.parametrize(
    ("one", "other", "equal"), [(1, 1.0, True), (1, True, False), (0, False, False), ("1", 1, False)]
)
def test_a_number_is_no_truth_value(one: Any, other: Any, equal: bool) -> None:
    """As JSON has it, not as Python has it."""
    assert same(one, other) is equal
