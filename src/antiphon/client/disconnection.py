"""Why a conversation ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from websockets.exceptions import ConnectionClosed, ConnectionClosedOK


@dataclass(frozen=True)
class DisconnectionDetails:
    """Who ended a conversation, and how."""

    reason: Literal["user", "agent", "error"]
    "`user`: this side. `agent`: the server closed in the regular way (1000, 1001). `error`: anything else."
    close_code: int | None = None
    "The server's WebSocket close code; 1006 if it went without one, None if this side ended or never connected."
    close_reason: str | None = None
    message: str | None = None
    "What went wrong, for people."
    conversation_id: str | None = field(default=None, compare=False, kw_only=True)
    "The conversation that ended; None when the server never named it."


def disconnection(closed: ConnectionClosed) -> DisconnectionDetails:
    """The details of a socket that the server, or the network, closed (protocol.md 5.2)."""
    code = closed.rcvd.code if closed.rcvd is not None else 1006
    reason = closed.rcvd.reason if closed.rcvd is not None else ""
    if isinstance(closed, ConnectionClosedOK):
        return DisconnectionDetails("agent", code, reason)
    return DisconnectionDetails("error", code, reason, str(closed))
