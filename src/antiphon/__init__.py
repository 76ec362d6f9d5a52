"""Open, self-hosted voice agents that speak the ElevenLabs Agents protocol, and a Python client for them.

The names of the client are here; they are loaded when first used, so that `import antiphon` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from antiphon.client.audio_interface import AsyncAudioInterface, AudioInterface
    from antiphon.client.devices.file import FileAudioInterface
    from antiphon.client.devices.memory import MemoryAudioInterface
    from antiphon.client.disconnection import DisconnectionDetails
    from antiphon.client.initiation import ConversationInitiationData
    from antiphon.client.rest import Antiphon
    from antiphon.client.tools import ClientTools
    from antiphon.conversational_ai.conversation import AsyncConversation, Conversation
    from antiphon.conversational_ai.default_audio_interface import AsyncDefaultAudioInterface, DefaultAudioInterface

__all__ = [
    "Antiphon",
    "AsyncAudioInterface",
    "AsyncConversation",
    "AsyncDefaultAudioInterface",
    "AudioInterface",
    "ClientTools",
    "Conversation",
    "ConversationInitiationData",
    "DefaultAudioInterface",
    "DisconnectionDetails",
    "FileAudioInterface",
    "MemoryAudioInterface",
    "__version__",
]

__version__ = "0.1.0"

_HOMES = {
    "Antiphon": "client.rest",
    "AsyncAudioInterface": "client.audio_interface",
    "AsyncConversation": "conversational_ai.conversation",
    "AsyncDefaultAudioInterface": "conversational_ai.default_audio_interface",
    "AudioInterface": "client.audio_interface",
    "ClientTools": "client.tools",
    "Conversation": "conversational_ai.conversation",
    "ConversationInitiationData": "client.initiation",
    "DefaultAudioInterface": "conversational_ai.default_audio_interface",
    "DisconnectionDetails": "client.disconnection",
    "FileAudioInterface": "client.devices.file",
    "MemoryAudioInterface": "client.devices.memory",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"antiphon.{_HOMES[name]}"), name)
