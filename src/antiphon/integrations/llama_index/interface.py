"""Microphone and loudspeaker of a LlamaIndex voice agent."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from antiphon.conversational_ai.default_audio_interface import DefaultAudioInterface

from . import core

_BaseVoiceAgentInterface: Any = core.voice_agents.BaseVoiceAgentInterface


class ElevenLabsVoiceAgentInterface(DefaultAudioInterface, _BaseVoiceAgentInterface):
    """The computer's own; takes the options of DefaultAudioInterface.

    All that is heard passes through `_microphone_callback`, all that is played through `_speaker_callback`: a subclass
    may look at it there, or change it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._input_callback: Callable[[bytes], None] | None = None

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        """Opens both devices; see DefaultAudioInterface."""
        self._input_callback = input_callback
        super().start(self._microphone_callback)

    def output(self, audio: bytes) -> None:
        """Plays `audio` after what is already waiting, without waiting for it."""
        self._speaker_callback(audio)

    def receive(self, data: bytes | str, *args: Any, **kwargs: Any) -> None:
        """The same for audio as the server sends it: base64 where it is text."""
        self.output(base64.b64decode(data) if isinstance(data, str) else data)

    def _microphone_callback(self, audio: bytes) -> None:
        if self._input_callback is not None:
            self._input_callback(audio)

    def _speaker_callback(self, audio: bytes) -> None:
        super().output(audio)
