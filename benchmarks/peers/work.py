"""The work, and how it is measured: the same for every party. Standard library only, since every environment runs it.

Audio in: frames of 20 ms, 16 kHz s16le, on an absolute schedule; near-silence (12 units) between turns. A turn is
2.00 s of speech whose last sound lies in its last 10 ms.

End of speech   when the last frame of speech has been handed to the party: zero of the user-heard gap, and the clock
                of speech-to-text (a transcript is there `stt` seconds later, whatever voice activity detection thinks)
Decision        when the result of the party's own voice activity detection that ended the turn was back on the loop
First audio     when the first sound of the reply was handed to the transport
Overhead        first audio - max(decision, final transcript), with engines that need no time
Gap             first audio - end of speech, with engines that need the time of `REALISTIC`
"""

from __future__ import annotations

import asyncio
import bisect
import random
import resource
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

RATE = 16_000
FRAME = 0.02
FRAME_BYTES = round(RATE * FRAME) * 2
SPEECH = 2.0
"Seconds of speech in a turn."
NOISE = 12
"Loudest sample while nobody speaks."

TRANSCRIPT = "Please tell me when you are open in the morning."
SENTENCES = (
    "We are open every morning from eight until twelve today.",
    "You can come in without any appointment if you like.",
    "Please bring the letter that we sent you last week.",
)
TOKENS = tuple(" " + word for sentence in SENTENCES for word in sentence.split())
"The reply: 30 tokens, 3 sentences of 10. That a sentence is over shows with the token behind it."
PIECE = 0.1
"Seconds of sound in one piece from text-to-speech."
PERIOD = 8.0
"Seconds of one whole turn where processor time is measured: 2 s of speech, 3 s of reply, silence."
WARM_UP = 10.0
PATIENCE = 6.0
"Seconds after which a reply is taken not to come."
QUIET = 0.5
"Seconds between the end of a reply and the next turn."

now = time.perf_counter
"The clock of all stamps; processes of one machine share it."


@dataclass(frozen=True)
class Engines:
    """Seconds that the engines of a conversation need."""

    stt: float = 0.0
    "From the end of speech to its transcript."
    first_token: float = 0.0
    token: float = 0.0
    first_sound: float = 0.0
    "From a sentence to the first piece of its sound..."
    piece: float = 0.0
    "...and from piece to piece."
    pieces: int = 3
    "Of every sentence."

    async def tokens(self) -> AsyncIterator[str]:
        """The reply, as a language model streams it."""
        await asyncio.sleep(self.first_token)
        for token in TOKENS:
            yield token
            await asyncio.sleep(self.token)

    async def sound(self) -> AsyncIterator[bytes]:
        """A sentence, as text-to-speech streams it: s16le at RATE."""
        await asyncio.sleep(self.first_sound)
        for _ in range(self.pieces):
            yield TONE
            await asyncio.sleep(self.piece)

    @property
    def reply(self) -> float:
        """Seconds that a reply sounds."""
        return len(SENTENCES) * self.pieces * PIECE


TONE = struct.pack("<1600h", *(3000 if i // 40 % 2 else -3000 for i in range(1600)))
INSTANT = Engines()
REALISTIC = Engines(stt=0.2, first_token=0.3, token=0.005, first_sound=0.1, piece=0.02)
LONG = Engines(stt=0.2, first_token=0.3, token=0.005, first_sound=0.1, piece=0.02, pieces=10)
"The same, with 3 s of reply."
LONG_INSTANT = Engines(pieces=10)


# --------------------------------------------------------------------------------------------------------- the caller


class Microphone:
    """A caller's sound in real time. `push` gets every frame; `speak` begins a turn with the next one."""

    def __init__(self, speech: bytes, push: Callable[[bytes], Awaitable[None]], *, seed: int = 1) -> None:
        self._speech = [speech[i : i + FRAME_BYTES] for i in range(0, len(speech), FRAME_BYTES)]
        self._push = push
        self._left: list[bytes] = []
        self._ended = asyncio.Event()
        self.onsets: list[float] = []
        self.ends: list[float] = []
        rng = random.Random(seed)
        noise = [rng.randint(-NOISE, NOISE) for _ in range(RATE)]
        self._noise = [
            struct.pack(f"<{FRAME_BYTES // 2}h", *noise[i : i + FRAME_BYTES // 2])
            for i in range(0, RATE, FRAME_BYTES // 2)
        ]
        self.on_end: Callable[[float], None] = lambda at: None
        "Told the end of speech, at once."

    async def speak(self) -> float:
        """One turn; returns its end of speech."""
        self._ended.clear()
        self._left = list(reversed(self._speech))
        await self._ended.wait()
        return self.ends[-1]

    async def run(self) -> None:
        """Push frames until cancelled."""
        loop = asyncio.get_running_loop()
        at, count = loop.time(), 0
        while True:
            at, count = at + FRAME, count + 1
            await asyncio.sleep(at - loop.time())
            if not self._left:
                await self._push(self._noise[count % len(self._noise)])
                continue
            if len(self._left) == len(self._speech):
                self.onsets.append(now())
            await self._push(self._left.pop())
            if not self._left:
                end = now()
                self.ends.append(end)
                self.on_end(end)
                self._ended.set()


@dataclass
class Stamps:
    """When things happened in one conversation."""

    decisions: list[float] = field(default_factory=list)
    audio: list[float] = field(default_factory=list)
    thinking: list[float] = field(default_factory=list)
    speaking: list[float] = field(default_factory=list)
    "The language model, and text-to-speech, were asked."
    _sounded: asyncio.Event = field(default_factory=asyncio.Event)

    def sounded(self) -> None:
        """Sound of the agent has left."""
        self.audio.append(now())
        self._sounded.set()

    async def reply(self, after: float) -> float | None:
        """The first sound after `after`, waited for; None: it did not come."""
        try:
            async with asyncio.timeout(PATIENCE):
                while (audio := self.first_audio(after)) is None:
                    self._sounded.clear()
                    await self._sounded.wait()
        except TimeoutError:
            return None
        return audio

    def first_audio(self, after: float) -> float | None:
        """The first sound after `after`."""
        index = bisect.bisect_right(self.audio, after)
        return self.audio[index] if index < len(self.audio) else None

    def turn(self, onset: float, end: float, engines: Engines) -> dict[str, float] | None:
        """What one turn came to, in milliseconds; None: there was no reply."""
        audio = self.first_audio(end)
        if audio is None:
            return None
        decisions = [at for at in self.decisions if onset < at <= audio]
        figures = {"gap": (audio - end) * 1000}
        if decisions:
            figures["decision"] = (decisions[-1] - end) * 1000
            figures["overhead"] = (audio - max(decisions[-1], end + engines.stt)) * 1000
        for name, stamps in (("thinking", self.thinking), ("speaking", self.speaking)):
            if begun := [at for at in stamps if onset < at <= audio]:
                figures[name] = (begun[0] - end) * 1000
        return figures


async def converse(microphone: Microphone, stamps: Stamps, engines: Engines, turns: int) -> list[dict[str, float]]:
    """Hold so many turns, each after the reply before it has been heard. The first, which warms up, does not count."""
    figures: list[dict[str, float]] = []
    await asyncio.sleep(1.0)
    for number in range(turns + 1):
        end = await microphone.speak()
        audio = await stamps.reply(end)
        if number and (turn := stamps.turn(microphone.onsets[-1], end, engines)) is not None:
            figures.append(turn)
        heard = (audio or now()) + engines.reply + QUIET + number * 0.007  # another place in the detector's window
        await asyncio.sleep(max(0.0, heard - now()))
    return figures


async def chatter(microphone: Microphone, offset: float) -> None:
    """Turn after turn, one a PERIOD, until cancelled."""
    loop = asyncio.get_running_loop()
    at = loop.time() + offset
    while True:
        await asyncio.sleep(max(0.0, at - loop.time()))
        await microphone.speak()
        at += PERIOD


# ---------------------------------------------------------------------------------------------------- what it costs


def processor() -> float:
    """Seconds of processor time that this process has used, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory() -> float:
    """Megabytes of this process that are in memory (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("this system does not tell")


async def lag(into: list[float]) -> None:
    """How late a 10 ms timer comes, in milliseconds, until cancelled."""
    while True:
        began = now()
        await asyncio.sleep(0.01)
        into.append((now() - began - 0.01) * 1000)


async def cost(period: float = PERIOD) -> dict[str, float]:
    """Processor time of this process over one whole period after the warm-up."""
    await asyncio.sleep(WARM_UP)
    lags: list[float] = []
    sampler = asyncio.get_running_loop().create_task(lag(lags))
    used, began = processor(), now()
    await asyncio.sleep(period)
    spent, seconds = processor() - used, now() - began
    sampler.cancel()
    lags.sort()
    return {
        "cpu": spent / seconds * 1000,
        "rss": memory(),
        "lag_p50": lags[len(lags) // 2],
        "lag_p99": lags[int(len(lags) * 0.99)],
    }
