"""Token buckets: who asks too often is told when to come back."""

from __future__ import annotations

import pytest

from antiphon.server.limits import MOST_BUCKETS, Buckets, Limits, TooManyRequestsError


def taken(buckets: Buckets, caller: str, now: float, most: int = 1_000) -> int:
    """How many requests in a row go through."""
    for number in range(most):
        try:
            buckets.take(caller, now)
        except TooManyRequestsError:
            return number
    return most


def test_a_quiet_caller_has_ten_seconds_worth_at_once() -> None:
    """60 a minute: ten, then one a second."""
    buckets = Buckets(60)
    assert taken(buckets, "a", 0.0) == 10
    assert taken(buckets, "a", 0.5) == 0
    assert taken(buckets, "a", 1.0) == 1
    assert taken(buckets, "a", 1_000.0) == 10


def test_it_says_how_long_to_wait() -> None:
    """Who waits so long gets through; who does not, does not."""
    buckets = Buckets(6)
    buckets.take("a", 0.0)
    with pytest.raises(TooManyRequestsError) as caught:
        buckets.take("a", 4.0)
    assert caught.value.retry_after == pytest.approx(6.0)
    assert taken(buckets, "a", 9.9) == 0
    assert taken(buckets, "a", 10.1) == 1


def test_callers_do_not_take_from_each_other() -> None:
    """A bucket for each."""
    buckets = Buckets(60)
    assert taken(buckets, "a", 0.0) == 10
    assert taken(buckets, "b", 0.0) == 10


def test_what_is_given_back_can_be_taken_again() -> None:
    """But a bucket holds no more than it can."""
    buckets = Buckets(60)
    assert taken(buckets, "a", 0.0) == 10
    buckets.give_back("a", 0.0)
    assert taken(buckets, "a", 0.0) == 1
    for _ in range(50):
        buckets.give_back("a", 0.0)
    assert taken(buckets, "a", 0.0) == 10


def test_nought_is_no_limit() -> None:
    """And nothing is remembered; wrong keys are limited nevertheless."""
    assert taken(Limits.of(0).keys, "a", 0.0) == 1_000
    assert taken(Limits.of(0).failures, "a", 0.0) == 60


def test_strangers_cannot_fill_the_memory() -> None:
    """Those who have not called for longest are forgotten; who calls is not."""
    buckets = Buckets(60)
    assert taken(buckets, "busy", 0.0) == 10
    for number in range(MOST_BUCKETS + 10):
        buckets.take(f"stranger {number}", 0.0)
        if number % 1_000 == 0:
            assert taken(buckets, "busy", 0.0) == 0
    assert len(buckets._levels) <= MOST_BUCKETS + 1
    assert taken(buckets, "busy", 0.0) == 0
