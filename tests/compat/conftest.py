"""A real server, in a process of its own, for clients that nobody here wrote and for our own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def key() -> str:
    """The server's workspace key."""
    return "workspace-key-of-this-test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, key: str) -> Iterator[str]:
    """The address of a server that has this folder's agents; it must log no error, and stop in good order."""
    antiphon = Path(sys.executable).with_name("antiphon")
    agents, data = HERE / "agents", tmp_path_factory.mktemp("data")
    log = data / "server.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [antiphon, "serve", "--port", "0", "--agents", agents, "--data", data],
            env=os.environ | {"ANTIPHON_API_KEY": key},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    with process.stdout:
        try:
            ready = process.stdout.readline().split()
            assert ready[:2] == ["antiphon", "ready"], f"the server did not start: {log.read_text()}"
            yield ready[2]
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                status = process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert status == 0
    assert "ERROR" not in log.read_text(), log.read_text()
