"""What the words heard so far say about whether a turn is over, and what kind of answer a question asks for.

Theory of operation. A pause within a turn and the pause after it sound alike; the words often tell them apart. Nobody
ends on "and" or "my"; nobody goes on after "that's all, thanks"; who has said four digits of a telephone number will
say the rest, however long it takes to read it off a card. This is a judgement by word lists and counting, cheap enough
to be made for every partial transcript: it is wrong now and then, and all it does is lengthen or shorten a wait.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Sequence

from .observations import Expectation
from .vocabulary import Vocabulary, vocabulary


class Completeness(enum.StrEnum):
    """What the words say."""

    FINISHED = enum.auto()
    "A whole answer: little is gained by waiting."
    OPEN = enum.auto()
    "Nothing known."
    UNFINISHED = enum.auto()
    "Broken off within a sentence."
    DICTATING = enum.auto()
    "Within a number, a spelling, an address, where one pauses for long."


_TOKEN = re.compile(r"\d+|[^\W\d_]+(?:['-][^\W\d_]+)*|[@.,+#/_-]")
_APOSTROPHES = str.maketrans("’‘ʼ", "'''")
_TRAILING_OFF = ("...", "…", ",", ";", ":", "-", "–", "—", "、", "،")
_FULL_STOP = (".", "!", "?", "。", "।", "؟", "\u06d4")
_ASKED = ("?", "؟", "!")
_DATE = re.compile(r"(?:^|\D)(?:\d{4}-\d\d-\d\d|\d\d?([./-])\d\d?\1(?:\d{4}|\d\d))$")
_EMAIL = re.compile(r"@[\w.-]+\.[^\W\d_]{2,}$")
_POSTCODE_CITY = re.compile(r"(?:\b\d\d-\d{3}|\b\d{4,5}(?: ?[a-z]{2})?),? [^\d,]{3,}$")
_BRITISH_POSTCODE = re.compile(r"\b[a-z]{1,2}\d[a-z\d]? ?\d[a-z]{2}$")
_PUNCTUATION = frozenset("@.,+#/_-")
_CARD = 16
"Digits of a payment card: more than a telephone number has, so that twelve to fifteen are a part of one."
_ZIP = 5
_WORDS_BEFORE = 4
"How near the dictation its announcement must be."
_LONGEST_PHRASE = 5
_LONGEST_CLOSED = 10
"In words: a longer utterance is more than a yes."
_NEWEST = 300
"Characters that decide: what was said before them is over."
_ENDING = 6
"Words in which an ending can be."


def completeness(text: str, language: str = "en", expects: Expectation = Expectation.ANYTHING) -> Completeness:
    """Judge a partial transcript: everything the user has said in this turn, as far as it is known.

    `language` may be any code; of one without word lists (`vocabulary.LANGUAGES`) only digits and punctuation are
    judged. `expects` is what the agent asked for: `expectation`.
    """
    words = vocabulary(language)
    line = _plain(text[-_NEWEST:])
    for parted, whole in words.merges.items():
        line = line.replace(parted, whole)
    tokens: list[str] = _TOKEN.findall(line)
    spoken = [token for token in tokens if token not in _PUNCTUATION]
    if not spoken:
        return Completeness.OPEN
    bare = " ".join(spoken)
    if _closed(spoken, bare, words) and not line.endswith(_TRAILING_OFF):
        announces = expects is not Expectation.ANYTHING and bare in words.assent
        return Completeness.OPEN if announces else Completeness.FINISHED
    if expects is not Expectation.ANYTHING and words.refusal is not None and words.refusal.match(bare):
        expects = Expectation.ANYTHING
    ending = _ending(spoken)
    dictated = _dictation(line, tokens, ending, words, expects)
    return _sentence(line, bare, ending, words) if dictated is None else dictated


def _plain(text: str) -> str:
    if not text.isascii():  # full-width digits, composed letters, typographic apostrophes
        text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES)
    return text.strip().lower()


def _ending(spoken: Sequence[str]) -> str:
    return " ".join(spoken[-_ENDING:])


def _closed(spoken: Sequence[str], bare: str, words: Vocabulary) -> bool:
    """Whether nothing but closed phrases was said, one after the other."""
    if bare in words.closed:
        return True
    if len(spoken) > _LONGEST_CLOSED:
        return False
    at = 0
    while at < len(spoken):
        for length in range(min(_LONGEST_PHRASE, len(spoken) - at), 0, -1):
            if " ".join(spoken[at : at + length]) in words.closed:
                at += length
                break
        else:
            return False
    return True


def _sentence(line: str, bare: str, ending: str, words: Vocabulary) -> Completeness:
    """By how it ends."""
    if line.endswith(_TRAILING_OFF):
        return Completeness.UNFINISHED
    if not line.endswith(_ASKED) and not (words.elliptic is not None and words.elliptic.search(bare)):
        if (
            ending.rpartition(" ")[2] in words.dangling
        ):  # whatever the punctuation: recognisers end every partial with a full stop
            return Completeness.UNFINISHED
        if words.stems is not None and not line.endswith(_FULL_STOP) and words.stems.search(ending):
            return Completeness.UNFINISHED
    if line.endswith(_FULL_STOP) or (words.last is not None and words.last.search(ending)):
        return Completeness.FINISHED
    return Completeness.OPEN


# ----------------------------------------------------------------------------------------------------- dictation


def _dictation(
    line: str, tokens: Sequence[str], ending: str, words: Vocabulary, expects: Expectation
) -> Completeness | None:
    """FINISHED or DICTATING where the end is dictated; None where it is not."""
    line = line.rstrip(".!?,;: ")
    if words.last is not None and words.last.search(ending):
        return None
    if words.units_of_measure is not None and words.units_of_measure.search(ending):
        return Completeness.FINISHED if expects is Expectation.NUMBER else None
    begin = _run(tokens, words)
    run, before = tokens[begin:], tokens[:begin]
    match expects:
        case Expectation.NUMBER:
            if not run:
                return Completeness.DICTATING if _day_without_year(tokens, words) else None
            return _number(line, run, before, words)
        case Expectation.SPELLING:
            return _spelling(line, run, before, ending, words)
        case Expectation.ADDRESS:
            return _address(line, run, before, ending, words)
        case Expectation.ANYTHING:
            return _unasked(line, run, before, ending, words)


def _run(tokens: Sequence[str], words: Vocabulary) -> int:
    """Where the run of digits, letters and separators at the end begins; a separator begins none."""
    at = begin = len(tokens)
    while at:
        token = tokens[at - 1]
        if _is_digits(token, words) or token in words.repeats or _is_letter(token, words):
            begin = at - 1
        elif token not in _PUNCTUATION and token not in words.separators and token not in words.joiners:
            break
        at -= 1
    return begin


def _is_digits(token: str, words: Vocabulary) -> bool:
    return (
        token.isdecimal()
        or token in words.units
        or token in words.tens
        or token in words.teens
        or token in words.scales
        or (words.compound is not None and words.compound.fullmatch(token) is not None)
        or ("-" in token and all(_is_digits(part, words) for part in token.split("-")))
    )


def _is_letter(token: str, words: Vocabulary) -> bool:
    return (len(token) == 1 and token.isalpha() and token.isascii()) or token in words.spelled


def _count(run: Sequence[str], words: Vocabulary) -> int:
    """How many digits were said."""
    digits, times, tens = 0, 1, ""
    for token in run:
        if token in _PUNCTUATION or token in words.joiners:
            continue
        if token in words.repeats:
            times = words.repeats[token]
            continue
        if token.isdecimal():
            added = len(token)
        elif token in words.units:
            added = 0 if tens else 1
        elif token in words.teens or token in words.tens:
            added = 0 if tens in words.joins_teens and token in words.teens else 2
        elif token in words.scales:
            added = words.scales[token]
        elif "-" in token and not (words.compound is not None and words.compound.fullmatch(token)):
            added = _count(token.split("-"), words)
        else:
            added = 2 if words.compound is not None and words.compound.fullmatch(token) else 0
        digits += added * times
        tens = token if token in words.tens else ""
        times = 1
    return digits


def _hangs(run: Sequence[str], words: Vocabulary) -> bool:
    """Whether it ends on what comes before a digit or a letter: `double`, `dash`."""
    spoken = [token for token in run if token not in _PUNCTUATION]
    return bool(spoken) and (spoken[-1] in words.repeats or spoken[-1] in words.separators)


def _number(line: str, run: Sequence[str], before: Sequence[str], words: Vocabulary) -> Completeness | None:
    digits = _count(run, words)
    if not digits and not _hangs(run, words):
        return None
    if _DATE.search(line):
        return Completeness.FINISHED
    if _hangs(run, words):
        return Completeness.DICTATING
    year = digits >= 4 and not words.months.isdisjoint(before)
    whole = year or digits in words.whole_number or digits >= _CARD
    return Completeness.FINISHED if whole else Completeness.DICTATING


def _day_without_year(tokens: Sequence[str], words: Vocabulary) -> bool:
    """A date of birth has been begun: `march third`, `der dritte märz`."""
    return not words.months.isdisjoint(tokens[-_WORDS_BEFORE:])


def _spelling(
    line: str, run: Sequence[str], before: Sequence[str], ending: str, words: Vocabulary
) -> Completeness | None:
    if _whole_email(line, ending, words):
        return Completeness.FINISHED
    if run:
        spells = "".join(token[0] if token.isalpha() else token for token in run if token not in _PUNCTUATION)
        if len(spells) > 1 and not _hangs(run, words) and spells in before:  # "Smith, S M I T H"
            return Completeness.FINISHED
        return Completeness.DICTATING
    if "@" in line or any(f" {separator} " in f" {ending} " for separator in words.separators):
        return Completeness.DICTATING
    return Completeness.DICTATING if _says_something(ending, words) else None


def _whole_email(line: str, ending: str, words: Vocabulary) -> bool:
    if "@" in line:
        return _EMAIL.search(line) is not None
    spoken = ending.split()
    return len(spoken) > 3 and spoken[-1] in words.domains and spoken[-2] in words.separators


def _says_something(ending: str, words: Vocabulary) -> bool:
    """Whether it ends on a word that a sentence may end on."""
    return ending.rpartition(" ")[2] not in words.dangling and not (
        words.stems is not None and words.stems.search(ending)
    )


def _address(
    line: str, run: Sequence[str], before: Sequence[str], ending: str, words: Vocabulary
) -> Completeness | None:
    numbered = any(_is_digits(token, words) for token in before)
    zipped = numbered and _count(run, words) in (_ZIP, 2 * _ZIP - 1)
    if zipped or _BRITISH_POSTCODE.search(line):
        return Completeness.FINISHED
    if (town := _POSTCODE_CITY.search(line)) and any(mark.isdecimal() for mark in line[: town.start()]):
        return Completeness.FINISHED
    return Completeness.DICTATING if _says_something(ending, words) else None


def _unasked(
    line: str, run: Sequence[str], before: Sequence[str], ending: str, words: Vocabulary
) -> Completeness | None:
    """Nothing was asked for: a number or a spelling must show itself to be one."""
    if _whole_email(line, ending, words):
        return Completeness.FINISHED
    spoken = [token for token in run if token not in _PUNCTUATION]
    if not spoken:
        return None
    letters = sum(_is_letter(token, words) for token in spoken)
    single = sum(token in words.units or (token.isdecimal() and len(token) == 1) for token in spoken)
    near = " ".join(before[-_WORDS_BEFORE:])
    announced = words.announces is not None and words.announces.search(near) is not None
    asked_to_spell = words.spelling is not None and words.spelling.search(near) is not None
    digits = _count(spoken, words)
    figures = max((len(token) for token in spoken if token.isdecimal()), default=0)
    in_a_row = single >= 3 or (figures >= 3 and not before)
    if (digits and in_a_row) or (announced and (digits or _hangs(run, words))):
        return _number(line, run, before, words)
    if letters >= 3 or (letters and (asked_to_spell or (announced and digits))):
        return Completeness.DICTATING
    return None


# --------------------------------------------------------------------------------------------------- expectation

_SENTENCE = re.compile(r"[^.!?。？！؟]+[.!?。？！؟]*")
_WORD = re.compile(r"[^\W\d_]{3,}")
_COMMON = frozenset(("the", "and", "for", "you", "your", "what", "which", "our", "with", "that", "this", "have", "can"))
"Words in which a question and a parameter may agree by chance."


def expectation(question: str, parameters: Sequence[str] = (), language: str = "en") -> Expectation:
    """What kind of answer the agent's last words ask for.

    `question`: what the agent said last. `parameters`: names and descriptions of the tool's parameters that are still
    to be filled ("order: The order's number"); they decide where the question names nothing that one dictates.
    """
    words = vocabulary(language)
    asked = _asked(_plain(question), words)
    if not asked or (words.yes_or_no is not None and words.yes_or_no.match(asked)):
        return Expectation.ANYTHING
    if (kind := _kind(asked, words)) is not Expectation.ANYTHING:
        return kind
    kinds = [(_kind(_plain(parameter), words), parameter) for parameter in parameters]
    mentioned = set(_WORD.findall(asked)) - _COMMON
    for kind, parameter in kinds:
        if kind is not Expectation.ANYTHING and not mentioned.isdisjoint(_WORD.findall(_plain(parameter))):
            return kind
    repeated = len(kinds) == 1 and words.again is not None and words.again.search(asked) is not None
    return kinds[0][0] if repeated else Expectation.ANYTHING


def _asked(text: str, words: Vocabulary) -> str:
    """The last of the final two sentences that asks for something."""
    for sentence in reversed([sentence.strip(" ¿¡") for sentence in _SENTENCE.findall(text)][-2:]):
        if sentence.endswith(("?", "？", "؟")) or (words.asks is not None and words.asks.search(sentence)):
            return sentence
    return ""


def _kind(text: str, words: Vocabulary) -> Expectation:
    text = text.replace("_", " ")
    if words.spelling is not None and words.spelling.search(text):
        return Expectation.SPELLING
    if words.number is not None and words.number.search(text):
        return Expectation.NUMBER
    if words.address is not None and words.address.search(text):
        return Expectation.ADDRESS
    return Expectation.ANYTHING
