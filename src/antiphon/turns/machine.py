"""Who may speak: a pure state machine over observations and time.

Theory of operation. The machine reads no clock, awaits nothing and knows no engine. `handle(observation, now)` returns
the commands to carry out, in order; `deadline` says when to come back with a Tick if nothing is seen before. `now` is
in seconds on one monotonic clock.

Three rules:
1. What decides lies here; what waits lies in session/.
2. Replies are numbered. An observation about any reply but the newest is void: it was under way when the reply was
   cancelled. So are utterances: the text of one that was discarded is void.
3. A pause is judged by the audio that was received (`Silence`), and by the clock only when the audio has stopped coming
   (`Stalled`): see endpointing.py.

    state            whose turn                       leaves it by
    WAITING          the user's; silence              speech, a typed message, the turn timeout
    USER_SPEAKING    the user's                       a pause
    USER_PAUSED      the user's; maybe over           more speech, or silence long enough
    TRANSCRIBING     over; its text is not there yet  the text, more speech, the transcript timeout
    THINKING         the agent's; no sound yet        first sound, the user speaking again
    AGENT_SPEAKING   the agent's                      its end, a barge-in
    ENDED            nobody's
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from . import observations as ob


class State(enum.StrEnum):
    """Whose turn it is, and how sure that is."""

    WAITING = enum.auto()
    USER_SPEAKING = enum.auto()
    USER_PAUSED = enum.auto()
    TRANSCRIBING = enum.auto()
    THINKING = enum.auto()
    AGENT_SPEAKING = enum.auto()
    ENDED = enum.auto()


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """How turns are taken. Seconds; None switches a limit off."""

    endpoint_delay: float = 0.5
    "Silence after which the user's turn is over."
    barge_in_delay: float = 0.25
    "Speech over the agent, in audio time, after which the agent yields: shorter is a cough."
    turn_timeout: float | None = 7.0
    "Silence after which the agent speaks again (`turn.turn_timeout`)."
    initial_wait_time: float | None = None
    "The same before the user's first turn (`turn.initial_wait_time`); None: as `turn_timeout`."
    silence_end_call_timeout: float | None = None
    "Silence since the user was last heard after which the conversation ends."
    transcript_timeout: float = 8.0
    "How long to wait for speech-to-text before asking the user again."
    reprompt_after: float = 0.4
    "Speech at least that long, or that interrupted the agent, deserves an answer even if nothing was understood."
    max_duration: float | None = 600.0
    "Length of the conversation (`conversation.max_duration_seconds`)."
    interruptible: bool = True
    "Whether the user may barge in at all (the agent lists `interruption` in its `client_events`)."
    first_message_interruptible: bool = True
    "`agent.disable_first_message_interruptions`, turned round."


@dataclass(slots=True)
class TurnMachine:
    """Observations in, commands out."""

    policy: TurnPolicy = field(default_factory=TurnPolicy)
    state: State = State.WAITING
    reply: int = 0
    "Number of the newest reply, from 1."
    user_speaking: bool = False
    "The user makes sound right now, in whatever state."
    _alarm: float | None = None
    "When the present state runs out."
    _end: float | None = None
    "When the conversation runs out."
    _utterance: int = 0
    "Number of the newest utterance that was ended."
    _void: int = 0
    "The text of utterances up to this one no longer matters."
    _words: list[str] = field(default_factory=list)
    "What the user said in this turn, utterance by utterance."
    _speech: float = 0.0
    "Seconds of speech in the utterance under way."
    _user_heard_at: float = 0.0
    "When the user last did anything."
    _had_user_turn: bool = False
    _greeting: bool = False
    _barging_in: bool = False
    "The user began to speak during this reply, and that may interrupt it."
    _cut_off: State | None = None
    "In which state the user interrupted the newest reply."

    @property
    def deadline(self) -> float | None:
        """When to hand in a Tick, if nothing else happens before; None: never."""
        if self._alarm is None or self._end is None:
            return self._end if self._alarm is None else self._alarm
        return min(self._alarm, self._end)

    def handle(self, seen: ob.Observation, now: float) -> list[ob.Command]:
        """One observation at `now` -> what to do, in order."""
        if self.state is State.ENDED:
            return []
        match seen:
            case ob.Opened():
                return self._open(seen, now)
            case ob.SpeechStarted():
                return self._speech_started(now)
            case ob.Speaking():
                return self._speaking(seen.seconds, now)
            case ob.SpeechStopped():
                return self._speech_stopped(seen, now)
            case ob.Silence():
                return self._silence(seen.seconds, now, certain=True)
            case ob.Stalled():
                return self._silence(seen.seconds, now, certain=False)
            case ob.Heard():
                return self._heard(seen, now)
            case ob.Typed():
                return self._typed(seen.text, now)
            case ob.Active():
                return self._active(now)
            case ob.ReplyAudible():
                return self._reply_audible(seen.reply, now)
            case ob.ReplyOver() | ob.ReplyFailed():
                return self._reply_over(seen.reply, now)
            case ob.Tick():
                return self._tick(now)
            case ob.Closed():
                return self._yield_floor() + self._hang_up(seen.close_code, seen.reason, seen.error_type)

    # ----------------------------------------------------------------------------------------- the user's sound

    def _open(self, seen: ob.Opened, now: float) -> list[ob.Command]:
        self._user_heard_at = now
        self._end = None if self.policy.max_duration is None else now + self.policy.max_duration
        if seen.greets:
            self._greeting = True
            return self._think(ob.Greet)
        return self._wait(now)

    def _speech_started(self, now: float) -> list[ob.Command]:
        self.user_speaking, self._user_heard_at = True, now
        if self.state in (State.WAITING, State.USER_PAUSED, State.TRANSCRIBING):
            return self._go(State.USER_SPEAKING)
        self._barging_in = self._may_be_interrupted()
        return []

    def _speaking(self, seconds: float, now: float) -> list[ob.Command]:
        if not (self._agents_turn and self._barging_in):
            return []
        # With the next piece of audio it would be certain; a large piece would make that too late.
        self._alarm = now + self.policy.barge_in_delay - seconds
        return self._tick(now)

    def _speech_stopped(self, seen: ob.SpeechStopped, now: float) -> list[ob.Command]:
        self.user_speaking, self._user_heard_at = False, now
        self._speech += seen.speech
        if self.state is State.USER_SPEAKING:
            return self._go(State.USER_PAUSED)
        if self._agents_turn:
            if self._barging_in and seen.speech >= self.policy.barge_in_delay:  # all of it came at once
                return self._yield_floor() + self._go(State.USER_PAUSED)
            self._alarm, self._barging_in = None, False
        return []

    def _silence(self, seconds: float, now: float, *, certain: bool) -> list[ob.Command]:
        missing = self.policy.endpoint_delay - seconds
        if self.state is State.USER_PAUSED:
            if missing <= 0:
                return self._end_utterance(now)
            # No audio will tell that the pause has lasted long enough, so the clock must.
            return self._go(State.USER_PAUSED, None if certain else now + missing)
        if self._agents_turn:
            if self.user_speaking:
                self._alarm = None  # whether it was a cough shows when the sound goes on, or stops
            elif self._speech and (missing <= 0 or not certain):
                return self._discard_utterance()
        return []

    def _end_utterance(self, now: float) -> list[ob.Command]:
        self._go(State.TRANSCRIBING, now + self.policy.transcript_timeout)
        self._utterance += 1
        return [ob.EndUtterance(self._utterance)]

    def _discard_utterance(self) -> list[ob.Command]:
        self._void, self._words, self._speech = self._utterance, [], 0.0
        return [ob.DiscardUtterance()]

    def _heard(self, seen: ob.Heard, now: float) -> list[ob.Command]:
        if seen.utterance <= self._void:
            return []
        if text := seen.text.strip():
            self._words.append(text)
        if self.state is not State.TRANSCRIBING or seen.utterance != self._utterance:
            return []  # the user went on speaking: this text is the beginning of a longer turn
        return self._answer_what_was_heard(now)

    def _answer_what_was_heard(self, now: float) -> list[ob.Command]:
        speech, self._speech = self._speech, 0.0
        words, self._words = self._words, []
        self._void = self._utterance
        if words:
            self._had_user_turn = True
            return self._think(lambda reply: ob.Answer(reply, " ".join(words)))
        if speech >= self.policy.reprompt_after or self._cut_off is State.AGENT_SPEAKING:
            return self._think(ob.Reprompt)
        if self._cut_off is State.THINKING:  # the turn before is still without an answer
            return self._think(ob.Reengage)
        return self._wait(now)

    # ------------------------------------------------------------------------------------ the user's other signs

    def _typed(self, text: str, now: float) -> list[ob.Command]:
        self._user_heard_at, self._had_user_turn = now, True
        commands = self._yield_floor()
        commands += self._discard_utterance()
        return commands + self._think(lambda reply: ob.Answer(reply, text, spoken=False))

    def _active(self, now: float) -> list[ob.Command]:
        self._user_heard_at = now
        return self._wait(now) if self.state is State.WAITING else []

    # ------------------------------------------------------------------------------------------ the agent's reply

    def _reply_audible(self, reply: int, now: float) -> list[ob.Command]:
        if self.state is State.THINKING and reply == self.reply:
            self._go(State.AGENT_SPEAKING, self._alarm)
        return []

    def _reply_over(self, reply: int, now: float) -> list[ob.Command]:
        if reply != self.reply or not self._agents_turn:
            return []
        self._greeting = False
        if self.user_speaking:
            return self._go(State.USER_SPEAKING)
        if self._speech:  # they spoke, and the pause after it has not been judged yet
            return self._go(State.USER_PAUSED, now + self.policy.endpoint_delay)
        return self._wait(now)

    # ------------------------------------------------------------------------------------------------- the clock

    def _tick(self, now: float) -> list[ob.Command]:
        if self._end is not None and now >= self._end:
            return self._yield_floor() + self._hang_up(1000, "maximum duration reached", "max_duration_exceeded")
        if self._alarm is None or now < self._alarm:
            return []
        match self.state:
            case State.WAITING:
                return self._user_stays_silent(now)
            case State.USER_PAUSED:
                return self._end_utterance(now)
            case State.TRANSCRIBING:
                return self._answer_what_was_heard(now)
            case State.THINKING | State.AGENT_SPEAKING:
                return self._yield_floor() + self._go(State.USER_SPEAKING)
            case State.USER_SPEAKING | State.ENDED:
                return self._go(self.state)

    def _user_stays_silent(self, now: float) -> list[ob.Command]:
        limit = self.policy.silence_end_call_timeout
        if limit is not None and now >= self._user_heard_at + limit:
            return self._hang_up(1000, "the user stayed silent")
        if self._timeout() is None:
            return self._wait(now)
        return self._think(ob.Reengage)

    # --------------------------------------------------------------------------------------------- moving about

    @property
    def _agents_turn(self) -> bool:
        return self.state in (State.THINKING, State.AGENT_SPEAKING)

    def _may_be_interrupted(self) -> bool:
        return self.policy.interruptible and (self.policy.first_message_interruptible or not self._greeting)

    def _yield_floor(self) -> list[ob.Command]:
        if not self._agents_turn:
            return []
        self._greeting, self._cut_off = False, self.state
        return [ob.Interrupt(self.reply)]

    def _think(self, command: Callable[[int], ob.Command]) -> list[ob.Command]:
        self._go(State.THINKING)
        self._barging_in, self._cut_off = False, None
        self.reply += 1
        return [command(self.reply)]

    def _timeout(self) -> float | None:
        if not self._had_user_turn and self.policy.initial_wait_time is not None:
            return self.policy.initial_wait_time
        return self.policy.turn_timeout

    def _wait(self, now: float) -> list[ob.Command]:
        alarms: list[float] = []
        if (timeout := self._timeout()) is not None:
            alarms.append(now + timeout)
        if (limit := self.policy.silence_end_call_timeout) is not None:
            alarms.append(max(now, self._user_heard_at + limit))
        return self._go(State.WAITING, min(alarms, default=None))

    def _hang_up(self, close_code: int, reason: str, error_type: str | None = None) -> list[ob.Command]:
        self._go(State.ENDED)
        self._end = None
        return [ob.HangUp(close_code, reason, error_type)]

    def _go(self, state: State, alarm: float | None = None) -> list[ob.Command]:
        self.state, self._alarm = state, alarm
        return []
