"""A language model whose every word says which answer it belongs to, so that sound can be told by its text.

`r3w0 r3w1 r3w2. r3w3` are words of the third answer that was asked for.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec

from antiphon.engines.base import EngineContext, Request, TextDelta, Thought, ToolCall

TAG = re.compile(r"r(\d+)w(\d+)")
"A word of it: the answer's number, the word's."


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much it says, and how soon."""

    seed: int = 0
    words: int = 12
    thinking: float = 0.2
    calls_tools: bool = False
    engine: str = "rambling"


class Rambling:
    """Answers whatever it is asked, at a length that its seed has."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._answers = 0

    async def prepare(self) -> None:
        """Nothing to check."""

    async def reply(self, request: Request) -> AsyncGenerator[Thought]:
        """The next answer; now and then it asks for its tool first."""
        self._answers += 1
        number = self._answers
        rng = random.Random(f"{self._options.seed}/{number}")
        await asyncio.sleep(rng.uniform(0.0, self._options.thinking))
        asks = self._options.calls_tools and rng.random() < 0.5 and request.messages[-1].role != "tool"
        pace = rng.choice((0.0, 0.0, 0.05))
        for index in range(rng.randint(0 if asks else 1, self._options.words)):
            yield TextDelta(f"r{number}w{index}" + (". " if index % 6 == 5 else " "))
            if pace:
                await asyncio.sleep(pace)
        if asks:
            yield ToolCall(f"call_{number}", "look", {})

    async def aclose(self) -> None:
        """Nothing to free."""


def create(options: Mapping[str, Any], context: EngineContext) -> Rambling:
    """Factory."""
    return Rambling(msgspec.convert(dict(options), Options))
