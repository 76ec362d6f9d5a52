"""The numbers of the dictation benchmark, spoken: synthetic callers through voice activity and the real recogniser.

Telephone, card and order numbers of benchmarks/dictation.py and its finished sentences, said by espeak-ng and flite in
pink noise 25 dB below the voice, with its pauses (0.3 to 1.2 s of nothing but noise) between the groups. Silero,
endpointing, PocketSphinx's worker code run inline and the turn machine hear them in pieces of 20 ms of audio time, a
partial transcript 30 ms and a final one 120 ms late. What the recogniser misunderstands is part of it. Spellings and
addresses are left out: the built-in recogniser does not know their words. The rival, a fixed wait, counts from where
voice activity hears the end, a tenth of a second after the voice's last sound: to its advantage.

    python -m benchmarks.spoken_dictation [--turns 60] [--seed 1]
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import fmean
from typing import Any

import numpy as np

from antiphon.engines.base import SAMPLE_RATE, EngineContext, VoiceActivityModel
from antiphon.engines.registry import Registry
from antiphon.engines.stt import worker
from antiphon.turns import observations as ob
from antiphon.turns.completeness import expectation
from antiphon.turns.endpointing import Endpointing
from antiphon.turns.machine import TurnMachine, TurnPolicy

from . import backchannels, dictation
from .backchannels import CHUNK, FINAL_LATE, PARTIAL_LATE, PRE_ROLL, Samples

SPOKEN = ("telephone", "card", "order")
AFTERWARDS = 3.0


def recording(turn: dictation.Turn, groups: Sequence[Samples], seed: int) -> tuple[bytes, list[float], float]:
    """The turn's sound, when each group but the first begins, and when the last one ends (seconds)."""
    pieces: list[Any] = [np.zeros(SAMPLE_RATE)]
    begins: list[float] = []
    for index, group in enumerate(groups):
        if index:
            pieces.append(np.zeros(round(turn.pauses[index - 1] * SAMPLE_RATE)))
            begins.append(sum(map(len, pieces)) / SAMPLE_RATE)
        pieces.append(group)
    end = sum(map(len, pieces)) / SAMPLE_RATE
    sound = np.concatenate([*pieces, np.zeros(round(AFTERWARDS * SAMPLE_RATE))]).astype(np.float64)
    sound += 2500 * 10 ** (-25 / 20) * backchannels.noise(np.random.default_rng(seed), "pink", len(sound))
    return sound.clip(-32768, 32767).astype(np.int16).tobytes(), begins, end


def listen(
    vad_model: VoiceActivityModel, stream: worker.Stream, policy: TurnPolicy, question: str, audio: bytes
) -> list[float]:
    """When the machine took the turn to be over, each time; it is told the text only when the caller goes on."""
    machine = TurnMachine(policy)
    for seen in (
        ob.Opened(True),
        ob.ReplyThought(1),
        ob.ReplyAudible(1),
        ob.ReplyOver(1, expects=expectation(question)),
    ):
        machine.handle(seen, 0.0)
    vad = vad_model.stream()
    endpointing = Endpointing(vad.frame_samples / SAMPLE_RATE)
    size, rest, speaking = 2 * vad.frame_samples, b"", False
    pre_roll: deque[bytes] = deque(maxlen=PRE_ROLL)
    due: list[tuple[float, ob.Observation]] = []
    ends: list[float] = []
    for begin in range(0, len(audio) - 2 * CHUNK + 1, 2 * CHUNK):
        now = (begin / 2 + CHUNK) / SAMPLE_RATE
        rest += audio[begin : begin + 2 * CHUNK]
        observed: list[ob.Observation] = []
        heard: list[bytes] = []
        while len(rest) >= size:
            frame, rest = rest[:size], rest[size:]
            if (change := endpointing.score(vad.score(frame))) is not None:
                if isinstance(change, ob.SpeechStarted):
                    due = [(0.0, seen) if isinstance(seen, ob.Heard) else (at, seen) for at, seen in due]
                    if not speaking:
                        speaking = True
                        heard.extend(pre_roll)
                observed.append(change)
            (heard if speaking else pre_roll).append(frame)
        if (growing := endpointing.arrived(now)) is not None:
            observed.append(growing)
        if heard and (partial := stream.feed(b"".join(heard))) is not None:
            due.append((now + PARTIAL_LATE, ob.Partial(partial)))
        observed += [seen for at, seen in due if at <= now]
        due = [(at, seen) for at, seen in due if at > now]
        for seen in observed:
            for command in machine.handle(seen, now):
                if isinstance(command, ob.EndUtterance):
                    ends.append(now)
                    text, _ = stream.finish()
                    due = [(now + 1000 + FINAL_LATE, ob.Heard(command.utterance, text))]
                    speaking = endpointing.speaking
                    endpointing.settled()
    stream.discard()
    return ends


async def measure(policy: TurnPolicy, turns: Sequence[dictation.Turn], seed: int) -> tuple[float, float, float]:
    """Share of pauses cut; mean delay after sentences and after dictations, in seconds."""
    cut = pauses = 0
    delays: dict[bool, list[float]] = {True: [], False: []}
    async with AsyncExitStack() as stack:
        phrasings = [answer for _, answer in dictation.SAID]
        phrasings += ["{digits}", "my number is {digits}", "my card number is {digits}", "the order number is {digits}"]
        phrasings += [*dictation.UNASKED.values(), "yes it's {digits}", "sure it is {digits}", "that's {digits}"]
        engine = Registry().create("stt", "pocketsphinx", {}, EngineContext(phrasings=phrasings))
        stack.push_async_callback(engine.aclose)
        await engine.prepare()
        vad = Registry().create("vad", "silero", {}, EngineContext())
        speakers = list((await backchannels.voices(stack, small=True)).values())
        streams = [worker.Stream(**engine._model) for _ in speakers]
        for index, turn in enumerate(turns):
            say = speakers[index % len(speakers)]
            audio, begins, end = recording(turn, [await say(group) for group in turn.groups], seed + index)
            ends = listen(vad, streams[index % len(speakers)], policy, turn.question, audio)
            starts = [0.0, *begins]
            cut += sum(any(low < at < high for at in ends) for low, high in zip(starts, begins, strict=False))
            pauses += len(begins)
            delays[bool(begins)].append(next((at - end for at in ends if at > end), AFTERWARDS))
    return cut / pauses, fmean(delays[False]), fmean(delays[True])


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=60, help="of each kind")
    parser.add_argument("--small", action="store_true", help="a twentieth of the text benchmark's share")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    count = 9 if arguments.small else arguments.turns
    spoken = dictation.corpus(arguments.seed)
    rng = random.Random(arguments.seed)
    numbers = [turn for turn in spoken.dictations if turn.kind in SPOKEN][:count]
    turns = [*numbers, *rng.sample(list(spoken.sentences), count)]
    print(f"{len(numbers)} spoken numbers with {sum(len(turn.pauses) for turn in numbers)} pauses, {count} sentences")
    ours = asyncio.run(measure(TurnPolicy(), turns, arguments.seed))
    rival = asyncio.run(measure(dictation.fixed(ours[1]), turns, arguments.seed))
    for title, (cut, sentence, number) in (("words", ours), ("fixed wait", rival)):
        print(f"{title:12} pauses cut {cut:6.1%}, delay after sentences {sentence:.3f} s, after numbers {number:.3f} s")
    print(f"false cut-offs against the fixed wait: {ours[0] / rival[0]:.2f} (at most 0.33)")


if __name__ == "__main__":
    main()
