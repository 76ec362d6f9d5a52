"""What a dialogue is told, one item after another. Items and their times are the whole of its input: a replay.

Besides these: the turn machine's observations of the outside (speech, transcripts, hanging up), the client's messages
that are no sound, and `observations.Tick`: time has passed.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from antiphon.engines.base import Speech, TextDelta, ToolCall, Usage
from antiphon.protocol.events import ClientEvent, ServerEvent
from antiphon.turns.observations import Observation

from .outcome import Outcome
from .settings import Settings


class Thought(msgspec.Struct, frozen=True):
    """The language model goes on."""

    reply: int
    round: int
    "Which request of the reply, from 0: after tools, the model is asked again."
    thought: TextDelta | ToolCall | Usage


class ThoughtsOver(msgspec.Struct, frozen=True):
    """The language model has ended, or failed."""

    reply: int
    round: int
    error: str | None = None


class Spoken(msgspec.Struct, frozen=True):
    """A piece of a clause's sound."""

    reply: int
    clause: int
    speech: Speech


class SpeechOver(msgspec.Struct, frozen=True):
    """A clause has been made to its end, or failed."""

    reply: int
    clause: int
    error: str | None = None


class ToolDone(msgspec.Struct, frozen=True):
    """A tool call has come to something."""

    reply: int
    call_id: str
    outcome: Outcome


class Announced(msgspec.Struct, frozen=True):
    """Whoever runs tools has something for the client; `event_id` is filled in here."""

    event: ServerEvent


class Composed(msgspec.Struct, frozen=True):
    """The language model has made up a filler, or the stock one that stands in for it."""

    reply: int
    text: str


class UtteranceEnded(msgspec.Struct, frozen=True):
    """The ears have closed an utterance."""

    utterance: int
    speech_ended: float
    "When its last sound was made: the anchor of every latency."


class Switched(msgspec.Struct, frozen=True):
    """The language or the agent has changed, or could not be."""

    reply: int
    transferred: bool = False
    "Another agent has taken over."
    greets: bool = False
    error: str | None = None
    settings: Settings | None = None
    "None: it could not be done, and everything stays as it was."


class Drained(msgspec.Struct, frozen=True):
    """The transport, which was full, takes sound again."""


Item: TypeAlias = (
    Observation
    | ClientEvent
    | Thought
    | ThoughtsOver
    | Spoken
    | SpeechOver
    | ToolDone
    | Announced
    | Composed
    | UtteranceEnded
    | Switched
    | Drained
)
