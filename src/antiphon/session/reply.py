"""One reply of the agent, from its first thought to its last sound. One task, cancelled whole.

Two halves run side by side: thinking (language model and tools, text into clauses) and speaking (clauses into paced
audio). The text of a round is announced when it is complete, usually before its first sound. What was heard of it is
settled once, when the reply ends or is interrupted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from antiphon.engines.base import LanguageModel, Request, TextDelta, Thought, ToolCall, Usage, closing
from antiphon.errors import EngineError
from antiphon.protocol import events as ev
from antiphon.protocol.server import EventIds
from antiphon.record.journal import Journal
from antiphon.turns.observations import Observation, ReplyAudible, ReplyFailed, ReplyOver
from antiphon.turns.playback import Playback

from .clauses import ClauseSplitter
from .outbox import Outbox
from .speaking import Voice
from .tools.runner import ToolRunner
from .waterfall import Waterfall

logger = logging.getLogger(__name__)

MAX_ROUNDS = 8
"Times that a model may call tools within one reply: a model that never stops is stopped."
PENDING_CLAUSES = 64


@dataclass(frozen=True, slots=True)
class Mind:
    """What a conversation thinks with."""

    llm: LanguageModel
    request: Callable[[], Request]
    "The context as it stands now."
    tools: ToolRunner
    apology: str
    "Said when the model fails before it has said anything."


@dataclass(slots=True)
class Round:
    """One message of the reply: a model's text up to its end or its tool calls."""

    start: int
    "Where it begins in the reply's text."
    spoken: int
    "Up to where it has been handed to the voice."
    event_id: int | None = None
    "Of its AgentResponse, and of the streamed parts before it."
    announced: bool = False
    "Its AgentResponse is out."


class Reply:
    """`run` it in a task; after cancelling and awaiting that task, `settle` it."""

    def __init__(
        self,
        number: int,
        *,
        mind: Mind,
        voice: Voice | None,
        outbox: Outbox,
        ids: EventIds,
        journal: Journal,
        observe: Callable[[Observation], None],
        clock: Callable[[], float],
        waterfall: Waterfall,
        delay: float = 0.0,
    ) -> None:
        self.number = number
        self._mind = mind
        self._voice = voice
        self._outbox = outbox
        self._ids = ids
        self._journal = journal
        self._observe = observe
        self._clock = clock
        self._waterfall = waterfall
        self._playback = Playback(delay=delay)
        self._rounds: list[Round] = []
        self._clauses: asyncio.Queue[tuple[str, int] | None] = asyncio.Queue(PENDING_CLAUSES)
        self._audible = False
        self._reported = False
        self._shows_parts = outbox.wants("agent_chat_response_part")

    # ------------------------------------------------------------------------------------------------- running

    async def run(self, text: str | None = None) -> None:
        """Say `text`, or what the language model answers. Raises EngineError when speech cannot be made."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._think(text))
            if self._voice is not None:
                tasks.create_task(self._speak(self._voice))
        await self._play_out()

    async def _think(self, text: str | None) -> None:
        try:
            if text is None:
                await self._answer()
            else:
                await self._round(_recited(text))
        except EngineError as error:
            logger.warning("language model failed: %s", error)
            self._journal.engine("llm", {"error": str(error)})
            if not self._rounds or not self._text_of(len(self._rounds) - 1):
                await self._round(_recited(self._mind.apology))
        await self._clauses.put(None)

    async def _answer(self) -> None:
        for _ in range(MAX_ROUNDS):
            request = self._mind.request()
            calls = await self._round(self._mind.llm.reply(request))
            if not calls:
                break
            async with asyncio.TaskGroup() as tasks:
                for call in calls:
                    tasks.create_task(self._mind.tools.run(call))
        if not self._playback.text.strip():
            raise EngineError("llm", "the model answered nothing", retryable=True)

    async def _round(self, thoughts: AsyncIterator[Thought]) -> list[ToolCall]:
        """Stream one message out; returns the tools it asks for.

        Raises EngineError; what had come until then is said.
        """
        if self._playback.text and not self._playback.text[-1].isspace():
            self._playback.write(" ")
        start = len(self._playback.text)
        self._rounds.append(Round(start, spoken=start))
        splitter, calls = ClauseSplitter(), list[ToolCall]()
        try:
            async with closing(thoughts) as stream:
                async for thought in stream:
                    match thought:
                        case TextDelta(text=text):
                            self._mark("llm")
                            self._write(text)
                            await self._say(splitter.push(text))
                        case ToolCall():
                            self._journal.engine("llm", {"tool": thought.name, "id": thought.id})
                            calls.append(thought)
                        case Usage():
                            self._journal.engine("llm", {"usage": thought})
        except EngineError:
            await self._complete(splitter)
            raise
        await self._complete(splitter)
        return calls

    async def _complete(self, splitter: ClauseSplitter) -> None:
        self._announce()
        await self._say(splitter.flush())

    def _write(self, text: str) -> None:
        self._journal.engine("llm", {"text": text})
        self._playback.write(text)
        if self._shows_parts:
            this = self._rounds[-1]
            if this.event_id is None:
                this.event_id = self._ids.next()
                self._outbox.put(ev.AgentChatResponsePart(part="start", event_id=this.event_id))
            self._outbox.put(ev.AgentChatResponsePart(text=text, event_id=this.event_id))

    async def _say(self, clauses: list[str]) -> None:
        this = self._rounds[-1]
        for clause in clauses:
            self._mark("clause")
            if self._voice is not None:
                await self._clauses.put((clause, this.spoken))
            this.spoken += len(clause)

    async def _speak(self, voice: Voice) -> None:
        while (clause := await self._clauses.get()) is not None:
            await voice.say(*clause, self._playback, self._mark)

    async def _play_out(self) -> None:
        """The last piece has left; the reply is over when it has sounded."""
        left = self._playback.ends_at - self._clock()
        if left > 0:
            await asyncio.sleep(left)
        for this in self._rounds:
            if this.announced and this.event_id is not None:
                self._outbox.put(ev.AgentResponseComplete(event_id=this.event_id))
        said = bool(self._playback.text.strip())
        self._observe(ReplyOver(self.number) if said else ReplyFailed(self.number))

    # ------------------------------------------------------------------------------------------------ reporting

    def _mark(self, stage: str) -> None:
        self._waterfall.mark(stage, self._clock())
        if stage == "output" and not self._audible:
            self._audible = True
            self._observe(ReplyAudible(self.number))
            self._report()

    def _announce(self) -> None:
        """The newest round's text is complete."""
        this = self._rounds[-1]
        if this.announced:
            return
        if this.event_id is not None:
            self._outbox.put(ev.AgentChatResponsePart(part="stop", event_id=this.event_id))
        text = self._text_of(len(self._rounds) - 1)
        if not text:
            this.event_id = None
            return
        if this.event_id is None:
            this.event_id = self._ids.next()
        this.announced = True
        self._outbox.put(ev.AgentResponse(text=text, event_id=this.event_id))
        if self._voice is None:
            self._waterfall.mark("output", self._clock())
        self._report()

    def _report(self) -> None:
        """The waterfall goes out once its first message is announced and its first sound has left."""
        event_id = next((this.event_id for this in self._rounds if this.announced), None)
        stamps = self._waterfall
        if self._reported or event_id is None or stamps.output is None or stamps.speech_ended is None:
            return  # also where nobody waited: a greeting answers nothing
        self._reported = True
        self._outbox.put(
            ev.TurnWaterfall(
                event_id=event_id,
                stages=stamps.stages(),
                user_speech_ended_at=self._journal.at(stamps.speech_ended),
                first_audio_at=self._journal.at(stamps.output),
            )
        )

    # ------------------------------------------------------------------------------------------------- settling

    def settle(self, now: float) -> None:
        """The reply was cut off at `now`: say so, and what of it was heard. Nothing was said: nothing happened.

        In the order that clients need (protocol.md 1.5): the text so far, the interruption, the corrections.
        """
        if not self._playback.text.strip():
            return
        self._announce()
        self._outbox.put(ev.Interruption(event_id=self._ids.next()))
        heard = self._playback.heard(now) if self._voice is not None else len(self._playback.text)
        for index, this in enumerate(self._rounds):
            original, corrected = self._text_of(index), self._text_of(index, heard)
            if this.announced and this.event_id is not None and corrected != original:
                self._outbox.put(
                    ev.AgentResponseCorrection(original=original, corrected=corrected, event_id=this.event_id)
                )

    def _text_of(self, index: int, until: int | None = None) -> str:
        """What a round says, or said up to a character of the whole text."""
        begin, after = self._rounds[index].start, self._rounds[index + 1 : index + 2]
        end = after[0].start if after else len(self._playback.text)
        return self._playback.text[begin : end if until is None else max(begin, min(until, end))].strip()


async def _recited(text: str) -> AsyncIterator[Thought]:
    yield TextDelta(text)
