"""What `make bench` runs, and what it calls met."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the benchmarks are no installed package

from benchmarks.plan import BENCHMARKS, BY_NAME, CONVERSATIONS, Goal, in_order, jobs, lanes, verdicts, wall_clock

FULL = jobs([one for one in BENCHMARKS if not one.speech])


def test_every_benchmark_belongs_to_the_plan() -> None:
    """A script that is laid into the folder is not forgotten."""
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    scripts = {path.stem for path in folder.glob("*.py") if "\ndef main(" in path.read_text(encoding="utf-8")}
    scripts -= {"__main__", "spoken_dictation"}
    assert scripts <= set(BY_NAME)


def test_the_quiet_ones_come_first_and_as_they_are_listed() -> None:
    """Nothing else runs beside a measurement of latency."""
    quiet, shared = in_order(FULL)
    assert [job.title for job in quiet] == [
        "virtual_time",
        "session_cost",
        "voice_to_voice",
        "peers",
        "audio_devices",
        "clients",
        "load",
    ]
    assert not any(job.benchmark.quiet for job in shared)


def test_two_lanes_end_at_about_the_same_time() -> None:
    """No core is idle while the other has much left."""
    shared = in_order(FULL)[1]
    planned = lanes(shared, 2)
    assert sorted(job.title for lane in planned for job in lane) == sorted(job.title for job in shared)
    lengths = [sum(job.seconds for job in lane) for lane in planned]
    assert max(lengths) - min(lengths) < 60


def test_the_whole_takes_less_than_twenty_minutes() -> None:
    """By the plan's own estimates, on two cores."""
    assert wall_clock(FULL, 2) < 1200


def test_the_parts_of_chaos_hold_every_seed_once() -> None:
    """Cut into pieces, ten thousand conversations are still ten thousand."""
    seeds = [
        seed
        for job in jobs([BY_NAME["chaos"]])
        for first, count in [(int(job.command[3]), int(job.command[5]))]
        for seed in range(first, first + count)
    ]
    assert seeds == list(range(CONVERSATIONS))


@pytest.mark.parametrize(("figure", "word"), [("0.10", "met"), ("-0.10", "met"), ("-0.11", "MISSED"), ("", "MISSED")])
def test_a_goal_is_met_within_its_bounds(figure: str, word: str) -> None:
    """Bounds included; a figure that was not printed is missed."""
    verdict = Goal("bias", r"bias (-?[\d.]+)", least=-0.1, most=0.1).measure(f"bias {figure}")
    assert verdict.word == word
    assert math.isnan(verdict.figure) == (not figure)


def test_two_groups_are_a_share() -> None:
    """199 of 200 is not all."""
    verdict = Goal("same", r"(\d+) of (\d+)", least=100).measure("199 of 200 calls")
    assert (verdict.figure, verdict.word) == (99.5, "MISSED")


def test_a_fault_in_one_part_of_chaos_is_a_fault_of_the_whole() -> None:
    """The worst part counts."""
    fine = "\n".join(f"{goal.what.partition(': ')[2]:<32}{0:>6}" for goal in BY_NAME["chaos"].goals)
    bad = fine.replace(
        "no dead air                          0", "no dead air                          2   seed 7: 3.4 s"
    )
    words = {one.what: one.word for one in verdicts(BY_NAME["chaos"], [fine, bad], [0, 1])}
    assert words.pop("conversations that break: no dead air") == "MISSED"
    assert set(words.values()) == {"met"}


def test_a_benchmark_that_ends_badly_is_missed() -> None:
    """Even where all its figures are good."""
    output = "3 of 3 calls on the real clock came out again exactly"
    assert [one.word for one in verdicts(BY_NAME["replay"], [output], [0])] == ["met"]
    assert [one.what for one in verdicts(BY_NAME["replay"], [output], [1])][-1] == "exit status"


def test_the_peers_say_themselves_what_is_met() -> None:
    """Their table is taken over; what was not measured is not missed."""
    output = (
        "overhead in process, p50, ms                        1.20       2.0   met\n"
        "CPU, of LiveKit's                                    nan       0.5   not measured\n"
    )
    assert [one.word for one in verdicts(BY_NAME["peers"], [output], [0])] == ["met", "not measured"]
    assert [one.word for one in verdicts(BY_NAME["peers"], ["nothing"], [0])] == ["MISSED"]
