"""Text to speech at a server that speaks the ElevenLabs API."""

from __future__ import annotations

import json
import logging
import os
from typing import Protocol
from urllib.parse import quote

from antiphon.errors import SessionError

from .audio_chunk import AUDIO_FORMAT, AudioChunk
from .rest import HOSTED, base_url_of, post

__all__ = ["ElevenLabsTTSProvider", "TTSProvider"]

_log = logging.getLogger(__name__)


class TTSProvider(Protocol):
    """Something that speaks."""

    async def synthesize(self, text: str) -> AudioChunk:
        """The text as sound."""
        ...


class ElevenLabsTTSProvider:
    """POST /v1/text-to-speech/{voice} of a server: ElevenLabs', or an Antiphon server.

    `voice_id`: one that the server has, with or without `elevenlabs/` before it. `api_key`, `base_url`, `timeout`: as
    for ElevenLabsSTTProvider. `model_id`: None leaves it to the server.

    Raises:
        ValueError: `base_url` is no address or ends in /v1.
    """

    def __init__(
        self,
        voice_id: str,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        model_id: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.voice_id = voice_id.removeprefix("elevenlabs/")
        self.api_key = api_key or os.environ.get("ELEVENLABS_API_KEY", "")
        self.model_id = model_id
        self._base_url = base_url_of(base_url) or HOSTED
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"ElevenLabsTTSProvider(voice_id={self.voice_id!r}, api_key='***')"

    async def synthesize(self, text: str) -> AudioChunk:
        """The text as sound, which carries it as its transcript. Of no text, no sound, without asking.

        Raises:
            SessionError: the server refuses, or does not answer.
        """
        if not text.strip():
            return AudioChunk(data=b"")
        url = f"{self._base_url}/v1/text-to-speech/{quote(self.voice_id, safe='')}?output_format={AUDIO_FORMAT}"
        headers = {"xi-api-key": self.api_key, "content-type": "application/json"}
        body = {"text": text} | ({"model_id": self.model_id} if self.model_id else {})
        answer = await post(url, headers, json.dumps(body).encode(), timeout=self._timeout)
        if answer.status >= 400:
            _log.debug("text to speech was refused: %s", answer.body[:300])  # not in the error, which ends up in traces
            raise SessionError(f"text to speech: the server answered {answer.status}")
        return AudioChunk(data=answer.body[: len(answer.body) // 2 * 2], transcript=text)
