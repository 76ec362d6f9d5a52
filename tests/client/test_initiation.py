"""The client's first message."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.client import ConversationInitiationData
from antiphon.client.initiation import initiation


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({}, {"text_only": True, "conversation": {"text_only": True}}),
        (
            {"conversation": {"client_events": ["audio"]}},
            {"conversation": {"client_events": ["audio"], "text_only": True}, "text_only": True},
        ),
        ({"text_only": False}, {"text_only": False, "conversation": {"text_only": False}}),
        ({"conversation": {"text_only": False}}, {"text_only": True, "conversation": {"text_only": False}}),
    ],
)
def test_text_only_stands_at_both_places(override: dict[str, Any], expected: dict[str, Any]) -> None:
    """Where the contract has it and where the original puts it; the application's own word stays (protocol.md 2.2)."""
    config = ConversationInitiationData(conversation_config_override=override)
    assert initiation(config, user_id=None, text_only=True).config_override == expected


def test_with_sound_there_is_no_text_only() -> None:
    """Overrides need permission: nothing is overridden that was not asked for."""
    assert initiation(ConversationInitiationData(), user_id=None, text_only=False).config_override == {}


def test_the_applications_data_is_not_touched() -> None:
    """Nested dicts neither: one configuration may serve many conversations (protocol.md 5.1)."""
    override: dict[str, Any] = {"conversation": {}}
    config = ConversationInitiationData(conversation_config_override=override)
    first = initiation(config, user_id=None, text_only=True)
    first.config_override["conversation"]["x"] = 1
    assert override == {"conversation": {}}
    assert "x" not in initiation(config, user_id=None, text_only=True).config_override["conversation"]


@pytest.mark.parametrize(
    ("argument", "configured", "sent"), [("a", "b", "a"), (None, "b", "b"), ("", "b", "b"), (None, None, None)]
)
def test_the_user_id_may_stand_at_either_place(argument: str | None, configured: str | None, sent: str | None) -> None:
    """The original ignores the one in the configuration (elevenlabs-python issue 679)."""
    config = ConversationInitiationData(user_id=configured)
    assert initiation(config, user_id=argument, text_only=False).user_id == sent
