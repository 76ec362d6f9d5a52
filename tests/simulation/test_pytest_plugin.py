"""pytest runs scenes as tests."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

INSTALLED = any("pytest_plugin" in point.value for point in entry_points(group="pytest11", name="antiphon"))
PLUGIN = [] if INSTALLED else ["-p", "antiphon.simulation.pytest_plugin"]

SCENE = """
name: {name}
agent: {{conversation_config: {{antiphon: {{llm: {{engine: scripted, rules: [{{say: Good morning.}}]}}}}}}}}
caller: [{{says: hello there, after: [0.1, 2.0]}}]
expect: [agent_says: {expected}]
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """A run of its own."""
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *PLUGIN, *arguments)


def write(pytester: pytest.Pytester, *scenes: str) -> None:
    """A file of scenes."""
    (pytester.path / "calls.scene.yaml").write_text("---".join(scenes), encoding="utf-8")


def test_scenes_are_tests(pytester: pytest.Pytester) -> None:
    """One each; a failure shows what was expected and the call, and no traceback."""
    write(
        pytester,
        SCENE.format(name="goes well", expected="good morning"),
        SCENE.format(name="goes wrong", expected="bye"),
    )
    result = run(pytester, "-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*calls.scene.yaml::goes well PASSED*",
            "*calls.scene.yaml::goes wrong FAILED*",
            "seed 0",
            "*calls.scene.yaml:*: expect.0: this never happened: the agent says “bye”; there was: “Good morning.”*",
            "*caller  says hello there",
            "*agent   Good morning.",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_the_seed_can_be_given(pytester: pytest.Pytester) -> None:
    """`--scene-seed`; a failing scene says which it was."""
    write(pytester, SCENE.format(name="goes wrong", expected="bye"))
    run(pytester, "--scene-seed", "41").stdout.fnmatch_lines(["seed 41"])


def test_a_file_that_cannot_be_understood_is_an_error_of_collection(pytester: pytest.Pytester) -> None:
    """With its line."""
    write(pytester, "name: x\nagent: a.json\n")
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*calls.scene.yaml:1: caller: is missing"])


def test_nothing_is_loaded_before_there_is_a_scene() -> None:
    """Every project's tests pay for a plugin that is installed."""
    program = (
        "import sys, antiphon.simulation.pytest_plugin;"
        "print(*sorted({'pydantic', 'numpy', 'yaml', 'msgspec', 'asyncio'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    bare = subprocess.run(
        [sys.executable, "-c", "import sys, pytest; print(*sorted({'asyncio'} & set(sys.modules)))"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.split() == bare.stdout.split()
