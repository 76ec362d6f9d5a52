"""REST beside live conversations: what 200 agent reads and 50 conversation writes a second do to the pacing of sound.

One server process on one core; on the other, 50 callers whose agent speaks without end, and then the same with the load
besides. Pacing: how much later than due, by the sound that came before, each piece of sound arrives at the caller.

    python -m benchmarks.load [--sessions 50] [--seconds 20]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect

from .peers.figures import percentile, verdict

KEY = "sk_of_the_benchmark"
READS, WRITES = 200.0, 50.0
"A second."
MOST_LATE, MOST_WORSE = 15.0, 1.5
"Milliseconds at the 99th percentile, and against the same without load."
LEAD = 0.4
"Seconds that the server sends ahead (dialogue/speech.py)."


def agent() -> dict[str, Any]:
    """Speaks for minutes when spoken to."""
    config = {
        "agent": {"first_message": "word " * 1500},
        "antiphon": {
            "llm": {"engine": "scripted", "rules": [{"say": "Yes."}]},
            "stt": {"engine": "scripted"},
            "tts": {"engine": "scripted", "seconds_per_char": 0.05},
            "vad": {"engine": "energy"},
        },
    }
    return {"name": "Talker", "conversation_config": config}


async def caller(address: str, agent_id: str, late: list[float], until: float) -> None:
    """Hears, and notes how late each piece is."""
    url = f"{address.replace('http', 'ws', 1)}/v1/convai/conversation?agent_id={agent_id}"
    async with connect(url, proxy=None, max_size=None) as socket:
        await socket.send('{"type": "conversation_initiation_client_data"}')
        due = 0.0
        pieces = 0
        while time.perf_counter() < until:
            message = json.loads(await socket.recv())
            now = time.perf_counter()
            if message["type"] == "ping":
                pong = {"type": "pong", "event_id": message["ping_event"]["event_id"]}
                await socket.send(json.dumps(pong))
            if message["type"] != "audio":
                continue
            pieces += 1
            seconds = len(message["audio_event"]["audio_base_64"]) * 3 / 4 / 32_000
            if pieces > 5:  # the first are sent at once
                late.append(max(0.0, now - due))
            due = (now if pieces == 5 else due) + seconds


async def beat(rate: float, until: float, ask: Any, failed: list[int]) -> None:
    """Ask at a rate, whether or not the answers come."""
    begun = time.perf_counter()
    count = 0
    async with asyncio.TaskGroup() as tasks:

        async def one() -> None:
            answer = await ask()
            if answer.status_code != 200:
                failed.append(answer.status_code)

        while (now := time.perf_counter()) < until:
            while count < (now - begun) * rate:
                tasks.create_task(one())
                count += 1
            await asyncio.sleep(0.005)


async def measure(
    address: str, agent_id: str, sessions: int, seconds: float, rated: list[str]
) -> tuple[list[float], int]:
    """Milliseconds late of every piece; requests that failed."""
    late: list[float] = []
    failed: list[int] = []
    until = time.perf_counter() + seconds + 3
    limits = httpx.Limits(max_connections=40, max_keepalive_connections=40)
    async with (
        httpx.AsyncClient(
            base_url=address, headers={"xi-api-key": KEY}, limits=limits, trust_env=False, timeout=30
        ) as http,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(sessions):
            tasks.create_task(caller(address, agent_id, late, until))
            await asyncio.sleep(0.02)
        if rated:
            which = itertools.cycle(rated)

            async def read() -> httpx.Response:
                return await http.get(f"/v1/convai/agents/{agent_id}")

            async def write() -> httpx.Response:
                return await http.post(f"/v1/convai/conversations/{next(which)}/feedback", json={"feedback": "like"})

            tasks.create_task(beat(READS, until, read, failed))
            tasks.create_task(beat(WRITES, until, write, failed))
    return [1000 * each for each in late], len(failed)


async def run(address: str, sessions: int, seconds: float) -> bool:
    """Measure without load and with it."""
    async with httpx.AsyncClient(base_url=address, headers={"xi-api-key": KEY}, trust_env=False, timeout=30) as http:
        answer = await http.post("/v1/convai/agents/create", json=agent())
        agent_id = answer.json()["agent_id"]
        alone, _ = await measure(address, agent_id, sessions, seconds, [])
        await asyncio.sleep(3)
        page = (await http.get("/v1/convai/conversations", params={"page_size": 50})).json()["conversations"]
        rated = [each["conversation_id"] for each in page if each["status"] == "done"]
    loaded, failed = await measure(address, agent_id, sessions, seconds, rated)
    for name, late in (("alone", alone), ("with load", loaded)):
        p50, p99 = percentile(late, 0.5), percentile(late, 0.99)
        print(f"{name:>10}: {len(late)} pieces, late p50 {p50:.1f} ms, p99 {p99:.1f} ms, at most {max(late):.1f} ms")
    before, after = percentile(alone, 0.99), percentile(loaded, 0.99)
    print(f"pacing p99 under load {after:.1f} ms (at most {MOST_LATE:g}: {verdict(after, MOST_LATE)})")
    worse = after / before
    print(f"against no load {worse:.2f} (at most {MOST_WORSE:g}: {verdict(worse, MOST_WORSE)})")
    print(f"requests that failed {failed} (at most 0: {verdict(failed, 0)})")
    return after <= MOST_LATE and worse <= MOST_WORSE and not failed


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        agents = Path(folder, "agents")
        agents.mkdir()
        command = [sys.executable, "-m", "antiphon", "serve", "--port", "0", "--agents", str(agents)]
        server = subprocess.Popen(
            [*command, "--data", str(Path(folder, "data"))],
            env={**os.environ, "ANTIPHON_API_KEY": KEY, "ANTIPHON_RATE_LIMIT_PER_MINUTE": "0"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            os.sched_setaffinity(server.pid, {cores[0]})
            os.sched_setaffinity(0, {cores[-1]})
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            met = asyncio.run(run(address, arguments.sessions, arguments.seconds))
        finally:
            server.terminate()
            server.wait()
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
