"""`antiphon agents`: what was pulled from elsewhere comes in, and what has no effect here is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PULLED = Path(__file__).resolve().parents[1] / "agents" / "pulled_agent.json"
DESK = {
    "name": "Desk",
    "conversation_config": {
        "agent": {"first_message": "Hello.", "prompt": {"prompt": "Help.", "thinking_budget": 9, "llm": "gpt-4o"}},
        "tts": {"stability": 0.7, "similarity_boost": 0.8},
    },
    "platform_settings": {"widget": {"variant": "tiny", "bg_color": "#ffffff"}},
    "tags": [],
    "shoe_size": 43,
}


def agents(verb: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One call of the command."""
    return subprocess.run(
        [sys.executable, "-m", "antiphon", "agents", verb, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def written(folder: Path, name: str, document: object) -> Path:
    """A file with a document."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def test_what_has_no_effect_is_told_with_its_value_and_what_becomes_of_it(tmp_path: Path) -> None:
    """Defaults, what works, and what is empty are not; what nobody knows is."""
    done = agents("import", written(tmp_path, "desk.json", DESK), "--dry-run")
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first.endswith("desk.json: desk (Desk)")
    assert [line.strip() for line in lines[::2]] == [
        "conversation_config.agent.prompt.thinking_budget = 9",
        "conversation_config.tts.stability = 0.7",
        'platform_settings.widget.variant = "tiny"',
        "shoe_size = 43",
    ]
    assert all(line.startswith("      no effect: ") for line in lines[1::2])
    assert lines[-1].endswith("not a field of the published API: kept and given back")


def test_an_agent_goes_into_the_folder_and_out_again(tmp_path: Path) -> None:
    """Under its id, whole; a second time only where that is asked for."""
    file, folder = written(tmp_path / "pulled", "desk.json", DESK), tmp_path / "agents"
    assert agents("import", file, "--agents", folder).returncode == 0
    assert json.loads((folder / "desk.json").read_text("utf-8")) == {"agent_id": "desk", **DESK}
    again = agents("import", file, "--agents", folder)
    assert again.returncode == 1
    assert "there is an agent 'desk' already; replace it with --replace" in again.stderr
    assert agents("import", file, "--agents", folder, "--replace").returncode == 0
    assert agents("list", "--agents", folder).stdout == "desk  Desk\n"
    assert json.loads(agents("export", "desk", "--agents", folder).stdout) == {"agent_id": "desk", **DESK}


def test_an_agent_goes_into_the_database_and_out_again(tmp_path: Path) -> None:
    """What a server says of an agent, its phone numbers or its versions, is not kept: it is not the agent's own."""
    pulled = {"agent_id": "agent_01", "phone_numbers": [], "metadata": {"created_at_unix_secs": 1}, **DESK}
    file, data = written(tmp_path / "pulled", "x.json", pulled), tmp_path / "data"
    done = agents("import", file, "--data", data)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("agent_01: kept in the database\n")
    assert agents("list", "--data", data).stdout == "agent_01  Desk\n"
    assert agents("import", file, "--data", data).returncode == 1
    assert agents("import", file, "--data", data, "--replace").returncode == 0
    out = tmp_path / "out"
    assert agents("export", "--to", out, "--database", f"sqlite:///{data}/antiphon.db").returncode == 0
    assert json.loads((out / "agent_01.json").read_text("utf-8")) == {"agent_id": "agent_01", **DESK}


def test_the_ids_of_the_vendors_tool_are_kept(tmp_path: Path) -> None:
    """Its `agents.json` has them, beside the folder of its files."""
    folder = tmp_path / "agent_configs"
    written(folder, "Desk.json", DESK)
    written(tmp_path, "agents.json", {"agents": [{"config": "agent_configs/Desk.json", "id": "agent_77"}]})
    assert ": agent_77 (Desk)" in agents("import", folder, "--dry-run").stdout


def test_one_refused_agent_keeps_all_of_them_out(tmp_path: Path) -> None:
    """Exit code 1; each refusal names file and field."""
    folder = tmp_path / "agent_configs"
    written(folder, "good.json", DESK)
    bad = written(folder, "bad.json", {"conversation_config": {"turn": {"turn_timeout": 99}}})
    (folder / "torn.json").write_text('{"name":', encoding="utf-8")
    done = agents("import", folder, "--agents", tmp_path / "agents")
    assert done.returncode == 1
    assert f"refused: {bad}: conversation_config.turn.turn_timeout: should be 1 to 30 seconds" in done.stderr
    assert "torn.json: is not JSON" in done.stderr
    assert not (tmp_path / "agents").exists()


def test_an_agent_that_a_server_answered_comes_in_whole(tmp_path: Path) -> None:
    """A real GET body, with everything that its server says by default."""
    done = agents("import", PULLED, "--agents", tmp_path / "agents")
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "agents").iterdir()
    kept, pulled = json.loads(file.read_text("utf-8")), json.loads(PULLED.read_text("utf-8"))
    assert kept["conversation_config"] == pulled["conversation_config"]


def test_no_id_becomes_a_path(tmp_path: Path) -> None:
    """An id with dots and slashes stays in its folder."""
    file = written(tmp_path, "x.json", {"agent_id": "../../up", **DESK})
    assert agents("import", file, "--agents", tmp_path / "agents").returncode == 0
    assert [one.name for one in (tmp_path / "agents").iterdir()] == ["______up.json"]


def test_an_unknown_agent_is_told(tmp_path: Path) -> None:
    """Exit code 2, one line."""
    done = agents("export", "nobody", "--data", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "antiphon: no agent with id 'nobody'\n"
