"""What has been said so far: a fold of the journal's events, and what the language model is given to read.

Since corrections are folded in, the model reads what the user heard, not what was generated.
"""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.protocol import events as ev


class UserSaid(msgspec.Struct):
    """A turn of the user."""

    text: str


class AgentSaid(msgspec.Struct):
    """A message of the agent, as far as it was heard."""

    text: str
    event_id: int
    interrupted: bool = False


class ToolCalled(msgspec.Struct):
    """A tool call, and its result once there is one."""

    tool_call_id: str
    name: str
    parameters: dict[str, Any]
    result: str | None = None
    is_error: bool = False


class Noted(msgspec.Struct):
    """A contextual update."""

    text: str
    context_id: str | None


Entry = UserSaid | AgentSaid | ToolCalled | Noted


class Transcript:
    """Hand it every event of the conversation, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def apply(self, event: ev.ServerEvent | ev.ClientEvent) -> None:
        """Fold one event in; events that say nothing are ignored."""
        match event:
            case ev.UserTranscript(text=text):
                self.entries.append(UserSaid(text))
            case ev.UserMessage(text=str() as text) | ev.MultimodalMessage(text=str() as text):
                self.entries.append(UserSaid(text))
            case ev.AgentResponse(text=text, event_id=event_id):
                self.entries.append(AgentSaid(text, event_id))
            case ev.AgentResponseCorrection():
                self._correct(event)
            case ev.AgentToolRequest():
                self.entries.append(ToolCalled(event.tool_call_id, event.tool_name, event.parameters or {}))
            case ev.AgentToolResponseFullPayload():
                self._finish(event.tool_call_id, event.full_tool_result, event.is_error)
            case ev.ContextualUpdate(text=text, context_id=context_id):
                self._note(text, context_id)
            case _:
                pass

    def _correct(self, event: ev.AgentResponseCorrection) -> None:
        for entry in reversed(self.entries):
            if isinstance(entry, AgentSaid) and entry.event_id == event.event_id:
                entry.text, entry.interrupted = event.corrected, True
                return

    def _finish(self, tool_call_id: str, result: str, is_error: bool) -> None:
        for entry in reversed(self.entries):
            if isinstance(entry, ToolCalled) and entry.tool_call_id == tool_call_id and entry.result is None:
                entry.result, entry.is_error = result, is_error
                self._move_behind_fillers(entry)
                return

    def _move_behind_fillers(self, call: ToolCalled) -> None:
        """What was said while the tool ran was said before its result: that is what is to be answered."""
        after = self.entries[self.entries.index(call) + 1 :]
        if any(isinstance(entry, AgentSaid) for entry in after):
            self.entries.remove(call)
            self.entries.append(call)

    def _note(self, text: str, context_id: str | None) -> None:
        """Only the newest update of one id stays (protocol.md C5)."""
        if context_id is not None:
            self.entries = [e for e in self.entries if not (isinstance(e, Noted) and e.context_id == context_id)]
        self.entries.append(Noted(text, context_id))
