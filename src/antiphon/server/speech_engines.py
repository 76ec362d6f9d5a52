"""Engines for requests that belong to no agent: a text that is to be spoken, a recording that is to be understood.

Made when they are first needed and kept, those used last, until the server stops.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from antiphon.agents.config import Antiphon
from antiphon.engines.base import EngineContext, SpeechToText, TextToSpeech, Voice, VoiceActivityModel, Voiced
from antiphon.engines.registry import Kind, Registry
from antiphon.errors import AntiphonError, ConfigError

MOST_KEPT = 8
"Engines of one kind that are kept though nobody uses them: voices are many."
MOST_AT_ONCE = 16
"Requests that are spoken or listened to at the same time; conversations go before them."


RECORDINGS: Mapping[str, Mapping[str, Any]] = {"pocketsphinx": {"patience": 120.0}}
"""Options of engines that listen, by name: a long utterance of a recording comes at once, and its transcript may take
as long as it does."""


class BusyError(AntiphonError):
    """As many requests as may be are being worked on."""


@dataclass(slots=True)
class _Kept:
    """One engine, and who uses it."""

    engine: Any
    users: int = 0
    ready: bool = False
    preparing: asyncio.Lock = field(default_factory=asyncio.Lock)


class SpeechEngines:
    """The engines that an agent has which names none."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._default = Antiphon()
        self._kept: dict[tuple[Kind, str], _Kept] = {}
        "By what they were made from, those used last at the end."
        self._busy = 0

    @property
    def busy(self) -> int:
        """Requests that are being worked on."""
        return self._busy

    def name(self, kind: Kind) -> str:
        """The name of the default engine of a kind."""
        return str(getattr(self._default, kind)["engine"])

    def installed(self, kind: Kind) -> bool:
        """Whether it is known here."""
        return self.name(kind) in self._registry.names(kind)

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        """Count a request as long as this block. Raises BusyError."""
        if self._busy >= MOST_AT_ONCE:
            raise BusyError(f"{MOST_AT_ONCE} requests for speech are being worked on; try again in a moment")
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    @asynccontextmanager
    async def speaker(
        self, *, voice_id: str = "", language: str = "en", speed: float = 1.0
    ) -> AsyncGenerator[TextToSpeech]:
        """A voice for as long as this block. Raises ConfigError, EngineError."""
        context = EngineContext(voice_id=voice_id, language=language, speed=speed)
        async with self._using("tts", context) as engine:
            yield engine

    @asynccontextmanager
    async def recogniser(self, *, language: str = "en") -> AsyncGenerator[SpeechToText]:
        """Speech-to-text for as long as this block. Raises ConfigError, EngineError."""
        async with self._using("stt", EngineContext(language=language)) as engine:
            yield engine

    def voice_activity(self) -> VoiceActivityModel:
        """What tells speech from silence. Raises ConfigError."""
        return self._made("vad", EngineContext())

    async def voices(self) -> list[Voice]:
        """Those to choose from; of an engine that does not say, the one it has. Raises ConfigError, EngineError."""
        async with self._using("tts", EngineContext()) as engine:
            if isinstance(engine, Voiced):
                return list(await engine.voices())
            return [Voice(id="default", name=self.name("tts"))]

    async def voice(self, voice_id: str) -> Voice | None:
        """The voice of that id; None: there is none. An engine that does not say which it has takes any."""
        async with self._using("tts", EngineContext()) as engine:
            if isinstance(engine, Voiced):
                return await engine.voice(voice_id)
            return Voice(id=voice_id, name=voice_id)

    def hears(self, language: str) -> bool:
        """Whether speech-to-text can be made for a language. Nothing is loaded."""
        try:
            self._made("stt", EngineContext(language=language))
        except ConfigError:
            return False
        return True

    async def aclose(self) -> None:
        """Free everything."""
        async with AsyncExitStack() as stack:
            while self._kept:
                stack.push_async_callback(self._kept.popitem()[1].engine.aclose)

    def _made(self, kind: Kind, context: EngineContext) -> Any:
        options: dict[str, Any] = dict(getattr(self._default, kind))
        name = options.pop("engine")
        return self._registry.create(kind, name, {**RECORDINGS.get(name, {}), **options}, context)

    @asynccontextmanager
    async def _using(self, kind: Kind, context: EngineContext) -> AsyncGenerator[Any]:
        key = kind, json.dumps([context.voice_id, context.language, context.speed])
        kept = self._kept.pop(key, None) or _Kept(self._made(kind, context))
        self._kept[key] = kept
        kept.users += 1
        try:
            async with kept.preparing:
                if not kept.ready:
                    await kept.engine.prepare()
                    kept.ready = True
            yield kept.engine
        finally:
            kept.users -= 1
            await self._shrink(kind)

    async def _shrink(self, kind: Kind) -> None:
        """Free engines that could not be prepared, and those beyond the number that is kept."""
        idle = [key for key, each in self._kept.items() if key[0] == kind and not each.users]
        spare = [key for key in idle if self._kept[key].ready]
        surplus = spare[: max(0, len(spare) - MOST_KEPT)] + [key for key in idle if not self._kept[key].ready]
        gone = [self._kept.pop(key) for key in surplus]
        for each in gone:
            await each.engine.aclose()
