"""What a scene is: its document, as values. docs/simulate.md explains it, docs/scene.schema.json is made from it.

A step of the caller and an expectation are objects with one key that says what they are (`says`, `agent_says`, ...)
and options beside it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from antiphon.engines.registry import KINDS
from antiphon.protocol.codec import SERVER_EVENT_TYPES

from .matching import checked

T = TypeVar("T")


class _Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def verb(kind: type[BaseModel]) -> str:
    """The key that says what an object of this kind is: the first one of its own."""
    return next(iter(kind.__annotations__))


def _named_by_key(*kinds: type[_Strict], called: str) -> Any:
    """A union of objects that are told apart by one key."""
    verbs = {verb(kind): kind for kind in kinds}

    def verb_of(value: Any) -> str | None:
        if isinstance(value, BaseModel):
            return f"<{verb(type(value))}>"
        if not isinstance(value, Mapping):
            return None
        named = [name for name in verbs if name in value]
        return f"<{named[0]}>" if len(named) == 1 else None

    union: Any = None
    for name, kind in verbs.items():
        tagged = Annotated[kind, Tag(f"<{name}>")]
        union = tagged if union is None else union | tagged
    names = ", ".join(verbs)
    return Annotated[
        union,
        Discriminator(
            verb_of,
            custom_error_type="verb",
            custom_error_message=f"should be {called}: an object with exactly one of the keys {names}",
        ),
    ]


def _list_or_object(several: Any, one: Any) -> Any:
    """A list or an object, told apart by that, so that a mistake in one is not told as a mistake in the other."""
    return Annotated[
        Annotated[several, Tag("<list>")] | Annotated[one, Tag("<object>")],
        Discriminator(
            lambda value: "<list>" if isinstance(value, list) else "<object>",
        ),
    ]


# --------------------------------------------------------------------------------------------------- small values

Text: TypeAlias = Annotated[str, AfterValidator(checked)]
"Words that have to be in a text, in any case and punctuation, or a regular expression between slashes."

Seconds: TypeAlias = Annotated[float, Field(ge=0)]

Words: TypeAlias = Annotated[str, Field(min_length=1)]
"What the caller says; `[0.8]` in it is a pause of that many seconds."


def _in_order(bounds: list[float]) -> list[float]:
    if bounds[0] > bounds[1]:
        raise PydanticCustomError("bounds", "should be [lowest, highest]")
    return bounds


Duration: TypeAlias = Seconds | Annotated[list[Seconds], Field(min_length=2, max_length=2), AfterValidator(_in_order)]
"Seconds, or [lowest, highest]: drawn from the scene's seed."


class Comparison(_Strict):
    """A condition that is more than being equal. All that is given has to hold."""

    equals: Any = None
    "Any JSON value; for texts that begin with a slash, objects and null."
    contains: Text | None = None
    "Of a text."
    above: float | None = None
    below: float | None = None
    "Of a number."

    @model_validator(mode="after")
    def _says_something(self) -> Comparison:
        if not self.model_fields_set:
            raise PydanticCustomError("empty", "should have one of equals, contains, above, below")
        return self


def _condition(value: Any) -> Any:
    return checked(value) if isinstance(value, str) and value.startswith("/") else value


Condition: TypeAlias = Annotated[str | int | float | bool | Comparison | None, AfterValidator(_condition)]
"A value that has to be equal, a text between slashes that is searched as a regular expression, or a comparison."


class Bounds(_Strict):
    """How often, or how long."""

    at_least: Seconds | None = None
    at_most: Seconds | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Bounds:
        if self.at_least is None and self.at_most is None:
            raise PydanticCustomError("empty", "should have at_least, at_most or both")
        return self


# ------------------------------------------------------------------------------------------------ the caller's steps


class _Step(_Strict):
    pass


class Says(_Step):
    """The caller says something once the agent has finished."""

    says: Words
    after: Duration = 0.4
    "Seconds of quiet between the agent's last sound and the caller's first."
    patient: bool = True
    "false: wait for nobody; `after` counts from the end of the step before."
    seconds: Duration | None = None
    "How long it takes, pauses not counted; not given: 0.35 s a word, or what the caller's voice makes of it."
    heard_as: str | None = None
    "What speech-to-text makes of it, where that is not what was said; empty: nothing that could be understood."


class BargesIn(_Step):
    """The caller speaks over the agent."""

    barges_in: Words
    into: Duration = 1.0
    "Seconds after the agent's first sound, or, behind a `hears`, after what was heard."
    seconds: Duration | None = None
    heard_as: str | None = None


class Hums(_Step):
    """The caller makes a sound of agreement while the agent speaks, as "mm-hm": no answer is waited for."""

    hums: Words
    into: Duration = 1.0
    "As for barges_in."
    seconds: Duration = 0.3
    heard_as: str | None = None


class Noise(_Step):
    """Something is heard that is no speech: a cough, a door."""

    noise: Annotated[Duration, Field(description="Its length in seconds.")]
    into: Duration | None = None
    "As for barges_in; not given: wait for nobody."
    after: Duration = 0.0
    "Seconds after the end of the step before, where there is no `into`."


class Types(_Step):
    """The caller sends a written message once the agent has finished."""

    types: Words
    after: Duration = 0.4
    patient: bool = True
    "As for says."


class Sends(_Step):
    """The client sends a message as it is, in the words of the wire: an update, a feedback."""

    sends: Annotated[dict[str, Any], Field(description='The message, as `{"type": "user_activity"}`.')]
    after: Duration = 0.4
    patient: bool = True
    "As for says."

    @field_validator("sends")
    @classmethod
    def _typed(cls, message: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(message.get("type"), str):
            raise PydanticCustomError("message", "should have a text as its `type`")
        return message


class StaysSilent(_Step):
    """The caller does nothing for a while, whatever the agent does, and no longer waits for an answer."""

    stays_silent: Annotated[Duration, Field(description="Seconds.")]


class Hears(_Step):
    """The caller waits until the agent has said this, as far as it has sounded. Else the scene fails."""

    hears: Text
    within: Seconds = 10.0
    "Seconds of patience."


class Mutes(_Step):
    """From here on the client sends no sound while the caller is silent (true), or does again (false)."""

    mutes: bool


class HangsUp(_Step):
    """The caller hangs up, whatever is going on. Without it: when the agent has answered the last step."""

    hangs_up: Literal[True]
    after: Duration = 0.0
    "Seconds after the end of the step before."


Step: TypeAlias = Says | BargesIn | Hums | Noise | Types | Sends | StaysSilent | Hears | Mutes | HangsUp


class Persona(_Strict):
    """A caller who is played by a language model."""

    persona: str
    "Who calls, and how they talk."
    goal: str = ""
    "What they want; they hang up when they have it, or see that they will not get it."
    llm: dict[str, Any]
    'What plays them: {"engine": name, ...options}, as in an agent\'s file; `scripted` for the same words every time.'
    opens_with: Words | None = None
    "Their first words, where they are fixed."
    max_turns: Annotated[int, Field(ge=1, le=100)] = 10
    "After so many turns of theirs they hang up."
    after: Duration = 0.4
    "As for says."

    @field_validator("llm")
    @classmethod
    def _named(cls, engine: dict[str, Any]) -> dict[str, Any]:
        return _engine(engine)


# --------------------------------------------------------------------------------------------------- expectations


class _Moment(_Strict):
    """Something that happens at a time, and perhaps more than once."""

    times: Annotated[int, Field(ge=1)] | Bounds | None = None
    "How often; not given: at least once. Inside in_order and never it cannot be given."
    within: Seconds | None = None
    "Seconds, counted from `since`, in which it has to happen."
    since: Literal["caller", "start", "previous"] = "caller"
    """`caller`: the end of what the caller said, typed or sent last before it. `start`: the beginning of the call.
    `previous`: what matched before it in the same in_order."""


class AgentSays(_Moment):
    """A message of the agent has this in it, whether or not all of it was heard. Its time: its first sound."""

    agent_says: Text


class CallerHears(_Moment):
    """A message of the agent, as far as it was heard (corrected after an interruption), has this in it."""

    caller_hears: Text


class AgentHears(_Moment):
    """What the agent took the caller to have said or typed has this in it."""

    agent_hears: Text


class Event(_Moment):
    """An event of that type (its name on the wire) happens."""

    event: str
    where: dict[str, Condition] = {}
    "Dotted path inside the message, or inside its one object -> condition."
    seen_by: Literal["client", "journal"] = "client"
    "`journal`: also events that this agent's client does not get."

    @field_validator("event")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in SERVER_EVENT_TYPES:
            near = difflib.get_close_matches(name, SERVER_EVENT_TYPES, 3, 0.5) or sorted(SERVER_EVENT_TYPES)
            context = {"near": ", ".join(near)}
            raise PydanticCustomError("event", "should be an event of the server, as {near}", context)
        return name


class Tool(_Moment):
    """The agent calls a tool of that name, of any kind."""

    tool: str
    arguments: dict[str, Condition] = {}
    "Dotted path inside the arguments -> condition."
    result: Text | None = None
    "What is in the result, as the model reads it."
    fails: bool | None = None
    "Whether it failed."


class ModelReads(_Moment):
    """A message of a request to the language model has this in it. Its time: the first such request."""

    model_reads: Text
    role: Literal["system", "user", "assistant", "tool"] | None = None


Moment: TypeAlias = AgentSays | CallerHears | AgentHears | Event | Tool | ModelReads

if TYPE_CHECKING:
    NamedMoment: TypeAlias = Moment
else:
    NamedMoment = _named_by_key(*get_args(Moment), called="something that happens")


def _once(moment: Moment) -> Moment:
    if moment.times is not None:
        raise PydanticCustomError("times", "cannot have `times` in here")
    return moment


def _by_itself(moment: T) -> T:
    if isinstance(moment, _Moment) and moment.since == "previous":
        raise PydanticCustomError("since", "can have `since: previous` in `in_order` only")
    return moment


class Never(_Strict):
    """This does not happen in the whole call, or, where it has `within`, not in that time."""

    never: Annotated[NamedMoment, AfterValidator(_once), AfterValidator(_by_itself)]


class InOrder(_Strict):
    """These happen one after another; each is looked for behind the one before."""

    in_order: Annotated[list[Annotated[NamedMoment, AfterValidator(_once)]], Field(min_length=1)]


class AnswersWithin(_Strict):
    """Every turn of the caller is answered; from their last sound to the answer's first it takes at most so long."""

    answers_within: Annotated[Seconds, Field(description="Seconds.")]


class InterruptedWithin(_Strict):
    """Every barge-in interrupts the agent, at most so many seconds after the caller's first sound."""

    interrupted_within: Annotated[Seconds, Field(description="Seconds.")]


class SilenceAtMost(_Strict):
    """While it is the agent's turn, nobody hears nothing for longer than this."""

    silence_at_most: Annotated[Seconds, Field(description="Seconds.")]


class Lasts(_Strict):
    """How long the call is, in seconds."""

    lasts: Bounds


class Ending(_Strict):
    """What is said of an ending; what is not given may be anything."""

    by: Literal["caller", "agent"] | None = None
    code: int | None = None
    "Close code."
    reason: Text | None = None
    error_type: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Ending:
        if not self.model_fields_set:
            raise PydanticCustomError("empty", "should have one of by, code, reason, error_type")
        return self


class Ends(_Strict):
    """How the call ends. Without it, a call that ends with an error fails the scene."""

    ends: Ending


Expectation: TypeAlias = Moment | Never | InOrder | AnswersWithin | InterruptedWithin | SilenceAtMost | Lasts | Ends

if TYPE_CHECKING:
    NamedExpectation: TypeAlias = Expectation
else:
    NamedExpectation = _named_by_key(*get_args(Expectation), called="an expectation")


# ---------------------------------------------------------------------------------------------------------- tools


class Answer(_Strict):
    """What comes of one call of a tool."""

    returns: Any = None
    "Any JSON value."
    fails: str | None = None
    "It fails, and this says how."
    after: Duration = 0.0
    "Seconds that it takes."
    never: Literal[True] | None = None
    "No answer ever comes."

    @model_validator(mode="after")
    def _says_one_thing(self) -> Answer:
        if len(self.model_fields_set & {"returns", "fails", "never"}) != 1:
            raise PydanticCustomError("answer", "should have exactly one of returns, fails, never")
        return self


# ---------------------------------------------------------------------------------------------------------- scene


class Initiation(_Strict):
    """What the client asks for at the start."""

    config_override: dict[str, Any] = {}
    dynamic_variables: dict[str, Any] = {}
    custom_llm_extra_body: dict[str, Any] = {}
    user_id: str | None = None


class Hearing(_Strict):
    """How the scene's speech-to-text works; its words are those that the caller says."""

    delay: Duration = 0.0
    "Seconds from the end of an utterance to its transcript."
    partials: bool = True
    "Whether words are told as they are spoken."


def _engine(engine: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(engine.get("engine"), str) or not engine["engine"]:
        raise PydanticCustomError("engine", "should name its `engine`")
    return engine


if TYPE_CHECKING:
    Script: TypeAlias = list[Step] | Persona
    Answers: TypeAlias = list[Answer] | Answer
else:
    Script = _list_or_object(list[_named_by_key(*get_args(Step), called="a step")], Persona)
    Answers = _list_or_object(Annotated[list[Answer], Field(min_length=1)], Answer)


class Scene(_Strict):
    """One call, and what is expected of it."""

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    agent: str | dict[str, Any]
    "An agent's file (from here), an agent's document in place, or, with `agents`, an agent's id."
    agents: str | None = None
    "A folder of agents, with tools and secrets, as `antiphon serve` takes it (from here)."
    seed: int = 0
    "What is drawn at random is drawn from it."
    caller: Script
    "What the caller does, step by step; or who plays the caller."
    tools: dict[str, Answers] = {}
    """What comes of each call of a tool, in order; the last one for all calls after it. Client tools have to be here;
    webhook and MCP tools that are here are not called for real."""
    expect: list[Annotated[NamedExpectation, AfterValidator(_by_itself)]] = []
    engines: dict[str, dict[str, Any]] = {}
    "Replace engines of the agent: llm, stt, tts, vad or turn -> as in an agent's file."
    hearing: Hearing = Hearing()
    voice: dict[str, Any] | None = None
    "A text-to-speech engine that speaks for the caller; not given: a hum, which only scripted hearing understands."
    initiation: Initiation = Initiation()
    chunk: Annotated[float, Field(ge=0.01, le=1)] = 0.1
    "Seconds of the caller's sound in one message: the caller acts no more often."
    patience: Annotated[float, Field(gt=0)] = 15.0
    "Seconds that the caller waits for an answer before the scene fails."
    limit: Annotated[float, Field(gt=0)] = 600.0
    "Seconds that the call may last before the scene fails."

    @field_validator("engines")
    @classmethod
    def _engines_named(cls, engines: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for kind, engine in engines.items():
            if kind not in KINDS:
                raise PydanticCustomError(
                    "kind", "{kind} is none of {kinds}", {"kind": kind, "kinds": ", ".join(KINDS)}
                )
            _engine(engine)
        return engines

    @field_validator("voice")
    @classmethod
    def _voice_named(cls, engine: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if engine is None else _engine(engine)


class SceneFile(_Strict):
    """Several scenes in one file; what stands beside them is the default of each."""

    scenes: Annotated[list[dict[str, Any]], Field(min_length=1)]
