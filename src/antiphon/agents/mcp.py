"""An MCP server's configuration, and what of it is true of each of its tools (rest.md 1.2)."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, model_validator

from antiphon.errors import ConfigError

from .reading import View
from .tools import MCP_TIMEOUT, Assignment, ToolConfig
from .webhook import Header

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")


class ToolApproval(View):
    """One of `tool_approval_hashes`."""

    tool_name: str
    tool_hash: str = ""
    approval_policy: Literal["auto_approved", "requires_approval"] = "requires_approval"


class ToolOverride(View):
    """One of `tool_config_overrides`: what is different for one tool."""

    tool_name: str
    pre_tool_speech: Literal["auto", "force", "off"] | None = None
    interruption_mode: Literal["allow", "disable_during_tool", "disable_during_tool_and_turn"] | None = None
    execution_mode: Literal["immediate", "post_tool_speech", "async"] | None = None
    response_timeout_secs: float | None = None
    assignments: tuple[Assignment, ...] = ()
    input_overrides: Mapping[str, Mapping[str, Any]] = {}
    "Argument, with dots into objects -> where its value comes from."


def _named(headers: Mapping[str, Header]) -> Mapping[str, Header]:
    return {name: value for name, value in headers.items() if name}


class McpServerConfig(View):
    """The `config` of an MCP server."""

    name: str = ""
    url: Header
    "Or `{secret_id}`."
    transport: Literal["SSE", "STREAMABLE_HTTP"] = "SSE"
    approval_policy: Literal["auto_approve_all", "require_approval_all", "require_approval_per_tool"] = (
        "require_approval_all"
    )
    tool_approval_hashes: tuple[ToolApproval, ...] = ()
    secret_token: Header | None = None
    "Sent as `Authorization`."
    request_headers: Annotated[Mapping[str, Header], AfterValidator(_named)] = {}
    request_meta: Mapping[str, Any] = {}
    response_timeout_secs: Annotated[float, Field(gt=0)] = MCP_TIMEOUT
    pre_tool_speech: Literal["auto", "force", "off"] = "auto"
    interruption_mode: Literal["allow", "disable_during_tool", "disable_during_tool_and_turn"] = "allow"
    execution_mode: Literal["immediate", "post_tool_speech", "async"] = "immediate"
    tool_config_overrides: tuple[ToolOverride, ...] = ()
    disable_compression: bool = False

    @model_validator(mode="before")
    @classmethod
    def _of_older_clients(cls, document: Any) -> Any:
        if not isinstance(document, Mapping):
            return document
        config = dict(cast("Mapping[str, Any]", document))
        if config.get("force_pre_tool_speech") is True and config.get("pre_tool_speech") in (None, "auto"):
            config["pre_tool_speech"] = "force"
        if config.get("disable_interruptions") is True and config.get("interruption_mode") in (None, "allow"):
            config["interruption_mode"] = "disable_during_tool"
        return config

    def needs_approval(self, name: str, description: str, parameters: Mapping[str, Any]) -> bool:
        """Whether the user is asked before this tool of the server runs. A tool that has changed since is asked for."""
        if self.approval_policy != "require_approval_per_tool":
            return self.approval_policy == "require_approval_all"
        known = next((entry for entry in self.tool_approval_hashes if entry.tool_name == name), None)
        return (
            known is None
            or known.approval_policy != "auto_approved"
            or known.tool_hash != approval_hash(description, parameters)
        )

    def tool(self, name: str, description: str, parameters: Mapping[str, Any], *, offered_as: str) -> ToolConfig:
        """One of the server's tools, as an agent has it.

        Raises:
            ConfigError: its schema cannot be understood.
        """
        override = next((entry for entry in self.tool_config_overrides if entry.tool_name == name), None)
        settings: dict[str, Any] = {
            key: getattr(self, key)
            for key in ("pre_tool_speech", "interruption_mode", "execution_mode", "response_timeout_secs")
        }
        schema: Any = copy.deepcopy(dict(parameters))
        if override is not None:
            settings |= {key: value for key in settings if (value := getattr(override, key)) is not None}
            settings["assignments"] = [entry.model_dump() for entry in override.assignments]
            for path, source in override.input_overrides.items():
                _override(schema, path, source)
        return ToolConfig.parse(
            {
                "type": "mcp",
                "name": offered_as,
                "description": description,
                "parameters": _plain(schema),
                **settings,
            }
        )


def approval_hash(description: str, parameters: Mapping[str, Any]) -> str:
    """What an approval of one tool is bound to: SHA-256 of its description and its parameters, as compact JSON.

    The API says what is hashed and not how (openapi.json, MCPToolApprovalHash): a hash made elsewhere may not match
    ours, and the user is then asked.
    """
    document = {"description": description, "parameters": dict(parameters)}
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def offered_name(name: str, server: str, taken: Mapping[str, Any]) -> str:
    """A name that chat models take, for a tool of an MCP server; with the server's name where the tool's is taken.

    Raises:
        ConfigError: all such names are taken.
    """
    own = _NOT_IN_A_NAME.sub("_", name)[:64] or "tool"
    longer = _NOT_IN_A_NAME.sub("_", f"{server}_{name}")[:64]
    for candidate in (own, longer):
        if candidate not in taken:
            return candidate
    raise ConfigError(f"two tools would be called {longer}")


def _override(schema: Any, path: str, source: Mapping[str, Any]) -> None:
    """Let an argument come from elsewhere: the schema says so with the API's own keywords (arguments.py)."""
    *outer, last = path.removeprefix("$.").split(".")
    for step in outer:
        within = cast("dict[str, Any]", schema if isinstance(schema, dict) else {})
        properties: Any = within.get("properties")
        schema = cast("dict[str, Any]", properties if isinstance(properties, dict) else {}).get(step)
    owner = cast("dict[str, Any]", schema) if isinstance(schema, dict) else {}
    arguments: Any = owner.get("properties")
    if not isinstance(arguments, dict) or last not in arguments:
        return
    known = cast("dict[str, Any]", arguments)
    argument: dict[str, Any] = dict(known[last]) if isinstance(known[last], Mapping) else {}
    match source.get("source"):
        case "constant":
            argument["constant_value"] = source.get("constant_value")
        case "dynamic_variable":
            argument["dynamic_variable"] = source.get("dynamic_variable")
        case "omit":
            argument["is_omitted"] = True
            owner["required"] = [name for name in owner.get("required") or () if name != last]
        case "llm" if source.get("prompt"):
            argument["description"] = source["prompt"]
        case _:
            pass
    known[last] = argument


def _plain(schema: Any) -> dict[str, Any]:
    """The schema as our reader takes it: JSON schema also has `true` where anything goes."""
    if not isinstance(schema, Mapping):
        return {}
    plain = dict(cast("Mapping[str, Any]", schema))
    if isinstance(plain.get("properties"), Mapping):
        plain["properties"] = {name: _plain(inner) for name, inner in plain["properties"].items()}
    if "items" in plain:
        plain["items"] = _plain(plain["items"])
    return plain
