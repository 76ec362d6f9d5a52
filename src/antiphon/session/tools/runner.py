"""One tool call, whatever its kind: checked, announced, run, reported."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self, TypeAlias, cast

import msgspec

from antiphon.agents.arguments import with_variables
from antiphon.agents.tools import ToolArgumentError, ToolConfig
from antiphon.agents.workspace import Workspace
from antiphon.dialogue.outcome import MAX_RESULT, Outcome
from antiphon.engines.base import ToolCall, ToolSpec
from antiphon.protocol.events import (
    AgentToolRequest,
    AgentToolResponse,
    AgentToolResponseFullPayload,
    ClientToolResult,
    McpToolApprovalResult,
    ServerEvent,
)

from .answer import NOTHING, assigned, parsed, sanitized
from .client import ClientTools, as_text
from .hosts import GuardedTransport, HostPolicy
from .mcp import APPROVAL_TIMEOUT, PATIENCE, McpTools
from .system import SystemTools
from .values import Values
from .webhook import WebhookTools

logger = logging.getLogger(__name__)

Mock: TypeAlias = Callable[[ToolCall, ToolConfig], Awaitable[Outcome | None]]
"What stands in for a tool: the outcome of a call whose arguments are checked; None: the tool itself is to run."

SPEAK_FIRST = "Before you call this tool, tell the user in a few words what you are about to do."
"Added to the description of tools with `pre_tool_speech: force`."


class ToolRunner:
    """The tools of one conversation. `run` may be called any number of times at once.

    `announce` takes every event, with event_id 0: whoever sends it gives it its own. `workspace` has the secrets and
    the MCP servers of `mcp_server_ids`. `system_variables` are asked for anew at each call. `hosts`: where webhooks and
    MCP servers may be. `languages`: those that the agent can be switched to, its own first. `sounds`: there is a voice
    path. `user_turns`: how often the user has spoken. `environment`: what `env_var_label` names in headers. `approves`:
    the client gets `mcp_tool_call` events. `mcp_patience`: seconds to wait for MCP servers at the beginning. `verify`:
    whom webhooks believe; None: the usual certificates. `mock`: what is asked before a tool is run.

    Raises:
        ConfigError: there are MCP servers and no MCP SDK.
    """

    def __init__(
        self,
        tools: Mapping[str, ToolConfig],
        *,
        variables: Mapping[str, Any],
        announce: Callable[[ServerEvent], None],
        workspace: Workspace | None = None,
        system_variables: Callable[[], Mapping[str, Any]] = dict,
        hosts: HostPolicy | None = None,
        mcp_server_ids: Sequence[str] = (),
        languages: Sequence[str] = (),
        sounds: bool = True,
        user_turns: Callable[[], int] = lambda: 0,
        environment: Mapping[str, str] | None = None,
        approves: bool = True,
        approval_timeout: float = APPROVAL_TIMEOUT,
        mcp_patience: float = PATIENCE,
        verify: ssl.SSLContext | None = None,
        mock: Mock | None = None,
    ) -> None:
        hosts = hosts or HostPolicy()
        self._tools = tools
        self._announce = announce
        self._mock = mock
        self._mcp_patience = mcp_patience
        self._values = Values(variables, system_variables, workspace, environment)
        self._client = ClientTools(announce)
        self._webhook = WebhookTools(self._values, GuardedTransport(hosts, verify=verify))
        self._system = SystemTools(languages, sounds=sounds, user_turns=user_turns)
        self._mcp = McpTools(
            mcp_server_ids,
            workspace=workspace,
            values=self._values,
            announce=announce,
            hosts=hosts,
            taken=tools,
            asks=approves,
            approval_timeout=approval_timeout,
        )

    async def __aenter__(self) -> Self:
        """Connect to the MCP servers; one that cannot be reached is done without."""
        await self._mcp.open(self._mcp_patience)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close all connections. May be done by another task than the one that entered."""
        try:
            await self._mcp.close()
        finally:
            await self._webhook.aclose()

    @property
    def variables(self) -> dict[str, Any]:
        """The dynamic variables as they are now, secrets included."""
        return self._values.current

    def config(self, name: str) -> ToolConfig | None:
        """A tool's definition; of an MCP server's tool, while its server is connected."""
        return self._tools.get(name) or self._mcp.configs.get(name)

    @property
    def specs(self) -> list[ToolSpec]:
        """What the language model is offered: the tools that can be run here, now."""
        variables = self._values.current
        specs = [self._spec(tool) for tool in (*self._tools.values(), *self._mcp.configs.values())]
        return [_with_variables(spec, variables) for spec in specs if spec is not None]

    def _spec(self, tool: ToolConfig) -> ToolSpec | None:
        match tool.type:
            case "client" | "mcp":
                spec = ToolSpec(tool.name, tool.description, tool.json_schema())
            case "webhook" if tool.api_schema is not None:
                spec = ToolSpec(tool.name, tool.description, tool.json_schema())
            case "system":
                spec = self._system.spec(tool)
            case _:
                return None
        if spec is None or tool.pre_tool_speech != "force":
            return spec
        return msgspec.structs.replace(spec, description=f"{spec.description}\n{SPEAK_FIRST}".strip())

    def resolve(self, event: ClientToolResult | McpToolApprovalResult) -> None:
        """The client has answered."""
        if isinstance(event, ClientToolResult):
            self._client.resolve(event)
        else:
            self._mcp.resolve(event)

    async def run(self, call: ToolCall) -> Outcome:
        """Run it; every failure is an outcome that the model can read. Raises nothing but CancelledError."""
        tool = self.config(call.name)
        kind = tool.type if tool is not None else ""
        self._announce(
            AgentToolRequest(
                tool_name=call.name,
                tool_call_id=call.id,
                tool_type=kind,
                event_id=0,
                parameters=call.parameters,
            )
        )
        try:
            outcome = await self._run(call, tool)
        except Exception:
            logger.exception("a tool broke", extra={"tool": call.name})
            outcome = Outcome("the tool failed", is_error=True)
        told = self._values.assign(outcome.assignments)
        outcome = msgspec.structs.replace(outcome, text=self._values.redact(outcome.text), assignments=told)
        self._report(call, kind, outcome)
        return outcome

    async def _run(self, call: ToolCall, tool: ToolConfig | None) -> Outcome:
        if tool is None:
            known = ", ".join(sorted({**self._tools, **self._mcp.configs})) or "none"
            return Outcome(f"there is no tool {call.name!r}; known: {known}", is_error=True)
        variables = self._values.current
        try:
            arguments = tool.check_arguments(call.parameters, variables=variables)
        except ToolArgumentError as error:
            return Outcome(str(error), is_error=True)
        if self._mock is not None:
            mocked = await self._mock(msgspec.structs.replace(call, parameters=dict(arguments)), tool)
            if mocked is not None:
                return mocked if mocked.action is not None else _assigning(mocked, tool)
        match tool.type:
            case "client":
                return _assigning(await self._client.run(call, tool, arguments), tool)
            case "webhook" if tool.api_schema is not None:
                return await self._webhook.run(tool, arguments)
            case "mcp" if call.name not in self._tools:
                return _assigning(await self._mcp.run(call, arguments), tool)
            case "system":
                return self._system.run(tool, arguments, variables)
            case _:
                return Outcome(f"tools of type {tool.type!r} cannot be run by this server", is_error=True)

    def _report(self, call: ToolCall, kind: str, outcome: Outcome) -> None:
        event_id = 0
        self._announce(
            AgentToolResponse(
                tool_name=call.name,
                tool_call_id=call.id,
                tool_type=kind,
                is_error=outcome.is_error,
                event_id=event_id,
                status="error" if outcome.is_error else "success",
            )
        )
        self._announce(
            AgentToolResponseFullPayload(
                tool_name=call.name,
                tool_call_id=call.id,
                tool_type=kind,
                is_error=outcome.is_error,
                event_id=event_id,
                full_tool_result=outcome.text[:MAX_RESULT],
                truncated=outcome.truncated,
            )
        )


def _assigning(outcome: Outcome, tool: ToolConfig) -> Outcome:
    """The outcome with the variables that its text sets, and, on failure, with as much text as the author lets out."""
    if outcome.is_error:
        hidden = tool.tool_error_handling_mode == "hide"
        return Outcome("The tool failed; no details are available.", is_error=True) if hidden else outcome
    document = parsed(outcome.text) if tool.assignments else NOTHING
    if document is NOTHING:
        return outcome
    seen = sanitized(document, tool.assignments)
    text = outcome.text if seen is document else as_text(seen)
    return Outcome(text, assignments=assigned(document, tool.assignments))


def _with_variables(spec: ToolSpec, variables: Mapping[str, Any]) -> ToolSpec:
    """Its texts with the variables put in; `{{secrets}}` stay names."""

    def put(value: Any) -> Any:
        if isinstance(value, str):
            return with_variables(value, variables) if "{{" in value else value
        if isinstance(value, list):
            return [put(inner) for inner in cast("list[Any]", value)]
        if isinstance(value, dict):
            return {key: put(inner) for key, inner in cast("dict[str, Any]", value).items()}
        return value

    return ToolSpec(spec.name, put(spec.description), put(spec.parameters))
