"""Which words over the agent's voice only say "I am listening" (turns/backchannels.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turns.backchannels import backchannels, is_backchannel, may_become_backchannel


@pytest.mark.parametrize(
    "text",
    [
        "mm-hm",
        "Mm-hmm.",
        "uh-huh",
        "Yeah.",
        "yeah, yeah, yeah",
        "right",
        "OK",
        "okay right",
        "I see.",
        "got it",
        "Oh, I see!",
        "right, got it",
        "that’s right",
    ],
)
def test_what_only_says_i_am_listening_is_a_backchannel(text: str) -> None:
    """Alone, repeated, one after the other; whatever the case and the punctuation."""
    assert is_backchannel(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "...",
        "no",
        "stop",
        "wait",
        "what",
        "hello",
        "hold on",
        "excuse me",
        "yeah but",
        "okay stop",
        "right here",
        "I see a problem",
        "yeah I wanted to ask something",
        "no that's not right",
        "yeah yeah yeah yeah yeah yeah yeah yeah yeah yeah yeah yeah yeah",
    ],
)
def test_what_wants_the_floor_is_none(text: str) -> None:
    """One word that is no backchannel is enough; so is saying very much."""
    assert not is_backchannel(text)


@pytest.mark.parametrize(
    ("language", "yes", "no"),
    [
        ("de", "ja genau", "nein"),
        ("de-AT", "alles klar", "moment"),
        ("fr", "d'accord", "non"),
        ("es", "sí, claro", "espera"),
        ("it", "va bene", "aspetti"),
        ("pt_BR", "tá bom", "espera aí"),
        ("nl", "ja hoor", "nee"),
        ("pl", "no tak", "nie"),
        ("ja", "はい。", "いいえ"),
        ("zh", "嗯嗯", "等一下"),
        ("ko", "네", "아니요"),
        ("hi", "ठीक है", "नहीं"),
        ("ar", "نعم", "لا"),
        ("fi", "mm-hm", "joo"),
    ],
)
def test_each_language_has_its_own(language: str, yes: str, no: str) -> None:
    """A language without a list has the noises alone."""
    assert is_backchannel(yes, language)
    assert not is_backchannel(no, language)


def test_the_agents_own_terms_are_whole_utterances() -> None:
    """They count in any spelling, and only alone; `defaults` switches the language's own off."""
    terms = frozenset({"Roger that!", "copy"})
    assert is_backchannel("roger that", "en", terms)
    assert not is_backchannel("roger that and more", "en", terms)
    assert is_backchannel("copy", "xx", terms, defaults=False)
    assert not is_backchannel("yeah", "en", terms, defaults=False)


@given(
    st.lists(st.sampled_from(sorted(backchannels("en"))), min_size=1, max_size=3), st.sampled_from([" ", ", ", "! "])
)
def test_any_few_of_them_together_are_one(phrases: list[str], between: str) -> None:
    """However they are strung."""
    assert is_backchannel(between.join(phrases).upper())


@given(st.text(max_size=60), st.sampled_from(["en", "ja", "", "x-y"]))
def test_any_text_gets_an_answer(text: str, language: str) -> None:
    """And adding a word that takes the floor always makes it none."""
    is_backchannel(text, language)
    assert not is_backchannel(f"{text} stop", language)


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "pt", "nl", "pl", "ja", "zh", "ko", "hi", "ar"])
def test_refusals_and_calls_stand_in_no_list(language: str) -> None:
    """Where the word means what it means in English."""
    taken = {"stop", "wait", "what", "hello", "nein", "non", "nee", "nie", "não", "いいえ", "不", "아니요", "नहीं", "لا"}
    assert backchannels(language).isdisjoint(taken | (set() if language == "pl" else {"no"}))


@pytest.mark.parametrize("text", ["", "I", "that's", "oh", "oh I", "Got", "yeah", "yeah I", "okay makes", "of"])
def test_the_beginning_of_a_backchannel_is_not_yet_anything_else(text: str) -> None:
    """A partial transcript shows the first word of "I see" before the second."""
    assert may_become_backchannel(text)


@pytest.mark.parametrize("text", ["stop", "I want", "this", "see", "yeah but", "no I", "ok what"])
def test_what_can_no_longer_become_one_is_known_at_once(text: str) -> None:
    """There is no need to wait for more."""
    assert not may_become_backchannel(text)


def test_the_agents_own_terms_may_be_begun_too() -> None:
    """As whole utterances, word by word."""
    terms = frozenset({"roger that"})
    assert may_become_backchannel("Roger", "en", terms)
    assert not may_become_backchannel("rog", "en", terms)
    assert not may_become_backchannel("roger this", "en", terms)
    assert not may_become_backchannel("yeah", "en", terms, defaults=False)
    assert may_become_backchannel("", "en", terms, defaults=False)


@given(st.lists(st.sampled_from(sorted(backchannels("en"))), min_size=1, max_size=3), st.integers(1, 6))
def test_every_beginning_of_backchannels_may_become_some(phrases: list[str], length: int) -> None:
    """Wherever the partial transcript breaks off."""
    assert may_become_backchannel(" ".join(" ".join(phrases).split()[:length]))
