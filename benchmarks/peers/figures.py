"""Figures out of measurements: percentiles, pooled turns, ratios within a round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed; nan for none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def pooled(runs: Sequence[Mapping[str, Any]], figure: str, of: str = "turns") -> list[float]:
    """One figure of every turn of every run."""
    return [turn[figure] for run in runs for turn in run[of] if figure in turn]


def missing(runs: Sequence[Mapping[str, Any]], of: str = "turns") -> int:
    """Turns that came to nothing."""
    return sum(run["asked"] - len(run[of]) for run in runs)


def ratio(ours: Sequence[float | None], theirs: Sequence[float | None]) -> float:
    """The median of the rounds' ratios; a round in which one of both failed does not count. nan where none does."""
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=False) if mine is not None and other]
    return median(pairs) if pairs else math.nan


def line(values: Sequence[float]) -> str:
    """p50, p95, p99 and the largest, in a table's columns."""
    if not values:
        return f"{'':>6}{'no figures':>32}"
    cells = [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)]
    return f"{len(values):>6}" + "".join(f"{cell:>8.1f}" for cell in cells)


def verdict(value: float, goal: float) -> str:
    """Whether the goal is met."""
    if math.isnan(value):
        return "not measured"
    return "met" if value <= goal else "MISSED"
