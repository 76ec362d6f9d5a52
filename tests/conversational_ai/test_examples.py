"""The programs of examples/client, run as they are against a server with the agents of examples/agents."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from antiphon.audio.levels import rms
from antiphon.audio.wav import read_wav, write_wav
from antiphon.server.app import create_app
from antiphon.server.run import listening
from antiphon.server.settings import Settings

ROOT = Path(__file__).parents[2]
GREETING = "Hello dear guest, this is the front desk. How can I help?"


def printed(name: str, tmp_path: Path, *arguments: str) -> list[str]:
    """What an example prints; it has to end well."""

    async def run() -> list[str]:
        settings = Settings(agents=ROOT / "examples" / "agents", data=tmp_path / "data", port=0)
        async with listening(create_app(settings), settings) as address, asyncio.timeout(60):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(ROOT / "examples" / "client" / name),
                address,
                "desk",
                *arguments,
                env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate()
            assert process.returncode == 0
            return out.decode().splitlines()

    return asyncio.run(run())


def test_a_typed_conversation(tmp_path: Path) -> None:
    """With dynamic variables, as events, in threads."""
    greeting, answer, end = printed("typed.py", tmp_path)
    assert greeting == "agent: Hello Ada, this is the front desk. How can I help?"
    assert answer.startswith("agent: Breakfast is from seven")
    assert end == "ended by the user"


def test_tools(tmp_path: Path) -> None:
    """The agent calls the program's function and says what came of it."""
    assert printed("tools.py", tmp_path)[-3:] == [
        "agent: Let me see.",
        "looking up order seven",
        "agent: Your order is on its way.",
    ]


def test_a_spoken_conversation(tmp_path: Path) -> None:
    """The greeting is in the file of what was heard."""
    write_wav(tmp_path / "question.wav", 16000, bytes(32000))
    files = (str(tmp_path / "question.wav"), str(tmp_path / "heard.wav"))
    conversation, said = printed("spoken.py", tmp_path, *files, "8")
    assert conversation.startswith("conversation: conv_")
    assert said == f"agent: {GREETING}"
    _, heard = read_wav(tmp_path / "heard.wav")
    assert rms(heard) > 0


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples" / "client").glob("*.py")))
def test_the_page_for_those_who_come_from_elsewhere_names_every_example(name: str) -> None:
    """docs/migrating.md."""
    assert f"examples/client/{name}" in (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
