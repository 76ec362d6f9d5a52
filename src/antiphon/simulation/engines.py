"""Engines that follow a script, on whatever clock the loop has. For simulations and tests; nothing of them is random.

Registered like any other engine: `{"stt": {"engine": "scripted", "lines": [...]}, "tts": {"engine": "scripted"}}`.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec

from antiphon.engines.base import EngineContext, Speech, Transcript
from antiphon.errors import ConfigError


class _SttOptions(msgspec.Struct, forbid_unknown_fields=True):
    engine: str = "scripted"
    lines: list[str] = []
    "What each finished utterance is answered with, in order; after the last one: an empty transcript."
    delay: float = 0.0
    "Seconds from the end of an utterance to its transcript."
    partials: bool = False
    "Whether growing parts of a line are reported while it is spoken, a word for every 0.3 s."


class ScriptedSpeechToText:
    """Hears the next line, whatever is said."""

    def __init__(self, options: _SttOptions) -> None:
        self._options = options

    async def prepare(self) -> None:
        """Nothing to load."""

    def stream(self) -> AbstractAsyncContextManager[ScriptedRecognition]:
        """One caller, from the script's first line."""
        return _recognition(self._options)

    async def aclose(self) -> None:
        """Nothing to free."""


@asynccontextmanager
async def _recognition(options: _SttOptions) -> AsyncGenerator[ScriptedRecognition]:
    yield ScriptedRecognition(options)


class ScriptedRecognition:
    """One caller's stream of scripted utterances."""

    def __init__(self, options: _SttOptions) -> None:
        self._lines = list(options.lines)
        self._delay = options.delay
        self._partials = options.partials
        self._heard = 0
        self._shown = 0
        self._queue: asyncio.Queue[Transcript] = asyncio.Queue()  # a script bounds it

    def feed(self, audio: bytes) -> None:
        """Only its length counts."""
        self._heard += len(audio)
        words = self._lines[0].split() if self._lines else []
        spoken = min(len(words), int(self._heard / 2 / 16_000 / 0.3))
        if self._partials and spoken > self._shown:
            self._shown = spoken
            self._queue.put_nowait(Transcript(" ".join(words[:spoken]), final=False))

    def finish(self) -> None:
        """The next line was said, if there was any sound."""
        text = self._lines.pop(0) if self._lines and self._heard else ""
        self._heard = self._shown = 0
        self._queue.put_nowait(Transcript(text, final=True))

    def discard(self) -> None:
        """The line stays to be said."""
        self._heard = self._shown = 0

    async def transcripts(self) -> AsyncGenerator[Transcript]:
        """As the script has it."""
        while True:
            transcript = await self._queue.get()
            if transcript.final and self._delay:
                await asyncio.sleep(self._delay)
            yield transcript


class _TtsOptions(msgspec.Struct, forbid_unknown_fields=True):
    engine: str = "scripted"
    seconds_per_char: float = 0.06
    delay: float = 0.0
    "Seconds before each piece of sound."
    sample_rate: int = 16_000
    alignment: bool = True


class ScriptedTextToSpeech:
    """A steady tone as long as the text; spaces are silent."""

    def __init__(self, options: _TtsOptions) -> None:
        self.sample_rate = options.sample_rate
        self._options = options
        samples = round(options.seconds_per_char * options.sample_rate)
        wave = (round(8000 * math.sin(2 * math.pi * 220 * i / options.sample_rate)) for i in range(samples))
        self._tone = struct.pack(f"<{samples}h", *wave)
        self._silence = bytes(len(self._tone))

    async def prepare(self) -> None:
        """Nothing to load."""

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """Ten characters a piece."""
        each = self._options.seconds_per_char
        for begin in range(0, len(text), 10):
            piece = text[begin : begin + 10]
            if self._options.delay:
                await asyncio.sleep(self._options.delay)
            audio = b"".join(self._silence if char.isspace() else self._tone for char in piece)
            if self._options.alignment:
                yield Speech(audio, list(piece), [i * each for i in range(len(piece))], [each] * len(piece))
            else:
                yield Speech(audio)

    async def aclose(self) -> None:
        """Nothing to free."""


def create_speech_to_text(options: Mapping[str, Any], context: EngineContext) -> ScriptedSpeechToText:
    """Factory of the engine `stt: scripted`."""
    return ScriptedSpeechToText(_options(options, _SttOptions, "stt"))


def create_text_to_speech(options: Mapping[str, Any], context: EngineContext) -> ScriptedTextToSpeech:
    """Factory of the engine `tts: scripted`."""
    return ScriptedTextToSpeech(_options(options, _TtsOptions, "tts"))


def _options(options: Mapping[str, Any], kind: Any, name: str) -> Any:
    try:
        return msgspec.convert(dict(options), kind)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error), path=f"conversation_config.antiphon.{name}") from error
