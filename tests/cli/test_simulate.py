"""`antiphon simulate`: exit codes, and what is said."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from antiphon.cli import app

SCENE = """
name: {name}
agent: {{conversation_config: {{antiphon: {{llm: {{engine: scripted, rules: [{{say: Good morning.}}]}}}}}}}}
caller: [{{says: hello there, after: [0.1, 2.0]}}]
expect: [agent_says: {expected}]
"""
GOOD = SCENE.format(name="goes well", expected="good morning")
BAD = SCENE.format(name="goes wrong", expected="bye")
BROKEN = "name: has no agent\nagent: nothing.json\ncaller: []\n"


def simulate(*arguments: str | Path) -> Result:
    """One call of the command."""
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)], env={"COLUMNS": "200", "NO_COLOR": "1"})


def write(folder: Path, **files: str) -> Path:
    """Scene files."""
    for name, text in files.items():
        (folder / f"{name}.scene.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("files", "code", "summary"),
    [
        ({"a": GOOD}, 0, "1 scene: 1 passed"),
        ({"a": GOOD, "b": BAD}, 1, "2 scenes: 1 passed, 1 failed"),
        ({"a": GOOD, "b": BROKEN}, 1, "2 scenes: 1 passed, 1 broken"),
        ({"a": BROKEN}, 2, "1 scene: 1 broken"),
    ],
)
def test_the_exit_code_tells_how_it_went(tmp_path: Path, files: dict[str, str], code: int, summary: str) -> None:
    """0: all passed; 1: some did not; 2: none could be run."""
    ran = simulate(write(tmp_path, **files))
    assert ran.exit_code == code
    assert summary in ran.output


def test_a_failure_is_shown_with_its_call(tmp_path: Path) -> None:
    """What was expected, where it stands, and who said what when."""
    ran = simulate(write(tmp_path, a=BAD))
    assert "a.scene.yaml:5: expect.0: this never happened: the agent says “bye”" in ran.output
    assert "caller  says hello there" in ran.output


@pytest.mark.parametrize(
    ("files", "arguments", "complaint"),
    [
        ({}, [], "there is no *.scene.yaml in"),
        ({"a": "name: x\nagent: y\n"}, [], "a.scene.yaml:1: caller: is missing"),
        ({"a": GOOD, "b": "caller: ["}, [], "b.scene.yaml:1: is not YAML"),
        ({"a": GOOD}, ["--filter", "nothing"], "no scene has 'nothing' in its file or name"),
        ({"a": GOOD}, ["nowhere"], "nowhere: there is no such file or folder"),
        ({"a": GOOD}, ["--jobs", "0"], "--jobs"),
        ({"a": GOOD}, ["--engines", "real"], "--engines"),
    ],
)
def test_where_nothing_can_be_run_the_code_is_two(
    tmp_path: Path, files: dict[str, str], arguments: list[str], complaint: str
) -> None:
    """One line that says why, no traceback, nothing run."""
    ran = simulate(write(tmp_path, **files), *arguments)
    assert ran.exit_code == 2
    assert complaint in ran.output
    assert "passed" not in ran.output
    assert "Traceback" not in ran.output


def test_only_what_is_asked_for_is_run(tmp_path: Path) -> None:
    """`--filter`, in any case."""
    ran = simulate(write(tmp_path, a=GOOD, b=BAD), "--filter", "WELL")
    assert ran.exit_code == 0
    assert "goes wrong" not in ran.output


def test_results_can_be_kept(tmp_path: Path) -> None:
    """`--junit`, `--record`, `--repeat`, `--seed`."""
    write(tmp_path, a=GOOD, b=BAD)
    report, kept = tmp_path / "out" / "report.xml", tmp_path / "kept"
    ran = simulate(tmp_path, "--junit", report, "--record", kept, "--repeat", "2", "--seed", "5")
    assert ran.exit_code == 1
    root = ET.parse(report).getroot()
    assert (root.attrib["tests"], root.attrib["failures"]) == ("4", "2")
    assert sorted(file.name for file in kept.iterdir()) == [
        "a.goes-well.5.jsonl",
        "a.goes-well.6.jsonl",
        "b.goes-wrong.5.jsonl",
        "b.goes-wrong.6.jsonl",
    ]


def test_a_passing_call_is_shown_when_asked_for(tmp_path: Path) -> None:
    """`--verbose`."""
    write(tmp_path, a=GOOD)
    assert "agent   Good morning." not in simulate(tmp_path).output
    assert "agent   Good morning." in simulate(tmp_path, "--verbose").output
