"""Whether conversations survive the death of their server: 100 times `kill -9`, on one data folder.

    python -m benchmarks.kills --server [--kills 100]

A server (`antiphon serve`, SQLite) holds conversations in text and with sound; their clients note what they got and
when. Meanwhile agents are made over REST, which is acknowledged at once, and some conversations end by themselves. At
a random moment the process is killed, and the next one starts on what it has left.

After each kill the database has to be intact. Of every conversation, what its client got more than a second before has
to be in the record, which says that it failed and why. Every agent whose making was answered has to be there, and
records of conversations that were over have to be what they were, now and at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

KEY = "sk_of_the_kills"
TEXTS, VOICES, FINISHING = 4, 2, 2
"Conversations at a time: in text, with sound, and in text that end by themselves."
PROMISE = 1.0
"Seconds after which what a client got has to be kept."
SOONEST, LATEST = 0.2, 2.0
"Seconds after which a server is killed."
PACE = 0.05
"Seconds between an answer and the next message of a client in text: a server without a rest is no server's case."
QUIET = json.dumps({"user_audio_chunk": "AAAA" * 800})
"A tenth of a second that nobody speaks in."


def agent(*, text_only: bool) -> dict[str, Any]:
    """An agent that repeats numbers."""
    return {
        "name": "Text" if text_only else "Voice",
        "conversation_config": {
            "agent": {"first_message": "Hello, which number?"},
            "conversation": {"text_only": text_only},
            "antiphon": {
                "llm": {"engine": "scripted", "rules": [{"when": "^number (\\d+)", "say": "{1}."}, {"say": "What?"}]},
                "stt": {"engine": "scripted", "lines": ["number 1"]},
                "tts": {"engine": "scripted"},
                "vad": {"engine": "energy"},
            },
        },
    }


@dataclass
class Call:
    """A conversation as its client has it."""

    identifier: str = ""
    got: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    "What the agent said, and when it came."
    over: bool = False
    "It ended before the kill."


@dataclass
class Findings:
    """What all kills have left."""

    kills: int = 0
    calls: int = 0
    events: int = 0
    "That had to be there."
    lost: int = 0
    unmarked: int = 0
    "Conversations that do not say how they ended."
    damaged: int = 0
    "Databases."
    finished: int = 0
    changed: int = 0
    "Finished ones that are not what they were."
    made: int = 0
    gone: int = 0
    "Agents."
    widest: float = 0.0
    "Seconds before the kill at which the oldest thing came that is lost: of all, those that need not be kept included."

    @property
    def flawless(self) -> bool:
        """Whether nothing was lost that had to be kept."""
        return not (self.lost or self.unmarked or self.damaged or self.changed or self.gone)


@asynccontextmanager
async def serving(folder: Path) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """A server of its own, and its address; killed at the end if not before."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    environment |= {"ANTIPHON_API_KEY": KEY, "ANTIPHON_LOG_LEVEL": "error", "ANTIPHON_PING_INTERVAL": "0.1"}
    folders = ("--agents", str(folder / "agents"), "--data", str(folder / "data"))
    command = (sys.executable, "-m", "antiphon", "serve", "--port", "0", *folders)
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        if not line:
            raise RuntimeError(f"the server did not start: {await process.wait()}")
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def converse(address: str, agent_id: str, call: Call, last: int | None = None) -> None:
    """Ask for one number after the other until killed, or `last` of them; with sound: send silence."""
    url = f"{address.replace('http', 'ws', 1)}/v1/convai/conversation?agent_id={agent_id}"
    with suppress(ConnectionClosed, OSError):
        async with connect(url, proxy=None) as socket:
            await socket.send('{"type": "conversation_initiation_client_data"}')
            call.identifier = (await hear(socket, call, "conversation_initiation_metadata"))["conversation_id"]
            number = 0
            while last is None or number < last:
                await hear(socket, call, "agent_response")
                if agent_id == "voice":
                    while True:
                        await socket.send(QUIET)
                        await hear(socket, call, "ping")
                await asyncio.sleep(PACE)
                number += 1
                await socket.send(json.dumps({"type": "user_message", "text": f"number {number}"}))
            await hear(socket, call, "agent_response")
            call.over = True


async def hear(socket: ClientConnection, call: Call, kind: str) -> dict[str, Any]:
    """The body of the next message of this type; what the agent says is noted."""
    while True:
        message = json.loads(await socket.recv())
        if message["type"] == "agent_response":
            call.got.append((time.monotonic(), message["agent_response_event"]["agent_response"]))
        if message["type"] == kind:
            return message.get(f"{kind}_event", {})


async def make_agents(http: httpx.AsyncClient, made: list[str]) -> None:
    """Make agents until killed; those whose making was answered are noted."""
    with suppress(httpx.HTTPError):
        while True:
            answer = await http.post("/v1/convai/agents/create", json=agent(text_only=True))
            made.append(answer.json()["agent_id"])
            await asyncio.sleep(0.02)


async def record(http: httpx.AsyncClient, identifier: str) -> dict[str, Any] | None:
    """What is kept of a conversation; None: nothing."""
    answer = await http.get(f"/v1/convai/conversations/{identifier}")
    return answer.json() if answer.status_code == 200 else None


def intact(data: Path) -> bool:
    """Whether the database is, as the kill has left it; a copy is looked at, so that nothing is mended."""
    with tempfile.TemporaryDirectory() as folder:
        for file in data.glob("antiphon.db*"):
            shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder, "antiphon.db"))) as database:
            return (
                database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                and not database.execute("PRAGMA foreign_key_check").fetchall()
            )


class Trial:
    """All kills on one folder."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.findings = Findings()
        self._folder = folder
        self._chance = chance
        self._killed: list[Call] = []
        self._killed_at = 0.0
        self._finished: dict[str, dict[str, Any]] = {}
        "Records of conversations that were over, as they were first read."
        self._made: list[str] = []
        (folder / "agents").mkdir()
        for name in ("text", "voice"):
            (folder / "agents" / f"{name}.json").write_text(json.dumps(agent(text_only=name == "text")))

    async def kill(self) -> None:
        """Start, look at what the last kill has left, hold conversations, kill."""
        async with serving(self._folder) as (process, address), self._http(address) as http:
            await self._look(http)
            calls = [Call() for _ in range(TEXTS + VOICES + FINISHING)]
            self._made = []
            async with asyncio.TaskGroup() as tasks:
                for number, call in enumerate(calls):
                    agent_id = "voice" if number < VOICES else "text"
                    last = self._chance.randint(1, 3) if number >= TEXTS + VOICES else None
                    tasks.create_task(converse(address, agent_id, call, last))
                tasks.create_task(make_agents(http, self._made))
                await asyncio.sleep(self._chance.uniform(SOONEST, LATEST))
                if process.returncode is not None:
                    raise RuntimeError(f"the server ended by itself: {process.returncode}")
                await self._read_finished(http, calls)
                process.send_signal(signal.SIGKILL)
                self._killed_at = time.monotonic()
                await process.wait()
        self._killed = [call for call in calls if call.identifier and call.identifier not in self._finished]
        self.findings.kills += 1
        self.findings.calls += len([call for call in calls if call.identifier])
        self.findings.damaged += not intact(self._folder / "data")

    async def look_once_more(self) -> None:
        """After the last kill: what it has left, and everything that was finished before."""
        async with serving(self._folder) as (_, address), self._http(address) as http:
            await self._look(http)
            for identifier, before in self._finished.items():
                self.findings.changed += await record(http, identifier) != before
            self.findings.finished = len(self._finished)

    def _http(self, address: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=address, trust_env=False, headers={"xi-api-key": KEY}, timeout=30)

    async def _read_finished(self, http: httpx.AsyncClient, calls: list[Call]) -> None:
        """Note the records of those that are over and written."""
        for call in calls:
            if call.over and (kept := await record(http, call.identifier)) and kept["status"] == "done":
                self._finished[call.identifier] = kept

    async def _look(self, http: httpx.AsyncClient) -> None:
        findings = self.findings
        for call in self._killed:
            kept = await record(http, call.identifier)
            said = [] if kept is None else [turn["message"] for turn in kept["transcript"] if turn["role"] == "agent"]
            for place, (at, text) in enumerate(call.got):
                age = self._killed_at - at
                there = said[place : place + 1] == [text]
                findings.events += age > PROMISE
                findings.lost += age > PROMISE and not there
                if not there:
                    findings.widest = max(findings.widest, age)
            if kept is not None:
                reason = kept["metadata"]["termination_reason"]
                marked = kept["status"] == "failed" and reason and kept["metadata"]["error"]
                findings.unmarked += not (marked or (call.over and kept["status"] == "done"))
        for agent_id in self._made:
            findings.gone += (await http.get(f"/v1/convai/agents/{agent_id}")).status_code != 200
        findings.made += len(self._made)
        self._killed, self._made = [], []


async def _try(kills: int, seed: int) -> Findings:
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), random.Random(seed))
        for _ in range(kills):
            await trial.kill()
        await trial.look_once_more()
        return trial.findings


def measure(kills: int, seed: int) -> int:
    """Kill so many servers, say what is left. Returns the exit code."""
    began = time.monotonic()
    found = asyncio.run(_try(kills, seed))
    print(f"kills {found.kills}, conversations {found.calls}, in {time.monotonic() - began:.0f} s")
    print(f"events received more than {PROMISE:g} s before the kill: {found.events}, lost: {found.lost}")
    print(f"oldest event lost of all: received {found.widest:.2f} s before the kill")
    print(f"conversations that do not say how they ended: {found.unmarked}")
    print(f"finished conversations: {found.finished}, changed: {found.changed}")
    print(f"agents made and answered: {found.made}, gone: {found.gone}")
    print(f"damaged databases: {found.damaged}")
    return 0 if found.flawless else 1
