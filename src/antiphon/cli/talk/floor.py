"""Whose turn it is, for a caller who is a file or a pipe and waits for the agent to finish."""

from __future__ import annotations

from antiphon.protocol import events as ev

PATIENCE = 20.0
"Seconds to wait for an answer before going on all the same."


class Floor:
    """Told of the events; `now` is seconds, never falling. The caller may speak at `free_at`."""

    def __init__(self, now: float) -> None:
        self._quiet_from = now
        self._owed_since: float | None = None
        self._tools: dict[str, bool] = {}

    def said(self, now: float) -> None:
        """The caller has finished; an answer is due."""
        self._quiet_from = max(now, self._quiet_from)
        self._owed_since = now

    def take(self, event: ev.ServerEvent | ev.ClientEvent, now: float, seconds: float = 0.0) -> None:
        """One event; `seconds` is how long the audio in it lasts."""
        match event:
            case ev.AgentAudio():
                self._quiet_from = max(now, self._quiet_from) + seconds
                self._owed_since = None
            case ev.Interruption():
                self._quiet_from = now
            case ev.UserTranscript():
                self._owed_since = now
            case ev.AgentResponse() | ev.AgentChatResponsePart():
                self._quiet_from = max(now, self._quiet_from)
                self._owed_since = None
            case ev.ClientToolCall(tool_call_id=call_id):
                self._tools[call_id] = event.expects_response is not False
            case ev.ClientToolResult(tool_call_id=call_id):
                self._quiet_from = max(now, self._quiet_from)
                if self._tools.pop(call_id, False):
                    self._owed_since = now
            case _:
                pass

    def free_at(self, quiet: float) -> float | None:
        """When the agent will have been silent for `quiet` seconds, if nothing more comes; None: a tool is running."""
        if self._tools:
            return None
        at = self._quiet_from + quiet
        return at if self._owed_since is None else max(at, self._owed_since + PATIENCE)
