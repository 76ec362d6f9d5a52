"""What belongs to an agent but stands outside its document: tools, secrets, documents, MCP servers, each by its id.

`Workspace` is the seam: a folder of files is its first implementation (`folder.py`), a database the next, and neither
is known to a session. Every question may have to wait, so every one is asynchronous.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from antiphon.errors import ConfigError, NotFoundError

from .config import AgentConfig
from .tools import ToolConfig


@dataclass(frozen=True, slots=True)
class Document:
    """Something that an agent can look up."""

    document_id: str
    name: str
    content: bytes
    "As it was put in; its name says what it is."


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server of tools that agents can be connected to."""

    server_id: str
    config: Mapping[str, Any]
    "`url`, `transport`, `approval_policy`, ... (rest.md 1.2)."


class Workspace(Protocol):
    """Agents and what they refer to. Every question about an id raises NotFoundError where there is nothing of it."""

    async def agent_names(self) -> Mapping[str, str]:
        """Id -> name of every agent."""
        ...

    async def agent(self, agent_id: str) -> AgentConfig:
        """An agent."""
        ...

    async def tool(self, tool_id: str) -> ToolConfig:
        """A tool."""
        ...

    async def secret(self, secret_id: str) -> str:
        """A secret's value."""
        ...

    async def document(self, document_id: str) -> Document:
        """A document of the knowledge base."""
        ...

    async def mcp_server(self, server_id: str) -> McpServer:
        """An MCP server."""
        ...


async def tools_of(agent: AgentConfig, workspace: Workspace | None) -> dict[str, ToolConfig]:
    """Every tool that an agent may call, by name: those of the workspace, its system tools, those defined in place.

    Of two with one name, the later of this order is taken. `workspace` None: there is none to look into.

    Raises:
        ConfigError: the workspace has no tool of an id that the agent names.
    """
    prompt = agent.conversation_config.agent.prompt
    tools: dict[str, ToolConfig] = {}
    for index, tool_id in enumerate(prompt.tool_ids):
        try:
            if workspace is None:
                raise NotFoundError("tool", tool_id)
            tool = await workspace.tool(tool_id)
        except NotFoundError as error:
            path = agent.place(f"conversation_config.agent.prompt.tool_ids.{index}")
            raise ConfigError(str(error), path=path) from error
        tools[tool.name] = tool
    for tool in (*prompt.built_in_tools.values(), *prompt.tools):
        tools[tool.name] = tool
    return tools
