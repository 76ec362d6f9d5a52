"""What a simulated caller hears: the agent's sound as a player plays it, and its words as they sound."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from antiphon.audio.formats import AudioFormat
from antiphon.protocol import events as ev

JOINED = 0.001
"Seconds between two pieces of sound that are still one stretch."


@dataclass(slots=True)
class Stretch:
    """Sound without a gap."""

    begin: float
    end: float


class Ears:
    """Plays what comes as fast as it sounds; an interruption empties the player. Times are the caller's clock."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self.until = 0.0
        "When the sound that is there will have been played."
        self.stretches: list[Stretch] = []
        "The agent's sound, as far as it was played; the last one may reach beyond now."
        self.letters: list[tuple[float, str]] = []
        "Every character that came with a time, and when it began to sound or would have."
        self._to_sound: deque[tuple[float, str]] = deque()
        self._sounded: list[str] = []
        self._aligned = False
        self._without_times: list[str] = []
        "Messages of which only the text is known; heard when the sound is over."

    def playing(self, now: float) -> bool:
        """Whether the agent can be heard."""
        return now < self.until

    def began(self, now: float) -> float | None:
        """Since when the agent has been heard without a gap; None: it is quiet."""
        return self.stretches[-1].begin if self.stretches and self.playing(now) else None

    def receive(self, event: ev.ServerEvent, now: float) -> None:
        """An event that the caller's client got."""
        match event:
            case ev.AgentAudio():
                self._play(event, now)
            case ev.Interruption():
                self._stop(now)
            case ev.AgentResponse(text=text) if not self._aligned:
                self._without_times.append(text)
            case ev.AgentResponseCorrection(original=original, corrected=corrected):
                self._without_times = [corrected if t == original else t for t in self._without_times]
            case _:
                pass

    def _play(self, event: ev.AgentAudio, now: float) -> None:
        begin = max(now, self.until)
        self.until = begin + self._format.seconds(len(event.audio))
        if self.stretches and begin - self.stretches[-1].end < JOINED:
            self.stretches[-1].end = self.until
        else:
            self.stretches.append(Stretch(begin, self.until))
            self._to_sound.append((begin, "\n"))
        if event.alignment is None:
            return
        self._aligned = True
        self._without_times.clear()
        times = event.alignment
        for char, start in zip(times.chars, times.char_start_times_ms, strict=False):
            self._to_sound.append((begin + start / 1000, char))
            self.letters.append((begin + start / 1000, char))

    def _stop(self, now: float) -> None:
        self.heard(now)
        self._to_sound.clear()
        self.until = min(self.until, now)
        if self.stretches and self.stretches[-1].end > now:
            self.stretches[-1].end = now
            if self.stretches[-1].begin >= now:
                self.stretches.pop()

    def heard(self, now: float) -> str:
        """Everything that the agent has been heard to say; stretches of sound are lines."""
        while self._to_sound and self._to_sound[0][0] <= now:
            self._sounded.append(self._to_sound.popleft()[1])
        if self._without_times and not self.playing(now):
            self._sounded += [f"{text}\n" for text in self._without_times]
            self._without_times.clear()
        return "".join(self._sounded)
