"""What can go wrong with an engine's stream, drawn from a seed: the same seed and call, the same fault.

stall       it stops for long, or for ever: before its first item, between two, or after its last
dribble     it comes in crumbs, slower than it is spoken
429         it fails and says that trying again may help: at once, or after some items
jitter      every item is a little late
drop        an item is lost
reorder     two neighbours are swapped
clinging    told to stop, it goes on for a while, and takes its time to close
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from antiphon.engines.base import closing
from antiphon.errors import ConfigError, EngineError

T = TypeVar("T")

FAULTS: Final = ("stall", "dribble", "429", "clinging", "jitter", "drop", "reorder")
_SEVERE: Final = ("stall", "dribble", "429", "clinging")
"At most one of these befalls a call."

FOREVER: Final = 100_000.0
"Seconds that a stream stalls that never goes on."
CLINGS: Final = 2.0
"Seconds for which an engine goes on that was told to stop."
_LATE: Final = 0.08


class Fault(msgspec.Struct, frozen=True):
    """What befalls one call of an engine."""

    severe: str | None = None
    item: int = 0
    "At which item it begins."
    after: bool = False
    "A stall comes after the last item, before the end."
    seconds: float = 0.0
    "How long a stall lasts."
    jitter: bool = False
    drops: int | None = None
    swaps: int | None = None
    "Which item is lost, which is swapped with the one behind it."
    seed: int = 0
    "Of the delays."


def check(faults: Mapping[str, float], path: str) -> Mapping[str, float]:
    """Names to probabilities. Raises ConfigError."""
    for name, probability in faults.items():
        if name not in FAULTS:
            raise ConfigError(f"there is no fault {name!r} (known: {', '.join(FAULTS)})", path=path)
        if not 0 <= probability <= 1:
            raise ConfigError(f"a probability lies between 0 and 1, not at {probability}", path=f"{path}.{name}")
    if sum(faults.get(name, 0.0) for name in _SEVERE) > 1:
        raise ConfigError(f"{', '.join(_SEVERE)} exclude one another: together at most 1", path=path)
    return faults


def draw(faults: Mapping[str, float], seed: int, kind: str, call: int) -> Fault:
    """What befalls the `call`-th call of an engine of that kind."""
    rng = random.Random(f"{seed}/{kind}/{call}")
    dice, severe = rng.random(), None
    for name in _SEVERE:
        if dice < (probability := faults.get(name, 0.0)):
            severe = name
            break
        dice -= probability
    return Fault(
        severe=severe,
        item=rng.choice((0, 0, 1, 2, rng.randint(3, 12))),
        after=rng.random() < 0.25,
        seconds=rng.choice((FOREVER, rng.uniform(1.0, 15.0))),
        jitter=rng.random() < faults.get("jitter", 0.0),
        drops=rng.randrange(6) if rng.random() < faults.get("drop", 0.0) else None,
        swaps=rng.randrange(6) if rng.random() < faults.get("reorder", 0.0) else None,
        seed=rng.randrange(2**32),
    )


async def suffer(
    stream: AsyncIterator[T], fault: Fault, engine: str, crumble: Callable[[T], Iterable[tuple[T, float]]]
) -> AsyncGenerator[T]:
    """The items of `stream`, as the fault leaves them.

    `crumble`: a dribbled item in crumbs, each with the seconds before it. Raises EngineError, besides what the stream
    raises.
    """
    rng = random.Random(fault.seed)
    items = _clinging(_mangled(stream, fault), rng) if fault.severe == "clinging" else _mangled(stream, fault)
    index = 0
    async with closing(items) as mangled:
        async for item in mangled:
            if index == fault.item and fault.severe == "stall" and not fault.after:
                await asyncio.sleep(fault.seconds)
            if index == fault.item and fault.severe == "429":
                raise EngineError(engine, "429: too many requests", retryable=True)
            if fault.jitter:
                await asyncio.sleep(rng.uniform(0.0, _LATE))
            if fault.severe == "dribble":
                for crumb, seconds in crumble(item):
                    await asyncio.sleep(seconds * rng.uniform(0.5, 2.0))
                    yield crumb
            else:
                yield item
            index += 1
    if fault.severe == "429" and index <= fault.item:
        raise EngineError(engine, "429: too many requests", retryable=True)
    if fault.severe == "stall" and (fault.after or index <= fault.item):
        await asyncio.sleep(fault.seconds)


async def _mangled(stream: AsyncIterator[T], fault: Fault) -> AsyncGenerator[T]:
    """One item lost, two swapped."""
    index, kept = 0, list[T]()
    async with closing(stream) as items:
        async for item in items:
            if index == fault.swaps:
                kept.append(item)
            elif index != fault.drops:
                yield item
                for late in kept:
                    yield late
                kept.clear()
            index += 1
    for late in kept:
        yield late


async def _clinging(stream: AsyncIterator[T], rng: random.Random) -> AsyncGenerator[T]:
    """Goes on when it is cancelled, for a while, and dawdles when it is closed."""
    loop = asyncio.get_running_loop()
    until: float | None = None
    try:
        async with closing(stream) as items:
            async for item in items:
                try:
                    await asyncio.sleep(rng.uniform(0.0, 0.4))
                except asyncio.CancelledError:
                    if until is not None:
                        raise
                    until = loop.time() + CLINGS
                if until is not None and loop.time() > until:
                    break
                yield item
    finally:
        await asyncio.sleep(rng.uniform(0.0, CLINGS))
