"""The original's message classes, for programs that build messages themselves (protocol.md 2, 5.6).

A conversation needs none of them: it speaks `antiphon.protocol.events`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any


class ClientToOrchestratorEvent(str, enum.Enum):  # noqa: UP042 - printed as the original prints it
    """What a client may say, by its name on the wire."""

    PONG = "pong"
    CLIENT_TOOL_RESULT = "client_tool_result"
    CONVERSATION_INITIATION_CLIENT_DATA = "conversation_initiation_client_data"
    FEEDBACK = "feedback"
    CONTEXTUAL_UPDATE = "contextual_update"
    USER_MESSAGE = "user_message"
    USER_ACTIVITY = "user_activity"
    MULTIMODAL_MESSAGE = "multimodal_message"


class UserMessageClientToOrchestratorEvent:
    """A user turn, typed."""

    def __init__(self, text: str | None = None) -> None:
        self.type = ClientToOrchestratorEvent.USER_MESSAGE
        self.text = text

    def to_dict(self) -> dict[str, Any]:
        """The message as `json.dumps` takes it."""
        return {"type": self.type, "text": self.text}


class UserActivityClientToOrchestratorEvent:
    """The user is busy."""

    def __init__(self) -> None:
        self.type = ClientToOrchestratorEvent.USER_ACTIVITY

    def to_dict(self) -> dict[str, Any]:
        """The message as `json.dumps` takes it."""
        return {"type": self.type}


class ContextualUpdateClientToOrchestratorEvent:
    """Background for the agent."""

    def __init__(self, text: str) -> None:
        self.type = ClientToOrchestratorEvent.CONTEXTUAL_UPDATE
        self.text = text

    def to_dict(self) -> dict[str, Any]:
        """The message as `json.dumps` takes it."""
        return {"type": self.type, "text": self.text}


class MultimodalMessageFile:
    """An uploaded file in a multimodal message."""

    def __init__(self, file_id: str) -> None:
        self.type = "file_input"
        self.file_id = file_id

    def to_dict(self) -> dict[str, Any]:
        """The part as `json.dumps` takes it."""
        return {"type": self.type, "file_id": self.file_id}


class MultimodalMessageClientToOrchestratorEvent:
    """A user turn with text and files; `file_ids` wins over `file_id`."""

    def __init__(
        self, text: str | None = None, file_id: str | None = None, file_ids: Sequence[str] | None = None
    ) -> None:
        self.type = ClientToOrchestratorEvent.MULTIMODAL_MESSAGE
        self.text = text
        self.file_ids = list(file_ids) if file_ids else [file_id] if file_id else []

    def to_dict(self) -> dict[str, Any]:
        """The message as `json.dumps` takes it."""
        message: dict[str, Any] = {"type": self.type}
        if self.text:
            message["text"] = UserMessageClientToOrchestratorEvent(self.text).to_dict()
        if self.file_ids:
            files = [MultimodalMessageFile(file_id).to_dict() for file_id in self.file_ids]
            message |= {"file": files[0], "files": files}
        return message
