"""What every workspace must do (agents/workspace.py: Workspace): a folder of files, and a server's store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.agents.folder import FolderWorkspace
from antiphon.agents.workspace import Document, McpServer, Workspace, tools_of
from antiphon.errors import ConfigError, NotFoundError
from antiphon.server.workspace import StoredWorkspace
from antiphon.store.store import Store, open_store

Ask = Callable[[Coroutine[Any, Any, Any]], Any]

AGENTS: dict[str, dict[str, Any]] = {
    "agent_1": {"name": "Desk", "conversation_config": {"agent": {"prompt": {"tool_ids": ["tool_1"]}}}},
    "agent_2": {"name": "", "conversation_config": {}},
    "agent_3": {
        "name": "Broken",
        "conversation_config": {"agent": {"prompt": {"tool_ids": ["tool_1", "tool_9"]}}},
    },
}
TOOL = {"type": "client", "name": "ring", "description": "Ring the bell", "expects_response": True}
MCP = {"url": "http://127.0.0.1:1/mcp", "transport": "SSE", "name": "Tools"}
CONTENT = "We open at eight. Ä\n".encode()


def files(folder: Path) -> FolderWorkspace:
    """All of it in a folder."""
    contents: dict[str, bytes] = {
        **{f"{name}.json": json.dumps(document).encode() for name, document in AGENTS.items()},
        "tools/tool_1.json": json.dumps({"id": "tool_1", "tool_config": TOOL}).encode(),
        "secrets/secret_1.json": json.dumps({"secret_id": "secret_1", "name": "KEY", "value": "hush"}).encode(),
        "documents/document_1.txt": CONTENT,
        "mcp_servers/mcp_1.json": json.dumps({"id": "mcp_1", "config": MCP}).encode(),
    }
    for name, content in contents.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return FolderWorkspace.load(folder)


async def fill(store: Store) -> None:
    """All of it in a store."""
    for number, (identifier, document) in enumerate(AGENTS.items()):
        await store.resources.create("agent", identifier, document["name"] or identifier, document, now=float(number))
    await store.resources.create("tool", "tool_1", "ring", {"tool_config": TOOL}, now=1.0)
    await store.resources.create("secret", "secret_1", "KEY", {"value": "hush"}, now=1.0)
    await store.resources.create("document", "document_1", "document_1.txt", {}, now=1.0)
    await store.resources.put_content("document", "document_1", "text/plain", CONTENT)
    await store.resources.create("mcp_server", "mcp_1", "Tools", {"config": MCP}, now=1.0)


@pytest.fixture
def ask() -> Iterator[Ask]:
    """The answer to a question, in the event loop of this test."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def store(ask: Ask, tmp_path: Path) -> Iterator[Store]:
    """An empty one."""
    opening = open_store(f"sqlite:///{tmp_path}/antiphon.db")
    yield ask(opening.__aenter__())
    ask(opening.__aexit__(None, None, None))


@pytest.fixture(params=["folder", "store", "folder of a server"])
def workspace(request: pytest.FixtureRequest, ask: Ask, store: Store, tmp_path: Path) -> Workspace:
    """The same things, wherever they are kept."""
    if request.param == "folder":
        return files(tmp_path / "files")
    if request.param == "folder of a server":
        return StoredWorkspace(files(tmp_path / "files"), store.resources)
    ask(fill(store))
    return StoredWorkspace(FolderWorkspace(), store.resources)


def test_agents_are_known_by_name(workspace: Workspace, ask: Ask) -> None:
    """By id; the name of one that has none is its id."""
    assert ask(workspace.agent_names()) == {"agent_1": "Desk", "agent_2": "agent_2", "agent_3": "Broken"}


def test_an_agent_has_what_its_author_wrote(workspace: Workspace, ask: Ask) -> None:
    """And its id, whether that stood in its document or not."""
    agent = ask(workspace.agent("agent_1"))
    assert (agent.agent_id, agent.name) == ("agent_1", "Desk")
    assert list(agent.conversation_config.agent.prompt.tool_ids) == ["tool_1"]
    assert ask(workspace.agent("agent_1")) is agent


def test_what_an_agent_refers_to_is_found(workspace: Workspace, ask: Ask) -> None:
    """Each by its id."""
    assert ask(workspace.tool("tool_1")).name == "ring"
    assert ask(workspace.secret("secret_1")) == "hush"
    assert ask(workspace.document("document_1")) == Document("document_1", "document_1.txt", CONTENT)
    assert ask(workspace.mcp_server("mcp_1")) == McpServer("mcp_1", MCP)


@pytest.mark.parametrize("identifier", ["nobody", "", "../agent_1", "a\0b", "\ud800", "agent_1\n", "x" * 10_000])
def test_an_id_of_nobody_is_not_found(workspace: Workspace, ask: Ask, identifier: str) -> None:
    """Of whatever kind, whatever it looks like; the error has it."""
    for question in (
        workspace.agent,
        workspace.tool,
        workspace.secret,
        workspace.document,
        workspace.mcp_server,
    ):
        with pytest.raises(NotFoundError) as caught:
            ask(question(identifier))
        assert caught.value.identifier == identifier


def test_an_id_is_of_one_kind(workspace: Workspace, ask: Ask) -> None:
    """A tool's is no agent's."""
    with pytest.raises(NotFoundError):
        ask(workspace.agent("tool_1"))
    with pytest.raises(NotFoundError):
        ask(workspace.secret("document_1"))


def test_tools_of_an_agent_are_looked_up(workspace: Workspace, ask: Ask) -> None:
    """One that is not there is a mistake in the agent."""
    assert list(ask(tools_of(ask(workspace.agent("agent_1")), workspace))) == ["ring"]
    with pytest.raises(ConfigError, match="tool_9"):
        ask(tools_of(ask(workspace.agent("agent_3")), workspace))


# ------------------------------------------------------------------------------------------ the server's, in addition


def test_files_win_over_the_store(store: Store, ask: Ask, tmp_path: Path) -> None:
    """Where both have an id; both are listed."""
    workspace = StoredWorkspace(files(tmp_path / "files"), store.resources)
    ask(store.resources.create("agent", "agent_1", "Other", {**AGENTS["agent_1"], "name": "Other"}, now=1.0))
    ask(store.resources.create("agent", "agent_8", "Eight", {**AGENTS["agent_2"], "name": "Eight"}, now=1.0))
    assert ask(workspace.agent("agent_1")).name == "Desk"
    assert ask(workspace.agent("agent_8")).name == "Eight"
    assert ask(workspace.agent_names()) == {
        "agent_1": "Desk",
        "agent_2": "agent_2",
        "agent_3": "Broken",
        "agent_8": "Eight",
    }


def test_a_changed_agent_is_read_again(store: Store, ask: Ask) -> None:
    """Although the clock has not moved; a deleted one is gone."""
    ask(fill(store))
    workspace = StoredWorkspace(FolderWorkspace(), store.resources)
    assert ask(workspace.agent("agent_1")).name == "Desk"
    for name in ("Bell", "Door"):
        ask(store.resources.update("agent", "agent_1", now=0.0, document={**AGENTS["agent_1"], "name": name}))
        assert ask(workspace.agent("agent_1")).name == name
    ask(store.resources.delete("agent", "agent_1"))
    with pytest.raises(NotFoundError):
        ask(workspace.agent("agent_1"))


def test_a_stored_agent_that_makes_no_sense_is_told(store: Store, ask: Ask) -> None:
    """A newer version wrote it, or somebody by hand."""
    document = {"conversation_config": {"turn": {"turn_timeout": 99}}}
    ask(store.resources.create("agent", "agent_1", "x", document, now=1.0))
    workspace = StoredWorkspace(FolderWorkspace(), store.resources)
    with pytest.raises(ConfigError, match=r"turn\.turn_timeout"):
        ask(workspace.agent("agent_1"))
