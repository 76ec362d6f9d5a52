"""What the turn machine can see, and what it can ask for. Every value here is journaled as it is."""

from __future__ import annotations

import enum
from typing import Literal, TypeAlias

import msgspec


class Expectation(enum.StrEnum):
    """What kind of answer the agent's last words ask for: who dictates a number pauses within it."""

    ANYTHING = enum.auto()
    NUMBER = enum.auto()
    "Digits: a telephone, card, order or account number, an amount, a date."
    SPELLING = enum.auto()
    "Letter by letter: a name, a code, an e-mail address."
    ADDRESS = enum.auto()
    "A postal address."


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


class Partial(_Value, frozen=True):
    """Speech-to-text's guess so far at the utterance under way: what was said since the last EndUtterance."""

    text: str


class TurnJudged(_Value, frozen=True):
    """The turn detector's verdict about a pause, answering Judge."""

    pause: int
    probability: float
    "That the user's turn is over, 0 to 1."


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


class ReplyThought(_Value, frozen=True):
    """The language model has begun to answer: from here on words will come."""

    reply: int


class ReplyAudible(_Value, frozen=True):
    """The first sound of a reply has left."""

    reply: int


class ReplyQuiet(_Value, frozen=True):
    """It is the agent's turn, and for so long the client has had nothing to play. Told again as the quiet goes on."""

    reply: int
    seconds: float


class ReplyLocked(_Value, frozen=True):
    """Whether the reply may be interrupted has changed: a tool runs that must not be, or it is done."""

    reply: int
    locked: bool


class ReplyOver(_Value, frozen=True):
    """A reply has been said, and heard, to its end."""

    reply: int
    then: Literal["wait", "skip", "hang_up"] = "wait"
    "`skip`: stay silent until the user speaks (`skip_turn`). `hang_up`: the agent ends the call (`end_call`)."
    reason: str = ""
    "Of hanging up."
    expects: Expectation = Expectation.ANYTHING
    "What its last words ask for."


class ReplyFailed(_Value, frozen=True):
    """A reply ended without anything said."""

    reply: int


class Transferred(_Value, frozen=True):
    """Another agent has taken over: `policy` is its own from here on, and it has the floor."""

    greets: bool
    "It says its first message; else it goes on from what was said."


class Tick(_Value, frozen=True):
    """The machine's deadline has come."""


class Closed(_Value, frozen=True):
    """The other side is gone, or the server wants the conversation to end."""

    close_code: int = 1000
    reason: str = ""
    error_type: str | None = None
    goodbye: bool = False
    "The agent can still speak, and says goodbye first."


Observation: TypeAlias = (
    Opened
    | SpeechStarted
    | Speaking
    | SpeechStopped
    | Silence
    | Stalled
    | Partial
    | TurnJudged
    | Heard
    | Typed
    | Active
    | ReplyThought
    | ReplyAudible
    | ReplyQuiet
    | ReplyLocked
    | ReplyOver
    | ReplyFailed
    | Transferred
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
    "What the user said: a user_transcript is due, unless it is empty."
    typed: str = ""
    "What the user typed besides, afterwards."


class Reengage(_Value, frozen=True):
    """Say something without a new turn of the user: they have been silent for long, or a noise cut an answer off."""

    reply: int


class Reprompt(_Value, frozen=True):
    """The user spoke but could not be understood: ask again."""

    reply: int


class Resume(_Value, frozen=True):
    """The interruption was none: say, as a new reply, what the user has not heard of the interrupted one."""

    reply: int
    interrupted: int
    "Number of the reply that was cut off."


class Fill(_Value, frozen=True):
    """Say something short while the reply is not there yet; the reply goes on behind it."""

    reply: int
    cause: Literal["soft_timeout", "silence"]
    "The agent's own soft timeout, or dead air that must not last longer."
    number: int
    "Of the fillers of this reply, from 0: they differ."


class Apologise(_Value, frozen=True):
    """The reply came to nothing: say that something went wrong."""

    reply: int


class Farewell(_Value, frozen=True):
    """The conversation has lasted as long as it may: say so. It ends when that is said."""

    reply: int


class Prepare(_Value, frozen=True):
    """The turn may be over: think about an answer to `text`, and let nobody see it.

    `Answer` with the same number and text lets it out; `Abandon` forgets it.
    """

    reply: int
    text: str


class Abandon(_Value, frozen=True):
    """Forget the reply that was prepared: nobody has seen anything of it."""

    reply: int


class Hold(_Value, frozen=True):
    """Somebody speaks over the reply: let no more of its sound out until it is clear what that means."""

    reply: int


class Release(_Value, frozen=True):
    """It meant nothing: the same reply goes on."""

    reply: int


class Judge(_Value, frozen=True):
    """The user pauses: ask the turn detector whether the turn is over; TurnJudged answers."""

    pause: int


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


Command: TypeAlias = (
    Greet
    | Answer
    | Reengage
    | Reprompt
    | Resume
    | Fill
    | Apologise
    | Farewell
    | Prepare
    | Abandon
    | Hold
    | Release
    | Judge
    | EndUtterance
    | DiscardUtterance
    | Interrupt
    | HangUp
)
