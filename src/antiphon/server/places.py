"""Places: how many conversations an agent and the workspace hold at one time and on one day, and who waits for one.

At one time is counted in this process; on one day, in the store, and so over all nodes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from antiphon.agents.config import AgentConfig, CallLimits
from antiphon.store.conversations import Wanted

from .sessions import ServerBusyError

DAY = 86_400.0
"Seconds. Days begin at midnight UTC."
BURST = 3
"Times the workspace's limit that agents with `bursting_enabled` may go up to,"
MOST_BURSTING = 300
"but not beyond so many."
QUEUE_TIMED_OUT = 4300
"The protocol's close code for a caller who waited in vain (protocol.md 3.5)."


class Place:
    """One caller's: taken or waited for, until `leave`."""

    def __init__(self, places: Places, agent_id: str, limits: CallLimits) -> None:
        self.agent_id = agent_id
        self.limits = limits
        self._places = places
        self._taken = asyncio.Event()

    @property
    def taken(self) -> bool:
        """Whether the caller has it."""
        return self._taken.is_set()

    def take(self) -> None:
        """The caller has it now."""
        self._taken.set()

    async def wait(self) -> None:
        """Until the caller has it."""
        await self._taken.wait()

    def leave(self) -> None:
        """The caller needs it no more, or waits no longer. Returns at once."""
        self._places.leave(self)


class Places:
    """Those of one process."""

    def __init__(
        self,
        concurrent: int,
        daily: int,
        count: Callable[[Wanted], Awaitable[int]],
        epoch: Callable[[], float],
    ) -> None:
        """`concurrent`, `daily`: the workspace's limits, -1 for none; `count`: how many conversations are kept."""
        self._concurrent = concurrent
        self._daily = daily
        self._count = count
        self._epoch = epoch
        self._occupied: Counter[str] = Counter()
        "Places taken, by agent."
        self._waiting: list[Place] = []
        "In the order in which they came."
        self._today: dict[str | None, int] = {}
        """Conversations known to have begun today, by agent; of the workspace, under None. The store hears of them a
        moment later."""
        self._day = 0.0

    def full(self, agent_id: str, limits: CallLimits) -> bool:
        """Whether another caller would have to wait."""
        if 0 <= limits.agent_concurrency_limit <= self._occupied[agent_id]:
            return True
        ceiling = self._concurrent
        if ceiling >= 0 and limits.bursting_enabled:
            ceiling = max(ceiling, min(BURST * ceiling, MOST_BURSTING))
        return 0 <= ceiling <= self._occupied.total()

    async def admit(self, agent: AgentConfig) -> None:
        """Count one more conversation today.

        Raises:
            ServerBusyError: a limit is reached, and there is nothing to wait for.
            StoreError: the database cannot say.
        """
        limits = agent.platform_settings.call_limits
        if not agent.platform_settings.queueing_config.enabled and self.full(agent.agent_id, limits):
            raise all_taken()
        day = self._epoch() // DAY * DAY
        allowed: dict[str | None, int] = {agent.agent_id: limits.daily_limit, None: self._daily}
        kept = {
            who: await self._count(Wanted(agent_id=who, started_after=day))
            for who, limit in allowed.items()
            if limit >= 0
        }
        if self._day != day:
            self._day, self._today = day, {}
        for who, count in kept.items():
            self._today[who] = max(count, self._today.get(who, 0))
            if self._today[who] >= allowed[who]:
                whose = "this workspace" if who is None else "this agent"
                raise ServerBusyError(f"{whose} has had its {allowed[who]} conversations of today")
        for who in kept:
            self._today[who] += 1

    def request(self, agent_id: str, limits: CallLimits) -> Place:
        """A place, if there is one and nobody waits for it already; else, a place to wait for."""
        place = Place(self, agent_id, limits)
        if self.full(agent_id, limits) or any(other.agent_id == agent_id for other in self._waiting):
            self._waiting.append(place)
        else:
            self._give(place)
        return place

    def leave(self, place: Place) -> None:
        """It is free, and goes to whoever has waited longest and may have it."""
        if not place.taken:
            self._waiting.remove(place)
            return
        self._occupied[place.agent_id] -= 1
        if not self._occupied[place.agent_id]:
            del self._occupied[place.agent_id]
        for other in list(self._waiting):
            if not self.full(other.agent_id, other.limits):
                self._waiting.remove(other)
                self._give(other)

    def _give(self, place: Place) -> None:
        self._occupied[place.agent_id] += 1
        place.take()


def all_taken() -> ServerBusyError:
    """What a caller is told who cannot wait."""
    return ServerBusyError("as many conversations are under way as are allowed; try again later")
