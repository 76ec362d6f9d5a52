"""Antiphon's conversations as voice agents of LlamaIndex: the names of llama-index-voice-agents-elevenlabs.

Needs llama-index-core: `pip install 'antiphon[llama-index]'`.
"""

from __future__ import annotations

from .events import (
    AgentResponseCorrectionEvent,
    AgentResponseEvent,
    AudioEvent,
    ClientToolCallEvent,
    ConversationInitEvent,
    InterruptionEvent,
    PingEvent,
    UserTranscriptionEvent,
    VoiceAgentEvent,
)
from .interface import ElevenLabsVoiceAgentInterface
from .tools import tool_definitions
from .voice_agent import ElevenLabsVoiceAgent

__all__ = [
    "AgentResponseCorrectionEvent",
    "AgentResponseEvent",
    "AudioEvent",
    "ClientToolCallEvent",
    "ConversationInitEvent",
    "ElevenLabsVoiceAgent",
    "ElevenLabsVoiceAgentInterface",
    "InterruptionEvent",
    "PingEvent",
    "UserTranscriptionEvent",
    "VoiceAgentEvent",
    "tool_definitions",
]
