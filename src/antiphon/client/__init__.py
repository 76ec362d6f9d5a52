"""The client: conversations with agents on any server of the protocol."""

from __future__ import annotations

from .audio_interface import AsyncAudioInterface, AudioInterface
from .conversation import AgentChatResponsePartType, AsyncConversation, AudioEventAlignment
from .devices.file import FileAudioInterface
from .devices.memory import MemoryAudioInterface
from .disconnection import DisconnectionDetails
from .initiation import ConversationInitiationData
from .rest import Antiphon
from .tools import ClientTools

__all__ = [
    "AgentChatResponsePartType",
    "Antiphon",
    "AsyncAudioInterface",
    "AsyncConversation",
    "AudioEventAlignment",
    "AudioInterface",
    "ClientTools",
    "ConversationInitiationData",
    "DisconnectionDetails",
    "FileAudioInterface",
    "MemoryAudioInterface",
]
