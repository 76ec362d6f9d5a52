"""The demo's parts: its lines, its measurements, its picture. `test_demo_call.py` holds a whole call."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ET
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from antiphon.audio.formats import parse_format
from antiphon.audio.wav import StereoRecording
from antiphon.cli import demo
from antiphon.cli.demo.caller import RATE, Line, Utterance
from antiphon.cli.demo.measure import Turn, distance, turns, words
from antiphon.cli.demo.picture import draw
from antiphon.simulation.call import voice

FOLDER = files("antiphon.cli.demo")


def lines() -> dict[str, list[str]]:
    return json.loads((FOLDER / "caller_lines.json").read_text(encoding="utf-8"))


def texts(value: Any) -> list[str]:
    """Every text in a JSON document, at any depth."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


def test_the_caller_has_at_least_thirty_lines_of_its_own() -> None:
    """None of them is a phrase of the agent's file: recognition is not told what will be said."""
    said = [text for group in lines().values() for text in group]
    agent = json.loads((FOLDER / "agents" / "front_desk.json").read_text(encoding="utf-8"))
    known = {" ".join(words(text)) for text in texts(agent)}
    assert len(set(said)) == len(said) >= 30
    assert [text for text in said if " ".join(words(text)) in known] == []


def test_the_seed_draws_the_lines() -> None:
    """The same seed, the same call; other seeds, other calls; every topic once."""
    script = demo.draw_script(random.Random(3))
    assert script == demo.draw_script(random.Random(3))
    assert [topic for topic, _ in script] == list(demo.TOPICS)
    assert len({tuple(demo.draw_script(random.Random(seed))) for seed in range(20)}) > 15


@pytest.mark.parametrize(
    ("wanted", "got", "wrong"),
    [("a b c", "a b c", 0), ("a b c", "a c", 1), ("a b", "a x b", 1), ("a b c", "", 3), ("a b", "b a", 2)],
)
def test_words_heard_wrong_are_counted(wanted: str, got: str, wrong: int) -> None:
    """Left out, put in, taken for another: one each."""
    assert distance(words(wanted), words(got)) == wrong


def test_latency_is_read_from_the_two_tracks(tmp_path: Path) -> None:
    """From the caller's last sample to the agent's first, whatever the server says."""
    sound = voice(parse_format("pcm_16000"), 1.0)
    recording = StereoRecording(RATE)
    recording.write_left(1.0, sound)
    recording.write_right(2.75, sound)
    recording.save(tmp_path / "call.wav")
    said = [Utterance(Line("hours", "when do you open", sound), 1.0, 2.0)]
    waterfall = {"endpointing": 0.5, "stt": 0.1, "llm": 0.0, "clause": 0.0, "tts": 0.1, "output": 0.04}
    document = {"antiphon": {"turns": [{"waterfall": waterfall, "user_speech_ended_at": 2.0}]}}
    (turn,) = turns(tmp_path / "call.wav", said, [(2.6, "when do you open")], document)
    assert turn.latency == pytest.approx(0.75, abs=0.002)
    assert turn.overhead == pytest.approx(0.05, abs=0.002)
    assert turn.disagreement == pytest.approx(0.01, abs=0.002)
    assert turn.wrong_words == 0


def test_the_picture_has_a_bar_for_every_stage_of_every_turn() -> None:
    """Well-formed, with the answered and the unanswered turn told apart."""
    stages = {"endpointing": 0.5, "stt": 0.1, "llm": 0.2, "clause": 0.05, "tts": 0.1, "output": 0.01}
    picture = draw([Turn("a", "what <now> & then", "x", 0.96, stages), Turn("b", "never", "", None, {})])
    root = ET.fromstring(picture)
    bars = [rect for rect in root.iter("{http://www.w3.org/2000/svg}rect") if rect.find("{*}title") is not None]
    assert len(bars) == 6
    assert "no answer" in picture
