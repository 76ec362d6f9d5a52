"""One conversation as arithmetic: what happens goes in, item by item, and what is to be done comes out.

Theory of operation. `handle(item, now)` is the only way in, `Hands` the only way out; no clock is read and nothing is
waited for. The turn machine decides who may speak; replies make what is said; this file passes the machine's commands
on and tells it what its replies have come to. Given the same items at the same times, the same calls of `Hands` follow:
that is what a replay is. `now` is in seconds since the conversation began.

Two numbers keep the past out: an item of a reply that is not alive is void, and so is one of an earlier round.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

import msgspec

from antiphon.protocol import events as ev
from antiphon.protocol.server import EventIds, error_code
from antiphon.record.transcript import Transcript
from antiphon.turns import observations as ob
from antiphon.turns.machine import State, TurnMachine

from . import items as it
from .hands import Hands
from .reply import Reply
from .settings import Settings
from .waterfall import Waterfall

MUTE = ob.Closed(1002, "the agent lost its voice", "tts_cascade_error")

WATCH = 5.0
"Seconds between two looks at whether the machine and the replies agree."


@dataclass(frozen=True, slots=True)
class Ending:
    """How a conversation ended, for the door to close with."""

    close_code: int
    reason: str
    error_type: str | None = None


class Dialogue:
    """Hand in items; come back at `deadline` with a Tick; it is over when there is an `ending`."""

    def __init__(self, settings: Settings, *, hands: Hands, transcript: Transcript) -> None:
        self.ending: Ending | None = None
        self.deadline: float | None = None
        "When to hand in a Tick, if nothing else happens before."
        self.healed = 0
        "Times that the watchdog found the machine waiting for a reply that was not there."
        self._settings = settings
        self._hands = hands
        self._transcript = transcript
        self._ids = EventIds()
        self._machine = TurnMachine(settings.policy)
        self._seen: deque[ob.Observation] = deque()
        "Of our own making, not told to the machine yet."
        self._reply: Reply | None = None
        "The live one."
        self._prepared: Reply | None = None
        "A secret one."
        self._cut: dict[int, str] = {}
        "Number of the newest reply that was interrupted -> what of it was not heard."
        self._waterfall = Waterfall()
        self._breaking = False
        "The last words are those for what is broken."
        self._watch_at: float | None = None

    @property
    def state(self) -> State:
        """Whose turn it is."""
        return self._machine.state

    @property
    def held(self) -> bool:
        """Somebody speaks over the reply, and whether that interrupts it is not decided."""
        return self._machine.held

    @property
    def ids(self) -> EventIds:
        """For events that come from elsewhere: scores, partial transcripts."""
        return self._ids

    def begin(self, now: float) -> None:
        """The conversation begins."""
        self._take(ob.Opened(greets=bool(self._settings.lines.first_message)), now)
        self._settle(now)

    def handle(self, item: it.Item, now: float) -> None:
        """Something has happened."""
        if self.ending is not None:
            return
        match item:
            case ob.Tick():
                self._tick(now)
            case it.Spoken() | it.SpeechOver() | it.Thought() | it.ThoughtsOver() | it.ToolDone() | it.Switched():
                self._hand_on(item, now)
            case it.Announced(event=event):
                self._announced(event)
            case it.Composed(reply=number, text=text):
                if self._reply is not None and self._reply.number == number:
                    self._reply.fill(text, now)
            case it.UtteranceEnded(speech_ended=speech_ended):
                self._waterfall.speech_ended = speech_ended
            case ob.Closed(goodbye=True):
                self._breaking = bool(self._settings.lines.goodbye) and self._settings.output_format is not None
                self._take(item if self._breaking else msgspec.structs.replace(item, goodbye=False), now)
            case ob.Partial(text=text):
                self._take(item, now)
                if self._settings.shows_partials and text:
                    self._hands.emit(ev.TentativeUserTranscript(text=text, event_id=self._ids.next()))
            case it.Drained():
                if self._reply is not None:
                    self._reply.drained()
            case ev.Event() | ev.UserAudio() | ev.UnknownEvent():
                self._told(item, now)
            case _:
                self._take(item, now)
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Until nothing follows from what has happened."""
        while True:
            while self._seen and self.ending is None:
                self._take(self._seen.popleft(), now)
            if self._reply is None or self.ending is not None:
                break
            self._reply.advance(now)
            if not self._seen:
                break
        agents_turn = self._machine.state in (State.THINKING, State.AGENT_SPEAKING) and self.ending is None
        if not agents_turn:
            self._watch_at = None
        elif self._watch_at is None:
            self._watch_at = now + WATCH
        times = (
            self._machine.deadline,
            None if self._reply is None else self._reply.deadline,
            self._watch_at,
        )
        self.deadline = min((time for time in times if time is not None), default=None)

    # -------------------------------------------------------------------------------------------------- what happens

    def _take(self, seen: ob.Observation, now: float) -> None:
        self._hands.saw(seen)
        for command in self._machine.handle(seen, now):
            self._perform(command, now)

    def _tick(self, now: float) -> None:
        deadline = self._machine.deadline
        if deadline is not None and now >= deadline:
            self._take(ob.Tick(), now)
        if self._watch_at is not None and now >= self._watch_at:
            self._watch(now)

    def _watch(self, now: float) -> None:
        """The machine waits for a reply: is there one?"""
        self._watch_at = now + WATCH
        reply = self._reply
        if reply is None or reply.over or reply.number != self._machine.reply:
            self.healed += 1
            self._take(ob.ReplyOver(self._machine.reply), now)
        elif reply.stuck(now):
            self.healed += 1
            reply.settle(now)
            self._take(ob.ReplyOver(reply.number), now)

    def _hand_on(
        self,
        item: it.Spoken | it.SpeechOver | it.Thought | it.ThoughtsOver | it.ToolDone | it.Switched,
        now: float,
    ) -> None:
        """To the reply it belongs to, if that is alive."""
        reply = next((r for r in (self._reply, self._prepared) if r is not None and r.number == item.reply), None)
        if isinstance(item, it.Switched):
            self._switched(item, now)
        if reply is None or reply.over:
            return
        match item:
            case it.Thought():
                reply.thought(item.round, item.thought, now)
            case it.ThoughtsOver():
                reply.thoughts_over(item.round, item.error, now)
            case it.Spoken():
                reply.spoken(item.clause, item.speech, now)
            case it.SpeechOver():
                if not reply.speech_over(item.clause, item.error) and reply is self._reply:
                    self._take(MUTE, now)
            case it.ToolDone():
                reply.tool_done(item.call_id, item.outcome, now)
            case it.Switched():
                reply.switched(self._settings, now)

    def _switched(self, item: it.Switched, now: float) -> None:
        """Another language, another agent: what follows goes by its settings."""
        if item.settings is not None:
            self._settings = item.settings
            self._machine.policy = item.settings.policy
        if item.transferred:
            self._take(ob.Transferred(item.greets and item.settings is not None), now)

    def _announced(self, event: ev.ServerEvent) -> None:
        if "event_id" in event.__struct_fields__:
            event = msgspec.structs.replace(event, event_id=self._ids.next())
        self._hands.emit(event)

    def _told(self, event: ev.ClientEvent, now: float) -> None:
        """A message of the client that is no sound."""
        match event:
            case ev.UserMessage(text=str() as text) | ev.MultimodalMessage(text=str() as text) if text.strip():
                self._take(ob.Typed(text), now)
            case ev.UserActivity() | ev.UserMessage() | ev.MultimodalMessage():
                self._take(ob.Active(), now)
            case ev.ContextualUpdate():
                self._transcript.apply(event)
            case ev.ClientToolResult() | ev.McpToolApprovalResult():
                self._hands.resolve(event)
            case _:
                pass  # journaled, and of no consequence for the conversation

    # ------------------------------------------------------------------------------------------------------ commands

    def _perform(self, command: ob.Command, now: float) -> None:
        lines = self._settings.lines
        match command:
            case ob.Greet(reply=number):
                self._start(number, now, lines.first_message)
            case ob.Answer(reply=number, text=text, typed=typed):
                self._answer(number, text, typed, now)
            case ob.Reengage(reply=number):
                self._start(number, now, None)
            case ob.Reprompt(reply=number):
                self._waterfall.mark("stt", now)
                self._start(number, now, lines.reprompt)
            case ob.Resume(reply=number, interrupted=interrupted):
                self._resume(number, self._cut.get(interrupted), now)
            case ob.Apologise(reply=number):
                self._start(number, now, lines.apology)
            case ob.Farewell(reply=number):
                self._start(number, now, lines.goodbye if self._breaking else lines.farewell)
            case ob.Prepare(reply=number, text=text):
                self._prepared = self._make(number, now, prepared_for=text)
                self._prepared.think()
            case ob.Abandon():
                self._abandon(now)
            case ob.Hold(reply=number) | ob.Release(reply=number):
                if self._reply is not None and self._reply.number == number:
                    self._reply.held = isinstance(command, ob.Hold)
            case ob.Fill():
                self._fill(command, now)
            case ob.Judge(pause=pause):
                self._hands.judge(pause)
            case ob.EndUtterance(utterance=utterance):
                self._waterfall = Waterfall(endpointing=now)
                self._hands.end_utterance(utterance)
            case ob.DiscardUtterance():
                self._hands.discard_utterance()
            case ob.Interrupt():
                self._interrupt(now)
            case ob.HangUp():
                self._hang_up(command, now)

    def _answer(self, number: int, text: str, typed: str, now: float) -> None:
        if text:
            self._waterfall.mark("stt", now)
            self._hands.emit(ev.UserTranscript(text=text, event_id=self._ids.next()))
        if typed:
            self._waterfall = Waterfall(speech_ended=now)
            self._transcript.apply(ev.UserMessage(text=typed))
        if self._prepared is not None and self._prepared.number == number:
            self._reply, self._prepared = self._prepared, None
            waterfall, self._waterfall = self._waterfall, Waterfall()
            self._reply.commit(waterfall, now)
        else:
            self._start(number, now, None)

    def _make(self, number: int, now: float, prepared_for: str | None = None) -> Reply:
        waterfall = Waterfall()
        if prepared_for is None:
            waterfall, self._waterfall = self._waterfall, waterfall
        return Reply(
            number,
            settings=self._settings,
            hands=self._hands,
            ids=self._ids,
            observe=self._seen.append,
            waterfall=waterfall,
            now=now,
            prepared_for=prepared_for,
        )

    def _start(self, number: int, now: float, text: str | None) -> None:
        self._reply = self._make(number, now)
        if text is None:
            self._reply.think()
        else:
            self._reply.recite(text, now)

    def _resume(self, number: int, rest: str | None, now: float) -> None:
        if rest == "":
            self._seen.append(ob.ReplyOver(number))  # all of it had been heard
        else:
            self._start(number, now, rest)

    def _abandon(self, now: float) -> None:
        if self._prepared is not None:
            self._prepared.settle(now)
            self._prepared = None

    def _fill(self, command: ob.Fill, now: float) -> None:
        if self._reply is None or self._reply.number != command.reply:
            return
        lines = self._settings.lines
        soft = command.cause == "soft_timeout"
        texts = lines.soft_timeouts if soft else lines.fillers
        if soft and lines.shuffles:
            texts = random.Random(command.reply).sample(texts, len(texts))
        text = texts[min(command.number, len(texts) - 1)] if texts else ""
        if soft and lines.composes:
            self._hands.compose(command.reply, text)
        else:
            self._reply.fill(text, now)

    def _interrupt(self, now: float) -> None:
        if self._reply is None:
            return
        reply, self._reply = self._reply, None
        rest = reply.unheard(now)
        reply.settle(now)
        self._cut = {reply.number: rest}

    def _hang_up(self, command: ob.HangUp, now: float) -> None:
        self._abandon(now)
        if self._reply is not None:
            self._hands.drop(self._reply.number)
        if command.error_type is not None:
            code = error_code(command.close_code)
            self._hands.emit(ev.ErrorEvent(code=code, message=command.reason, error_type=command.error_type))
        self.ending = Ending(command.close_code, command.reason, command.error_type)
