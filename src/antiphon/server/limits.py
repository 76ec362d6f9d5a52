"""How often: token buckets, in this process, pure (the time is an argument)."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.errors import AntiphonError

MOST_BUCKETS = 20_000
"Callers that are remembered; of more, those who have not called for longest are forgotten."
BURST_SECONDS = 10.0
"How much of its rate a caller that was quiet may use at once."
FAILED_KEYS_PER_MINUTE = 60.0
"Keys that are not valid, from one address."


class TooManyRequestsError(AntiphonError):
    """The caller asks too often. `retry_after`: seconds until it makes sense to ask again."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Buckets:
    """One bucket of tokens for every caller, filled at a rate, each request taking one."""

    def __init__(self, per_minute: float, *, burst: float | None = None) -> None:
        """`per_minute`: 0 for no limit. `burst`: what a full bucket holds."""
        self._rate = per_minute / 60
        self._burst = max(1.0, self._rate * BURST_SECONDS if burst is None else burst)
        self._levels: dict[str, tuple[float, float]] = {}
        "Tokens left and when, by caller; the last to call is last."

    def take(self, caller: str, now: float) -> None:
        """Count one request. Raises TooManyRequestsError; that one is not counted."""
        if self._rate == 0:
            return
        level = self._level(caller, now)
        if level < 1:
            raise TooManyRequestsError("too many requests", (1 - level) / self._rate)
        self._levels[caller] = level - 1, now
        if len(self._levels) > MOST_BUCKETS:
            del self._levels[next(iter(self._levels))]

    def give_back(self, caller: str, now: float) -> None:
        """The last request does not count after all."""
        if self._rate:
            self._levels[caller] = min(self._burst, self._level(caller, now) + 1), now

    def _level(self, caller: str, now: float) -> float:
        left, then = self._levels.pop(caller, (self._burst, now))
        level = min(self._burst, left + (now - then) * self._rate)
        self._levels[caller] = level, now
        return level


@dataclass(frozen=True, slots=True)
class Limits:
    """How often anybody may ask."""

    keys: Buckets
    "By key."
    addresses: Buckets
    "By address: requests without a key."
    failures: Buckets
    "By address: keys that are not valid."

    @classmethod
    def of(cls, per_minute: float) -> Limits:
        """`per_minute`: for one key, and for one address without a key; 0: no limit but that of wrong keys."""
        failures = Buckets(FAILED_KEYS_PER_MINUTE, burst=FAILED_KEYS_PER_MINUTE)
        return cls(Buckets(per_minute), Buckets(per_minute), failures)
