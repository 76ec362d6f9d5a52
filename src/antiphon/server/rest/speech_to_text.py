"""Speech to text: what the default engine hears in a recording.

`keyterms` are passed over like all that is not named here: the engine makes a small model of such words, for callers
who say what can be foreseen, and hears less with it in anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile

from antiphon.audio.riff import Sound, is_wav, parse_wav
from antiphon.engines.base import SAMPLE_RATE, VoiceActivity
from antiphon.errors import ConfigError
from antiphon.server.fetching import FetchError, fetch
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.rest.languages import short_code
from antiphon.server.rest.speech_errors import told
from antiphon.server.services import Services
from antiphon.server.transcription import Utterance, at_engine_rate, find_speech, transcribe

router = APIRouter(prefix="/v1/speech-to-text", tags=["speech to text"], dependencies=[KeyNeeded])

MOST_BYTES = 200 * 1024 * 1024
MOST_SECONDS = 3600.0
"Of one recording."
MOST_CHANNELS = 5
"That are heard one by one."
DOWNLOAD = 60.0
"Seconds that a recording on the web may take."
ACCEPTED = (
    "WAV files (PCM of 8 to 32 bits, floats, A-law, mu-law), and raw PCM of 16 bits at 16 kHz with file_format "
    "pcm_s16le_16, are understood here"
)

_FIELDS: dict[str, Any] = {
    "model_id": {"type": "string", "description": "Any: there is one engine."},
    "file": {"type": "string", "format": "binary", "description": ACCEPTED},
    "source_url": {"type": "string", "description": "Where the recording is, if it is not sent."},
    "file_format": {"type": "string", "enum": ["pcm_s16le_16", "other"], "default": "other"},
    "language_code": {"type": "string", "description": "Left out: English."},
    "timestamps_granularity": {"type": "string", "enum": ["none", "word", "character"], "default": "word"},
    "diarize": {"type": "boolean", "description": "Everything is said by one speaker."},
    "use_multi_channel": {"type": "boolean", "description": "Whether each channel is heard by itself."},
}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {"multipart/form-data": {"schema": {"type": "object", "properties": _FIELDS, "required": ["model_id"]}}},
}


@router.post("", openapi_extra={"requestBody": _BODY})
async def transcribe_recording(request: Request, services: ServicesOf) -> dict[str, Any]:
    """What is said in a recording, in words with their times: an utterance's are known, its words share it."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > MOST_BYTES + 1_000_000:
        raise ApiError(413, "file_too_large", f"a recording has {MOST_BYTES} bytes at most")
    async with request.form() as form:
        fields = Fields(form)
        if fields.flag("webhook"):
            raise ApiError(400, "webhook_not_supported", "transcripts are answered here, not posted: leave webhook out")
        sound = await _sound(services, fields)
    if sound.seconds > MOST_SECONDS:
        raise ApiError(400, "audio_too_long", f"a recording lasts {MOST_SECONDS:g} s at most, not {sound.seconds:.0f}")
    answer: dict[str, Any]
    if not fields.flag("use_multi_channel") or len(sound.channels) == 1:
        answer = await _heard(services, sound.mono, sound.rate, fields)
    else:
        if len(sound.channels) > MOST_CHANNELS:
            raise ApiError(400, "too_many_channels", f"{MOST_CHANNELS} channels at most are heard one by one")
        transcripts: list[dict[str, Any]] = []
        for index, channel in enumerate(sound.channels):
            heard = await _heard(services, channel, sound.rate, fields)
            words = [{**word, "channel_index": index} for word in heard["words"]]
            transcripts.append({**heard, "words": words, "channel_index": index})
        answer = {"transcripts": transcripts}
    answer["transcription_id"] = services.new_id("trans")
    answer["audio_duration_secs"] = round(sound.seconds, 3)
    return answer


class Fields:
    """The fields of the form. One client writes `null` for what it leaves out (rest.md 8.2)."""

    def __init__(self, form: FormData) -> None:
        self._form = form

    def text(self, name: str, default: str = "") -> str:
        """A field, or the default."""
        value = self._form.get(name)
        return value.strip() if isinstance(value, str) and value.strip() not in ("", "null") else default

    def flag(self, name: str) -> bool:
        """A field that is true or false."""
        return self.text(name).lower() in ("true", "1", "yes", "on")

    def file(self, name: str) -> UploadFile | None:
        """A file, if one was sent."""
        value = self._form.get(name)
        return value if isinstance(value, UploadFile) else None


async def _sound(services: Services, fields: Fields) -> Sound:
    if not fields.text("model_id"):
        raise ApiError(400, "model_id_missing", "the field model_id is needed; any name will do")
    data = await _data(services, fields)
    if not data:
        raise ApiError(400, "file_empty", "the recording is empty")
    raw = fields.text("file_format") == "pcm_s16le_16" and not is_wav(data)
    try:
        sound = Sound(SAMPLE_RATE, (data[: len(data) & ~1],)) if raw else await asyncio.to_thread(parse_wav, data)
    except ConfigError as error:
        raise ApiError(400, "audio_format_not_supported", f"{error.message}; {ACCEPTED}") from error
    if not sound.channels[0]:
        raise ApiError(400, "file_empty", "there is no sound in the recording")
    return sound


async def _data(services: Services, fields: Fields) -> bytes:
    file = fields.file("file")
    url = fields.text("source_url") or fields.text("cloud_storage_url")
    if (file is None) == (not url):
        raise ApiError(400, "file_missing", "one of the fields file and source_url is needed")
    if file is not None:
        data = await file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ApiError(413, "file_too_large", f"a recording has {MOST_BYTES} bytes at most")
        return data
    try:
        return (await fetch(url, services.tool_hosts, most=MOST_BYTES, timeout=DOWNLOAD)).data
    except FetchError as error:
        raise ApiError(400, "source_url_not_usable", f"the recording could not be fetched: {error}") from error


async def _heard(services: Services, audio: bytes, rate: int, fields: Fields) -> dict[str, Any]:
    """One channel's transcript."""
    given = fields.text("language_code")
    language = short_code(given or "en")
    with told():
        async with services.speech.working(), services.speech.recogniser(language=language) as stt:
            audio = await asyncio.to_thread(at_engine_rate, audio, rate)
            speech = await asyncio.to_thread(find_speech, audio, _vad(services))
            utterances = await transcribe(audio, speech, stt)
    return {
        "language_code": language,
        # Nobody has listened for the language: it is what was said to be, or the one that was assumed.
        "language_probability": 1.0 if given else 0.0,
        "text": " ".join(utterance.text for utterance in utterances),
        "words": _words(utterances, fields.text("timestamps_granularity", "word"), diarize=fields.flag("diarize")),
    }


def _vad(services: Services) -> VoiceActivity | None:
    """What finds the pauses; None: it cannot be had here."""
    try:
        return services.speech.voice_activity().stream()
    except ConfigError:
        return None


def _words(utterances: Sequence[Utterance], granularity: str, *, diarize: bool) -> list[dict[str, Any]]:
    """Words and what is between them. An utterance's characters are taken to be equally long."""
    speaker = "speaker_0" if diarize else None
    words: list[dict[str, Any]] = []

    def add(text: str, start: float, end: float) -> None:
        word: dict[str, Any] = {
            "text": text,
            "type": "spacing" if text.isspace() else "word",
            "start": None if granularity == "none" else round(start, 3),
            "end": None if granularity == "none" else round(end, 3),
            "speaker_id": speaker,
            "logprob": 0.0,
        }
        if granularity == "character":
            each = (end - start) / len(text)
            word["characters"] = [
                {"text": char, "start": round(start + i * each, 3), "end": round(start + (i + 1) * each, 3)}
                for i, char in enumerate(text)
            ]
        words.append(word)

    ended = 0.0
    for utterance in utterances:
        if words:
            add(" ", ended, max(ended, utterance.start))
        parts = utterance.text.split()
        each = (utterance.end - utterance.start) / (sum(map(len, parts)) + len(parts) - 1)
        now = utterance.start
        for index, part in enumerate(parts):
            if index:
                add(" ", now, now + each)
                now += each
            add(part, now, now + each * len(part))
            now += each * len(part)
        ended = utterance.end
    return words
