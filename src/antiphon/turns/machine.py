"""Who may speak: a pure state machine over observations and time.

Theory of operation. The machine reads no clock, awaits nothing and knows no engine. `handle(observation, now)` returns
the commands to carry out, in order; `deadline` says when to come back with a Tick if nothing is seen before. `now` is
in seconds on one monotonic clock.

    state            whose turn                       leaves it by
    WAITING          the user's; silence              speech, a typed message, the turn timeout
    USER_SPEAKING    the user's                       a pause
    USER_PAUSED      the user's; maybe over           more speech, or silence long enough
    TRANSCRIBING     over; its text is not there yet  the text, more speech, the transcript timeout
    THINKING         the agent's; no sound yet        first sound, a barge-in, its end
    AGENT_SPEAKING   the agent's                      its end, a barge-in
    ENDED            nobody's

1. What decides lies here; what waits lies in session/.
2. Replies are numbered, and the numbers only grow; at most one is alive. An observation about any reply but the newest
   is void: it was under way when the reply was cancelled. So are utterances and pauses: the text of an utterance that
   was discarded is void, and so is the verdict about a pause that is over.
3. A pause is judged by the audio that was received (`Silence`), and by the clock when the audio has stopped coming
   (`Stalled`): see endpointing.py. How long it must be to end the turn follows from the words so far, from what the
   agent asked for and from the turn detector's verdict, and is weighed again whenever one of them changes.
4. Whoever speaks over a reply makes it *held* at once: no more of its sound leaves. What the speech was then decides:
   a cough or a backchannel and the same reply goes on (`Release`), anything else and it is cut off (`Interrupt`).

       SpeechStarted -> held -> shorter than `cough`, without words                       -> Release, forgotten
                             -> shorter than `barge_in_delay`: its text is waited for     -> Release or Interrupt
                             -> a word that is no backchannel, or `barge_in_delay` long   -> Interrupt
                             -> backchannels, up to `backchannel_limit` long              -> as its text says

   An interruption that turns out to have been none is made good: the rest is said as a new reply (`Resume`).
5. What is said or typed while the reply may not be interrupted is no barge-in. It is forgotten, or kept for the user's
   next turn (`transcribe_when_locked`; typed messages always); what goes on when the reply is over is the user's turn.
6. An answer may be prepared in a pause. Its number is used up, whether it is let out or abandoned.
7. Nothing waits for ever: whatever is held, paused or being transcribed has a deadline, even if no more audio comes.

Three alarms: `_alarm` is what the present state waits for (in the agent's turn: what the speech over it waits for),
`_filler_at` the soft timeout, `_end_at` the end of the conversation.
"""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from . import observations as ob
from .backchannels import is_backchannel, may_become_backchannel
from .completeness import Completeness, completeness

NEVER = math.inf
AUDIO_OVERDUE = 3.0
"Seconds after which a pause is judged by the clock although nobody said that the audio had stopped coming."
_MAX_DURATION = ob.HangUp(1000, "maximum duration reached", "max_duration_exceeded")
_WORD = re.compile(r"\w+")


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

    language: str = "en"
    "Of the user's words."
    # When the user's turn is over.
    endpoint_delay: float = 0.5
    "Silence after which the user's turn is over, where nothing is known about it..."
    finished_delay: float = 0.4
    "...after words that are a whole answer..."
    unfinished_delay: float = 1.2
    "...after words that break off, or that the turn detector takes for unfinished..."
    dictation_delay: float = 1.5
    "...within a number, a spelling or an address..."
    judged_delay: float = 0.3
    "...and at most that long where the turn detector takes the turn for over."
    spelling_patience: bool = True
    "Whether dictation is waited for (`turn.spelling_patience`)."
    fixed_silence: bool = False
    "Neither words nor the turn detector count, only `endpoint_delay` (`turn.mode` = silence)."
    judges: bool = False
    "There is a turn detector to ask."
    transcript_timeout: float = 8.0
    "How long to wait for speech-to-text before asking the user again."
    held_limit: float = 1.5
    "The same while the reply is held: silence is worse than a backchannel talked over."
    reprompt_after: float = 0.4
    "Speech at least that long deserves an answer even if nothing was understood."
    # Preparing an answer before that is certain.
    speculative: bool = False
    "`turn.speculative_turn`."
    prepare_after: float = 0.15
    "Silence after which an answer is prepared."
    max_preparations: int = 3
    "Answers prepared in one turn, at most."
    # Speech over the agent.
    cough: float = 0.2
    "Speech over the agent that was shorter, and of which no word was understood, means nothing."
    word_delay: float = 0.2
    "Speech over the agent after which a word that is no backchannel takes the floor: earlier ones are guesses."
    barge_in_delay: float = 0.4
    "Speech over the agent, in audio time, after which the agent yields whatever it may be."
    backchannel_limit: float = 1.2
    "The same while nothing but backchannels has been understood of it."
    short_endpoint: float = 0.3
    "Silence after which speech shorter than that is over."
    ignore_terms: frozenset[str] = frozenset()
    "The agent's own backchannels, casefolded (`turn.interruption_ignore_terms`)."
    default_backchannels: bool = True
    "Whether the language's own count."
    backchannel_languages: tuple[str, ...] = ()
    "Whose backchannels count; empty: those of `language`."
    interruptible: bool = True
    "Whether the user may barge in at all (the agent lists `interruption` in its `client_events`)."
    first_message_interruptible: bool = True
    "`agent.disable_first_message_interruptions`, turned round."
    transcribe_when_locked: bool = False
    "Keep what is said over a reply that may not be interrupted (`turn.transcribe_on_disabled_interruptions`)."
    # Silence.
    turn_timeout: float | None = 7.0
    "Silence after which the agent speaks again (`turn.turn_timeout`)."
    initial_wait_time: float | None = None
    "The same before the user's first turn (`turn.initial_wait_time`); None: as `turn_timeout`."
    silence_end_call_timeout: float | None = None
    "Silence since the user was last heard after which the conversation ends."
    soft_timeout: float | None = None
    "An answer that has not begun to come after that long is bridged by a filler, and again after as long."
    max_soft_timeouts: int = 1
    "Such fillers of one reply, at most."
    soft_timeout_needs_user: bool = False
    "None before the user's first turn (`disable_until_first_user_message`)."
    max_quiet_fills: int = 4
    "A reply that leaves the user without sound more often than that, with nothing new from the model, is given up."
    # The end.
    max_duration: float | None = 600.0
    "Length of the conversation (`conversation.max_duration_seconds`)."
    farewell: bool = False
    "The agent has something to say then (`agent.max_conversation_duration_message`)..."
    farewell_limit: float = 15.0
    "...and that long to say it."


_Reply: TypeAlias = ob.Greet | ob.Answer | ob.Reengage | ob.Reprompt | ob.Resume | ob.Apologise | ob.Farewell
"Commands that begin a reply."
_OWED = (ob.Answer, ob.Reengage, ob.Reprompt, ob.Resume)
"Replies whose failure is apologised for: the user waits for them."
_THOUGHT_UP = (ob.Answer, ob.Reengage)
"Replies that the language model is asked for: its soft timeout counts."


@dataclass(slots=True)
class TurnMachine:
    """Observations in, commands out."""

    policy: TurnPolicy = field(default_factory=TurnPolicy)
    "May be replaced at any time; what is under way is judged by the new one."
    state: State = State.WAITING
    reply: int = 0
    "Number of the newest reply, from 1, prepared ones included."
    user_speaking: bool = False
    "The user makes sound right now, in whatever state."
    held: bool = False
    "The newest reply is held: Hold has been asked for, and neither Release nor Interrupt yet."
    _alarm: float = NEVER
    _filler_at: float = NEVER
    _ending: ob.HangUp = _MAX_DURATION
    "How the conversation ends behind a farewell."
    _end_at: float = NEVER
    _opened_at: float = 0.0
    # The user's turn.
    _utterance: int = 0
    "Number of the newest utterance that was ended."
    _void: int = 0
    "The text of utterances up to this one has come, or no longer matters."
    _words: tuple[str, ...] = ()
    "What the user said in this turn, utterance by utterance."
    _typed: tuple[str, ...] = ()
    "What they wrote besides."
    _partial: str = ""
    "What has been understood of the utterance under way."
    _meant: bool = False
    "A word of it is no backchannel."
    _speech: float = 0.0
    "Seconds of speech in the utterances that are not settled, but for the speech under way."
    _onset: float = 0.0
    "When the speech under way began, on the clock."
    _pausing: bool = False
    "A pause after speech goes on, and what it means is not decided."
    _quiet: float = 0.0
    "Its length, in audio time..."
    _quiet_at: float = 0.0
    "...as it was told then."
    _stalled: bool = False
    "No more audio comes: the clock counts."
    _delay: float = 0.0
    "How long the pause must be to mean something."
    _pause: int = 0
    "Number of the newest pause of a user's turn."
    _verdict: float | None = None
    "The turn detector's, about that pause."
    _expects: ob.Expectation = ob.Expectation.ANYTHING
    _user_heard_at: float = 0.0
    "When the user last did anything."
    _had_user_turn: bool = False
    _cut_off: State | None = None
    "In which state the newest reply was cut off by the turn under way; THINKING also if it failed meanwhile."
    _resumable: bool = False
    "Something of it is left to say."
    _cut_number: int = 0
    "That reply's number."
    # The agent's turn.
    _kind: type[object] = ob.Greet
    "The command that began the newest reply."
    _thought: bool = False
    "Its words have begun to come."
    _locked: bool = False
    "A tool runs that must not be interrupted."
    _fills: int = 0
    "Fillers of this reply so far, of either cause; next, those of each that count against its limit."
    _soft_fills: int = 0
    _quiet_fills: int = 0
    _skipping: bool = False
    "The agent stays silent until the user takes a turn."
    _prepared: int = 0
    "Number of the reply that is prepared; 0: none."
    _prepared_for: tuple[str, ...] = ()
    _preparations: int = 0
    "In this turn of the user."

    @property
    def deadline(self) -> float | None:
        """When to hand in a Tick, if nothing else happens before; None: never."""
        deadline = min(self._alarm, self._filler_at, self._end_at)
        return None if deadline == NEVER else deadline

    @property
    def newest_utterance(self) -> int:
        """Number of the utterance that was ended last; 0: none."""
        return self._utterance

    @property
    def newest_pause(self) -> int:
        """Number of the user's pause that Judge was, or would have been, asked about last; 0: none."""
        return self._pause

    def handle(self, seen: ob.Observation, now: float) -> list[ob.Command]:
        """One observation at `now` -> what to do, in order."""
        if self.state is State.ENDED:
            return []
        match seen:
            case ob.Silence():
                return self._silence(seen.seconds, now, stalled=False)
            case ob.Speaking():
                return self._speaking(seen.seconds, now)
            case ob.Partial():
                return self._guessed(seen.text.strip(), now)
            case ob.Tick():
                return self._tick(now)
            case ob.SpeechStarted():
                return self._speech_started(now)
            case ob.SpeechStopped():
                return self._speech_stopped(seen.speech, now)
            case ob.Stalled():
                return self._silence(seen.seconds, now, stalled=True)
            case ob.TurnJudged():
                return self._judged(seen, now)
            case ob.Heard():
                return self._heard(seen, now)
            case ob.Typed():
                return self._type(seen.text, now)
            case ob.Active():
                return self._active(now)
            case ob.ReplyThought():
                return self._reply_thought(seen.reply)
            case ob.ReplyAudible():
                return self._reply_audible(seen.reply)
            case ob.ReplyQuiet():
                return self._reply_quiet(seen.reply, now)
            case ob.ReplyLocked():
                return self._reply_locked(seen, now)
            case ob.ReplyOver() | ob.ReplyFailed():
                return self._reply_over(seen, now)
            case ob.Opened():
                return self._open(seen, now)
            case ob.Transferred():
                return self._transferred(seen, now)
            case ob.Closed(goodbye=True):
                return self._say_goodbye(seen, now)
            case ob.Closed():
                return self._hang_up(seen.close_code, seen.reason, seen.error_type)

    # ----------------------------------------------------------------------------------------- the user's sound

    def _speech_started(self, now: float) -> list[ob.Command]:
        self.user_speaking, self._pausing = True, False
        self._user_heard_at = self._onset = now
        if self._agents_turn:
            return self._hold(now) if self._may_be_interrupted() else []
        self._go(State.USER_SPEAKING)
        return self._abandon()

    def _speaking(self, seconds: float, now: float) -> list[ob.Command]:
        self._onset = now - seconds
        return self._weigh_speech(seconds, now) if self.held else []

    def _speech_stopped(self, seconds: float, now: float) -> list[ob.Command]:
        self.user_speaking, self._user_heard_at = False, now
        if self.state is State.TRANSCRIBING:  # a typed message cut it short
            return [ob.DiscardUtterance()]
        if self.state is State.WAITING:
            return []
        self._speech += seconds
        self._pausing, self._stalled, self._quiet, self._quiet_at = True, False, 0.0, now
        if self.state is State.USER_SPEAKING:
            return self._user_pauses(now)
        if self.held and self._long_enough(seconds):  # all of it came at once
            return self._barge_in(now)
        self._delay = self.policy.short_endpoint if self.held else self._endpoint_delay()
        self._await_silence()
        return []

    def _silence(self, seconds: float, now: float, *, stalled: bool) -> list[ob.Command]:
        if self.user_speaking:
            if self.held:  # whether it was a cough shows when the sound goes on, or stops
                self._alarm = now + AUDIO_OVERDUE
            return []
        if not self._pausing:
            return []
        self._quiet, self._quiet_at, self._stalled = seconds, now, stalled
        return self._pause_goes_on(now)

    def _guessed(self, text: str, now: float) -> list[ob.Command]:
        if text == self._partial or not (self.user_speaking or self._pausing):
            return []  # nothing new, or late: about an utterance that is over
        self._partial, self._meant = text, bool(text) and not self._may_become_backchannel(text)
        if self.state is State.USER_PAUSED:
            return self._weigh_pause(now)
        if not self.held:
            return []
        if self.user_speaking:
            return self._weigh_speech(now - self._onset, now)
        return self._barge_in(now) if self._pausing and self._meant and self._speech >= self.policy.word_delay else []

    def _heard(self, seen: ob.Heard, now: float) -> list[ob.Command]:
        if seen.utterance <= self._void:
            return []
        self._void = min(seen.utterance, self._utterance)
        if text := seen.text.strip():
            self._words += (text,)
        if self.state is State.TRANSCRIBING:
            return [] if self._awaiting else self._answer_what_was_heard(now)
        if self.state is State.USER_PAUSED:
            return self._weigh_pause(now)
        if self._agents_turn:
            return self._heard_over_the_agent(now)
        return []  # the user went on speaking: this text is the beginning of a longer turn

    # ---------------------------------------------------------------------------------------- a pause of the user

    def _user_pauses(self, now: float) -> list[ob.Command]:
        self._go(State.USER_PAUSED)
        self._pause += 1
        self._verdict = None
        commands: list[ob.Command] = []
        if self.policy.judges and not self.policy.fixed_silence:
            commands.append(ob.Judge(self._pause))
        return commands + self._weigh_pause(now)

    def _judged(self, seen: ob.TurnJudged, now: float) -> list[ob.Command]:
        if self.state is not State.USER_PAUSED or seen.pause != self._pause:
            return []
        self._verdict = seen.probability
        return self._weigh_pause(now)

    def _weigh_pause(self, now: float) -> list[ob.Command]:
        """How long the pause must be to end the turn, as it looks now."""
        self._delay = self._endpoint_delay()
        return self._pause_goes_on(now)

    def _pause_goes_on(self, now: float) -> list[ob.Command]:
        self._await_silence()
        if self._quiet >= self._delay or now >= self._alarm:
            return self._pause_is_over(now)
        return self._prepare() if self.state is State.USER_PAUSED else []

    def _await_silence(self) -> None:
        # More audio will tell that the pause has lasted long enough; if none comes, the clock must.
        missing = max(0.0, self._delay - self._quiet)
        self._alarm = self._quiet_at + missing + (0.0 if self._stalled else AUDIO_OVERDUE)

    def _pause_is_over(self, now: float) -> list[ob.Command]:
        """It has lasted as long as it must to mean something."""
        if self.state is State.USER_PAUSED:
            self._go(State.TRANSCRIBING, now + self.policy.transcript_timeout)
            return self._end_utterance()
        if not self.held:
            if self.policy.transcribe_when_locked and not self._may_be_interrupted():
                self._alarm = NEVER
                return self._end_utterance()
            return self._discard_utterance()
        self._alarm = now + min(self.policy.transcript_timeout, self.policy.held_limit)
        if self._speech >= self.policy.cough or self._meant:
            return self._end_utterance()
        if not self._awaiting:
            return self._let_go() + self._discard_utterance()
        self._forget_sound()  # what was said before the cough is on its way
        return [ob.DiscardUtterance()]

    def _endpoint_delay(self) -> float:
        policy = self.policy
        if policy.fixed_silence:
            return policy.endpoint_delay
        delay, text = policy.endpoint_delay, " ".join((*self._words, self._partial)).strip()
        expects = self._expects if policy.spelling_patience else ob.Expectation.ANYTHING
        words = completeness(text, policy.language, expects) if text else Completeness.OPEN
        if words is Completeness.FINISHED:
            delay = policy.finished_delay
        elif words is Completeness.UNFINISHED:
            delay = policy.unfinished_delay
        elif words is Completeness.DICTATING and policy.spelling_patience:
            return policy.dictation_delay  # groups of digits fall in tone, as whole sentences do
        if self._verdict is None:
            return delay
        return min(delay, policy.judged_delay) if self._verdict >= 0.5 else max(delay, policy.unfinished_delay)

    # --------------------------------------------------------------------------------------- preparing an answer

    def _prepare(self) -> list[ob.Command]:
        policy = self.policy
        if not policy.speculative or self._quiet < policy.prepare_after:
            return []
        if self._awaiting or self._typed or not self._partial:
            return self._abandon()
        text = " ".join((*self._words, self._partial))
        words = _bare(text)
        if self._prepared and words == self._prepared_for:
            return []
        commands = self._abandon()
        if self._preparations < policy.max_preparations:
            self._preparations += 1
            self.reply += 1
            self._prepared, self._prepared_for, self._thought = self.reply, words, False
            commands.append(ob.Prepare(self.reply, text))
        return commands

    def _abandon(self) -> list[ob.Command]:
        if not self._prepared:
            return []
        abandoned, self._prepared = self._prepared, 0
        return [ob.Abandon(abandoned)]

    # ------------------------------------------------------------------------------------- speech over the agent

    def _hold(self, now: float) -> list[ob.Command]:
        """Somebody speaks over the reply: decide in the end whatever comes."""
        self._alarm = now + AUDIO_OVERDUE
        if self.held:
            return []
        self.held = True
        return [ob.Hold(self.reply)]

    def _weigh_speech(self, seconds: float, now: float) -> list[ob.Command]:
        """Speech over the agent goes on, for `seconds` so far: when is it certain to be meant?"""
        # With the next piece of audio it would be certain; a large piece would make that too late.
        left = self._time_to_yield(seconds)
        self._alarm = now + left
        return self._barge_in(now) if left <= 0.0 else []

    def _time_to_yield(self, seconds: float) -> float:
        policy, heard = self.policy, self._speech + seconds
        if self._meant:
            return policy.word_delay - heard
        # Several short sounds together are no shorter than one.
        limit = policy.backchannel_limit if self._partial else policy.barge_in_delay
        return min(limit - seconds, policy.backchannel_limit - heard)

    def _long_enough(self, seconds: float) -> bool:
        """Speech over the agent has stopped after `seconds`, counted already."""
        self._speech -= seconds
        left = self._time_to_yield(seconds)
        self._speech += seconds
        return left <= 0.0

    def _barge_in(self, now: float) -> list[ob.Command]:
        commands = self._yield_floor()
        if self.user_speaking:
            self._go(State.USER_SPEAKING)
            return commands
        return commands + self._user_pauses(now)

    def _heard_over_the_agent(self, now: float) -> list[ob.Command]:
        if not self.held:
            if not self.policy.transcribe_when_locked:
                self._words = ()
            return []
        goes_on = self.user_speaking or self._pausing
        if self._words and not self._is_backchannel(" ".join(self._words)):
            return self._barge_in(now) if goes_on else self._yield_floor() + self._answer_what_was_heard(now)
        return [] if goes_on or self._awaiting else self._let_go()

    def _let_go(self) -> list[ob.Command]:
        """It meant nothing: the same reply goes on."""
        self._forget()
        if not self.held:
            return []
        self.held, self._alarm = False, NEVER
        return [ob.Release(self.reply)]

    # ------------------------------------------------------------------------------------------ the user's words

    def _end_utterance(self) -> list[ob.Command]:
        self._utterance += 1
        self._partial, self._meant, self._pausing = "", False, False
        return [ob.EndUtterance(self._utterance)]

    def _discard_utterance(self) -> list[ob.Command]:
        self._forget()
        if self._agents_turn:
            self._alarm = NEVER
        return [ob.DiscardUtterance()]

    def _forget(self) -> None:
        self._void, self._words = self._utterance, ()
        self._forget_sound()

    def _forget_sound(self) -> None:
        self._speech, self._partial, self._meant, self._pausing = 0.0, "", False, False

    def _answer_what_was_heard(self, now: float) -> list[ob.Command]:
        speech, words, typed = self._speech, " ".join(self._words), " ".join(self._typed)
        cut_off, resumable = self._cut_off, self._resumable
        self._forget()
        self._typed, self._preparations = (), 0
        if typed:
            self._had_user_turn = True
            return self._abandon() + self._think(ob.Answer(self.reply + 1, words, typed), now)
        if words and not (cut_off is not None and self._is_backchannel(words)):
            return self._answer(words, now)
        commands = self._abandon()
        if not words and speech >= self.policy.reprompt_after:
            return commands + self._think(ob.Reprompt(self.reply + 1), now)
        if cut_off is None:
            return commands + self._wait(now)
        if resumable:
            return commands + self._think(ob.Resume(self.reply + 1, self._cut_number), now)
        return commands + self._think(ob.Reengage(self.reply + 1), now)  # the turn before has no answer yet

    def _answer(self, text: str, now: float) -> list[ob.Command]:
        self._had_user_turn = True
        if self._prepared and _bare(text) == self._prepared_for:
            return self._think(ob.Answer(self._prepared, text), now)
        return self._abandon() + self._think(ob.Answer(self.reply + 1, text), now)

    # ------------------------------------------------------------------------------------ the user's other signs

    def _type(self, text: str, now: float) -> list[ob.Command]:
        """Answered at once, with what was said before it and is being transcribed; speech under way is cut short."""
        self._user_heard_at, self._had_user_turn = now, True
        if self._agents_turn and (self._locked or self._kind is ob.Farewell):
            self._typed += (text,)
            return []
        kept = self.held or not self._agents_turn or self.policy.transcribe_when_locked
        said_before = self._pausing and kept
        commands = self._yield_floor()
        self._typed += (text,)
        if said_before:
            commands += self._end_utterance()
        elif self.state is not State.TRANSCRIBING:
            self._forget_sound()
            commands.append(ob.DiscardUtterance())
        if not self._awaiting:
            return commands + self._answer_what_was_heard(now)
        if self.state is not State.TRANSCRIBING:
            self._go(State.TRANSCRIBING, now + self.policy.transcript_timeout)
        return commands

    def _active(self, now: float) -> list[ob.Command]:
        self._user_heard_at = now
        return self._wait(now) if self.state is State.WAITING else []

    # ------------------------------------------------------------------------------------------ the agent's reply

    def _reply_thought(self, reply: int) -> list[ob.Command]:
        if reply == self.reply:
            self._thought, self._filler_at, self._quiet_fills = True, NEVER, 0
        return []

    def _reply_audible(self, reply: int) -> list[ob.Command]:
        if self.state is State.THINKING and reply == self.reply:
            self.state = State.AGENT_SPEAKING
            if not self._fills:  # it is the reply itself that sounds
                self._thought, self._filler_at = True, NEVER
        return []

    def _reply_quiet(self, reply: int, now: float) -> list[ob.Command]:
        if reply != self.reply or not self._agents_turn or self.held or self.user_speaking:
            return []
        if self._quiet_fills < self.policy.max_quiet_fills or self._locked:
            self._quiet_fills += 1
            return self._fill("silence")
        if self._kind is ob.Farewell:
            return self._reach_the_end()
        if self._kind is ob.Apologise:
            return self._hang_up(1002, "the agent lost its voice", "tts_cascade_error")
        return self._yield_floor() + self._think(ob.Apologise(self.reply + 1), now)

    def _reply_locked(self, seen: ob.ReplyLocked, now: float) -> list[ob.Command]:
        if seen.reply != self.reply or not self._agents_turn:
            return []
        self._locked = seen.locked
        if not seen.locked:
            return self._hear_out(now)
        if not self.held:
            return []
        self.held, self._alarm = False, NEVER
        if self._pausing:
            self._delay = self._endpoint_delay()
            self._await_silence()
        return [ob.Release(self.reply)]

    def _hear_out(self, now: float) -> list[ob.Command]:
        """A reply that may be interrupted begins, or begins to be so, over speech that is not settled."""
        if self.held or not (self.user_speaking or self._pausing) or not self._may_be_interrupted():
            return []
        commands = self._hold(now)
        if self.user_speaking:
            return commands + self._weigh_speech(now - self._onset, now)
        self._delay = self.policy.short_endpoint
        return commands + self._pause_goes_on(now)

    def _reply_over(self, seen: ob.ReplyOver | ob.ReplyFailed, now: float) -> list[ob.Command]:
        if seen.reply != self.reply:
            return []
        if not self._agents_turn:
            if seen.reply == self._prepared:
                self._prepared = 0  # nothing came of it
            return []
        self.held = False
        self._go(State.WAITING)
        if self._kind is ob.Farewell:
            return self._reach_the_end()
        if isinstance(seen, ob.ReplyOver):
            if seen.then == "hang_up":
                return self._hang_up(1000, seen.reason or "the agent ended the call")
            self._expects, self._skipping = seen.expects, seen.then == "skip"
        owed = isinstance(seen, ob.ReplyFailed) and issubclass(self._kind, _OWED)
        return self._give_floor(now, owed=owed)

    def _give_floor(self, now: float, *, owed: bool) -> list[ob.Command]:
        """The agent's turn is over; `owed`: the user still waits for what it was to say."""
        if self.user_speaking or self._pausing or self._awaiting:
            if owed:
                self._cut_off, self._resumable = State.THINKING, False
            if self.user_speaking:
                self._go(State.USER_SPEAKING)
                return []
            if self._pausing:
                return self._user_pauses(now)
            self._go(State.TRANSCRIBING, now + self.policy.transcript_timeout)
            return []
        if self._words or self._typed:
            return self._answer_what_was_heard(now)
        if owed:
            return self._think(ob.Apologise(self.reply + 1), now)
        return self._wait(now)

    def _fill(self, cause: Literal["soft_timeout", "silence"]) -> list[ob.Command]:
        self._fills += 1
        return [ob.Fill(self.reply, cause, self._fills - 1)]

    # ------------------------------------------------------------------------------------------------- the clock

    def _tick(self, now: float) -> list[ob.Command]:
        if now >= self._end_at:
            return self._time_is_up(now)
        commands: list[ob.Command] = []
        if now >= self._filler_at:
            commands += self._soft_timeout(now)
        if now >= self._alarm:
            commands += self._alarm_goes_off(now)
        return commands

    def _alarm_goes_off(self, now: float) -> list[ob.Command]:
        if self.state is State.WAITING:
            return self._user_stays_silent(now)
        if self.state is State.TRANSCRIBING:
            return self._answer_what_was_heard(now)
        if self._pausing:
            return self._pause_is_over(now)
        if self.held:
            # Speech has lasted long enough; or the text that was to tell what it meant does not come.
            return self._barge_in(now) if self.user_speaking else self._let_go()
        self._alarm = NEVER
        return []

    def _soft_timeout(self, now: float) -> list[ob.Command]:
        soft_timeout = self.policy.soft_timeout
        if soft_timeout is None:
            self._filler_at = NEVER
            return []
        self._filler_at = now + max(soft_timeout, 0.1)
        if self.held:
            return []
        self._soft_fills += 1
        if self._soft_fills >= self.policy.max_soft_timeouts:
            self._filler_at = NEVER
        return self._fill("soft_timeout")

    def _user_stays_silent(self, now: float) -> list[ob.Command]:
        limit = self.policy.silence_end_call_timeout
        if limit is not None and now >= self._user_heard_at + limit:
            return self._hang_up(1000, "the user stayed silent")
        if self._timeout() is None:
            return self._wait(now)
        return self._think(ob.Reengage(self.reply + 1), now)

    def _time_is_up(self, now: float) -> list[ob.Command]:
        if not self.policy.farewell or (self._agents_turn and self._kind is ob.Farewell):
            return self._reach_the_end()
        return self._part(now)

    def _part(self, now: float) -> list[ob.Command]:
        """Last words, then the end."""
        commands = self._yield_floor() + self._abandon()
        self._end_at = now + self.policy.farewell_limit
        self._void, self._words, self._typed = self._utterance, (), ()
        return commands + self._think(ob.Farewell(self.reply + 1), now)

    def _say_goodbye(self, seen: ob.Closed, now: float) -> list[ob.Command]:
        parting = self._agents_turn and self._kind is ob.Farewell
        self._ending = ob.HangUp(seen.close_code, seen.reason, seen.error_type)
        return [] if parting else self._part(now)

    # ---------------------------------------------------------------------------------------- beginning and end

    def _open(self, seen: ob.Opened, now: float) -> list[ob.Command]:
        self._user_heard_at = self._opened_at = now
        self._end_at = self._end_of_conversation(now)
        return self._think(ob.Greet(self.reply + 1), now) if seen.greets else self._wait(now)

    def _transferred(self, seen: ob.Transferred, now: float) -> list[ob.Command]:
        if self._agents_turn and self._kind is ob.Farewell:
            return []
        self._end_at = self._end_of_conversation(now)
        users_turn = self.state in (State.USER_SPEAKING, State.USER_PAUSED, State.TRANSCRIBING)
        if users_turn and not seen.greets:
            return self._abandon()  # the user has the floor, and what they say the new agent will answer
        commands = self._yield_floor() + self._abandon()
        begin = ob.Greet if seen.greets else ob.Reengage
        commands += self._think(begin(self.reply + 1), now)
        if self._awaiting and not self._pausing and self._may_be_interrupted():
            commands += self._hold(now)
            self._alarm = now + min(self.policy.transcript_timeout, self.policy.held_limit)
            return commands
        return commands + self._hear_out(now)

    def _end_of_conversation(self, now: float) -> float:
        duration = self.policy.max_duration
        return NEVER if duration is None else max(now, self._opened_at + duration)

    def _reach_the_end(self) -> list[ob.Command]:
        ending = self._ending
        return self._hang_up(ending.close_code, ending.reason, ending.error_type)

    def _hang_up(self, close_code: int, reason: str, error_type: str | None = None) -> list[ob.Command]:
        commands = self._yield_floor() + self._abandon()
        self._go(State.ENDED)
        self._end_at = NEVER
        return [*commands, ob.HangUp(close_code, reason, error_type)]

    # --------------------------------------------------------------------------------------------- moving about

    @property
    def _agents_turn(self) -> bool:
        return self.state is State.AGENT_SPEAKING or self.state is State.THINKING

    @property
    def _awaiting(self) -> bool:
        """The text of an utterance is on its way."""
        return self._utterance > self._void

    def _may_be_interrupted(self) -> bool:
        if not self.policy.interruptible or self._locked or self._kind is ob.Farewell:
            return False
        return self._kind is not ob.Greet or self.policy.first_message_interruptible

    def _is_backchannel(self, text: str) -> bool:
        policy = self.policy
        languages = policy.backchannel_languages or (policy.language,)
        return any(
            is_backchannel(text, language, policy.ignore_terms, policy.default_backchannels) for language in languages
        )

    def _may_become_backchannel(self, text: str) -> bool:
        policy = self.policy
        languages = policy.backchannel_languages or (policy.language,)
        return any(
            may_become_backchannel(text, language, policy.ignore_terms, policy.default_backchannels)
            for language in languages
        )

    def _yield_floor(self) -> list[ob.Command]:
        if not self._agents_turn:
            return []
        audible = self.state is State.AGENT_SPEAKING and self._thought
        self.held, self._cut_off = False, State.AGENT_SPEAKING if audible else State.THINKING
        self._resumable, self._cut_number = audible or self._kind is ob.Resume, self.reply
        return [ob.Interrupt(self.reply)]

    def _think(self, command: _Reply, now: float) -> list[ob.Command]:
        """Begin the reply that `command` asks for."""
        kind = type(command)
        self._go(State.THINKING, now + AUDIO_OVERDUE if self._pausing else NEVER)
        self._cut_off, self._locked, self._skipping = None, False, False
        self._fills = self._soft_fills = self._quiet_fills = 0
        self._expects, self._verdict = ob.Expectation.ANYTHING, None
        prepared, self._prepared = self._prepared, 0
        self._thought = kind not in _THOUGHT_UP or (command.reply == prepared and self._thought)
        self.reply, self._kind = command.reply, kind
        soft_timeout = self.policy.soft_timeout
        allowed = self._had_user_turn or not self.policy.soft_timeout_needs_user
        if soft_timeout is not None and allowed and not self._thought and self.policy.max_soft_timeouts > 0:
            self._filler_at = now + soft_timeout
        return [command]

    def _timeout(self) -> float | None:
        if self._skipping:
            return None
        if not self._had_user_turn and self.policy.initial_wait_time is not None:
            return self.policy.initial_wait_time
        return self.policy.turn_timeout

    def _wait(self, now: float) -> list[ob.Command]:
        alarm = NEVER
        if (timeout := self._timeout()) is not None:
            alarm = now + timeout
        if (limit := self.policy.silence_end_call_timeout) is not None:
            alarm = min(alarm, max(now, self._user_heard_at + limit))
        self._go(State.WAITING, alarm)
        return []

    def _go(self, state: State, alarm: float = NEVER) -> None:
        self.state, self._alarm, self._filler_at = state, alarm, NEVER


def _bare(text: str) -> tuple[str, ...]:
    """A text's words, however they are written."""
    return tuple(_WORD.findall(text.casefold()))
