"""Speech to text at a server that speaks the ElevenLabs API."""

from __future__ import annotations

import logging
import os
import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from antiphon.audio.riff import wav_header
from antiphon.errors import SessionError

from . import langwatch
from .audio_chunk import SAMPLE_RATE, AudioChunk
from .rest import HOSTED, base_url_of, post

__all__ = ["ELEVENLABS_STT_MODEL", "ElevenLabsSTTProvider", "STTProvider"]

ELEVENLABS_STT_MODEL = "scribe_v1"

_log = logging.getLogger(__name__)

if TYPE_CHECKING or langwatch.voice is None:

    class STTProvider(ABC):
        """Something that understands speech. Where Scenario is installed, this is its class."""

        @abstractmethod
        async def transcribe(self, audio: AudioChunk) -> str:
            """What is said."""

else:
    STTProvider = langwatch.voice.STTProvider


class ElevenLabsSTTProvider(STTProvider):
    """POST /v1/speech-to-text of a server: ElevenLabs', or an Antiphon server.

    `api_key`: by default ELEVENLABS_API_KEY. `base_url`: by default ELEVENLABS_BASE_URL, and without that ElevenLabs.
    `timeout`: seconds that the server may take.

    Raises:
        ValueError: `base_url` is no address or ends in /v1.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        model_id: str = ELEVENLABS_STT_MODEL,
        timeout: float = 60.0,
    ) -> None:
        self.api_key = api_key or os.environ.get("ELEVENLABS_API_KEY", "")
        self.model_id = model_id
        self._url = (base_url_of(base_url) or HOSTED) + "/v1/speech-to-text"
        self._timeout = timeout

    def __repr__(self) -> str:
        return "ElevenLabsSTTProvider(api_key='***')"

    async def transcribe(self, audio: AudioChunk) -> str:
        """What is said. Of no sound, nothing, without asking.

        Raises:
            SessionError: the server refuses, or does not answer.
        """
        if not audio.data:
            return ""
        boundary = uuid.uuid4().hex
        headers = {"xi-api-key": self.api_key, "content-type": f"multipart/form-data; boundary={boundary}"}
        answer = await post(self._url, headers, self._form(boundary, audio.data), timeout=self._timeout)
        if answer.status >= 400:
            _log.debug("speech to text was refused: %s", answer.body[:300])  # not in the error, which ends up in traces
            raise SessionError(f"speech to text: the server answered {answer.status}")
        return str(answer.json().get("text") or "")

    def _form(self, boundary: str, audio: bytes) -> bytes:
        disposition = f"--{boundary}\r\nContent-Disposition: form-data; name="
        return b"".join(
            (
                f'{disposition}"model_id"\r\n\r\n{self.model_id}\r\n'.encode(),
                f'{disposition}"file"; filename="audio.wav"\r\nContent-Type: audio/wav\r\n\r\n'.encode(),
                wav_header(SAMPLE_RATE, len(audio)),
                audio,
                f"\r\n--{boundary}--\r\n".encode(),
            )
        )
