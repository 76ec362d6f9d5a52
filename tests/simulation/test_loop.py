"""Virtual time: what moves the clock, and what does not."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.simulation.loop import THREAD_POLL, run


def test_an_hour_passes_at_once() -> None:
    """Nothing is waited for; the clock jumps to the next timer, exactly."""

    async def main() -> float:
        await asyncio.sleep(3600.0)
        return asyncio.get_running_loop().time()

    assert run(main()) == 3600.0


@given(st.lists(st.floats(0.0, 1e4), max_size=30))
def test_timers_ring_in_order_at_their_times(delays: list[float]) -> None:
    """As on a wall clock that is never late."""
    rung: list[tuple[float, float]] = []

    async def ring(delay: float) -> None:
        await asyncio.sleep(delay)
        rung.append((asyncio.get_running_loop().time(), delay))

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            for delay in delays:
                tasks.create_task(ring(delay))

    run(main())
    assert [delay for _, delay in rung] == pytest.approx(sorted(delays), abs=1e-8)
    assert all(at == pytest.approx(delay, abs=1e-8) for at, delay in rung)


def test_time_stands_still_while_a_thread_works() -> None:
    """A timeout must not fire because of a thread that is quick by any other clock."""
    release = threading.Event()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(0.0, release.set)
        async with asyncio.timeout(THREAD_POLL / 1000):
            await loop.run_in_executor(None, release.wait, 10.0)
        return loop.time()

    assert run(main()) == 0.0


def test_time_runs_as_the_wall_clock_does_while_a_socket_is_watched() -> None:
    """However often something comes in before the next timer is due."""
    near, far = socket.socketpair()
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.01):
            far.send(b".")

    async def main() -> float:
        loop = asyncio.get_running_loop()
        for _ in range(10):
            await loop.sock_recv(near, 1)
        return loop.time()

    with near, far:
        near.setblocking(False)
        thread = threading.Thread(target=tick)
        thread.start()
        try:
            assert 0.05 < run(main()) < 5.0
        finally:
            stop.set()
            thread.join()


def test_a_deadlock_is_an_error() -> None:
    """Everybody waits for nothing: say so, rather than hang."""

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock"):
        run(main())
