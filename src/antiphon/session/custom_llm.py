"""An agent's own language model server as an engine needs it: keys and headers as text instead of where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from antiphon.agents.config import AgentConfig
from antiphon.agents.workspace import Workspace
from antiphon.errors import ConfigError, NotFoundError

PATH = "conversation_config.agent.prompt.custom_llm"
RESERVED = "ANTIPHON_"
"The server's own settings begin so, its secrets among them: they are not an agent's to send away."


async def resolved(
    agent: AgentConfig, workspace: Workspace | None, environment: Mapping[str, str]
) -> Mapping[str, Any] | None:
    """The agent's `custom_llm` (rest.md 4) with `api_key` and every header as text; None: it has none.

    A key is `{"secret_id"}` or `{"env_var_label"}`, a header is text, one of these, or `{"variable_name"}`. A header
    from a variable is left out as long as there is no conversation that gives the variable a value.

    Raises:
        ConfigError: a secret, a label or a variable is unknown, or none of them is named.
    """
    custom_llm = agent.conversation_config.agent.prompt.custom_llm
    if custom_llm is None:
        return None
    told = dict(custom_llm)
    if isinstance(key := told.get("api_key"), Mapping):
        told["api_key"] = await _text(agent, "api_key", cast("Mapping[str, Any]", key), workspace, environment)
    if isinstance(headers := told.get("request_headers"), Mapping):
        told["request_headers"] = {
            name: text
            for name, value in cast("Mapping[str, Any]", headers).items()
            if (text := await _header(agent, name, value, workspace, environment)) is not None
        }
    return told


async def _header(
    agent: AgentConfig, name: str, value: Any, workspace: Workspace | None, environment: Mapping[str, str]
) -> Any:
    """Its text; None: a variable has no value yet. What is not an object is left to the engine to judge."""
    if not isinstance(value, Mapping):
        return value
    place, source = f"request_headers.{name}", cast("Mapping[str, Any]", value)
    if not isinstance(variable := source.get("variable_name"), str):
        return await _text(agent, place, source, workspace, environment)
    placeholders = agent.conversation_config.agent.dynamic_variables.dynamic_variable_placeholders
    known = {**placeholders, **agent.dynamic_variables}
    if variable in known:
        return str(known[variable])
    if agent.dynamic_variables:  # a conversation has some, if only the server's
        raise ConfigError(f"no value for the dynamic variable {variable}", path=agent.place(f"{PATH}.{place}"))
    return None


async def _text(
    agent: AgentConfig,
    place: str,
    source: Mapping[str, Any],
    workspace: Workspace | None,
    environment: Mapping[str, str],
) -> str:
    path = agent.place(f"{PATH}.{place}")
    if isinstance(label := source.get("env_var_label"), str):
        if label.upper().startswith(RESERVED):
            raise ConfigError(f"{label} is a setting of this server, nothing for a model", path=path)
        if label not in environment:
            raise ConfigError(f"there is no environment variable {label!r}", path=path)
        return environment[label]
    secret_id = source.get("secret_id")
    if not isinstance(secret_id, str) or workspace is None:
        raise ConfigError("name a secret of the workspace: {'secret_id': ...}", path=path)
    try:
        return await workspace.secret(secret_id)
    except NotFoundError as error:
        raise ConfigError(str(error), path=path) from error
