"""A loudspeaker as arithmetic: what has sounded by `now`, given what was handed over and when."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.audio.formats import AudioFormat

_SILENCE = {"pcm": b"\x00", "ulaw": b"\xff"}


@dataclass
class Stretch:
    """Sound without a gap."""

    at: float
    "When it begins to sound."
    audio: bytearray = field(default_factory=bytearray)


class Playback:
    """Plays what it is handed, one after another, in real time. All times are seconds of one clock, never falling."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.audio_format = audio_format
        self.stretches: list[Stretch] = []

    def output(self, audio: bytes, now: float) -> None:
        """Plays `audio` after what is waiting, at once if nothing is."""
        if not self.remaining(now):
            self.stretches.append(Stretch(now))
        self.stretches[-1].audio += audio

    def interrupt(self, now: float) -> None:
        """Falls silent: what would sound after `now` never does."""
        if self.remaining(now):
            last = self.stretches[-1]
            del last.audio[self.audio_format.bytes_of(now - last.at) :]

    def remaining(self, now: float) -> float:
        """Seconds until all is played; 0.0 in silence."""
        if not self.stretches:
            return 0.0
        last = self.stretches[-1]
        return max(0.0, last.at + self.audio_format.seconds(len(last.audio)) - now)

    def heard(self, now: float) -> bytes:
        """All that has sounded, back to back, without the silence between."""
        return b"".join(
            bytes(stretch.audio[: self.audio_format.bytes_of(now - stretch.at)])
            for stretch in self.stretches
            if stretch.at < now
        )

    def recording(self, start: float) -> bytes:
        """What a microphone in front of it would record from `start` on, to the end of all that was handed over."""
        silence = _SILENCE[self.audio_format.encoding]
        sound = bytearray()
        for stretch in self.stretches:
            begins = self.audio_format.bytes_of(max(0.0, stretch.at - start))
            sound += silence * (begins - len(sound)) + stretch.audio
        return bytes(sound)
