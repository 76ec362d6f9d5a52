"""How words sound, in the acoustic model's phones: its dictionary, else espeak-ng's opinion, else a rule of thumb."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Final

PATIENCE: Final = 10.0
"Seconds that espeak-ng may take."

# The International Phonetic Alphabet, as espeak-ng writes American English, to the phones of the CMU dictionary. Longer
# ones first: what begins alike must not be cut short.
_IPA: Final[Mapping[str, str]] = {
    "aɪɚ": "AY ER",
    "aɪə": "AY AH",
    "aʊɚ": "AW ER",
    "ɑːɹ": "AA R",
    "ɔːɹ": "AO R",
    "oːɹ": "AO R",
    "ɛɹ": "EH R",
    "ɪɹ": "IH R",
    "ʊɹ": "UH R",
    "tʃ": "CH",
    "dʒ": "JH",
    "aɪ": "AY",
    "aʊ": "AW",
    "eɪ": "EY",
    "oʊ": "OW",
    "əʊ": "OW",
    "ɔɪ": "OY",
    "ɜː": "ER",
    "iː": "IY",
    "uː": "UW",
    "ɑː": "AA",
    "ɔː": "AO",
    "oː": "AO",
    "əl": "AH L",
    "n̩": "AH N",
    "l̩": "AH L",
    "ɝ": "ER",
    "ɚ": "ER",
    "ɐ": "AH",
    "ə": "AH",
    "ʌ": "AH",
    "ᵻ": "IH",
    "ɨ": "IH",
    "ɪ": "IH",
    "i": "IY",
    "y": "IY",
    "ɛ": "EH",
    "e": "EH",
    "æ": "AE",
    "a": "AA",
    "ʊ": "UH",
    "u": "UW",
    "ɑ": "AA",
    "ɔ": "AO",
    "ɒ": "AA",
    "o": "OW",
    "θ": "TH",
    "ð": "DH",
    "ʃ": "SH",
    "ʒ": "ZH",
    "ŋ": "NG",
    "ɹ": "R",
    "r": "R",
    "ɾ": "T",
    "ʔ": "T",
    "j": "Y",
    "w": "W",
    "h": "HH",
    "x": "K",
    "ɡ": "G",
    "g": "G",
    "l": "L",
    "ɬ": "L",
    "m": "M",
    "n": "N",
    "ɲ": "N",
    "p": "P",
    "b": "B",
    "t": "T",
    "d": "D",
    "k": "K",
    "f": "F",
    "v": "V",
    "s": "S",
    "z": "Z",
    "ç": "HH",
    "q": "K",
}
_LETTERS: Final[Mapping[str, str]] = {
    "tion": "SH AH N",
    "igh": "AY",
    "tch": "CH",
    "sch": "SH",
    "dge": "JH",
    "ch": "CH",
    "ck": "K",
    "gh": "G",
    "kn": "N",
    "ng": "NG",
    "ph": "F",
    "qu": "K W",
    "sh": "SH",
    "th": "TH",
    "wh": "W",
    "wr": "R",
    "ai": "EY",
    "ay": "EY",
    "au": "AO",
    "aw": "AO",
    "ea": "IY",
    "ee": "IY",
    "ei": "EY",
    "ey": "IY",
    "eu": "UW",
    "ew": "UW",
    "ie": "IY",
    "oa": "OW",
    "oi": "OY",
    "oo": "UW",
    "ou": "AW",
    "ow": "OW",
    "oy": "OY",
    "ue": "UW",
    "ar": "AA R",
    "er": "ER",
    "ir": "ER",
    "or": "AO R",
    "ur": "ER",
    "ce": "S",
    "ci": "S IH",
    "a": "AE",
    "b": "B",
    "c": "K",
    "d": "D",
    "e": "EH",
    "f": "F",
    "g": "G",
    "h": "HH",
    "i": "IH",
    "j": "JH",
    "k": "K",
    "l": "L",
    "m": "M",
    "n": "N",
    "o": "AA",
    "p": "P",
    "q": "K",
    "r": "R",
    "s": "S",
    "t": "T",
    "u": "AH",
    "v": "V",
    "w": "W",
    "x": "K S",
    "y": "IY",
    "z": "Z",
}
_NAMES: Final[Mapping[str, str]] = {
    "a": "EY",
    "b": "B IY",
    "c": "S IY",
    "d": "D IY",
    "e": "IY",
    "f": "EH F",
    "g": "JH IY",
    "h": "EY CH",
    "i": "AY",
    "j": "JH EY",
    "k": "K EY",
    "l": "EH L",
    "m": "EH M",
    "n": "EH N",
    "o": "OW",
    "p": "P IY",
    "q": "K Y UW",
    "r": "AA R",
    "s": "EH S",
    "t": "T IY",
    "u": "Y UW",
    "v": "V IY",
    "w": "D AH B AH L Y UW",
    "x": "EH K S",
    "y": "W AY",
    "z": "Z IY",
}


def read_dictionary(path: str) -> dict[str, list[str]]:
    """word -> its pronunciations, of a dictionary in the CMU's format."""
    pronunciations: dict[str, list[str]] = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            word, _, phones = line.rstrip().partition(" ")
            if word.endswith(")"):
                word = word[: word.rindex("(")]
            pronunciations.setdefault(word, []).append(phones)
    return pronunciations


def spelled(word: str) -> str | None:
    """A word's phones by its letters alone: `z eh n d eh s k`. None if they are not letters of English."""
    letters = word.replace("'", "").replace(".", "")
    if not letters or not re.fullmatch("[a-z]+", letters):
        return None
    if not re.search("[aeiouy]", letters):
        return " ".join(_NAMES[letter] for letter in letters)
    letters = re.sub(r"(.)\1", r"\1", letters) if not re.search("ee|oo", letters) else letters
    if len(letters) > 3 and letters.endswith("e") and letters[-2] not in "aeiou":
        letters = letters[:-1]
    return " ".join(_longest(letters, _LETTERS))


def from_ipa(ipa: str) -> str:
    """Phones for what espeak-ng says; signs without a counterpart (stress, length) are left out."""
    return " ".join(_longest(re.sub("[ˈˌ ]", "", ipa), _IPA))


def _longest(text: str, table: Mapping[str, str]) -> Iterator[str]:
    position = 0
    while position < len(text):
        for length in (4, 3, 2, 1):
            if phones := table.get(text[position : position + length]):
                yield phones
                position += min(length, len(text) - position)
                break
        else:
            position += 1


def pronounce(words: Collection[str]) -> dict[str, str]:
    """Phones of words that no dictionary has. Words that cannot be pronounced are missing from the answer."""
    sounds = {word: from_ipa(ipa) for word, ipa in _ask_espeak(sorted(words)).items()}
    guesses = {word: sounds.get(word) or spelled(word) for word in words}
    return {word: phones for word, phones in guesses.items() if phones}


def _ask_espeak(words: list[str]) -> dict[str, str]:
    """What espeak-ng says, run as a program of its own because it is GPL; nothing where it is not installed."""
    try:
        answer = subprocess.run(
            [sys.executable, "-P", "-m", "antiphon.engines.stt.pronounce_program"],
            input="\n".join(words),
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    said = answer.stdout.split("\n")[: len(words)]
    return {word: ipa for word, ipa in zip(words, said, strict=False) if ipa}
