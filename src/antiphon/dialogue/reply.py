"""One reply of the agent, from its first thought to its last sound.

Theory of operation. A reply is a list of messages (a round of the language model is one, a filler is one), each with
its text and its own ledger, and two queues of clauses on their way to sound: the answer's, and the fillers', which may
step in between two pieces of the answer when that has nothing to send. `advance(now)` does whatever is due; `deadline`
says when something will be.

A *secret* reply is thought and spoken into its queues, and nothing of it is seen: no event, no sound, no tool. A *held*
reply sends no sound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

from antiphon.audio.tones import dtmf
from antiphon.engines.base import Speech, TextDelta, ToolCall, Usage
from antiphon.protocol import events as ev
from antiphon.protocol.server import EventIds
from antiphon.turns.completeness import expectation
from antiphon.turns.observations import (
    Expectation,
    Observation,
    ReplyAudible,
    ReplyFailed,
    ReplyLocked,
    ReplyOver,
    ReplyQuiet,
    ReplyThought,
)

from .clauses import ClauseSplitter
from .hands import Hands
from .outcome import EndCall, Outcome, PlayTones, SkipTurn, SwitchLanguage, Transfer
from .settings import Settings, ToolRules
from .speech import CHUNK, LEAD, Clause, Message
from .waterfall import Waterfall

MAX_ROUNDS = 8
"Times that a model may call tools within one reply: a model that never stops is stopped."
AHEAD = 8.0
"Seconds of sound that may be made before they are due: the next clause is not begun before."
MARGIN = 0.4
"Seconds before the longest silence at which it is told: a filler has to get to the client, too."
STUCK = 60.0
"Seconds without a sound, and without the fillers of a machine that forbids dead air, after which a reply is given up."
QUIET_AGAIN = 0.25
"Seconds after which a silence that goes on is told again."

_PLAIN = ToolRules()


class Reply:
    """Hand in what thinking and speaking come to; call `advance` after whatever has happened."""

    def __init__(
        self,
        number: int,
        *,
        settings: Settings,
        hands: Hands,
        ids: EventIds,
        observe: Callable[[Observation], None],
        waterfall: Waterfall,
        now: float,
        prepared_for: str | None = None,
    ) -> None:
        self.number = number
        self.over = False
        self.held = False
        self.prepared_for = prepared_for
        "The user's words that a secret reply answers; None: it is no secret."
        self._settings = settings
        self._hands = hands
        self._ids = ids
        self._observe = observe
        self._waterfall = waterfall
        self._messages: list[Message] = []
        self._splitter = ClauseSplitter()
        self._round = -1
        self._thinking = False
        self._thought = False
        self._calls: list[ToolCall] = []
        "What the model asks for in this round; run when the round is complete."
        self._running: dict[str, ToolCall] = {}
        "Calls that the next round waits for."
        self._locking: set[str] = set()
        self._locked_turn = False
        self._switching = False
        self._clauses: deque[Clause] = deque()
        self._fillers: deque[Clause] = deque()
        self._filling = False
        "A filler is being sent."
        self._numbers = 0
        self._sent = 0
        self._waits_for_room = False
        self._ends_at = 0.0
        "When everything sent so far has sounded."
        self._quiet_since = now
        self._quiet_told = now
        self._reported = False
        self._then: Literal["wait", "skip", "hang_up"] = "wait"
        self._reason = ""
        self._transfer: Transfer | None = None

    # ------------------------------------------------------------------------------------------------ beginning

    def recite(self, text: str, now: float) -> None:
        """Say `text`."""
        self._begin_message()
        self._write(text, now)
        self._complete(now)

    def think(self) -> None:
        """Ask the language model."""
        self._round += 1
        self._thinking = True
        self._begin_message()
        self._hands.think(self.number, self._round, self.prepared_for)

    def commit(self, waterfall: Waterfall, now: float) -> None:
        """It is no secret any more."""
        self.prepared_for = None
        for stage in ("llm", "clause", "tts"):
            at: float | None = getattr(self._waterfall, stage)
            if at is not None:
                waterfall.mark(stage, at)
        self._waterfall = waterfall
        self._quiet_since = self._quiet_told = now
        for message in self._messages:
            self._show(message, now)
        if self._thought:
            self._observe(ReplyThought(self.number))

    # ------------------------------------------------------------------------------------------------- thinking

    def thought(self, round_number: int, thought: TextDelta | ToolCall | Usage, now: float) -> None:
        """The model goes on."""
        if round_number != self._round or not self._thinking:
            return
        match thought:
            case TextDelta(text=text):
                if not self._thought:
                    self._thought = True
                    if self.prepared_for is None:
                        self._observe(ReplyThought(self.number))
                self._waterfall.mark("llm", now)
                self._write(text, now)
            case ToolCall():
                self._calls.append(thought)
            case Usage():
                pass

    def thoughts_over(self, round_number: int, error: str | None, now: float) -> None:
        """The model has ended, or failed: then what had come is said, or else the apology."""
        if round_number != self._round or not self._thinking:
            return
        self._thinking = False
        message = self._answer()
        self._complete(now)
        if error is not None:
            self._calls.clear()
            if not message.text.strip():
                self.recite(self._settings.lines.apology, now)
        elif not self._calls and not any(m.text.strip() for m in self._messages if not m.filler):
            self.recite(self._settings.lines.apology, now)

    def _answer(self) -> Message:
        """The newest message that is no filler."""
        return next(message for message in reversed(self._messages) if not message.filler)

    def _begin_message(self) -> None:
        self._messages.append(Message())
        self._splitter = ClauseSplitter()

    def _write(self, text: str, now: float) -> None:
        message = self._answer()
        message.write(text)
        self._show(message, now)
        self._speak(message, self._splitter.push(text), now)

    def _complete(self, now: float) -> None:
        message = self._answer()
        message.complete = True
        self._show(message, now)
        self._speak(message, self._splitter.flush(), now)

    def _speak(self, message: Message, clauses: list[str], now: float) -> None:
        for text in clauses:
            self._waterfall.mark("clause", now)
            start, message.spoken = message.spoken, message.spoken + len(text)
            if self._settings.output_format is not None and text.strip():
                self._clauses.append(self._clause(text, message, start))
        self._make_next()

    def _clause(self, text: str, message: Message, start: int) -> Clause:
        assert self._settings.output_format is not None, "who speaks has a format to speak in"
        self._numbers += 1
        return Clause(self._numbers, text, message, start, self._settings.sample_rate, self._settings.output_format)

    def _make_next(self) -> None:
        """One clause is made at a time, and no more than needs be beforehand."""
        unsent = 0.0
        for clause in self._clauses:
            if not clause.begun:
                if unsent < AHEAD:
                    self._pronounce(clause)
                return
            if not clause.over:
                return
            unsent += clause.unsent

    def _pronounce(self, clause: Clause) -> None:
        clause.begun = True
        self._hands.pronounce(self.number, clause.number, clause.text)

    # ------------------------------------------------------------------------------------------------- speaking

    def spoken(self, number: int, speech: Speech, now: float) -> None:
        """A piece of a clause has been made."""
        if (clause := self._find(number)) is not None:
            if not clause.message.filler:
                self._waterfall.mark("tts", now)
            clause.add(speech)

    def speech_over(self, number: int, error: str | None) -> bool:
        """A clause has been made. False: it failed, and failed again when it was tried once more."""
        clause = self._find(number)
        if clause is None:
            return True
        if error is not None and not clause.message.filler and (rest := clause.rest()) != "":
            if clause.retried or rest is None:
                return False
            clause.retried = True
            self._hands.pronounce(self.number, clause.number, rest)
            return True
        clause.finish()
        self._make_next()
        return True

    def _find(self, number: int) -> Clause | None:
        for clause in (*self._clauses, *self._fillers):
            if clause.number == number and not clause.over:
                return clause
        return None

    def fill(self, text: str, now: float) -> None:
        """Bridge a wait: with what there is of the answer, or with `text`."""
        if self._settings.output_format is None or self._fillers:
            return
        if not self._clauses and self._thinking and (rest := self._splitter.flush()) and rest[0].strip():
            self._speak(self._answer(), rest, now)  # and if that is there sooner, the filler falls
        if not text:
            return
        message = Message(filler=True, complete=True)
        message.write(text)
        clause = self._clause(text, message, 0)
        self._fillers.append(clause)
        self._pronounce(clause)

    # ----------------------------------------------------------------------------------------------- what is due

    @property
    def deadline(self) -> float | None:
        """When `advance` will have something to do; None: only when something happens."""
        if self.over or self.prepared_for is not None:
            return None
        times: list[float] = []
        if not self.held and not self._waits_for_room and self._sendable() is not None:
            times.append(self._due())
        if self._idle():
            times.append(self._ends_at)
        elif (quiet := self._quiet_at()) is not None:
            times.append(quiet)
        if self._calls and not (self._thinking or self._running or self._clauses or self._fillers):
            times.append(self._ends_at)
        return min(times, default=None)

    def advance(self, now: float) -> None:
        """Send what may leave, run what may run, end if everything is said and heard."""
        if self.over or self.prepared_for is not None:
            return
        self._send(now)
        self._run_tools(now)
        if self._idle():
            if now >= self._ends_at:
                self._end()
        elif (quiet := self._quiet_at()) is not None and now >= quiet:
            self._quiet_told = now
            self._observe(ReplyQuiet(self.number, now - max(self._quiet_since, self._ends_at)))

    def drained(self) -> None:
        """The transport takes sound again."""
        self._waits_for_room = False

    def _idle(self) -> bool:
        return not (self._thinking or self._calls or self._running or self._switching or self._clauses or self._fillers)

    def _quiet_at(self) -> float | None:
        limit = self._settings.max_silence
        if not limit or self.held or self._settings.output_format is None or self._waits_for_room:
            return None
        return max(max(self._quiet_since, self._ends_at) + limit - MARGIN, self._quiet_told + QUIET_AGAIN)

    def _due(self) -> float:
        return self._ends_at + CHUNK - LEAD if self._sent else 0.0

    def _sendable(self) -> Clause | None:
        """The clause whose piece leaves next. A filler that has begun is said to its end; one that has not gives way to
        the answer."""
        first = not self._sent
        main = self._clauses[0] if self._clauses else None
        filler = self._fillers[0] if self._fillers else None
        order = (filler, main) if self._filling else (main, filler)
        for clause in order:
            if clause is not None and clause.ready(first=first or clause.message.filler):
                return clause
            if clause is not None and clause is filler and self._filling:
                return None
        return None

    def _send(self, now: float) -> None:
        self._settle_queues()
        if self._waits_for_room:
            return
        while not self.held and (clause := self._sendable()) is not None and now >= self._due():
            if not self._hands.room():
                self._waits_for_room = True
                return
            self._send_piece(clause, now)
            self._settle_queues()

    def _settle_queues(self) -> None:
        """Clauses that are out leave their queue; the next one is begun in time. A filler that comes too late falls."""
        while self._clauses and self._clauses[0].empty:
            self._clauses.popleft()
        if self._fillers and self._fillers[0].empty:
            self._fillers.popleft()
            self._filling = False
        if self._fillers and not self._filling and self._clauses and self._clauses[0].ready(first=not self._sent):
            self._fillers.clear()
        self._make_next()

    def _send_piece(self, clause: Clause, now: float) -> None:
        message = clause.message
        if message.filler and not self._filling:
            self._filling = True
            self._messages.insert(len(self._messages) - (0 if self._messages[-1].complete else 1), message)
            self._show(message, now)
        piece = clause.take()
        # What follows on what is still to sound needs no time to begin.
        leaves = now if now >= self._ends_at else self._ends_at - message.playback.delay
        at = message.playback.sent(piece.seconds, leaves, piece.marks)
        self._ends_at = at + piece.seconds
        self._sent += 1
        event = ev.AgentAudio(audio=piece.audio, event_id=self._ids.next(), alignment=piece.alignment)
        self._hands.play(event, at)
        if not message.filler:
            self._waterfall.mark("output", now)
        if self._sent == 1:
            self._observe(ReplyAudible(self.number))
        if not self._reported:
            self._report()

    # ---------------------------------------------------------------------------------------------------- tools

    def _run_tools(self, now: float) -> None:
        """Once the round is complete; those that wait for the agent's words, when these have been heard."""
        if not self._calls or self._thinking or self._running:
            return
        modes = [self._rules(call).execution_mode for call in self._calls]
        silent = not self._clauses and not self._fillers and now >= self._ends_at
        if "post_tool_speech" in modes and not silent:
            return
        calls, self._calls = self._calls, []
        if any(self._rules(call).pre_tool_speech == "force" for call in calls) and not self._answer().text.strip():
            self.fill(next(iter(self._settings.lines.fillers), ""), now)
        for call, mode in zip(calls, modes, strict=True):
            if mode != "async":
                self._running[call.id] = call
                self._lock(call)
            self._hands.run_tool(self.number, call)
        if not self._running:
            self._next_round(now)

    def _rules(self, call: ToolCall) -> ToolRules:
        return self._settings.tools.get(call.name, _PLAIN)

    def _lock(self, call: ToolCall) -> None:
        tool = self._rules(call)
        if tool.interruption_mode == "allow":
            return
        if not self._locking and not self._locked_turn:
            self._observe(ReplyLocked(self.number, locked=True))
        self._locking.add(call.id)
        self._locked_turn |= tool.interruption_mode == "disable_during_tool_and_turn"

    def tool_done(self, call_id: str, outcome: Outcome, now: float) -> None:
        """A call has come to something."""
        if self._running.pop(call_id, None) is None:
            return
        if call_id in self._locking:
            self._locking.discard(call_id)
            if not self._locking and not self._locked_turn:
                self._observe(ReplyLocked(self.number, locked=False))
        match outcome.action:
            case None:
                pass
            case EndCall(reason=reason, message=message):
                self._then, self._reason = "hang_up", reason
                if message:
                    self.recite(message, now)
            case SkipTurn():
                self._then = "skip"
            case SwitchLanguage():
                self._switching = True
                self._hands.switch(self.number, outcome.action)
            case Transfer(message=message):
                self._transfer = outcome.action
                if message:
                    self.recite(message, now)
            case PlayTones(tones=tones, silent_after=silent_after):
                self._play_tones(tones)
                if silent_after:
                    self._then = "skip"
        if not self._running:
            self._next_round(now)

    def _play_tones(self, tones: str) -> None:
        if self._settings.output_format is None:
            return
        clause = self._clause("#", Message(complete=True), 0)
        clause.begun = True
        clause.add(Speech(dtmf(tones, self._settings.sample_rate)))
        clause.finish()
        self._clauses.append(clause)

    def _next_round(self, now: float) -> None:
        """The model reads the results and goes on, unless the reply ends with them."""
        if self._switching or self._then != "wait" or self._transfer is not None:
            return
        if self._round + 1 >= MAX_ROUNDS:
            if not any(m.text.strip() for m in self._messages if not m.filler):
                self.recite(self._settings.lines.apology, now)
            return
        self.think()

    def switched(self, settings: Settings, now: float) -> None:
        """The language has changed, or could not be: the model goes on."""
        self._settings = settings
        self._switching = False
        if not self._running:
            self._next_round(now)

    # ------------------------------------------------------------------------------------------------ reporting

    def _show(self, message: Message, now: float) -> None:
        """Bring the client up to date with a message's text. Nothing of a secret reply is shown."""
        if self.prepared_for is not None or message.announced:
            return
        if self._settings.shows_parts and message.shown < len(message.text) and not message.filler:
            if message.event_id is None:
                message.event_id = self._ids.next()
                self._hands.emit(ev.AgentChatResponsePart(part="start", event_id=message.event_id))
            part = message.text[message.shown :]
            message.shown = len(message.text)
            self._hands.emit(ev.AgentChatResponsePart(text=part, event_id=message.event_id))
        if message.complete:
            self._announce(message, now)

    def _announce(self, message: Message, now: float) -> None:
        if message.announced:
            return
        if message.event_id is not None:
            self._hands.emit(ev.AgentChatResponsePart(part="stop", event_id=message.event_id))
        text = message.text.strip()
        if not text:
            return
        if message.event_id is None:
            message.event_id = self._ids.next()
        message.announced = True
        self._hands.emit(ev.AgentResponse(text=text, event_id=message.event_id))
        if self._settings.output_format is None:
            self._waterfall.mark("output", now)
        self._report()

    def _report(self) -> None:
        """The waterfall goes out once the first message is announced and its first sound has left."""
        stamps = self._waterfall
        if self._reported or stamps.output is None or stamps.speech_ended is None:
            return  # also where nobody waited: a greeting answers nothing
        event_id = next((m.event_id for m in self._messages if m.announced and not m.filler), None)
        if event_id is None:
            return
        self._reported = True
        self._hands.emit(
            ev.TurnWaterfall(
                event_id=event_id,
                stages=stamps.stages(),
                user_speech_ended_at=stamps.speech_ended,
                first_audio_at=stamps.output,
            )
        )

    # ----------------------------------------------------------------------------------------------- the end

    def _end(self) -> None:
        self.over = True
        said = [message for message in self._messages if message.announced and message.event_id is not None]
        for message in said:
            assert message.event_id is not None, "what is announced has an id"
            self._hands.emit(ev.AgentResponseComplete(event_id=message.event_id))
        if self._transfer is not None:
            self._hands.switch(self.number, self._transfer)
            self._observe(ReplyOver(self.number, then="skip"))
        elif said or self._then != "wait" or self._sent:
            self._observe(ReplyOver(self.number, self._then, self._reason, self._expects()))
        else:
            self._observe(ReplyFailed(self.number))

    def stuck(self, now: float) -> bool:
        """It is not over, and nothing has come of it for so long that nothing will."""
        return now - max(self._quiet_since, self._ends_at) > STUCK and not (self._running or self._waits_for_room)

    def _expects(self) -> Expectation:
        text = next((m.text for m in reversed(self._messages) if m.announced and not m.filler), "")
        return expectation(text, self._settings.parameters, self._settings.language)

    def settle(self, now: float) -> None:
        """The reply is cut off at `now`: say so, and what of it was heard. Nothing was said: nothing happened.

        In the order that clients need (protocol.md 1.5): the text so far, the interruption, the corrections.
        """
        if self.over:
            return
        self.over = True
        self._hands.drop(self.number)
        if self.prepared_for is not None or not any(message.text.strip() for message in self._messages):
            return
        for message in self._messages:
            self._announce(message, now)
        self._hands.emit(ev.Interruption(event_id=self._ids.next()))
        self._hands.hush(now)
        for message in self._messages:
            if not message.announced or message.event_id is None:
                continue
            original = message.text.strip()
            corrected = self._heard(message, now).strip()
            if corrected != original:
                self._hands.emit(
                    ev.AgentResponseCorrection(original=original, corrected=corrected, event_id=message.event_id)
                )

    def _heard(self, message: Message, now: float) -> str:
        if self._settings.output_format is None:
            return message.text
        return message.text[: message.playback.heard(now)]

    def unheard(self, now: float) -> str:
        """What the user has not heard of the answer by `now`."""
        parts = [m.text[len(self._heard(m, now)) :].strip() for m in self._messages if not m.filler]
        return " ".join(part for part in parts if part)
