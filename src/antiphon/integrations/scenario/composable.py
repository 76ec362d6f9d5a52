"""An agent put together on your side: speech to text, a language model, text to speech."""

from __future__ import annotations

import asyncio
import os
from typing import Any, ClassVar

from . import langwatch
from .adapter import VoiceAgentAdapter
from .audio_chunk import AudioChunk
from .capabilities import AdapterCapabilities
from .language_model import LanguageModel, language_model
from .speech_to_text import ElevenLabsSTTProvider, STTProvider
from .text_to_speech import ElevenLabsTTSProvider, TTSProvider

__all__ = ["ComposableVoiceAgent", "ElevenLabsVoiceAgent"]

DEFAULT_LLM = "openai/gpt-5.4-mini"
DEFAULT_VOICE = "EXAVITQu4vr4xnSDxMaL"
"Of ElevenLabs. An Antiphon server's voices have other names (GET /v1/voices)."


class ComposableVoiceAgent(VoiceAgentAdapter):
    """An agent that hears with `stt`, thinks with `llm` and speaks with `tts`, one turn after the other.

    `llm`: the name of a model, see language_model, or a function from messages to text. `tts`: something that speaks,
    or `elevenlabs/<voice>`; where Scenario is installed, also another of its `provider/voice`.

    Raises:
        ValueError: a `tts` that nobody here can speak with.
    """

    capabilities: ClassVar[AdapterCapabilities] = AdapterCapabilities(
        streaming_transcripts=True,
        native_vad=False,
        dtmf=False,
        input_formats=["pcm16/24000"],
        output_formats=["pcm16/24000"],
    )
    DEFAULT_SYSTEM_PROMPT = "You are on a voice call. Be friendly, speak plainly, and be brief."

    def __init__(
        self, stt: STTProvider, llm: str | LanguageModel, tts: str | TTSProvider, *, system_prompt: str | None = None
    ) -> None:
        super().__init__()
        self.stt = stt
        self.llm = llm
        self.tts = tts
        self.last_user_transcript: str | None = None
        "What it understood last."
        self.last_llm_response: str | None = None
        "What the model answered last."
        self.messages: list[dict[str, Any]] = []
        "The conversation so far, as the model sees it."
        self._think: LanguageModel | None = None if isinstance(llm, str) else llm
        self._speak = _speaker(tts) if isinstance(tts, str) else tts
        self._system_prompt = system_prompt or self.DEFAULT_SYSTEM_PROMPT
        self._has_answered = False
        self._begin()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(llm={self.llm!r}, tts={self.tts!r})"

    def _begin(self) -> None:
        self.last_user_transcript = self.last_llm_response = None
        self.messages = [{"role": "system", "content": self._system_prompt}]
        self._has_answered = False

    async def connect(self) -> None:
        """Begin a conversation: nothing of an earlier one is remembered."""
        self._begin()

    async def disconnect(self) -> None:
        """Nothing is open."""

    async def send_audio(self, chunk: AudioChunk) -> None:
        """Hear one turn of the user. Errors are those of `stt`."""
        self.last_user_transcript = await self.stt.transcribe(chunk)
        self.messages.append({"role": "user", "content": self.last_user_transcript})
        self._has_answered = False

    async def recv_audio(self, timeout: float) -> AudioChunk:
        """The whole answer in one piece, with its text; after it, empty ones until the user's next turn.

        An answer that fails or is too late is forgotten: the next call thinks again.

        Raises:
            TimeoutError: thinking and speaking took more than `timeout` seconds.
        """
        if self._has_answered:
            return AudioChunk(data=b"")
        try:
            async with asyncio.timeout(timeout):
                if self._think is None:
                    self._think = language_model(str(self.llm))
                text = await self._think(self.messages)
                self.last_llm_response = text
                chunk = await self._speak.synthesize(text)
        except TimeoutError:
            raise TimeoutError(f"{type(self).__name__}: no answer within {timeout:g} s") from None
        self.messages.append({"role": "assistant", "content": text})
        self._has_answered = True
        return AudioChunk(data=chunk.data, transcript=chunk.transcript or text or None)


class ElevenLabsVoiceAgent(ComposableVoiceAgent):
    """A ComposableVoiceAgent that hears and speaks at a server with the ElevenLabs API.

    For an agent that lives on the server, see ElevenLabsAgentAdapter. `voice`: one that the server has, by default
    ELEVENLABS_VOICE_ID. `base_url`: by default ELEVENLABS_BASE_URL, and without that ElevenLabs.

    Raises:
        ValueError: `base_url` is no address or ends in /v1.
    """

    def __init__(
        self,
        api_key: str,
        *,
        llm: str | LanguageModel = DEFAULT_LLM,
        voice: str | None = None,
        stt: STTProvider | None = None,
        system_prompt: str | None = None,
        base_url: str | None = None,
    ) -> None:
        chosen = voice or os.environ.get("ELEVENLABS_VOICE_ID") or DEFAULT_VOICE
        self.voice = f"elevenlabs/{chosen.removeprefix('elevenlabs/')}"
        super().__init__(
            stt or ElevenLabsSTTProvider(api_key, base_url=base_url),
            llm,
            ElevenLabsTTSProvider(self.voice, api_key, base_url=base_url),
            system_prompt=system_prompt,
        )

    def __repr__(self) -> str:
        return f"ElevenLabsVoiceAgent(api_key='***', llm={self.llm!r}, voice={self.voice!r})"


class _ScenarioVoice:
    """A voice of Scenario's own."""

    def __init__(self, voice: str) -> None:
        self._voice = voice

    async def synthesize(self, text: str) -> AudioChunk:
        return await langwatch.voice.synthesize(text, self._voice)


def _speaker(voice: str) -> TTSProvider:
    if voice.startswith("elevenlabs/"):
        return ElevenLabsTTSProvider(voice)
    if langwatch.voice is not None:
        return _ScenarioVoice(voice)
    raise ValueError(f"without Scenario, a voice is 'elevenlabs/<voice>' or an object that speaks, not {voice!r}")
