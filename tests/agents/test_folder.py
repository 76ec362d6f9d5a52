"""A folder of files is a workspace; a mistake in it stops the load and is told by file and JSON path."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from antiphon.agents.folder import FolderWorkspace
from antiphon.agents.workspace import Document, Workspace, tools_of
from antiphon.errors import ConfigError, NotFoundError

MINIMAL: dict[str, Any] = {"conversation_config": {}}
Write = Callable[[str, Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write("tools/a.json", document)`: a file of the folder; text and bytes are written as they are."""

    def write_a_file(name: str, content: Any) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return file

    return write_a_file


def answer(question: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(question)


def complaint(folder: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        FolderWorkspace.load(folder)
    return caught.value


# -------------------------------------------------------------------------------------------------------- agents


def test_every_json_file_is_an_agent(tmp_path: Path, write: Write) -> None:
    """Its id stands in it, or is the file's name; other files, hidden ones and folders are none."""
    write("desk.json", MINIMAL)
    write("b.json", {"agent_id": "agent_2", "name": "Second", **MINIMAL})
    write("notes.txt", "not JSON")
    write("agent.json.bak", "{")
    write(".swap.json", "{")
    (tmp_path / "folder.json").mkdir()
    workspace = FolderWorkspace.load(tmp_path)
    assert [agent.agent_id for agent in workspace.agents] == ["agent_2", "desk"]
    assert answer(workspace.agent_names()) == {"agent_2": "Second", "desk": "desk"}
    assert answer(workspace.agent("desk")).path == str(tmp_path / "desk.json")


def test_two_agents_cannot_have_one_id(tmp_path: Path, write: Write) -> None:
    """Both files are named."""
    first, second = write("a.json", {"agent_id": "b", **MINIMAL}), write("b.json", MINIMAL)
    error = complaint(tmp_path)
    assert error.path == str(second)
    assert str(first) in error.message
    assert "'b'" in error.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not JSON"),
        ('{"conversation_config": {},}', "is not JSON: .* line 1 column"),
        ("[]", "should be an object"),
        (b'{"name": "\xff"}', "is not UTF-8 text"),
        ('{"conversation_config": {"tts": {"speed": NaN}}}', "is not JSON: NaN"),
        ("[" * 100_000, "is not JSON"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_file_that_cannot_be_read_stops_the_load(tmp_path: Path, write: Write, content: Any, words: str) -> None:
    """With the path of the file."""
    file = write("desk.json", content)
    error = complaint(tmp_path)
    assert error.path == str(file)
    assert re.match(words, error.message)


def test_a_mistake_in_an_agent_stops_the_load(tmp_path: Path, write: Write) -> None:
    """With the path of the file and the JSON path inside it."""
    file = write("desk.json", {"conversation_config": {"turn": {"turn_timeout": 99}}})
    assert complaint(tmp_path).path == f"{file}: conversation_config.turn.turn_timeout"


def test_an_id_has_to_be_a_text(tmp_path: Path, write: Write) -> None:
    """Null is none; then the file's name counts."""
    file = write("desk.json", {"agent_id": 7, **MINIMAL})
    assert complaint(tmp_path).path == f"{file}: agent_id"
    write("desk.json", {"agent_id": None, **MINIMAL})
    assert [agent.agent_id for agent in FolderWorkspace.load(tmp_path).agents] == ["desk"]


def test_windows_editors_are_forgiven(tmp_path: Path, write: Write) -> None:
    """They put a byte order mark before UTF-8."""
    write("desk.json", b"\xef\xbb\xbf" + json.dumps(MINIMAL).encode())
    assert len(FolderWorkspace.load(tmp_path).agents) == 1


def test_a_folder_has_to_be_there(tmp_path: Path) -> None:
    """It may be empty."""
    assert complaint(tmp_path / "agents").path == str(tmp_path / "agents")
    assert FolderWorkspace.load(tmp_path).agents == ()


def test_a_link_is_as_good_as_a_file(tmp_path: Path, write: Write) -> None:
    """Unless it leads nowhere: then an agent would be missing without anybody noticing."""
    target = write("elsewhere/desk.txt", MINIMAL)
    (tmp_path / "desk.json").symlink_to(target)
    assert [agent.agent_id for agent in FolderWorkspace.load(tmp_path).agents] == ["desk"]
    target.unlink()
    assert "cannot be read" in complaint(tmp_path).message


# -------------------------------------------------------------------------------------------------- what they use


def test_tools_secrets_documents_and_servers_are_found_by_their_ids(tmp_path: Path, write: Write) -> None:
    """As the REST API gives them or bare; ids as for agents."""
    write("tools/wrapped.json", {"id": "tool_1", "tool_config": {"type": "client", "name": "lookup"}})
    write("tools/bare.json", {"type": "webhook", "name": "ring"})
    write("secrets/key.json", {"secret_id": "sec_1", "name": "Key", "value": "hush"})
    write("secrets/plain.json", {"value": "hush too"})
    write("documents/hours.txt", "Open from nine to five.\n")
    write("documents/.DS_Store", b"\0")
    write("mcp_servers/files.json", {"id": "mcp_1", "config": {"url": "http://localhost:9000"}})
    write("mcp_servers/bare.json", {"url": "http://localhost:9001"})
    workspace: Workspace = FolderWorkspace.load(tmp_path)
    assert answer(workspace.tool("tool_1")).name == "lookup"
    assert answer(workspace.tool("bare")).name == "ring"
    assert answer(workspace.secret("sec_1")) == "hush"
    assert answer(workspace.secret("plain")) == "hush too"
    assert answer(workspace.document("hours")) == Document("hours", "hours.txt", b"Open from nine to five.\n")
    assert answer(workspace.mcp_server("mcp_1")).config == {"url": "http://localhost:9000"}
    assert answer(workspace.mcp_server("bare")).config == {"url": "http://localhost:9001"}


@pytest.mark.parametrize("kind", ["agent", "tool", "secret", "document", "mcp_server"])
@pytest.mark.parametrize("identifier", ["nothing", "", "../secrets/key", "/etc/passwd", "key.json", "key\0"])
def test_what_is_not_there_is_not_found(tmp_path: Path, write: Write, kind: str, identifier: str) -> None:
    """An id is looked up and never becomes a path."""
    write("secrets/key.json", {"value": "hush"})
    workspace = FolderWorkspace.load(tmp_path)
    with pytest.raises(NotFoundError) as caught:
        answer(getattr(workspace, kind)(identifier))
    assert caught.value.identifier == identifier


@pytest.mark.parametrize(
    ("name", "content", "path"),
    [
        ("tools/a.json", {"tool_config": {"name": "two words"}}, ": tool_config.name"),
        ("tools/a.json", {"name": "two words"}, ": name"),
        ("tools/a.json", {"tool_config": []}, ": tool_config"),
        ("secrets/a.json", {"secret_id": "s"}, ": value"),
        ("mcp_servers/a.json", "oops", ""),
    ],
)
def test_a_mistake_in_what_they_use_stops_the_load_too(
    tmp_path: Path, write: Write, name: str, content: Any, path: str
) -> None:
    """Not the first conversation that needs it."""
    file = write(name, content)
    assert complaint(tmp_path).path == f"{file}{path}"


@pytest.mark.parametrize("folder", ["tools", "secrets", "mcp_servers"])
def test_ids_are_given_once(tmp_path: Path, write: Write, folder: str) -> None:
    """Within one kind; documents by their names without suffix."""
    content = {"id": "x", "secret_id": "x", "name": "n", "value": "v"}
    write(f"{folder}/a.json", content)
    second = write(f"{folder}/b.json", content)
    assert complaint(tmp_path).path == str(second)


def test_documents_of_one_name_are_ambiguous(tmp_path: Path, write: Write) -> None:
    """`hours.md` and `hours.txt` would both be `hours`."""
    write("documents/hours.md", "a")
    write("documents/hours.txt", "b")
    assert "already taken" in complaint(tmp_path).message


def test_loading_again_leaves_what_was_loaded_before(tmp_path: Path, write: Write) -> None:
    """Conversations go on with the workspace that they began with; a broken folder breaks nothing that is loaded."""
    file = write("desk.json", {"name": "Old", **MINIMAL})
    old = FolderWorkspace.load(tmp_path)
    write("desk.json", {"name": "New", **MINIMAL})
    new = FolderWorkspace.load(tmp_path)
    file.write_text("{")
    complaint(tmp_path)
    assert answer(old.agent("desk")).name == "Old"
    assert answer(new.agent("desk")).name == "New"


# ------------------------------------------------------------------------------------------------ an agent's tools


def test_an_agents_tools_are_those_it_names_and_those_it_brings(tmp_path: Path, write: Write) -> None:
    """One of each name: what stands in the agent's own file is taken before what it refers to."""
    write("tools/a.json", {"name": "lookup", "description": "workspace"})
    write("tools/b.json", {"name": "ring", "description": "workspace"})
    prompt = {
        "tool_ids": ["a", "b"],
        "tools": [{"name": "lookup", "description": "inline"}, {"name": "book"}],
        "built_in_tools": {"end_call": {"description": "bye"}, "skip_turn": None},
    }
    write("desk.json", {"conversation_config": {"agent": {"prompt": prompt}}})
    workspace = FolderWorkspace.load(tmp_path)
    tools = answer(tools_of(workspace.agents[0], workspace))
    assert {name: tool.description for name, tool in tools.items()} == {
        "lookup": "inline",
        "ring": "workspace",
        "end_call": "bye",
        "book": "",
    }


@pytest.mark.parametrize("somewhere", [True, False], ids=["workspace", "no workspace"])
def test_a_tool_that_is_not_there_is_told_by_the_agents_path(tmp_path: Path, write: Write, somewhere: bool) -> None:
    """As any other mistake in the agent's file."""
    file = write("desk.json", {"conversation_config": {"agent": {"prompt": {"tool_ids": ["tool_9"]}}}})
    workspace = FolderWorkspace.load(tmp_path)
    with pytest.raises(ConfigError, match="tool_9") as caught:
        answer(tools_of(workspace.agents[0], workspace if somewhere else None))
    assert caught.value.path == f"{file}: conversation_config.agent.prompt.tool_ids.0"
