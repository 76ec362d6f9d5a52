"""The simulated client: what sounds when, worked out by hand."""

from __future__ import annotations

import random

import pytest

from antiphon.simulation.player import Line, Player


def sounded(player: Player) -> list[tuple[int, float, float]]:
    return [(piece.label, round(piece.at, 6), round(piece.seconds, 6)) for piece in player.played]


def test_it_begins_when_its_buffer_has_filled_and_plays_on() -> None:
    """Pieces that come in time follow one another."""
    player = Player(buffer=0.1)
    player.receive(1.0, 0.2, 1)
    player.receive(1.05, 0.2, 2)
    player.advance(2.0)
    assert sounded(player) == [(1, 1.1, 0.2), (2, 1.3, 0.2)]


def test_it_runs_dry_and_begins_again_at_once() -> None:
    """A piece that comes late sounds when it comes."""
    player = Player(buffer=0.1)
    player.receive(1.0, 0.2, 1)
    player.receive(3.0, 0.2, 2)
    player.advance(9.0)
    assert sounded(player) == [(1, 1.1, 0.2), (2, 3.0, 0.2)]


def test_an_interruption_cuts_the_piece_under_way_and_drops_the_rest() -> None:
    """And the buffer fills anew for what comes then."""
    player = Player(buffer=0.1)
    for label in range(3):
        player.receive(1.0, 0.2, label)
    player.interrupt(1.35)
    player.receive(2.0, 0.2, 9)
    player.advance(3.0)
    assert sounded(player) == [(0, 1.1, 0.2), (1, 1.3, 0.05), (9, 2.1, 0.2)]
    assert player.seconds == pytest.approx(0.45)


def test_an_interruption_before_the_first_sound_leaves_nothing() -> None:
    """The buffer was still filling."""
    player = Player(buffer=0.1)
    player.receive(1.0, 0.2, 1)
    player.interrupt(1.05)
    player.advance(3.0)
    assert sounded(player) == []


def test_a_line_is_late_by_half_its_round_trip_and_its_jitter_and_keeps_the_order() -> None:
    """Nothing overtakes."""
    line = Line(0.2, 0.06, random.Random(1))
    sent = [0.01 * index for index in range(500)]
    arrived = [line.carry(at) for at in sent]
    assert arrived == sorted(arrived)
    late = [there - here for here, there in zip(sent, arrived, strict=True)]
    assert 0.1 <= min(late) < max(late) <= 0.16 + 1e-9
