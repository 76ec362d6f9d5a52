"""The caller's voice: 2.00 s of espeak-ng, made once and handed to every process as a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from antiphon.audio.levels import first_sound, last_sound
from antiphon.engines.base import EngineContext
from antiphon.engines.tts.espeak import SAMPLE_RATE, create

from .work import RATE, SPEECH, TRANSCRIPT

LEAD = 0.01
"Seconds before the first sound."


async def _spoken(rate_wpm: int) -> bytes:
    engine = create({"rate_wpm": rate_wpm}, EngineContext())
    await engine.prepare()
    try:
        return b"".join([piece.audio async for piece in engine.speak(TRANSCRIPT)])
    finally:
        await engine.aclose()


def _sounding(audio: bytes) -> bytes:
    begin, end = first_sound(audio, SAMPLE_RATE) or 0.0, last_sound(audio, SAMPLE_RATE) or 0.0
    return audio[round(begin * SAMPLE_RATE) * 2 : round(end * SAMPLE_RATE) * 2]


def make() -> bytes:
    """The sentence at the pace at which it lasts 2 s, stretched by what is left (a few percent), at 16 kHz."""
    wanted = SPEECH - LEAD
    candidates = [_sounding(asyncio.run(_spoken(rate))) for rate in range(120, 260, 10)]
    sound = min(candidates, key=lambda audio: abs(len(audio) / 2 / SAMPLE_RATE - wanted))
    samples = np.frombuffer(sound, np.int16)
    places = np.linspace(0, len(samples) - 1, round(wanted * RATE))
    stretched = np.interp(places, np.arange(len(samples)), samples)
    stretched *= 12_000 / np.abs(stretched).max()
    return bytes(2 * round(LEAD * RATE)) + stretched.astype("<i2").tobytes()


def write(path: Path) -> None:
    """Make it and keep it."""
    path.write_bytes(make())
