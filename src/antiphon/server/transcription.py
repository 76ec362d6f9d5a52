"""A recording -> what is said in it, and when: cut at pauses, an utterance at a time, by any engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from antiphon.audio.convert import Resampler
from antiphon.engines.base import SAMPLE_RATE, SpeechToText, VoiceActivity, closing
from antiphon.turns.endpointing import Endpointing
from antiphon.turns.observations import SpeechStarted, SpeechStopped

PAUSE = 0.3
"Seconds of silence that part two utterances."
LONG, LONGEST = 5.0, 20.0
"""Seconds of an utterance after which any pause will do, and after which it is cut wherever it is. An engine that is
not sure of a long one gives up all of it."""
BEFORE, AFTER = 0.3, 0.2
"Seconds that an utterance is given around its speech: engines find their beginning in silence."
PIECE = SAMPLE_RATE
"Samples that are fed at a time."


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech between two pauses."""

    start: float
    end: float
    "Seconds since the recording began."
    text: str = ""


def at_engine_rate(audio: bytes, rate: int) -> bytes:
    """s16le mono at any rate -> at the rate of engines."""
    resampler = Resampler(rate, SAMPLE_RATE)
    return resampler.resample(audio) + resampler.flush()


def find_speech(audio: bytes, vad: VoiceActivity | None) -> list[Utterance]:
    """Where somebody speaks. `audio`: s16le, 16 kHz. Without a detector, all of it. Blocks: a recording is long."""
    seconds = len(audio) / (2 * SAMPLE_RATE)
    if vad is None:
        return _cut([Utterance(0.0, seconds)] if audio else [])
    frame = 2 * vad.frame_samples
    frame_seconds = vad.frame_samples / SAMPLE_RATE
    endpointing = Endpointing(frame_seconds)
    speech: list[Utterance] = []
    began = 0.0
    for place in range(0, len(audio), frame):
        seen = endpointing.score(vad.score(audio[place : place + frame].ljust(frame, b"\0")))
        if isinstance(seen, SpeechStarted):
            began = max(0.0, endpointing.audio_time - endpointing.policy.start_after)
        elif isinstance(seen, SpeechStopped):
            speech.append(Utterance(began, min(began + seen.speech, seconds)))
    if endpointing.speaking:
        speech.append(Utterance(began, seconds))
    return _cut(_joined(speech))


def _joined(speech: Sequence[Utterance]) -> list[Utterance]:
    """Speech that only short pauses part is one utterance, as long as it is not long."""
    joined: list[Utterance] = []
    for each in speech:
        last = joined[-1] if joined else None
        if last is not None and each.start - last.end < PAUSE and each.end - last.start <= LONG:
            joined[-1] = Utterance(last.start, each.end)
        else:
            joined.append(each)
    return joined


def _cut(utterances: Sequence[Utterance]) -> list[Utterance]:
    cut: list[Utterance] = []
    for each in utterances:
        parts = max(1, -int(-(each.end - each.start) // LONGEST))
        length = (each.end - each.start) / parts
        cut += [Utterance(each.start + part * length, each.start + (part + 1) * length) for part in range(parts)]
    return cut


async def transcribe(audio: bytes, speech: Sequence[Utterance], stt: SpeechToText) -> list[Utterance]:
    """What is said in each; those that nobody understands are left out. Raises EngineError."""
    understood: list[Utterance] = []
    async with stt.stream() as recognition, closing(recognition.transcripts()) as transcripts:
        for index, each in enumerate(speech):
            after = speech[index + 1].start if index + 1 < len(speech) else float("inf")
            before = speech[index - 1].end if index else 0.0
            first = _byte(max(each.start - BEFORE, before))
            last = _byte(min(each.end + AFTER, max(after, each.end), len(audio) / (2 * SAMPLE_RATE)))
            for place in range(first, last, 2 * PIECE):
                recognition.feed(audio[place : min(place + 2 * PIECE, last)])
            recognition.finish()
            async for transcript in transcripts:
                if transcript.final:
                    if transcript.text.strip():
                        understood.append(Utterance(each.start, each.end, transcript.text.strip()))
                    break
    return understood


def _byte(seconds: float) -> int:
    return 2 * round(seconds * SAMPLE_RATE)
