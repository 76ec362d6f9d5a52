"""The house rules that no other test would notice being broken (docs/house.md)."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON_FILES = sorted(path for room in ("src", "tests", "benchmarks") for path in (ROOT / room).rglob("*.py"))
NAMES_OF_REGISTRIES = tuple(
    ".".join(parts)
    for parts in (("pypi", "org"), ("files", "pythonhosted"), ("registry", "npmjs"), ("anaconda", "org"))
)
"Whoever installs chooses where from: no file names a package index."


def files_of_the_repository() -> list[Path]:
    """What is, or is about to be, committed."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def test_imports_go_down_never_up_or_sideways() -> None:
    """The contracts of import-linter in pyproject.toml: floors, pure rooms, engines found by name only."""
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-logo", "--no-cache"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_client_loads_neither_numpy_nor_pydantic_nor_typer() -> None:
    """`import antiphon.client` stays quick and needs no extra."""
    program = "import sys, antiphon.client; print(*sorted({'numpy', 'pydantic', 'typer'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """A docstring opens every file that has anything in it, then `from __future__ import annotations`."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    if not module.body:
        return
    assert ast.get_docstring(module)
    assert len(module.body) == 1 or any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(name.name == "annotations" for name in node.names)
        for node in module.body
    )


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_file_names_a_package_index() -> None:
    """Mirrors and closed networks are at home here too."""
    files = files_of_the_repository()
    assert ROOT / "pyproject.toml" in files
    guilty = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in NAMES_OF_REGISTRIES
        if name.encode() in path.read_bytes()
    ]
    assert guilty == []


def test_the_lock_file_pins_every_requirement_exactly() -> None:
    """Each line is a comment or `name==version`, perhaps with a marker; what `.[all]` asks for is among them.

    LlamaIndex is not in it: it is tested from the environment of its own package.
    """
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    pins = [re.fullmatch(r"([\w.-]+)==[\w.]+(; python_version [!=]= \"3\.\d+\")?", line) for line in lines]
    assert all(pins), [line for line, pin in zip(lines, pins, strict=True) if not pin]
    pinned = {normal(pin[1]) for pin in pins if pin}
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = document["project"]
    wanted = [*project["dependencies"], *document["dependency-groups"]["dev"]]
    extras = project["optional-dependencies"]
    wanted += [requirement for name, extra in extras.items() for requirement in extra if name != "llama-index"]
    names = {normal(match[0]) for requirement in wanted if (match := re.match(r"[\w.-]+", requirement))}
    assert names - {"antiphon"} <= pinned


def normal(name: str) -> str:
    """A distribution's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_the_readme_tells_to_make_can_be_made() -> None:
    """Every `make <target>` in the README is a rule of the Makefile, the first two steps among them."""
    told = re.findall(r"\bmake ([a-z.][a-z.-]*)", (ROOT / "README.md").read_text(encoding="utf-8"))
    rules = set(re.findall(r"^([a-z.][a-z.-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {"demo", "test"} <= set(told)
    assert set(told) <= rules


def test_continuous_integration_runs_the_readmes_tests_with_nothing_left_out() -> None:
    """`.ci/run` ends in `make test`, with missing components failing."""
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == "ANTIPHON_REQUIRE_ALL=1 make test"
