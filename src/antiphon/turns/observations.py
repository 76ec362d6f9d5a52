"""What the turn machine can see, and what it can ask for. Every value here is journaled as it is."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class _Value(msgspec.Struct, frozen=True, tag_field="kind", tag=True):
    """Named in the journal by its class."""


# -------------------------------------------------------------------------------------------------- observations


class Opened(_Value, frozen=True):
    """The conversation begins."""

    greets: bool
    "The agent has a first message."


class SpeechStarted(_Value, frozen=True):
    """The user begins to speak."""


class Speaking(_Value, frozen=True):
    """The user goes on speaking."""

    seconds: float
    "Length of the speech so far, in audio time."


class SpeechStopped(_Value, frozen=True):
    """The user pauses; perhaps the turn is over."""

    speech: float = 0.0
    "Seconds the speech lasted, pauses shorter than a pause included."


class Silence(_Value, frozen=True):
    """The pause goes on. Before SpeechStopped: the speech falters, and a pause may come of it."""

    seconds: float
    "Its length so far, in audio time."


class Stalled(_Value, frozen=True):
    """The client stopped sending audio in the middle of a pause: from here on the clock counts."""

    seconds: float
    "The pause's length so far."


class Heard(_Value, frozen=True):
    """Speech-to-text is done with an utterance that EndUtterance closed."""

    utterance: int
    text: str
    "Empty: there was sound, but nothing that could be understood."


class Typed(_Value, frozen=True):
    """The user wrote a message."""

    text: str


class Active(_Value, frozen=True):
    """The user is busy (typing): do not re-engage yet."""


class ReplyAudible(_Value, frozen=True):
    """The first sound of a reply has left."""

    reply: int


class ReplyOver(_Value, frozen=True):
    """A reply has been said, and heard, to its end."""

    reply: int


class ReplyFailed(_Value, frozen=True):
    """A reply ended without anything said."""

    reply: int


class Tick(_Value, frozen=True):
    """The machine's deadline has come."""


class Closed(_Value, frozen=True):
    """The other side is gone, or the server wants the conversation to end."""

    close_code: int = 1000
    reason: str = ""
    error_type: str | None = None


Observation: TypeAlias = (
    Opened
    | SpeechStarted
    | Speaking
    | SpeechStopped
    | Silence
    | Stalled
    | Heard
    | Typed
    | Active
    | ReplyAudible
    | ReplyOver
    | ReplyFailed
    | Tick
    | Closed
)


# ------------------------------------------------------------------------------------------------------ commands


class Greet(_Value, frozen=True):
    """Say the first message."""

    reply: int


class Answer(_Value, frozen=True):
    """Answer the user's turn."""

    reply: int
    text: str
    "What the user said, all of it."
    spoken: bool = True
    "Said, not typed: a user_transcript is due."


class Reengage(_Value, frozen=True):
    """Say something without a new turn of the user: they have been silent for long, or a noise cut an answer off."""

    reply: int


class Reprompt(_Value, frozen=True):
    """The user spoke but could not be understood: ask again."""

    reply: int


class EndUtterance(_Value, frozen=True):
    """The user's turn is over: have it transcribed; Heard follows."""

    utterance: int


class DiscardUtterance(_Value, frozen=True):
    """What was heard since the last utterance was no turn: forget it."""


class Interrupt(_Value, frozen=True):
    """The user has the floor: stop the reply, and settle what of it was heard."""

    reply: int


class HangUp(_Value, frozen=True):
    """End the conversation."""

    close_code: int
    reason: str
    error_type: str | None = None


Command: TypeAlias = Greet | Answer | Reengage | Reprompt | EndUtterance | DiscardUtterance | Interrupt | HangUp
