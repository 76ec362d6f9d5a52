"""Conversations over a loopback WebSocket, from the client's side: prints a line of JSON.

    python -m benchmarks.peers.socket_client --speech FILE [--turns 7] [--barge-in] [--server-core 1]

The server is another process on another core; both stamp with the same clock. A barge-in is a turn that begins 0.8 s
after the first sound of a reply.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import websockets

from antiphon.protocol import events as ev
from antiphon.protocol.client import ClientProtocol

from . import work
from .work import Microphone, Stamps
from .worker import ENGINES

INTO = 0.8
"Seconds into a reply at which a barge-in begins."


class Server:
    """The server process. Its stamps are there when the context has been left."""

    def __init__(self, speech: Path, *, engines: str, options: Mapping[str, Any], core: int | None = None) -> None:
        bound = [] if core is None else ["taskset", "--cpu-list", str(core)]
        self._command = [
            *bound,
            *(sys.executable, "-m", f"{__package__}.socket_server", "--speech", str(speech)),
            *("--engines", engines, "--options", json.dumps(options)),
        ]
        self.address = ""
        self.stamps: dict[str, Any] = {}

    async def __aenter__(self) -> Server:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, limit=2**24)
        assert self._process.stdout is not None
        self.address = (await self._process.stdout.readline()).decode().strip()
        if not self.address:
            raise RuntimeError("the server did not start")
        return self

    async def __aexit__(self, *error: object) -> None:
        output, _ = await self._process.communicate(b"\n")
        self.stamps = json.loads(output or b"{}")


class Line:
    """A connected client."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._protocol = ClientProtocol()
        self.stamps = Stamps()
        self.interruptions: list[float] = []

    async def begin(self) -> None:
        """Introduce itself."""
        self._protocol.open(ev.ConversationInitiation())
        await self._flush()

    async def send(self, audio: bytes) -> None:
        """The caller's sound."""
        self._protocol.send(ev.UserAudio(audio))
        await self._flush()

    async def _flush(self) -> None:
        for text in self._protocol.messages_to_send():
            await self._socket.send(text)

    async def listen(self) -> None:
        """Take what comes until cancelled."""
        async for text in self._socket:
            for event in self._protocol.receive(text):
                if isinstance(event, ev.AgentAudio):
                    self.stamps.sounded()
                elif isinstance(event, ev.Interruption):
                    self.interruptions.append(work.now())
            await self._flush()


@asynccontextmanager
async def line(address: str) -> AsyncGenerator[Line]:
    """A client in a conversation."""
    path = address.replace("http", "ws", 1) + "/v1/convai/conversation?agent_id=agent"
    async with websockets.connect(path, compression=None, max_size=2**24) as socket, asyncio.TaskGroup() as tasks:
        client = Line(socket)
        await client.begin()
        listening = tasks.create_task(client.listen())
        try:
            yield client
        finally:
            listening.cancel()


async def _turns(client: Line, microphone: Microphone, engines: work.Engines, count: int) -> list[tuple[float, float]]:
    """Turns that each wait for the reply before; returns (onset, end of speech) of each."""
    turns: list[tuple[float, float]] = []
    for number in range(count + 1):
        end = await microphone.speak()
        audio = await client.stamps.reply(end)
        if number:
            turns.append((microphone.onsets[-1], end))
        heard = (audio or work.now()) + engines.reply + work.QUIET + number * 0.007
        await asyncio.sleep(max(0.0, heard - work.now()))
    return turns


async def _barge_ins(client: Line, microphone: Microphone, count: int) -> list[tuple[float, float]]:
    """Turns that each begin in the middle of the reply before."""
    turns: list[tuple[float, float]] = []
    end = await microphone.speak()
    for number in range(count):
        audio = await client.stamps.reply(end)
        await asyncio.sleep(max(0.0, (audio or work.now()) + INTO + number * 0.007 - work.now()))
        end = await microphone.speak()
        turns.append((microphone.onsets[-1], end))
    await client.stamps.reply(end)
    return turns


def interruption(onset: float, client: Line, decisions: list[float], held: float) -> dict[str, float] | None:
    """What one barge-in came to, in milliseconds; None: it went unnoticed.

    `decisions`: when the server had decided each interruption; `held`: the newest sound before this one.
    """
    index = bisect.bisect_right(client.interruptions, onset)
    if index == len(client.interruptions) or client.interruptions[index] > onset + work.PATIENCE:
        return None
    at = client.interruptions[index]
    decision = decisions[bisect.bisect_right(decisions, at) - 1]
    return {
        "interruption": (at - onset) * 1000,
        "held": (held - onset) * 1000,
        "decision_to_client": (at - decision) * 1000,
    }


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Hold the conversation."""
    speech = arguments.speech.read_bytes()
    engines = ENGINES[arguments.engines]
    server = Server(arguments.speech, engines=arguments.engines, options=arguments.options, core=arguments.server_core)
    async with server, line(server.address) as client:
        microphone = Microphone(speech, client.send)
        running = asyncio.get_running_loop().create_task(microphone.run())
        await asyncio.sleep(1.0)
        if arguments.barge_in:
            turns = await _barge_ins(client, microphone, arguments.turns)
        else:
            turns = await _turns(client, microphone, engines, arguments.turns)
        running.cancel()
    client.stamps.decisions = server.stamps["decisions"]
    client.stamps.thinking = server.stamps["thinking"]
    figures = [client.stamps.turn(onset, end, engines) for onset, end in turns]
    result = {"asked": len(turns), "turns": [turn for turn in figures if turn is not None]}
    if arguments.barge_in:
        barge_ins = []
        for onset, _ in turns:
            index = bisect.bisect_right(client.interruptions, onset)
            until = client.interruptions[index] if index < len(client.interruptions) else onset
            held = client.stamps.audio[bisect.bisect_right(client.stamps.audio, until) - 1]
            barge_ins.append(interruption(onset, client, server.stamps["interruptions"], held))
        result["barge_ins"] = [figures for figures in barge_ins if figures is not None]
    return result


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--engines", choices=ENGINES, default="instant")
    parser.add_argument("--options", type=json.loads, default={})
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--barge-in", action="store_true")
    parser.add_argument("--server-core", type=int)
    print(json.dumps(asyncio.run(measure(parser.parse_args()))), flush=True)


if __name__ == "__main__":
    main()
