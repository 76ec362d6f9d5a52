"""How words sound that the dictionary does not have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from antiphon.engines.stt.pronunciation import from_ipa, pronounce, read_dictionary, spelled

PHONES = frozenset(
    {"AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K"}
    | {"L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"}
)
"What the acoustic model knows."
STRANGE = ["zendesk", "kubernetes", "okonkwo", "siobhan", "xyz", "naïve", "o'brien's", "livekit"]


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("zendesk", "Z EH N D EH S K"),
        ("tom", "T AA M"),
        ("sheep", "SH IY P"),
        ("bcd", "B IY S IY D IY"),
        ("über", None),
    ],
)
def test_letters_give_a_rule_of_thumb(word: str, phones: str | None) -> None:
    """And nothing where they are not letters of English."""
    assert spelled(word) == phones


def test_phonetic_script_becomes_phones_of_the_model() -> None:
    """Stress and length marks are left out."""
    assert from_ipa("kjˌuːbɚnˈɛɾiːz") == "K Y UW B ER N EH T IY Z"


def test_every_answer_can_be_used_by_the_recogniser() -> None:
    """One phone that it does not know would fail the whole decoder."""
    for word, phones in pronounce(STRANGE).items():
        assert word in STRANGE
        assert set(phones.split()) <= PHONES


@pytest.mark.component("espeak")
def test_espeak_is_asked_in_a_process_of_its_own() -> None:
    """It is GPL: nothing of it may be loaded here."""
    assert "kubernetes" in pronounce(["kubernetes"])
    loaded = Path("/proc/self/maps").read_text(encoding="utf-8")
    assert re.search(r"libespeak", loaded) is None


def test_a_dictionary_may_have_several_pronunciations_of_a_word(tmp_path: Path) -> None:
    """Numbered after the first."""
    file = tmp_path / "some.dict"
    file.write_text("a AH\na(2) EY\nbe B IY\n", encoding="utf-8")
    assert read_dictionary(str(file)) == {"a": ["AH", "EY"], "be": ["B IY"]}
