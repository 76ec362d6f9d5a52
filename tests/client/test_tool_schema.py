"""Functions with type hints as tools: the definition for the agent, and the arguments back."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import msgspec
import pytest

from antiphon.agents.tools import ToolConfig
from antiphon.client import ClientTools
from antiphon.protocol.events import ClientToolCall


class Place(msgspec.Struct):
    city: str
    country: str = "DE"


def answer(tools: ClientTools, name: str, **parameters: Any) -> tuple[Any, bool]:
    call = ClientToolCall(tool_name=name, tool_call_id="call_1", parameters=parameters)
    result = asyncio.run(tools.run(call))
    return result.result, result.is_error


def test_a_typed_function_becomes_a_definition() -> None:
    """Types, defaults, choices and descriptions; as an agent's `tools` take it."""
    tools = ClientTools()

    @tools.tool
    def forecast(
        place: Place, days: Annotated[int, "how far ahead"] = 1, unit: Literal["C", "F"] = "C", *, tool_call_id: str
    ) -> str:
        """Tells the weather
        of some days.

        Args:
            place: where
            unit (str): Celsius
                or Fahrenheit
        """
        return f"{place.city} {place.country} {days + 1} {unit} {tool_call_id}"

    (definition,) = tools.definitions()
    assert definition == {
        "type": "client",
        "name": "forecast",
        "description": "Tells the weather of some days.",
        "expects_response": True,
        "parameters": {
            "type": "object",
            "properties": {
                "place": {
                    "title": "Place",
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "country": {"type": "string", "default": "DE"}},
                    "required": ["city"],
                    "description": "where",
                },
                "days": {"type": "integer", "description": "how far ahead"},
                "unit": {"type": "string", "enum": ["C", "F"], "description": "Celsius or Fahrenheit"},
            },
            "required": ["place"],
        },
    }
    assert answer(tools, "forecast", place={"city": "Ulm"}, days="2") == ("Ulm DE 3 C call_1", False)
    assert answer(tools, "forecast", days=2) == ("parameter 'place' is missing", True)
    text, is_error = answer(tools, "forecast", place={"city": "Ulm"}, days="soon")
    assert is_error
    assert text.startswith("parameter 'days': Expected `int`")


def test_a_definition_is_one_that_an_agent_takes() -> None:
    """The server's own reading of it finds nothing wrong."""
    tools = ClientTools()

    @tools.tool("hang_up")
    async def stop(reason: str | None = None) -> None:
        """Ends the call."""

    (definition,) = tools.definitions()
    assert definition["expects_response"] is False
    assert definition["parameters"] == {"type": "object", "properties": {"reason": {"type": "string"}}, "required": []}
    assert ToolConfig.parse(definition).name == "hang_up"
    assert answer(tools, "hang_up") == ("Client tool: hang_up called successfully.", False)


@pytest.mark.parametrize("hint", [dict, "dict[str, Any]", Any, None])
def test_a_function_of_one_dict_gets_all_parameters(hint: Any) -> None:
    """As the original's handlers do."""
    tools = ClientTools()

    def whole(parameters):  # type: ignore[no-untyped-def]
        return parameters

    whole.__annotations__ = {} if hint is None else {"parameters": hint}
    tools.tool(whole)
    assert answer(tools, "whole", x=1) == ('{"tool_call_id": "call_1", "x": 1}', False)


def test_a_function_without_parameters_needs_none() -> None:
    """The original's documentation shows one, and the original fails on it (protocol.md 5.5)."""
    tools = ClientTools()

    @tools.tool
    def now() -> str:
        return "noon"

    assert answer(tools, "now") == ("noon", False)
