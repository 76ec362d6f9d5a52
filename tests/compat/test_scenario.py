"""Scenario 1.6.0 against a real server: its own adapter as it comes, and ours in its executor."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PYTHON = HERE.parent.parent / ".venv-compat" / "scenario" / "bin" / "python"
SOURCE = HERE.parent.parent / "src"

HELLO = "Hello, how can I help?"
NINE_TO_FIVE = "We are open from nine to five."
CLOSED = "On Sundays we are closed."
SAID = [HELLO, NINE_TO_FIVE, CLOSED]
UNDERSTOOD = ["what are your opening hours", "and on sunday"]

pytestmark = pytest.mark.component("scenario")


def bytes_of(text: str) -> int:
    """Of the scripted engine's speech: 30 ms a character at 24 kHz."""
    return round(len(text) * 0.03 * 48_000)


def course_of(whose: str, server: str, key: str, *plays: str) -> dict[str, Any]:
    """What was noticed in these plays, all in one process: Scenario takes seconds to load."""
    secrets = {"OPENAI_API_KEY", "LANGWATCH_API_KEY", "ELEVENLABS_API_KEY", "ELEVENLABS_BASE_URL"}
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy") and name not in secrets
    }
    environment |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*"}
    environment |= {} if whose == "theirs" else {"PYTHONPATH": str(SOURCE)}
    command = [PYTHON, HERE / "scenario" / "driver.py", whose, server, "scenario", key, *plays]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-4_000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("COURSES "))
    course = json.loads(line.removeprefix("COURSES "))
    assert course["antiphon"] == (whose != "theirs")
    return course


@pytest.fixture(scope="module")
def theirs(server: str, key: str) -> dict[str, Any]:
    """Scenario as it comes."""
    return course_of("theirs", server, key, *THEIRS)


@pytest.fixture(scope="module")
def ours(server: str, key: str) -> dict[str, Any]:
    """Our adapter in Scenario."""
    return course_of("ours", server, key, *OURS)


THEIR_ADAPTER = ("adapter/1.6/dial/audio", "adapter/1.6/mint/audio")
THEIR_EXECUTOR = (
    "executor/1.6/dial/audio",
    "executor/1.6/mint/audio",
    "executor/1.6/mint/text",
    "executor/1.6/mint/silence",
)
THEIRS = THEIR_ADAPTER + THEIR_EXECUTOR
OUR_ADAPTER = ("adapter/tail/dial/audio", "adapter/tail/mint/audio", "adapter/1.6/dial/audio", "adapter/1.6/mint/audio")
OUR_EXECUTOR = (
    "executor/tail/dial/audio",
    "executor/1.6/mint/audio",
    "executor/1.6/mint/text",
    "executor/1.6/mint/silence",
)
OURS = OUR_ADAPTER + OUR_EXECUTOR


def assert_all_was_heard(course: dict[str, Any], name: str) -> None:
    """Greeting and two spoken turns, each heard whole."""
    play = course["plays"][name]
    assert play["said"] == SAID
    assert play["understood"] == UNDERSTOOD
    assert play["heard"] == [pytest.approx(bytes_of(text), abs=4_800) for text in SAID]


def assert_the_run_is_recorded(course: dict[str, Any], name: str) -> list[str]:
    """It succeeds, and every turn is there, in order, with its whole sound. What the agent's turns say."""
    play = course["plays"][name]
    assert play["success"], play["reasoning"]
    assert [speaker for speaker, _, _ in play["segments"]] == ["agent", "user", "agent", "user", "agent"]
    agent = [segment for segment in play["segments"] if segment[0] == "agent"]
    assert [length for _, length, _ in agent] == [pytest.approx(bytes_of(text), abs=4_800) for text in SAID]
    assert play["said"] == CLOSED
    assert len(play["latencies"]) == 2
    return [transcript for _, _, transcript in agent]


@pytest.mark.parametrize("name", THEIR_ADAPTER)
def test_scenarios_own_adapter_holds_a_conversation(theirs: dict[str, Any], name: str) -> None:
    """With the key in the header, and with a signed URL of this server; it has nothing to warn of (clients.md)."""
    assert_all_was_heard(theirs, name)
    assert theirs["warnings"] == []


@pytest.mark.parametrize("name", THEIR_EXECUTOR)
def test_the_unmodified_executor_runs_a_scenario(theirs: dict[str, Any], name: str) -> None:
    """Scenario as it comes: executor, adapter, recording; turns are told by sound, by text, by a bounded silence."""
    assert_the_run_is_recorded(theirs, name)


@pytest.mark.parametrize("name", OUR_ADAPTER)
def test_our_adapter_holds_the_same_conversation(ours: dict[str, Any], name: str) -> None:
    """In both of its modes; it is Scenario's VoiceAgentAdapter, since that is installed."""
    assert_all_was_heard(ours, name)
    assert ours["warnings"] == []


@pytest.mark.parametrize("name", OUR_EXECUTOR)
def test_our_adapter_runs_in_the_executor(ours: dict[str, Any], name: str) -> None:
    """What the agent says is known from the wire, so that nobody is asked to transcribe it."""
    assert assert_the_run_is_recorded(ours, name) == SAID
    assert ours["transcriptions"] == 0
