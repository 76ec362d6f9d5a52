"""Runs the work in every party, rounds interleaved, and prints one table. See the package's docstring."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import venv
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from . import speech
from .figures import line, missing, percentile, pooled, ratio, verdict

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-peers"
LOCK = Path(__file__).with_name("requirements.lock")
MEASURES = ("overhead", "gap", "socket", "cpu")
LIMIT = 150.0
"Seconds after which a measurement is given up."

Runs = dict[str, list[dict[str, Any] | None]]
"What each measurement gave, round by round; None: it failed."
Job = tuple[str, list[str]]
"What it is called in the table, and its command."


@dataclass
class Bench:
    """Commands for the parties' processes."""

    speech: Path
    turns: int
    peers: bool
    runs: Runs = field(default_factory=dict)

    def ours(self, measure: str, engines: str, **options: Any) -> list[str]:
        """Antiphon in process."""
        return self._worker(sys.executable, "antiphon", measure, engines, options)

    def theirs(self, party: str, measure: str, engines: str, **options: Any) -> list[str]:
        """A peer in process."""
        return self._worker(str(ENVIRONMENT / "bin" / "python"), party, measure, engines, options)

    def _worker(self, python: str, party: str, measure: str, engines: str, options: Mapping[str, Any]) -> list[str]:
        return [
            *(python, "-m", f"{__package__}.worker", party, measure, "--speech", str(self.speech)),
            *("--engines", engines, "--turns", str(self.turns), "--options", json.dumps(options)),
        ]

    def socket(self, engines: str, *, barge_in: bool, server_core: int, **options: Any) -> list[str]:
        """Antiphon over the WebSocket."""
        return [
            *(sys.executable, "-m", f"{__package__}.socket_client", "--speech", str(self.speech)),
            *("--engines", engines, "--turns", str(self.turns), "--options", json.dumps(options)),
            *("--server-core", str(server_core), *(["--barge-in"] if barge_in else [])),
        ]

    async def run(self, name: str, command: Sequence[str], core: int) -> None:
        """One process on one core; what it printed is kept under `name`, nothing if it failed."""
        process = await asyncio.create_subprocess_exec(
            *("taskset", "--cpu-list", str(core), *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            limit=2**24,
        )
        try:
            async with asyncio.timeout(LIMIT):
                output, errors = await process.communicate()
        except TimeoutError:
            process.kill()
            output, errors = await process.communicate()
        figures: dict[str, Any] | None = None
        try:
            figures = json.loads(output.splitlines()[-1])
        except (IndexError, json.JSONDecodeError):
            print(f"{name}: no figures\n{errors.decode()[-2000:]}", file=sys.stderr)
        self.runs.setdefault(name, []).append(figures)

    async def side_by_side(self, jobs: Sequence[Job], cores: Sequence[int]) -> None:
        """As many processes at a time as there are cores; the order of the cores is the round's."""
        waiting = list(jobs)

        async def work_through(core: int) -> None:
            while waiting:
                name, command = waiting.pop(0)
                await self.run(name, command, core)

        async with asyncio.TaskGroup() as tasks:
            for core in cores:
                tasks.create_task(work_through(core))


# ------------------------------------------------------------------------------------------------------ measurements


async def overhead(bench: Bench, cores: Sequence[int]) -> None:
    """Engines that need no time: what the orchestration itself needs."""
    jobs = [("antiphon overhead", bench.ours("turns", "instant", eagerness="eager"))]
    if bench.peers:
        jobs += [
            ("pipecat overhead", bench.theirs("pipecat", "turns", "instant", turn="min")),
            ("livekit overhead", bench.theirs("livekit", "turns", "instant", turn="min", preemptive=False)),
        ]
    jobs += [("antiphon overhead, speculative", bench.ours("turns", "instant", eagerness="eager", speculative=True))]
    await bench.side_by_side(jobs, cores)


async def gap(bench: Bench, cores: Sequence[int]) -> None:
    """Engines at 200/300/100 ms and the usual end of turn: what the user waits for."""
    jobs = [("antiphon gap", bench.ours("turns", "realistic", speculative=True))]
    if bench.peers:
        jobs += [
            ("livekit gap", bench.theirs("livekit", "turns", "realistic", turn="default")),
            ("pipecat gap", bench.theirs("pipecat", "turns", "realistic", turn="default")),
        ]
    jobs += [("antiphon gap, not speculative", bench.ours("turns", "realistic"))]
    await bench.side_by_side(jobs, cores)


async def socket(bench: Bench, cores: Sequence[int]) -> None:
    """The overhead, and barge-ins, as a client sees them: client and server have a core each."""
    server, client = cores[0], cores[-1]
    for name, engines, barge_in in (("overhead", "instant", False), ("barge-in", "long_instant", True)):
        command = bench.socket(engines, barge_in=barge_in, server_core=server, eagerness="eager")
        await bench.run(f"antiphon socket {name}", command, client)


async def cpu(bench: Bench, cores: Sequence[int]) -> None:
    """Ten sessions in a process: two parties at a time, each against Antiphon at the same time on the other core."""
    ours = bench.ours("cost", "long")
    for peer in ("livekit", "pipecat") if bench.peers else ("",):
        jobs = [(f"antiphon cpu {peer}".strip(), ours)]
        if peer:
            jobs.append((f"{peer} cpu", bench.theirs(peer, "cost", "long", turn="default")))
        async with asyncio.TaskGroup() as tasks:
            for core, (name, command) in zip(cores, jobs, strict=False):
                tasks.create_task(bench.run(name, command, core))


# ------------------------------------------------------------------------------------------------------------ tables


def done(runs: Runs, name: str) -> list[dict[str, Any]]:
    """The runs of that name that did not fail."""
    return [run for run in runs.get(name, []) if run is not None]


def show_turns(runs: Runs, title: str, figure: str, names: Sequence[str], of: str = "turns") -> None:
    """A line for each party that was measured."""
    print(f"\n{title}\n{'':<34}{'n':>6}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}   p50 of each round")
    for name in names:
        if name not in runs:
            continue
        held = done(runs, name)
        each = " ".join(f"{percentile(pooled([run], figure, of), 0.5):.1f}" for run in held)
        lost, failed = missing(held, of), len(runs[name]) - len(held)
        notes = (f"{lost} without an answer" if lost else "", f"{failed} failed" if failed else "")
        print(f"{name:<34}{line(pooled(held, figure, of))}   {each}   {', '.join(filter(None, notes))}".rstrip())


def show_cpu(runs: Runs) -> None:
    """Cost per session, and the ratios of each round."""
    print("\nTen sessions in one process, voice activity detection on, one core each (rig included)")
    print(f"{'':<34}{'ms CPU/s per session':>22}{'loop lag p99':>14}{'RSS MB':>9}{'per further':>12}{'start ms':>10}")
    for name, every in runs.items():
        measured = done(runs, name)
        if " cpu" not in name:
            continue
        if failed := len(every) - len(measured):
            print(f"{name:<34}{failed} of {len(every)} runs failed")
        if not measured:
            continue
        each = " ".join(f"{run['cpu'] / run['sessions']:.1f}" for run in measured)
        middle = median(run["cpu"] / run["sessions"] for run in measured)
        lag, rss = median(run["lag_p99"] for run in measured), median(run["rss"] for run in measured)
        further = median(run["rss_further"] for run in measured)
        starts = median(start for run in measured for start in run["starts"][1:])
        print(f"{name:<34}{middle:>22.1f}{lag:>14.1f}{rss:>9.0f}{further:>12.2f}{starts:>10.1f}   {each}")


def goals(runs: Runs) -> list[tuple[str, float, float]]:
    """(what, measured, at most)."""

    def at(share: float, name: str, figure: str, of: str = "turns") -> float:
        return percentile(pooled(done(runs, name), figure, of), share)

    def against(peer: str) -> float:
        both = (runs.get(f"antiphon cpu {peer}", []), runs.get(f"{peer} cpu", []))
        return ratio(*([run and run["cpu"] for run in every] for every in both))

    costs = [run for name in runs if name.startswith("antiphon cpu") for run in done(runs, name)]
    starts = [start for run in costs for start in run["starts"]]
    return [
        ("overhead in process, p50, ms", at(0.5, "antiphon overhead", "overhead"), 2.0),
        ("overhead in process, p95, ms", at(0.95, "antiphon overhead", "overhead"), 4.0),
        ("overhead over the WebSocket, p50, ms", at(0.5, "antiphon socket overhead", "overhead"), 3.0),
        (
            "decision to interruption, p95, ms",
            at(0.95, "antiphon socket barge-in", "decision_to_client", "barge_ins"),
            5.0,
        ),
        ("onset to interruption, p95, ms", at(0.95, "antiphon socket barge-in", "interruption", "barge_ins"), 500.0),
        ("onset to the last sound sent, p95, ms", at(0.95, "antiphon socket barge-in", "held", "barge_ins"), 250.0),
        ("user-heard gap, median, ms", at(0.5, "antiphon gap", "gap"), 670.0),
        ("CPU, of LiveKit's", against("livekit"), 0.5),
        ("CPU, of Pipecat's", against("pipecat"), 0.2),
        ("MB per further session", median([run["rss_further"] for run in costs]) if costs else float("nan"), 0.5),
        ("session start among running ones, median, ms", percentile(starts, 0.5), 10.0),
    ]


def show(runs: Runs) -> bool:
    """The whole table. Returns whether nothing failed and every goal that was measured is met."""
    order = ("antiphon", "pipecat", "livekit")
    show_turns(
        runs,
        "Overhead per turn, in process, ms",
        "overhead",
        [*(f"{party} overhead" for party in order), "antiphon overhead, speculative"],
    )
    over = "antiphon socket overhead"
    show_turns(runs, "Overhead per turn, over the WebSocket, ms", "overhead", [over])
    barge_in = "antiphon socket barge-in"
    for figure in ("decision_to_client", "interruption", "held"):
        show_turns(runs, f"Barge-in over the WebSocket: {figure}, ms", figure, [barge_in], "barge_ins")
    names = [*(f"{party} gap" for party in order), "antiphon gap, not speculative"]
    show_turns(runs, "User-heard gap with engines at 200/300/100 ms, usual end of turn, ms", "gap", names)
    show_turns(runs, "  of it until the turn was decided, ms", "decision", names)
    if any(" cpu" in name for name in runs):
        show_cpu(runs)
    print(f"\n{'goal':<46}{'measured':>10}{'at most':>10}")
    fine = all(run is not None for measured in runs.values() for run in measured)
    for what, value, most in goals(runs):
        word = verdict(value, most)
        fine &= word != "MISSED"
        print(f"{what:<46}{value:>10.2f}{most:>10.1f}   {word}")
    return fine


# -------------------------------------------------------------------------------------------------------------- main


def install() -> None:
    """The peers' environment, from the lock file."""
    venv.create(ENVIRONMENT, with_pip=True)
    python = str(ENVIRONMENT / "bin" / "python")
    os.spawnl(os.P_WAIT, python, python, "-m", "pip", "install", "--quiet", "--requirement", str(LOCK))


def peers_there() -> bool:
    """Whether the environment is complete."""
    packages = [
        *ENVIRONMENT.glob("lib/*/site-packages/pipecat"),
        *ENVIRONMENT.glob("lib/*/site-packages/livekit/agents"),
    ]
    return len(packages) == 2


async def run(bench: Bench, rounds: int, only: Sequence[str]) -> None:
    """Every measurement of every round."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    chosen: Mapping[str, Callable[[Bench, Sequence[int]], Awaitable[None]]] = {
        "overhead": overhead,
        "gap": gap,
        "socket": socket,
        "cpu": cpu,
    }
    for number in range(rounds):
        for name in only:
            began = time.monotonic()
            await chosen[name](bench, cores)
            print(f"round {number + 1}: {name}, {time.monotonic() - began:.0f} s", file=sys.stderr)
        cores.reverse()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default=",".join(MEASURES), help=f"some of {', '.join(MEASURES)}")
    parser.add_argument("--turns", type=int, default=6, help="in every run of turns")
    parser.add_argument("--install", action="store_true", help="install the peers first")
    parser.add_argument("--json", type=Path, help="keep what was measured there")
    arguments = parser.parse_args()
    only = arguments.only.split(",")
    if unknown := set(only) - set(MEASURES):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    if arguments.install and not peers_there():
        install()
    peers = peers_there()
    if not peers:
        print(f"The peers are not installed ({ENVIRONMENT.name} is missing; --install makes it): Antiphon alone.")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder, "speech"), arguments.turns, peers)
        speech.write(bench.speech)
        asyncio.run(run(bench, arguments.rounds, only))
    if arguments.json:
        arguments.json.write_text(json.dumps(bench.runs))
    print("Load of this machine:", *(f"{load:.1f}" for load in os.getloadavg()))
    sys.exit(0 if show(bench.runs) else 1)


if __name__ == "__main__":
    main()
