"""Voice-activity scores -> observations."""

from __future__ import annotations

import pytest

from antiphon.turns.endpointing import Endpointing, SpeechPolicy
from antiphon.turns.observations import Observation, Silence, Speaking, SpeechStarted, SpeechStopped, Stalled

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
    """What has arrived of it already is told at once."""
    assert feed(Endpointing(FRAME), [0.0, 0.9, 0.9], 1.0) == [SpeechStarted(), Speaking(2 * FRAME)]


def test_speech_that_falters_says_so_until_it_goes_on_or_stops() -> None:
    """Whether a short sound was a cough cannot wait until the pause is certain."""
    endpointing = Endpointing(FRAME)
    feed(endpointing, [0.9] * 4, 1.0)
    assert feed(endpointing, [0.0] * 2, 1.1) == [Silence(2 * FRAME)]
    assert feed(endpointing, [0.0, 0.9], 1.2) == [Speaking(8 * FRAME)]
    assert endpointing.speaking


def test_the_same_speech_is_heard_the_same_an_hour_later() -> None:
    """Thresholds are whole frames: sums of seconds would drift across them."""
    for quiet in range(0, 100_000, 9_973):
        endpointing = Endpointing(FRAME)
        feed(endpointing, [0.0] * quiet, 1.0)
        assert feed(endpointing, [0.9], 2.0) == []
        assert feed(endpointing, [0.9], 2.0) == [SpeechStarted(), Speaking(2 * FRAME)]
        feed(endpointing, [0.0] * 4, 3.0)
        assert feed(endpointing, [0.0], 3.0) == [SpeechStopped(2 * FRAME), Silence(5 * FRAME)]


def test_a_pause_that_has_been_judged_is_reported_no_further() -> None:
    """The turn it ended is over: nobody waits for the rest of it."""
    endpointing = Endpointing(FRAME)
    feed(endpointing, [0.9] * 10 + [0.0] * 10, 1.0)
    endpointing.settled()
    assert feed(endpointing, [0.0] * 10, 2.0) == []
    assert endpointing.deadline is None
    assert feed(endpointing, [0.9] * 2, 3.0) == [SpeechStarted(), Speaking(2 * FRAME)]


def test_a_stop_consonant_is_not_a_pause() -> None:
    """Silence shorter than `stop_after` goes unnoticed."""
    endpointing = Endpointing(FRAME)
    feed(endpointing, [0.9] * 10, 1.0)
    assert feed(endpointing, [0.0] * 4 + [0.9], 1.2) == [Speaking(15 * FRAME)]
    assert endpointing.speaking


def test_a_pause_is_measured_in_audio_however_it_arrives() -> None:
    """A burst of three seconds tells the same as three seconds of small pieces."""
    scores = [0.9] * 30 + [0.0] * 30
    burst = Endpointing(FRAME)
    seen = feed(burst, scores, 1.0)
    stream = Endpointing(FRAME)
    pieces = [observed for i, score in enumerate(scores) for observed in feed(stream, [score], i * FRAME)]
    assert [type(s) for s in seen] == [SpeechStarted, SpeechStopped, Silence]
    turned = [s for s in pieces if isinstance(s, (SpeechStarted, SpeechStopped))]
    assert turned == seen[:2]
    assert seen[1].speech == pytest.approx(30 * FRAME)
    assert seen[-1] == pieces[-1]
    assert isinstance(seen[-1], Silence)
    assert seen[-1].seconds == pytest.approx(30 * FRAME)


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


def test_a_client_that_sends_a_second_at_a_time_is_not_stalled_between() -> None:
    """The next piece cannot come before it has been made; a burst longer than that is not waited for so long."""
    endpointing = Endpointing(FRAME)
    for now in (1.0, 1.001, 1.002):
        feed(endpointing, [0.9] * 10, now)
    assert endpointing.deadline == pytest.approx(1.002 + 1.25 * 30 * FRAME)
    assert endpointing.stalled(2.0) == []
    for now in (2.0, 2.001, 2.002, 2.003):
        feed(endpointing, [0.9] * 100, now)
    assert endpointing.deadline == pytest.approx(2.003 + 1.25)
    feed(endpointing, [0.9] * 3, 2.103)
    assert endpointing.deadline == pytest.approx(2.703)
