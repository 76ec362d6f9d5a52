"""What a dialogue goes by: one agent's rules, lines and formats, replaced whole when another takes over."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from antiphon.audio.formats import AudioFormat, parse_format
from antiphon.turns.machine import TurnPolicy


@dataclass(frozen=True, slots=True)
class ToolRules:
    """How a tool's call fits into the talk (agents/tools.py)."""

    execution_mode: str = "immediate"
    interruption_mode: str = "allow"
    pre_tool_speech: str = "auto"


@dataclass(frozen=True, slots=True)
class Lines:
    """The fixed sentences of an agent, in its language."""

    first_message: str = ""
    reprompt: str | None = None
    "None: the language model finds its own."
    apology: str = ""
    fillers: Sequence[str] = ()
    "Against dead air, in this order."
    soft_timeouts: Sequence[str] = ()
    "Of `turn.soft_timeout_config`, in this order; the last one is repeated."
    shuffles: bool = False
    "In another order for each reply."
    composes: bool = False
    "The language model makes them up; those above stand in for it."
    farewell: str = ""
    "At the maximum duration."
    goodbye: str = ""
    "When the conversation has to end because something is broken for good."


@dataclass(frozen=True, slots=True)
class Settings:
    """One agent's."""

    policy: TurnPolicy = field(default_factory=TurnPolicy)
    lines: Lines = Lines()
    output_format: AudioFormat | None = None
    "What the client plays; None: text only."
    sample_rate: int = 16_000
    "Of the voice."
    max_silence: float = 0.0
    "Seconds without a sound in the agent's turn; 0: no limit."
    shows_parts: bool = False
    "The client wants the text as it streams."
    shows_partials: bool = False
    "The client wants the user's words as they are being understood."
    language: str = "en"
    tools: Mapping[str, ToolRules] = field(default_factory=dict[str, ToolRules])
    "Of the tools that do not simply run at once."
    parameters: Sequence[str] = ()
    "What the tools are still to be told: name and description of each of their parameters."

    def document(self) -> dict[str, Any]:
        """As JSON, for the journal: whoever replays a conversation needs its rules."""
        body = dataclasses.asdict(dataclasses.replace(self, output_format=None))
        body["output_format"] = None if self.output_format is None else self.output_format.name
        return msgspec.to_builtins(body)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Settings:
        """From `document`. Raises msgspec.ValidationError, FormatError."""
        body = dict(document)
        name = body.pop("output_format")
        settings = msgspec.convert(body | {"output_format": None}, cls)
        return settings if name is None else dataclasses.replace(settings, output_format=parse_format(name))
