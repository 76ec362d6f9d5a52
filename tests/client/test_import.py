"""What importing the client costs."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import antiphon


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import antiphon.conversational_ai.conversation",
        "from antiphon import AsyncConversation",
        "from antiphon import *; AsyncConversation(Antiphon(), 'a', requires_auth=False)",
    ],
)
def test_the_client_loads_little(statement: str) -> None:
    """`pip install .` alone is the client: nothing of the server may be needed, nothing heavy loaded."""
    heavy = {"numpy", "pydantic", "typer", "fastapi", "httpx", "rich", "uvicorn", "urllib.request", "sounddevice"}
    rooms = {f"antiphon.{room}" for room in ("server", "session", "engines", "agents", "record", "turns", "cli")}
    assert not loaded_by(statement) & (heavy | rooms)


def test_importing_the_package_loads_none_of_it() -> None:
    """The server pays nothing for the client."""
    assert not {name for name in loaded_by("import antiphon") if name.startswith("antiphon.")}


def test_the_names_of_the_package() -> None:
    """Each is there, and nothing else is."""
    for name in antiphon.__all__:
        assert getattr(antiphon, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Missing'"):
        _ = antiphon.Missing  # type: ignore[attr-defined]


def test_the_version_is_the_installed_one() -> None:
    """It goes over the wire with every conversation."""
    assert antiphon.__version__ == importlib.metadata.version("antiphon")
