"""Text to speech: what the default engine says, in the format that the client asks for."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.types import Receive, Scope, Send

from antiphon.engines.base import Speech, TextToSpeech, closing
from antiphon.errors import ConfigError
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.rest.languages import short_code
from antiphon.server.rest.output_formats import OutputFormat, Writer, parse_output_format, whole, writer
from antiphon.server.rest.speech_errors import told
from antiphon.server.rest.voices import known_voice
from antiphon.server.services import Services
from antiphon.server.speech_engines import MOST_AT_ONCE

router = APIRouter(prefix="/v1/text-to-speech", tags=["text to speech"], dependencies=[KeyNeeded])

MOST_CHARACTERS = 40_000
"Of one text: about three quarters of an hour."
SLOWEST, FASTEST = 0.5, 2.0
"What `voice_settings.speed` is brought into."
LONGEST_WORDLESS = 0.5
"Seconds of sound that are gathered, at most, before they are sent with their times."

_Format = Annotated[str, Query(description="As `mp3_44100_128`, `pcm_16000`, `wav_24000`, `ulaw_8000`, `alaw_8000`.")]


class VoiceSettings(BaseModel):
    """How it is to sound. What an engine cannot do is passed over."""

    model_config = ConfigDict(extra="allow")

    speed: float | None = None


class SpeechRequest(BaseModel):
    """What is to be said. Whatever else clients send is passed over."""

    model_config = ConfigDict(extra="allow")

    text: str
    model_id: str | None = None
    "Any: there is one engine."
    language_code: str | None = None
    "Of voices that speak any language; one that the engine does not speak is passed over."
    voice_settings: VoiceSettings | None = None


@router.post("/{voice_id}", response_class=Response)
async def speak(
    services: ServicesOf, voice_id: str, body: SpeechRequest, output_format: _Format = "mp3_44100_128"
) -> Response:
    """The whole speech at once."""
    async with AsyncExitStack() as stack:
        speaking = await _begin(services, stack, voice_id, body, output_format)
        with told():
            audio = b"".join([written async for written, _ in speaking.written()])
    return Response(whole(speaking.output, audio), headers=speaking.headers, media_type=speaking.output.media_type)


@router.post("/{voice_id}/stream", response_class=StreamingResponse)
async def speak_streamed(
    services: ServicesOf, voice_id: str, body: SpeechRequest, output_format: _Format = "mp3_44100_128"
) -> Response:
    """The speech as it is made."""
    async with AsyncExitStack() as stack:
        speaking = await _begin(services, stack, voice_id, body, output_format)
        sound = (written async for written, _ in speaking.written() if written)
        return _Streamed(sound, stack.pop_all(), headers=speaking.headers, media_type=speaking.output.media_type)


@router.post("/{voice_id}/with-timestamps")
async def speak_with_timestamps(
    services: ServicesOf, voice_id: str, body: SpeechRequest, output_format: _Format = "mp3_44100_128"
) -> JSONResponse:
    """The whole speech, and when each character of the text is heard."""
    async with AsyncExitStack() as stack:
        speaking = await _begin(services, stack, voice_id, body, output_format)
        audio, timing = b"", Timing()
        with told():
            async for written, part in speaking.written():
                audio += written
                timing.extend(part)
    timing = timing if timing.characters else Timing.even(_plain(body.text), timing.seconds)
    answer = _timed(whole(speaking.output, audio), timing)
    return JSONResponse(answer, headers=speaking.headers)


@router.post("/{voice_id}/stream/with-timestamps", response_class=StreamingResponse)
async def speak_streamed_with_timestamps(
    services: ServicesOf, voice_id: str, body: SpeechRequest, output_format: _Format = "mp3_44100_128"
) -> Response:
    """The same as it is made: a JSON object a line, its times counted from the beginning of the speech."""
    async with AsyncExitStack() as stack:
        speaking = await _begin(services, stack, voice_id, body, output_format)
        return _Streamed(_lines(speaking), stack.pop_all(), headers=speaking.headers, media_type="application/json")


# ---------------------------------------------------------------------------------------------------------- speaking


@dataclass(slots=True)
class Timing:
    """When characters are heard, in seconds since the speech began."""

    characters: list[str] = field(default_factory=list[str])
    starts: list[float] = field(default_factory=list[float])
    ends: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    "How long all of it sounds."

    def extend(self, later: Timing) -> None:
        """What comes next."""
        self.characters += later.characters
        self.starts += later.starts
        self.ends += later.ends
        self.seconds = later.seconds

    @classmethod
    def of(cls, speech: Speech, began: float, seconds: float) -> Timing:
        """Of a piece that begins at `began` and lasts so many seconds."""
        starts = [began + start for start in speech.starts]
        ends = [start + duration for start, duration in zip(starts, speech.durations, strict=True)]
        return cls(list(speech.chars), starts, ends, began + seconds)

    @classmethod
    def even(cls, text: str, seconds: float) -> Timing:
        """Where nobody knows: every character as long as every other."""
        each = seconds / len(text)
        starts = [index * each for index in range(len(text))]
        return cls(list(text), starts, [start + each for start in starts], seconds)


@dataclass(slots=True)
class _Speaking:
    """A speech that has begun to sound."""

    output: OutputFormat
    headers: dict[str, str]
    first: Speech
    rest: AsyncIterator[Speech]
    rate: int
    writer: Writer

    async def written(self) -> AsyncGenerator[tuple[bytes, Timing]]:
        """What the client gets, piece by piece; to the last belongs no text. Encoding is done in a thread."""
        spoken = 0
        async for speech in self._pieces():
            began, seconds = spoken / self.rate, len(speech.audio) / (2 * self.rate)
            spoken += len(speech.audio) // 2
            yield await asyncio.to_thread(self.writer.write, speech.audio), Timing.of(speech, began, seconds)
        yield await asyncio.to_thread(self.writer.finish), Timing(seconds=spoken / self.rate)

    async def _pieces(self) -> AsyncGenerator[Speech]:
        yield self.first
        async for speech in self.rest:
            yield speech


async def _begin(
    services: Services, stack: AsyncExitStack, voice_id: str, body: SpeechRequest, output_format: str
) -> _Speaking:
    """Have it begin to sound, so that what can go wrong does while there is a status to tell it with. Raises ApiError.

    `stack` is to be left when it is over.
    """
    output = parse_output_format(output_format)
    text = _plain(body.text)
    if not text.strip():
        raise ApiError(400, "input_text_empty", "the text is empty")
    if len(text) > MOST_CHARACTERS:
        message = f"a text has {MOST_CHARACTERS} characters at most, not {len(text)}"
        raise ApiError(400, "max_character_limit_exceeded", message)
    voice = await known_voice(services, voice_id)
    with told():
        await stack.enter_async_context(services.speech.working())
        engine = await _engine(services, stack, voice.id, body)
        pieces = await stack.enter_async_context(closing(engine.speak(text)))
        first = await anext(pieces, None)
    if first is None:
        raise ApiError(400, "input_text_empty", "there is nothing in the text that could be said")
    headers = {
        "character-cost": str(len(text)),
        "current-concurrent-requests": str(services.speech.busy),
        "maximum-concurrent-requests": str(MOST_AT_ONCE),
    }
    return _Speaking(output, headers, first, pieces, engine.sample_rate, writer(output, engine.sample_rate))


def _plain(text: str) -> str:
    """A text that engines can be given, as long as it was: no NUL, no half of a surrogate pair."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


async def _engine(services: Services, stack: AsyncExitStack, voice_id: str, body: SpeechRequest) -> TextToSpeech:
    """The voice, in the language that is asked for where it speaks that."""
    speed = body.voice_settings.speed if body.voice_settings is not None else None
    speed = round(min(max(speed, SLOWEST), FASTEST), 2) if speed is not None and isfinite(speed) else 1.0
    language = short_code(body.language_code or "en")
    for code in dict.fromkeys((language, language.partition("-")[0])):
        try:
            speaker = services.speech.speaker(voice_id=voice_id, language=code, speed=speed)
            return await stack.enter_async_context(speaker)
        except ConfigError:
            continue
    return await stack.enter_async_context(services.speech.speaker(voice_id=voice_id, speed=speed))


class _Streamed(StreamingResponse):
    """A body that is made while it is sent; whatever becomes of the client, what makes it is freed."""

    def __init__(self, body: AsyncIterator[bytes], stack: AsyncExitStack, **options: Any) -> None:
        super().__init__(body, **options)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _lines(speaking: _Speaking) -> AsyncGenerator[bytes]:
    """Pieces with their times, as lines: one a piece of sound, more than one piece where they are very short."""
    audio, timing = b"", Timing()
    async for written, part in speaking.written():
        audio += written
        began = timing.starts[0] if timing.starts else part.seconds
        timing.extend(part)
        if audio and timing.seconds - began >= LONGEST_WORDLESS:
            yield _line(audio, timing)
            audio, timing = b"", Timing(seconds=timing.seconds)
    if audio or timing.characters:
        yield _line(audio, timing)


def _line(audio: bytes, timing: Timing) -> bytes:
    return json.dumps(_timed(audio, timing)).encode() + b"\n"


def _timed(audio: bytes, timing: Timing) -> dict[str, Any]:
    alignment = _alignment(timing.characters, timing.starts, timing.ends) if timing.characters else None
    return {
        "audio_base64": base64.b64encode(audio).decode(),
        "alignment": alignment,
        "normalized_alignment": alignment,
    }


def _alignment(characters: Sequence[str], starts: Sequence[float], ends: Sequence[float]) -> dict[str, Any]:
    return {
        "characters": list(characters),
        "character_start_times_seconds": [round(start, 4) for start in starts],
        "character_end_times_seconds": [round(end, 4) for end in ends],
    }
