"""Streamed text -> pieces worth speaking.

The first piece should come early, each piece should be long enough for a natural melody, and the pieces joined must be
the text, character by character: the ledger counts on it.
"""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"""[.!?…]+["')\]»”’]*\s|[。！？｡]["')\]»”’]*|\n""")
_CLAUSE_END = re.compile(r"[,;:—–]\s|[、，；：]")
_DOTTED = re.compile(r"(?:^|\s)(?:[A-Za-z]|Mr|Mrs|Ms|Dr|St|vs|etc|No|e\.g|i\.e|approx)\.\s$")

MIN_CLAUSE = 24
"Characters before a comma is worth a pause of its own."
MAX_CLAUSE = 240
"Characters after which a piece is cut at a space even without punctuation."
FLUSH = "... "
"A chunk that ends so is spoken at once: buffer words of a custom model (rest.md 4)."


class ClauseSplitter:
    """`push` text as it comes, take what it returns; `flush` at the end."""

    def __init__(self) -> None:
        self._text = ""

    def push(self, text: str) -> list[str]:
        """The pieces that this text completes, in order, spaces included."""
        self._text += text
        clauses: list[str] = []
        while (end := self._boundary()) is not None:
            clauses.append(self._text[:end])
            self._text = self._text[end:]
        if text.endswith(FLUSH) and self._text.strip():
            clauses.extend(self.flush())
        return clauses

    def flush(self) -> list[str]:
        """What is left."""
        rest, self._text = self._text, ""
        return [rest] if rest else []

    def _boundary(self) -> int | None:
        for match in _SENTENCE_END.finditer(self._text):
            if self._text[: match.end()].strip() and not _DOTTED.search(self._text[: match.end()]):
                return match.end()
        for match in _CLAUSE_END.finditer(self._text):
            if match.end() >= MIN_CLAUSE:
                return match.end()
        if len(self._text) > MAX_CLAUSE:
            cut = self._text.rfind(" ", 0, MAX_CLAUSE)
            return cut + 1 if cut > 0 else MAX_CLAUSE
        return None
