"""The server's workspace: the files of `--agents`, and behind them what is in the store.

Files win over the store where both have an id, and are read-only. What the store has is parsed once for each of its
versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from antiphon.agents.config import AgentConfig
from antiphon.agents.folder import FolderWorkspace
from antiphon.agents.reading import read
from antiphon.agents.tools import ToolConfig
from antiphon.agents.workspace import Document, McpServer
from antiphon.errors import NotFoundError
from antiphon.store.resources import Resource, Resources

MOST_PARSED = 1_000
"Agents whose parsed form is kept."


class StoredWorkspace:
    """The `Workspace` of a server."""

    def __init__(self, files: FolderWorkspace, resources: Resources) -> None:
        self.files = files
        self._resources = resources
        self._parsed: dict[str, tuple[float, AgentConfig]] = {}
        "Agents by id, with the `updated_at` of what they were parsed from."

    @property
    def file_ids(self) -> frozenset[str]:
        """Agents that are in files."""
        return frozenset(agent.agent_id for agent in self.files.agents)

    async def agent_names(self) -> Mapping[str, str]:
        """Id -> name of every agent."""
        stored = {agent.id: agent.name for agent in await self._resources.all("agent")}
        return {**stored, **await self.files.agent_names()}

    async def agent(self, agent_id: str) -> AgentConfig:
        """An agent. Raises NotFoundError, as do the others; ConfigError: its document makes no sense any more."""
        try:
            return await self.files.agent(agent_id)
        except NotFoundError:
            return self.parsed(await self._resources.get("agent", agent_id))

    def parsed(self, resource: Resource) -> AgentConfig:
        """The agent of a stored document. Raises ConfigError."""
        before = self._parsed.get(resource.id)
        if before is not None and before[0] == resource.updated_at:
            return before[1]
        agent = AgentConfig.parse(resource.document, agent_id=resource.id)
        if len(self._parsed) >= MOST_PARSED:
            del self._parsed[next(iter(self._parsed))]
        self._parsed[resource.id] = resource.updated_at, agent
        return agent

    async def tool(self, tool_id: str) -> ToolConfig:
        """A tool."""
        try:
            return await self.files.tool(tool_id)
        except NotFoundError:
            document = (await self._resources.get("tool", tool_id)).document
            return read(ToolConfig, document["tool_config"], path=f"tool {tool_id}", inside=("tool_config",))

    async def secret(self, secret_id: str) -> str:
        """A secret's value."""
        try:
            return await self.files.secret(secret_id)
        except NotFoundError:
            return str((await self._resources.get("secret", secret_id)).document["value"])

    async def document(self, document_id: str) -> Document:
        """A document of the knowledge base: what was extracted from it, as text."""
        try:
            return await self.files.document(document_id)
        except NotFoundError:
            resource = await self._resources.get("document", document_id)
            _, data = await self._resources.content("document", document_id)
            return Document(document_id, resource.name, data)

    async def mcp_server(self, server_id: str) -> McpServer:
        """An MCP server."""
        try:
            return await self.files.mcp_server(server_id)
        except NotFoundError:
            config: Mapping[str, Any] = (await self._resources.get("mcp_server", server_id)).document["config"]
            return McpServer(server_id, config)
