"""Conversations in which everything goes wrong: random agents, random callers, random faults, and the rules that hold.

Each seed is a conversation of ten to thirty simulated seconds (src/antiphon/simulation/chaos/). Seeds that break a rule
are shrunk; `--keep` adds them to those that the test suite holds again.

    python -m benchmarks.chaos [--conversations 10000] [--from 0] [--jobs 2] [--shrink 5] [--keep]
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from antiphon.protocol import events as ev
from antiphon.simulation.chaos.case import Case, draw_case
from antiphon.simulation.chaos.conversation import hold_case, shrink
from antiphon.simulation.chaos.invariants import violations

KEPT = Path(__file__).resolve().parent.parent / "tests/simulation/chaos/seeds.json"
BATCH = 50
RULES = (
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


@dataclass(slots=True)
class Tally:
    """What came of some conversations."""

    conversations: int = 0
    seconds: float = 0.0
    "Simulated."
    answers: int = 0
    interruptions: int = 0
    corrections: int = 0
    faulty: int = 0
    "Conversations with at least one faulty engine."
    broken: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    "Rule -> the seeds that broke it."
    example: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, other: Tally) -> None:
        """Both together."""
        for name in ("conversations", "seconds", "answers", "interruptions", "corrections", "faulty"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for rule, seeds in other.broken.items():
            self.broken.setdefault(rule, []).extend(seeds)
        self.example = {**other.example, **self.example}


def held(seeds: range) -> Tally:
    """Hold the conversations of these seeds."""
    logging.disable(logging.CRITICAL)
    tally = Tally()
    for seed in seeds:
        case = draw_case(seed)
        evidence = hold_case(case)
        kinds = Counter(type(event) for _, event in evidence.heard)
        tally.conversations += 1
        tally.seconds += evidence.ended_at or 0.0
        tally.answers += kinds[ev.AgentResponse]
        tally.interruptions += kinds[ev.Interruption]
        tally.corrections += kinds[ev.AgentResponseCorrection]
        tally.faulty += any(case.faults.values())
        for violation in violations(evidence):
            seeds_so_far = tally.broken.setdefault(violation.rule, [])
            if seed not in seeds_so_far:
                seeds_so_far.append(seed)
            tally.example.setdefault(violation.rule, f"seed {seed}: {violation}")
    return tally


def shrunk(seed: int) -> Case:
    """The smallest case that breaks what the seed's breaks."""
    logging.disable(logging.CRITICAL)
    return shrink(draw_case(seed))


def keep(cases: list[Case]) -> None:
    """Add cases to those that the suite holds again."""
    known = msgspec.json.decode(KEPT.read_bytes(), type=list[Case])
    lines = [msgspec.json.encode(case).decode() for case in [*known, *(case for case in cases if case not in known)]]
    KEPT.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--shrink", type=int, default=5, help="seeds to be shrunk, at most")
    parser.add_argument("--keep", action="store_true", help=f"add shrunk cases to {KEPT.name}")
    arguments = parser.parse_args()
    began = time.perf_counter()
    last = arguments.first + arguments.conversations
    batches = [range(first, min(first + BATCH, last)) for first in range(arguments.first, last, BATCH)]
    tally = Tally()
    with multiprocessing.Pool(arguments.jobs) as pool:
        for part in pool.imap_unordered(held, batches):
            tally.add(part)
        took = time.perf_counter() - began
        print(f"{tally.conversations} conversations, {tally.seconds / 3600:.1f} simulated hours in {took:.0f} s")
        print(f"{tally.faulty} with faulty engines, {tally.interruptions} interruptions, {tally.answers} answers")
        for rule in RULES:
            print(f"{rule:<32}{len(tally.broken.get(rule, ())):>6}   {tally.example.get(rule, '')}")
        first_of_each = sorted({min(seeds) for seeds in tally.broken.values()})
        rest = sorted({seed for seeds in tally.broken.values() for seed in seeds} - set(first_of_each))
        cases = pool.map(shrunk, [*first_of_each, *rest][: arguments.shrink])
    for case in cases:
        print(msgspec.json.encode(case).decode())
    if arguments.keep:
        keep(cases)
    if tally.broken:
        sys.exit(1)


if __name__ == "__main__":
    main()
