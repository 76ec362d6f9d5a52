"""When the user's turn is over: words, the turn detector, silence; and answers that are prepared in a pause."""

from __future__ import annotations

import dataclasses

import pytest

from antiphon.turns import observations as ob
from antiphon.turns.machine import State, TurnPolicy
from antiphon.turns.table import play

Steps = list[tuple[float, ob.Observation]]
SPOKEN: Steps = [(0.0, ob.Opened(greets=False)), (1.0, ob.SpeechStarted())]
FINISHED, OPEN, UNFINISHED, DICTATED = "yes please", "the blue one", "I would like to", "four two seven"
POLICY = TurnPolicy(finished_delay=0.3, endpoint_delay=0.6, unfinished_delay=1.2, dictation_delay=1.6, judged_delay=0.2)


def ended_after(
    text: str,
    policy: TurnPolicy = POLICY,
    *,
    verdict: float | None = None,
    begin: Steps = SPOKEN,
) -> float:
    """The silence that ended a turn of that text."""
    script: Steps = [*begin, (2.0, ob.Partial(text)), (2.0, ob.SpeechStopped(0.8))]
    if verdict is not None:
        script.append((2.05, ob.TurnJudged(1, verdict)))
    known = len(play(script, policy)[1])
    for step in range(1, 40):
        quiet = round(step * 0.1, 1)
        script.append((2.0 + quiet, ob.Silence(quiet)))
        commands = [command for _, command in play(script, policy)[1][known:]]
        if commands:
            assert isinstance(commands[-1], ob.EndUtterance)
            return quiet
    raise AssertionError("the turn never ends")


@pytest.mark.parametrize(("text", "silence"), [(FINISHED, 0.3), ("", 0.6), (UNFINISHED, 1.2)])
def test_the_words_so_far_decide_how_long_a_pause_is_waited_for(text: str, silence: float) -> None:
    """A whole answer ends soon, an unfinished sentence late, and of nothing nothing is known."""
    assert ended_after(text) == silence


def test_what_the_agent_asked_for_decides_too() -> None:
    """Whoever dictates a number pauses within it, if the agent has patience for that."""
    asked: Steps = [
        (0.0, ob.Opened(greets=True)),
        (0.1, ob.ReplyAudible(1)),
        (0.9, ob.ReplyOver(1, expects=ob.Expectation.NUMBER)),
        (1.0, ob.SpeechStarted()),
    ]
    assert ended_after(DICTATED, begin=asked) == 1.6
    assert ended_after(DICTATED, dataclasses.replace(POLICY, spelling_patience=False), begin=asked) <= 0.6


@pytest.mark.parametrize(
    ("text", "verdict", "silence"),
    [("", 0.9, 0.2), ("", 0.5, 0.2), ("", 0.4, 1.2), (UNFINISHED, 0.9, 0.2), (FINISHED, 0.1, 1.2)],
)
def test_the_turn_detectors_verdict_shortens_or_lengthens_the_wait(text: str, verdict: float, silence: float) -> None:
    """At most `judged_delay` where it takes the turn for over, else at least `unfinished_delay`."""
    assert ended_after(text, verdict=verdict) == silence


def test_dictation_is_not_cut_off_by_a_verdict() -> None:
    """Groups of digits fall in tone, as whole sentences do."""
    asked: Steps = [
        (0.0, ob.Opened(greets=True)),
        (0.9, ob.ReplyOver(1, expects=ob.Expectation.NUMBER)),
        (1.0, ob.SpeechStarted()),
    ]
    assert ended_after(DICTATED, begin=asked, verdict=0.9) == 1.6


def test_silence_alone_decides_where_the_agent_wants_it_so() -> None:
    """`turn.mode` = silence."""
    policy = dataclasses.replace(POLICY, fixed_silence=True, judges=True)
    assert [ended_after(text, policy) for text in (FINISHED, OPEN, UNFINISHED, DICTATED)] == [0.6] * 4
    assert ended_after("", policy, verdict=0.9) == 0.6


def test_the_turn_detector_is_asked_about_every_pause() -> None:
    """Each has a number, and a verdict about one that is over is void."""
    script: Steps = [*SPOKEN, (2.0, ob.SpeechStopped(0.8)), (2.3, ob.SpeechStarted()), (3.0, ob.SpeechStopped(0.6))]
    script += [(3.1, ob.Silence(0.3)), (3.1, ob.TurnJudged(1, 0.9)), (3.2, ob.TurnJudged(2, 0.9))]
    commands = play(script, dataclasses.replace(POLICY, judges=True))[1]
    assert commands == [(2.0, ob.Judge(1)), (3.0, ob.Judge(2)), (3.2, ob.EndUtterance(1))]


def test_a_late_partial_ends_a_pause_that_was_long_enough_for_it() -> None:
    """Or makes it wait longer."""
    paused: Steps = [*SPOKEN, (2.0, ob.SpeechStopped(0.8)), (2.4, ob.Silence(0.4))]
    assert play([*paused, (2.45, ob.Partial(FINISHED))], POLICY)[1] == [(2.45, ob.EndUtterance(1))]
    assert play([*paused, (2.45, ob.Partial(UNFINISHED)), (2.7, ob.Silence(0.7))], POLICY)[1] == []


def test_where_the_stream_has_stopped_a_late_partial_is_weighed_by_the_clock() -> None:
    """The pause goes on, though no audio tells so."""
    paused: Steps = [*SPOKEN, (2.0, ob.Partial(UNFINISHED)), (2.0, ob.SpeechStopped(0.8)), (2.6, ob.Stalled(0.6))]
    assert play([*paused, (4.0, ob.Active())], POLICY)[1] == [(pytest.approx(3.2), ob.EndUtterance(1))]
    assert play([*paused, (2.9, ob.Partial(FINISHED))], POLICY)[1] == [(2.9, ob.EndUtterance(1))]


def test_a_pause_of_which_nothing_more_is_told_ends_all_the_same() -> None:
    """Whatever became of the audio: nobody waits for ever."""
    ((at, command),) = play([*SPOKEN, (2.0, ob.SpeechStopped(0.8)), (9.0, ob.Active())], POLICY)[1]
    assert command == ob.EndUtterance(1)
    assert 3.0 < at < 6.0


def test_words_of_an_earlier_utterance_of_the_turn_count() -> None:
    """The user went on speaking while they were being transcribed."""
    script: Steps = [*SPOKEN, (2.0, ob.SpeechStopped(0.8)), (2.6, ob.Silence(0.6)), (2.7, ob.SpeechStarted())]
    script += [(2.8, ob.Heard(1, "I would")), (3.0, ob.Partial("like to")), (3.0, ob.SpeechStopped(0.3))]
    assert play([*script, (4.1, ob.Silence(1.1))], POLICY)[1] == [(2.6, ob.EndUtterance(1))]
    assert play([*script, (4.2, ob.Silence(1.2))], POLICY)[1][-1] == (4.2, ob.EndUtterance(2))


# ---------------------------------------------------------------------------------------- preparing an answer

SPECULATIVE = TurnPolicy(endpoint_delay=0.6, finished_delay=0.6, speculative=True, max_preparations=2)
PAUSED: Steps = [*SPOKEN, (2.0, ob.Partial("Where is it?")), (2.1, ob.SpeechStopped(0.8)), (2.2, ob.Silence(0.2))]
OVER: Steps = [*PAUSED, (2.6, ob.Silence(0.6))]


def commands_of(script: Steps, policy: TurnPolicy = SPECULATIVE) -> list[ob.Command]:
    """Without their times."""
    return [command for _, command in play(script, policy)[1]]


def test_an_answer_is_prepared_in_the_pause_and_let_out_when_the_text_is_the_same() -> None:
    """However it is written."""
    script: Steps = [*OVER, (2.8, ob.Heard(1, "where is it"))]
    assert commands_of(script) == [ob.Prepare(1, "Where is it?"), ob.EndUtterance(1), ob.Answer(1, "where is it")]


def test_what_was_prepared_in_vain_is_abandoned() -> None:
    """And its number is used up."""
    script: Steps = [*OVER, (2.8, ob.Heard(1, "where is it now"))]
    assert commands_of(script)[-2:] == [ob.Abandon(1), ob.Answer(2, "where is it now")]
    noise: Steps = [*SPOKEN, (1.2, ob.Partial("uh")), (1.3, ob.SpeechStopped(0.1)), (1.6, ob.Silence(0.2))]
    machine, commands = play([*noise, (2.0, ob.Silence(2.0)), (2.1, ob.Heard(1, ""))], SPECULATIVE)
    assert commands[-1] == (2.1, ob.Abandon(1))
    assert machine.state is State.WAITING


def test_more_speech_abandons_what_was_prepared() -> None:
    """The turn is not over; and no more is prepared than the budget allows."""
    script = PAUSED
    for start in (3.0, 4.0):
        script = [*script, (start, ob.SpeechStarted()), (start + 0.3, ob.SpeechStopped(0.2))]
        script.append((start + 0.5, ob.Silence(0.2)))
    text = "Where is it?"
    assert commands_of(script) == [ob.Prepare(1, text), ob.Abandon(1), ob.Prepare(2, text), ob.Abandon(2)]


def test_other_words_in_the_pause_are_prepared_for_anew() -> None:
    """Speech-to-text lags behind; the same words in other letters are no others."""
    more: Steps = [(2.3, ob.Partial("where is it")), (2.4, ob.Partial("where is it now"))]
    assert commands_of([*PAUSED, *more])[1:] == [ob.Abandon(1), ob.Prepare(2, "where is it now")]


def test_nothing_is_prepared_too_early_or_without_words() -> None:
    """`prepare_after`."""
    assert commands_of([*PAUSED[:-1], (2.2, ob.Silence(0.1))]) == []
    assert commands_of([*SPOKEN, (2.1, ob.SpeechStopped(0.8)), (2.4, ob.Silence(0.3))]) == []


def test_a_prepared_answer_that_failed_is_begun_anew() -> None:
    """Nobody learns of it."""
    script: Steps = [*OVER, (2.7, ob.ReplyFailed(1)), (2.8, ob.Heard(1, "where is it"))]
    assert commands_of(script)[-1] == ob.Answer(2, "where is it")


@pytest.mark.parametrize("seen", [ob.Typed("never mind"), ob.Closed()])
def test_whatever_else_ends_the_turn_abandons_what_was_prepared(seen: ob.Observation) -> None:
    """Nothing prepared is left behind."""
    script: Steps = [*PAUSED, (2.3, seen), (2.5, ob.Heard(1, "where is it"))]
    assert ob.Abandon(1) in commands_of(script)
