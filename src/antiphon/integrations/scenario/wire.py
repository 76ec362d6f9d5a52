"""What the adapter reads in a server's messages. Any field may be missing or null.

The codec of `antiphon.protocol` insists on the fields that the protocol promises. A test harness must not: Scenario's
adapter takes audio without an id and metadata without a conversation, and people wrote servers for it that send them.
"""

from __future__ import annotations

import binascii
import json
from typing import Any, cast

import pybase64


class Message:
    """A message of the server."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.type = str(fields.get("type") or "")
        self._fields = fields

    def text(self, payload: str, name: str) -> str | None:
        """A field that holds text; None: it does not."""
        value = self._of(payload).get(name)
        return value if isinstance(value, str) else None

    @property
    def audio(self) -> bytes | None:
        """The sound of an `audio` message; None: it cannot be read."""
        encoded = self._of("audio_event").get("audio_base_64") or ""
        try:
            return pybase64.b64decode(encoded)
        except (binascii.Error, TypeError, ValueError):
            return None

    @property
    def ping_id(self) -> int | None:
        """The id that a pong repeats, in older servers beside the type; None: no answer is possible."""
        for value in (self._of("ping_event").get("event_id"), self._fields.get("event_id")):
            if isinstance(value, int):
                return value
        return None

    @property
    def has_run_tool(self) -> str:
        """The name of the tool that an `agent_tool_response` tells the success of; empty: it failed or was blocked."""
        tool = self._of("agent_tool_response")
        succeeded = tool.get("is_called", True) and not tool.get("is_error") and not tool.get("is_blocked")
        return str(tool.get("tool_name") or "") if succeeded else ""

    def _of(self, payload: str) -> dict[str, Any]:
        value = self._fields.get(payload)
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def read(frame: str | bytes) -> Message | None:
    """The message in a frame; None: there is no JSON object in it."""
    try:
        fields = json.loads(frame)
    except ValueError:
        return None
    return Message(cast("dict[str, Any]", fields)) if isinstance(fields, dict) else None
