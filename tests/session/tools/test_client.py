"""Client tools, and what is true of a call of any kind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.protocol.events import (
    AgentToolRequest,
    AgentToolResponse,
    AgentToolResponseFullPayload,
    ClientToolCall,
    ClientToolResult,
    McpToolApprovalResult,
)

TOOL = {"type": "client", "name": "t", "description": "d", "expects_response": True, "response_timeout_secs": 1}


def answered(bench: Any, result: Any, *, is_error: bool = False, **tool: Any) -> tuple[Any, Any]:
    """One call that the client answers with `result`."""

    async def scene() -> tuple[Any, Any]:
        one = bench({**TOOL, **tool})

        def answer(event: Any) -> None:
            if isinstance(event, ClientToolCall):
                asyncio.get_running_loop().call_soon(
                    one.runner.resolve, ClientToolResult(event.tool_call_id, result, is_error)
                )

        one.on_event = answer
        return await one.call("t", a=1), one

    return asyncio.run(scene())


def test_the_order_of_events(bench: Any) -> None:
    """Requested, asked for, answered: each once, and before the outcome."""
    outcome, one = answered(bench, "fine")
    assert outcome.text == "fine"
    kinds = [type(event) for event in one.events]
    assert kinds == [AgentToolRequest, ClientToolCall, AgentToolResponse, AgentToolResponseFullPayload]
    assert len({event.tool_call_id for event in one.events}) == 1


@pytest.mark.parametrize(
    ("result", "text"), [({"a": [1]}, '{"a": [1]}'), (3, "3"), (None, "null"), (True, "true"), ("x", "x")]
)
def test_results_that_are_no_text_are_json(bench: Any, result: Any, text: str) -> None:
    """Real clients send them (clients.md)."""
    assert answered(bench, result)[0].text == text


def test_a_client_may_fail(bench: Any) -> None:
    """The model reads why, unless the author hides it."""
    assert answered(bench, "broken", is_error=True)[0].text == "broken"
    outcome, _ = answered(bench, "broken", is_error=True, tool_error_handling_mode="hide")
    assert outcome.is_error
    assert "broken" not in outcome.text


def test_an_answer_of_a_client_sets_variables(bench: Any) -> None:
    """From JSON text as from a JSON value."""
    assignments = [{"dynamic_variable": "id", "value_path": "user.id", "sanitize": True}]
    for result in ({"user": {"id": 7, "x": 1}}, '{"user": {"id": 7, "x": 1}}'):
        outcome, one = answered(bench, result, assignments=assignments)
        assert one.runner.variables["id"] == 7
        assert outcome.assignments == {"id": 7}
        assert outcome.text == '{"user": {"x": 1}}'


def test_nobody_answers(bench: Any) -> None:
    """After response_timeout_secs; what comes later, or was never asked for, is ignored."""

    async def scene() -> Any:
        one = bench({**TOOL, "response_timeout_secs": 0.05})
        outcome = await one.call("t")
        one.runner.resolve(ClientToolResult(one.events[0].tool_call_id, "late"))
        one.runner.resolve(McpToolApprovalResult("x", True))
        return outcome

    outcome = asyncio.run(scene())
    assert outcome.is_error
    assert outcome.text == "the client did not answer within 0.05 seconds"


def test_a_client_that_is_only_told(bench: Any) -> None:
    """expects_response false: nobody waits."""

    async def scene() -> Any:
        one = bench({**TOOL, "expects_response": False})
        return await one.call("t")

    assert asyncio.run(scene()).text == "The client was told."


@pytest.mark.parametrize("kind", ["client", "webhook", "system", "mcp", "workflow"])
def test_any_kind_of_call_is_reported(bench: Any, kind: str) -> None:
    """Whatever becomes of it, request and response come in pairs, and nothing is raised."""

    async def scene() -> Any:
        one = bench({"type": kind, "name": "t", "description": "d", "response_timeout_secs": 0.05})
        return await one.call("t"), await one.call("unknown"), one

    _, unknown, one = asyncio.run(scene())
    assert unknown.is_error
    assert "known: t" in unknown.text
    for event in (AgentToolRequest, AgentToolResponse, AgentToolResponseFullPayload):
        assert [found.tool_name for found in one.of(event)] == ["t", "unknown"]


def test_texts_for_the_model_have_their_variables(bench: Any) -> None:
    """Descriptions and constants; secrets stay names."""
    parameters = {"properties": {"x": {"type": "string", "description": "one of {{shop}}"}}}
    tool = {**TOOL, "description": "Ask {{shop}} {{secret__k}} {{none}}", "parameters": parameters}
    one = bench(tool, variables={"shop": "Hut & Co", "secret__k": "hidden-value"})
    (spec,) = one.runner.specs
    assert spec.description == "Ask Hut & Co {{secret__k}} {{none}}"
    assert spec.parameters["properties"]["x"]["description"] == "one of Hut & Co"


def test_system_variables_are_fresh_at_each_call(bench: Any) -> None:
    """`system__call_duration_secs` is not what it was at the beginning."""

    async def scene() -> Any:
        now = {"system__call_duration_secs": 3}
        parameters = {"properties": {"t": {"type": "integer", "dynamic_variable": "system__call_duration_secs"}}}
        one = bench({**TOOL, "expects_response": False, "parameters": parameters}, system_variables=lambda: now)
        await one.call("t")
        now["system__call_duration_secs"] = 60
        await one.call("t")
        return [event.parameters for event in one.of(ClientToolCall)]

    assert asyncio.run(scene()) == [{"t": 3}, {"t": 60}]
