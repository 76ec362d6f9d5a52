"""The ledger of one reply: what of it the user has heard by `now`.

Theory of operation. Clients play what they get at once and tell nothing back, so what was heard follows from what was
sent and when: a piece starts to sound when it arrives or when the piece before it has sounded, whichever is later. How
far a text has been spoken at a moment of its audio is known from the alignment of text-to-speech, or taken to advance
evenly where there is none. A word counts as heard once more than half of it has sounded: that errs on neither side.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from unicodedata import east_asian_width


@dataclass(slots=True)
class Playback:
    """Append-only: `write` the text as it becomes known, `sent` each piece of its audio, ask `heard` at any time."""

    delay: float = 0.0
    "Seconds from handing a piece to the transport to the moment it can sound: half the round trip."
    text: str = ""
    "Everything the reply says, as far as it is known."
    _starts: list[float] = field(default_factory=list)
    "When each piece begins to sound."
    _offsets: list[float] = field(default_factory=list)
    "Where each piece begins in the reply's audio, seconds."
    _seconds: float = 0.0
    "Audio sent so far."
    _ends_at: float = 0.0
    _marks: list[tuple[float, int]] = field(default_factory=list)
    "(seconds into the audio, characters begun by then), rising."

    def write(self, text: str) -> None:
        """More of the reply's text."""
        self.text += text

    def sent(self, seconds: float, now: float, marks: Sequence[tuple[float, int]] = ()) -> None:
        """A piece of audio was handed to the transport at `now`.

        `marks`: (seconds from this piece's start, characters of the whole text begun by then), rising.
        """
        start = max(now + self.delay, self._ends_at)
        self._starts.append(start)
        self._offsets.append(self._seconds)
        self._marks.extend((self._seconds + at, count) for at, count in marks)
        self._seconds += seconds
        self._ends_at = start + seconds

    @property
    def started_at(self) -> float | None:
        """When the first piece began to sound; None: nothing was sent yet."""
        return self._starts[0] if self._starts else None

    @property
    def ends_at(self) -> float:
        """When the last piece sent so far has sounded; 0.0 before the first."""
        return self._ends_at

    @property
    def seconds(self) -> float:
        """Audio sent so far."""
        return self._seconds

    def played(self, now: float) -> float:
        """Seconds of the reply's audio that have sounded by `now`."""
        index = bisect_right(self._starts, now) - 1
        if index < 0:
            return 0.0
        end = self._offsets[index + 1] if index + 1 < len(self._offsets) else self._seconds
        return min(self._offsets[index] + now - self._starts[index], end)

    def heard(self, now: float) -> int:
        """How many characters of `text` the user has heard by `now`: whole words, trailing space left out."""
        played = self.played(now)
        if played <= 0:
            return 0
        index = bisect_right(self._marks, (played, len(self.text))) - 1
        begun = self._marks[index][1] if index >= 0 else 0
        return _whole_words(self.text, begun)


def _whole_words(text: str, count: int) -> int:
    """`count` characters, moved to the nearest end of a word."""
    if count <= 0:
        return 0
    begin = end = min(count, len(text))
    while 0 < begin < len(text) and _joined(text[begin - 1], text[begin]):
        begin -= 1
    while 0 < end < len(text) and _joined(text[end - 1], text[end]):
        end += 1
    count = end if count - begin > (end - begin) / 2 else begin
    return len(text[:count].rstrip())


def _joined(before: str, after: str) -> bool:
    """Whether two neighbours belong to one word; scripts written without spaces are taken character by character."""
    return not (before.isspace() or after.isspace() or east_asian_width(before) == east_asian_width(after) == "W")
