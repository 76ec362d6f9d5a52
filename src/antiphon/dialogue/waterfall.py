"""Where the milliseconds of one answer went: stamps, taken as they happen, turned into stages that add up."""

from __future__ import annotations

from dataclasses import dataclass

STAGES = ("endpointing", "stt", "llm", "clause", "tts", "output")
"""Each begins where the one before ended:

endpointing  last sound of the user -> the turn was taken to be over (the caller's own chunk length is in it)
stt          -> the final transcript
llm          -> the model's first token, tools that it called before that included
clause       -> the first clause worth speaking
tts          -> its first sound from text-to-speech
output       -> that sound was handed to the transport
"""


@dataclass(slots=True)
class Waterfall:
    """The stamps of one turn, on the session's clock; None: has not happened, or there was nothing to wait for."""

    speech_ended: float | None = None
    endpointing: float | None = None
    stt: float | None = None
    llm: float | None = None
    clause: float | None = None
    tts: float | None = None
    output: float | None = None

    def mark(self, stage: str, now: float) -> None:
        """`stage` is over; only the first time counts."""
        if getattr(self, stage) is None:
            setattr(self, stage, now)

    def stages(self) -> dict[str, float]:
        """Seconds per stage, in order."""
        durations: dict[str, float] = {}
        before = self.speech_ended
        for stage in STAGES:
            at: float | None = getattr(self, stage)
            if at is None or before is None:
                continue
            durations[stage] = round(max(0.0, at - before), 6)
            before = max(at, before)
        return durations
