"""A workspace that is a folder of files, read once.

    DIR/*.json                 agents; `agent_id` in the document, else the file's name without `.json`
    DIR/tools/*.json           tools, as GET /v1/convai/tools/{id} gives them, or the bare `tool_config`
    DIR/secrets/*.json         {"secret_id", "name", "value"}
    DIR/documents/*            documents of any kind
    DIR/mcp_servers/*.json     MCP servers, as the REST API gives them, or the bare `config`

Everything but agents is optional. Ids are looked up in memory: none of them ever becomes a path.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar, cast

from antiphon.errors import ConfigError, NotFoundError

from .config import AgentConfig
from .reading import View, place, read
from .tools import ToolConfig
from .workspace import Document, McpServer

T = TypeVar("T")


class Secret(View):
    """A file of `secrets/`."""

    value: str


class Shelf(Generic[T]):
    """Things of one kind, by id."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._things: dict[str, T] = {}
        self._files: dict[str, Path] = {}

    def put(self, identifier: str, thing: T, file: Path) -> None:
        """Raises ConfigError when two files have one id."""
        if identifier in self._things:
            other = self._files[identifier]
            raise ConfigError(f"the {self._kind} id {identifier!r} is already taken by {other}", path=str(file))
        self._things[identifier], self._files[identifier] = thing, file

    def get(self, identifier: str) -> T:
        """Raises NotFoundError."""
        try:
            return self._things[identifier]
        except KeyError:
            raise NotFoundError(self._kind, identifier) from None

    def all(self) -> tuple[T, ...]:
        """In the order of the files' names."""
        return tuple(self._things.values())


class FolderWorkspace:
    """The `Workspace` of a folder, as it was when it was loaded. Load again to see what has changed."""

    def __init__(self) -> None:
        self._agents: Shelf[AgentConfig] = Shelf("agent")
        self._tools: Shelf[ToolConfig] = Shelf("tool")
        self._secrets: Shelf[str] = Shelf("secret")
        self._documents: Shelf[Document] = Shelf("document")
        self._mcp_servers: Shelf[McpServer] = Shelf("MCP server")

    @classmethod
    def load(cls, directory: str | Path) -> FolderWorkspace:
        """Read all of it.

        Raises:
            ConfigError: there is no such folder, a file cannot be understood, or two have one id; the path says which
                file and, inside it, which value.
        """
        folder = Path(directory)
        if not folder.is_dir():
            raise ConfigError("there is no such folder", path=str(folder))
        workspace = cls()
        for file in _files(folder, "*.json"):
            workspace._load_agent(file)
        for file in _files(folder / "tools", "*.json"):
            workspace._load_tool(file)
        for file in _files(folder / "secrets", "*.json"):
            document = _json(file)
            secret = read(Secret, document, path=str(file))
            workspace._secrets.put(_identifier(document, ("secret_id",), file), secret.value, file)
        for file in _files(folder / "documents", "*"):
            workspace._documents.put(file.stem, Document(file.stem, file.name, _bytes(file)), file)
        for file in _files(folder / "mcp_servers", "*.json"):
            document = _json(file)
            identifier = _identifier(document, ("id", "server_id"), file)
            config = _inner(document, "config", file)
            workspace._mcp_servers.put(identifier, McpServer(identifier, config), file)
        return workspace

    def _load_agent(self, file: Path) -> None:
        document = _json(file)
        identifier = _identifier(document, ("agent_id",), file)
        self._agents.put(identifier, AgentConfig.parse(document, agent_id=identifier, path=str(file)), file)

    def _load_tool(self, file: Path) -> None:
        document = _json(file)
        config = _inner(document, "tool_config", file)
        inside = ("tool_config",) if config is not document else ()
        tool = read(ToolConfig, config, path=str(file), inside=inside)
        self._tools.put(_identifier(document, ("id", "tool_id"), file), tool, file)

    @property
    def agents(self) -> tuple[AgentConfig, ...]:
        """Every agent, in the order of the files' names."""
        return self._agents.all()

    async def agent_names(self) -> Mapping[str, str]:
        """Id -> name of every agent."""
        return {agent.agent_id: agent.name for agent in self.agents}

    async def agent(self, agent_id: str) -> AgentConfig:
        """An agent. Raises NotFoundError, as do the others."""
        return self._agents.get(agent_id)

    async def tool(self, tool_id: str) -> ToolConfig:
        """A tool."""
        return self._tools.get(tool_id)

    async def secret(self, secret_id: str) -> str:
        """A secret's value."""
        return self._secrets.get(secret_id)

    async def document(self, document_id: str) -> Document:
        """A document; its id is the file's name without its last suffix."""
        return self._documents.get(document_id)

    async def mcp_server(self, server_id: str) -> McpServer:
        """An MCP server."""
        return self._mcp_servers.get(server_id)


# --------------------------------------------------------------------------------------------------------- files


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    """In the order of their names. What begins with a dot belongs to editors and operating systems."""
    for file in sorted(folder.glob(pattern)):
        if not file.name.startswith(".") and not file.is_dir():
            yield file


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(file)) from error


def _json(file: Path) -> Mapping[str, Any]:
    content = _bytes(file)
    try:
        document: Any = json.loads(content.decode("utf-8-sig"), parse_constant=_no_json)
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8 text", path=str(file)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is not JSON: {error}", path=str(file)) from error
    if not isinstance(document, Mapping):
        raise ConfigError("should be an object", path=str(file))
    return cast("Mapping[str, Any]", document)


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


def _identifier(document: Mapping[str, Any], keys: tuple[str, ...], file: Path) -> str:
    """The first of `keys` that is there, else the file's name."""
    for key in keys:
        identifier = document.get(key)
        if identifier is None:
            continue
        if not isinstance(identifier, str) or not identifier:
            raise ConfigError("should be a text that is not empty", path=place(str(file), key))
        return identifier
    return file.stem


def _inner(document: Mapping[str, Any], key: str, file: Path) -> Mapping[str, Any]:
    """What the REST API wraps, or the document itself where it is not wrapped."""
    if key not in document:
        return document
    inner: Any = document[key]
    if not isinstance(inner, Mapping):
        raise ConfigError("should be an object", path=place(str(file), key))
    return cast("Mapping[str, Any]", inner)
