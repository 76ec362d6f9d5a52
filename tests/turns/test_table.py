"""The turn table: complete, reachable, and the same as docs/turns.md."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from antiphon.turns import observations as ob
from antiphon.turns.machine import State
from antiphon.turns.table import SITUATIONS, Situation, page, reach, representatives, rows

PAGE = Path(__file__).resolve().parents[2] / "docs" / "turns.md"


def test_the_page_in_docs_is_the_machines_table() -> None:
    """`python -m antiphon.turns.table > docs/turns.md` renews it."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_state_is_in_the_table() -> None:
    """A new state cannot be forgotten."""
    assert {reach(situation)[0].state for situation in SITUATIONS} == set(State)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_every_situation_is_what_it_is_called(situation: Situation) -> None:
    """The script leads there."""
    machine, _ = reach(situation)
    state, *more = situation.name.split(", ")
    assert machine.state.name == state
    assert machine.held == ("held" in more)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_every_observation_is_in_the_table(situation: Situation) -> None:
    """But for Opened, which comes once; a new kind cannot be forgotten."""
    kinds = {type(seen) for seen in representatives(reach(situation)[0])}
    assert kinds | {ob.Opened} == set(get_args(ob.Observation))
    assert len(rows(situation)) == len(representatives(reach(situation)[0]))


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_closing_ends_every_situation(situation: Situation) -> None:
    """Whatever is going on."""
    (row,) = (row for row in rows(situation) if isinstance(row.seen, ob.Closed))
    assert row.after == "ENDED"
