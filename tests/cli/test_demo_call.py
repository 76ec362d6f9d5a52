"""The demo, whole: a server, a caller, real sound, and the files that it leaves."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from antiphon.audio.levels import last_sound
from antiphon.audio.wav import read_tracks

pytestmark = [
    pytest.mark.component("espeak"),
    pytest.mark.component("pocketsphinx"),
    pytest.mark.component("onnxruntime"),
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one run of `antiphon demo` leaves."""
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "antiphon", "demo", "--seed", "13", "--out", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "agent" in ran.stdout
    return out


@pytest.fixture(scope="module")
def record(folder: Path) -> dict[str, Any]:
    """The conversation's record."""
    return json.loads((folder / "conversation.json").read_text(encoding="utf-8"))


def test_every_line_of_the_caller_is_answered(record: dict[str, Any]) -> None:
    """At least five turns of the user, and no turn left without an answer."""
    turns = record["antiphon"]["demo"]["turns"]
    assert len(turns) >= 5
    assert [turn["said"] for turn in turns if turn["recorded_latency"] is None] == []


def test_the_caller_talks_over_the_agent_once_and_a_tool_is_called(record: dict[str, Any]) -> None:
    """What was cut off stands in the record as it was heard."""
    (cut,) = [turn for turn in record["transcript"] if turn["interrupted"]]
    assert cut["original_message"].startswith(cut["message"])
    assert len(cut["message"]) < len(cut["original_message"])
    assert [call["tool_name"] for turn in record["transcript"] for call in turn["tool_calls"]] == ["order_status"]


def test_every_answer_has_a_waterfall(record: dict[str, Any]) -> None:
    """Stage by stage, under the answer that it belongs to."""
    waterfalls = [turn["waterfall"] for turn in record["antiphon"]["turns"] if "endpointing" in turn["waterfall"]]
    assert len(waterfalls) >= 5
    for waterfall in waterfalls:
        assert list(waterfall) == ["endpointing", "stt", "llm", "clause", "tts", "output"]


def test_both_sides_are_recorded(folder: Path, record: dict[str, Any]) -> None:
    """Caller left, agent right, as long as the call."""
    rate, caller, agent = read_tracks(folder / "conversation.wav")
    seconds = record["metadata"]["call_duration_secs"]
    for track in (caller, agent):
        sound = last_sound(track, rate)
        assert sound is not None
        assert sound > seconds / 2


def test_the_picture_is_drawn(folder: Path) -> None:
    """Well-formed SVG."""
    assert ET.parse(folder / "waterfall.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
