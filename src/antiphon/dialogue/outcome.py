"""What came of a tool call: a text for the language model, and what else follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

MAX_RESULT = 64 * 1024
"Characters of a result that are kept (protocol.md 3.4)."


class _Value(msgspec.Struct, frozen=True, tag_field="action", tag=True):
    """Named in the journal by its class."""


class EndCall(_Value, frozen=True):
    """Say `message`, then hang up (`end_call`; `voicemail_detection` leaves its message the same way)."""

    reason: str = ""
    message: str = ""


class SkipTurn(_Value, frozen=True):
    """Say nothing until the user speaks (`skip_turn`)."""

    reason: str = ""


class SwitchLanguage(_Value, frozen=True):
    """Go on in another language (`language_detection`)."""

    language: str


class Transfer(_Value, frozen=True):
    """Another agent takes over (`transfer_to_agent`)."""

    agent_id: str
    message: str = ""
    "Said before, by the agent that goes."
    delay: float = 0.0
    "Seconds of quiet between the two."
    greets: bool = False
    "The agent that comes says its first message."
    keeps_tts_overrides: bool = False


class PlayTones(_Value, frozen=True):
    """Play keypad tones in the agent's voice path (`play_keypad_touch_tone`)."""

    tones: str
    "0-9 * # A-D; w: half a second of quiet, W: a second."
    silent_after: bool = False
    "The agent says nothing behind them (`suppress_turn_after_dtmf`)."


Action: TypeAlias = EndCall | SkipTurn | SwitchLanguage | Transfer | PlayTones


class Outcome(msgspec.Struct, frozen=True):
    """The text that the language model reads, whether it tells of a failure, and what the conversation is to do."""

    text: str
    is_error: bool = False
    assignments: Mapping[str, Any] = {}
    "Dynamic variables that the answer has set."
    action: Action | None = None

    @property
    def truncated(self) -> bool:
        """The result was too long to be kept whole."""
        return len(self.text) > MAX_RESULT
