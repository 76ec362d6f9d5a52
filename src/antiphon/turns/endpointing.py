"""Voice-activity scores -> when the user began and stopped speaking.

Theory of operation. Durations of speech and silence are counted in *audio time* (frames times their length), never on
the clock: a client may send three seconds in one burst. The clock (`now`, seconds) matters for one thing only, a client
that stops sending: while the user speaks or has just stopped, `deadline` says when to ask `stalled(now)`.

Speech and pauses are reported as they grow (`Speaking`, `Silence`), once for every piece of audio: how long they must
last to mean something is for the turn machine to say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .observations import Observation, Silence, Speaking, SpeechStarted, SpeechStopped, Stalled


@dataclass(frozen=True, slots=True)
class SpeechPolicy:
    """What counts as speech. Durations in seconds of audio, unless said."""

    start_score: float = 0.5
    "A frame at or above it begins speech..."
    stop_score: float = 0.35
    "...and one below it is silence: two thresholds, or speech would flicker."
    start_after: float = 0.064
    "Speech must last that long to be speech: shorter is a click."
    hush_after: float = 0.064
    "Silence that long within speech is told: it may become a pause."
    stop_after: float = 0.16
    "Silence must last that long to be a pause: shorter is a stop consonant."
    report_speech: float = 1.4
    "Speech is reported up to this length: by then it has interrupted whom it may."
    report_silence: float = 4.0
    "Pauses are reported up to this length."
    stall_after: float = 0.6
    "Seconds on the clock without any audio, while the user speaks or pauses, that count as silence..."
    longest_piece: float = 1.0
    "...unless the client sends larger pieces of audio, up to that length: the next is due when it has been made."


SAME_PIECE = 0.05
"Audio that comes within that many seconds on the clock came in one piece."
LATE = 1.25
"A piece has failed to come after that many times its length."


@dataclass(slots=True)
class Endpointing:
    """Feed it every frame's score and end each piece of audio with `arrived`; it says what was observed.

    It counts in frames, since sums of seconds are not exact: the same pause would be a frame longer late in a call.
    """

    frame_seconds: float
    policy: SpeechPolicy = field(default_factory=SpeechPolicy)
    speaking: bool = False
    "Whether the user is taken to be speaking."
    deadline: float | None = None
    "When to ask `stalled`, on the clock; None: no need."
    _frames: int = 0
    "Scored so far."
    _began: int = 0
    "The frame with which the newest speech began."
    _ended: int = 0
    "The frame before which the newest speech ended, or has come to while it goes on."
    _piece_began: int = 0
    _piece_ended: int = 0
    "The frames of the newest piece of audio."
    _arrived_at: float = 0.0
    _stall_after: float = 0.0
    "Seconds without audio that count, for pieces as large as the newest."
    _loud: int = 0
    "Frames of sound that may be the beginning of speech."
    _pausing: bool = False
    _start_after: int = field(init=False)
    _hush_after: int = field(init=False)
    _stop_after: int = field(init=False)

    def __post_init__(self) -> None:
        """Round durations up to whole frames."""
        self._start_after = self._count(self.policy.start_after)
        self._hush_after = self._count(self.policy.hush_after)
        self._stop_after = self._count(self.policy.stop_after)

    def _count(self, seconds: float) -> int:
        return math.ceil(seconds / self.frame_seconds - 1e-6)

    @property
    def audio_time(self) -> float:
        """Seconds of audio scored so far."""
        return self._frames * self.frame_seconds

    @property
    def _speech(self) -> float:
        return (self._ended - self._began) * self.frame_seconds

    @property
    def _quiet(self) -> float:
        return (self._frames - self._ended) * self.frame_seconds

    def score(self, score: float) -> Observation | None:
        """One frame's score, in order."""
        self._frames += 1
        if self.speaking:
            if score >= self.policy.stop_score:
                self._ended = self._frames
            elif self._frames - self._ended >= self._stop_after:
                self.speaking, self._pausing = False, True
                return SpeechStopped(speech=self._speech)
        elif score < self.policy.start_score:
            self._loud = 0
        else:
            self._loud += 1
            if self._loud >= self._start_after:
                self.speaking, self._pausing = True, False
                self._began, self._ended, self._loud = self._frames - self._loud, self._frames, 0
                return SpeechStarted()
        return None

    def arrived(self, now: float) -> Observation | None:
        """A piece of audio has been scored to its end at `now`: what goes on is reported once per piece."""
        self._expect_more(now)
        if self.speaking:
            if self._speech > self.policy.report_speech:
                return None
            hushed = self._frames - self._ended >= self._hush_after
            return Silence(seconds=self._quiet) if hushed else Speaking(seconds=self._speech)
        if not self._pausing:
            return None
        if self._quiet > self.policy.report_silence:
            self.settled()
        return Silence(seconds=self._quiet)

    def _expect_more(self, now: float) -> None:
        """When to give it up."""
        if now - self._arrived_at > SAME_PIECE:
            self._piece_began = self._piece_ended
        self._piece_ended, self._arrived_at = self._frames, now
        piece = min((self._frames - self._piece_began) * self.frame_seconds, self.policy.longest_piece)
        self._stall_after = max(self.policy.stall_after, LATE * piece)
        self.deadline = now + self._stall_after if self.speaking or self._pausing else None

    def settled(self) -> None:
        """What the pause means has been decided: it is not reported any more."""
        self._pausing = False
        if not self.speaking:
            self.deadline = None

    def stalled(self, now: float) -> list[Observation]:
        """Nothing has arrived until the deadline: the user is taken to be silent since then."""
        if self.deadline is None or now < self.deadline:
            return []
        observed: list[Observation] = [Stalled(seconds=self._stall_after + self._quiet)]
        if self.speaking:
            observed.insert(0, SpeechStopped(speech=self._speech))
        self.speaking, self._pausing, self._loud, self.deadline = False, False, 0, None
        return observed
