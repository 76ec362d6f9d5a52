"""What a live session costs: processor time and where it goes, memory, the time it takes to begin.

Twenty sessions in one process on one core, each with a turn every 8 s (2 s of speech, 3 s of reply), 20 ms of sound per
message, Silero, the journal on, engines that wait instead of working. Processor time is split by subtraction: the rig
alone (microphones and the sampler of the loop's lag), the scores (their own processor time), the rest.

    python -m benchmarks.session_cost [--sessions 20]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from .peers import antiphon_party, speech, work
from .peers.figures import percentile, verdict
from .peers.worker import Tasks

FEW = 2
"Sessions that are not counted for memory: with them comes what all share."


class _TimedScores(antiphon_party.Scores):
    """Counts the processor time of its scores."""

    spent = 0.0
    count = 0

    def score(self, frame: bytes) -> float:
        began = time.thread_time()
        score = super().score(frame)
        _TimedScores.spent += time.thread_time() - began
        _TimedScores.count += 1
        return score


class _Rig:
    """Microphones that nobody hears."""

    def __init__(self, sound: bytes) -> None:
        self._sound = sound

    async def start(self, tasks: asyncio.TaskGroup) -> tuple[work.Microphone, work.Stamps]:
        async def push(frame: bytes) -> None:
            pass

        microphone = work.Microphone(self._sound, push)
        tasks.create_task(microphone.run())
        return microphone, work.Stamps()


async def _measure(party: Any, sessions: int) -> dict[str, float]:
    memory = 0.0
    async with Tasks() as tasks:
        for number in range(sessions):
            microphone, _ = await party.start(tasks)
            tasks.create_task(work.chatter(microphone, number * work.PERIOD / sessions))
            if number + 1 == FEW:
                gc.collect()
                memory = work.memory()
        figures = await work.cost()
        gc.collect()
        figures["further"] = (work.memory() - memory) / (sessions - FEW)
        tasks.stop()
    return figures


async def _starts(party: antiphon_party.Party, sessions: int) -> list[float]:
    """Milliseconds that each takes to begin, one after another, with nothing else to do."""
    await party.prepare()
    async with Tasks() as tasks:
        for _ in range(sessions):
            await party.begin(tasks)
            await asyncio.sleep(0.02)
        tasks.stop()
    await party.aclose()
    return party.starts


async def _cost(party: antiphon_party.Party, sessions: int) -> dict[str, float]:
    await party.prepare()
    figures = await _measure(party, sessions)
    await party.aclose()
    return figures


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    sessions: int = parser.parse_args().sessions
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech")
        speech.write(path)
        sound = path.read_bytes()
    rig = asyncio.run(_measure(_Rig(sound), sessions))
    antiphon_party.Scores = _TimedScores  # type: ignore[misc]
    options = {"speculative": True}
    starts = asyncio.run(_starts(antiphon_party.Party(sound, work.LONG, options), sessions))
    figures = asyncio.run(_cost(antiphon_party.Party(sound, work.LONG, options), sessions))
    seconds = work.WARM_UP + work.PERIOD
    scores = _TimedScores.spent / max(1, _TimedScores.count) * (work.RATE / 512) * 1000
    whole, rigged = figures["cpu"] / sessions, rig["cpu"] / sessions
    print(f"{sessions} sessions on one core, {seconds:.0f} s; ms of processor time per session and second")
    print(f"  all          {whole:6.2f}")
    print(f"  rig          {rigged:6.2f}")
    print(f"  scores       {scores:6.2f}   ({scores / work.RATE * 512:.3f} ms each)")
    print(f"  the session  {whole - rigged - scores:6.2f}")
    print(f"  sessions per core at 70 %: {700 / (whole - rigged):.0f}")
    print(f"loop lag p50 {figures['lag_p50']:.1f} ms, p99 {figures['lag_p99']:.1f} ms; {figures['rss']:.0f} MB in all")
    start, further = percentile(starts[1:], 0.95), figures["further"] - max(0.0, rig["further"])
    print(f"session start p50 {median(starts[1:]):.1f} ms, p95 {start:.1f} ms (at most 10: {verdict(start, 10)})")
    print(f"the rig keeps {rig['further']:.2f} MB a session: its microphones' sound, not counted here")
    print(f"per further session {further:.2f} MB (at most 0.5: {verdict(further, 0.5)})")
    sys.exit(0 if start <= 10 and further <= 0.5 else 1)


if __name__ == "__main__":
    main()
