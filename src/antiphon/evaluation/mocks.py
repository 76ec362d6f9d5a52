"""What stands in for an agent's tools while it is simulated or tested. System tools are always the real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from antiphon.agents.tools import ToolConfig
from antiphon.dialogue.outcome import Outcome
from antiphon.engines.base import ToolCall

from .judge import Judge
from .tool_calls import mismatches

CALLED = "Tool Called."
"What a mock answers that nobody has told what to answer."
NO_CLIENT = "there is no client in a simulation: mock this tool"


@dataclass(frozen=True, slots=True)
class Mocks:
    """By name of the tool."""

    judge: Judge
    answers: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict[str, Sequence[Mapping[str, Any]]])
    "Results, the first whose `parameter_conditions` fit: `{mock_result, is_error, parameter_conditions}`."
    strategy: Literal["all", "selected", "none"] = "selected"
    "Which tools are mocked: all, those of `selected` and of `answers`, or those of `answers` alone."
    selected: frozenset[str] = frozenset()
    otherwise: Literal["call_real_tool", "raise_error", "answer"] = "answer"
    "What a mocked tool does of which no answer fits."

    async def __call__(self, call: ToolCall, tool: ToolConfig) -> Outcome | None:
        """The outcome of a call; None: the tool itself is to run."""
        if tool.type == "system":
            return None
        listed = self.answers.get(call.name, ())
        for answer in listed:
            if not await mismatches(answer.get("parameter_conditions") or (), call.parameters, self.judge):
                return Outcome(str(answer.get("mock_result", CALLED)), is_error=answer.get("is_error") is True)
        if self.strategy == "all" or listed or (self.strategy == "selected" and call.name in self.selected):
            if self.otherwise == "answer":
                return Outcome(CALLED)
            if self.otherwise == "raise_error":
                return Outcome(f"no mock of {call.name} fits this call", is_error=True)
        return Outcome(NO_CLIENT, is_error=True) if tool.type == "client" else None
