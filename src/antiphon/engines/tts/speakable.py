"""Text as models write it -> text as it is spoken, every character traced back to where it came from.

Language models write Markdown, tags and emoji into what is to be read aloud; none of it should be heard, and alignment
must still cover the text as it was written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import msgspec

BLOCK = 200
"Characters spoken at once, at most: bounds what one request holds in memory, and a synthesiser's own buffers."
RUN = 60
DIGITS = 30
"Characters, or digits, in a row without a space; espeak-ng leaves out the rest of a longer word (observed: 1.52.0)."

_UNSPOKEN = re.compile(
    r"""
      ^[ \t]*(?:[*+-]|\#{1,6}|>+)[ \t]+               # bullet, heading, quotation
    | !?\[(?P<label>[^\[\]\n]*)\]\([^()\s]*\)           # link: its label is spoken
    | (?P<tag></?[A-Za-z!?][^<>]*>)
    | \bhttps?://
    | `+ | ~~ | _{2,}
    | (?P<times>(?<=\d)\*+(?=\d)|(?<=\d[ ])\*+(?=[ ]\d))
    | \*+
    | (?P<picture>[\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\u20e3\ufe00-\ufe0f\U0001f000-\U0001faff]+)
    """,
    re.MULTILINE | re.VERBOSE,
)
_JOINERS = "\u200c\u200d"
"Invisible, but part of the spelling of Persian and of Indian languages."
_LONG_RUN = re.compile(rf"\d{{{DIGITS}}}(?=\d)|\S{{{RUN}}}(?=\S)")
_ENDS = (
    re.compile(r"""[.!?…。！？｡؟।]["'”’»)\]」』]*(?:\s+|(?<=[。！？｡]))"""),
    re.compile(r"[,;:、，；：،؛—–]\s*"),
    re.compile(r"\s+"),
)
"Where text may be cut, best first."


class Block(msgspec.Struct, frozen=True):
    """Something to be spoken in one go."""

    text: str
    sources: list[int]
    "Where each of its characters stands in the original text."
    end: int
    "Where the original text goes on after this block."


def blocks(text: str) -> Iterator[Block]:
    """What of `text` is to be spoken. Nothing where there is nothing to say.

    The blocks cover the text: the first from its beginning, each from where the one before ends, the last to its end.
    """
    spoken, sources = _spoken(text)
    pieces = [(begin, end) for begin, end in _cut(spoken) if _has_sound(spoken[begin:end])]
    for number, (begin, end) in enumerate(pieces):
        begin += len(spoken[begin:end]) - len(spoken[begin:end].lstrip())
        last = number == len(pieces) - 1
        yield Block(spoken[begin:end], sources[begin:end], len(text) if last else sources[pieces[number + 1][0]])


def is_pause(char: str) -> bool:
    """Whether a character is heard as silence, if at all."""
    return char.isspace() or unicodedata.category(char)[0] in "PCZ"


def _has_sound(text: str) -> bool:
    return any(unicodedata.category(char)[0] in "LNS" for char in text)


def _spoken(text: str) -> tuple[str, list[int]]:
    chars = [_plain(char) for char in text]
    for match in _UNSPOKEN.finditer(text):
        begin, end = match.span()
        kept = range(*match.span("times" if match["times"] else "label"))
        for index in range(begin, end):
            if index not in kept:
                chars[index] = ""
        if (match["tag"] or match["picture"]) and text[begin - 1 : begin].isalnum() and text[end : end + 1].isalnum():
            chars[begin] = " "
    return "".join(chars), [index for index, char in enumerate(chars) if char]


def _plain(char: str) -> str:
    """Control characters would be commands to the synthesiser; what is not a character cannot be encoded."""
    match unicodedata.category(char):
        case "Cf":
            return char if char in _JOINERS else " " if char == "\u200b" else ""
        case "Cc" | "Cs" | "Co" | "Cn":
            return "\n" if char == "\n" else " "
        case _:
            return char


def _cut(text: str) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin < len(text):
        end = min(begin + BLOCK, len(text))
        if (run := _LONG_RUN.search(text, begin)) and run.end() < end:
            end = run.end()
        elif end < len(text):
            end = _best_end(text, begin + BLOCK // 2, end)
        yield begin, end
        begin = end


def _best_end(text: str, earliest: int, latest: int) -> int:
    for pattern in _ENDS:
        ends = [match.end() for match in pattern.finditer(text, earliest, latest)]
        if ends:
            return ends[-1]
    return latest
