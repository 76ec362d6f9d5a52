"""Places: how many conversations there may be at one time and on one day, and whose turn it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.agents.config import AgentConfig, CallLimits
from antiphon.server.places import DAY, Places
from antiphon.server.sessions import ServerBusyError
from antiphon.store.conversations import Wanted

NOW = 1_700_000_000.0
ONE = CallLimits(agent_concurrency_limit=1)
TWO = CallLimits(agent_concurrency_limit=2)


class Kept:
    """What the store says of today, and the time."""

    def __init__(self) -> None:
        self.counts: dict[str | None, int] = {}
        self.now = NOW
        self.asked: list[Wanted] = []

    async def count(self, wanted: Wanted) -> int:
        self.asked.append(wanted)
        return self.counts.get(wanted.agent_id, 0)

    def epoch(self) -> float:
        return self.now


def places(concurrent: int = -1, daily: int = -1, kept: Kept | None = None) -> Places:
    kept = kept or Kept()
    return Places(concurrent, daily, kept.count, kept.epoch)


def agent(agent_id: str = "a", queueing: bool = False, **limits: Any) -> AgentConfig:
    settings = {"call_limits": limits, "queueing_config": {"enabled": queueing}}
    return AgentConfig.parse({"conversation_config": {}, "platform_settings": settings}, agent_id=agent_id)


def test_an_agent_has_as_many_places_as_its_limit() -> None:
    """Other agents have theirs; without a limit there is always one."""
    room = places()
    first = room.request("a", ONE)
    assert first.taken
    assert not room.request("a", ONE).taken
    assert room.request("b", ONE).taken
    assert all(room.request("c", CallLimits()).taken for _ in range(100))


def test_whoever_waited_longest_is_next() -> None:
    """Who gives up is passed over; newcomers do not overtake."""
    room = places()
    first, second, third, fourth = (room.request("a", ONE) for _ in range(4))
    second.leave()
    first.leave()
    assert (third.taken, fourth.taken) == (True, False)
    assert not room.request("a", ONE).taken
    third.leave()
    assert fourth.taken


def test_a_newcomer_does_not_overtake_when_the_limit_was_raised() -> None:
    """The waiting are served first, as soon as anybody leaves."""
    room = places()
    first, second = room.request("a", ONE), room.request("a", ONE)
    third = room.request("a", TWO)
    assert (second.taken, third.taken) == (False, False)
    first.leave()
    assert (second.taken, third.taken) == (True, True)


def test_the_workspace_has_a_limit_of_its_own() -> None:
    """Who waits for it is served whatever agent the place was of."""
    room = places(concurrent=2)
    plain = CallLimits(bursting_enabled=False)
    first, second, third = room.request("a", plain), room.request("b", plain), room.request("c", plain)
    assert (second.taken, third.taken) == (True, False)
    first.leave()
    assert third.taken


@pytest.mark.parametrize(("limit", "most"), [(0, 0), (2, 6), (150, 300), (400, 400)])
def test_bursting_goes_to_three_times_the_limit(limit: int, most: int) -> None:
    """But not beyond 300."""
    room = places(concurrent=limit)
    assert sum(room.request("a", CallLimits()).taken for _ in range(1_300)) == most


def test_a_full_agent_without_a_queue_refuses() -> None:
    """One with a queue does not: there, one waits."""
    room = places()
    room.request("a", ONE)
    with pytest.raises(ServerBusyError, match="try again later"):
        asyncio.run(room.admit(agent(agent_concurrency_limit=1)))
    asyncio.run(room.admit(agent(agent_concurrency_limit=1, queueing=True)))


def test_a_day_has_so_many_conversations() -> None:
    """Those of this process count at once, before the store has them; those of others, as the store has them."""

    async def play() -> None:
        kept = Kept()
        room = places(kept=kept)
        three = agent(daily_limit=3)
        await room.admit(three)
        kept.counts["a"] = 2  # ours, and another node's
        await room.admit(three)
        with pytest.raises(ServerBusyError, match="3 conversations of today"):
            await room.admit(three)
        assert {wanted.started_after for wanted in kept.asked} == {NOW // DAY * DAY}
        kept.counts, kept.now = {}, NOW + DAY
        await room.admit(three)

    asyncio.run(play())


def test_the_workspaces_day_counts_all_agents() -> None:
    """An agent that is refused does not use up the workspace's."""

    async def play() -> None:
        room = places(daily=2)
        await room.admit(agent("a", daily_limit=1))
        for _ in range(5):
            with pytest.raises(ServerBusyError, match="this agent"):
                await room.admit(agent("a", daily_limit=1))
        await room.admit(agent("b"))
        with pytest.raises(ServerBusyError, match="this workspace"):
            await room.admit(agent("c"))

    asyncio.run(play())
