"""Tools of MCP servers: offered when their server is connected, run when the user or the configuration approves."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from antiphon.agents.mcp import McpServerConfig, offered_name
from antiphon.agents.reading import read
from antiphon.agents.tools import ToolConfig
from antiphon.agents.workspace import Workspace
from antiphon.dialogue.outcome import MAX_RESULT, Outcome
from antiphon.engines.base import ToolCall
from antiphon.errors import ConfigError, NotFoundError
from antiphon.protocol.events import McpConnectionStatus, McpToolApprovalResult, McpToolCall, ServerEvent

from .hosts import HostPolicy
from .mcp_client import Connection, ServerTool, Unreachable, hold, require_mcp
from .values import ValueMissingError, Values

logger = logging.getLogger(__name__)

PATIENCE = 1.0
"Seconds that a conversation waits at its beginning for its servers; they may come later all the same."
APPROVAL_TIMEOUT = 300
"Seconds that the user has to approve of a call (protocol.md S18)."


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool as the model knows it, and whose it is."""

    config: ToolConfig
    tool: ServerTool
    connection: Connection
    needs_approval: bool


class McpTools:
    """The MCP servers of one conversation.

    `asks`: the client is told of calls, so that its user can approve of them. `taken`: names of the agent's own tools.

    Raises:
        ConfigError: there are servers, and the SDK is not installed.
    """

    def __init__(
        self,
        server_ids: Sequence[str],
        *,
        workspace: Workspace | None,
        values: Values,
        announce: Callable[[ServerEvent], None],
        hosts: HostPolicy,
        taken: Mapping[str, Any],
        asks: bool,
        approval_timeout: float = APPROVAL_TIMEOUT,
    ) -> None:
        if server_ids:
            require_mcp()
        self._server_ids = list(dict.fromkeys(server_ids))
        self._workspace = workspace
        self._values = values
        self._announce = announce
        self._hosts = hosts
        self._taken = taken
        self._asks = asks
        self._approval_timeout = approval_timeout
        self._offers: dict[str, Offer] = {}
        self._settled: dict[str, dict[str, Any]] = {}
        self._ready = asyncio.Event()
        self._approvals: dict[str, asyncio.Future[bool]] = {}
        self._keeper: asyncio.Task[None] | None = None

    # --------------------------------------------------------------------------------------------- opening, closing

    async def open(self, patience: float = PATIENCE) -> None:
        """Connect to all servers; returns when each has answered or failed, or `patience` seconds are over."""
        if not self._server_ids:
            return
        # a task of its own, and no TaskGroup: where an agent takes over, one task opens and another one closes
        self._keeper = asyncio.create_task(self._keep(), name="mcp servers")  # noqa: TID251
        try:
            async with asyncio.timeout(patience):
                await self._ready.wait()
        except TimeoutError:
            logger.info("not all MCP servers are connected yet")
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Leave all servers."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _keep(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for server_id in self._server_ids:
                tasks.create_task(self._connect(server_id))

    async def _connect(self, server_id: str) -> None:
        try:
            config = await self._configuration(server_id)
        except (ConfigError, NotFoundError) as error:
            logger.warning("an MCP server cannot be used", extra={"server": server_id, "why": str(error)})
            self._note(server_id, None)
            return
        await hold(Connection(server_id, config), self._values, self._hosts, self._on_settled)

    async def _configuration(self, server_id: str) -> McpServerConfig:
        if self._workspace is None:
            raise NotFoundError("MCP server", server_id)
        server = await self._workspace.mcp_server(server_id)
        return read(McpServerConfig, server.config, path=server_id)

    def _on_settled(self, connection: Connection) -> None:
        self._offers = {name: offer for name, offer in self._offers.items() if offer.connection is not connection}
        if connection.client is not None:
            for tool in connection.tools:
                self._offer(connection, tool)
        self._note(connection.server_id, connection)

    def _offer(self, connection: Connection, tool: ServerTool) -> None:
        config = connection.config
        try:
            name = offered_name(tool.name, config.name or connection.server_id, {**self._taken, **self._offers})
            offered = config.tool(tool.name, tool.description, tool.parameters, offered_as=name)
        except ConfigError as error:
            logger.warning(
                "a tool of an MCP server is left out",
                extra={"server": connection.server_id, "tool": tool.name, "why": str(error)},
            )
            return
        asks = config.needs_approval(tool.name, tool.description, tool.parameters)
        self._offers[name] = Offer(offered, tool, connection, asks)

    def _note(self, server_id: str, connection: Connection | None) -> None:
        """Tell of all servers that have answered or failed, if anything is new."""
        status = {
            "integration_id": server_id,
            "integration_type": "mcp_server",
            "is_connected": connection is not None and connection.client is not None,
            "tool_count": sum(offer.connection is connection for offer in self._offers.values()),
        }
        if self._settled.get(server_id) != status:
            self._settled[server_id] = status
            self._announce(McpConnectionStatus(list(self._settled.values())))
        if len(self._settled) == len(self._server_ids):
            self._ready.set()

    # ------------------------------------------------------------------------------------------------------- tools

    @property
    def configs(self) -> dict[str, ToolConfig]:
        """The tools of those servers that are connected, by the names that the model knows."""
        return {name: offer.config for name, offer in self._offers.items()}

    def resolve(self, answer: McpToolApprovalResult) -> None:
        """The user has said yes or no. What nobody waits for is ignored."""
        future = self._approvals.get(answer.tool_call_id)
        if future is not None and not future.done():
            future.set_result(answer.is_approved)

    async def run(self, call: ToolCall, arguments: dict[str, Any]) -> Outcome:
        """Have it approved, and run."""
        offer = self._offers[call.name]
        progress = Progress(call, arguments, offer, self._announce, self._values)
        refusal = await self._refusal(call, offer, progress) if offer.needs_approval else None
        if refusal is not None:
            return progress.failed(refusal)
        progress.tell("loading")
        limit = offer.config.response_timeout_secs
        try:
            async with asyncio.timeout(limit if limit > 0 else None):
                meta = await self._values.meta(offer.connection.config.request_meta)
                result = await offer.connection.call(offer.tool.name, arguments, meta)
        except TimeoutError:
            return progress.failed(f"the server did not answer within {limit:g} seconds")
        except (Unreachable, ValueMissingError) as error:
            return progress.failed(str(error))
        except Exception as error:  # noqa: BLE001  the SDK's: a refusal, an answer against its own schema
            logger.warning("an MCP tool failed", extra={"tool": call.name, "why": type(error).__name__})
            return progress.failed(str(error)[:MAX_RESULT])
        return progress.finished(result)

    async def _refusal(self, call: ToolCall, offer: Offer, progress: Progress) -> str | None:
        """Why it may not run; None: it may."""
        if not self._asks:
            return "this call needs the user's approval, and the user's program does not ask for it"
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._approvals[call.id] = future
        progress.tell("awaiting_approval", approval_timeout_secs=round(self._approval_timeout))
        try:
            async with asyncio.timeout(self._approval_timeout):
                approved = await future
        except TimeoutError:
            return "the user did not approve of it in time"
        finally:
            self._approvals.pop(call.id, None)
        return None if approved else "the user does not want this to be done"


class Progress:
    """One call on its way, as the client is told of it (protocol.md S18)."""

    def __init__(
        self,
        call: ToolCall,
        arguments: Mapping[str, Any],
        offer: Offer,
        announce: Callable[[ServerEvent], None],
        values: Values,
    ) -> None:
        self._call = call
        self._arguments = values.redacted(arguments)
        self._offer = offer
        self._announce = announce
        self._values = values

    def tell(self, state: Literal["loading", "awaiting_approval", "success", "failure"], **more: Any) -> None:
        """It is at this point now."""
        self._announce(
            McpToolCall(
                service_id=self._offer.connection.server_id,
                tool_call_id=self._call.id,
                tool_name=self._offer.tool.name,
                state=state,
                tool_description=self._offer.tool.description,
                parameters=self._arguments,
                timestamp=str(self._values.current.get("system__time_utc", "")),
                **more,
            )
        )

    def failed(self, why: str) -> Outcome:
        """It came to nothing."""
        why = self._values.redact(why)
        self.tell("failure", error_message=why)
        return Outcome(why, is_error=True)

    def finished(self, result: Any) -> Outcome:
        """The server has answered. `result`: the SDK's CallToolResult."""
        blocks = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content]
        text = "\n".join(_as_text(block) for block in blocks)
        if not text and result.structured_content is not None:
            text = json.dumps(result.structured_content, ensure_ascii=False)
        if result.is_error:
            return self.failed(text or "the tool failed")
        shown = self._values.redacted(blocks)
        if len(json.dumps(shown)) > MAX_RESULT:
            shown = [{"type": "text", "text": self._values.redact(text)[:MAX_RESULT]}]
        self.tell("success", result=shown)
        return Outcome(text)


def _as_text(block: Mapping[str, Any]) -> str:
    """A content block as the model reads it: text is text, what is not gets a name."""
    match block.get("type"):
        case "text":
            return str(block.get("text", ""))
        case "resource":
            return str(block["resource"].get("text") or f"(a resource: {block['resource'].get('uri', '')})")
        case "resource_link":
            return f"(a resource: {block.get('uri', '')})"
        case kind:
            return f"({kind}: {block.get('mimeType', 'of no stated kind')})"
