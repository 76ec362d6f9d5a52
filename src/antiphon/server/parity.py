"""How far this server goes with the API that it speaks: operations, messages, fields of an agent's configuration.

    python -m antiphon.server.parity > docs/parity.md

An operation works when the running application has a route for it; the published operations are `operations.json`, made
by tests/cli/generate.py. A message works when the code sends it or goes by it: what does not is listed here, and held
by a test. Fields are `agents.parity`.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, TypeAlias

from antiphon.agents.parity import Field, State, fields
from antiphon.protocol.codec import CLIENT, SERVER

from .app import rest_app
from .orchestrator import PATH as ORCHESTRATOR_PATH
from .websocket import PATH

Direction: TypeAlias = Literal["client to server", "server to client"]
STATES: tuple[State, ...] = ("works", "accepted without effect", "refused")

NOT_FOUND = "404, in the shape of the API's errors"

ROUTES_BY_HAND: Mapping[tuple[str, str], tuple[State, str]] = {
    ("GET", "/v1/convai/conversation/token"): (
        "refused",
        "400: there is no WebRTC; the answer tells to use a WebSocket",
    ),
    ("POST", "/v1/convai/sip-trunk/outbound-call"): ("refused", "`success: false`: there is no telephone line"),
    ("POST", "/v1/convai/twilio/outbound-call"): ("refused", "`success: false`: there is no telephone line"),
    ("POST", "/v1/convai/phone-numbers"): ("accepted without effect", "kept and listed; there is no telephone line"),
    ("PATCH", "/v1/convai/phone-numbers/{phone_number_id}"): (
        "accepted without effect",
        "kept and listed; there is no telephone line",
    ),
    ("POST", "/v1/convai/knowledge-base/{documentation_id}/rag-index"): (
        "accepted without effect",
        "answered; conversations do not look anything up in documents yet",
    ),
}
"Operations whose route is there, and does not do what they are for."

MESSAGES_BY_HAND: Mapping[str, tuple[State, str]] = {
    "multimodal_message": ("works", "its text; uploaded files are not looked at"),
    "enclave_setup_config": ("works", "on /v1/convai/orchestrator, where the setting `allow_client_config` is on"),
    "agent_reasoning_response_part": ("accepted without effect", "never sent: reasoning stays with the model"),
    "agent_response_metadata": ("accepted without effect", "never sent"),
    "asr_initiation_metadata": ("accepted without effect", "never sent"),
    "guardrail_triggered": ("accepted without effect", "never sent: there are no guardrails yet"),
    "context_usage": ("accepted without effect", "never sent"),
    "internal_turn_probability": ("accepted without effect", "never sent"),
    "internal_tentative_agent_response": ("accepted without effect", "never sent"),
    "rich_content": ("accepted without effect", "never sent"),
    "agent_typing": ("accepted without effect", "never sent: no person can take over yet"),
    "external_agent_connected": ("accepted without effect", "never sent: no person can take over yet"),
    "external_agent_disconnected": ("accepted without effect", "never sent: no person can take over yet"),
    "client_error": ("accepted without effect", "never sent: an `error` is, which every client knows"),
    "dtmf_request": ("accepted without effect", "never sent: keys of a telephone are played as sound"),
}
"Messages that there is something to say of. `client_events` may list those that are never sent."


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the API, and what becomes of a request for it."""

    rank: str
    "A: what official clients need; B: what they also know; C: the rest."
    method: str
    "`WS`: a socket."
    path: str
    summary: str
    state: State
    note: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the protocol."""

    type: str
    direction: Direction
    state: State
    note: str = ""


@functools.cache
def operations() -> tuple[Operation, ...]:
    """Every published operation, by what the application's own routes are."""
    routes = _routes()
    published: list[tuple[str, str, str, str]] = json.loads(
        files("antiphon.server").joinpath("operations.json").read_text(encoding="utf-8")
    )
    found: list[Operation] = []
    for rank, method, path, summary in published:
        if (method, _shape(path)) in routes:
            state, note = ROUTES_BY_HAND.get((method, path), ("works", ""))
        else:
            state, note = "refused", "" if method == "WS" else NOT_FOUND
        found.append(Operation(rank, method, path, summary, state, note))
    return tuple(found)


def messages() -> tuple[Message, ...]:
    """Every message that the protocol knows."""
    audio = Message("user_audio_chunk", "client to server", "works")
    client = [Message(shape.type, "client to server", *_message(shape.type)) for shape in CLIENT]
    return (audio, *client, *(Message(shape.type, "server to client", *_message(shape.type)) for shape in SERVER))


def _message(wire_type: str) -> tuple[State, str]:
    return MESSAGES_BY_HAND.get(wire_type, ("works", ""))


def _routes() -> frozenset[tuple[str, str]]:
    """Method and path of what is answered, whatever its parameters are called."""
    with warnings.catch_warnings(action="ignore"):  # about names of operations, which are none of ours here
        paths: dict[str, dict[str, Any]] = rest_app().openapi()["paths"]
    requests = {(method.upper(), _shape(path)) for path, methods in paths.items() for method in methods}
    return frozenset(requests | {("WS", PATH), ("WS", ORCHESTRATOR_PATH)})


def _shape(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


# ---------------------------------------------------------------------------------------------------------- page


def page() -> str:
    """docs/parity.md."""
    known, said, settings = operations(), messages(), fields()
    lines = [
        "# What works of the ElevenLabs Agents API",
        "",
        "Generated by `python -m antiphon.server.parity > docs/parity.md`. `antiphon parity` shows the same.",
        "",
        "*Works*: it does here what it does there. *Accepted without effect*: no error; values are kept and come back.",
        "*Refused*: an error tells so. Fields that are not published are kept, too, and have no effect.",
        "",
        "`antiphon agents import FILE...` takes agents that were pulled from ElevenLabs and tells of each field that",
        "they set other than by default and that has no effect here.",
        "",
        *_table(
            ("", *STATES),
            [
                ("operations", *_counts(known)),
                ("operations of rank A", *_counts(one for one in known if one.rank == "A")),
                ("messages", *_counts(said)),
                ("fields of an agent", *_counts(settings)),
            ],
        ),
        "## Operations",
        "",
        "Rank A: what the official SDKs, command line tool and MCP server need; B: what they also know; C: the rest.",
        "`WS` is a socket.",
        "",
        *_table(
            ("rank", "operation", "state", ""),
            [(one.rank, f"`{one.method} {one.path}`", one.state, one.note) for one in known],
        ),
        "## Messages",
        "",
        *_table(
            ("message", "direction", "state", ""),
            [(f"`{one.type}`", one.direction, one.state, one.note) for one in said],
        ),
        "## Fields of an agent",
        "",
        "`[]`: of each in a list; `*`: of each in a map.",
        "",
        *_table(("field", "state", ""), [(f"`{one.path}`", one.state, one.note) for one in settings]),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _counts(lines: Iterable[Operation | Message | Field]) -> tuple[str, ...]:
    counted = Counter(line.state for line in lines)
    return tuple(str(counted[state]) for state in STATES)


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    written = [headings, tuple("---" for _ in headings), *rows]
    return [f"| {' | '.join(cells)} |" for cells in written] + [""]


if __name__ == "__main__":
    sys.stdout.write(page())
