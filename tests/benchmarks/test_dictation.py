"""A twentieth of the dictation benchmark (benchmarks/dictation.py)."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


@pytest.mark.parametrize("style", ["bare", "figures"])
@pytest.mark.parametrize("eagerness", ["eager", "normal", "patient"])
def test_who_dictates_is_cut_off_a_third_as_often_as_by_a_fixed_wait(
    benchmark: Load, style: str, eagerness: str
) -> None:
    """...of the same mean delay on finished sentences. Held with a margin: the full run shows a tenth."""
    dictation = benchmark("dictation")
    spoken = dictation.corpus(1, 20)
    ours, rival, _ = dictation.compare(dictation.EAGERNESS[eagerness], dictation.Recogniser(0.3, style), spoken)
    assert ours.cut <= rival.cut / 3
    assert rival.sentence_delay == pytest.approx(ours.sentence_delay, abs=dictation.FRAME)


def test_spelling_patience_is_what_does_it(benchmark: Load) -> None:
    """Switched off, a caller who dictates is cut off about as often as by a fixed wait: the corpus is no gift."""
    dictation = benchmark("dictation")
    spoken = dictation.corpus(1, 20)
    policy = dictation.EAGERNESS["without spelling patience"]
    ours, rival, _ = dictation.compare(policy, dictation.Recogniser(0.3, "bare"), spoken)
    assert ours.cut > rival.cut / 2


def test_the_corpus_is_the_same_for_the_same_seed(benchmark: Load) -> None:
    """And another for another one."""
    dictation = benchmark("dictation")
    assert dictation.corpus(3, 40) == dictation.corpus(3, 40)
    assert dictation.corpus(3, 40) != dictation.corpus(4, 40)
