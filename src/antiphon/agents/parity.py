"""What becomes of each field of an agent's configuration: it works, is kept without effect, or is refused.

The fields, with their defaults, are those of the published API: `fields.json`, made by tests/cli/generate.py. A field
works where a typed view of `config` reads it; what is read without a view, and what a view has and nothing goes by, is
listed here by hand and held by tests.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, TypeAlias, cast, get_args

from antiphon.errors import ConfigError

from .config import AgentConfig, AgentDocument
from .reading import View

State: TypeAlias = Literal["works", "accepted without effect", "refused"]

TOOLS = "conversation_config.agent.prompt.tools[]"
BUILT_IN = "conversation_config.agent.prompt.built_in_tools"
MODEL = "conversation_config.agent.prompt.custom_llm"
WEBHOOKS = "platform_settings.workspace_overrides.webhooks"
INITIATION = "platform_settings.workspace_overrides.conversation_initiation_client_data_webhook"

BY_HAND: Mapping[str, tuple[State, str]] = {
    "conversation_config.agent.prompt.knowledge_base": (
        "accepted without effect",
        "documents are kept and listed; conversations do not look anything up in them yet",
    ),
    "conversation_config.agent.prompt.rag": ("accepted without effect", "nothing is looked up in documents yet"),
    "conversation_config.tts.model_id": ("accepted without effect", "`antiphon.tts` names the engine that speaks"),
    "conversation_config.tts.stability": ("accepted without effect", "the engine has no such setting"),
    "conversation_config.tts.similarity_boost": ("accepted without effect", "the engine has no such setting"),
    "conversation_config.asr.provider": ("accepted without effect", "`antiphon.stt` names the engine that hears"),
    "conversation_config.vad": ("accepted without effect", "`antiphon.vad` names the engine that tells speech"),
    f"{BUILT_IN}.transfer_to_number": (
        "accepted without effect",
        "there is no telephone line; a model that calls it is told so",
    ),
    f"{TOOLS}.api_schema.auth_connection": ("refused", "a call of such a tool fails, and the model is told"),
    "platform_settings.evaluation": ("accepted without effect", "conversations are not evaluated yet"),
    "platform_settings.data_collection": ("accepted without effect", "no data is collected from conversations yet"),
    "platform_settings.guardrails": ("accepted without effect", "there are no guardrails yet"),
    "platform_settings.widget": ("accepted without effect", "this server has no widget of its own"),
    "workflow": ("accepted without effect", "the conversation stays with the agent; workflows are not run yet"),
}
"Fields, with all that is inside them, whose views do not tell; what there is to say of a field that has none."

READ_WITHOUT_VIEW = frozenset(
    {
        *(f"{MODEL}.{key}" for key in ("url", "model_id", "api_version", "api_type", "api_key", "request_headers")),
        *(f"{TOOLS}.{key}" for key in ("disable_interruptions", "force_pre_tool_speech")),
        *(f"{BUILT_IN}.*.{key}" for key in ("disable_interruptions", "force_pre_tool_speech")),
        *(
            f"{tool}.params.{key}"
            for tool in (TOOLS, f"{BUILT_IN}.*")
            for key in (
                "system_tool_type",
                "voicemail_message",
                "only_at_conversation_start",
                "suppress_turn_after_dtmf",
                "transfers[].agent_id",
                "transfers[].condition",
                "transfers[].transfer_message",
                "transfers[].delay_ms",
                "transfers[].enable_transferred_agent_first_message",
                "transfers[].preserve_client_tts_overrides",
            )
        ),
        *(
            f"{TOOLS}.{key}"
            for key in (
                "parameters",
                "api_schema.path_params_schema",
                "api_schema.query_params_schema",
                "api_schema.request_body_schema",
                "api_schema.request_headers",
            )
        ),
        "tags",
        *(f"{WEBHOOKS}.{key}" for key in ("post_call_webhook_id", "events", "send_audio")),
        INITIATION,
    }
)
"Fields that work, with all that is inside them, though no view names them: they are read as the JSON that they are."

MIRRORS = (
    ("platform_settings.overrides.conversation_config_override.", "conversation_config."),
    ("conversation_config.language_presets.*.overrides.", "conversation_config."),
)
"Trees of the same shape as the configuration: a field there works where the field itself does."

OURS = "conversation_config.antiphon"
ANSWERS_ONLY = frozenset(
    {"agent_id", "metadata", "phone_numbers", "whatsapp_accounts", "access_info", "version_id", "branch_id"}
    | {"main_branch_id", "procedures", "default_hold_audio_url", "platform_settings.safety"}
)
"Keys of an agent that is read from a server: said by the server, not set by anybody."


@dataclass(frozen=True, slots=True)
class Field:
    """A field and what becomes of it."""

    path: str
    "`[]`: of each in a list; `*`: of each in a map."
    state: State
    note: str = ""


@dataclass(frozen=True, slots=True)
class Unused:
    """A value in somebody's agent that does not do here what they set it for."""

    path: str
    value: Any
    happens: str


@functools.cache
def published() -> Mapping[str, Mapping[str, Any]]:
    """Path of every field of the published API -> its `default` and the `values` that it may have, where told."""
    return json.loads(files("antiphon.agents").joinpath("fields.json").read_text(encoding="utf-8"))


@functools.cache
def fields() -> tuple[Field, ...]:
    """Every field of the published API."""
    return tuple(_field(path) for path in published())


def unused(document: Mapping[str, Any]) -> list[Unused]:
    """What is set in an agent's document, other than by default, and has no effect here."""
    return [*_unused("", "", document)]


# -------------------------------------------------------------------------------------------------------- fields


def _field(path: str) -> Field:
    state, note = _judged(path)
    values: Sequence[Any] = published()[path].get("values", ())
    refused = [value for value in values if _refused(path, value)]
    if values and len(refused) == len(values):
        return Field(path, "refused", note)
    if refused:
        note = "; ".join(part for part in (note, f"refused: {', '.join(map(str, refused))}") if part)
    return Field(path, state, note)


def _judged(path: str) -> tuple[State, str]:
    above = [*_prefixes(path)]
    if (known := next((BY_HAND[part] for part in above if part in BY_HAND), None)) is not None:
        return known
    for tree, original in MIRRORS:
        if path.startswith(tree):
            # Of what no conversation can have otherwise there is nothing to allow.
            return _judged(original + path.removeprefix(tree))
    if not READ_WITHOUT_VIEW.isdisjoint(above) or viewed(path) is not None:
        return "works", ""
    return "accepted without effect", ""


def viewed(path: str) -> tuple[type[View], str] | None:
    """The view, and its field, that a field of the document is read into; None: nothing reads it."""
    within: Any = AgentDocument
    found: tuple[type[View], str] | None = None
    for step in _steps(path):
        if isinstance(within, type) and issubclass(within, View):
            if step not in within.model_fields:
                return None
            found = within, step
            within = _inside(within.model_fields[step].annotation)
        elif (arguments := get_args(within)) and arguments[-1] is not Any:
            within = _inside(arguments[0] if step == "[]" else arguments[-1])
        else:
            return None
    return found


def _inside(annotation: Any) -> Any:
    """A type without None and without what is said about it."""
    choices = [choice for choice in get_args(annotation) if choice is not type(None)]
    if type(None) in get_args(annotation) and len(choices) == 1:
        return _inside(choices[0])
    return _inside(choices[0]) if hasattr(annotation, "__metadata__") else annotation


def _steps(path: str) -> list[str]:
    return re.findall(r"\[\]|[^.\[\]]+", path)


def _prefixes(path: str) -> Iterator[str]:
    """The path, what it is in, what that is in, ..."""
    while path:
        yield path
        path = path.removesuffix("[]") if path.endswith("[]") else path.rpartition(".")[0]


def _refused(path: str, value: Any) -> bool:
    """Whether an agent with that value, and otherwise without any, cannot be."""
    document = _document(AgentDocument, _steps(path), value)
    try:
        AgentConfig.parse(document, agent_id="agent")
    except ConfigError:
        return True
    return False


def _document(within: Any, steps: Sequence[str], value: Any) -> Any:
    """The smallest document that has the value there."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    arguments = get_args(within)
    if step == "[]":
        return [_document(_inside(arguments[0]) if arguments else Any, rest, value)]
    if isinstance(within, type) and issubclass(within, View):
        field = within.model_fields.get(step)
        inner = _inside(field.annotation) if field else Any
        needed: dict[str, Any] = {
            name: "sample" if field.annotation is str else {}
            for name, field in within.model_fields.items()
            if field.is_required()
        }
        return {**needed, step: _document(inner, rest, value)}
    inner = _inside(arguments[-1]) if arguments else Any
    return {"sample" if step == "*" else step: _document(inner, rest, value)}


# ---------------------------------------------------------------------------------------------------- documents


@functools.cache
def _parts() -> frozenset[str]:
    """Every path that a field is at or in."""
    return frozenset(part for path in published() for part in _prefixes(path))


def _unused(path: str, place: str, value: Any) -> Iterator[Unused]:
    """`path`: the field's; `place`: the same in this document, with keys and numbers."""
    if value is None or place == OURS or place in ANSWERS_ONLY:
        return
    field = published().get(path)
    if field is not None:
        state, note = _judged(path)
        if state != "works" and value != field.get("default") and value not in ("", [], {}):
            yield Unused(place, value, note or "kept and given back; nothing goes by it")
            return
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, Any]", value).items():
            at, here = f"{path}.{key}".lstrip("."), f"{place}.{key}".lstrip(".")
            named = [*_unused(at, here, inner)] if at in _parts() else []
            yield from named
            if not named and f"{path}.*" in _parts():
                yield from _unused(f"{path}.*", here, inner)
            elif at not in _parts() and field is None and here != OURS and here not in ANSWERS_ONLY:
                yield Unused(here, inner, "not a field of the published API: kept and given back")
    elif isinstance(value, list) and f"{path}[]" in _parts():
        for number, inner in enumerate(cast("list[Any]", value)):
            yield from _unused(f"{path}[]", f"{place}[{number}]", inner)
