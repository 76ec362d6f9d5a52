"""What a conversation has come to so far: a fold of its events, for whoever shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from antiphon.protocol import events as ev

_TEXT_BEHIND_SOUND = 5.0
"Seconds after an answer's first sound in which its text comes; later ones are of another answer."


@dataclass(slots=True)
class Entry:
    """One thing that was said or done."""

    who: Literal["user", "agent", "tool", "note"]
    text: str
    at: float
    "Seconds since the conversation began."
    event_id: int | str | None = None
    heard: str | None = None
    "After an interruption, what of an agent's `text` was heard; None: all of it, as far as is known."
    is_interrupted: bool = False
    is_unfinished: bool = False
    "More of the text is to come, or it may still change."
    result: str | None = None
    "What a tool returned; None while it runs."
    has_failed: bool = False
    latency: float | None = None
    "Seconds from the end of the user's turn to the first of this answer."


@dataclass(slots=True)
class Transcript:
    """Told of events in their order; `now` is seconds since the conversation began."""

    entries: list[Entry] = field(default_factory=list[Entry])
    conversation_id: str | None = None
    ping: float | None = None
    "Seconds of the last round trip that the server has told of."
    latencies: list[float] = field(default_factory=list[float])
    interruptions: int = 0
    error: str | None = None
    "What the server has said is wrong."
    _latency: tuple[float, float] | None = None
    "Of an answer whose sound has come before its text, and when that was."

    @property
    def median_latency(self) -> float | None:
        """Seconds; None before the first answer."""
        return median(self.latencies) if self.latencies else None

    def answered(self, latency: float, now: float) -> None:
        """The agent begins to answer, `latency` seconds after the user's last sound or the typed message.

        Sound does not wait in line with the texts: the newest of them may be from before the user has spoken.
        """
        self.latencies.append(latency)
        newest = self.entries[-1] if self.entries else None
        is_answer = newest is not None and newest.who == "agent" and newest.at >= now - latency
        if newest is not None and is_answer and newest.latency is None and not newest.is_interrupted:
            newest.latency = latency
        else:
            self._latency = latency, now

    def take(self, event: ev.ServerEvent | ev.ClientEvent, now: float) -> None:
        """One event of either side."""
        match event:
            case ev.ConversationMetadata(conversation_id=name):
                self.conversation_id = self.conversation_id or name
            case ev.Ping(ping_ms=milliseconds) if milliseconds is not None:
                self.ping = milliseconds / 1000
            case ev.TentativeUserTranscript(text=text):
                self._user(text, now, is_unfinished=True)
            case ev.UserTranscript(text=text):
                self._user(text, now, is_unfinished=False)
            case ev.UserMessage(text=text) if text is not None:
                self._user(text, now, is_unfinished=False)
            case ev.AgentChatResponsePart():
                self._part(event, now)
            case ev.AgentResponse():
                self._response(event, now)
            case ev.AgentResponseCorrection():
                self._correct(event)
            case ev.Interruption():
                self.interruptions += 1
                if (entry := self._newest("agent")) is not None:
                    entry.is_interrupted, entry.is_unfinished = True, False
            case ev.ClientToolCall() | ev.AgentToolRequest() | ev.McpToolCall():
                self._call(event.tool_name, event.tool_call_id, event.parameters, now)
                if isinstance(event, ev.McpToolCall) and event.state in ("success", "failure"):
                    self._result(
                        event.tool_call_id, event.error_message or as_text(event.result), event.state != "success"
                    )
            case ev.ClientToolResult():
                self._result(event.tool_call_id, as_text(event.result), event.is_error)
            case ev.AgentToolResponseFullPayload():
                self._result(event.tool_call_id, event.full_tool_result, event.is_error)
            case ev.AgentToolResponse():
                self._result(event.tool_call_id, None, event.is_error)
            case ev.ErrorEvent() | ev.ClientErrorEvent():
                self.error = event.message or event.error_type or f"error {event.code}"
                self.note(self.error, now)
            case ev.GuardrailTriggered(guardrail_name=name):
                self.note(f"guardrail {name or ''}".strip(), now)
            case ev.QueueStatus(status=status):
                self.note(f"queue: {status}", now)
            case _:
                pass

    def note(self, text: str, now: float) -> None:
        """Something that nobody has said."""
        self.entries.append(Entry("note", text, now))

    def _newest(self, who: str) -> Entry | None:
        return next((entry for entry in reversed(self.entries) if entry.who == who), None)

    def _user(self, text: str, now: float, *, is_unfinished: bool) -> None:
        entry = self._newest("user")
        if entry is None or not entry.is_unfinished:
            entry = Entry("user", text, now)
            self.entries.append(entry)
        entry.text, entry.is_unfinished = text.strip(), is_unfinished

    def _agent(self, text: str, now: float, event_id: int | str | None) -> Entry:
        entry = Entry("agent", text, now, event_id)
        if self._latency is not None and now - self._latency[1] < _TEXT_BEHIND_SOUND:
            entry.latency = self._latency[0]
        self._latency = None
        self.entries.append(entry)
        return entry

    def _part(self, part: ev.AgentChatResponsePart, now: float) -> None:
        entry = self._newest("agent")
        if entry is None or not entry.is_unfinished:
            if part.part == "stop":
                return
            entry = self._agent("", now, part.event_id)
            entry.is_unfinished = True
        entry.text += part.text
        entry.is_unfinished = part.part != "stop"

    def _response(self, response: ev.AgentResponse, now: float) -> None:
        """The whole text; it may have been streamed before."""
        text = response.text.strip()
        entry = self._newest("agent")
        if entry is not None and (
            entry.is_unfinished or (entry.event_id == response.event_id and entry.text.strip() == text)
        ):
            entry.text, entry.event_id, entry.is_unfinished = text, response.event_id, False
        else:
            self._agent(text, now, response.event_id)

    def _correct(self, correction: ev.AgentResponseCorrection) -> None:
        agent = [entry for entry in reversed(self.entries) if entry.who == "agent"]
        same_id = [entry for entry in agent if entry.event_id == correction.event_id]
        same_text = [entry for entry in same_id or agent if entry.text == correction.original.strip()]
        for entry in (same_text or same_id)[:1]:
            entry.heard = correction.corrected.strip()

    def _call(self, name: str, call_id: str, parameters: dict[str, Any] | None, now: float) -> None:
        """Announced up to three times, for the client and for those who watch."""
        text = f"{name}({arguments(parameters or {})})"
        known = next((entry for entry in self.entries if entry.who == "tool" and entry.event_id == call_id), None)
        if known is None:
            self.entries.append(Entry("tool", text, now, call_id))
        elif parameters:
            known.text = text

    def _result(self, call_id: str, result: str | None, has_failed: bool) -> None:
        for entry in self.entries:
            if entry.who == "tool" and entry.event_id == call_id:
                entry.result = result if result is not None else entry.result or ("failed" if has_failed else "done")
                entry.has_failed = has_failed


def arguments(parameters: dict[str, Any]) -> str:
    """`name="value"`, as in Python."""
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in parameters.items())


def as_text(result: Any) -> str:
    """A tool's result as one line."""
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    return " ".join(text.split())
