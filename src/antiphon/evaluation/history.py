"""What was said before a simulation or a test begins: turns of the API's transcript as entries of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from antiphon.record.transcript import AgentSaid, Entry, ToolCalled, UserSaid


def entries(turns: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """The turns, as the agent remembers them."""
    known: list[Entry] = []
    for turn in turns:
        message = turn.get("message")
        if message and turn.get("role") == "user":
            known.append(UserSaid(str(message)))
        elif message:
            known.append(AgentSaid(str(message), 0))
        results = {
            str(result.get("request_id")): result
            for result in cast("Sequence[Mapping[str, Any]]", turn.get("tool_results") or ())
        }
        for call in cast("Sequence[Mapping[str, Any]]", turn.get("tool_calls") or ()):
            identifier = str(call.get("request_id") or f"call_{len(known)}")
            result = results.get(identifier)
            known.append(
                ToolCalled(
                    identifier,
                    str(call.get("tool_name")),
                    parameters(call),
                    None if result is None else str(result.get("result_value", "")),
                    is_error=bool(result and result.get("is_error")),
                )
            )
    return known


def parameters(call: Mapping[str, Any]) -> dict[str, Any]:
    """Of a tool call in a transcript."""
    try:
        given = json.loads(str(call.get("params_as_json") or "{}"))
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}


def split(turns: Sequence[Mapping[str, Any]]) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """What came before, and the last words, if they are the user's: those the agent has still to answer."""
    if turns and turns[-1].get("role") == "user" and turns[-1].get("message"):
        return turns[:-1], str(turns[-1]["message"])
    return turns, None
