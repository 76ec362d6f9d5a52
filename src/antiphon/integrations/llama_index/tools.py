"""LlamaIndex's tools as the client's own: functions that the agent may call."""

from __future__ import annotations

import json
import warnings
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from pydantic import BaseModel

from antiphon.client.tools import ClientTools
from antiphon.errors import AntiphonError

from . import core

_CALL_ID = "tool_call_id"


def register(client_tools: ClientTools, tools: Iterable[Any]) -> None:
    """Has the agent's calls reach these tools. One without a schema is left out, with a warning.

    Raises:
        ValueError: two tools have the same name, or one has none.
    """
    for tool in tools:
        if tool.metadata.fn_schema is None:
            warnings.warn(
                f"tool {tool.metadata.name!r} is left out: it has no function schema to tell its parameters by",
                stacklevel=3,
            )
        else:
            client_tools.register(tool.metadata.get_name(), _handler(tool), is_async=True)


def tool_definitions(tools: Iterable[Any]) -> list[dict[str, Any]]:
    """LlamaIndex tools as an agent's configuration takes them: `conversation_config.agent.prompt.tools`.

    One without a schema is left out, as it is by the voice agent.
    """
    return [
        {
            "type": "client",
            "name": tool.metadata.get_name(),
            "description": tool.metadata.description,
            "expects_response": True,
            "parameters": {
                name: part
                for name, part in tool.metadata.get_parameters_dict().items()
                if name in ("type", "properties", "required")
            },
        }
        for tool in tools
        if tool.metadata.fn_schema is not None
    ]


def _handler(tool: Any) -> Callable[[dict[str, Any]], Awaitable[Any]]:
    runnable = core.tools.adapt_to_async_tool(tool)  # a plain one runs in a thread
    takes_call_id = _CALL_ID in tool.metadata.fn_schema.model_fields

    async def call(parameters: dict[str, Any]) -> Any:
        arguments = {name: value for name, value in parameters.items() if name != _CALL_ID or takes_call_id}
        output = await runnable.acall(**arguments)
        if getattr(output, "is_error", False):
            raise getattr(output, "exception", None) or AntiphonError(output.content)
        return _plain(output)

    return call


def _plain(output: Any) -> Any:
    """What the tool returned, where that is JSON; else what LlamaIndex would tell a model: of a query, the answer."""
    result = output.raw_output
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json")
    try:
        json.dumps(result, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return output.content
    return result
