"""The turn machine keeps its word in every state: a twentieth of benchmarks/turn_machine.py."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from antiphon.turns import observations as ob
from antiphon.turns.machine import TurnMachine

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "turn_machine.py"


@pytest.fixture(scope="module")
def explorer() -> ModuleType:
    """The benchmark, as a module."""
    spec = importlib.util.spec_from_file_location("benchmarks_turn_machine", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def test_no_invariant_is_broken_in_any_state_or_schedule(explorer: ModuleType) -> None:
    """Every state to depth 6, and 50,000 random schedules; from each the conversation comes to rest."""
    results = explorer.run(6, 50_000, 1)
    assert sum(result.figures.states for result in results) > 5_000
    assert sum(result.schedules for result in results) == 50_000
    reached = {state for result in results for state, count in result.figures.by_state.items() if count}
    assert reached == set(explorer.State)


def nothing(self: TurnMachine, *values: object, **named: object) -> list[ob.Command]:
    """A planted fault: an arm that was forgotten."""
    return []


def yes(self: TurnMachine) -> bool:
    """A planted fault: a rule that was forgotten."""
    return True


@pytest.mark.parametrize(
    ("arm", "fault"),
    [
        ("_let_go", nothing),
        ("_abandon", nothing),
        ("_await_silence", nothing),
        ("_give_floor", nothing),
        ("_may_be_interrupted", yes),
    ],
)
def test_a_planted_fault_is_found(
    explorer: ModuleType, monkeypatch: pytest.MonkeyPatch, arm: str, fault: Callable[..., Any]
) -> None:
    """An explorer that cannot fail shows nothing."""
    monkeypatch.setattr(TurnMachine, arm, fault)
    with pytest.raises(explorer.BrokenError):
        explorer.run(6, 3_000, 1)


def test_a_late_observation_about_a_dead_reply_would_be_found(
    explorer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reply numbers are what keeps it from ending the wrong reply."""
    over = TurnMachine._reply_over

    def any_reply(self: TurnMachine, seen: ob.ReplyOver | ob.ReplyFailed, now: float) -> list[ob.Command]:
        return over(self, ob.ReplyOver(self.reply), now)

    monkeypatch.setattr(TurnMachine, "_reply_over", any_reply)
    with pytest.raises(explorer.BrokenError):
        explorer.run(6, 3_000, 1)
