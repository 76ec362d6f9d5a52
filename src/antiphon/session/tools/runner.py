"""One tool call, whatever its kind: checked, announced, run, reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from antiphon.agents.tools import ToolArgumentError, ToolConfig
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

from .client import ClientTools


class ToolRunner:
    """The tools of one conversation."""

    def __init__(
        self,
        tools: Mapping[str, ToolConfig],
        *,
        variables: Mapping[str, Any],
        announce: Callable[[ServerEvent], None],
    ) -> None:
        self._tools = tools
        self._variables = variables
        self._announce = announce
        self._client = ClientTools(announce)

    async def __aenter__(self) -> Self:
        """Nothing to open."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Nothing to close."""

    def config(self, name: str) -> ToolConfig | None:
        """A tool's definition."""
        return self._tools.get(name)

    @property
    def specs(self) -> list[ToolSpec]:
        """What the language model is offered: the tools that can be run here."""
        return [
            ToolSpec(tool.name, tool.description, tool.json_schema())
            for tool in self._tools.values()
            if tool.type == "client"
        ]

    def resolve(self, result: ClientToolResult | McpToolApprovalResult) -> None:
        """A client has answered."""
        if isinstance(result, ClientToolResult):
            self._client.resolve(result)

    async def run(self, call: ToolCall) -> Outcome:
        """Run it; every failure is an outcome that the model can read."""
        tool = self._tools.get(call.name)
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
        outcome = await self._run(call, tool)
        self._report(call, kind, outcome)
        return outcome

    async def _run(self, call: ToolCall, tool: ToolConfig | None) -> Outcome:
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            return Outcome(f"there is no tool {call.name!r}; known: {known}", is_error=True)
        try:
            parameters = tool.check_arguments(call.parameters, variables=self._variables)
        except ToolArgumentError as error:
            return Outcome(str(error), is_error=True)
        if tool.type == "client":
            return await self._client.run(call, tool, parameters)
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
