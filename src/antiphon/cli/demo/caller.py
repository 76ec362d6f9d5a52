"""The demo's caller: a synthetic voice at a synthetic telephone, which hears with a clock and records both sides.

It speaks in real time, 20 ms a message, over a soft noise floor; it waits for the agent to finish, or talks over it
where the script says so. What it records is what a listener at its end would have heard: its own sound as it was made,
the agent's as it was played, cut off where an interruption cut it off.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from antiphon.audio.convert import Encoder
from antiphon.audio.formats import parse_format
from antiphon.audio.levels import last_sound
from antiphon.audio.wav import StereoRecording
from antiphon.client.audio_interface import AsyncAudioInterface
from antiphon.engines.base import EngineContext, TextToSpeech
from antiphon.engines.registry import Registry

RATE = 16_000
CHUNK = 0.02
NOISE = 30
"Root mean square of the line's noise, in sample units."
VOICE = {"voices": {"caller": "en-us+f5"}, "rate_wpm": 150}
PATIENCE = 6.0
"Seconds to wait for an answer before the next line is said all the same."


@dataclass(frozen=True, slots=True)
class Line:
    """One thing the caller says."""

    topic: str
    text: str
    audio: bytes
    "s16le mono at RATE."
    barge_in: float | None = None
    "Seconds after the agent's first sound at which to talk over it; None: let it finish."
    pause: float = 0.4
    "Seconds to wait after the agent's last sound."

    @property
    def seconds(self) -> float:
        """How long it takes to say."""
        return len(self.audio) / (2 * RATE)


@dataclass(slots=True)
class Utterance:
    """A line that was said. Seconds since the recording began."""

    line: Line
    began: float
    ended: float


async def prepare(script: Sequence[tuple[str, str]], rng: random.Random) -> list[Line]:
    """Speak every line of (topic, text) to memory; the one about the order talks over the agent."""
    context = EngineContext(language="en", voice_id="caller")
    engine: TextToSpeech = Registry().create("tts", "espeak", VOICE, context)
    await engine.prepare()
    try:
        return [
            Line(
                topic,
                text,
                await _spoken(engine, text),
                barge_in=rng.uniform(1.5, 2.5) if topic == "order" else None,
                pause=rng.uniform(0.25, 0.5),
            )
            for topic, text in script
        ]
    finally:
        await engine.aclose()


async def _spoken(engine: TextToSpeech, text: str) -> bytes:
    encoder = Encoder(engine.sample_rate, parse_format(f"pcm_{RATE}"))
    audio = b"".join([encoder.encode(speech.audio) async for speech in engine.speak(text)]) + encoder.flush()
    return audio[: 2 * round((last_sound(audio, RATE) or 0.0) * RATE)]


class SyntheticCaller(AsyncAudioInterface):
    """Says its lines, then sets `done`."""

    def __init__(self, lines: Sequence[Line], rng: random.Random) -> None:
        self.said: list[Utterance] = []
        self.done = asyncio.Event()
        self._lines = list(lines)
        self._noise = _noise(rng)
        self._began = 0.0
        self._task: asyncio.Task[None] | None = None
        self._left: list[tuple[float, bytes]] = []
        self._right: list[tuple[float, bytes]] = []
        self._agent_began: float | None = None
        self._agent_until = 0.0
        self._asked_at: float | None = 0.0
        "When the caller last finished speaking and has heard nothing since; None: the agent has answered."

    # ---------------------------------------------------------------------------------------------- loudspeaker

    async def output(self, audio: bytes) -> None:
        """Play after what is waiting, as a player without a buffer of its own would."""
        now = self._now()
        at = max(now, self._agent_until)
        if self._agent_began is None or at > self._agent_until:
            self._agent_began = at
        self._right.append((at, audio))
        self._agent_until = at + len(audio) / (2 * RATE)
        self._asked_at = None

    async def interrupt(self) -> None:
        """Stop at once: what has not sounded never will."""
        now = self._now()
        kept: list[tuple[float, bytes]] = []
        for at, audio in self._right:
            samples = round((now - at) * RATE)
            if samples > 0:
                kept.append((at, audio[: 2 * samples]))
        self._right = kept
        self._agent_began, self._agent_until = None, now

    # ----------------------------------------------------------------------------------------------- microphone

    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Open the line."""
        self._began = asyncio.get_running_loop().time()
        # Owned by this device, from start to stop; no TaskGroup spans the two calls.
        self._task = asyncio.create_task(self._listen(input_callback))  # noqa: TID251

    async def stop(self) -> None:
        """Hang up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _listen(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Sound is made during a chunk and sent at its end, as from a microphone."""
        size = 2 * round(RATE * CHUNK)
        speech, index = b"", 0
        while True:
            made_at = index * CHUNK
            if not speech and self._lines and self._due(made_at):
                line = self._lines.pop(0)
                speech = line.audio
                self.said.append(Utterance(line, made_at, made_at + line.seconds))
            piece, speech = speech[:size], speech[size:]
            if self.said and not speech and piece:
                self._asked_at = made_at + CHUNK
            chunk = _mixed(piece.ljust(size, b"\x00"), self._noise[(index * size) % RATE :][:size])
            index += 1
            await asyncio.sleep(self._began + index * CHUNK - asyncio.get_running_loop().time())
            self._left.append((made_at, chunk))
            await send(chunk)
            if not self._lines and not speech and self._is_over(made_at):
                self.done.set()

    def _due(self, now: float) -> bool:
        line = self._lines[0]
        if line.barge_in is not None and self._agent_began is not None:
            return self._agent_began + line.barge_in <= now < self._agent_until
        return self._is_over(now, line.pause)

    def _is_over(self, now: float, pause: float = 0.4) -> bool:
        """The agent has answered and finished, or never will."""
        if self._asked_at is not None:
            return now > self._asked_at + PATIENCE
        return now >= self._agent_until + pause

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    # ------------------------------------------------------------------------------------------------ recording

    def recording(self) -> StereoRecording:
        """Both sides: caller left, agent right."""
        recording = StereoRecording(RATE)
        for at, audio in self._left:
            recording.write_left(at, audio)
        for at, audio in self._right:
            recording.write_right(at, audio)
        return recording

    @property
    def began(self) -> float:
        """When the recording began, on the event loop's clock."""
        return self._began


def _noise(rng: random.Random) -> bytes:
    """One second of it, and one chunk more, to be repeated."""
    return array("h", (round(rng.gauss(0, NOISE)) for _ in range(RATE + round(RATE * CHUNK)))).tobytes()


def _mixed(one: bytes, other: bytes) -> bytes:
    mixed = (max(-32768, min(32767, a + b)) for a, b in zip(array("h", one), array("h", other), strict=True))
    return array("h", mixed).tobytes()
