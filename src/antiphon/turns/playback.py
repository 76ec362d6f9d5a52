"""The ledger of one message: what of it the user has heard by `now`.

Theory of operation. Clients play what they get and mostly tell nothing back, so what was heard follows from what was
sent and when. Sound and the interruption that ends it travel the same way and take as long, so the line cancels out:
what counts is how long the client waits before it begins to play (`delay`). After that a piece begins to sound when the
piece before it has sounded or, if the player had run dry, when it comes. A transport that knows better says so
(`played_until`), and is believed.

How far a text has been spoken at a moment of its audio is known from the marks that come with the pieces, one for every
character where text-to-speech gives timings; between two marks it is taken to advance evenly. A word counts as heard
once half of its sound has been: that errs on neither side.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

DELAY = 0.05
"""Seconds between the first piece's arrival and its sound, where nothing is known of the client: those that were looked
at begin at once or gather up to a tenth of a second of sound first."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
"Scripts written without spaces: Thai, Lao, Burmese, Khmer, kana, Chinese characters. Hangul is not among them."
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Sounded:
    """A stretch of a message's audio that the client has played without a pause."""

    at: float
    "When it began, on the clock of `now`."
    begin: float
    "Where it begins in the message's audio, seconds..."
    end: float
    "...and where it ends."


@dataclass(frozen=True, slots=True)
class Cut:
    """What there is to say of a message that is cut off."""

    seconds: float
    "Of its audio that have sounded."
    characters: int
    "Of its text that were heard: whole words, trailing space left out."
    ranges: Sequence[Sounded]
    "When which part of it sounded."


@dataclass(frozen=True, slots=True)
class _Word:
    begin: int
    "Its first letter..."
    letters_end: int
    "...the end of its last..."
    end: int
    "...and of the punctuation that belongs to it."


@dataclass(slots=True)
class Playback:
    """Append-only: `write` the text as it becomes known, `sent` each piece of its audio, ask `heard` at any time."""

    delay: float = DELAY
    "Seconds from the first piece's arrival to its sound: what the client gathers before it begins."
    text: str = ""
    "Everything the message says, as far as it is known."
    _starts: list[float] = field(default_factory=list)
    "When each piece begins to sound."
    _offsets: list[float] = field(default_factory=list)
    "Where each piece begins in the message's audio, seconds."
    _sent_at: list[float] = field(default_factory=list)
    _seconds: float = 0.0
    "Audio sent so far."
    _ends_at: float = 0.0
    _mark_times: list[float] = field(default_factory=list)
    "Seconds into the audio, rising..."
    _mark_counts: list[int] = field(default_factory=list)
    "...and the characters begun by then, rising."

    def write(self, text: str) -> None:
        """More of the message's text."""
        self.text += text

    def sent(self, seconds: float, now: float, marks: Sequence[tuple[float, int]] = ()) -> float:
        """A piece of audio was handed to the transport at `now`; returns when it begins to sound.

        `marks`: (seconds from this piece's start, characters of the whole text begun by then), rising.
        """
        start = max(now, self._ends_at) if self._starts else now + self.delay
        self._starts.append(start)
        self._offsets.append(self._seconds)
        self._sent_at.append(now)
        for at, count in marks:
            self._mark_times.append(self._seconds + at)
            self._mark_counts.append(count)
        self._seconds += seconds
        self._ends_at = start + seconds
        return start

    def played_until(self, seconds: float, at: float) -> None:
        """The client has played `seconds` of the message's audio by `at`: what was assumed of it is put right.

        `at`: the report's arrival less the round trip, so that it holds for an interruption that is sent now.
        """
        index = bisect_right(self._offsets, min(seconds, self._seconds)) - 1
        if index < 0:
            return
        position = min(seconds, self._seconds) - self._offsets[index]
        self._starts[index] = start = at - position
        for following in range(index + 1, len(self._starts)):
            start += self._offsets[following] - self._offsets[following - 1]
            self._starts[following] = start = max(start, self._sent_at[following])
        self._ends_at = start + self._seconds - self._offsets[-1]
        for before in reversed(range(index)):
            latest = self._starts[before + 1] - (self._offsets[before + 1] - self._offsets[before])
            if self._starts[before] <= latest:
                break
            self._starts[before] = latest

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
        """Seconds of the message's audio that have sounded by `now`."""
        index = bisect_right(self._starts, now) - 1
        if index < 0:
            return 0.0
        return min(self._offsets[index] + now - self._starts[index], self._end_of(index))

    def heard(self, now: float) -> int:
        """How many characters of `text` the user has heard by `now`: whole words, trailing space left out."""
        played = self.played(now)
        if played <= 0 or not self._mark_counts:
            return 0
        if played >= self._seconds and self._mark_counts[-1] >= len(self.text):
            return len(self.text.rstrip())
        heard = 0
        for word in _words(self.text):
            middle = self._middle(word)
            if middle is None or middle > played:
                break
            heard = word.end
        return heard

    def cut(self, now: float) -> Cut:
        """The message ends at `now`: what of it was heard, all in one."""
        return Cut(self.played(now), self.heard(now), self.ranges(now))

    def ranges(self, now: float) -> list[Sounded]:
        """What has sounded by `now`, and when: one stretch, or more where the player ran dry."""
        ranges: list[Sounded] = []
        for index, start in enumerate(self._starts):
            begin, end = self._offsets[index], self._end_of(index)
            end = min(end, begin + now - start)
            if end <= begin:
                break
            last = ranges[-1] if ranges else None
            if last is not None and abs(start - last.at - (begin - last.begin)) < 1e-9:
                ranges[-1] = Sounded(last.at, last.begin, end)
            else:
                ranges.append(Sounded(start, begin, end))
        return ranges

    def _end_of(self, index: int) -> float:
        """Where a piece ends in the message's audio."""
        return self._offsets[index + 1] if index + 1 < len(self._offsets) else self._seconds

    def _middle(self, word: _Word) -> float | None:
        """Seconds into the audio at which half of a word has sounded; None: not in what was sent so far."""
        begin = self._begins(word.begin)
        if begin is None:
            return None
        end = self._begins(word.letters_end)
        if end is None:  # its rest has not been sent: it goes on as it began
            end = max(self._seconds, begin + self._pace(word.begin, begin) * (word.letters_end - word.begin))
        return (begin + end) / 2

    def _pace(self, index: int, begin: float) -> float:
        """Seconds a character takes: of the word that begins there, or where only one of it has begun, of the text."""
        time, count = self._mark_times[-1], self._mark_counts[-1]
        if time >= self._seconds:  # a mark at the end of a piece, for all that is in it
            return (time - begin) / (count - index)
        if count > index + 1:
            return (time - begin) / (count - index - 1)
        return time / (count - 1) if count > 1 else 0.0

    def _begins(self, index: int) -> float | None:
        """Seconds into the audio at which a character begins; None: it was not sent yet."""
        times, counts = self._mark_times, self._mark_counts
        mark = bisect_left(counts, index + 1)
        if mark == len(counts):
            return None
        before, since = (counts[mark - 1], times[mark - 1]) if mark else (0, 0.0)
        if counts[mark] - before <= 1:
            return times[mark]
        return since + (times[mark] - since) * (index - before) / (counts[mark] - before)


def _words(text: str) -> Iterator[_Word]:
    """The words of a text; of scripts written without spaces, the characters."""
    for letters, end in _units(text):
        while end < len(text) and unicodedata.category(text[end]) in ("Po", "Pe", "Pf", "Pd", "Mn", "Mc"):
            end += 1
        yield _Word(letters[0], letters[1], end)


def _units(text: str) -> Iterator[tuple[tuple[int, int], int]]:
    """Where the letters of each word begin and end, and where the word does."""
    for match in _WORD.finditer(text):
        sounding = [i for i in range(*match.span()) if text[i].isalnum()]
        if sounding:
            yield (sounding[0], sounding[-1] + 1), match.end()
