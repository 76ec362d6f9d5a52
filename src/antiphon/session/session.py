"""One live conversation: the dialogue's shell. It waits, so that the dialogue need not.

Everything that happens is put into the inbox; one loop takes it out, stamps it, writes it into the journal and hands it
to the dialogue. What the dialogue wants done is carried out by tasks of one TaskGroup, which only put what comes of it
into the inbox.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from antiphon.audio.convert import Decoder
from antiphon.audio.echo import EchoGate
from antiphon.audio.formats import AudioFormat
from antiphon.dialogue import items as it
from antiphon.dialogue import journaling
from antiphon.dialogue.dialogue import Dialogue, Ending
from antiphon.dialogue.outcome import SwitchLanguage, Transfer
from antiphon.dialogue.settings import Settings, ToolRules
from antiphon.engines.base import LanguageModel, Request, SpeechToText, TextDelta, TextToSpeech, ToolCall, closing
from antiphon.errors import ConfigError, EngineError, SessionError
from antiphon.protocol import events as ev
from antiphon.record.journal import Journal
from antiphon.record.recording import Recording
from antiphon.record.transcript import Transcript
from antiphon.turns import observations as ob
from antiphon.turns.machine import State

from .hearing import Hearing
from .inbox import Inbox
from .outbox import Outbox
from .stopwatch import Stopwatch
from .tools.runner import ToolRunner

__all__ = ["Change", "Ending", "Mind", "Session"]

logger = logging.getLogger(__name__)

SLICE = 0.1
"Seconds of audio between two looks at the turn machine: a client may send three seconds in one message."
MAX_WAITING_AUDIO = 30.0
"Seconds of unheard audio after which the caller's newest is dropped: it would be answered much too late."
MAX_WAITING = 10_000
"Messages that may wait, however small: above it sound is dropped too, and anything else is a flood."
COMPOSING = 1.0
"Seconds that the model may take to make up a filler: it bridges a wait, and must not be one."
MAX_FILLER = 200
"Characters of such a filler that are said."
FAREWELL = 1.0
"Seconds that the last events get to reach the client."

DEAF = ob.Closed(1002, "the agent lost its hearing", "asr_transcription_error", goodbye=True)
NEVER_HEARD = ob.Closed(1002, "the agent lost its hearing", "asr_transcription_error")
UNREAD = ob.Closed(1002, "the client reads nothing", "websocket_disconnect")
"What may end a conversation on our side."


@dataclass(frozen=True, slots=True)
class Mind:
    """What a conversation thinks, speaks and acts with; another one where another agent takes over."""

    llm: LanguageModel
    request: Callable[[str | None], Request]
    "The context as it stands now, with words of the user that are not in the record yet."
    filler: Callable[[], Request]
    "What makes up a filler."
    tools: ToolRunner
    tts: TextToSpeech | None = None
    "None: text only."


@dataclass(frozen=True, slots=True)
class Change:
    """What a switch of language or agent has come to."""

    settings: Settings
    mind: Mind
    stt: SpeechToText | None = None
    "None: the caller is heard as before."
    greets: bool = False


class Session:
    """One conversation. `receive` what the client says, `run` it to its end."""

    def __init__(
        self,
        *,
        settings: Settings,
        mind: Mind,
        hearing: Hearing | None,
        gate: EchoGate | None,
        input_format: AudioFormat,
        outbox: Outbox,
        inbox: Inbox[Any],
        transcript: Transcript,
        journal: Journal,
        stopwatch: Stopwatch,
        change: Callable[[SwitchLanguage | Transfer], Awaitable[Change]],
        recording: Recording | None = None,
    ) -> None:
        self._settings = settings
        self._mind = mind
        self._hearing = hearing
        self._gate = gate
        self._recording = recording
        known_again = gate is not None or recording is not None
        self._sent = Decoder(settings.output_format) if known_again and settings.output_format else None
        "What the client plays, as the echo gate and the recording want it."
        self._outbox = outbox
        self._journal = journal
        self._stopwatch = stopwatch
        self._change = change
        self._inbox = inbox
        self._dialogue = Dialogue(settings, hands=self, transcript=transcript)
        self._slice = input_format.bytes_of(SLICE)
        self._most_audio = input_format.bytes_of(MAX_WAITING_AUDIO)
        self._waiting_audio = 0
        "Bytes in the inbox."
        self._dropping = False
        self._deaf = False
        "Speech-to-text has failed for good."
        self._quiet = asyncio.Event()
        "Set while nothing is under way: the agent waits for the user, or the conversation is over."
        self._tasks: asyncio.TaskGroup
        self._open: AsyncExitStack
        "What has to be closed at the end."
        self._listening: asyncio.Task[None]
        self._pumps: dict[int, set[asyncio.Task[None]]] = {}
        "Tasks of each reply; of 0: those that outlive replies."
        outbox.on_drained = lambda: inbox.put(it.Drained())

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
        self._quiet.clear()
        self._inbox.put(event)

    def disconnect(self) -> None:
        """The client is gone."""
        self._inbox.put(ob.Closed(1000, "the client hung up"))

    def close(self, close_code: int, reason: str, error_type: str | None = None) -> None:
        """The server wants the conversation to end."""
        self._inbox.put(ob.Closed(close_code, reason, error_type))

    @property
    def over(self) -> bool:
        """Whether the conversation has come to its end."""
        return self._dialogue.ending is not None

    async def quiet(self) -> None:
        """Wait until the agent has answered all that was said, its tools have run, and it waits for the user; or until
        the conversation is over."""
        await self._quiet.wait()

    async def run(self) -> Ending:
        """Hold the conversation; returns how it ended. Cancelling it ends it at once."""
        ending = Ending(1011, "internal error", "unknown_websocket_crash")
        try:
            async with asyncio.TaskGroup() as self._tasks:
                sender = self._tasks.create_task(self._deliver())
                async with AsyncExitStack() as self._open:
                    await self._open.enter_async_context(self._mind.tools)
                    agreed = await self._converse()
                await self._say_goodbye()
                sender.cancel()
            ending = agreed
        finally:
            self._quiet.set()
            self._inbox.close()
            ended_at = self._stopwatch.stamp()
            if self._recording is not None:
                self._recording.cut(ended_at)
            self._journal.end(ending.close_code, ending.reason, ending.error_type)
        return ending

    # ------------------------------------------------------------------------------------------------ the loop

    async def _converse(self) -> Ending:
        dialogue = self._dialogue
        try:
            async with self._ears():
                dialogue.begin(self._stopwatch.stamp())
                self._take_up_tools()
                self._look()
                while dialogue.ending is None:
                    await self._next()
        except EngineError:
            logger.exception("the caller cannot be heard")
            dialogue.handle(NEVER_HEARD, self._stopwatch.stamp())
        finally:
            for reply in list(self._pumps):
                self._cancel(reply)
        assert dialogue.ending is not None, "only the end ends the loop"
        return dialogue.ending

    def _take_up_tools(self) -> None:
        """MCP servers say only when they are connected what their tools are."""
        rules = dict(self._settings.tools)
        for spec in self._mind.tools.specs:
            tool = self._mind.tools.config(spec.name)
            if tool is not None and spec.name not in rules:
                rules[spec.name] = ToolRules(tool.execution_mode, tool.interruption_mode, tool.pre_tool_speech)
        if len(rules) > len(self._settings.tools):
            self._inbox.put(it.Switched(0, settings=dataclasses.replace(self._settings, tools=rules)))

    async def _next(self) -> None:
        """Wait for whatever happens next, and act upon it."""
        item = await self._inbox.get(self._stopwatch.clock_time(self._deadline()))
        now = self._stopwatch.stamp()
        if item is None:
            self._tick(now)
        elif type(item) is ev.UserAudio:
            self._waiting_audio -= len(item.audio)
            self._journal.received(item)
            self._hear(item.audio, now)
        else:
            journaling.write(item, self._journal)
            self._dialogue.handle(item, now)
        if self._outbox.overwhelmed:
            self._dialogue.handle(UNREAD, now)
        self._look()

    def _look(self) -> None:
        """Notice whether anything is under way."""
        working = any(not task.done() for tasks in self._pumps.values() for task in tasks)
        agents_turn = self._dialogue.state in (State.THINKING, State.AGENT_SPEAKING)
        if self.over or not (working or agents_turn or len(self._inbox)):
            self._quiet.set()
        else:
            self._quiet.clear()

    def _deadline(self) -> float | None:
        hearing = self._hearing.deadline if self._hearing is not None else None
        dialogue = self._dialogue.deadline
        if hearing is None or dialogue is None:
            return dialogue if hearing is None else hearing
        return min(hearing, dialogue)

    def _tick(self, now: float) -> None:
        if self._hearing is not None:
            for seen in self._hearing.tick(now):
                self._dialogue.handle(seen, now)
        self._dialogue.handle(ob.Tick(), now)

    def _hear(self, audio: bytes, now: float) -> None:
        if self._hearing is None or self._deaf:
            return  # text only: a client may send audio all the same
        for start in range(0, len(audio), self._slice):
            try:
                observed = self._hearing.feed(audio[start : start + self._slice], now)
            except EngineError:
                logger.exception("the caller cannot be heard any more")
                self._deaf = True
                self._dialogue.handle(DEAF, now)
                return
            for seen in observed:
                self._dialogue.handle(seen, now)
            if self._dialogue.held:
                self._hearing.over_agent()

    # -------------------------------------------------------------------------------------- hands of the dialogue

    def emit(self, event: ev.ServerEvent) -> None:
        """To the journal, the transcript and the client; where the time of an answer went, to the log as well."""
        self._outbox.put(event)
        if type(event) is ev.TurnWaterfall:
            stages = " ".join(f"{stage}={1000 * seconds:.0f}" for stage, seconds in event.stages.items())
            logger.info("answered, ms: %s", stages, extra={"stages": event.stages})

    def play(self, event: ev.AgentAudio, at: float) -> None:
        """Sound, for the same, for the recording, and for whoever has to know it again when it comes back."""
        self._outbox.put(event)
        if self._sent is None:
            return
        sound = self._sent.decode(event.audio)
        if self._gate is not None:
            self._gate.sent(sound, at)
        if self._recording is not None:
            self._recording.agent(sound, at)

    def room(self) -> bool:
        """Whether the transport takes sound."""
        return self._outbox.room()

    def hush(self, at: float) -> None:
        """The client throws away what would sound after `at`."""
        if self._gate is not None:
            self._gate.dropped(at)
        if self._recording is not None:
            self._recording.cut(at)

    def saw(self, observation: ob.Observation) -> None:
        """Into the journal."""
        self._journal.saw(observation)

    def think(self, reply: int, round: int, text: str | None) -> None:  # noqa: A002
        """Ask the model."""
        self._start(reply, self._think(reply, round, self._mind, text))

    def compose(self, reply: int, otherwise: str) -> None:
        """Ask the model for a filler."""
        self._start(reply, self._compose(reply, self._mind, otherwise))

    def pronounce(self, reply: int, clause: int, text: str) -> None:
        """Ask the voice."""
        assert self._mind.tts is not None, "who speaks has a voice"
        self._start(reply, self._pronounce(reply, clause, self._mind.tts, text))

    def run_tool(self, reply: int, call: ToolCall) -> None:
        """Ask the tool."""
        tool = self._mind.tools.config(call.name)
        outlives = tool is not None and tool.execution_mode == "async"
        self._start(0 if outlives else reply, self._run_tool(reply, self._mind.tools, call))

    def resolve(self, event: ev.ClientToolResult | ev.McpToolApprovalResult) -> None:
        """The client has answered."""
        self._mind.tools.resolve(event)

    def drop(self, reply: int) -> None:
        """Nobody needs it any more."""
        self._cancel(reply)

    def switch(self, reply: int, change: SwitchLanguage | Transfer) -> None:
        """Another language or agent."""
        self._start(0, self._switch(reply, change))

    def end_utterance(self, utterance: int) -> None:
        """Have it transcribed."""
        assert self._hearing is not None, "only ears end utterances"
        ended = round(self._hearing.speech_ended_at(), 6)
        self._inbox.put(it.UtteranceEnded(utterance, ended))
        try:
            self._hearing.end_utterance(utterance)
        except EngineError:
            logger.exception("speech recognition failed")
            self._inbox.put(DEAF)

    def discard_utterance(self) -> None:
        """Forget it."""
        if self._hearing is not None:
            self._hearing.discard_utterance()

    def judge(self, pause: int) -> None:
        """Ask the turn detector."""
        if self._hearing is not None:
            self._start(0, self._judge(pause, self._hearing))

    # ------------------------------------------------------------------------------------------------------ tasks

    def _start(self, reply: int, work: Coroutine[Any, Any, None]) -> None:
        pumps = self._pumps.setdefault(reply, set())
        task = self._tasks.create_task(work)
        pumps.add(task)
        task.add_done_callback(pumps.discard)
        task.add_done_callback(lambda _: self._look())

    def _cancel(self, reply: int) -> None:
        for task in self._pumps.pop(reply, ()):
            task.cancel()

    async def _think(self, reply: int, number: int, mind: Mind, text: str | None) -> None:
        put, error = self._inbox.put, None
        try:
            async with closing(mind.llm.reply(mind.request(text))) as thoughts:
                async for thought in thoughts:
                    put(it.Thought(reply, number, thought))
        except EngineError as failure:
            logger.warning("language model failed: %s", failure)
            error = failure.full_text
        put(it.ThoughtsOver(reply, number, error))

    async def _compose(self, reply: int, mind: Mind, otherwise: str) -> None:
        text = ""
        try:
            async with asyncio.timeout(COMPOSING), closing(mind.llm.reply(mind.filler())) as thoughts:
                async for thought in thoughts:
                    if isinstance(thought, TextDelta):
                        text += thought.text
        except (EngineError, TimeoutError) as failure:
            logger.info("no filler could be made up: %s", failure)
            text = ""
        self._inbox.put(it.Composed(reply, text.strip()[:MAX_FILLER] or otherwise))

    async def _pronounce(self, reply: int, clause: int, tts: TextToSpeech, text: str) -> None:
        put, error = self._inbox.put, None
        try:
            async with closing(tts.speak(text)) as pieces:
                async for speech in pieces:
                    put(it.Spoken(reply, clause, speech))
        except EngineError as failure:
            logger.warning("speech could not be made: %s", failure)
            error = failure.full_text
        put(it.SpeechOver(reply, clause, error))

    async def _run_tool(self, reply: int, tools: ToolRunner, call: ToolCall) -> None:
        self._inbox.put(it.ToolDone(reply, call.id, await tools.run(call)))

    async def _judge(self, pause: int, hearing: Hearing) -> None:
        try:
            probability = await hearing.judge()
        except EngineError as failure:
            logger.warning("turn detection failed: %s", failure)
            return
        if probability is not None:
            self._inbox.put(ob.TurnJudged(pause, round(probability, 4)))

    async def _switch(self, reply: int, wanted: SwitchLanguage | Transfer) -> None:
        transferred = isinstance(wanted, Transfer)
        try:
            if transferred and wanted.delay:
                await asyncio.sleep(wanted.delay)
            change = await self._change(wanted)
            if change.mind.tools is not self._mind.tools:
                await self._open.enter_async_context(change.mind.tools)
            if change.stt is not None and self._hearing is not None:
                await self._hearing.retune(change.stt)
                self._listening.cancel()
                self._listening = self._tasks.create_task(self._listen(self._hearing))
        except (EngineError, SessionError, ConfigError) as failure:
            logger.warning("the agent could not change: %s", failure)
            self._inbox.put(it.Switched(reply, transferred, error=str(failure)))
            return
        self._mind = change.mind
        self._inbox.put(it.Switched(reply, transferred, change.greets, settings=change.settings))

    # ----------------------------------------------------------------------------------------------- beginning, end

    async def _deliver(self) -> None:
        try:
            await self._outbox.run()
        except OSError as error:
            logger.info("the connection broke: %s", error)
            self._outbox.close()
            self.disconnect()

    @asynccontextmanager
    async def _ears(self) -> AsyncGenerator[None]:
        """Ears, if there are any, open for as long as the conversation goes on. Raises EngineError."""
        if self._hearing is None:
            yield
            return
        async with self._hearing:
            self._listening = self._tasks.create_task(self._listen(self._hearing))
            try:
                yield
            finally:
                self._listening.cancel()
                await asyncio.wait({self._listening})

    async def _listen(self, hearing: Hearing) -> None:
        try:
            await hearing.listen(self._inbox.put)
        except EngineError:
            logger.exception("speech recognition failed")
            self._inbox.put(DEAF)

    async def _say_goodbye(self) -> None:
        try:
            async with asyncio.timeout(FAREWELL):
                await self._outbox.flush()
        except TimeoutError:
            logger.info("the client did not take the last messages")
