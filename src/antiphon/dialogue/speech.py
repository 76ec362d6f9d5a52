"""A clause on its way from the voice to the client: pieces of sound, and what of the text begins in each."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from unicodedata import east_asian_width

from antiphon.audio.convert import Encoder
from antiphon.audio.formats import AudioFormat
from antiphon.engines.base import Speech
from antiphon.protocol.events import Alignment
from antiphon.turns.playback import Playback

CHUNK = 0.2
"Seconds of sound in one piece, at most."
LEAD = 0.4
"""Seconds that a piece may leave before it is due, after the first: enough for a jittery network, little enough that an
interruption leaves hardly anything to take back."""
EVEN_PACE, WIDE_PACE = 15.0, 5.5
"""Characters a second that speech is assumed to run at where the voice gives no timings and is not done with the
clause; the second, of scripts whose characters are syllables or words."""


@dataclass(slots=True)
class Message:
    """Something that the agent says: its text, its place in the record, and what of it was heard."""

    filler: bool = False
    "Said to bridge a wait: no part of the answer."
    text: str = ""
    complete: bool = False
    "No more text will come."
    spoken: int = 0
    "Characters handed to the voice."
    event_id: int | None = None
    "Of its AgentResponse, and of the streamed parts before it."
    announced: bool = False
    "Its AgentResponse is out."
    shown: int = 0
    "Characters that were streamed to the client."
    playback: Playback = field(default_factory=Playback)

    def write(self, text: str) -> None:
        """More of its text."""
        self.text += text
        self.playback.write(text)


@dataclass(frozen=True, slots=True)
class Piece:
    """Sound that leaves as one event."""

    audio: bytes
    seconds: float
    alignment: Alignment | None
    marks: list[tuple[float, int]]
    "For the ledger: (seconds into the piece, characters of the message begun by then)."


class Clause:
    """Hand in what the voice makes, take out pieces."""

    def __init__(self, number: int, text: str, message: Message, start: int, rate: int, output: AudioFormat) -> None:
        self.number = number
        self.text = text.strip()
        self.message = message
        self.begun = False
        "The voice has been given it."
        self.over = False
        "The voice is done with it."
        self.retried = False
        self._start = start + text.index(self.text)
        self._length = len(self.text)
        self._rate = rate
        self._format = output
        self._chunk = output.bytes_of(CHUNK)
        self._encoder = Encoder(rate, output)
        self._audio = bytearray()
        self._made = 0.0
        "Seconds made so far."
        self._left = 0.0
        "Seconds that have left."
        self._chars: deque[tuple[float, float, str]] = deque()
        "(start, duration, character) not yet sent; seconds from the clause's beginning."
        self._begun = 0
        "Characters that have left."
        self._timed = False
        "The voice gives timings."

    def add(self, speech: Speech) -> None:
        """Another piece from the voice."""
        made = self._made
        for char, at, duration in zip(speech.chars, speech.starts, speech.durations, strict=True):
            self._chars.append((made + at, duration, char))
        self._timed |= bool(speech.chars)
        self._made += len(speech.audio) / (2 * self._rate)
        self._audio += self._encoder.encode(speech.audio)

    def finish(self) -> None:
        """The voice is done."""
        self._audio += self._encoder.flush()
        self.over = True

    def rest(self) -> str | None:
        """What the voice has not got to; None: nobody knows how far it got."""
        if self._made and not self._timed:
            return None
        return self.text[self._begun + len(self._chars) :].strip()

    @property
    def unsent(self) -> float:
        """Seconds that wait to leave."""
        return self._format.seconds(len(self._audio))

    @property
    def empty(self) -> bool:
        """Everything has left."""
        return self.over and not self._audio

    def ready(self, *, first: bool) -> bool:
        """Whether `take` has something: the last piece waits for the end, which tells what text is left with it."""
        return len(self._audio) > self._chunk or (bool(self._audio) and (self.over or first))

    def take(self) -> Piece:
        """The next piece, at most CHUNK seconds."""
        audio = bytes(self._audio[: self._chunk])
        del self._audio[: self._chunk]
        seconds = self._format.seconds(len(audio))
        alignment, marks = self._align(seconds, last=self.empty)
        return Piece(audio, seconds, alignment, marks)

    def _pace(self) -> float:
        if self.over:
            return self._length / max(self._made, 0.01)
        return WIDE_PACE if east_asian_width(self.text[0]) == "W" else EVEN_PACE

    def _align(self, seconds: float, *, last: bool) -> tuple[Alignment | None, list[tuple[float, int]]]:
        marks: list[tuple[float, int]] = []
        chars: list[str] = []
        starts: list[int] = []
        durations: list[int] = []
        until = self._left + seconds
        while self._chars and (last or self._chars[0][0] < until):
            at, duration, char = self._chars.popleft()
            offset = min(max(0.0, at - self._left), seconds)
            self._begun += 1
            marks.append((offset, self._start + self._begun))
            chars.append(char)
            starts.append(round(offset * 1000))
            durations.append(round(duration * 1000))
        if not marks and not self._chars and self._begun < self._length:
            self._begun = self._length if last else min(self._length, int(until * self._pace()))
            marks.append((seconds, self._start + self._begun))
        self._left = until
        return (Alignment(chars, starts, durations) if chars else None), marks
