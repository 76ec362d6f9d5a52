"""Voice-activity scores -> observations."""

from __future__ import annotations

import pytest

from antiphon.turns.endpointing import Endpointing, SpeechPolicy
from antiphon.turns.observations import Observation, Silence, SpeechStarted, SpeechStopped, Stalled

FRAME = 0.032


def feed(endpointing: Endpointing, scores: list[float], now: float) -> list[Observation]:
    """One piece of audio."""
    seen = [observed for score in scores if (observed := endpointing.score(score)) is not None]
    growing = endpointing.arrived(now)
    return [*seen, growing] if growing is not None else seen


def test_a_click_is_not_speech() -> None:
    """One loud frame alone begins nothing."""
    assert feed(Endpointing(FRAME), [0.0, 0.9, 0.0, 0.0], 1.0) == []


def test_speech_begins_with_its_first_loud_frame() -> None:
    """The lag tells how much of it has arrived already."""
    (started,) = feed(Endpointing(FRAME), [0.0, 0.9, 0.9], 1.0)
    assert started == SpeechStarted(lag=2 * FRAME)


def test_a_stop_consonant_is_not_a_pause() -> None:
    """Silence shorter than `stop_after` goes unnoticed."""
    endpointing = Endpointing(FRAME)
    feed(endpointing, [0.9] * 10, 1.0)
    assert feed(endpointing, [0.0] * 5 + [0.9], 1.2) == []
    assert endpointing.speaking


def test_a_pause_is_measured_in_audio_however_it_arrives() -> None:
    """A burst of three seconds tells the same as three seconds of small pieces."""
    scores = [0.9] * 30 + [0.0] * 30
    burst = Endpointing(FRAME)
    seen = feed(burst, scores, 1.0)
    stream = Endpointing(FRAME)
    pieces = [observed for i, score in enumerate(scores) for observed in feed(stream, [score], i * FRAME)]
    assert [type(s) for s in seen] == [SpeechStarted, SpeechStopped, Silence]
    assert [type(s) for s in pieces[:2]] == [SpeechStarted, SpeechStopped]
    assert seen[1] == pieces[1]
    assert seen[1].speech == pytest.approx(30 * FRAME)
    assert seen[-1] == pieces[-1]
    assert abs(seen[-1].seconds - 30 * FRAME) < 1e-9


def test_a_stream_that_stops_in_the_middle_of_speech_ends_it() -> None:
    """No audio for `stall_after` counts as silence, by the clock."""
    endpointing = Endpointing(FRAME, SpeechPolicy(stall_after=0.6))
    feed(endpointing, [0.9] * 10, 5.0)
    assert endpointing.deadline == 5.6
    assert endpointing.stalled(5.5) == []
    stopped, stalled = endpointing.stalled(5.6)
    assert isinstance(stopped, SpeechStopped)
    assert stopped.speech == pytest.approx(10 * FRAME)
    assert stalled == Stalled(seconds=0.6)
    assert endpointing.deadline is None


def test_silence_is_not_watched_when_nobody_spoke() -> None:
    """A client that sends nothing between turns is no stall."""
    endpointing = Endpointing(FRAME)
    feed(endpointing, [0.0] * 10, 5.0)
    assert endpointing.deadline is None


def test_a_pause_is_reported_only_so_long() -> None:
    """Then it is simply quiet, and no timer runs."""
    endpointing = Endpointing(FRAME, SpeechPolicy(report_silence=0.5))
    feed(endpointing, [0.9] * 10 + [0.0] * 10, 1.0)
    assert feed(endpointing, [0.0] * 10, 2.0) != []
    assert feed(endpointing, [0.0], 2.1) == []
    assert endpointing.deadline is None
