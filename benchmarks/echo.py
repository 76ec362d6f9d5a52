"""How often an agent interrupts itself when the caller's microphone picks it up, with and without the echo gate.

Each call, drawn by its seed: three replies of an agent (espeak-ng, four voices). The caller (flite where it is
installed, two espeak-ng voices that are not the agent's) breaks in upon one or two of them, in four calls of ten upon
the first, is silent through the others and answers half of those when they are over. The microphone hears, at 16 kHz,

- the agent, 50 to 400 ms late, 20 to 6 dB softer than it was sent, through a loudspeaker's band-pass with a random
  colour (some +-6 dB) and a room: a direct path, then noise that decays by 60 dB in 0.15 to 0.5 s;
- the caller, 0 to 20 dB louder than that echo (equal in loudness at the worst), never above -14 dBFS rms;
- a noise floor of rms 4 to 40.

It comes in pieces of 20, 100 or 250 ms with 0 to 60 ms of jitter after a network delay of up to 100 ms each way; the
agent's sound was told to the gate in pieces of 20 to 100 ms up to 0.4 s ahead, at times that are wrong by the network
delay and by another 20 ms or less from one reply to the next. One call in ten is held with a headset: no echo at all.

The frames go through the real silero detector and the endpointing of the session. Counted are, while the caller is
silent, beginnings of speech (they hold the agent's output for a moment) and speech of 0.25 s and more (a
self-interruption); and whether the caller's speech over the agent was noticed within 0.5 s of its first sound. The same
scores are counted again with the gate left out.

What it does not show: loudspeakers that distort, people and laptops that move, automatic gain control and the echo
cancellers of browsers (whose leftovers are not a room's), codecs that lose packets, real voices, and noise that is not
steady or louder than said: observed in 20 calls each, with noise of rms 80 added no self-interruption and 28 of 32
barge-ins noticed, with rms 200 (hardly softer than many of the echoes) 9 and 19 of 32.
The rooms are noise, not measured.

    python -m benchmarks.echo [--calls 500]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from antiphon.audio.convert import Encoder
from antiphon.audio.echo import EchoGate
from antiphon.audio.formats import parse_format
from antiphon.audio.levels import first_sound, last_sound
from antiphon.audio.wav import read_wav
from antiphon.engines.base import EngineContext, TextToSpeech
from antiphon.engines.registry import Registry
from antiphon.turns.endpointing import Endpointing
from antiphon.turns.observations import SpeechStarted

RATE = 16_000
FRAME = 512
CAUGHT = 0.95
"Share of the barge-ins that has to be noticed."
SELF_INTERRUPTION = 0.25
"Seconds of speech that interrupt an agent."
NOTICED = 0.5
"Seconds from the caller's first sound within which it should be noticed."
SETTLE = 0.3
"Seconds after the caller's last sound in which its end is still being noticed."
HEADSETS = 0.1
"Share of the calls without an echo."

AGENT_VOICES = ("en-us+f5", "en-us+m3", "en-gb-x-rp+f2", "en-us+m7")
CALLER_VOICES = ("en-gb-x-rp+m1", "en-us+f4")
FLITE_VOICES = ("slt", "rms", "awb", "kal16")
AGENT_LINES = (
    "Hello, and thank you for calling the front desk. My name is Ada, and I can help you with bookings and questions.",
    "I have found three rooms for the second of March. The first one looks out on the garden and has a large bed.",
    "Your order was sent out on Tuesday morning, and it should be with you by Friday at the latest.",
    "Of course. Let me read that back to you. You would like a table for six people at half past seven.",
    "The museum opens at nine and closes at five, except on Mondays, when it stays closed all day long.",
    "I am sorry to hear that. Please tell me the number on the back of the card, and I will look into it.",
    "There are two ways to get there. You can take the tram to the harbour, or walk along the river for ten minutes.",
    "Thank you. Everything is in place now. You will get a message with all the details within the next hour.",
)
CALLER_LINES = (
    "Wait, stop, that is not what I meant.",
    "No, I said Thursday, not Tuesday.",
    "Sorry, can you say that again please?",
    "Actually, I would rather have the other one.",
    "Hold on a second, I need to find my card.",
    "Excuse me, how much is that going to cost?",
    "Yes but what about breakfast?",
    "Okay that is enough, thank you, goodbye.",
)

Sound = NDArray[np.float64]


@dataclass
class Voices:
    """What agents and callers say, spoken once and used in every call."""

    agent: list[Sound]
    caller: list[Sound]


@dataclass
class Call:
    """One call, ready to be heard."""

    microphone: NDArray[np.int16]
    arrivals: list[tuple[int, float]]
    "(samples so far, when they arrived), a row for each piece."
    sent: list[tuple[float, float, bytes]]
    "(when it was handed over, when it should sound, the sound)."
    dropped: list[float]
    caller: list[tuple[float, float]]
    "The caller's speech, first to last sound, on the microphone's clock."
    over_agent: list[bool]
    "Whether that speech began over the agent."
    arrival_delay: float
    "Seconds between the microphone's clock and the server's."


@dataclass
class Tally:
    """What was counted."""

    barge_ins: int = 0
    noticed: int = 0
    delays: list[float] = field(default_factory=list)
    starts: int = 0
    self_interruptions: int = 0
    calls_with_one: int = 0

    def lines(self, calls: int) -> Iterator[str]:
        """For people to read."""
        yield f"self-interruptions (speech >= {SELF_INTERRUPTION} s): {self.self_interruptions} in {calls} calls"
        yield f"calls with one: {self.calls_with_one}; beginnings of speech while the caller was silent: {self.starts}"
        delays = sorted(self.delays) or [0.0]
        yield (
            f"barge-ins noticed within {NOTICED} s: {self.noticed} of {self.barge_ins} = "
            f"{self.noticed / max(1, self.barge_ins):.1%}, after {median(delays) * 1000:.0f} ms (median), "
            f"{delays[int(0.95 * (len(delays) - 1))] * 1000:.0f} ms (p95)"
        )


async def espeak(voice: str, text: str) -> tuple[int, bytes]:
    """Spoken by espeak-ng."""
    engine: TextToSpeech = Registry().create(
        "tts", "espeak", {"voices": {"voice": voice}}, EngineContext(voice_id="voice")
    )
    try:
        return engine.sample_rate, b"".join([speech.audio async for speech in engine.speak(text)])
    finally:
        await engine.aclose()


async def flite(voice: str, text: str) -> tuple[int, bytes]:
    """Spoken by flite."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoken.wav"
        await asyncio.to_thread(subprocess.run, ["flite", "-voice", voice, "-t", text, "-o", path], check=True)
        return await asyncio.to_thread(read_wav, path)


def at_16_khz(spoken: tuple[int, bytes]) -> Sound:
    """Samples from the first sound to the last."""
    rate, audio = spoken
    encoder = Encoder(rate, parse_format("pcm_16000"))
    audio = encoder.encode(audio) + encoder.flush()
    first, last = first_sound(audio, RATE) or 0.0, last_sound(audio, RATE) or 0.0
    return np.frombuffer(audio, "<i2").astype(np.float64)[round(first * RATE) : round(last * RATE)]


async def speak_all() -> Voices:
    """Every voice says every line of its side."""
    agent = [at_16_khz(await espeak(voice, line)) for voice in AGENT_VOICES for line in AGENT_LINES]
    caller = [at_16_khz(await espeak(voice, line)) for voice in CALLER_VOICES for line in CALLER_LINES]
    if shutil.which("flite") is not None:
        caller += [at_16_khz(await flite(voice, line)) for voice in FLITE_VOICES for line in CALLER_LINES]
    return Voices(agent, caller)


def loudness(sound: Sound) -> float:
    """Root mean square of the parts that sound."""
    loud = np.abs(sound) > 0.02 * np.abs(sound).max(initial=1.0)
    return float(np.sqrt(np.mean(sound[loud] ** 2))) if loud.any() else 0.0


def convolved(sound: Sound, response: Sound) -> Sound:
    """By Fourier transform, as long as the sound was."""
    size = 1 << (len(sound) + len(response)).bit_length()
    return np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)[: len(sound)]


def room(rng: np.random.Generator) -> Sound:
    """Loudspeaker and room: a colour, a direct path, a tail of decaying noise."""
    tail_seconds, direct_to_tail = rng.uniform(0.15, 0.5), 10 ** (rng.uniform(-3, 9) / 10)
    at = np.arange(round(RATE * tail_seconds)) / RATE
    tail = rng.standard_normal(len(at)) * 10 ** (-3 * at / tail_seconds)
    tail[: round(0.002 * RATE)] = 0
    response = tail / np.sqrt(np.sum(tail**2))
    response[0] = np.sqrt(direct_to_tail)
    frequencies = np.fft.rfftfreq(8192, 1 / RATE)
    knots = np.linspace(0, 8000, 9)
    colour = np.interp(frequencies, knots, rng.uniform(-6, 6, 9))
    colour = colour - 18 * np.clip((rng.uniform(150, 350) - frequencies) / 150, 0, 2)
    colour = colour - 18 * np.clip((frequencies - 7200) / 500, 0, 2)
    coloured = np.fft.irfft(np.fft.rfft(response, 8192) * 10 ** (colour / 20), 8192)
    return np.roll(coloured, round(0.01 * RATE))  # what the colour put before the direct path stays before it


def make_call(voices: Voices, seed: int) -> Call:
    """Replies, what the caller says into them, what the microphone makes of both."""
    draw, rng = random.Random(seed), np.random.default_rng(seed)
    late, forth, back = draw.uniform(0.05, 0.4), draw.uniform(0, 0.1), draw.uniform(0, 0.1)
    headset = draw.random() < HEADSETS
    agent_voice = draw.randrange(len(AGENT_VOICES)) * len(AGENT_LINES)
    scene = [draw.random() < 0.4, False, True]
    if scene[0]:
        draw.shuffle(scene)  # two of these three, in any order, follow
        scene = [True, *sorted(scene, key=lambda _: draw.random())[:2]]
    seconds = 40.0
    played, caller = np.zeros(round(seconds * RATE)), np.zeros(round(seconds * RATE))
    sent: list[tuple[float, float, bytes]] = []
    dropped: list[float] = []
    spans: list[tuple[float, float]] = []
    over: list[bool] = []
    at = 0.6
    levels: list[float] = []
    for breaks_in in scene:
        reply = voices.agent[agent_voice + draw.randrange(len(AGENT_LINES))]
        levels.append(loudness(reply))
        length = len(reply) / RATE
        onset = at + draw.uniform(0.3, length - 2.0)
        stop = at + length
        if breaks_in:
            words = voices.caller[draw.randrange(len(voices.caller))]
            begin = round((onset + late) * RATE)
            words = words[: len(caller) - begin]
            caller[begin : begin + len(words)] += words / loudness(words)
            spans.append((begin / RATE, (begin + len(words)) / RATE))
            over.append(True)
            stop = min(stop, onset + draw.uniform(0.6, 1.0))
        begin, count = round(at * RATE), round((stop - at) * RATE)
        played[begin : begin + count] += reply[:count]
        sent += pieces(reply, at - forth + draw.uniform(-0.02, 0.02), draw, stop)
        if breaks_in and stop < at + length:
            dropped.append(stop - forth)
        at = stop + draw.uniform(0.8, 1.2)
        if breaks_in:
            at = max(at, spans[-1][1] + draw.uniform(0.5, 1.0))
        elif draw.random() < 0.5:
            words = voices.caller[draw.randrange(len(voices.caller))]
            begin = round((at + late) * RATE)
            caller[begin : begin + len(words)] += words / loudness(words)
            spans.append((begin / RATE, (begin + len(words)) / RATE))
            over.append(False)
            at = spans[-1][1] + draw.uniform(0.5, 1.0)
    total = round((at + late + 0.5) * RATE)
    echo = convolved(played, room(rng))
    level = np.mean(levels) * 10 ** (draw.uniform(-20, -6) / 20)
    echo *= level / loudness(echo)
    shift = round(late * RATE)
    microphone = np.zeros(total)
    if not headset:
        microphone[shift:] += echo[: total - shift]
    microphone += caller[:total] * min(level * 10 ** (draw.uniform(0, 20) / 20), 6500)
    microphone += rng.standard_normal(total) * draw.uniform(4, 40)
    return Call(
        microphone=np.clip(np.rint(microphone), -32768, 32767).astype(np.int16),
        arrivals=arrivals(total, back, draw),
        sent=sorted(sent, key=lambda piece: piece[0]),
        dropped=dropped,
        caller=spans,
        over_agent=over,
        arrival_delay=back,
    )


def pieces(reply: Sound, at: float, draw: random.Random, stop: float) -> list[tuple[float, float, bytes]]:
    """The reply as it was handed over: up to 0.4 s ahead, until it was stopped."""
    audio, made, begin = [], 0, at
    samples = np.clip(np.rint(reply), -32768, 32767).astype("<i2")
    while made < len(samples):
        count = round(draw.choice((0.02, 0.04, 0.1)) * RATE)
        handed_over = max(at, begin + made / RATE - 0.4)
        if handed_over > stop:
            break
        audio.append((handed_over, begin + made / RATE, samples[made : made + count].tobytes()))
        made += count
    return audio


def arrivals(total: int, back: float, draw: random.Random) -> list[tuple[int, float]]:
    """When each piece of the microphone's sound has come in; never out of order."""
    piece, jitter = round(draw.choice((0.02, 0.1, 0.25)) * RATE), draw.uniform(0, 0.06)
    rows: list[tuple[int, float]] = []
    newest = 0.0
    for end in range(piece, total + 1, piece):
        newest = max(newest, end / RATE + back + draw.uniform(0, jitter))
        rows.append((end, newest))
    return rows


def scores_of(call: Call, score: Callable[[bytes], float]) -> list[float]:
    """What the detector says of each frame."""
    count = call.arrivals[-1][0] // FRAME
    return [score(call.microphone[index * FRAME : (index + 1) * FRAME].tobytes()) for index in range(count)]


def gated(call: Call, scores: Sequence[float]) -> tuple[list[float], float]:
    """The scores after the gate, and the seconds that it took."""
    gate, sent, dropped = EchoGate(), list(call.sent), list(call.dropped)
    sent.reverse()
    result: list[float] = []
    spent = 0.0
    for samples, now in call.arrivals:
        began = time.thread_time()
        while sent and sent[-1][0] <= now:
            handed_over, at, audio = sent.pop()
            while dropped and dropped[0] < handed_over:
                gate.dropped(dropped.pop(0))
            gate.sent(audio, at)
        while dropped and dropped[0] <= now:
            gate.dropped(dropped.pop(0))
        while (len(result) + 1) * FRAME <= samples:
            index = len(result)
            frame = call.microphone[index * FRAME : (index + 1) * FRAME].tobytes()
            result.append(scores[index] * (1 - gate.echo(frame, now, scores[index])))
        spent += time.thread_time() - began
    return result, spent


def count(call: Call, scores: Sequence[float], tally: Tally) -> bool:
    """Add a call's figures to the tally. Returns whether it was without fault."""
    endpointing = Endpointing(FRAME / RATE)
    speech: list[tuple[float, float]] = []
    for index, score in enumerate(scores):
        observed = endpointing.score(score)
        now = (index + 1) * FRAME / RATE
        if isinstance(observed, SpeechStarted):
            speech.append((now, now))
        if endpointing.speaking and score >= endpointing.policy.stop_score:
            speech[-1] = (speech[-1][0], now)
    began = endpointing.policy.start_after
    missed = 0
    for (onset, end), over in zip(call.caller, call.over_agent, strict=True):
        if not over:
            continue
        tally.barge_ins += 1
        noticed = [start for start, stop in speech if stop > onset + 0.05 and start < end]
        first = min((max(0.0, start - onset) for start in noticed), default=9.0)
        tally.delays.append(first)
        tally.noticed += first <= NOTICED
        missed += first > NOTICED
    false = [
        stop - start + began
        for start, stop in speech
        if not any(onset <= start <= end + SETTLE for onset, end in call.caller)
    ]
    wrong = sum(seconds >= SELF_INTERRUPTION for seconds in false)
    tally.starts += len(false)
    tally.self_interruptions += wrong
    tally.calls_with_one += wrong > 0
    return not (missed or wrong)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    calls: int = arguments.calls
    voices = asyncio.run(speak_all())
    detector = Registry().create("vad", "silero", {}, EngineContext())
    with_gate, without = Tally(), Tally()
    spent, frames, faulty = 0.0, 0, []
    for seed in range(arguments.first_seed, arguments.first_seed + calls):
        call = make_call(voices, seed)
        scores = scores_of(call, detector.stream().score)
        after, seconds = gated(call, scores)
        spent, frames = spent + seconds, frames + len(scores)
        if not count(call, after, with_gate):
            faulty.append(seed)
        count(call, scores, without)
    print(f"{calls} calls, {frames * FRAME / RATE / 60:.0f} minutes")
    for title, tally in (("without the gate", without), ("with the gate", with_gate)):
        print(title, *tally.lines(calls), sep="\n  ")
    print(f"the gate took {spent / max(1, frames) * 1e6:.0f} us a frame; seeds with a fault: {faulty[:40]}")
    sys.exit(0 if with_gate.self_interruptions == 0 and with_gate.noticed >= CAUGHT * with_gate.barge_ins else 1)


if __name__ == "__main__":
    main()
