"""A caller who is played by a language model: any engine of the registry, asked for the caller's next words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from antiphon.engines.base import SILENT_USER, LanguageModel, Message, Request, TextDelta, ToolCall, ToolSpec, closing
from antiphon.protocol import events as ev

from . import document as doc
from .caller import Act
from .utterance import Mouth, without_pauses

HANG_UP = ToolSpec(
    "hang_up", "End the call, after the words that are said with it.", {"type": "object", "properties": {}}
)
LEAVE_TAKING = 0.5
"Seconds between the caller's last word and their hanging up."
PONDERING = 2.0
"Seconds that a caller stays silent whose model has said nothing."

INSTRUCTIONS = """\
You play a person on the telephone who talks to a voice agent. You are the caller, never the agent.
Who you are: {persona}
What you want: {goal}
Answer with nothing but the words that you say next: one or two short spoken sentences, no quotes, no stage directions.
When you have what you want, or see that you will not get it, say goodbye and call the tool hang_up."""


class PlayedCaller:
    """Says what the model says, turn by turn."""

    def __init__(self, persona: doc.Persona, llm: LanguageModel, mouth: Mouth, *, after: float, types: bool) -> None:
        self.after = after
        self.over = False
        self._persona = persona
        self._llm = llm
        self._mouth = mouth
        self._types = types
        goal = persona.goal or "What anybody would who calls there."
        self._messages = [Message("system", INSTRUCTIONS.format(persona=persona.persona, goal=goal))]
        self._turns = 0
        self._asked = asyncio.Event()

    def ask(self, heard: str) -> None:
        """See `caller.Persona`."""
        if not self._asked.is_set():
            self._messages.append(Message("user", " ".join(heard.split()) or SILENT_USER))
            self._asked.set()

    async def run(self, do: Callable[[Act], None]) -> None:
        """See `caller.Persona`."""
        while not self.over:
            await self._asked.wait()
            self._turns += 1
            words, leaves = await self._next_words()
            self.over = leaves or self._turns >= self._persona.max_turns
            if words:
                do(await self._act(words))
            elif not leaves:
                do(Act(doc.StaysSilent(stays_silent=PONDERING), "caller", PONDERING))
            if leaves:
                do(Act(doc.HangsUp(hangs_up=True), "caller", LEAVE_TAKING))
            self._asked.clear()

    async def _next_words(self) -> tuple[str, bool]:
        if self._turns == 1 and self._persona.opens_with:
            words, leaves = self._persona.opens_with, False
        else:
            words, leaves = await self._think()
        self._messages.append(Message("assistant", without_pauses(words)))
        return words, leaves

    async def _think(self) -> tuple[str, bool]:
        text: list[str] = []
        leaves = False
        async with closing(self._llm.reply(Request(self._messages, [HANG_UP]))) as thoughts:
            async for thought in thoughts:
                if isinstance(thought, TextDelta):
                    text.append(thought.text)
                elif isinstance(thought, ToolCall):
                    leaves = leaves or thought.name == HANG_UP.name
        return " ".join("".join(text).split()), leaves

    async def _act(self, words: str) -> Act:
        if self._types:
            text = without_pauses(words)
            return Act(doc.Types(types=text), "caller", 0.0, event=ev.UserMessage(text=text))
        utterance = await self._mouth.utterance(words)
        return Act(doc.Says(says=words), "caller", 0.0, utterance)
