"""The record of a conversation: a fold of its journal into the body of GET /v1/convai/conversations/{id}.

The shape is the API's (rest.md 3.1), so are the names in it; `antiphon.turns` is ours. `Fold` is handed the journal
line by line and has a method for each thing that can have happened; it knows nothing but what the lines say.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from antiphon.errors import AntiphonError, ProtocolError
from antiphon.protocol import events as ev
from antiphon.protocol.codec import decode_client, decode_server

from .journal import VERSION

Recording: TypeAlias = Literal["user", "response", "auxiliary"]
"A track that has been recorded: the user's voice, the agent's, anything else."

SECRET = "secret__"
"Dynamic variables of this prefix are in no record (protocol.md 2.3)."

SOURCES = frozenset(
    {"python_sdk", "js_sdk", "node_js_sdk", "react_sdk", "react_native_sdk", "swift_sdk", "android_sdk", "flutter_sdk"}
    | {"widget", "template_preview", "subagent_tool", "twilio", "twilio_sms", "sip_trunk", "exotel", "whatsapp"}
    | {"genesys", "genesys_bot_connector", "avaya", "audiocodes", "zendesk_integration", "slack_integration"}
    | {"telegram_integration", "intercom_integration", "freshdesk_integration", "salesforce_integration"}
)
"What the API knows to have begun a conversation; anything else is `unknown`."

_TOOL_TYPES = frozenset({"client", "webhook", "mcp", "system"})


class JournalError(AntiphonError):
    """A journal cannot be read: it is damaged before its end, or it is none."""


# ------------------------------------------------------------------------------------------------------ the lines


class Header(msgspec.Struct, frozen=True):
    """What the first line says."""

    version: int
    conversation_id: str
    agent_id: str
    started_at: float
    agent_name: str = ""
    user_id: str | None = None
    initiation: dict[str, Any] = {}
    authorization_method: str = "public"
    language: str = "en"
    text_only: bool = False


class End(msgspec.Struct, frozen=True):
    """What the last line says."""

    close_code: int
    reason: str = ""
    error_type: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the conversation ended in a way that nobody wanted."""
        return self.error_type is not None and self.close_code != 1000


class Line(msgspec.Struct, frozen=True, rename={"received": "in"}):
    """One line; observations and results of engines are lines of which only the time matters here."""

    at: float
    journal: Header | None = None
    received: msgspec.Raw = msgspec.Raw()
    out: msgspec.Raw = msgspec.Raw()
    end: End | None = None


_decode = msgspec.json.Decoder(Line).decode


def _lines(journal: Iterable[bytes | str]) -> Iterator[tuple[int, Line]]:
    """The lines with their numbers, but for a damaged last one: the process died while it was written."""
    damage: Exception | None = None
    damaged = 0
    for number, text in enumerate(journal, 1):
        if not text.strip():
            continue
        if damage is not None:
            raise JournalError(f"line {damaged} of the journal is damaged: {damage}") from damage
        try:
            yield number, _decode(text)
        except (msgspec.DecodeError, UnicodeError) as error:
            damage, damaged = error, number


# ------------------------------------------------------------------------------------------------------ the turns


@dataclass(slots=True)
class ToolResult:
    """What came of a call."""

    value: str
    is_error: bool
    latency: float

    def document(self, call: ToolCall) -> dict[str, Any]:
        """As an entry of `tool_results`."""
        return {
            "type": call.type,
            "request_id": call.id,
            "tool_name": call.name,
            "result_value": self.value,
            "is_error": self.is_error,
            "tool_has_been_called": call.called,
            "tool_latency_secs": round(self.latency, 3),
            "raw_error_message": self.value if self.is_error else "",
        }


@dataclass(slots=True)
class ToolCall:
    """A call of any kind of tool."""

    id: str
    name: str
    type: str | None
    parameters: Mapping[str, Any]
    at: float
    called: bool = False
    result: ToolResult | None = None

    def document(self) -> dict[str, Any]:
        """As an entry of `tool_calls`."""
        parameters = json.dumps(self.parameters, ensure_ascii=False)
        return {
            "type": self.type,
            "request_id": self.id,
            "tool_name": self.name,
            "params_as_json": parameters,
            "tool_has_been_called": self.called,
            "tool_details": {"type": "client", "parameters": parameters} if self.type == "client" else None,
        }


@dataclass(slots=True)
class Turn:
    """One entry of the transcript. A reply that calls a tool before it says anything has one without a message."""

    role: Literal["user", "agent"]
    at: float
    message: str | None = None
    medium: Literal["audio", "text"] | None = None
    event_id: int | None = None
    first_id: int = 0
    "Of an agent's turn: the first event id of what the user heard of it, at most `event_id`."
    original: str | None = None
    "The whole message, where less of it was heard."
    interrupted: bool = False
    feedback: dict[str, Any] | None = None
    calls: list[ToolCall] = field(default_factory=list[ToolCall])

    def document(self, agent_id: str, stages: Mapping[str, float] | None) -> dict[str, Any]:
        """As an entry of `transcript`. `stages`: of its waterfall, if there is one."""
        return {
            "role": self.role,
            "agent_metadata": {"agent_id": agent_id} if self.role == "agent" else None,
            "message": self.message,
            "tool_calls": [call.document() for call in self.calls],
            "tool_results": [call.result.document(call) for call in self.calls if call.result is not None],
            "feedback": self.feedback,
            "time_in_call_secs": int(self.at),
            "conversation_turn_metrics": {"metrics": _metrics(stages)} if stages and "llm" in stages else None,
            "interrupted": self.interrupted,
            "original_message": self.original,
            "source_medium": self.medium,
            "source_event_id": self.event_id,
        }


def _metrics(stages: Mapping[str, float]) -> dict[str, Any]:
    """The API's own figures, as far as the stages hold them: from the question to the model's first token, and to its
    first sentence."""
    metrics = {"convai_llm_service_ttfb": {"elapsed_time": stages["llm"]}}
    if "clause" in stages:
        metrics["convai_llm_service_ttf_sentence"] = {"elapsed_time": round(stages["llm"] + stages["clause"], 6)}
    return metrics


# ------------------------------------------------------------------------------------------------------- the fold


class Fold:
    """Takes what happened, in order; `document` is the record of it so far."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._end: End | None = None
        self._at = 0.0
        self._turns: list[Turn] = []
        self._calls: dict[str, ToolCall] = {}
        self._waterfalls: list[ev.TurnWaterfall] = []
        self._reply: Turn | None = None
        "The newest turn of the reply that is under way."
        self._first_audio: int | None = None
        "Event id of the first sound of the reply under way, while its text is not out."
        self._typed: Turn | None = None
        "The newest turn, if the user typed it, the client has sent nothing since, and nothing was cut off since."
        self._announced: Turn | None = None
        "The newest turn, if it is the agent's and nothing has been emitted since but its waterfall."

    # ------------------------------------------------------------------------------------------- line by line

    def apply(self, line: Line) -> None:
        """Fold one line in. Raises ProtocolError when it holds a message that is none."""
        self._at = max(self._at, line.at)
        if received := bytes(line.received):
            self._typed = None
            if not received.startswith(b'{"user_audio_chunk"'):  # kept by its size alone
                self._received(decode_client(received.decode()))
        elif out := bytes(line.out):
            if out.startswith(b'{"audio_event"') and (self._reply or self._first_audio):
                self._announced = None
                return  # most lines: of a reply's sound only the first says anything
            self._emitted(decode_server(out.decode()))
        elif line.end is not None:
            self._end = line.end

    def _received(self, event: ev.ClientEvent) -> None:
        match event:
            case ev.UserMessage(text=str() as text) | ev.MultimodalMessage(text=str() as text):
                self._typed = self._add(Turn("user", self._at, text, "text"))
            case ev.ClientToolResult():
                result = event.result if isinstance(event.result, str) else json.dumps(event.result, ensure_ascii=False)
                self._tool_returned(event.tool_call_id, result, event.is_error)
            case ev.Feedback():
                self._rated(event)
            case _:
                pass

    def _emitted(self, event: ev.ServerEvent) -> None:
        announced, self._announced = self._announced, None
        match event:
            case ev.UserTranscript(text=text, event_id=event_id):
                self._reply_over()
                self._add(Turn("user", self._at, text, "audio", event_id))
            case ev.AgentAudio(event_id=event_id):
                if self._reply is None and self._first_audio is None:
                    self._first_audio = event_id
            case ev.AgentResponse():
                self._said(event)
            case ev.AgentResponseCorrection():
                self._corrected(event)
            case ev.AgentResponseComplete():
                self._reply_over()
            case ev.Interruption():
                self._interrupted(announced)
            case ev.ClientToolCall():
                call = self._tool_asked_for(event.tool_call_id, event.tool_name, "client")
                call.parameters, call.called = event.parameters, True
            case ev.AgentToolRequest():
                call = self._tool_asked_for(event.tool_call_id, event.tool_name, event.tool_type)
                call.parameters = event.parameters or call.parameters
            case ev.AgentToolResponse() | ev.AgentToolResponseFullPayload():
                self._tool_reported(event)
            case ev.TurnWaterfall():
                self._waterfalls.append(event)
                self._announced = announced
            case _:
                pass

    # ----------------------------------------------------------------------------------------------- messages

    def _add(self, turn: Turn) -> Turn:
        self._turns.append(turn)
        return turn

    def _messages(self) -> list[Turn]:
        """What the agent has said."""
        return [turn for turn in self._turns if turn.role == "agent" and turn.message is not None]

    def _said(self, event: ev.AgentResponse) -> None:
        first_id = event.event_id if self._first_audio is None else min(self._first_audio, event.event_id)
        turn = Turn("agent", self._at, event.text, event_id=event.event_id, first_id=first_id)
        self._reply = self._announced = self._add(turn)
        self._first_audio = None

    def _reply_over(self) -> None:
        self._reply = self._first_audio = None

    def _interrupted(self, announced: Turn | None) -> None:
        """Of a reply cut off before its text was out, the text comes now: before what was typed to cut it off."""
        if announced is not None and self._typed is not None and self._turns[-2:] == [self._typed, announced]:
            self._turns[-2:] = [announced, self._typed]
        self._typed = None  # it has cut off what it could
        if self._reply is not None:
            self._reply.interrupted = True
        self._calls.clear()  # nobody waits for their results any more
        self._reply_over()

    def _corrected(self, event: ev.AgentResponseCorrection) -> None:
        said = self._messages()
        turn = next((turn for turn in said if turn.event_id == event.event_id), said[-1] if said else None)
        if turn is not None:
            turn.message, turn.original, turn.interrupted = event.corrected, event.original, True

    def _rated(self, event: ev.Feedback) -> None:
        """Clients rate by the id of the message or of its newest sound (observed: @elevenlabs/client)."""
        heard = [turn for turn in self._messages() if turn.first_id <= event.event_id]
        if heard and event.score is None:
            heard[-1].feedback = None
        elif heard:
            heard[-1].feedback = {"score": event.score, "time_in_call_secs": int(self._at)}

    # -------------------------------------------------------------------------------------------------- tools

    def _tool_asked_for(self, call_id: str, name: str, kind: str) -> ToolCall:
        """The call of that id, new or known: a client's tool is told of twice."""
        call = self._calls.get(call_id)
        if call is None:
            call = ToolCall(call_id, name, kind if kind in _TOOL_TYPES else None, {}, self._at)
            self._calls[call_id] = call
            if self._reply is None or self._turns[-1] is not self._reply:
                self._reply = self._add(Turn("agent", self._at))
            self._reply.calls.append(call)
        return call

    def _tool_returned(self, call_id: str, result: str, is_error: bool) -> None:
        """The client's own answer; one that nobody waited for changes nothing."""
        call = self._calls.get(call_id)
        if call is not None and call.result is None:
            call.result = ToolResult(result, is_error, self._at - call.at)

    def _tool_reported(self, event: ev.AgentToolResponse | ev.AgentToolResponseFullPayload) -> None:
        """What the agent made of it: that is what the model read."""
        call = self._calls.get(event.tool_call_id)
        if call is None:
            return
        if call.type != "client":
            call.called = event.is_called
        if call.result is None:
            call.result = ToolResult("", event.is_error, self._at - call.at)
        call.result.is_error = event.is_error
        if isinstance(event, ev.AgentToolResponseFullPayload):
            call.result.value = event.full_tool_result

    # ------------------------------------------------------------------------------------------------ the record

    def document(self, recordings: Collection[Recording]) -> dict[str, Any]:
        """The record. `recordings`: the tracks that can be had."""
        header, end = self._header, self._end
        stages = {waterfall.event_id: waterfall.stages for waterfall in self._waterfalls}
        return {
            "agent_id": header.agent_id,
            "agent_name": header.agent_name,
            "conversation_product": "agent",
            "status": "in-progress" if end is None else "failed" if end.failed else "done",
            "user_id": header.user_id,
            "branch_id": header.initiation.get("branch_id"),
            "version_id": None,
            "metadata": self._metadata(),
            "analysis": None,
            "visited_agents": [{"agent_id": header.agent_id}],
            "conversation_initiation_client_data": self._initiation(),
            "environment": header.initiation.get("environment") or "production",
            "conversation_id": header.conversation_id,
            "has_audio": "user" in recordings or "response" in recordings,
            "has_user_audio": "user" in recordings,
            "has_response_audio": "response" in recordings,
            "has_auxiliary_audio": "auxiliary" in recordings,
            "transcript": [
                turn.document(header.agent_id, None if turn.event_id is None else stages.get(turn.event_id))
                for turn in self._turns
            ],
            "tag_ids": [],
            "antiphon": {"turns": [self._waterfall(waterfall) for waterfall in self._waterfalls]},
        }

    def _metadata(self) -> dict[str, Any]:
        header, end = self._header, self._end
        source = self._source()
        return {
            "start_time_unix_secs": int(header.started_at),
            "accepted_time_unix_secs": int(header.started_at),
            "call_duration_secs": int(self._at),
            "cost": None,
            "cost_fiat": None,
            "feedback": self._feedback(),
            "authorization_method": header.authorization_method,
            "phone_call": None,
            "batch_call": None,
            "termination_reason": "" if end is None else end.reason,
            "error": {"code": end.close_code, "reason": end.reason} if end is not None and end.failed else None,
            "warnings": [],
            "main_language": header.language,
            "rag_usage": None,
            "text_only": header.text_only,
            "conversation_initiation_source": source["source"] or "unknown",
            "conversation_initiation_source_version": source["version"],
            "timezone": None,
        }

    def _feedback(self) -> dict[str, Any]:
        scores = [turn.feedback["score"] for turn in self._turns if turn.feedback is not None]
        likes = scores.count("like")
        return {
            "type": "thumbs" if scores else None,
            "overall_score": None,
            "likes": likes,
            "dislikes": len(scores) - likes,
            "rating": None,
            "comment": None,
        }

    def _source(self) -> dict[str, str | None]:
        """Which client it was, in the API's bounds."""
        given: dict[str, Any] = self._header.initiation.get("source_info") or {}
        source, version = given.get("source"), given.get("version")
        return {
            "source": source if source in SOURCES else None,
            "version": version[:50] if isinstance(version, str) else None,
        }

    def _initiation(self) -> dict[str, Any]:
        given = self._header.initiation
        variables: dict[str, Any] = given.get("dynamic_variables") or {}
        return {
            "conversation_config_override": given.get("conversation_config_override") or {},
            "custom_llm_extra_body": given.get("custom_llm_extra_body") or {},
            "user_id": self._header.user_id,
            "source_info": self._source(),
            "branch_id": given.get("branch_id"),
            "environment": given.get("environment"),
            "dynamic_variables": {name: value for name, value in variables.items() if not name.startswith(SECRET)},
        }

    def _waterfall(self, waterfall: ev.TurnWaterfall) -> dict[str, Any]:
        turn = next((turn for turn in self._turns if turn.event_id == waterfall.event_id), None)
        return {
            "event_id": waterfall.event_id,
            "role": "agent",
            "message": None if turn is None else turn.message,
            "waterfall": waterfall.stages,
            "total": round(sum(waterfall.stages.values(), 0.0), 6),
            "user_speech_ended_at": waterfall.user_speech_ended_at,
            "first_audio_at": waterfall.first_audio_at,
        }


def conversation_document(
    lines: Iterable[bytes | str], *, recordings: Collection[Recording] = frozenset()
) -> dict[str, Any]:
    """The body of GET /v1/convai/conversations/{id}, out of a conversation's journal.

    Without its last line, the conversation is in progress, or the process that held it died. `recordings`: the tracks
    whose sound has been kept; none of it is in the journal.

    Raises:
        JournalError: it is empty, of another version, or damaged anywhere but in its last line.
    """
    fold: Fold | None = None
    for number, line in _lines(lines):
        if fold is None:
            if line.journal is None or line.journal.version != VERSION:
                raise JournalError(f"this is no journal of version {VERSION}: line {number} does not say so")
            fold = Fold(line.journal)
            continue
        try:
            fold.apply(line)
        except (ProtocolError, UnicodeError) as error:
            raise JournalError(f"line {number} of the journal holds no message: {error}") from error
    if fold is None:
        raise JournalError("the journal is empty")
    return fold.document(recordings)
