"""The transcript as messages for a language model."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.engines.base import CONTEXT_PREFIX, Message, ToolCall
from antiphon.record.transcript import AgentSaid, Entry, Noted, ToolCalled, UserSaid


def messages(system_prompt: str, entries: Sequence[Entry]) -> list[Message]:
    """System prompt first, then the conversation as it was heard."""
    context = [Message("system", system_prompt)] if system_prompt else []
    index = 0
    while index < len(entries):
        entry = entries[index]
        match entry:
            case UserSaid(text=text):
                context.append(Message("user", text))
            case AgentSaid(text=text):
                if text:
                    context.append(Message("assistant", text))
            case Noted(text=text):
                context.append(Message("system", CONTEXT_PREFIX + text))
            case ToolCalled():
                calls = _run_of_calls(entries, index)
                index += len(calls) - 1
                context.extend(_tool_messages(context, calls))
        index += 1
    return context


def _run_of_calls(entries: Sequence[Entry], start: int) -> list[ToolCalled]:
    calls: list[ToolCalled] = []
    for entry in entries[start:]:
        if not isinstance(entry, ToolCalled):
            break
        calls.append(entry)
    return calls


def _tool_messages(context: list[Message], calls: Sequence[ToolCalled]) -> list[Message]:
    """One assistant message with the calls, the text just before them included, then a message per result."""
    said = ""
    if context and context[-1].role == "assistant" and not context[-1].tool_calls:
        said = context.pop().text
    asked = Message("assistant", said, tool_calls=[ToolCall(c.tool_call_id, c.name, c.parameters) for c in calls])
    results = [
        Message("tool", "interrupted before it was done", tool_call_id=c.tool_call_id, is_error=True)
        if c.result is None
        else Message("tool", c.result, tool_call_id=c.tool_call_id, is_error=c.is_error)
        for c in calls
    ]
    return [asked, *results]
