"""`antiphon keys`: made, shown once, listed, revoked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def keys(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One call of the command."""
    return subprocess.run(
        [sys.executable, "-m", "antiphon", "keys", *arguments, "--data", str(data)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    """The key is the one line on standard output, and nowhere else; the database has its digest."""
    made = keys(tmp_path, "create", "--name", "CI", "--scope", "agents:read", "--scope", "converse")
    assert made.returncode == 0, made.stderr
    (key,) = made.stdout.splitlines()
    assert key.startswith("sk_")
    key_id = made.stderr.split()[0]
    (line,) = keys(tmp_path, "list").stdout.splitlines()
    assert line.split("  ") == [key_id, f"...{key[-4:]}", "never used", "agents:read,converse", "CI"]
    assert all(key.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    assert keys(tmp_path, "revoke", key_id).returncode == 0
    assert "  revoked 20" in keys(tmp_path, "list").stdout


def test_an_unknown_scope_or_key_is_told(tmp_path: Path) -> None:
    """Exit code 2, one line, no traceback."""
    wrong = keys(tmp_path, "create", "--scope", "agents:own")
    assert wrong.returncode == 2
    assert "agents:own" in wrong.stderr
    unknown = keys(tmp_path, "revoke", "key_none")
    assert unknown.returncode == 2
    assert unknown.stderr == "antiphon: no api_key with id 'key_none'\n"
