"""A conversation's messages as LlamaIndex's events. The names and fields are those of its own ElevenLabs package."""

from __future__ import annotations

import base64
from typing import Any

from pydantic import AliasChoices, ConfigDict, Field, ValidationError

from . import core

_BaseVoiceAgentEvent: Any = core.voice_agents.BaseVoiceAgentEvent


class VoiceAgentEvent(_BaseVoiceAgentEvent):
    """A message of the server. `type_t` is its type, the rest of it are attributes, such as `event_id`."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    type_t: str = Field(serialization_alias="type")


class ConversationInitEvent(VoiceAgentEvent):
    """The server has accepted the conversation."""

    conversation_id: str


class AudioEvent(VoiceAgentEvent):
    """A piece of the agent's speech, base64; empty where the voice agent does not keep audio."""

    base_64_encoded_audio: str = Field(validation_alias=AliasChoices("audio_base_64", "base_64_encoded_audio"))

    @property
    def audio(self) -> bytes:
        """The same, decoded."""
        return base64.b64decode(self.base_64_encoded_audio)


class AgentResponseEvent(VoiceAgentEvent):
    """What the agent says."""

    agent_response: str


class AgentResponseCorrectionEvent(VoiceAgentEvent):
    """What was heard of it, after an interruption."""

    original_agent_response: str = ""
    corrected_agent_response: str


class UserTranscriptionEvent(VoiceAgentEvent):
    """What the user has said."""

    user_transcript: str


class InterruptionEvent(VoiceAgentEvent):
    """The user has interrupted the agent."""


class PingEvent(VoiceAgentEvent):
    """The server asks whether we are there. `ping_ms`: the latest round trip; None before there was one."""

    ping_ms: float | None = None


class ClientToolCallEvent(VoiceAgentEvent):
    """The agent calls one of our tools."""

    tool_call_id: str
    tool_name: str
    parameters: Any = None


_KINDS: dict[str, tuple[str, type[VoiceAgentEvent]]] = {
    "conversation_initiation_metadata": ("conversation_initiation_metadata_event", ConversationInitEvent),
    "audio": ("audio_event", AudioEvent),
    "agent_response": ("agent_response_event", AgentResponseEvent),
    "agent_response_correction": ("agent_response_correction_event", AgentResponseCorrectionEvent),
    "user_transcript": ("user_transcription_event", UserTranscriptionEvent),
    "interruption": ("interruption_event", InterruptionEvent),
    "ping": ("ping_event", PingEvent),
    "client_tool_call": ("client_tool_call", ClientToolCallEvent),
}


def event_of(message: dict[str, Any]) -> VoiceAgentEvent:
    """The event of a message; a plain VoiceAgentEvent where there is no class for it, or it is not as it should be."""
    name = str(message.get("type"))
    key, kind = _KINDS.get(name, ("", VoiceAgentEvent))
    payload: Any = message.get(key)
    if isinstance(payload, dict):
        try:
            return kind.model_validate({**payload, "type_t": name})
        except ValidationError:
            pass
    return VoiceAgentEvent.model_validate({**message, "type_t": name})
