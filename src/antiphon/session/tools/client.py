"""Tools that run at the client: ask over the wire, wait for the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from antiphon.agents.tools import ToolConfig
from antiphon.dialogue.outcome import Outcome
from antiphon.engines.base import ToolCall
from antiphon.protocol.events import ClientToolCall, ClientToolResult, ServerEvent


class ClientTools:
    """Calls under way, by id. An answer that nobody waits for any more is ignored: it stands in the journal."""

    def __init__(self, announce: Callable[[ServerEvent], None]) -> None:
        self._announce = announce
        self._pending: dict[str, asyncio.Future[ClientToolResult]] = {}

    def resolve(self, result: ClientToolResult) -> None:
        """The client has answered."""
        future = self._pending.get(result.tool_call_id)
        if future is not None and not future.done():
            future.set_result(result)

    async def run(self, call: ToolCall, tool: ToolConfig, parameters: dict[str, Any]) -> Outcome:
        """Have the client run it."""
        future: asyncio.Future[ClientToolResult] = asyncio.get_running_loop().create_future()
        self._pending[call.id] = future
        try:
            self._announce(
                ClientToolCall(
                    tool_name=call.name,
                    tool_call_id=call.id,
                    parameters=parameters,
                    event_id=0,
                    expects_response=tool.expects_response,
                )
            )
            if not tool.expects_response:
                return Outcome("The client was told.")
            limit = tool.response_timeout_secs
            async with asyncio.timeout(limit if limit > 0 else None):
                answer = await future
        except TimeoutError:
            return Outcome(f"the client did not answer within {tool.response_timeout_secs:g} seconds", is_error=True)
        finally:
            self._pending.pop(call.id, None)
        return Outcome(as_text(answer.result), is_error=answer.is_error)


def as_text(result: Any) -> str:
    """A result as the text that a model reads; clients also send numbers, lists and objects (clients.md)."""
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
