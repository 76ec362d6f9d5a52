"""Sentences -> a trigram model and its dictionary."""

from __future__ import annotations

import pytest

from antiphon.engines.stt.everyday import DIGITS, RUN_LENGTHS, SLOTS
from antiphon.engines.stt.language_model import END, Counts, Model, dictionary, words


def model_of(*sentences: str, slots: dict[str, list[str]] | None = None) -> Model:
    """The model of these sentences, all alike."""
    counts = Counts(slots or {})
    for sentence in sentences:
        counts.add(sentence, 1.0)
    return Model(counts)


def test_text_is_read_as_words_and_places() -> None:
    """Case and punctuation go, apostrophes and places stay."""
    assert words("What's your name? {Name}, it’s ten o'clock!") == [
        "what's",
        "your",
        "name",
        "{name}",
        "it's",
        "ten",
        "o'clock",
    ]


@pytest.mark.parametrize("history", [(), ("<s>",), ("my",), ("<s>", "my"), ("unknown",), ("my", "unknown")])
def test_probabilities_after_any_history_add_up_to_one(history: tuple[str, ...]) -> None:
    """Seen or not."""
    model = model_of("my name is anna", "my order is late", "where is my order")
    assert sum(model.probability(word, history) for word in model.explicit[()]) == pytest.approx(1.0, abs=1e-6)


def test_what_was_said_is_likelier_than_what_was_not_and_nothing_is_impossible() -> None:
    """Callers say paraphrases."""
    model = model_of("where is my order", "where is my parcel")
    assert model.probability("my", ("where", "is")) > 5 * model.probability("where", ("where", "is"))
    assert all(model.probability(word, ("is", "my")) > 0 for word in ("where", "order", END))


def test_one_day_stands_for_all_days() -> None:
    """Who may come on Monday may come on Friday."""
    model = model_of("can i come on monday")
    assert model.probability("friday", ("come", "on")) == pytest.approx(model.probability("monday", ("come", "on")))


def test_an_own_slot_works_like_a_day() -> None:
    """`slots`: words that stand for each other."""
    model = model_of("my name is anna", slots={"name": ["anna", "Tom"]})
    assert model.probability("tom", ("name", "is")) == pytest.approx(model.probability("anna", ("name", "is")))


def test_a_run_of_digits_stands_for_any_digits_of_any_length() -> None:
    """Order numbers are never in the agent's file."""
    model = model_of("my number is one two three")
    assert all(model.probability(digit, ("number", "is")) > 0.01 for digit in DIGITS)
    assert model.probability(END, ("five", "six")) > 0.01


def test_everyday_groups_are_probabilities() -> None:
    """Of each slot, and of how many digits people say."""
    for slot in SLOTS.values():
        assert sum(slot.values()) == pytest.approx(1.0)
    assert sum(RUN_LENGTHS.values()) == pytest.approx(1.0)


def test_any_of_several_groups_may_be_said_alone_or_in_a_row() -> None:
    """Each is as likely as the other; how likely together, their weight says. Of no groups nothing is counted."""
    counts = Counts({})
    counts.add("where is my order", 1.0)
    counts.add_any([], 5.0)
    counts.add_any(["okay", "i see"], 9.0)
    counts.add_any(["okay", "i see"], 9.0, in_a_row=2)
    model = Model(counts)
    begins = {word: model.probability(word, ("<s>",)) for word in ("okay", "i", "where")}
    assert begins["okay"] == pytest.approx(begins["i"])
    assert begins["okay"] > 5 * begins["where"]
    assert model.probability("okay", ("i", "see")) > 0.1
    assert model.probability(END, ("<s>", "okay")) > 0.3


def test_the_file_lists_what_it_announces() -> None:
    """ARPA: counts first, then as many lines."""
    lines = model_of("where is my order").arpa().splitlines()
    for order in (1, 2, 3):
        (announced,) = [int(line.split("=")[1]) for line in lines if line.startswith(f"ngram {order}=")]
        begin = lines.index(f"\\{order}-grams:") + 1
        assert lines.index("", begin) - begin == announced


def test_second_pronunciations_are_numbered() -> None:
    """As PocketSphinx reads them."""
    assert dictionary(["a"], {"a": ["AH", "EY"]}) == "a AH\na(2) EY\n"
