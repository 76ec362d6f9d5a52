"""The system tools: what a language model is told of each where the author says nothing, and what it may answer.

Source: rest.md 2.1, "System tools". Names and arguments are the API's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

TONES = "0123456789*#ABCDabcdwW"
"What `play_keypad_touch_tone` can play; w and W are pauses."
MAX_TONES = 100
"Characters of one call of it: about twenty seconds without pauses."

_REASON = {"type": "string", "description": "Why, in a few words"}

_DESCRIPTIONS = {
    "end_call": (
        "End the conversation. Call it when the user says goodbye or wants to stop, when what they came for is done "
        "and they need nothing else, or when going on makes no sense. Say goodbye in `message`."
    ),
    "skip_turn": (
        "Say nothing and wait until the user speaks again. Call it when the user asks for a moment, is looking for "
        "something or is talking to somebody else. Say nothing else in the same turn."
    ),
    "language_detection": (
        "Go on in another language. Call it when the user speaks or asks for a language other than the present one. "
        "Do not call it for single foreign words, names or brands."
    ),
    "transfer_to_agent": (
        "Hand the conversation over to another agent, which knows all that was said. Call it when one of the "
        "conditions below holds; say nothing of the transfer yourself."
    ),
    "transfer_to_number": (
        "Hand the call over to a person on the telephone. Call it when one of the conditions below holds."
    ),
    "play_keypad_touch_tone": (
        "Press keys of a telephone: to choose from an automatic menu or to enter a number that is asked for."
    ),
    "voicemail_detection": (
        "Call it as soon as it is an answering machine or a voicemail greeting that is heard, and no person. "
        "The conversation then ends."
    ),
}

KINDS = frozenset(_DESCRIPTIONS)
"System tools that are known here."


def description(kind: str, own: str, params: Mapping[str, Any]) -> str:
    """What the model is told: the author's words or ours, and, of a transfer, the choices with their conditions."""
    text = own.strip() or _DESCRIPTIONS.get(kind, "")
    choices = {"transfer_to_agent": _agents, "transfer_to_number": _numbers}.get(kind)
    listed = choices(params) if choices is not None else []
    return "\n".join([text, *listed])


def schema(kind: str, params: Mapping[str, Any], languages: Sequence[str] = ()) -> dict[str, Any]:
    """The arguments. `languages`: which ones `language_detection` offers; empty: any."""
    properties: dict[str, Any] = {"reason": _REASON}
    required: list[str] = []
    match kind:
        case "end_call":
            properties["message"] = {"type": "string", "description": "The last words that the user hears, if any"}
            required = ["reason"]
        case "language_detection":
            language: dict[str, Any] = {"type": "string", "description": "The language to go on in, as a code: `de`"}
            properties["language"] = {**language, "enum": list(languages)} if languages else language
            required = ["reason", "language"]
        case "transfer_to_agent":
            numbers = [number for number, _ in agent_transfers(params)]
            properties["agent_number"] = {
                "type": "integer",
                "description": "The number of the agent whose condition holds",
                "enum": numbers,
            }
            required = ["agent_number"]
        case "transfer_to_number":
            properties |= {
                "transfer_number": {"type": "string", "description": "The number whose condition holds"},
                "client_message": {"type": "string", "description": "What the user hears before the transfer"},
                "agent_message": {"type": "string", "description": "What the person who takes over hears first"},
            }
            required = ["transfer_number", "client_message", "agent_message"]
        case "play_keypad_touch_tone":
            properties["dtmf_tones"] = {
                "type": "string",
                "description": "The keys in their order: 0-9, * and #; w waits half a second, W a second",
            }
            required = ["dtmf_tones"]
        case "voicemail_detection":
            required = ["reason"]
        case _:
            pass
    return {"type": "object", "properties": properties, "required": required}


def agent_transfers(params: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """Which transfers of `transfer_to_agent` lead to an agent, with their numbers: the place in the list, from 0.

    Those that lead to a node of a workflow keep their numbers and are left out.
    """
    return [(number, entry) for number, entry in enumerate(_transfers(params)) if entry.get("agent_id")]


def _transfers(params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed: Any = params.get("transfers")
    entries = cast("list[Any]", listed) if isinstance(listed, list) else []
    return [cast("Mapping[str, Any]", entry) if isinstance(entry, Mapping) else {} for entry in entries]


def _agents(params: Mapping[str, Any]) -> list[str]:
    return [f"agent_number {number}: {entry.get('condition') or ''}" for number, entry in agent_transfers(params)]


def _numbers(params: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for entry in _transfers(params):
        destination: Any = entry.get("transfer_destination")
        target = cast("Mapping[str, Any]", destination if isinstance(destination, Mapping) else {})
        number: Any = target.get("phone_number") or target.get("sip_uri") or entry.get("phone_number") or ""
        lines.append(f"transfer_number {number}: {entry.get('condition') or ''}")
    return lines
