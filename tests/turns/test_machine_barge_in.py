"""Speech over the agent: held at once, then released or interrupted; and what makes a wrong interruption good."""

from __future__ import annotations

import dataclasses

import pytest

from antiphon.turns import observations as ob
from antiphon.turns.machine import State, TurnPolicy
from antiphon.turns.table import Script, play

Steps = list[tuple[float, ob.Observation]]
THINKING: Steps = [
    (0.0, ob.Opened(greets=False)),
    (1.0, ob.SpeechStarted()),
    (2.0, ob.SpeechStopped(0.8)),
    (2.3, ob.Silence(0.5)),
    (2.4, ob.Heard(1, "where is my order")),
]
AUDIBLE: Steps = [*THINKING, (2.5, ob.ReplyAudible(1))]
HELD: Steps = [*AUDIBLE, (4.0, ob.SpeechStarted())]
WORD: Steps = [*HELD, (4.1, ob.Silence(0.1)), (4.4, ob.SpeechStopped(0.3)), (4.6, ob.Silence(0.3))]
"A short word, whose text is waited for."
TAKEN: Steps = [*HELD, (4.4, ob.Speaking(0.4)), (5.0, ob.SpeechStopped(0.9))]
"Speech that interrupted."


def after(script: Script, more: Steps, policy: TurnPolicy | None = None) -> list[ob.Command]:
    """The commands that `more` leads to, behind `script`."""
    script = list(script)
    known = len(play(script, policy)[1])
    return [command for _, command in play([*script, *more], policy)[1][known:]]


@pytest.mark.parametrize("turn", [THINKING, AUDIBLE])
def test_speech_over_the_agent_holds_it_at_once(turn: Steps) -> None:
    """No more sound leaves, whether any has left or not; once is enough."""
    more: Steps = [(4.0, ob.SpeechStarted()), (4.1, ob.SpeechStopped(0.1)), (4.2, ob.SpeechStarted())]
    assert after(turn, more) == [ob.Hold(1)]


def test_a_cough_is_released_and_forgotten() -> None:
    """Speech shorter than `cough`, once the pause after it is certain."""
    more: Steps = [
        (4.1, ob.Silence(0.1)),
        (4.2, ob.SpeechStopped(0.1)),
        (4.3, ob.Silence(0.29)),
        (4.4, ob.Silence(0.3)),
    ]
    machine, commands = play([*HELD, *more])
    assert commands[-2:] == [(4.4, ob.Release(1)), (4.4, ob.DiscardUtterance())]
    assert machine.state is State.AGENT_SPEAKING
    assert not machine.held


def test_a_cough_before_the_stream_stopped_is_forgotten_too() -> None:
    """No audio will tell how long the pause was."""
    policy = TurnPolicy(short_endpoint=0.9)
    more: Steps = [(4.0, ob.SpeechStopped(0.1)), (4.6, ob.Stalled(0.6)), (6.0, ob.Active())]
    machine, commands = play([*HELD, *more], policy)
    assert commands[-2:] == [(pytest.approx(4.9), ob.Release(1)), (pytest.approx(4.9), ob.DiscardUtterance())]
    assert machine.state is State.AGENT_SPEAKING


def test_a_cough_is_no_cough_if_words_were_understood() -> None:
    """A "no" can be as short: its text decides."""
    more: Steps = [(4.1, ob.Partial("no")), (4.15, ob.SpeechStopped(0.15)), (4.4, ob.Silence(0.3))]
    assert after(HELD, more) == [ob.EndUtterance(2)]


def test_a_short_word_is_transcribed_while_the_agent_is_held() -> None:
    """Between a cough and a barge-in only the text can tell."""
    machine, commands = play(WORD)
    assert commands[-1] == (4.6, ob.EndUtterance(2))
    assert machine.state is State.AGENT_SPEAKING
    assert machine.held


@pytest.mark.parametrize("text", ["yeah", "Mm-hm.", ""])
def test_a_backchannel_or_nothing_lets_the_same_reply_go_on(text: str) -> None:
    """Nothing but Release: nobody learns of it."""
    assert after(WORD, [(4.8, ob.Heard(2, text))]) == [ob.Release(1)]


def test_a_word_that_is_no_backchannel_interrupts_and_is_answered() -> None:
    """At once: the pause is over."""
    assert after(WORD, [(4.8, ob.Heard(2, "stop"))]) == [ob.Interrupt(1), ob.Answer(2, "stop")]


def test_a_short_word_whose_text_does_not_come_is_let_go() -> None:
    """The agent is not held for ever, and the text is void when it comes after all."""
    policy = TurnPolicy(held_limit=2.0)
    machine, commands = play([*WORD, (9.0, ob.Heard(2, "stop"))], policy)
    assert commands[-1] == (pytest.approx(6.6), ob.Release(1))
    assert machine.state is State.AGENT_SPEAKING


def test_more_speech_while_a_short_word_is_transcribed_is_judged_with_it() -> None:
    """A backchannel with something behind it is the beginning of that."""
    more: Steps = [(4.7, ob.SpeechStarted()), (4.8, ob.Heard(2, "yeah")), (5.0, ob.SpeechStopped(0.3))]
    more += [(5.2, ob.Silence(0.3)), (5.4, ob.Heard(3, "but listen"))]
    assert after(WORD, more) == [ob.EndUtterance(3), ob.Interrupt(1), ob.Answer(2, "yeah but listen")]


def test_a_word_and_a_cough_behind_it_is_a_word() -> None:
    """The cough is forgotten, the word is still waited for."""
    policy = TurnPolicy(cough=0.35)
    word: Steps = [*HELD, (4.4, ob.SpeechStopped(0.36)), (4.6, ob.Silence(0.3))]
    more: Steps = [(4.7, ob.SpeechStarted()), (4.8, ob.Heard(2, "stop it"))]
    assert after(word, more, policy) == [ob.Interrupt(1)]


def test_speech_interrupts_after_the_barge_in_delay() -> None:
    """Long enough to be meant, and not later, though the next piece of audio be late."""
    machine, commands = play([*HELD, (4.0, ob.Speaking(0.05)), (5.0, ob.SpeechStopped(0.9))])
    assert commands[-1] == (pytest.approx(4.35), ob.Interrupt(1))
    assert machine.state is State.USER_PAUSED


def test_audio_that_arrived_late_counts_towards_the_barge_in() -> None:
    """With large chunks the speech is old news when it is seen: no second wait."""
    assert after(HELD, [(4.0, ob.Speaking(0.4))]) == [ob.Interrupt(1)]


def test_a_word_that_came_in_one_piece_interrupts_when_its_end_is_seen() -> None:
    """It was long enough, though it never was under way."""
    more: Steps = [(4.0, ob.SpeechStopped(0.4)), (4.0, ob.Silence(0.5))]
    assert after(HELD, more) == [ob.Interrupt(1), ob.EndUtterance(2)]


def test_a_sound_that_falters_and_goes_on_still_interrupts() -> None:
    """A stop consonant near the beginning must not cost the user the floor."""
    more: Steps = [(4.0, ob.Speaking(0.1)), (4.1, ob.Silence(0.1)), (4.4, ob.Speaking(0.5))]
    assert after(HELD, more) == [ob.Interrupt(1)]


def test_several_short_sounds_are_no_shorter_than_one() -> None:
    """The agent is held no longer by them than by a backchannel."""
    more: Steps = []
    for start in (4.0, 4.5, 5.0, 5.5):
        more += [(start, ob.SpeechStarted()), (start + 0.3, ob.SpeechStopped(0.3))]
    assert after(AUDIBLE, more) == [ob.Hold(1), ob.Interrupt(1)]


def test_a_word_understood_interrupts_at_once() -> None:
    """No need to wait for `barge_in_delay`; but a cough's length must have passed."""
    more: Steps = [(4.1, ob.Speaking(0.1)), (4.25, ob.Partial("stop"))]
    assert play([*HELD, *more])[1][-1] == (4.25, ob.Interrupt(1))
    early: Steps = [(4.1, ob.Speaking(0.1)), (4.12, ob.Partial("stop")), (5.0, ob.Active())]
    assert play([*HELD, *early])[1][-1] == (pytest.approx(4.2), ob.Interrupt(1))


def test_a_word_understood_after_the_sound_interrupts_too() -> None:
    """Speech-to-text lags behind."""
    more: Steps = [(4.4, ob.SpeechStopped(0.3)), (4.5, ob.Partial("stop")), (4.9, ob.Silence(0.5))]
    assert after(HELD, more) == [ob.Interrupt(1), ob.EndUtterance(2)]


def test_a_long_backchannel_is_given_more_time() -> None:
    """`backchannel_limit` instead of `barge_in_delay`, as long as nothing else is understood."""
    more: Steps = [(4.1, ob.Speaking(0.1)), (4.3, ob.Partial("mm-hm")), (4.6, ob.Speaking(0.6))]
    released: Steps = [(5.0, ob.SpeechStopped(0.8)), (5.2, ob.Silence(0.3)), (5.4, ob.Heard(2, "mm-hm"))]
    assert after(HELD, more + released) == [ob.EndUtterance(2), ob.Release(1)]
    assert play([*HELD, *more, (9.0, ob.Active())])[1][-1] == (pytest.approx(5.2), ob.Interrupt(1))
    turned: Steps = [(4.8, ob.Partial("mm-hm but"))]
    assert after(HELD, more + turned) == [ob.Interrupt(1)]


def test_the_agents_own_backchannels_count() -> None:
    """`interruption_ignore_terms`; and the language's own can be switched off."""
    policy = TurnPolicy(ignore_terms=frozenset({"carry on"}), default_backchannels=False)
    assert after(WORD, [(4.8, ob.Heard(2, "Carry on!"))], policy) == [ob.Release(1)]
    assert after(WORD, [(4.8, ob.Heard(2, "yeah"))], policy) == [ob.Interrupt(1), ob.Answer(2, "yeah")]
    german = TurnPolicy(backchannel_languages=("de",))
    assert after(WORD, [(4.8, ob.Heard(2, "genau"))], german) == [ob.Release(1)]


def test_a_backchannel_as_the_reply_ends_is_an_answer() -> None:
    """Whoever says "yeah" when the agent is done means it."""
    assert after(WORD, [(4.7, ob.ReplyOver(1)), (4.8, ob.Heard(2, "yeah"))]) == [ob.Answer(2, "yeah")]


def test_a_reply_that_ends_while_held_is_not_released() -> None:
    """There is nothing left to release."""
    machine, commands = play([*HELD, (4.1, ob.ReplyOver(1))])
    assert commands[-1] == (4.0, ob.Hold(1))
    assert machine.state is State.USER_SPEAKING


# ------------------------------------------------------------------------------------------ wrong interruptions


def test_an_interruption_by_a_backchannel_is_made_good() -> None:
    """The rest is said, as a new reply."""
    more: Steps = [(5.4, ob.Silence(0.5)), (5.6, ob.Heard(2, "yeah right"))]
    assert after(TAKEN, more) == [ob.EndUtterance(2), ob.Resume(2, 1)]


def test_an_interruption_by_a_short_noise_is_made_good() -> None:
    """Shorter than what deserves an answer."""
    policy = TurnPolicy(barge_in_delay=0.3)
    noise: Steps = [(4.3, ob.Speaking(0.3)), (4.6, ob.SpeechStopped(0.35)), (5.0, ob.Silence(0.5))]
    assert after(HELD, [*noise, (5.2, ob.Heard(2, ""))], policy)[-1] == ob.Resume(2, 1)


def test_an_interruption_by_long_speech_that_was_not_understood_is_asked_about() -> None:
    """Whoever took the floor is expected to have wanted something."""
    more: Steps = [(5.4, ob.Silence(0.5)), (5.6, ob.Heard(2, ""))]
    assert after(TAKEN, more)[-1] == ob.Reprompt(2)


@pytest.mark.parametrize("text", ["yeah", ""])
def test_a_noise_that_cut_off_an_answer_before_its_first_sound_is_made_good(text: str) -> None:
    """The user's turn is still without an answer: no turn is left so."""
    policy = TurnPolicy(barge_in_delay=0.3)
    noise: Steps = [(2.5, ob.SpeechStarted()), (2.8, ob.Speaking(0.3)), (3.0, ob.SpeechStopped(0.3))]
    noise += [(3.4, ob.Silence(0.5)), (3.5, ob.Heard(2, text))]
    assert after(THINKING, noise, policy) == [ob.Hold(1), ob.Interrupt(1), ob.EndUtterance(2), ob.Reengage(2)]


def test_who_goes_on_speaking_before_the_answer_is_answered_for_the_new_words() -> None:
    """The words before have been told as a turn already."""
    more: Steps = [(2.5, ob.SpeechStarted()), (2.9, ob.Speaking(0.4)), (3.5, ob.SpeechStopped(0.9))]
    more += [(4.0, ob.Silence(0.5)), (4.2, ob.Heard(2, "the blue one"))]
    assert after(THINKING, more)[-1] == ob.Answer(2, "the blue one")


def test_a_resumed_reply_that_is_cut_off_before_its_first_sound_is_resumed_again() -> None:
    """All of it is still to be said."""
    more: Steps = [(5.4, ob.Silence(0.5)), (5.6, ob.Heard(2, "yeah")), (5.7, ob.SpeechStarted())]
    more += [(6.9, ob.Speaking(1.3)), (7.0, ob.SpeechStopped(1.3)), (7.5, ob.Silence(0.5)), (7.6, ob.Heard(3, "yeah"))]
    assert after(TAKEN, more)[-1] == ob.Resume(3, 2)


def test_a_reply_of_which_only_a_filler_was_heard_is_begun_again() -> None:
    """There is nothing to resume."""
    filled: Steps = [*THINKING, (5.0, ob.ReplyQuiet(1, 2.6)), (5.1, ob.ReplyAudible(1))]
    more: Steps = [(5.5, ob.SpeechStarted()), (6.8, ob.Speaking(1.3)), (6.9, ob.SpeechStopped(1.3))]
    more += [(7.4, ob.Silence(0.5)), (7.6, ob.Heard(2, "yeah"))]
    assert after(filled, more)[-1] == ob.Reengage(2)


# ------------------------------------------------------------------------------------- not to be interrupted


LOCKED: Steps = [*AUDIBLE, (3.0, ob.ReplyLocked(1, locked=True))]
OVER: Steps = [(4.0, ob.SpeechStarted()), (4.8, ob.Speaking(0.8)), (5.0, ob.SpeechStopped(0.9)), (5.6, ob.Silence(0.6))]
"A sentence, and the pause after it."


@pytest.mark.parametrize(
    ("script", "policy"),
    [
        (LOCKED, TurnPolicy()),
        (AUDIBLE, TurnPolicy(interruptible=False)),
        ([(0.0, ob.Opened(greets=True)), (0.1, ob.ReplyAudible(1))], TurnPolicy(first_message_interruptible=False)),
    ],
    ids=["locked", "not interruptible", "first message"],
)
def test_what_may_not_be_interrupted_goes_on(script: Steps, policy: TurnPolicy) -> None:
    """It is not even held; what was said is forgotten, or kept for the turn after it."""
    assert after(script, OVER, policy) == [ob.DiscardUtterance()]
    keeps = dataclasses.replace(policy, transcribe_when_locked=True)
    utterance = 2 if script[0][1] == ob.Opened(greets=False) else 1
    more: Steps = [*OVER, (5.8, ob.Heard(utterance, "hello"))]
    assert after(script, more, keeps) == [ob.EndUtterance(utterance)]
    assert after(script, [*more, (7.0, ob.ReplyOver(1))], keeps)[-1] == ob.Answer(2, "hello")
    late: Steps = [*OVER, (5.7, ob.ReplyOver(1)), (5.8, ob.Heard(utterance, "hello"))]
    assert after(script, late, keeps)[-1] == ob.Answer(2, "hello")


def test_speech_that_goes_on_when_a_locked_reply_ends_is_the_users_turn() -> None:
    """And so is the pause after it."""
    assert play([*LOCKED, *OVER[:2], (4.9, ob.ReplyOver(1))])[0].state is State.USER_SPEAKING
    machine, commands = play([*LOCKED, *OVER[:3], (5.1, ob.ReplyOver(1)), (5.6, ob.Silence(0.6))])
    assert commands[-1] == (5.6, ob.EndUtterance(2))
    assert machine.state is State.TRANSCRIBING


def test_a_lock_releases_what_was_held() -> None:
    """What is said goes on, but interrupts no more."""
    locked: Steps = [*HELD, (4.1, ob.ReplyLocked(1, locked=True))]
    assert play(locked)[1][-1] == (4.1, ob.Release(1))
    assert after(locked, OVER[1:]) == [ob.DiscardUtterance()]


def test_when_the_lock_goes_speech_under_way_counts_again() -> None:
    """All of it: who has spoken for long need not begin anew."""
    unlock: Steps = [(4.0, ob.SpeechStarted()), (4.3, ob.Speaking(0.3)), (4.3, ob.ReplyLocked(1, locked=False))]
    machine, commands = play([*LOCKED, *unlock, (6.0, ob.Active())])
    assert commands[-2:] == [(4.3, ob.Hold(1)), (pytest.approx(4.4), ob.Interrupt(1))]
    assert machine.state is State.USER_SPEAKING


def test_a_lock_of_an_older_reply_is_void() -> None:
    """It came late."""
    script: Steps = [
        *AUDIBLE,
        (3.0, ob.Typed("stop")),
        (3.1, ob.ReplyLocked(1, locked=True)),
        (4.0, ob.SpeechStarted()),
    ]
    assert play(script)[1][-1] == (4.0, ob.Hold(2))
