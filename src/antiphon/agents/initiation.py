"""What a client asks for at the start + what the agent allows = the configuration of this one conversation.

In this order: each leaf of the override is checked against the agent's permissions; the language's preset is laid over
the agent's configuration and the override over that; `{{variables}}` are put into the texts. The result is an
`AgentConfig` like any other, and its document is the truth again.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

from antiphon.errors import ConfigError, RemoteProtocolError

from .arguments import SECRET
from .config import AgentConfig, LanguagePreset, time_zone

Json: TypeAlias = dict[str, Any]

SYSTEM = "system__"
"Variables of this prefix are the server's to give (protocol.md 2.3)."

_ONLY_ON_THE_TELEPHONE = {"system__caller_id": "", "system__called_number": "", "system__call_sid": ""}
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

    raw = copy.deepcopy(dict(agent.raw))
    config: Json = raw["conversation_config"]
    _merge(config, _preset(agent, override))
    _merge(config, override)
    merged = _parse(agent, raw)
    variables = _variables(merged, dynamic_variables, system_variables)
    _substitute(config, variables)
    return replace(_parse(agent, raw), custom_llm_extra_body=extra_body, dynamic_variables=variables)


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
    """A copy without what says nothing: clients send nulls and empty objects for what they do not override."""
    given: Json = {}
    for key, value in override.items():
        if isinstance(value, Mapping):
            value = _given(cast("Mapping[str, Any]", value))
            if not value:
                continue
        if value is not None:
            given[key] = copy.deepcopy(value)
    return given


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


def _preset(agent: AgentConfig, override: Json) -> Json:
    """What the agent says differently in the language that the client asks for."""
    block: Any = override.get("agent")
    language: Any = cast("Json", block).get("language") if isinstance(block, dict) else None
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
    }
    layers = (
        _ONLY_ON_THE_TELEPHONE,
        config.agent.dynamic_variables.dynamic_variable_placeholders,
        client,
        known,
        system,
    )
    return {name: value for layer in layers for name, value in layer.items() if value is not None}


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
