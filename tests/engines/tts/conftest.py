"""An espeak engine, and what came out of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest

from antiphon.engines.base import EngineContext, Speech
from antiphon.engines.tts.espeak import Espeak, Options
from antiphon.engines.tts.espeak_link import command

MakeEspeak: TypeAlias = Callable[..., AbstractAsyncContextManager[Espeak]]


class Said(list[Speech]):
    """Pieces of speech."""

    @property
    def audio(self) -> bytes:
        return b"".join(piece.audio for piece in self)

    @property
    def seconds(self) -> float:
        return len(self.audio) / 2 / Espeak.sample_rate

    @property
    def text(self) -> str:
        return "".join(char for piece in self for char in piece.chars)


async def say(engine: Espeak, text: str) -> Said:
    return Said([piece async for piece in engine.speak(text)])


@asynccontextmanager
async def make(
    options: dict[str, Any] | None = None, *, patience: float = 20.0, program: list[str] | None = None, **context: Any
) -> AsyncGenerator[Espeak]:
    engine = Espeak(program or command(), Options(**(options or {})), EngineContext(**context), patience=patience)
    try:
        yield engine
    finally:
        await engine.aclose()


@pytest.fixture(name="say")
def _say() -> Callable[..., Any]:
    """`await say(engine, text)`: all its pieces."""
    return say


@pytest.fixture
def espeak() -> MakeEspeak:
    """`async with espeak({"rate_wpm": 150}, language="de") as engine`."""
    return make
