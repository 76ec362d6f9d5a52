"""Events as lines of text, for pipes, logs and CI: one line for each that is worth one, or all of them as JSON."""

from __future__ import annotations

import json
from typing import Any

from antiphon.protocol import codec
from antiphon.protocol import events as ev

from .transcript import arguments, as_text


def line(event: ev.ServerEvent | ev.ClientEvent, now: float) -> str | None:
    """`seconds  who  what`; None for what a reader need not see."""
    words = _words(event)
    return f"{now:8.3f}  {words[0]:<11}  {' '.join(words[1].split())}" if words is not None else None


def _words(event: ev.ServerEvent | ev.ClientEvent) -> tuple[str, str] | None:
    match event:
        case ev.ConversationMetadata(conversation_id=name):
            return "connected", name
        case ev.UserTranscript(text=text):
            return "user", text
        case ev.UserMessage(text=text):
            return "user", text or ""
        case ev.AgentResponse(text=text):
            return "agent", text
        case ev.AgentResponseCorrection(corrected=text):
            return "heard", text or "(nothing)"
        case ev.Interruption():
            return "interrupted", ""
        case ev.ClientToolCall():
            return "tool", f"{event.tool_name}({arguments(event.parameters)})"
        case ev.AgentToolRequest() if event.tool_type != "client":
            return "tool", f"{event.tool_name}({arguments(event.parameters or {})})"
        case ev.ClientToolResult(result=result):
            return ("tool error" if event.is_error else "result"), as_text(result)
        case ev.AgentToolResponse() if event.tool_type != "client":
            return ("tool error" if event.is_error else "result"), event.tool_name
        case ev.ErrorEvent() | ev.ClientErrorEvent():
            return "error", event.message or event.error_type or str(event.code)
        case ev.QueueStatus(status=status):
            return "queue", status
        case ev.GuardrailTriggered(guardrail_name=name):
            return "guardrail", name or ""
        case _:
            return None


def json_line(event: ev.ServerEvent | ev.ClientEvent, now: float) -> str:
    """The event as the protocol has it, with `at` seconds; of audio, the number of its bytes."""
    if isinstance(event, ev.AgentAudio):
        return own_line("audio", now, event_id=event.event_id, bytes=len(event.audio))
    is_ours = isinstance(event, ev.UserMessage | ev.ClientToolResult)
    message: dict[str, Any] = json.loads(codec.encode_client(event) if is_ours else codec.encode_server(event))  # pyright: ignore[reportArgumentType]
    return json.dumps({"at": round(now, 3), **message}, ensure_ascii=False)


def own_line(kind: str, now: float, **values: Any) -> str:
    """What is not a message of the protocol, in the same form."""
    return json.dumps({"at": round(now, 3), "type": kind, **values}, ensure_ascii=False)
