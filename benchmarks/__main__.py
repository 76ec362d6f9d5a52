"""Run the benchmarks, and say at the end which goals are met.

    python -m benchmarks [names] [--quick] [--speech] [--list]

First those whose figures depend on a quiet machine, one after another, then the others in two lanes. Without names:
everything but the speech corpora, which `--speech` runs instead. Exit status 1: a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .peers.__main__ import peers_there
from .plan import BENCHMARKS, BY_NAME, PEERS, Benchmark, Job, Verdict, in_order, jobs, verdicts, wall_clock

ROOT = Path(__file__).resolve().parent.parent
LANES = 2
MINUTES = 20
"That the whole may take."


@dataclass
class Runner:
    """Starts processes and keeps what they print."""

    console: Console
    running: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, list[str]] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)

    async def run(self, queue: Sequence[Job]) -> None:
        """All of them: the quiet ones first, then the lanes."""
        quiet, shared = in_order(queue)
        await self._lane(iter(quiet))
        waiting = iter(shared)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(LANES):
                tasks.create_task(self._lane(waiting))

    async def _lane(self, waiting: Iterator[Job]) -> None:
        for job in waiting:
            await self._job(job)

    async def _job(self, job: Job) -> None:
        began = self.running[job.title] = time.monotonic()
        if not self.console.is_terminal:
            self.console.print(f"{job.title} has begun", highlight=False)
        status, output = await _process(job)
        del self.running[job.title]
        self.outputs.setdefault(job.benchmark.name, []).append(output)
        self.statuses.setdefault(job.benchmark.name, []).append(status)
        self.console.rule(f"{job.title}, {time.monotonic() - began:.0f} s, exit status {status}", align="left")
        self.console.print(Text(output))

    def __rich__(self) -> Text:
        """What is running now."""
        now = time.monotonic()
        return Text("   ".join(f"{title} {now - began:.0f} s" for title, began in self.running.items()), "bold")


async def _process(job: Job) -> tuple[int, str]:
    """Exit status and output. It is ended, with its own processes, when it takes far longer than it should."""
    environment = os.environ | ({"ANTIPHON_FULL": "1"} if job.benchmark.test and job.full else {})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *job.command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    pieces: list[bytes] = []
    note = ""
    limit = 120 + 3 * job.seconds
    try:
        async with asyncio.timeout(limit):
            while piece := await process.stdout.read(65536):
                pieces.append(piece)
            await process.wait()
    except TimeoutError:
        note = f"\ngiven up after {limit:.0f} s"
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode or 0, b"".join(pieces).decode(errors="replace").rstrip() + note


def summary(found: Mapping[str, Sequence[Verdict]]) -> Table:
    """Every goal: figure, bounds, met or missed."""
    table = Table("benchmark", "goal", "figure", "bounds", "")
    for name, each in found.items():
        for verdict in each:
            style = {"met": "green", "MISSED": "bold red"}.get(verdict.word, "yellow")
            figure = "-" if math.isnan(verdict.figure) else f"{verdict.figure:.6g}"
            table.add_row(name, verdict.what, figure, verdict.bounds, Text(verdict.word, style))
    return table


@contextmanager
def _progress(runner: Runner) -> Iterator[None]:
    """Which are running, and for how long, where there is a terminal."""
    if not runner.console.is_terminal:
        yield
        return
    with Live(runner, console=runner.console, refresh_per_second=2, transient=True):
        yield


def _chosen(names: Sequence[str], *, speech: bool) -> list[Benchmark]:
    if names:
        return [BY_NAME[name] for name in dict.fromkeys(names)]
    return [benchmark for benchmark in BENCHMARKS if benchmark.speech == speech]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BY_NAME))
    parser.add_argument("--quick", action="store_true", help="a short look at each: figures are not to be believed")
    parser.add_argument("--speech", action="store_true", help="the speech corpora instead")
    parser.add_argument("--list", action="store_true", help="what would run, and for how long")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BY_NAME):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    chosen = _chosen(arguments.names, speech=arguments.speech)
    queue = jobs(chosen, quick=arguments.quick)
    if arguments.list:
        for job in [job for part in in_order(queue) for job in part]:
            print(f"{'alone' if job.benchmark.quiet else 'shared':<8}{job.seconds:>5.0f} s  {' '.join(job.command)}")
        print(f"about {wall_clock(queue, LANES) / 60:.0f} minutes")
        return
    console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=120, soft_wrap=True)
    runner = Runner(console)
    began = time.monotonic()
    with _progress(runner):
        asyncio.run(runner.run(queue))
    found = {one.name: verdicts(one, runner.outputs[one.name], runner.statuses[one.name]) for one in chosen}
    minutes = (time.monotonic() - began) / 60
    if not (arguments.names or arguments.speech or arguments.quick):
        word = "met" if minutes <= MINUTES else "MISSED"
        found["all"] = [Verdict("minutes", minutes, f"<= {MINUTES}", word)]
    console.rule("summary", align="left")
    console.print(summary(found))
    if PEERS in chosen and not peers_there():
        console.print("Pipecat and LiveKit are not installed: the comparison with them is left out.")
        console.print("`python -m benchmarks.peers --install` installs them.")
    missed = sum(verdict.word == "MISSED" for each in found.values() for verdict in each)
    console.print(f"{minutes:.1f} minutes, {missed} missed")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
