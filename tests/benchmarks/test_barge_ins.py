"""A twentieth of benchmarks/barge_ins.py, to its bounds."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from antiphon.simulation.loop import run

Load = Callable[[str], ModuleType]


def test_what_was_heard_is_known_to_the_word(benchmark: Load) -> None:
    """Off by at most one word in 99.9 %, exact in four of five, and no bias."""
    score = benchmark("barge_ins").scores(500, seed=3)["all"]
    assert len(score.errors) == 500
    assert score.close >= 0.999
    assert score.exact >= 0.8
    assert abs(score.bias) <= 0.1


def test_whoever_asks_the_ledger_hears_the_same(benchmark: Load) -> None:
    """The correction, the model's context, the stored record and the recording."""
    accounts = run(benchmark("barge_ins").agreement(10, seed=3))
    assert [one for one in accounts if not one.agree] == []
