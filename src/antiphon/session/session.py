"""One live conversation: an inbox, the turn machine, and what carries its commands out.

Everything that happens is put into the inbox; one loop takes it out, tells the machine, and performs what the machine
says. Nothing else changes the conversation's state. Children (the ears, the reply, the sender) only observe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from antiphon.audio.formats import AudioFormat
from antiphon.errors import EngineError, SessionError
from antiphon.protocol import events as ev
from antiphon.protocol.server import EventIds, error_code
from antiphon.record.journal import Journal
from antiphon.record.transcript import Transcript
from antiphon.turns import observations as ob
from antiphon.turns.machine import State, TurnMachine, TurnPolicy

from .hearing import Hearing
from .inbox import Inbox
from .outbox import Outbox
from .reply import Mind, Reply
from .speaking import Voice
from .waterfall import Waterfall

logger = logging.getLogger(__name__)

SLICE = 0.1
"Seconds of audio between two looks at the turn machine: a client may send three seconds in one message."
MAX_WAITING_AUDIO = 30.0
"Seconds of unheard audio after which the caller's newest is dropped: it would be answered much too late."
MAX_WAITING = 10_000
"Messages that may wait, however small: above it sound is dropped too, and anything else is a flood."
FAREWELL = 1.0
"Seconds that the last events get to reach the client."

DEAF = ob.Closed(1002, "the agent lost its hearing", "asr_transcription_error")
MUTE = ob.Closed(1002, "the agent lost its voice", "tts_cascade_error")
UNREAD = ob.Closed(1002, "the client reads nothing", "websocket_disconnect")
"What may end a conversation on our side."


@dataclass(frozen=True, slots=True)
class Ending:
    """How a conversation ended, for the door to close with."""

    close_code: int
    reason: str
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """The fixed sentences of an agent, in its language; None: the language model finds its own."""

    first_message: str
    reprompt: str | None


class Session:
    """One conversation. `receive` what the client says, `run` it to its end."""

    def __init__(
        self,
        *,
        policy: TurnPolicy,
        lines: Lines,
        mind: Mind,
        hearing: Hearing | None,
        voice: Voice | None,
        input_format: AudioFormat,
        outbox: Outbox,
        transcript: Transcript,
        ids: EventIds,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        self._machine = TurnMachine(policy)
        self._lines = lines
        self._mind = mind
        self._hearing = hearing
        self._voice = voice
        self._outbox = outbox
        self._transcript = transcript
        self._ids = ids
        self._journal = journal
        self._clock = clock
        self._inbox: Inbox[ev.ClientEvent | ob.Observation] = Inbox()
        self._slice = input_format.bytes_of(SLICE)
        self._most_audio = input_format.bytes_of(MAX_WAITING_AUDIO)
        self._waiting_audio = 0
        "Bytes in the inbox."
        self._dropping = False
        self._reply: Reply | None = None
        self._reply_task: asyncio.Task[None] | None = None
        self._waterfall = Waterfall()
        self._ending: Ending | None = None

    # ------------------------------------------------------------------------------------------ from the outside

    def receive(self, event: ev.ClientEvent) -> None:
        """A message of the client. Returns at once; raises SessionError when the client sends far too much."""
        if isinstance(event, ev.UserAudio):
            size = len(event.audio)
            if self._waiting_audio + size > self._most_audio or len(self._inbox) > MAX_WAITING:
                if not self._dropping:
                    logger.warning("caller's audio is dropped: it comes faster than it can be heard")
                self._dropping = True
                return
            self._dropping = False
            self._waiting_audio += size
        elif len(self._inbox) > MAX_WAITING:
            raise SessionError("too many messages at once")
        self._inbox.put(event)

    def disconnect(self) -> None:
        """The client is gone."""
        self._inbox.put(ob.Closed(1000, "the client hung up"))

    def close(self, close_code: int, reason: str, error_type: str | None = None) -> None:
        """The server wants the conversation to end."""
        self._inbox.put(ob.Closed(close_code, reason, error_type))

    async def run(self) -> Ending:
        """Hold the conversation; returns how it ended. Cancelling it ends it at once."""
        ending = Ending(1011, "internal error", "unknown_websocket_crash")
        try:
            async with asyncio.TaskGroup() as tasks:
                sender = tasks.create_task(self._deliver())
                agreed = await self._converse(tasks)
                await self._say_goodbye(agreed)
                sender.cancel()
            ending = agreed
        finally:
            self._inbox.close()
            self._journal.end(ending.close_code, ending.reason, ending.error_type)
        return ending

    # ------------------------------------------------------------------------------------------------ the loop

    async def _converse(self, tasks: asyncio.TaskGroup) -> Ending:
        try:
            async with self._ears(tasks):
                await self._observe(ob.Opened(greets=bool(self._lines.first_message)), tasks)
                while self._ending is None:
                    await self._next(tasks)
        except EngineError:
            logger.exception("the caller cannot be heard")
            await self._observe(DEAF, tasks)
        assert self._ending is not None, "only the end ends the loop"
        return self._ending

    async def _next(self, tasks: asyncio.TaskGroup) -> None:
        """Wait for whatever happens next, and act upon it."""
        item = await self._inbox.get(self._deadline())
        if item is None:
            await self._tick(tasks)
        elif isinstance(item, ev.UserAudio):
            self._waiting_audio -= len(item.audio)
            self._journal.received(item)
            await self._hear(item.audio, tasks)
        elif isinstance(item, (ev.Event, ev.UnknownEvent)):
            self._journal.received(item)
            await self._told(item, tasks)
        else:
            await self._observe(item, tasks)
        if self._outbox.overwhelmed:
            await self._observe(UNREAD, tasks)

    def _deadline(self) -> float | None:
        hearing = self._hearing.deadline if self._hearing is not None else None
        machine = self._machine.deadline
        if hearing is None or machine is None:
            return machine if hearing is None else hearing
        return min(hearing, machine)

    async def _tick(self, tasks: asyncio.TaskGroup) -> None:
        if self._hearing is not None:
            for seen in self._hearing.tick(self._clock()):
                await self._observe(seen, tasks)
        deadline = self._machine.deadline
        if deadline is not None and self._clock() >= deadline:
            await self._observe(ob.Tick(), tasks)

    async def _hear(self, audio: bytes, tasks: asyncio.TaskGroup) -> None:
        if self._hearing is None:
            return  # text only: a client may send audio all the same
        for start in range(0, len(audio), self._slice):
            for seen in self._hearing.feed(audio[start : start + self._slice], self._clock()):
                await self._observe(seen, tasks)

    async def _told(self, event: ev.ClientEvent, tasks: asyncio.TaskGroup) -> None:
        """A message of the client that is not sound."""
        match event:
            case ev.UserMessage(text=str() as text) | ev.MultimodalMessage(text=str() as text) if text.strip():
                await self._observe(ob.Typed(text), tasks)
            case ev.UserActivity() | ev.UserMessage() | ev.MultimodalMessage():
                await self._observe(ob.Active(), tasks)
            case ev.ContextualUpdate():
                self._transcript.apply(event)
            case ev.ClientToolResult():
                self._mind.tools.resolve(event)
            case _:
                pass  # journaled, and of no consequence for the conversation

    async def _observe(self, seen: ob.Observation, tasks: asyncio.TaskGroup) -> None:
        self._journal.saw(seen)
        for command in self._machine.handle(seen, self._clock()):
            await self._perform(command, tasks)

    # ------------------------------------------------------------------------------------------------- commands

    async def _perform(self, command: ob.Command, tasks: asyncio.TaskGroup) -> None:
        match command:
            case ob.Greet(reply=reply):
                self._start(tasks, reply, self._lines.first_message)
            case ob.Answer(reply=reply, text=text, spoken=spoken):
                self._user_said(text, spoken=spoken)
                self._start(tasks, reply, None)
            case ob.Reengage(reply=reply):
                self._start(tasks, reply, None)
            case ob.Reprompt(reply=reply):
                self._waterfall.mark("stt", self._clock())
                self._start(tasks, reply, self._lines.reprompt)
            case ob.EndUtterance(utterance=utterance):
                self._end_utterance(utterance)
            case ob.DiscardUtterance():
                if self._hearing is not None:
                    self._hearing.discard_utterance()
            case ob.Interrupt():
                await self._interrupt()
            case ob.HangUp():
                self._ending = Ending(command.close_code, command.reason, command.error_type)

    def _user_said(self, text: str, *, spoken: bool) -> None:
        if spoken:
            self._waterfall.mark("stt", self._clock())
            self._outbox.put(ev.UserTranscript(text=text, event_id=self._ids.next()))
        else:
            self._waterfall = Waterfall(speech_ended=self._clock())
            self._transcript.apply(ev.UserMessage(text=text))

    def _end_utterance(self, utterance: int) -> None:
        assert self._hearing is not None, "only ears end utterances"
        self._waterfall = Waterfall(speech_ended=self._hearing.speech_ended_at())
        self._waterfall.mark("endpointing", self._clock())
        self._hearing.end_utterance(utterance)

    def _start(self, tasks: asyncio.TaskGroup, number: int, text: str | None) -> None:
        waterfall, self._waterfall = self._waterfall, Waterfall()
        self._reply = Reply(
            number,
            mind=self._mind,
            voice=self._voice,
            outbox=self._outbox,
            ids=self._ids,
            journal=self._journal,
            observe=self._inbox.put,
            clock=self._clock,
            waterfall=waterfall,
        )
        self._reply_task = tasks.create_task(self._run_reply(self._reply, text))

    async def _run_reply(self, reply: Reply, text: str | None) -> None:
        try:
            await reply.run(text)
        except* EngineError as group:
            logger.exception("speech could not be made", exc_info=group)
            self._inbox.put(MUTE)

    async def _interrupt(self) -> None:
        assert self._reply is not None, "there is a reply to interrupt"
        assert self._reply_task is not None, "there is a reply to interrupt"
        now = self._clock()
        self._reply_task.cancel()
        await asyncio.wait({self._reply_task})
        self._reply.settle(now)
        self._reply = self._reply_task = None

    # ----------------------------------------------------------------------------------------------- beginning, end

    async def _deliver(self) -> None:
        try:
            await self._outbox.run()
        except OSError as error:
            logger.info("the connection broke: %s", error)
            self._outbox.close()
            self.disconnect()

    @asynccontextmanager
    async def _ears(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Ears, if there are any, open for as long as the conversation goes on. Raises EngineError."""
        if self._hearing is None:
            yield
            return
        async with self._hearing:
            listening = tasks.create_task(self._listen(self._hearing))
            try:
                yield
            finally:
                listening.cancel()
                await asyncio.wait({listening})

    async def _listen(self, hearing: Hearing) -> None:
        try:
            await hearing.listen(self._inbox.put)
        except EngineError:
            logger.exception("speech recognition failed")
            self._inbox.put(DEAF)

    async def _say_goodbye(self, ending: Ending) -> None:
        assert self._machine.state is State.ENDED
        if self._reply_task is not None:
            self._reply_task.cancel()
            await asyncio.wait({self._reply_task})
        if ending.error_type is not None:
            code = error_code(ending.close_code)
            self._outbox.put(ev.ErrorEvent(code=code, message=ending.reason, error_type=ending.error_type))
        try:
            async with asyncio.timeout(FAREWELL):
                await self._outbox.flush()
        except TimeoutError:
            logger.info("the client did not take the last messages")
