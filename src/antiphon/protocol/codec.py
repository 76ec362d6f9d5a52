"""Wire text <-> event. The tables CLIENT and SERVER are the only place that knows a wire name.

Decoding is lenient, because real peers are not strict: numbers may come as text, a null where a field has a default
means the default, unknown fields go to `extra`, unknown types become `UnknownEvent`. What cannot be understood at all
raises RemoteProtocolError and nothing else.

Audio is nearly all of the traffic, so its two messages have a fast path: a prefix recogniser in, a template out. The
recogniser cannot misread: whatever does not look exactly like the shortest form fails base64 validation and is decoded
the long way (measured: performance.md 1).
"""

from __future__ import annotations

import binascii
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import pybase64

from antiphon.errors import LocalProtocolError, RemoteProtocolError

from . import events as ev

E = TypeVar("E")


class Shape(msgspec.Struct, frozen=True):
    """How one event lies on the wire."""

    event: type[Any]
    type: str
    payload: str | None = None
    "Key of the object that holds the fields; None: they lie beside `type`."
    names: Mapping[str, str] = {}
    "Our field name -> the wire's, where they differ."
    aliases: Mapping[str, str] = {}
    "Other wire name -> our field name, for reading."
    opaque: str | None = None
    "The field that is the payload itself, whatever it holds."
    always: tuple[str, ...] = ()
    "Fields that are written even when they hold None."
    as_text: tuple[str, ...] = ()
    "Fields that are text, though a peer may send a number."


CLIENT = (
    Shape(
        ev.ConversationInitiation,
        "conversation_initiation_client_data",
        names={"config_override": "conversation_config_override"},
    ),  # its fields stand in the order in which the original writes them
    Shape(ev.Pong, "pong"),
    Shape(ev.ClientToolResult, "client_tool_result", always=("result",)),
    Shape(ev.ContextualUpdate, "contextual_update", aliases={"content": "text"}),
    Shape(ev.UserMessage, "user_message", always=("text",)),
    Shape(ev.UserActivity, "user_activity"),
    Shape(ev.MultimodalMessage, "multimodal_message"),
    Shape(ev.Feedback, "feedback", always=("score",)),
    Shape(ev.McpToolApprovalResult, "mcp_tool_approval_result"),
    Shape(
        ev.EnclaveSetup,
        "enclave_setup_config",
        names={
            "agent_config": "agent_config_dict",
            "override_agent_configs": "override_agent_config_list",
            "tools": "tools_config_list",
            "knowledge_base": "prompt_knowledge_base",
            "transcription_webhook_url": "post_call_transcription_webhook_url",
            "audio_webhook_url": "post_call_audio_webhook_url",
            "transcription_webhook": "post_call_transcription_webhook",
            "audio_webhook": "post_call_audio_webhook",
        },
        always=(
            "agent_config",
            "override_agent_configs",
            "tools",
            "transcription_webhook_url",
            "audio_webhook_url",
            "knowledge_base",
        ),
    ),
)

SERVER = (
    Shape(ev.ConversationMetadata, "conversation_initiation_metadata", "conversation_initiation_metadata_event"),
    Shape(ev.AgentAudio, "audio", "audio_event", names={"audio": "audio_base_64"}),
    Shape(ev.UserTranscript, "user_transcript", "user_transcription_event", names={"text": "user_transcript"}),
    Shape(
        ev.TentativeUserTranscript,
        "tentative_user_transcript",
        "tentative_user_transcription_event",
        names={"text": "user_transcript"},
    ),
    Shape(ev.AgentResponse, "agent_response", "agent_response_event", names={"text": "agent_response"}),
    Shape(
        ev.AgentResponseCorrection,
        "agent_response_correction",
        "agent_response_correction_event",
        names={"original": "original_agent_response", "corrected": "corrected_agent_response"},
    ),
    Shape(ev.AgentChatResponsePart, "agent_chat_response_part", "text_response_part", names={"part": "type"}),
    Shape(
        ev.AgentReasoningResponsePart,
        "agent_reasoning_response_part",
        "reasoning_response_part",
        names={"part": "type"},
        as_text=("event_id",),  # the one id that the contract makes a string (S8)
    ),
    Shape(ev.AgentResponseMetadata, "agent_response_metadata", "agent_response_metadata_event"),
    Shape(ev.AgentResponseComplete, "agent_response_complete", "agent_response_complete_event"),
    Shape(ev.Interruption, "interruption", "interruption_event"),
    Shape(ev.Ping, "ping", "ping_event", always=("ping_ms",)),
    Shape(ev.VadScore, "vad_score", "vad_score_event", names={"score": "vad_score"}),
    Shape(ev.ClientToolCall, "client_tool_call", "client_tool_call"),
    Shape(ev.AgentToolRequest, "agent_tool_request", "agent_tool_request"),
    Shape(ev.AgentToolResponse, "agent_tool_response", "agent_tool_response"),
    Shape(ev.AgentToolResponseFullPayload, "agent_tool_response_full_payload", "agent_tool_response_full_payload"),
    Shape(ev.McpToolCall, "mcp_tool_call", "mcp_tool_call"),
    Shape(ev.McpConnectionStatus, "mcp_connection_status", "mcp_connection_status"),
    Shape(ev.AsrInitiationMetadata, "asr_initiation_metadata", "asr_initiation_metadata_event", opaque="metadata"),
    Shape(ev.GuardrailTriggered, "guardrail_triggered", "guardrail_triggered_event"),
    Shape(ev.ContextUsage, "context_usage", "context_usage_event"),
    Shape(ev.InternalTurnProbability, "internal_turn_probability", "turn_probability_internal_event"),
    Shape(
        ev.InternalTentativeAgentResponse,
        "internal_tentative_agent_response",
        "tentative_agent_response_internal_event",
        names={"text": "tentative_agent_response"},
    ),
    Shape(ev.RichContent, "rich_content", "rich_content"),
    Shape(ev.AgentTyping, "agent_typing", "agent_typing_event"),
    Shape(ev.ExternalAgentConnected, "external_agent_connected", "external_agent_connected_event"),
    Shape(ev.ExternalAgentDisconnected, "external_agent_disconnected", "external_agent_disconnected_event"),
    Shape(ev.ErrorEvent, "error", "error_event"),
    Shape(ev.ClientErrorEvent, "client_error", "error_event"),
    Shape(ev.QueueStatus, "queue_status", "queue_status_event"),
    Shape(ev.DtmfRequest, "dtmf_request"),
    Shape(ev.TurnWaterfall, "antiphon_waterfall", "antiphon_waterfall_event"),
)

_OPTIONAL_PAYLOAD = {"guardrail_triggered", "external_agent_connected", "external_agent_disconnected"}
"Messages that are complete without their payload object (observed, or 'type only' in the contract)."


class _Table:
    """One direction's shapes, indexed both ways, with what reading and writing need worked out once."""

    def __init__(self, shapes: tuple[Shape, ...]) -> None:
        self.by_type = {shape.type: shape for shape in shapes}
        self.by_event = {shape.event: shape for shape in shapes}
        self.reading: dict[type[Any], dict[str, str]] = {}
        self.defaults: dict[type[Any], frozenset[str]] = {}
        for shape in shapes:
            fields = [f for f in msgspec.structs.fields(shape.event) if f.name != "extra"]
            self.reading[shape.event] = {shape.names.get(f.name, f.name): f.name for f in fields} | dict(shape.aliases)
            self.defaults[shape.event] = frozenset(f.name for f in fields if not f.required)


_CLIENT, _SERVER = _Table(CLIENT), _Table(SERVER)

SERVER_EVENT_TYPES: frozenset[str] = frozenset(_SERVER.by_type)
"Wire names of every server event: what `client_events` may list."

_decode_json = msgspec.json.Decoder(dict[str, Any]).decode
_encode_json = msgspec.json.Encoder().encode
_AUDIO_PREFIXES = ('{"user_audio_chunk": "', '{"user_audio_chunk":"')

MAX_DEPTH = 100
"Levels of nesting in one message. What is read here is written again elsewhere, from a deeper stack."
_MAX_ERROR = 300
"Characters of an error's text: the parser quotes what it does not like, however long that is."


def wire_type(event: ev.ServerEvent | ev.ClientEvent) -> str:
    """The wire's name of an event: what `client_events` lists."""
    if isinstance(event, ev.UnknownEvent):
        return str(event.message.get("type", ""))
    if isinstance(event, ev.UserAudio):
        return "user_audio_chunk"
    shape = _SERVER.by_event.get(type(event)) or _CLIENT.by_event[type(event)]
    return shape.type


# ------------------------------------------------------------------------------------------------------- reading


def decode_client(text: str) -> ev.ClientEvent:
    """One message of a client.

    Raises:
        RemoteProtocolError: it is no JSON object, lacks a required field, or a field has an impossible value.
    """
    for prefix in _AUDIO_PREFIXES:
        if text.startswith(prefix) and text.endswith('"}', len(prefix)):
            try:
                return ev.UserAudio(pybase64.b64decode(text[len(prefix) : -2], validate=True))
            except (binascii.Error, ValueError):
                break  # escapes, spaces, more keys: the long way
    message = _parse(text)
    if "user_audio_chunk" in message:
        return ev.UserAudio(_base64(message["user_audio_chunk"], "user_audio_chunk"))
    if message.get("type") == "multimodal_message":
        return _multimodal(message)
    event: ev.ClientEvent = _read(message, _CLIENT)
    return event


def decode_server(text: str) -> ev.ServerEvent:
    """One message of a server; otherwise as `decode_client`."""
    if '"audio_base_64"' in text[:_AUDIO_LOOK]:
        try:
            body = _decode_audio(text).audio_event
            audio = pybase64.b64decode(body.audio_base_64, validate=True)
            return ev.AgentAudio(audio=audio, event_id=body.event_id, alignment=body.alignment)
        except (msgspec.MsgspecError, UnicodeError, binascii.Error, ValueError):
            pass  # another message, numbers as text, nulls, unknown fields: the long way
    message = _parse(text)
    if message.get("type") == "audio":
        return _agent_audio(message)
    event: ev.ServerEvent = _read(message, _SERVER)
    return event


def _parse(text: str) -> dict[str, Any]:
    try:
        message = _decode_json(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RemoteProtocolError(f"not a JSON object: {error}") from error
    if _deeper(message, MAX_DEPTH):
        raise RemoteProtocolError(f"more than {MAX_DEPTH} levels of nesting")
    return message


_CONTAINERS = (dict, list)


def _deeper(message: dict[str, Any], depth: int) -> bool:
    level: list[dict[str, Any] | list[Any]] = [message]
    for _ in range(depth):
        inside = (node.values() if isinstance(node, dict) else node for node in level)
        level = [value for value in itertools.chain.from_iterable(inside) if type(value) in _CONTAINERS]
        if not level:
            return False
    return True


def _read(message: dict[str, Any], table: _Table) -> Any:
    kind = message.get("type")
    shape = table.by_type.get(kind) if isinstance(kind, str) else None
    if shape is None:
        return ev.UnknownEvent(message)
    body = _payload(message, shape)
    if shape.opaque is not None:
        return shape.event(**{shape.opaque: body})
    reading, defaults = table.reading[shape.event], table.defaults[shape.event]
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in body.items():
        field = reading.get(key)
        if field is None:
            if key != "type" or shape.payload is not None:
                extra[key] = value
        elif (value is not None or field not in defaults) and (key not in shape.aliases or field not in values):
            values[field] = str(value) if field in shape.as_text and isinstance(value, int) else value
    try:
        return msgspec.convert({**values, "extra": extra}, shape.event, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _unreadable(shape, error) from error


def _unreadable(shape: Shape, error: Exception) -> RemoteProtocolError:
    """The parser's complaint, in the words of the wire."""
    text = re.sub(r"(`(?:\$\.)?)(\w+)", lambda found: found[1] + shape.names.get(found[2], found[2]), str(error))
    kind = "missing_fields" if "missing required field" in text else "value_error"
    return RemoteProtocolError(f"{shape.type}: {text}"[:_MAX_ERROR], error_type=kind)


def _payload(message: dict[str, Any], shape: Shape) -> dict[str, Any]:
    if shape.payload is None:
        return message
    body = message.get(shape.payload)
    if isinstance(body, dict):
        return body  # pyright: ignore[reportUnknownVariableType]
    if body is None and shape.type in _OPTIONAL_PAYLOAD:
        return {}
    raise RemoteProtocolError(f"{shape.type}: no object {shape.payload!r}", error_type="missing_fields")


def _base64(value: object, where: str) -> bytes:
    if not isinstance(value, str):
        raise RemoteProtocolError(f"{where}: not base64 text", error_type="value_error")
    try:
        return pybase64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        if len(lines := value.split()) > 1:  # MIME encoders break their lines
            return _base64("".join(lines), where)
        raise RemoteProtocolError(f"{where}: not base64 ({error})", error_type="value_error") from error


class _AudioPayload(msgspec.Struct):
    event_id: int
    alignment: ev.Alignment | None = None


class _PlainAudioPayload(msgspec.Struct, forbid_unknown_fields=True):
    audio_base_64: str
    event_id: int
    alignment: ev.Alignment | None = None


class _PlainAudio(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="audio"):
    """An audio message without anything unusual: read in one go, checked against the slow way by test."""

    audio_event: _PlainAudioPayload


_decode_audio = msgspec.json.Decoder(_PlainAudio).decode
_AUDIO_LOOK = 80
"Characters at the beginning of a message in which an audio message shows itself."


def _agent_audio(message: dict[str, Any]) -> ev.AgentAudio:
    shape = _SERVER.by_type["audio"]
    body = _payload(message, shape)
    audio = _base64(body.get("audio_base_64") or "", "audio_event.audio_base_64")
    extra = {k: v for k, v in body.items() if k not in ("audio_base_64", "event_id", "alignment")}
    alignment = body.get("alignment")
    if isinstance(alignment, dict):  # a list that is null is an empty one
        body["alignment"] = {k: v for k, v in alignment.items() if v is not None}  # pyright: ignore[reportUnknownVariableType]
    try:
        payload = msgspec.convert(body, _AudioPayload, strict=False)
    except msgspec.ValidationError as error:
        raise _unreadable(shape, error) from error
    return ev.AgentAudio(audio=audio, event_id=payload.event_id, alignment=payload.alignment, extra=extra)


def _multimodal(message: dict[str, Any]) -> ev.MultimodalMessage:
    """`files` wins over `file` (protocol.md C8); `text` is a whole user_message inside."""
    said, files = message.get("text"), message.get("files") or [message.get("file")]
    extra = {k: v for k, v in message.items() if k not in ("type", "text", "file", "files")}
    values: dict[str, Any] = {"text": said}
    if isinstance(said, dict):
        values = {key: said.get(key) for key in ("text", "rich_content_id")}  # pyright: ignore[reportUnknownMemberType]
    try:
        ids = [file["file_id"] for file in files if file is not None]
        return msgspec.convert({**values, "file_ids": ids, "extra": extra}, ev.MultimodalMessage, strict=False)
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise RemoteProtocolError(f"multimodal_message: {error}"[:_MAX_ERROR], error_type="value_error") from error


# ------------------------------------------------------------------------------------------------------- writing


def encode_client(event: ev.ClientEvent) -> str:
    """One message to a server, in exactly the text that `json.dumps` prints (the original's tests compare strings).

    Raises:
        LocalProtocolError: it is no client's message, or it holds something that JSON cannot say.
    """
    if isinstance(event, ev.UserAudio):
        return _AUDIO_PREFIXES[0] + pybase64.b64encode_as_string(event.audio) + '"}'
    try:
        return json.dumps(client_json(event))
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{wire_type(event)} cannot be written as JSON: {error}") from error


def encode_server(event: ev.ServerEvent) -> str:
    """One message to a client: compact, payload first, `type` last, as the original server writes.

    Raises:
        LocalProtocolError: it is no server's message, or it holds something that JSON cannot say.
    """
    if type(event) is ev.AgentAudio and not event.extra:
        audio = pybase64.b64encode_as_string(event.audio)
        rest = "" if event.alignment is None else f',"alignment":{_encode_json(event.alignment).decode()}'
        return f'{{"audio_event":{{"audio_base_64":"{audio}","event_id":{event.event_id}{rest}}},"type":"audio"}}'
    try:
        return _encode_json(server_json(event)).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{wire_type(event)} cannot be written as JSON: {error}") from error


def client_json(event: ev.ClientEvent) -> dict[str, Any]:
    """The message as a JSON object."""
    if isinstance(event, ev.UnknownEvent):
        return event.message
    if isinstance(event, ev.UserAudio):
        return {"user_audio_chunk": pybase64.b64encode_as_string(event.audio)}
    if isinstance(event, ev.MultimodalMessage):
        files = [{"type": "file_input", "file_id": file_id} for file_id in event.file_ids]
        message: dict[str, Any] = {"type": "multimodal_message"}
        if event.text is not None or event.rich_content_id is not None:
            message["text"] = {"type": "user_message", "text": event.text}
        if event.rich_content_id is not None:
            message["text"]["rich_content_id"] = event.rich_content_id
        if files:
            message["file"], message["files"] = files[0], files
        return event.extra | message if event.extra else message
    shape = _CLIENT.by_event.get(type(event))
    if shape is None:
        raise LocalProtocolError(f"{type(event).__name__} is not a client's message")
    return _fields(event, shape, {"type": shape.type})


def server_json(event: ev.ServerEvent) -> dict[str, Any]:
    """The message as a JSON object."""
    if isinstance(event, ev.UnknownEvent):
        return event.message
    shape = _SERVER.by_event.get(type(event))
    if shape is None:
        raise LocalProtocolError(f"{type(event).__name__} is not a server's message")
    if shape.payload is None:
        return {**_fields(event, shape, {}), "type": shape.type}
    return {shape.payload: _fields(event, shape, {}), "type": shape.type}


def _fields(event: ev.Event, shape: Shape, body: dict[str, Any]) -> dict[str, Any]:
    """The event's fields, added to `body` under their wire names; unknown ones come last and displace nothing."""
    if shape.opaque is not None:
        return getattr(event, shape.opaque)
    for field in event.__struct_fields__:
        value: Any = getattr(event, field)
        if field == "extra" or (value is None and field not in shape.always):
            continue
        name = shape.names.get(field, field)
        if type(value) is bytes and shape.event is ev.AgentAudio:
            body[name] = pybase64.b64encode_as_string(value)
        else:
            body[name] = value
    for key, value in event.extra.items():
        body.setdefault(key, value)
    return body


# ------------------------------------------------------------------------------------------------------- journal


def journal_json(event: ev.ServerEvent | ev.ClientEvent) -> dict[str, Any] | None:
    """The message as the journal keeps it: audio by its size alone, None for what is not kept."""
    if event.journaled == "never":
        return None
    if isinstance(event, ev.UserAudio):
        return {"user_audio_chunk": {"bytes": len(event.audio)}}
    if isinstance(event, ev.AgentAudio):
        body: dict[str, Any] = {"event_id": event.event_id, "bytes": len(event.audio)}
        if event.alignment is not None:
            body["alignment"] = event.alignment
        return {"audio_event": body, "type": "audio"}
    if type(event) in _SERVER.by_event:
        return server_json(event)  # pyright: ignore[reportArgumentType]
    return client_json(event)  # pyright: ignore[reportArgumentType]
