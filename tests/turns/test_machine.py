"""The turn machine, by scripts: observations at their times -> commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turns import observations as ob
from antiphon.turns.machine import State, TurnMachine, TurnPolicy
from antiphon.turns.table import Script, play


def said(script: Script, policy: TurnPolicy | None = None) -> list[ob.Command]:
    """The commands alone."""
    return [command for _, command in play(script, policy)[1]]


TURN: list[tuple[float, ob.Observation]] = [
    (0.0, ob.Opened(greets=False)),
    (1.0, ob.SpeechStarted()),
    (2.0, ob.SpeechStopped(speech=0.8)),
    (2.2, ob.Silence(0.4)),
    (2.3, ob.Silence(0.5)),
    (2.4, ob.Heard(1, "where is my order")),
]
SPEAKING = [*TURN, (2.5, ob.ReplyAudible(1))]


def test_an_agent_with_a_first_message_greets() -> None:
    """Opened with a greeting is the agent's turn at once."""
    assert said([(0.0, ob.Opened(greets=True))]) == [ob.Greet(1)]


def test_a_turn_ends_after_enough_received_silence_and_is_answered() -> None:
    """The pause is judged by audio; the answer carries the text."""
    assert said(TURN) == [ob.EndUtterance(1), ob.Answer(1, "where is my order")]


def test_a_pause_shorter_than_the_endpoint_delay_ends_nothing() -> None:
    """Speech after a short pause belongs to the same turn."""
    machine, commands = play(
        [*TURN[:3], (2.2, ob.Silence(0.4)), (2.3, ob.SpeechStarted()), (2.9, ob.SpeechStopped(0.5))]
    )
    assert commands == []
    assert machine.state is State.USER_PAUSED


def test_a_stream_that_stops_is_judged_by_the_clock() -> None:
    """A client that sends nothing after its last word still gets its answer."""
    script = [*TURN[:3], (2.6, ob.Stalled(0.3)), (3.5, ob.Active())]
    assert play(script)[1] == [(2.6 + 0.2, ob.EndUtterance(1))]


def test_speech_before_the_transcript_makes_one_longer_turn() -> None:
    """Who goes on speaking while the first words are being transcribed is answered once, for all of it."""
    script = [
        *TURN[:5],
        (2.35, ob.SpeechStarted()),
        (2.5, ob.Heard(1, "I would like")),
        (3.0, ob.SpeechStopped(0.6)),
        (4.2, ob.Silence(1.2)),
        (4.3, ob.Heard(2, "a table")),
    ]
    assert said(script)[-1] == ob.Answer(1, "I would like a table")


def test_a_transcript_that_never_comes_is_asked_for_again() -> None:
    """No turn is left without an answer."""
    machine, commands = play([*TURN[:5], (20.0, ob.Active())])
    assert [command for _, command in commands] == [ob.EndUtterance(1), ob.Reprompt(1)]
    assert machine.state is State.THINKING


def test_a_late_transcript_of_a_turn_that_was_given_up_is_void() -> None:
    """It must not be glued to the next turn."""
    script = [*TURN[:5], (11.0, ob.Active()), (11.1, ob.Heard(1, "too late")), (11.2, ob.Typed("hello"))]
    assert said(script)[-1] == ob.Answer(2, "", "hello")


def test_an_empty_transcript_of_real_speech_asks_again_but_a_noise_does_not() -> None:
    """Speech that was not understood deserves an answer; a cough does not."""
    asked = [*TURN[:5], (2.4, ob.Heard(1, ""))]
    assert said(asked)[-1] == ob.Reprompt(1)
    noise = [
        (0.0, ob.Opened(greets=False)),
        (1.0, ob.SpeechStarted()),
        (1.2, ob.SpeechStopped(0.1)),
        (1.7, ob.Silence(0.5)),
        (1.8, ob.Heard(1, "")),
    ]
    machine, _ = play(noise)
    assert machine.state is State.WAITING


def test_speech_that_was_cut_short_by_typing_does_not_interrupt_the_answer() -> None:
    """The message that was typed is what is to be answered."""
    typed = [(0.0, ob.Opened(greets=False)), (1.0, ob.SpeechStarted()), (2.0, ob.Typed("stop"))]
    script = [*typed, (2.1, ob.Speaking(1.0)), (2.4, ob.SpeechStopped(1.2)), (3.0, ob.Silence(0.5))]
    assert said(script)[-1] == ob.DiscardUtterance()
    assert ob.Interrupt(1) not in said(script)


def test_a_typed_message_interrupts_and_is_answered() -> None:
    """A user_message is a finished user turn (protocol.md C6)."""
    assert said([*SPEAKING, (4.0, ob.Typed("stop"))])[-3:] == [
        ob.Interrupt(1),
        ob.DiscardUtterance(),
        ob.Answer(2, "", "stop"),
    ]


def test_observations_about_an_older_reply_are_void() -> None:
    """They were under way when the reply was cancelled."""
    machine, _ = play([*SPEAKING, (4.0, ob.Typed("stop")), (4.1, ob.ReplyOver(1)), (4.2, ob.ReplyAudible(1))])
    assert machine.state is State.THINKING


def test_the_agent_speaks_again_after_the_turn_timeout() -> None:
    """And activity of the user puts that off."""
    script: Script = [*SPEAKING, (5.0, ob.ReplyOver(1)), (11.0, ob.Active()), (19.0, ob.Active())]
    assert play(script)[1][-1] == (18.0, ob.Reengage(2))


def test_a_long_silence_ends_the_call() -> None:
    """`silence_end_call_timeout` counts from the user's last sign of life."""
    policy = TurnPolicy(silence_end_call_timeout=10.0, turn_timeout=None)
    script = [*SPEAKING, (5.0, ob.ReplyOver(1)), (30.0, ob.Tick())]
    (at, command) = play(script, policy)[1][-1]
    assert isinstance(command, ob.HangUp)
    assert at == pytest.approx(12.0)


@given(st.floats(0.0, 1e5), st.floats(0.1, 60.0))
def test_a_long_silence_ends_the_call_at_the_first_tick(heard_at: float, limit: float) -> None:
    """Rounding must not make the deadline come again and again."""
    machine = TurnMachine(TurnPolicy(silence_end_call_timeout=limit, turn_timeout=None, max_duration=None))
    machine.handle(ob.Opened(greets=False), heard_at)
    deadline = machine.deadline
    assert deadline is not None
    (command,) = machine.handle(ob.Tick(), deadline)
    assert isinstance(command, ob.HangUp)


def test_the_conversation_ends_at_its_maximum_duration() -> None:
    """Whatever is going on: the reply is settled first."""
    policy = TurnPolicy(max_duration=3.0)
    commands = said([*SPEAKING, (9.0, ob.Active())], policy)
    assert commands[-2] == ob.Interrupt(1)
    assert commands[-1] == ob.HangUp(1000, "maximum duration reached", "max_duration_exceeded")


def test_nothing_happens_after_the_end() -> None:
    """ENDED is final."""
    machine, _ = play([*SPEAKING, (4.0, ob.Closed())])
    assert machine.state is State.ENDED
    assert machine.deadline is None
    assert machine.handle(ob.Typed("hello?"), 5.0) == []


def test_every_deadline_is_one_of_few() -> None:
    """No deadline means that nothing but an observation can change anything."""
    machine = TurnMachine(TurnPolicy(max_duration=None, turn_timeout=None))
    machine.handle(ob.Opened(greets=False), 0.0)
    assert machine.deadline is None


OBSERVATIONS: list[ob.Observation] = [
    ob.Opened(greets=True),
    ob.SpeechStarted(),
    ob.Speaking(0.3),
    ob.SpeechStopped(speech=0.5),
    ob.Silence(0.6),
    ob.Stalled(0.6),
    ob.Partial("hello"),
    ob.TurnJudged(1, 0.9),
    ob.Heard(1, "hello"),
    ob.Typed("hello"),
    ob.Active(),
    ob.ReplyThought(1),
    ob.ReplyAudible(1),
    ob.ReplyQuiet(1, 3.0),
    ob.ReplyLocked(1, locked=True),
    ob.ReplyOver(1),
    ob.ReplyFailed(1),
    ob.Transferred(greets=True),
    ob.Tick(),
    ob.Closed(),
]


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("seen", OBSERVATIONS, ids=lambda seen: type(seen).__name__)
def test_every_state_bears_every_observation(state: State, seen: ob.Observation) -> None:
    """No pair is forgotten, and none leaves the machine waiting for nothing where time must pass."""
    machine = TurnMachine(state=state, reply=1)
    machine.handle(seen, 10.0)
    if machine.state is State.TRANSCRIBING and state is not State.TRANSCRIBING:
        assert machine.deadline is not None
