"""What a listener measures: latencies from the recording, and how many of the caller's words were heard wrong.

Latency is read from the two tracks alone: from the caller's last sample of a line to the agent's first sample after it.
The server's waterfall tells where that time went; that both agree is checked, not assumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from antiphon.audio.levels import first_sound, last_sound
from antiphon.audio.wav import read_tracks

from .caller import Utterance

ENGINE_STAGES = ("endpointing", "stt", "llm", "tts")
"Stages that are not ours to shorten: waiting for silence (the caller's own chunk included), and the engines."


@dataclass(frozen=True, slots=True)
class Turn:
    """One answered line."""

    topic: str
    said: str
    heard: str
    latency: float | None
    "Seconds from the caller's last sample to the agent's first, as recorded; None: the agent did not answer."
    stages: Mapping[str, float]
    "The server's account of the same time."

    @property
    def wrong_words(self) -> int:
        """Words of the line that were heard wrong, left out or put in."""
        return distance(words(self.said), words(self.heard))

    @property
    def overhead(self) -> float | None:
        """What remains of the recorded latency without engines, endpoint wait and the caller's chunk."""
        if self.latency is None:
            return None
        return self.latency - sum(self.stages.get(stage, 0.0) for stage in ENGINE_STAGES)

    @property
    def disagreement(self) -> float | None:
        """Recorded latency less the waterfall's sum."""
        return None if self.latency is None else self.latency - sum(self.stages.values())


def turns(
    recording: Path, said: Sequence[Utterance], transcripts: Sequence[tuple[float, str]], document: Mapping[str, Any]
) -> list[Turn]:
    """Every line with what became of it. `transcripts`: (seconds since the recording began, text)."""
    rate, caller, agent = read_tracks(recording)
    answers: list[Mapping[str, Any]] = [
        turn for turn in document["antiphon"]["turns"] if "endpointing" in turn["waterfall"]
    ]
    measured: list[Turn] = []
    for index, utterance in enumerate(said):
        until = said[index + 1].began if index + 1 < len(said) else len(caller) / (2 * rate)
        spoken = _cut(caller, rate, utterance.began, utterance.ended + 0.1)
        ended = utterance.began + (last_sound(spoken, rate) or 0.0)
        answered = first_sound(_cut(agent, rate, ended, until + 0.1), rate)
        heard = " ".join(text for at, text in transcripts if utterance.began < at <= until + 0.1)
        stages = _nearest(answers, ended)
        measured.append(Turn(utterance.line.topic, utterance.line.text, heard, answered, stages))
    return measured


def _nearest(answers: Sequence[Mapping[str, Any]], ended: float) -> Mapping[str, float]:
    """The waterfall of the answer to what was said until `ended`."""
    if not answers:
        return {}
    return min(answers, key=lambda answer: abs(answer["user_speech_ended_at"] - ended))["waterfall"]


def _cut(track: bytes, rate: int, begin: float, end: float) -> bytes:
    return track[2 * round(begin * rate) : 2 * round(end * rate)]


def words(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return re.findall(r"[a-z']+", text.lower())


def distance(wanted: Sequence[str], got: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that make one of the other (Levenshtein)."""
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (word != other))
    return row[-1]
