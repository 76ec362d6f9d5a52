"""The far end of a call: a line that takes its time, and a client that plays what comes over it.

Nothing here knows how a server estimates what was heard; what is known here is what *was*. A benchmark or a chaos
conversation holds the two against each other.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field


class Line:
    """One direction of a network: everything takes half the round trip and some jitter, and nothing overtakes."""

    def __init__(self, round_trip: float, jitter: float, rng: random.Random) -> None:
        self._half = round_trip / 2
        self._jitter = jitter
        self._rng = rng
        self._newest = 0.0

    def carry(self, sent_at: float) -> float:
        """When something arrives that was sent then. To be asked in the order of sending."""
        self._newest = max(self._newest, sent_at + self._half + self._rng.uniform(0.0, self._jitter))
        return self._newest


@dataclass(frozen=True, slots=True)
class Played:
    """A piece that has sounded, or as much of it as was let."""

    label: int
    at: float
    seconds: float


@dataclass(slots=True)
class Player:
    """Give it the pieces as they arrive, in order; `advance` to a moment, and see what has sounded by then.

    It begins once the first piece has waited for `buffer` seconds, plays on while it has anything, and begins at once
    with whatever comes after it has run dry.
    """

    buffer: float = 0.0
    "Seconds that the first sound after silence (the beginning, an interruption) waits."
    played: list[Played] = field(default_factory=list[Played])
    _queue: deque[tuple[float, int, float]] = field(default_factory=deque[tuple[float, int, float]])
    "(arrival, label, seconds) of what waits."
    _begins_at: float | None = None
    "When the buffer is full; None: it has not begun to fill."
    _sounding: tuple[int, float, float] | None = None
    "(label, since, until)."
    _free_at: float = 0.0
    "When the newest piece that has sounded was over."

    def receive(self, at: float, seconds: float, label: int) -> None:
        """A piece arrives."""
        self.advance(at)
        if self._begins_at is None:
            self._begins_at = at + self.buffer
        self._queue.append((at, label, seconds))
        self.advance(at)

    def interrupt(self, at: float) -> None:
        """Everything that has not sounded is thrown away."""
        self.advance(at)
        if self._sounding is not None and at > self._sounding[1]:
            label, since, _ = self._sounding
            self.played.append(Played(label, since, at - since))
        self._sounding = self._begins_at = None
        self._queue.clear()

    def advance(self, now: float) -> None:
        """Let time pass."""
        while True:
            if self._sounding is None:
                if not self._queue:
                    return
                arrival, label, seconds = self._queue[0]
                begin = max(self._free_at, arrival, self._begins_at or 0.0)
                if begin > now:
                    return
                self._queue.popleft()
                self._sounding = (label, begin, begin + seconds)
            label, since, until = self._sounding
            if until > now:
                return
            self.played.append(Played(label, since, until - since))
            self._sounding, self._free_at = None, until

    @property
    def seconds(self) -> float:
        """Sound that has come out; a piece that still sounds is not counted."""
        return sum(piece.seconds for piece in self.played)
