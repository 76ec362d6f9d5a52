"""A twentieth of the backchannel benchmark (benchmarks/backchannels.py): synthetic voices through the real chain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

Load = Callable[[str], ModuleType]


@pytest.mark.component("espeak", "flite", "onnxruntime", "pocketsphinx")
@pytest.mark.timeout(300)
def test_backchannels_are_ignored_and_interruptions_caught(benchmark: Load) -> None:
    """Three voices in noise, and an agent as a server makes it: of 12 backchannels at most one interrupts, and
    of 18 interruptions none is missed (the full run: 95 % and 99 %). Output is held long before either is known."""
    backchannels = benchmark("backchannels")
    results = asyncio.run(backchannels.run(seed=1, small=True))
    assert len(results.backchannels) == 12
    assert len(results.interruptions) == 18
    assert sum(outcome.interrupted is not None for outcome in results.backchannels) <= 1
    assert all(outcome.interrupted is not None for outcome in results.interruptions)
    everything = (*results.backchannels, *results.interruptions)
    assert all(outcome.held is not None and outcome.held <= 0.25 for outcome in everything)


def test_the_noise_is_as_loud_as_it_says_and_the_same_for_the_same_seed(benchmark: Load) -> None:
    """Pink or white, so many decibels below the voice; the corpus can be made again."""
    backchannels = benchmark("backchannels")
    said = (2500 * np.sqrt(2) * np.sin(np.arange(16_000) / 5)).astype(np.int16)
    for colour, decibels in backchannels.NOISES:
        made = [
            np.frombuffer(
                backchannels.heard_through(np.random.default_rng(3), said, colour, decibels), np.int16
            ).astype(float)
            for _ in range(2)
        ]
        assert np.array_equal(*made)
        quiet = np.sqrt(np.square(np.concatenate([made[0][:16_000], made[0][32_000:]])).mean())
        assert 20 * np.log10(2500 / quiet) == pytest.approx(decibels, abs=1.5)
