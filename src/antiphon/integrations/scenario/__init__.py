"""Antiphon's adapters for Scenario, which tests agents by talking to them: inside of it, or alone where it is missing.

The names are loaded when first used. Where langwatch-scenario is installed, the classes are its own or derived from
them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapter import VoiceAgentAdapter, take_turn
    from .audio_chunk import AudioChunk
    from .capabilities import AdapterCapabilities, UnsupportedCapabilityError
    from .composable import ComposableVoiceAgent, ElevenLabsVoiceAgent
    from .elevenlabs import ElevenLabsAgentAdapter
    from .language_model import ChatCompletions
    from .speech_to_text import ElevenLabsSTTProvider, STTProvider
    from .text_to_speech import ElevenLabsTTSProvider

__all__ = [
    "AdapterCapabilities",
    "AudioChunk",
    "ChatCompletions",
    "ComposableVoiceAgent",
    "ElevenLabsAgentAdapter",
    "ElevenLabsSTTProvider",
    "ElevenLabsTTSProvider",
    "ElevenLabsVoiceAgent",
    "STTProvider",
    "UnsupportedCapabilityError",
    "VoiceAgentAdapter",
    "take_turn",
]

_HOMES = {
    "AdapterCapabilities": "capabilities",
    "AudioChunk": "audio_chunk",
    "ChatCompletions": "language_model",
    "ComposableVoiceAgent": "composable",
    "ElevenLabsAgentAdapter": "elevenlabs",
    "ElevenLabsSTTProvider": "speech_to_text",
    "ElevenLabsTTSProvider": "text_to_speech",
    "ElevenLabsVoiceAgent": "composable",
    "STTProvider": "speech_to_text",
    "UnsupportedCapabilityError": "capabilities",
    "VoiceAgentAdapter": "adapter",
    "take_turn": "adapter",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
