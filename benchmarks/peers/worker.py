"""One party, one measurement, one process: prints a line of JSON.

python -m benchmarks.peers.worker PARTY turns|cost --speech FILE [--engines instant] [--turns 7] [--sessions 10]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import os
from pathlib import Path
from typing import Any

from . import work

ENGINES = {"instant": work.INSTANT, "realistic": work.REALISTIC, "long": work.LONG, "long_instant": work.LONG_INSTANT}
FEW = 2
"Sessions before those whose memory is counted."


async def _turns(party: Any, engines: work.Engines, count: int) -> dict[str, Any]:
    await party.prepare()
    try:
        async with Tasks() as tasks:
            microphone, stamps = await party.start(tasks)
            figures = await work.converse(microphone, stamps, engines, count)
            tasks.stop()
    finally:
        await party.aclose()
    return {"turns": figures, "asked": count}


async def _cost(party: Any, sessions: int) -> dict[str, Any]:
    await party.prepare()
    try:
        async with Tasks() as tasks:
            memory = 0.0
            for number in range(sessions):
                microphone, _ = await party.start(tasks)
                tasks.create_task(work.chatter(microphone, number * work.PERIOD / sessions))
                if number + 1 == min(FEW, sessions):
                    gc.collect()
                    memory = work.memory()
            figures = await work.cost()
            gc.collect()
            further = (work.memory() - memory) / (sessions - FEW) if sessions > FEW else 0.0
            tasks.stop()
    finally:
        await party.aclose()
    return {**figures, "sessions": sessions, "rss_further": further, "starts": getattr(party, "starts", [])}


class Tasks(asyncio.TaskGroup):
    """A group that can be left while its tasks still run."""

    def __init__(self) -> None:
        super().__init__()
        self._mine: list[asyncio.Task[Any]] = []

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """As usual, remembered."""
        task = super().create_task(coro, **options)
        self._mine.append(task)
        return task

    def stop(self) -> None:
        """End them all."""
        for task in self._mine:
            task.cancel()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("party")
    parser.add_argument("measure", choices=["turns", "cost"])
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--engines", choices=ENGINES, default="instant")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--options", type=json.loads, default={}, help="of the party, as JSON")
    arguments = parser.parse_args()
    engines = ENGINES[arguments.engines]
    module = importlib.import_module(f".{arguments.party}_party", __package__)
    party = module.Party(arguments.speech.read_bytes(), engines, arguments.options)
    with asyncio.Runner(loop_factory=module.LOOP) as runner:
        if arguments.measure == "turns":
            figures = runner.run(_turns(party, engines, arguments.turns))
        else:
            figures = runner.run(_cost(party, arguments.sessions))
        print(json.dumps(figures), flush=True)
        os._exit(0)  # what a party's threads still do is nobody's business any more


if __name__ == "__main__":
    main()
