"""Voice-activity scores -> when the user began and stopped speaking.

Theory of operation. Durations of speech and silence are counted in *audio time* (frames times their length), never on
the clock: a client may send three seconds in one burst. The clock (`now`, seconds) matters for one thing only, a client
that stops sending: while the user speaks or has just stopped, `deadline` says when to ask `stalled(now)`.

A pause is reported as it grows (`Silence`), since how long it must last is for the turn machine to say. Speech is
reported with its `lag`: the sound that had already arrived after it began, so that a large chunk is not taken for a
late user.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .observations import Observation, Silence, SpeechStarted, SpeechStopped, Stalled


@dataclass(frozen=True, slots=True)
class SpeechPolicy:
    """What counts as speech. Durations in seconds of audio, unless said."""

    start_score: float = 0.5
    "A frame at or above it begins speech..."
    stop_score: float = 0.35
    "...and one below it is silence: two thresholds, or speech would flicker."
    start_after: float = 0.064
    "Speech must last that long to be speech: shorter is a click."
    stop_after: float = 0.192
    "Silence must last that long to be a pause: shorter is a stop consonant."
    report_silence: float = 4.0
    "Pauses are reported up to this length."
    stall_after: float = 0.6
    "Seconds on the clock without any audio, while the user speaks or pauses, that count as silence."


@dataclass(slots=True)
class Endpointing:
    """Feed it every frame's score and end each piece of audio with `arrived`; it says what was observed."""

    frame_seconds: float
    policy: SpeechPolicy = field(default_factory=SpeechPolicy)
    speaking: bool = False
    "Whether the user is taken to be speaking."
    audio_time: float = 0.0
    "Seconds of audio scored so far."
    speech_began: float = 0.0
    "Audio time at which the newest speech began."
    speech_ended: float = 0.0
    "Audio time at which the newest speech ended, or the end of the audio while it goes on."
    deadline: float | None = None
    "When to ask `stalled`, on the clock; None: no need."
    _loud_since: float | None = None
    _pausing: bool = False

    def score(self, score: float) -> Observation | None:
        """One frame's score, in order."""
        began, self.audio_time = self.audio_time, self.audio_time + self.frame_seconds
        if self.speaking:
            return self._while_speaking(score)
        if score < self.policy.start_score:
            self._loud_since = None
            return None
        if self._loud_since is None:
            self._loud_since = began
        if self.audio_time - self._loud_since < self.policy.start_after:
            return None
        self.speaking, self._pausing = True, False
        self.speech_began, self.speech_ended, self._loud_since = self._loud_since, self.audio_time, None
        return SpeechStarted(lag=self.audio_time - self.speech_began)

    def _while_speaking(self, score: float) -> Observation | None:
        if score >= self.policy.stop_score:
            self.speech_ended = self.audio_time
        elif self.audio_time - self.speech_ended >= self.policy.stop_after:
            self.speaking, self._pausing = False, True
            return SpeechStopped(speech=self.speech_ended - self.speech_began)
        return None

    def arrived(self, now: float) -> Observation | None:
        """A piece of audio has been scored to its end at `now`: a growing pause is reported once per piece."""
        self.deadline = now + self.policy.stall_after if self.speaking or self._pausing else None
        if not self._pausing:
            return None
        quiet = self.audio_time - self.speech_ended
        if quiet > self.policy.report_silence:
            self._pausing, self.deadline = False, None
        return Silence(seconds=quiet)

    def stalled(self, now: float) -> list[Observation]:
        """Nothing has arrived until the deadline: the user is taken to be silent since then."""
        if self.deadline is None or now < self.deadline:
            return []
        quiet = self.policy.stall_after + (self.audio_time - self.speech_ended)
        observed: list[Observation] = [Stalled(seconds=quiet)]
        if self.speaking:
            observed.insert(0, SpeechStopped(speech=self.speech_ended - self.speech_began))
        self.speaking, self._pausing, self._loud_since, self.deadline = False, False, None, None
        return observed
