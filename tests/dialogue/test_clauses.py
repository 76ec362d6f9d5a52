"""Streamed text -> pieces worth speaking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.dialogue.clauses import MAX_CLAUSE, ClauseSplitter


def split(*pieces: str) -> list[str]:
    """All clauses of a text that comes in these pieces."""
    splitter = ClauseSplitter()
    return [clause for piece in pieces for clause in splitter.push(piece)] + splitter.flush()


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Hello. How are you?", ["Hello. ", "How are you?"]),
        ("Dr. Smith is in.", ["Dr. Smith is in."]),
        ("It costs 3.50 euros. Fine?", ["It costs 3.50 euros. ", "Fine?"]),
        ("Yes, we are open.", ["Yes, we are open."]),
        ("We are open on weekdays, and on Sunday.", ["We are open on weekdays, ", "and on Sunday."]),
        ("Line one\nline two", ["Line one\n", "line two"]),
        ("元気ですか？はい。", ["元気ですか？", "はい。"]),
        ("", []),
    ],
)
def test_text_is_cut_where_a_speaker_would_pause(text: str, clauses: list[str]) -> None:
    """At the ends of sentences, and at commas once there is enough before them."""
    assert split(text) == clauses


def test_buffer_words_are_spoken_at_once() -> None:
    """A custom model's `"... "` means: say this while I think (rest.md 4)."""
    splitter = ClauseSplitter()
    assert splitter.push("Let me see... ") == ["Let me see... "]


@given(st.lists(st.text(alphabet="ab .,!?\n。，'\"", max_size=40), max_size=20))
def test_the_pieces_joined_are_the_text(pieces: list[str]) -> None:
    """The ledger counts characters: none may be lost or added, however the text comes."""
    assert "".join(split(*pieces)) == "".join(pieces)


def test_text_without_punctuation_is_cut_at_a_space() -> None:
    """A model that never ends a sentence is spoken all the same."""
    clauses = split("word " * 200)
    assert len(clauses) > 3
    assert all(len(clause) <= MAX_CLAUSE for clause in clauses)
