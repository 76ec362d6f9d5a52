"""The arithmetic of the benchmarks: what is called p95, an overhead, a floor."""

from __future__ import annotations

import asyncio
import itertools
import math
import sys
from array import array
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the benchmarks are no installed package

from benchmarks.peers import speech, work
from benchmarks.peers.__main__ import Bench, goals
from benchmarks.peers.figures import line, missing, percentile, pooled, ratio, verdict
from benchmarks.peers.socket_client import Line, interruption
from benchmarks.voice_to_voice import floor


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5.0), (0.95, 10.0), (0.99, 10.0), (1.0, 10.0), (0.1, 1.0)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    """The smallest that so many do not exceed, whatever their order."""
    assert percentile([10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], share) == expected


def test_no_figures_are_no_success() -> None:
    """Nothing measured is neither met nor missed, and shows in the table."""
    assert math.isnan(percentile([], 0.5))
    assert verdict(math.nan, 1.0) == "not measured"
    assert "no figures" in line([])
    assert [word for _, value, most in goals({}) if (word := verdict(value, most)) != "not measured"] == []


def test_a_goal_is_met_up_to_its_value() -> None:
    """At most, not below."""
    assert [verdict(value, 2.0) for value in (1.9, 2.0, 2.1)] == ["met", "met", "MISSED"]


def test_ratios_are_taken_within_a_round() -> None:
    """A round in which the machine was slow for both does not count more than another."""
    assert ratio([10.0, 30.0, 20.0], [20.0, 60.0, 80.0]) == 0.5
    assert ratio([None, 30.0, 20.0], [20.0, 60.0, None]) == 0.5
    assert math.isnan(ratio([1.0], []))


def test_turns_without_an_answer_are_counted() -> None:
    """They are not silently left out of a percentile."""
    runs = [{"asked": 3, "turns": [{"gap": 1.0}, {"gap": 2.0}]}, {"asked": 2, "turns": [{"gap": 3.0}, {}]}]
    assert pooled(runs, "gap") == [1.0, 2.0, 3.0]
    assert missing(runs) == 1


def test_overhead_begins_with_the_later_of_decision_and_transcript() -> None:
    """Who decides before the transcript is there waits for it, and the wait is the engine's."""
    stamps = work.Stamps(decisions=[1.0, 12.4, 15.0], audio=[5.0, 12.9], thinking=[12.5])
    late = stamps.turn(10.0, 12.0, work.Engines(stt=0.6))
    early = stamps.turn(10.0, 12.0, work.Engines(stt=0.1))
    assert late is not None
    assert early is not None
    assert late["overhead"] == pytest.approx(300.0)
    assert early["overhead"] == pytest.approx(500.0)
    assert (late["gap"], late["decision"], late["thinking"]) == pytest.approx((900.0, 400.0, 500.0))


def test_a_reply_that_did_not_come_is_no_figure() -> None:
    """The sound of the reply before does not count for it."""
    assert work.Stamps(decisions=[12.4], audio=[5.0]).turn(10.0, 12.0, work.INSTANT) is None


def test_an_interruption_is_timed_from_its_decision() -> None:
    """Onset, the last sound before it, and the decision before it arrived."""
    client = Line(None)
    client.interruptions = [3.0, 10.3]
    found = interruption(10.0, client, [10.264, 10.296, 10.328], held=10.2)
    assert found == pytest.approx({"interruption": 300.0, "held": 200.0, "decision_to_client": 4.0})
    assert interruption(11.0, client, [10.0], held=10.0) is None


@pytest.mark.parametrize(
    ("chunk", "silence", "expected"), [(0.02, 0.2, 0.25), (0.25, 0.5, 0.653), (0.1, 0.5, 0.578), (0.02, 0.352, 0.378)]
)
def test_the_floor_of_voice_to_voice(chunk: float, silence: float, expected: float) -> None:
    """Half a chunk, the silence in whole frames, half a frame."""
    assert floor(chunk, silence) == pytest.approx(expected)


def test_every_engine_waits_as_long_as_it_says() -> None:
    """Thirty tokens of three sentences, and as many pieces as asked for."""

    async def reply() -> tuple[str, int]:
        text = "".join([token async for token in work.INSTANT.tokens()])
        return text, sum([len(piece) async for piece in work.LONG_INSTANT.sound()])

    text, size = asyncio.run(reply())
    assert len(text.split()) == 30
    assert text.count(".") == 3
    assert size == 10 * work.PIECE * work.RATE * 2
    assert work.LONG_INSTANT.reply == pytest.approx(3.0)


@pytest.mark.component("espeak")
def test_the_callers_speech_has_exact_ends(tmp_path: Path) -> None:
    """Two seconds, the first sound at 10 ms, the last in the last 10 ms, no pause within that could end a turn."""
    speech.write(tmp_path / "speech")
    samples = array("h", (tmp_path / "speech").read_bytes())
    loud = [index for index, sample in enumerate(samples) if abs(sample) > 200]
    assert len(samples) == work.SPEECH * work.RATE
    assert loud[0] == pytest.approx(0.01 * work.RATE, abs=2)
    assert loud[-1] >= len(samples) - 0.01 * work.RATE
    assert max(after - before for before, after in itertools.pairwise(loud)) < 0.1 * work.RATE


def test_peers_run_in_their_own_environment() -> None:
    """And ours in ours, with the same words on the command line."""
    bench = Bench(Path("speech"), turns=3, peers=True)
    ours, theirs = bench.ours("turns", "instant"), bench.theirs("livekit", "turns", "instant")
    assert ".venv-peers" in theirs[0]
    assert theirs[1:3] == ours[1:3]
    assert ours[3:5] == ["antiphon", "turns"]
    assert theirs[5:] == ours[5:]
