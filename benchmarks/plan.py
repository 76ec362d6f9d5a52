"""What `make bench` runs, in which order, and how a goal is read from what a benchmark prints."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

CHAOS_PARTS = 4
"Chaos is cut into that many jobs of equal length, so that the lanes end at about the same time."
CONVERSATIONS = 10_000


@dataclass(frozen=True)
class Goal:
    """A figure to be found in the output, and its bounds. Two groups in the pattern are a share, in percent."""

    what: str
    pattern: str
    least: float = -math.inf
    most: float = math.inf
    every: bool = False
    "Whether every match has to be within the bounds, not only the first: the worst one counts."

    def measure(self, output: str) -> Verdict:
        """The figure, and whether it is within the bounds. A figure that is not found is missed."""
        figures = [_number(match) for match in re.finditer(self.pattern, output, re.MULTILINE)]
        if not figures:
            return Verdict(self.what, math.nan, self.bounds, "MISSED")
        figure = max(figures, key=self._excess) if self.every else figures[0]
        return Verdict(self.what, figure, self.bounds, "met" if self._excess(figure) <= 0 else "MISSED")

    @property
    def bounds(self) -> str:
        """For people to read."""
        if self.least == self.most:
            return f"{self.least:g}"
        if math.isinf(self.most):
            return f">= {self.least:g}"
        return f"<= {self.most:g}" if math.isinf(self.least) else f"{self.least:g} to {self.most:g}"

    def _excess(self, figure: float) -> float:
        return max(self.least - figure, figure - self.most)


@dataclass(frozen=True)
class Verdict:
    """A goal and its figure."""

    what: str
    figure: float
    bounds: str
    word: str
    "met, MISSED or not measured"


@dataclass(frozen=True)
class Benchmark:
    """One module of this folder (or a test), with the arguments of the full run and of a short look."""

    name: str
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    seconds: float = 60
    "How long the full run takes, about."
    goals: tuple[Goal, ...] = ()
    quiet: bool = False
    "Whether nothing else may run meanwhile."
    parts: int = 1
    speech: bool = False
    "Whether it belongs to `make bench-speech`."
    test: str = ""
    "A test that is the benchmark, run under ANTIPHON_FULL=1."


PEERS = Benchmark(
    "peers", ("--rounds", "1", "--turns", "4"), ("--rounds", "1", "--turns", "1", "--only", "gap"), 240, quiet=True
)

BENCHMARKS = (
    Benchmark(
        "virtual_time",
        ("--calls", "100"),
        ("--calls", "5"),
        12,
        (
            Goal("a simulated minute, ms of CPU", r"a simulated minute: ([\d.]+) ms", most=60),
            Goal("different journals in all runs", r"(\d+) different journal", least=1, most=1),
        ),
        quiet=True,
    ),
    Benchmark(
        "session_cost",
        (),
        ("--sessions", "4"),
        45,
        (
            Goal("session start, p95, ms", r"^session start .*p95 ([\d.]+) ms", most=10),
            Goal("MB per further session", r"^per further session ([\d.]+) MB", most=0.5),
        ),
        quiet=True,
    ),
    Benchmark(
        "voice_to_voice",
        ("--trials", "3"),
        ("--trials", "1"),
        95,
        (
            Goal(
                "ms above the floor, worst row",
                r"^(?: +\d+){6} +(-?[\d.]+) +[\d.]+ +(?:met|MISSED)$",
                most=30,
                every=True,
            ),
        ),
        quiet=True,
    ),
    PEERS,
    Benchmark(
        "audio_devices",
        ("--short", "--trials", "3"),
        ("--short", "--trials", "1"),
        12,
        (
            Goal("interruption to the last block written, ms", r"last block written: .*max ([\d.]+) ms", most=60),
            Goal("interruption to silence, ms", r"silence at the monitor: .*max ([\d.]+) ms", most=130, every=True),
            Goal("longest stall of the loop, ms", r"stall of the loop: .*max ([\d.]+) ms", most=20),
        ),
        quiet=True,
    ),
    Benchmark(
        "clients",
        ("--rounds", "1", "--seconds", "3"),
        ("--rounds", "1", "--seconds", "1"),
        45,
        (
            Goal(
                "AsyncConversation, CPU of one session against the original's",
                r"^ +async 1 CPU ratio ([\d.]+)",
                most=0.55,
            ),
            Goal("the same of twenty", r"^ +async 20 CPU ratio ([\d.]+)", most=0.5),
            Goal("Conversation, CPU of one session against the original's", r"^ +sync 1 CPU ratio ([\d.]+)", most=0.8),
            Goal("the same of twenty", r"^ +sync 20 CPU ratio ([\d.]+)", most=0.85),
            Goal("latency to the device, worst ratio", r"latency ratio ([\d.]+)", most=0.7, every=True),
            Goal("import, CPU ratio", r"import CPU ratio ([\d.]+)", most=0.3),
            Goal("import, memory ratio", r"import memory ratio ([\d.]+)", most=0.65),
        ),
        quiet=True,
    ),
    Benchmark(
        "load",
        ("--seconds", "10"),
        ("--sessions", "5", "--seconds", "4"),
        30,
        (
            Goal("pacing under REST load, p99, ms", r"^pacing p99 under load ([\d.]+) ms", most=15),
            Goal("pacing against no load", r"^against no load ([\d.]+)", most=1.5),
            Goal("requests that failed", r"^requests that failed (\d+)", most=0),
        ),
        quiet=True,
    ),
    Benchmark(
        "echo",
        ("--calls", "300"),
        ("--calls", "5"),
        150,
        (
            Goal("self-interruptions", r"^with the gate\n  self-interruptions .*: (\d+) in", most=0),
            Goal("barge-ins noticed, %", r"^with the gate\n.*\n.*\n  barge-ins .*: (\d+) of (\d+) =", least=95),
        ),
    ),
    Benchmark(
        "chaos",
        (),
        (),
        800,
        tuple(
            Goal(f"conversations that break: {rule}", rf"^{rule} {{2,}}(\d+)\b", most=0, every=True)
            for rule in (
                "crash",
                "ends",
                "no task is left",
                "no dead air",
                "nothing is stuck",
                "what was interrupted is over",
                "one reply at a time",
                "corrections fit",
                "the record is true",
                "who speaks is answered",
                "ids grow",
            )
        ),
        parts=CHAOS_PARTS,
    ),
    Benchmark(
        "turn_machine",
        (),
        ("--depth", "4", "--schedules", "2000"),
        110,
        (
            Goal("broken invariants", r"(\d+) broken invariants", most=0),
            Goal("seconds", r"broken invariants, ([\d.]+) s", most=120),
        ),
    ),
    Benchmark(
        "barge_ins",
        ("--barge-ins", "10000"),
        ("--barge-ins", "200", "--calls", "5"),
        40,
        (
            Goal("heard text exact, %", r"^all +\d+ +([\d.]+)%", least=80),
            Goal("off by at most one word, %", r"^all +\d+ +[\d.]+% +([\d.]+)%", least=99.9),
            Goal("bias, words", r"^all +\d+ +[\d.]+% +[\d.]+% +([+-][\d.]+)", least=-0.1, most=0.1),
            Goal("calls whose consumers agree, %", r"agree in (\d+) of (\d+) calls", least=100),
        ),
    ),
    Benchmark(
        "replay",
        ("--calls", "200", "--at-once", "100"),
        ("--calls", "5"),
        90,
        (Goal("calls that replay exactly, %", r"^(\d+) of (\d+) calls on the real clock", least=100),),
    ),
    Benchmark(
        "backchannels",
        ("--small",),  # a twentieth: that takes 25 s, the whole would not fit
        ("--small",),
        30,
        (
            Goal("backchannels ignored, %, a twentieth of the corpus", r"backchannels ignored: ([\d.]+)%", least=95),
            Goal("interruptions caught, %, a twentieth of the corpus", r"interruptions caught: ([\d.]+)%", least=99),
        ),
    ),
    Benchmark(
        "dictation",
        (),
        ("--small",),
        30,
        (
            Goal(
                "false cut-offs against a fixed wait, worst row",
                r"^(?:normal|eager|patient), (?:.*\n)+?  false cut-offs against the fixed wait: ([\d.]+)",
                most=0.33,
                every=True,
            ),
            Goal("microseconds of a judgement", r"words takes (\d+) us", most=100),
        ),
    ),
    Benchmark(
        "kills",
        ("--kills", "25"),
        ("--kills", "5"),
        25,
        (
            Goal("acknowledged pieces lost", r"^acknowledged pieces lost: (\d+)", most=0),
            Goal("damaged databases", r"^damaged databases: (\d+)", most=0),
        ),
    ),
    Benchmark(
        "orders",
        seconds=165,
        goals=(Goal("tests failed", r"(\d+) failed|\d+ passed", most=0),),
        test="tests/dialogue/test_orders.py",
    ),
    Benchmark("demo_calls", (), ("--seeds", "1"), 800, speech=True),
    Benchmark("hearing", (), ("--calls", "1"), 120, speech=True),
)


@dataclass(frozen=True)
class Job:
    """One process."""

    benchmark: Benchmark
    title: str
    command: tuple[str, ...]
    "What follows the interpreter."
    seconds: float
    full: bool = True


def jobs(chosen: Iterable[Benchmark], *, quick: bool = False) -> list[Job]:
    """The processes that the benchmarks take, in the benchmarks' order."""
    return [job for benchmark in chosen for job in _parts(benchmark, quick=quick)]


def _parts(benchmark: Benchmark, *, quick: bool) -> list[Job]:
    name = benchmark.name
    seconds = benchmark.seconds / 20 if quick else benchmark.seconds
    if benchmark.test:
        # pytest's own limit for a test is meant for a twentieth of this.
        command = ("-m", "pytest", "-q", "--timeout", "1200", benchmark.test)
        return [Job(benchmark, name, command, seconds, not quick)]
    module = ("-m", f"benchmarks.{name}")
    if benchmark.parts == 1:
        return [Job(benchmark, name, (*module, *(benchmark.quick if quick else benchmark.full)), seconds)]
    each = (CONVERSATIONS // 100 if quick else CONVERSATIONS) // benchmark.parts
    found: list[Job] = []
    for part in range(benchmark.parts):
        seeds = ("--from", str(part * each), "--conversations", str(each), "--jobs", "1")
        title = f"{name} {part * each}-{(part + 1) * each - 1}"
        found.append(Job(benchmark, title, (*module, *seeds), seconds / benchmark.parts))
    return found


def in_order(queue: Iterable[Job]) -> tuple[list[Job], list[Job]]:
    """Those that have to be alone, as they came, and those that share the machine, longest first."""
    everything = list(queue)
    quiet = [job for job in everything if job.benchmark.quiet]
    shared = [job for job in everything if not job.benchmark.quiet]
    return quiet, sorted(shared, key=lambda job: -job.seconds)


def lanes(shared: Iterable[Job], count: int) -> list[list[Job]]:
    """Who runs where if every job takes as long as it says: the next one goes to the lane that is free first."""
    planned: list[list[Job]] = [[] for _ in range(count)]
    for job in shared:
        min(planned, key=_length).append(job)
    return planned


def wall_clock(queue: Iterable[Job], count: int) -> float:
    """Seconds that the whole takes."""
    quiet, shared = in_order(queue)
    return _length(quiet) + max(map(_length, lanes(shared, count)))


def verdicts(benchmark: Benchmark, outputs: Sequence[str], statuses: Sequence[int]) -> list[Verdict]:
    """Of all parts of a benchmark. A status that no goal explains is a missed goal of its own."""
    output = "\n".join(outputs)
    found = _table(output) if benchmark is PEERS else [goal.measure(output) for goal in benchmark.goals]
    if benchmark is PEERS and not found:
        found.append(Verdict("a table of goals", math.nan, "printed", "MISSED"))
    if any(statuses) and all(verdict.word != "MISSED" for verdict in found):
        found.append(Verdict("exit status", next(filter(None, statuses)), "0", "MISSED"))
    return found


def _table(output: str) -> list[Verdict]:
    rows = re.findall(r"^(\S.*?) {2,}(nan|[\d.]+) +([\d.]+)   (met|MISSED|not measured)$", output, re.MULTILINE)
    return [Verdict(what, float(figure), f"<= {float(most):g}", word) for what, figure, most, word in rows]


def _number(match: re.Match[str]) -> float:
    groups = [float(group) for group in match.groups() if group is not None]
    if len(groups) == 2:
        return 100 * groups[0] / groups[1] if groups[1] else math.nan
    return groups[0] if groups else 0.0


def _length(lane: Sequence[Job]) -> float:
    return sum(job.seconds for job in lane)


BY_NAME: Mapping[str, Benchmark] = {benchmark.name: benchmark for benchmark in BENCHMARKS}
