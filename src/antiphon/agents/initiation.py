"""What a client asks for at the start + what the agent allows = the configuration of this one conversation.

In this order: each leaf of the override is checked against the agent's permissions; the language's preset is laid over
the agent's configuration and the override over that; `{{variables}}` are put into the texts. The result is an
`AgentConfig` like any other, and its document is the truth again. The same is done anew when the conversation changes
its language (`in_language`) or its agent (`transferred`).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

from antiphon.errors import ConfigError, RemoteProtocolError, SessionError

from .arguments import SECRET
from .config import AgentConfig, LanguagePreset, time_zone

Json: TypeAlias = dict[str, Any]

SYSTEM = "system__"
"Variables of this prefix are the server's to give (protocol.md 2.3)."

_ONLY_ON_THE_TELEPHONE = {f"{SYSTEM}{name}": "" for name in ("caller_id", "called_number", "call_sid", "call_id")}
"Known to no other door: an agent that speaks of them can be talked to there all the same."

_PERMISSIONS = "platform_settings.overrides"

_MAX_NAME = 200
"Characters of a client's name for something that an error repeats."


def initiate(
    agent: AgentConfig,
    *,
    config_override: Mapping[str, Any],
    dynamic_variables: Mapping[str, Any],
    custom_llm_extra_body: Mapping[str, Any],
    system_variables: Mapping[str, Any],
) -> AgentConfig:
    """The agent as it is in one conversation. `agent` itself is not changed.

    The first three are what the client's initiation holds (protocol.md 2). `system_variables`: what the server knows,
    by full name: `system__conversation_id`, those of `time_variables`, ... The agent's id, whether the conversation is
    text only, and what is zero at its beginning need not be given.

    Raises:
        RemoteProtocolError: the client asks for what the agent does not allow or what is impossible
            (`override_error`), a variable has no value (`missing_dynamic_variable`), or a variable is not to be given
            or used in this way (`value_error`). All close with 1008.
    """
    override = _given(config_override)
    _move_text_only(override)
    for path in _leaves(override):
        _check_allowed(agent, path)
    extra_body = dict(custom_llm_extra_body)
    if extra_body and not agent.platform_settings.overrides.custom_llm_extra_body:
        raise _not_allowed("custom_llm_extra_body", f"{_PERMISSIONS}.custom_llm_extra_body")

    block: Any = override.get("agent")
    preset = _preset(agent, cast("Json", block).get("language") if isinstance(block, dict) else None)
    variables = _variables(_laid_over(agent, preset, override), dynamic_variables, system_variables)
    started = _settled(agent, preset, override, variables)
    return replace(started, custom_llm_extra_body=extra_body)


def in_language(agent: AgentConfig, language: str) -> AgentConfig:
    """The agent of a running conversation in another language: the language's preset, and what the client overrode.

    The agent's own language brings back its own texts and voice. Variables have the values of
    `agent.dynamic_variables`; secrets stay out of texts as at the start.

    Raises:
        SessionError: the preset is impossible, or uses a variable that has no value.
    """
    origin = agent.origin or agent
    preset = {} if language == origin.conversation_config.agent.language else _preset(origin, language)
    override = copy.deepcopy(dict(agent.overrides))
    _merge(override, {"agent": {"language": language}})
    try:
        changed = _settled(origin, preset, override, _with_placeholders(origin, agent.dynamic_variables))
    except RemoteProtocolError as error:
        raise SessionError(f"cannot go on in the language {language[:_MAX_NAME]!r}: {error}") from error
    return replace(changed, custom_llm_extra_body=agent.custom_llm_extra_body)


def transferred(
    agent: AgentConfig, other: AgentConfig, *, keeps_tts_overrides: bool, system_variables: Mapping[str, Any]
) -> AgentConfig:
    """`other`, as it takes over the conversation that `agent` has led.

    The conversation stays what the client was told it is: its medium, its bounds, its events and its audio formats. Its
    variables stay, the server's as `system_variables` has them now; `other`'s placeholders stand in for the rest.
    `keeps_tts_overrides`: what the client asked of the voice is asked of `other`'s too.

    Raises:
        SessionError: `other` uses a variable that has no value.
    """
    config = agent.conversation_config
    voice: Any = agent.overrides.get("tts") if keeps_tts_overrides else None
    override: Json = {
        "conversation": {
            "text_only": config.conversation.text_only,
            "max_duration_seconds": config.conversation.max_duration_seconds,
            "client_events": None if (listed := config.conversation.client_events) is None else list(listed),
        },
        "tts": {**(voice or {}), "agent_output_audio_format": config.tts.agent_output_audio_format},
        "asr": {"user_input_audio_format": config.asr.user_input_audio_format},
    }
    current = {f"{SYSTEM}current_agent_id": other.agent_id}
    variables = _with_placeholders(other, {**agent.dynamic_variables, **system_variables, **current})
    try:
        changed = _settled(other, {}, override, variables)
    except RemoteProtocolError as error:
        raise SessionError(f"the agent {other.agent_id} cannot take over: {error}") from error
    return replace(changed, custom_llm_extra_body=agent.custom_llm_extra_body)


def system_variables(
    *,
    conversation_id: str,
    now: float,
    started_at: float,
    timezone: str | None = None,
    agent_turns: int = 0,
    history: Iterable[Mapping[str, Any]] = (),
    environment: Mapping[str, str] | None = None,
) -> Json:
    """The server's variables as they are at this moment (protocol.md 2.3): what a tool call is given.

    `now`, `started_at`: seconds since 1970. `history`: the conversation so far, as `{"role", "message"}`, written as
    JSON. `environment`: what agents may know of the server's environment, by label. The ids of agents and whether the
    conversation is text only stand in `AgentConfig.dynamic_variables`.
    """
    return {
        f"{SYSTEM}conversation_id": conversation_id,
        **time_variables(now, timezone),
        f"{SYSTEM}call_duration_secs": max(0, int(now - started_at)),
        f"{SYSTEM}agent_turns": agent_turns,
        f"{SYSTEM}conversation_history": json.dumps([dict(entry) for entry in history], ensure_ascii=False),
        **{f"{SYSTEM}env_{label}": value for label, value in (environment or {}).items()},
    }


def time_variables(now: float, timezone: str | None = None) -> dict[str, str]:
    """The system variables that tell the time. `now`: seconds since 1970; `timezone`: that of the agent's prompt."""
    local = datetime.fromtimestamp(now, time_zone(timezone))
    return {
        "system__time_utc": local.astimezone(UTC).isoformat(),
        "system__time": f"{local:%A, %H:%M} {local.day} {local:%B %Y}",
        "system__timezone": timezone or "UTC",
    }


# ------------------------------------------------------------------------------------------------------ overrides


def _given(override: Mapping[str, Any]) -> Json:
    """A copy without what says nothing: clients send nulls and empty objects for what they do not override.

    An empty text says something where there may be none: the agent then says, or is told, nothing. Nothing has an empty
    name, so an empty one is no override either. An empty list is one: no tools, no keywords.
    """
    given: Json = {}
    for key, value in override.items():
        if isinstance(value, Mapping):
            value = _given(cast("Mapping[str, Any]", value))
            if not value:
                continue
        if value is None or (value == "" and key in _NAMES):
            continue
        given[key] = copy.deepcopy(value)
    return given


_NAMES = frozenset({"language", "llm", "voice_id", "model_id", "reasoning_effort"})
"Leaves of an override that name something (protocol.md 2.2)."


def _move_text_only(override: Json) -> None:
    """One client writes it at the root (observed: elevenlabs 2.78.0); the documented place wins."""
    if "text_only" not in override:
        return
    text_only = override.pop("text_only")
    conversation = override.setdefault("conversation", {})
    if isinstance(conversation, dict):
        cast("Json", conversation).setdefault("text_only", text_only)


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(cast("Mapping[str, Any]", value), (*path, key))
        else:
            yield (*path, key)


def _check_allowed(agent: AgentConfig, path: tuple[str, ...]) -> None:
    """A leaf is allowed where its permission, or that of an object around it, is true."""
    permission: Any = agent.platform_settings.overrides.conversation_config_override
    for key in path:
        permission = cast("Mapping[str, Any]", permission).get(key) if isinstance(permission, Mapping) else permission
    if path == ("conversation", "text_only") and permission is not False:
        return  # text chat without audio devices depends on it: only an explicit false forbids it
    if permission is not True:
        name = ".".join(path)[:_MAX_NAME]
        raise _not_allowed(name, f"{_PERMISSIONS}.conversation_config_override.{name}")


def _not_allowed(name: str, setting: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"the agent does not allow overriding {name}; to allow it, set {setting} to true", error_type="override_error"
    )


def _preset(agent: AgentConfig, language: Any) -> Json:
    """What the agent says differently in that language."""
    preset = agent.conversation_config.language_presets.get(language) if isinstance(language, str) else None
    return _overrides_of(preset) if preset is not None else {}


def _overrides_of(preset: LanguagePreset) -> Json:
    translated: Json = {}
    if preset.first_message_translation is not None:
        translated["agent"] = {"first_message": preset.first_message_translation.text}
    if preset.soft_timeout_translation is not None:
        translated["turn"] = {"soft_timeout_config": {"message": preset.soft_timeout_translation.text}}
    _merge(translated, _given(preset.overrides))
    return translated


def _merge(base: Json, change: Mapping[str, Any]) -> None:
    """Objects merge, everything else replaces."""
    for key, value in change.items():
        inner: Any = base.get(key)
        if isinstance(value, Mapping):
            if not isinstance(inner, dict):
                inner = base[key] = {}
            _merge(cast("Json", inner), cast("Mapping[str, Any]", value))
        else:
            base[key] = copy.deepcopy(value)


def _laid_over(agent: AgentConfig, preset: Json, override: Json) -> AgentConfig:
    """The agent's configuration, the preset over it, the override over that."""
    raw = copy.deepcopy(dict(agent.raw))
    _merge(raw["conversation_config"], preset)
    _merge(raw["conversation_config"], override)
    return _parse(agent, raw)


def _settled(agent: AgentConfig, preset: Json, override: Json, variables: Mapping[str, Any]) -> AgentConfig:
    """The same with the variables put in, and with what is needed to do it again."""
    raw = copy.deepcopy(dict(_laid_over(agent, preset, override).raw))
    _substitute(raw["conversation_config"], variables)
    return replace(_parse(agent, raw), dynamic_variables=dict(variables), origin=agent, overrides=override)


def _parse(agent: AgentConfig, raw: Json) -> AgentConfig:
    try:
        return AgentConfig.parse(raw, agent_id=agent.agent_id, path=agent.path)
    except ConfigError as error:  # the agent was fine before: it is the override that asks for the impossible
        path = error.path.rpartition("conversation_config.")[2]
        raise RemoteProtocolError(f"override of {path}: {error.message}", error_type="override_error") from error


# ------------------------------------------------------------------------------------------------------ variables


def _variables(agent: AgentConfig, client: Mapping[str, Any], system: Mapping[str, Any]) -> Json:
    """All of this conversation: the server's before the client's before the agent's. Null is no value."""
    for name in client:
        if name.startswith(SYSTEM):
            raise RemoteProtocolError(
                f"the dynamic variable {name[:_MAX_NAME]} is the server's to give: the prefix {SYSTEM} is reserved",
                error_type="value_error",
            )
    config = agent.conversation_config
    known = {
        "system__agent_id": agent.agent_id,
        "system__current_agent_id": agent.agent_id,
        "system__is_text_only": config.conversation.text_only,
        "system__call_duration_secs": 0,
        "system__agent_turns": 0,
        "system__conversation_history": "[]",
    }
    layers = (
        _ONLY_ON_THE_TELEPHONE,
        config.agent.dynamic_variables.dynamic_variable_placeholders,
        client,
        known,
        system,
    )
    return {name: value for layer in layers for name, value in layer.items() if value is not None}


def _with_placeholders(agent: AgentConfig, variables: Mapping[str, Any]) -> Json:
    """The variables of a running conversation, and the agent's placeholders for those that it has not."""
    return {**agent.conversation_config.agent.dynamic_variables.dynamic_variable_placeholders, **variables}


_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")

_TEXTS = (
    ("agent", "prompt", "prompt"),
    ("agent", "first_message"),
    ("agent", "max_conversation_duration_message"),
    ("turn", "soft_timeout_config", "message"),
    ("turn", "soft_timeout_config", "additional_soft_timeout_messages"),
)
"Where `{{variables}}` are put in once, at the start. Tools get theirs when they are called."


def _substitute(config: Json, variables: Mapping[str, Any]) -> None:
    """Put the variables in. What a variable holds is text, even if it looks like a variable."""
    missing: dict[str, None] = {}

    def value_of(found: re.Match[str]) -> str:
        name = found[1]
        if name.startswith(SECRET):
            raise RemoteProtocolError(
                f"{{{{{name}}}}} is in a text that the language model reads: secrets go into tool headers only",
                error_type="value_error",
            )
        if name not in variables:
            missing[name] = None
            return ""
        return _as_text(variables[name])

    for path in _TEXTS:
        _rewrite(config, path, lambda text: _VARIABLE.sub(value_of, text))
    if missing:
        raise RemoteProtocolError(
            f"no value for the dynamic variable{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            error_type="missing_dynamic_variable",
        )


def _rewrite(tree: Json, path: tuple[str, ...], change: Callable[[str], str]) -> None:
    """Change the text, or the list of texts, that stands there."""
    *branches, leaf = path
    node: Any = tree
    for key in branches:
        node = cast("Json", node).get(key) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        return
    block = cast("Json", node)
    if isinstance(text := block.get(leaf), str):
        block[leaf] = change(text)
    elif isinstance(texts := block.get(leaf), list):
        block[leaf] = [change(each) if isinstance(each, str) else each for each in cast("list[Any]", texts)]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
