"""The `antiphon` command: help, errors, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ANTIPHON = [sys.executable, "-m", "antiphon"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One call of the command."""
    return subprocess.run(
        [*ANTIPHON, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", **environment},
    )


@pytest.mark.parametrize("verb", ["serve", "demo", "talk", "doctor"])
def test_every_verb_explains_itself(verb: str) -> None:
    """`--help` answers, with the verb's options."""
    shown = run(verb, "--help")
    assert shown.returncode == 0
    assert "--help" in shown.stdout


def test_the_version_is_told() -> None:
    """`--version`."""
    assert run("--version").stdout.startswith("antiphon 0.")


def test_a_broken_agent_stops_the_start_with_its_place(tmp_path: Path) -> None:
    """File and JSON path, one line, no traceback; exit code 2."""
    (tmp_path / "desk.json").write_text('{"conversation_config": {"turn": {"turn_timeout": "soon"}}}')
    ran = run("serve", "--port", "0", "--agents", str(tmp_path), "--data", str(tmp_path / "data"))
    assert ran.returncode == 2
    assert "desk.json" in ran.stderr
    assert "conversation_config.turn.turn_timeout" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_impossible_setting_is_named() -> None:
    """Where it was given, and what is wrong."""
    ran = run("serve", ANTIPHON_PORT="many")
    assert ran.returncode == 2
    assert "ANTIPHON_PORT" in ran.stderr


def test_serve_says_when_it_is_ready_and_ends_in_good_order(tmp_path: Path) -> None:
    """One line on standard output; SIGTERM: exit code 0."""
    agents = tmp_path / "agents"
    agents.mkdir()
    process = subprocess.Popen(
        [*ANTIPHON, "serve", "--port", "0", "--agents", str(agents), "--data", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline().startswith("antiphon ready http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""


def test_a_file_that_is_no_wav_is_refused(tmp_path: Path) -> None:
    """Before anybody is rung up."""
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"this is not sound")
    ran = run("talk", "--wav", str(noise))
    assert ran.returncode == 1
    assert "noise.wav" in ran.stderr


@pytest.mark.component("espeak")
@pytest.mark.component("pocketsphinx")
@pytest.mark.component("onnxruntime")
def test_the_doctor_finds_a_machine_that_can_talk() -> None:
    """Every built-in engine is tried for real: what espeak says, pocketsphinx hears."""
    ran = run("doctor")
    assert ran.returncode == 0, ran.stdout
    assert "A spoken conversation can be held" in ran.stdout
    assert "opening hours" in ran.stdout
