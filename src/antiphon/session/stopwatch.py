"""The time of a conversation: seconds since it began, to the microsecond, one reading for all that follows from it."""

from __future__ import annotations

from collections.abc import Callable

RESOLUTION = 1e-6


class Stopwatch:
    """`stamp` reads the clock; `now` is what was read last.

    What the dialogue is told is what the journal says, digit by digit: else a replay would not be one.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.now = 0.0
        self._clock = clock
        self._began = clock()

    def stamp(self) -> float:
        """Read the clock."""
        self.now = round(self._clock() - self._began, 6)
        return self.now

    def last(self) -> float:
        """What was read last: the journal's clock."""
        return self.now

    def clock_time(self, at: float | None) -> float | None:
        """When the clock that was given will have reached a moment of the conversation, as `stamp` reads it."""
        return None if at is None else self._began + at + RESOLUTION
