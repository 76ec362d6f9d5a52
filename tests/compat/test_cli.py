"""@elevenlabs/cli, unmodified: agents, tools and tests kept as files, pushed to a server and pulled from it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.component("elevenlabs_cli")
CLI = Path(__file__).parent.parent.parent / ".venv-compat" / "elevenlabs_cli" / "node_modules" / ".bin" / "elevenlabs"


class Project:
    """A folder of agents, tools and tests as code."""

    def __init__(self, folder: Path, server: str, key: str) -> None:
        self.folder = folder
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "HOME": str(folder.parent),
            "ELEVENLABS_BASE_URL": server,
            "ELEVENLABS_API_KEY": key,
        }
        folder.mkdir(parents=True)
        self("agents", "init")

    def __call__(self, *words: str) -> str:
        """What a command says; it must succeed."""
        done = subprocess.run(
            [CLI, *words],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def read(self, path: str) -> dict[str, Any]:
        return json.loads((self.folder / path).read_text())

    def write(self, path: str, document: dict[str, Any]) -> None:
        (self.folder / path).write_text(json.dumps(document))

    def ids(self, noun: str) -> list[str]:
        """The ids that the CLI has noted in `agents.json`, `tools.json` or `tests.json`."""
        return [each["id"] for each in self.read(f"{noun}.json")[noun]]


@pytest.fixture
def project(tmp_path: Path, server: str, key: str) -> Project:
    """A project without anything in it yet."""
    return Project(tmp_path / "here" / "project", server, key)


@pytest.fixture
def elsewhere(tmp_path: Path, server: str, key: str) -> Project:
    """A project of somebody else, in the same workspace."""
    return Project(tmp_path / "there" / "project", server, key)


def assert_kept(sent: Any, found: Any, path: str = "") -> None:
    """Every value that was sent is in what was found, beside what the server adds; a null may be left out."""
    if isinstance(sent, dict):
        for key, value in sent.items():
            assert value is None or key in found, f"{path}.{key} is lost"
            assert_kept(value, found.get(key), f"{path}.{key}")
    elif isinstance(sent, list):
        assert len(found) == len(sent), path
        for index, (value, one) in enumerate(zip(sent, found, strict=True)):
            assert_kept(value, one, f"{path}.{index}")
    else:
        assert found == sent, path


def test_agents_of_every_template_are_added_and_pulled(project: Project, elsewhere: Project) -> None:
    """What a template says comes back whole, whether the server knows the key or not."""
    templates = ["default", "minimal", "voice-only", "text-only", "customer-service", "assistant"]
    for template in templates:
        project("agents", "add", template, "--template", template)
    elsewhere("agents", "pull", "--all", "--yes")
    pulled = {each["id"]: each["config"] for each in elsewhere.read("agents.json")["agents"]}
    for template, agent in zip(templates, project.ids("agents"), strict=True):
        assert_kept(project.read(f"agent_configs/{template}.json"), elsewhere.read(pulled[agent]), template)


def test_an_agent_is_changed_in_its_file_and_pushed(project: Project, elsewhere: Project) -> None:
    """A push changes the agent, and somebody else pulls what was pushed."""
    project("agents", "add", "Porter", "--template", "default")
    (agent,) = project.ids("agents")
    document = project.read("agent_configs/Porter.json")
    document["conversation_config"]["agent"]["first_message"] = "Good evening."
    document["tags"] = ["night"]
    project.write("agent_configs/Porter.json", document)
    project("agents", "push")
    elsewhere("agents", "pull", "--all", "--yes")
    pulled = {each["id"]: each["config"] for each in elsewhere.read("agents.json")["agents"]}
    assert_kept(document, elsewhere.read(pulled[agent]))
    assert agent in project("agents", "status")
    assert agent in project("agents", "list")
    project("agents", "delete", "--agent-id", agent)
    assert agent not in project("agents", "list")


@pytest.mark.parametrize("kind", ["webhook", "client"])
def test_a_tool_is_added_pushed_and_pulled(project: Project, elsewhere: Project, kind: str) -> None:
    """A tool of either type comes back as it was pushed, and is deleted by its id."""
    project("tools", "add", "bell", "--type", kind)
    (tool,) = project.ids("tools")
    document = project.read("tool_configs/bell.json")
    document["description"] = "Rings the bell."
    project.write("tool_configs/bell.json", document)
    project("tools", "push")
    elsewhere("tools", "pull", "--tool", tool, "--yes")
    (entry,) = elsewhere.read("tools.json")["tools"]
    assert_kept(document, elsewhere.read(entry["config"]))
    project("tools", "delete", tool)
    assert project.ids("tools") == []


def test_tests_of_every_template_are_added_pushed_and_pulled(project: Project, elsewhere: Project) -> None:
    """A test comes back as it was pushed, also one of a tool that there is not."""
    templates = ["basic-llm", "tool", "conversation-flow", "customer-service"]
    for template in templates:
        project("tests", "add", template, "--template", template)
        path = f"test_configs/{template}.json"
        project.write(path, {**project.read(path), "name": f"{template}, changed"})
    project("tests", "push")
    elsewhere("tests", "pull", "--all", "--yes")
    pulled = {each["id"]: each["config"] for each in elsewhere.read("tests.json")["tests"]}
    for template, test in zip(templates, project.ids("tests"), strict=True):
        assert_kept(project.read(f"test_configs/{template}.json"), elsewhere.read(pulled[test]), template)
    project("tests", "delete", "--all", "--yes")
    assert project.ids("tests") == []


def test_an_agent_of_a_file_is_pulled(project: Project) -> None:
    """Agents of the server's folder are pulled like any other."""
    project("agents", "pull", "--agent", "hours", "--yes")
    (entry,) = project.read("agents.json")["agents"]
    assert project.read(entry["config"])["conversation_config"]["agent"]["first_message"] == "Hello, how can I help?"
