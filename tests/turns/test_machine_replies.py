"""What becomes of a reply: fillers, failure, skipping, hanging up; typed messages, another agent, the last words."""

from __future__ import annotations

import pytest

from antiphon.turns import observations as ob
from antiphon.turns.machine import State, TurnMachine, TurnPolicy
from antiphon.turns.table import Script, play

Steps = list[tuple[float, ob.Observation]]
PAUSED: Steps = [(0.0, ob.Opened(greets=False)), (1.0, ob.SpeechStarted()), (2.0, ob.SpeechStopped(0.8))]
TRANSCRIBING: Steps = [*PAUSED, (2.3, ob.Silence(0.5))]
THINKING: Steps = [*TRANSCRIBING, (3.0, ob.Heard(1, "where is my order"))]
AUDIBLE: Steps = [*THINKING, (3.5, ob.ReplyAudible(1))]
GREETING: Steps = [(0.0, ob.Opened(greets=True))]


def after(script: Script, more: Steps, policy: TurnPolicy | None = None) -> list[tuple[float, ob.Command]]:
    """The commands that `more` leads to, behind `script`, with their times rounded."""
    script = list(script)
    known = len(play(script, policy)[1])
    return [(round(at, 6), command) for at, command in play([*script, *more], policy)[1][known:]]


# ----------------------------------------------------------------------------------------------- soft timeouts

SOFT = TurnPolicy(soft_timeout=2.0, max_soft_timeouts=2, turn_timeout=None)


def test_an_answer_that_does_not_come_is_bridged_by_fillers() -> None:
    """Every `soft_timeout` seconds, up to the limit; the filler's own sound is not the answer."""
    more: Steps = [(5.2, ob.ReplyAudible(1)), (20.0, ob.Active())]
    fills = [(5.0, ob.Fill(1, "soft_timeout", 0)), (7.0, ob.Fill(1, "soft_timeout", 1))]
    assert after(THINKING, more, SOFT) == fills


@pytest.mark.parametrize("seen", [ob.ReplyThought(1), ob.ReplyAudible(1), ob.ReplyOver(1)])
def test_an_answer_that_begins_to_come_needs_no_filler(seen: ob.Observation) -> None:
    """From here on words will come."""
    assert after(THINKING, [(4.0, seen), (20.0, ob.Active())], SOFT) == []


def test_fixed_lines_need_no_filler() -> None:
    """Nobody has to think about them."""
    assert after(GREETING, [(20.0, ob.Active())], SOFT) == []


def test_a_filler_waits_while_the_reply_is_held() -> None:
    """Who speaks is not spoken over."""
    more: Steps = [(4.9, ob.SpeechStarted()), (5.1, ob.SpeechStopped(0.1)), (5.3, ob.Silence(0.3)), (8.0, ob.Active())]
    assert after(THINKING, more, SOFT) == [
        (4.9, ob.Hold(1)),
        (5.3, ob.Release(1)),
        (5.3, ob.DiscardUtterance()),
        (7.0, ob.Fill(1, "soft_timeout", 0)),
    ]


def test_fillers_before_the_users_first_turn_can_be_switched_off() -> None:
    """`disable_until_first_user_message`."""
    policy = TurnPolicy(soft_timeout=2.0, soft_timeout_needs_user=True, turn_timeout=1.0)
    silent: Steps = [(0.0, ob.Opened(greets=False)), (10.0, ob.Active())]
    assert after(silent[:1], silent[1:], policy) == [(1.0, ob.Reengage(1))]
    assert after(THINKING, [(10.0, ob.Active())], policy) == [(5.0, ob.Fill(1, "soft_timeout", 0))]


def test_what_was_thought_while_it_was_prepared_needs_no_filler() -> None:
    """The soft timeout counts for a prepared answer that has not begun to come."""
    policy = TurnPolicy(soft_timeout=2.0, speculative=True)
    text = "where is my order"
    prepared: Steps = [*PAUSED, (2.1, ob.Partial(text)), (2.2, ob.Silence(0.3))]
    ending: Steps = [(3.5, ob.Silence(1.5)), (4.0, ob.Heard(1, text)), (10.0, ob.Active())]
    assert (6.0, ob.Fill(1, "soft_timeout", 0)) in after(prepared, ending, policy)
    assert after(prepared, [(2.3, ob.ReplyThought(1)), *ending], policy)[-1] == (4.0, ob.Answer(1, text))


# -------------------------------------------------------------------------------------------------- dead air


def quiet(reply: int, *times: float) -> Steps:
    """The reply leaves the user without sound."""
    return [(at, ob.ReplyQuiet(reply, 3.0)) for at in times]


def test_dead_air_is_filled_and_then_given_up() -> None:
    """After `max_quiet_fills` fillers the reply is cut off, and apologised for."""
    policy = TurnPolicy(max_quiet_fills=2)
    assert after(AUDIBLE, quiet(1, 7.0, 10.0, 13.0), policy) == [
        (7.0, ob.Fill(1, "silence", 0)),
        (10.0, ob.Fill(1, "silence", 1)),
        (13.0, ob.Interrupt(1)),
        (13.0, ob.Apologise(2)),
    ]


def test_fillers_of_both_kinds_are_numbered_together() -> None:
    """So that no two are the same."""
    more: Steps = [(5.5, ob.Active()), *quiet(1, 6.0)]
    policy = TurnPolicy(soft_timeout=2.0)
    assert [command for _, command in after(THINKING, more, policy)] == [
        ob.Fill(1, "soft_timeout", 0),
        ob.Fill(1, "silence", 1),
    ]


def test_words_that_begin_to_come_again_are_waited_for_anew() -> None:
    """A reply of several rounds may pause in each of them."""
    policy = TurnPolicy(max_quiet_fills=1)
    more: Steps = [*quiet(1, 7.0), (8.0, ob.ReplyThought(1)), *quiet(1, 11.0)]
    assert after(AUDIBLE, more, policy)[-1] == (11.0, ob.Fill(1, "silence", 1))


def test_a_locked_reply_is_filled_for_as_long_as_it_takes() -> None:
    """The tool that must not be interrupted has a timeout of its own."""
    policy = TurnPolicy(max_quiet_fills=1)
    more: Steps = [(5.0, ob.ReplyLocked(1, locked=True)), *quiet(1, 7.0, 10.0, 13.0)]
    assert after(AUDIBLE, more, policy)[-1] == (13.0, ob.Fill(1, "silence", 2))


def test_an_apology_that_cannot_be_said_ends_the_call() -> None:
    """The agent has lost its voice."""
    policy = TurnPolicy(max_quiet_fills=0)
    more = quiet(1, 7.0) + quiet(2, 10.0)
    assert after(AUDIBLE, more, policy)[-2:] == [
        (10.0, ob.Interrupt(2)),
        (10.0, ob.HangUp(1002, "the agent lost its voice", "tts_cascade_error")),
    ]


def test_nobody_is_spoken_over_by_a_filler() -> None:
    """Neither while the reply is held, nor while the user speaks over one that may not be interrupted."""
    speaking: Steps = [(4.0, ob.SpeechStarted()), *quiet(1, 4.1)]
    assert after(AUDIBLE, speaking) == [(4.0, ob.Hold(1))]
    assert after(AUDIBLE, speaking, TurnPolicy(interruptible=False)) == []
    assert after(AUDIBLE, quiet(0, 5.0)) == []


# ------------------------------------------------------------------------------------------------ how it ends


def test_a_reply_that_failed_is_apologised_for_once() -> None:
    """If that fails too, the user has the floor."""
    machine, commands = play([*THINKING, (4.0, ob.ReplyFailed(1)), (4.5, ob.ReplyFailed(2))])
    assert commands[-1] == (4.0, ob.Apologise(2))
    assert machine.state is State.WAITING


def test_a_first_message_that_failed_is_not() -> None:
    """Nobody waits for it."""
    machine, commands = play([*GREETING, (1.0, ob.ReplyFailed(1))])
    assert commands == [(0.0, ob.Greet(1))]
    assert machine.state is State.WAITING


def test_a_reply_that_failed_while_a_noise_was_judged_is_begun_again() -> None:
    """The user still waits for it."""
    noise: Steps = [(4.0, ob.SpeechStarted()), (4.1, ob.ReplyFailed(1)), (4.2, ob.SpeechStopped(0.1))]
    noise += [(4.8, ob.Silence(0.6)), (5.0, ob.Heard(2, ""))]
    assert after(THINKING, noise)[-1] == (5.0, ob.Reengage(2))


def test_skipping_a_turn_suspends_the_turn_timeout() -> None:
    """Until the user takes a turn: neither a noise nor a sign of activity ends the agent's silence."""
    policy = TurnPolicy(turn_timeout=5.0, max_duration=None)
    skip: Steps = [(4.0, ob.ReplyOver(1, "skip")), (20.0, ob.Active())]
    noise: Steps = [(30.0, ob.SpeechStarted()), (30.2, ob.SpeechStopped(0.1)), (31.0, ob.Silence(0.6))]
    noise += [(31.5, ob.Heard(2, "")), (60.0, ob.Active())]
    assert after(AUDIBLE, skip + noise, policy) == [(31.0, ob.EndUtterance(2))]
    turn: Steps = [(70.0, ob.Typed("I am back")), (71.0, ob.ReplyOver(2)), (80.0, ob.Active())]
    assert after([*AUDIBLE, *skip, *noise], turn, policy)[-1] == (76.0, ob.Reengage(3))


def test_a_long_silence_ends_the_call_even_if_the_agent_skips_its_turn() -> None:
    """`silence_end_call_timeout` counts all the same."""
    policy = TurnPolicy(silence_end_call_timeout=10.0)
    more: Steps = [(4.0, ob.ReplyOver(1, "skip")), (30.0, ob.Active())]
    assert after(AUDIBLE, more, policy) == [(12.0, ob.HangUp(1000, "the user stayed silent"))]


@pytest.mark.parametrize(("reason", "told"), [("", "the agent ended the call"), ("solved", "solved")])
def test_the_agent_may_hang_up(reason: str, told: str) -> None:
    """`end_call`, when its last words have been heard: even if the user speaks."""
    over: Steps = [(4.0, ob.SpeechStarted()), (4.1, ob.ReplyOver(1, "hang_up", reason))]
    assert after(AUDIBLE, over)[1:] == [(4.1, ob.HangUp(1000, told))]


# --------------------------------------------------------------------------------------------- typed messages


def test_a_message_typed_while_speech_is_transcribed_waits_for_it() -> None:
    """Both are one turn, the spoken words first; a transcript is due of those alone."""
    more: Steps = [(2.4, ob.Typed("B42")), (3.0, ob.Heard(1, "my code is"))]
    assert after(TRANSCRIBING, more) == [(3.0, ob.Answer(1, "my code is", "B42"))]
    assert after(TRANSCRIBING, [(2.4, ob.Typed("B42")), (30.0, ob.Active())])[0] == (
        10.3,
        ob.Answer(1, "", "B42"),
    )


def test_a_message_typed_in_a_pause_ends_the_turn() -> None:
    """Nothing more is to be waited for but the text."""
    more: Steps = [(2.1, ob.Typed("B42")), (3.0, ob.Heard(1, "my code is"))]
    answer = ob.Answer(1, "my code is", "B42")
    assert after(PAUSED, more) == [(2.1, ob.EndUtterance(1)), (3.0, answer)]


def test_a_message_typed_while_one_speaks_keeps_what_was_said_before() -> None:
    """Only the speech under way is cut short, now and when it is over."""
    more: Steps = [(2.5, ob.SpeechStarted()), (2.6, ob.Typed("B42")), (2.9, ob.SpeechStopped(0.4))]
    more.append((3.0, ob.Heard(1, "my code is")))
    assert after(TRANSCRIBING, more) == [
        (2.6, ob.DiscardUtterance()),
        (2.9, ob.DiscardUtterance()),
        (3.0, ob.Answer(1, "my code is", "B42")),
    ]


def test_a_message_typed_over_a_locked_reply_is_answered_after_it() -> None:
    """All of them, in one answer."""
    locked: Steps = [(4.0, ob.ReplyLocked(1, locked=True)), (4.5, ob.Typed("stop")), (4.6, ob.Typed("please"))]
    assert after(AUDIBLE, [*locked, (6.0, ob.ReplyOver(1))]) == [(6.0, ob.Answer(2, "", "stop please"))]


def test_a_message_typed_while_the_agent_is_held_keeps_the_word_that_is_judged() -> None:
    """It is transcribed first."""
    more: Steps = [(4.0, ob.SpeechStarted()), (4.4, ob.SpeechStopped(0.3)), (4.5, ob.Typed("B42"))]
    more.append((5.0, ob.Heard(2, "no")))
    assert after(AUDIBLE, more)[1:] == [
        (4.5, ob.Interrupt(1)),
        (4.5, ob.EndUtterance(2)),
        (5.0, ob.Answer(2, "no", "B42")),
    ]


# ---------------------------------------------------------------------------------------------- another agent


@pytest.mark.parametrize(("greets", "begins"), [(True, ob.Greet(2)), (False, ob.Reengage(2))])
def test_another_agent_takes_the_floor(greets: bool, begins: ob.Command) -> None:
    """What runs is cut off first."""
    assert after(AUDIBLE, [(5.0, ob.Transferred(greets))]) == [(5.0, ob.Interrupt(1)), (5.0, begins)]


def test_the_new_agents_policy_holds_from_then_on() -> None:
    """It was put in before; the length of the conversation counts from its beginning."""
    machine = play(AUDIBLE, TurnPolicy(max_duration=100.0))[0]
    machine.policy = TurnPolicy(max_duration=50.0, first_message_interruptible=False)
    machine.handle(ob.Transferred(greets=True), 10.0)
    assert machine.deadline == 50.0
    assert machine.handle(ob.SpeechStarted(), 11.0) == []


def test_another_agent_does_not_take_the_floor_from_the_user() -> None:
    """Who speaks is answered by it; a first message is held while it is judged whether somebody speaks."""
    assert after(TRANSCRIBING, [(2.4, ob.Transferred(greets=False)), (3.0, ob.Heard(1, "hello"))]) == [
        (3.0, ob.Answer(1, "hello"))
    ]
    more: Steps = [(2.4, ob.Transferred(greets=True)), (3.0, ob.Heard(1, "hello"))]
    assert [command for _, command in after(TRANSCRIBING, more)] == [
        ob.Greet(1),
        ob.Hold(1),
        ob.Interrupt(1),
        ob.Answer(2, "hello"),
    ]


# ----------------------------------------------------------------------------------------------- the last words

FAREWELL = TurnPolicy(max_duration=5.0, farewell=True, farewell_limit=4.0)
END = ob.HangUp(1000, "maximum duration reached", "max_duration_exceeded")


@pytest.mark.parametrize("seen", [ob.ReplyOver(2), ob.ReplyFailed(2)])
def test_the_last_words_are_said_before_the_end(seen: ob.Observation) -> None:
    """What runs is cut off; the conversation ends when they have been said, or could not be."""
    more: Steps = [(6.0, ob.ReplyAudible(2)), (7.0, seen)]
    commands = after(AUDIBLE, more, FAREWELL)
    assert commands == [(5.0, ob.Interrupt(1)), (5.0, ob.Farewell(2)), (7.0, END)]


def test_last_words_that_do_not_end_are_cut_off() -> None:
    """`farewell_limit`."""
    assert after(AUDIBLE, [(20.0, ob.Active())], FAREWELL)[-2:] == [(9.0, ob.Interrupt(2)), (9.0, END)]


def test_the_last_words_are_not_interrupted() -> None:
    """By nobody and nothing, whatever was under way when they began."""
    speech: Steps = [(4.8, ob.SpeechStarted()), (6.0, ob.Speaking(1.0)), (6.5, ob.SpeechStopped(1.5))]
    more: Steps = [*speech, (7.0, ob.Silence(0.6)), (7.1, ob.Typed("wait")), (7.2, ob.Transferred(greets=True))]
    commands = [command for _, command in after(AUDIBLE, more, FAREWELL)]
    assert commands == [ob.Hold(1), ob.Interrupt(1), ob.Farewell(2), ob.DiscardUtterance()]


def test_the_words_of_a_turn_that_the_end_cut_short_are_void() -> None:
    """They are not answered any more."""
    more: Steps = [(5.5, ob.Heard(1, "hello")), (6.0, ob.ReplyOver(1))]
    policy = TurnPolicy(max_duration=2.5, farewell=True)
    assert after(TRANSCRIBING, more, policy) == [(2.5, ob.Farewell(1)), (6.0, END)]


def test_a_machine_can_be_asked_for_what_it_numbers() -> None:
    """So that whoever draws its table can answer it."""
    machine: TurnMachine = play(THINKING)[0]
    assert (machine.reply, machine.newest_utterance, machine.newest_pause) == (1, 1, 1)
