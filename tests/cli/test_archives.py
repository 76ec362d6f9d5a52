"""`antiphon workspace` and `antiphon users`: what they print, refuse and do, on the database of the settings."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from antiphon.cli import app
from antiphon.server.records import Records
from antiphon.store.recordings import FolderRecordings
from antiphon.store.store import open_store

NOW = 1_700_000_000.0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an agent and a conversation of `anna`."""
    folder = tmp_path / "data"

    async def fill() -> None:
        async with open_store(f"sqlite:///{folder / 'antiphon.db'}") as store:
            await store.resources.create("agent", "agent_1", "Front desk", {"name": "Front desk"}, now=NOW)
            parts = folder / "recordings"
            records = Records(store.conversations, FolderRecordings(parts), parts, lambda: NOW)
            header = {"version": 2, "conversation_id": "conv_1", "agent_id": "agent_1", "started_at": NOW}
            lines = [{"at": 0.0, "journal": {**header, "user_id": "anna"}}, {"at": 1.0, "end": {"close_code": 1000}}]
            await records.append({"conv_1": (0, b"".join(json.dumps(one).encode() + b"\n" for one in lines))}, ())
            records.append_audio("conv_1", b"sound")
            await records.finish("conv_1")

    asyncio.run(fill())
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_workspace_moves_from_one_server_to_another(data: Path, tmp_path: Path) -> None:
    """One line says how much; a second import needs to be told to overwrite, and says why it does not."""
    target, other = tmp_path / "workspace.tar.gz", tmp_path / "other"
    done = run("workspace", "export", target, "--data", data)
    assert (done.exit_code, done.stdout) == (
        0,
        "exported: 1 resources, 1 conversations, 1 journals, 1 recordings\n",
    )
    assert run("workspace", "export", target, "--data", data).exit_code == 2
    done = run("workspace", "import", target, "--data", other)
    assert (done.exit_code, done.stdout.split(":")[0]) == (0, "imported")
    done = run("workspace", "import", target, "--data", other)
    assert done.exit_code == 2
    assert "agent_1" in done.stderr
    assert run("workspace", "import", target, "--replace", "--data", other).exit_code == 0
    assert (other / "recordings" / "conv_1.mp3").read_bytes() == b"sound"
    done = run("workspace", "import", tmp_path / "none.tar.gz", "--data", other)
    assert done.exit_code == 2
    assert done.stderr.startswith("antiphon: ")


def test_a_user_is_erased_only_when_it_is_meant(data: Path, tmp_path: Path) -> None:
    """Exported first, erased with `--yes`, told what was; afterwards there is nothing."""
    done = run("users", "export", "anna", tmp_path / "anna", "--data", data)
    assert (done.exit_code, done.stdout) == (0, "exported: 1 conversations, 1 journals, 1 recordings\n")
    assert json.loads((tmp_path / "anna" / "manifest.json").read_text())["user_id"] == "anna"
    refused = run("users", "erase", "anna", "--data", data)
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    done = run("users", "erase", "anna", "--yes", "--data", data)
    assert (done.exit_code, done.stdout) == (0, "erased: 1 conversations, 1 journals, 1 recordings\n")
    assert not list((data / "recordings").iterdir())
    assert run("users", "erase", "anna", "--yes", "--data", data).stdout == "erased: nothing\n"
