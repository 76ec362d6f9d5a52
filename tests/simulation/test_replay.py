"""Conversations held again from their journals: the same to the byte, or told apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from antiphon.agents.config import AgentConfig
from antiphon.cli import app
from antiphon.engines.registry import Registry
from antiphon.protocol import events as ev
from antiphon.session.engines import load_engines
from antiphon.simulation.call import BargeIn, Call, HangUp, Say, Speak, Step, Wait, hold
from antiphon.simulation.loop import run
from antiphon.simulation.replay import ReplayError, replay

Run = Callable[[Coroutine[Any, Any, list[Call]]], list[Call]]

AGENT = {
    "conversation_config": {
        "agent": {
            "first_message": "Hello there, this is a greeting of some length.",
            "prompt": {"tools": [{"type": "client", "name": "look", "expects_response": True}]},
        },
        "turn": {"soft_timeout_config": {"timeout_seconds": 0.4, "message": "Hm."}, "speculative_turn": True},
        "antiphon": {
            "llm": {
                "engine": "scripted",
                "rules": [
                    {"when": "look", "say": "One moment.", "tool": {"name": "look"}, "then": "I see {result}."},
                    {"when": "slow", "say": "That took a while.", "delay": 1.0},
                    {"say": "This answer is long enough, with all its words, to be cut off in the middle of it."},
                ],
            },
            "stt": {
                "engine": "scripted",
                "lines": ["tell me", "stop that now please", "look", "slow"],
                "partials": True,
                "delay": 0.05,
            },
            "tts": {"engine": "scripted", "seconds_per_char": 0.02, "delay": 0.01},
            "vad": {"engine": "energy"},
        },
    }
}
SCRIPT: Sequence[Step] = [
    Speak(0.5, after=0.2),
    BargeIn(0.7, into=0.5),
    Speak(0.5, after=0.2),
    Say(ev.ContextualUpdate(text="something")),
    Say(ev.UserMessage(text="hello"), after=0.1),
    BargeIn(0.1, into=0.1),
    Speak(0.5, after=0.2),
    Wait(0.3),
    HangUp(2.0),
]


async def calls(count: int) -> list[Call]:
    """That many at the same time."""
    agent = AgentConfig.parse(AGENT, agent_id="scene")
    engines = await load_engines(agent, Registry(), models={})
    async with asyncio.TaskGroup() as tasks:
        held = [
            tasks.create_task(
                hold(agent, engines, SCRIPT, tools={"look": lambda _: "a tree"}, chunk=0.02 + 0.01 * (index % 3))
            )
            for index in range(count)
        ]
    return [task.result() for task in held]


@pytest.mark.parametrize(("clock", "count"), [(run, 1), (asyncio.run, 10)], ids=["virtual", "real"])
def test_a_conversation_comes_out_again_exactly(clock: Run, count: int) -> None:
    """Whatever the clock was: every event, every observation, every time."""
    for call in clock(calls(count)):
        replayed = replay(call.journal)
        assert replayed.same, "\n".join([f"{replayed.expected} {replayed.got}", *replayed.diff])
        assert replayed.results > 100
        assert call.events(ev.Interruption)


def changed(journal: Sequence[bytes], change: Callable[[dict[str, Any]], None]) -> list[bytes]:
    lines = [json.loads(line) for line in journal]
    for line in lines:
        change(line)
    return [json.dumps(line).encode() for line in lines]


def test_a_different_answer_is_told_with_both_sides() -> None:
    """Another engine's result, another record: the first line that differs, and the difference as text."""
    (call,) = run(calls(1))

    def other_words(line: dict[str, Any]) -> None:
        if line.get("engine") == "llm" and "tree" in line.get("text", ""):
            line["text"] = line["text"].replace("tree", "bush")

    replayed = replay(changed(call.journal, other_words))
    assert not replayed.same
    assert replayed.expected is not None
    assert "tree" in str(replayed.expected.body)
    assert any(line.startswith("-") and "tree" in line for line in replayed.diff)
    assert any(line.startswith("+") and "bush" in line for line in replayed.diff)


def test_a_different_rule_is_told() -> None:
    """New code is like another policy: here the agent may suddenly not be interrupted."""
    (call,) = run(calls(1))

    def other_rule(line: dict[str, Any]) -> None:
        if "journal" in line:
            line["journal"]["settings"]["policy"]["interruptible"] = False

    replayed = replay(changed(call.journal, other_rule))
    assert any(line.startswith("-") and "interruption" in line for line in replayed.diff)


def test_a_result_that_was_lost_is_told() -> None:
    """Nothing is skipped: a line that is not there is a difference."""
    (call,) = run(calls(1))
    journal = [line for line in call.journal if b'"agent_response_correction"' not in line]
    assert not replay(journal).same


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "no journal"),
        ([b"{"], "line 1 is no JSON"),
        ([b"[]"], "line 1 is no line of a journal"),
        ([b'{"at":0.0,"out":{}}'], "no journal"),
        ([b'{"at":0.0,"journal":{"version":0}}'], "version 0"),
        ([b'{"at":0.0,"journal":{"version":2}}'], "settings"),
    ],
)
def test_what_is_no_journal_is_refused(lines: list[bytes], complaint: str) -> None:
    """With the line and the reason."""
    with pytest.raises(ReplayError, match=complaint):
        replay(lines)


def test_the_command_tells_by_its_exit_status(tmp_path: Path) -> None:
    """0 the same, 1 different, 2 unreadable."""
    (call,) = run(calls(1))
    good, other, bad = (tmp_path / name / "a.jsonl" for name in ("good", "other", "bad"))
    for file in (good, other, bad):
        file.parent.mkdir()
    good.write_bytes(b"".join(call.journal))
    other.write_bytes(b"".join(line for line in call.journal if b'"agent_response_correction"' not in line))
    bad.write_bytes(b"{}")
    runner = CliRunner()
    same = runner.invoke(app, ["replay", str(good.parent)])
    assert (same.exit_code, "1 the same" in same.output) == (0, True)
    assert runner.invoke(app, ["replay", str(good), str(other)]).exit_code == 1
    assert runner.invoke(app, ["replay", str(tmp_path)]).exit_code == 2
    (tmp_path / "empty").mkdir()
    assert runner.invoke(app, ["replay", str(tmp_path / "empty")]).exit_code == 2
