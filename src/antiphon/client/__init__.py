"""The parts of a conversation's client: sockets, sound devices, tools, REST. `antiphon.Conversation` has them."""

from __future__ import annotations

from .audio_interface import AsyncAudioInterface, AudioInterface
from .devices.file import FileAudioInterface
from .devices.memory import MemoryAudioInterface
from .disconnection import DisconnectionDetails
from .initiation import ConversationInitiationData
from .rest import Antiphon
from .tools import ClientTools

__all__ = [
    "Antiphon",
    "AsyncAudioInterface",
    "AudioInterface",
    "ClientTools",
    "ConversationInitiationData",
    "DisconnectionDetails",
    "FileAudioInterface",
    "MemoryAudioInterface",
]
