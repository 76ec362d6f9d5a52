"""Our conversation module held against elevenlabs 2.78.0's, name by name and byte by byte."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
THEIRS = HERE.parent.parent / ".venv-compat" / "elevenlabs" / "bin" / "python"

pytestmark = pytest.mark.component("elevenlabs")


@cache
def report(python: str, module: str) -> dict[str, Any]:
    """What surface.py says of a module."""
    command = [python, str(HERE / "elevenlabs" / "surface.py"), f"{module}.conversational_ai.conversation"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def ours() -> dict[str, Any]:
    return report(sys.executable, "antiphon")


@pytest.fixture
def theirs() -> dict[str, Any]:
    return report(str(THEIRS), "elevenlabs")


def test_every_name_is_there(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Those that programs import or patch (protocol.md 5)."""
    assert theirs["missing"] == []
    assert ours["missing"] == []


def test_every_method_takes_what_theirs_takes(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """The same parameters in the same order, of the same kind and with the same defaults; ours come after them."""
    for kind, members in theirs["classes"].items():
        mine = ours["classes"][kind]
        for name, expected in members.items():
            if not isinstance(expected, dict):
                assert mine[name] == expected
                continue
            wanted, got = expected["parameters"], mine[name]["parameters"]
            assert got[: len(wanted)] == wanted, f"{kind}.{name}"
            assert all(default for _, _, default in got[len(wanted) :]), f"{kind}.{name}"
            if name == "__init__":
                assert all(of == "KEYWORD_ONLY" for _, of, _ in got[len(wanted) :]), f"{kind}.{name}"
            assert mine[name]["async"] == expected["async"], f"{kind}.{name}"


@pytest.mark.parametrize("part", ["urls", "frames", "errors", "warned"])
def test_what_goes_out_is_the_same_to_the_letter(ours: dict[str, Any], theirs: dict[str, Any], part: str) -> None:
    """Addresses, messages, the texts of errors; the version alone differs."""
    assert ours[part] == theirs[part]
