"""The vocabulary of a conversation: every message that can cross the wire, as a value.

Session, journal, wire, dashboard, record and tests all speak these types; there is no other event model. Field names
are ours; the wire's names live in `codec.py` alone. "Source" names a message of the protocol study (C3, S12, ...).

Every event keeps the fields it does not know in `extra`, and a message of an unknown type becomes an `UnknownEvent`, so
that nothing a newer peer says is lost.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

import msgspec

Json: TypeAlias = dict[str, Any]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What every message has."""

    journaled: ClassVar[Literal["whole", "reference", "never"]] = "whole"
    "How the journal keeps it: as it is, without its audio (which the recording holds), or not at all."

    extra: Json = {}
    "Fields of the payload that this version does not know, by their wire names; they are written back."


class UnknownEvent(msgspec.Struct, frozen=True):
    """A message of a type that this version does not know, kept whole."""

    journaled: ClassVar[Literal["whole", "reference", "never"]] = "whole"

    message: Json


# ---------------------------------------------------------------------------------------------- client -> server


class ConversationInitiation(Event, frozen=True):
    """The client's first word: overrides, variables, who it is. Source: C3."""

    custom_llm_extra_body: Json = {}
    config_override: Json = {}
    "Same shape as the agent's `conversation_config`; each leaf needs the agent's permission."
    dynamic_variables: Json = {}
    source_info: Json = {}
    "`source` and `version` of the client."
    user_id: str | None = None
    tool_mock_config: Json | None = None
    branch_id: str | None = None
    environment: str | None = None


class UserAudio(msgspec.Struct, frozen=True):
    """A piece of the caller's sound. Source: C1, the one message without a `type`."""

    journaled: ClassVar[Literal["whole", "reference", "never"]] = "reference"

    audio: bytes
    "Bytes in the format that ConversationMetadata announced; any length, order = arrival order."


class Pong(Event, frozen=True):
    """The answer to a Ping; its delay is the round trip. Source: C2."""

    journaled: ClassVar[Literal["whole", "reference", "never"]] = "never"

    event_id: int | None = None
    "That of the Ping; the older contract lets it be missing."


class ClientToolResult(Event, frozen=True):
    """What a client tool returned. Source: C4."""

    tool_call_id: str
    result: Any = None
    "Text by the contract; real clients also send numbers, lists and objects (observed: elevenlabs 2.78.0)."
    is_error: bool = False


class ContextualUpdate(Event, frozen=True):
    """Background for the agent: never interrupts, never answered. Source: C5."""

    text: str
    context_id: str | None = None
    "Only the newest update of one id stays in the context."


class UserMessage(Event, frozen=True):
    """A finished user turn, typed. Interrupts and is answered. Source: C6."""

    text: str | None = None
    "None: 'I am here, and silent' (the text-only signal)."
    rich_content_id: str | None = None


class UserActivity(Event, frozen=True):
    """The user is busy typing: do not re-engage yet. Source: C7."""


class MultimodalMessage(Event, frozen=True):
    """A user turn with text and uploaded files. Source: C8."""

    text: str | None = None
    rich_content_id: str | None = None
    file_ids: list[str] = []


class Feedback(Event, frozen=True):
    """A thumb for one agent response. Source: C9."""

    event_id: int
    score: Literal["like", "dislike"] | None = None
    "None clears it."


class McpToolApprovalResult(Event, frozen=True):
    """The user's yes or no to an MCP tool call. Source: C10."""

    tool_call_id: str
    is_approved: bool


class EnclaveSetup(Event, frozen=True):
    """Configuration handed over by the client, before its initiation. Source: C11 (self-hosted orchestrator)."""

    agent_config: Json | None = None
    override_agent_configs: list[Json] | None = None
    tools: list[Json] | None = None
    transcription_webhook_url: str | None = None
    audio_webhook_url: str | None = None
    knowledge_base: Any = None
    bedrock_inference_profile: str | None = None
    transcription_webhook: Json | None = None
    audio_webhook: Json | None = None


# ---------------------------------------------------------------------------------------------- server -> client


class ConversationMetadata(Event, frozen=True):
    """The server's first word, once: this conversation's id and both audio formats. Source: S1."""

    conversation_id: str
    agent_output_audio_format: str = "pcm_16000"
    user_input_audio_format: str = "pcm_16000"


class Alignment(msgspec.Struct, frozen=True):
    """When each character of a chunk of speech sounds: three lists of one length, milliseconds from its start."""

    chars: list[str] = []
    char_start_times_ms: list[int] = []
    char_durations_ms: list[int] = []


class AgentAudio(Event, frozen=True):
    """A piece of the agent's speech, to be played after what came before. Source: S2."""

    journaled: ClassVar[Literal["whole", "reference", "never"]] = "reference"

    audio: bytes
    event_id: int
    alignment: Alignment | None = None


class UserTranscript(Event, frozen=True):
    """What the user said: the final text of one turn. Source: S3."""

    text: str
    event_id: int = 0


class TentativeUserTranscript(Event, frozen=True):
    """What the user seems to be saying; may change. Source: S4."""

    text: str
    event_id: int = 0


class AgentResponse(Event, frozen=True):
    """The whole text of one agent message. Source: S5."""

    text: str
    event_id: int = 0
    response_id: str | None = None


class AgentResponseCorrection(Event, frozen=True):
    """After an interruption: what of the message was heard. Source: S6."""

    original: str
    corrected: str
    event_id: int = 0
    "That of the AgentResponse it corrects."
    response_id: str | None = None


class AgentChatResponsePart(Event, frozen=True):
    """A streamed piece of a text answer: start, any deltas, stop, under one id. Source: S7."""

    text: str = ""
    part: Literal["start", "delta", "stop"] = "delta"
    event_id: int | str = 0


class AgentReasoningResponsePart(Event, frozen=True):
    """A streamed piece of the model's reasoning. Source: S8."""

    text: str = ""
    part: Literal["start", "delta", "stop"] = "delta"
    event_id: str = ""
    "Text by the contract, unlike every other."


class AgentResponseMetadata(Event, frozen=True):
    """What a custom language model attached to its answer. Source: S9."""

    metadata: Any = None
    event_id: int = 0


class AgentResponseComplete(Event, frozen=True):
    """A response has been said to its end. Source: S10."""

    event_id: int = 0


class Interruption(Event, frozen=True):
    """Stop playing: the user has the floor. Its id lies between the old audio's and the new's. Source: S11, 1.4."""

    event_id: int
    reason: str | None = None


class Ping(Event, frozen=True):
    """To be answered at once by a Pong of the same id. Source: S12."""

    journaled: ClassVar[Literal["whole", "reference", "never"]] = "never"

    event_id: int
    ping_ms: int | float | None = None
    "The round trip measured by earlier pings; None at first. The key is always sent (clients.md)."


class VadScore(Event, frozen=True):
    """How much the caller's last 32 ms sound like speech, 0 to 1. Source: S13."""

    journaled: ClassVar[Literal["whole", "reference", "never"]] = "never"

    score: float


class ClientToolCall(Event, frozen=True):
    """A tool for the client to run and answer with a ClientToolResult. Source: S14."""

    tool_name: str
    tool_call_id: str
    parameters: Json = {}
    event_id: int = 0
    expects_response: bool | None = None


class AgentToolRequest(Event, frozen=True):
    """The agent wants a tool of any kind run. Source: S15."""

    tool_name: str
    tool_call_id: str
    tool_type: str = ""
    event_id: int = 0
    parameters: Json | None = None
    "What it is called with; Antiphon's addition, so that the record of any kind of tool is whole."


class AgentToolResponse(Event, frozen=True):
    """How a tool of any kind fared. Source: S16."""

    tool_name: str
    tool_call_id: str
    tool_type: str = ""
    is_error: bool = False
    is_called: bool = True
    event_id: int = 0
    status: str | None = None


class AgentToolResponseFullPayload(Event, frozen=True):
    """How a tool fared, with its whole result as text. Source: S17."""

    tool_name: str
    tool_call_id: str
    tool_type: str = ""
    is_error: bool = False
    is_blocked: bool = False
    is_called: bool = True
    event_id: int = 0
    full_tool_result: str = ""
    truncated: bool = False


class McpToolCall(Event, frozen=True):
    """An MCP tool call on its way: sent again under one id as its state advances. Source: S18."""

    service_id: str
    tool_call_id: str
    tool_name: str
    state: Literal["loading", "awaiting_approval", "success", "failure"]
    tool_description: str | None = None
    parameters: Json = {}
    timestamp: str = ""
    approval_timeout_secs: int | None = None
    result: list[Any] | None = None
    error_message: str | None = None


class McpConnectionStatus(Event, frozen=True):
    """Which MCP servers are connected. Source: S19."""

    integrations: list[Json] = []


class AsrInitiationMetadata(Event, frozen=True):
    """What speech-to-text says of itself; opaque. Source: S20."""

    metadata: Json = {}


class GuardrailTriggered(Event, frozen=True):
    """A guardrail stopped something. Source: S21."""

    guardrail_name: str | None = None


class ContextUsage(Event, frozen=True):
    """How full the model's context is. Source: S22."""

    event_id: int
    model: str
    context_tokens: int
    context_limit_tokens: int


class InternalTurnProbability(Event, frozen=True):
    """How likely the user's turn is over, 0 to 1. Source: S23."""

    turn_probability: float


class InternalTentativeAgentResponse(Event, frozen=True):
    """An answer that was begun before the user's turn was surely over. Source: S24."""

    text: str


class RichContent(Event, frozen=True):
    """A component for the client to show. Source: S25."""

    rich_content_id: str
    component: str
    props: Json = {}
    event_id: int = 0


class AgentTyping(Event, frozen=True):
    """A human agent is typing. Source: S26."""

    is_typing: bool
    duration_ms: int | None = None


class ExternalAgentConnected(Event, frozen=True):
    """A human agent took over. Source: S26."""


class ExternalAgentDisconnected(Event, frozen=True):
    """The human agent left; the AI is back. Source: S26."""


class ErrorEvent(Event, frozen=True):
    """Why the socket is about to close. Source: S27."""

    code: int
    message: str | None = None
    error_type: str | None = None
    reason: str | None = None
    debug_message: str | None = None
    details: Json | None = None


class ClientErrorEvent(Event, frozen=True):
    """Like ErrorEvent, under the name of the newer contract. Source: S28."""

    code: int
    message: str | None = None
    error_type: str | None = None
    error_name: str | None = None


class QueueStatus(Event, frozen=True):
    """The agent is at its limit: waiting, admitted, timed_out. Source: S29."""

    status: str


class DtmfRequest(Event, frozen=True):
    """The agent asks for telephone keys; body unknown, kept in `extra`. Source: S30."""


class TurnWaterfall(Event, frozen=True):
    """Where the milliseconds of one answer went. Antiphon's own; sent where `client_events` asks for it.

    On the wire it is `antiphon_waterfall`. Each stage is seconds and follows the one before, so that they add up to the
    time from the last sound of the user to the first sound of the answer on the wire.
    """

    event_id: int
    "That of the AgentResponse it belongs to."
    stages: dict[str, float] = {}
    "endpointing, stt, llm, clause, tts, output; in this order, missing where nothing was waited for."
    user_speech_ended_at: float = 0.0
    "Seconds since the conversation began: the last sound of the user."
    first_audio_at: float = 0.0
    "Seconds since the conversation began: the answer's first audio was handed to the transport."


ClientEvent: TypeAlias = (
    ConversationInitiation
    | UserAudio
    | Pong
    | ClientToolResult
    | ContextualUpdate
    | UserMessage
    | UserActivity
    | MultimodalMessage
    | Feedback
    | McpToolApprovalResult
    | EnclaveSetup
    | UnknownEvent
)

ServerEvent: TypeAlias = (
    ConversationMetadata
    | AgentAudio
    | UserTranscript
    | TentativeUserTranscript
    | AgentResponse
    | AgentResponseCorrection
    | AgentChatResponsePart
    | AgentReasoningResponsePart
    | AgentResponseMetadata
    | AgentResponseComplete
    | Interruption
    | Ping
    | VadScore
    | ClientToolCall
    | AgentToolRequest
    | AgentToolResponse
    | AgentToolResponseFullPayload
    | McpToolCall
    | McpConnectionStatus
    | AsrInitiationMetadata
    | GuardrailTriggered
    | ContextUsage
    | InternalTurnProbability
    | InternalTentativeAgentResponse
    | RichContent
    | AgentTyping
    | ExternalAgentConnected
    | ExternalAgentDisconnected
    | ErrorEvent
    | ClientErrorEvent
    | QueueStatus
    | DtmfRequest
    | TurnWaterfall
    | UnknownEvent
)
