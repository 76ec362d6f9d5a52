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
CONNECTIONS = 40
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


class Line:
    """One kept-alive connection that asks and waits; as little work as can be, for the callers share its core."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes) -> int:
        """The status of the answer, which is read to its end."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)
        return int(head.split(b" ", 2)[1])


def requests(agent_id: str, rated: list[str]) -> tuple[bytes, list[bytes]]:
    """The read, and the writes, as they go over the line."""
    head = f"Host: localhost\r\nxi-api-key: {KEY}\r\n"
    read = f"GET /v1/convai/agents/{agent_id} HTTP/1.1\r\n{head}\r\n"
    body = json.dumps({"feedback": "like"})
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writes = [f"POST /v1/convai/conversations/{each}/feedback HTTP/1.1\r\n{head}\r\n{body}" for each in rated]
    return read.encode(), [each.encode() for each in writes]


async def beat(port: int, agent_id: str, rated: list[str], seconds: float) -> None:
    """Reads and writes at their rates, whether or not the answers come; prints what came of it."""
    lines: asyncio.Queue[Line] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        lines.put_nowait(Line(*await asyncio.open_connection("127.0.0.1", port)))
    failed = 0
    waits: list[float] = []
    begun = time.perf_counter()

    async def one(request: bytes) -> None:
        nonlocal failed
        asked = time.perf_counter()
        line = await lines.get()
        failed += await line.ask(request) != 200
        lines.put_nowait(line)
        waits.append(1000 * (time.perf_counter() - asked))

    async def keep(rate: float, wanted: list[bytes]) -> None:
        which = itertools.cycle(wanted)
        count = 0
        while (now := time.perf_counter()) < begun + seconds:
            while count < (now - begun) * rate:
                tasks.create_task(one(next(which)))
                count += 1
            await asyncio.sleep(0.005)

    read, writes = requests(agent_id, rated)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep(READS, [read]))
        tasks.create_task(keep(WRITES, writes))
    rate = len(waits) / (time.perf_counter() - begun)
    print(json.dumps({"failed": failed, "rate": rate, "p50": percentile(waits, 0.5), "p99": percentile(waits, 0.99)}))


async def measure(
    address: str, agent_id: str, sessions: int, seconds: float, rated: list[str]
) -> tuple[list[float], dict[str, float]]:
    """Milliseconds late of every piece; what came of the requests."""
    late: list[float] = []
    asked: dict[str, float] = {}
    until = time.perf_counter() + seconds + 3

    async def load() -> None:
        command = [sys.executable, "-m", "benchmarks.load", "--seconds", str(seconds)]
        process = await asyncio.create_subprocess_exec(
            *command, "--beat", address.rsplit(":", 1)[1], agent_id, *rated, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        asked.update(json.loads(out))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(sessions):
            tasks.create_task(caller(address, agent_id, late, until))
            await asyncio.sleep(0.02)
        if rated:
            tasks.create_task(load())
    return [1000 * each for each in late], asked


def cpu_seconds(pid: int) -> float:
    """What a process has used of its core so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run(address: str, server: int, sessions: int, seconds: float) -> bool:
    """Measure without load and with it; `server` is its process."""
    async with httpx.AsyncClient(base_url=address, headers={"xi-api-key": KEY}, trust_env=False, timeout=30) as http:
        answer = await http.post("/v1/convai/agents/create", json=agent())
        agent_id = answer.json()["agent_id"]
        await measure(address, agent_id, 2, 0, [])  # what is loaded once is not the pacing of the rest
        used = [cpu_seconds(server)]
        alone, _ = await measure(address, agent_id, sessions, seconds, [])
        used.append(cpu_seconds(server))
        await asyncio.sleep(3)
        page = (await http.get("/v1/convai/conversations", params={"page_size": 50})).json()["conversations"]
        rated = [each["conversation_id"] for each in page if each["status"] == "done"]
    used.append(cpu_seconds(server))
    loaded, asked = await measure(address, agent_id, sessions, seconds, rated)
    used.append(cpu_seconds(server))
    for name, cpu in (("alone", used[1] - used[0]), ("with load", used[3] - used[2])):
        print(f"{name:>10}: {cpu / (seconds + 3):.2f} of the server's core")
    for name, late in (("alone", alone), ("with load", loaded)):
        p50, p99 = percentile(late, 0.5), percentile(late, 0.99)
        print(f"{name:>10}: {len(late)} pieces, late p50 {p50:.1f} ms, p99 {p99:.1f} ms, at most {max(late):.1f} ms")
    before, after = percentile(alone, 0.99), percentile(loaded, 0.99)
    print(f"pacing p99 under load {after:.1f} ms (at most {MOST_LATE:g}: {verdict(after, MOST_LATE)})")
    worse = after / before
    print(f"against no load {worse:.2f} (at most {MOST_WORSE:g}: {verdict(worse, MOST_WORSE)})")
    print(f"{asked['rate']:.0f} requests a second, answered in p50 {asked['p50']:.1f} ms, p99 {asked['p99']:.1f} ms")
    print(f"requests that failed {asked['failed']:g} (at most 0: {verdict(asked['failed'], 0)})")
    return after <= MOST_LATE and worse <= MOST_WORSE and not asked["failed"]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--beat", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.beat:
        port, agent_id, *rated = arguments.beat
        asyncio.run(beat(int(port), agent_id, rated, arguments.seconds))
        return
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
            met = asyncio.run(run(address, server.pid, arguments.sessions, arguments.seconds))
        finally:
            server.terminate()
            server.wait()
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
