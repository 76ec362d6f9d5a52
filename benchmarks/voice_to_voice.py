"""From the user's last sound to the agent's first, over a loopback WebSocket, with engines that need no time.

What is left is the floor, which can be calculated. With the client's chunks C and a stop silence S, both in ms:

    C / 2                       the last sound waits for its chunk to be full
    + 32 * ceil(S / 32) + 16    silence is counted in frames of 32 ms, and ends somewhere within one
    + overhead                  what the server and the socket add: the goal is 30 ms at most

The caller speaks at random places within a chunk. Three callers at a time talk to one server, the real one in a process
of its own, with Silero as voice activity detection; `turn.mode` is "silence", so that S alone ends a turn.

    python -m benchmarks.voice_to_voice [--trials 6]
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import struct
import sys
import tempfile
from pathlib import Path
from statistics import fmean

from antiphon.audio.levels import last_sound
from antiphon.session.assembly import ENDPOINT_DELAYS

from .peers import speech, work
from .peers.figures import percentile
from .peers.socket_client import Line, Server, line

CALLERS = 3
GOAL = 0.030
ROWS = ((0.02, "eager"), (0.02, "normal"), (0.1, "normal"), (0.25, "normal"))
"Seconds of a chunk, and `turn_eagerness`."


def floor(chunk: float, silence: float) -> float:
    """Seconds from last sound to first that nothing can save."""
    return chunk / 2 + 0.032 * math.ceil(round(silence / 0.032, 6)) + 0.016


class Stream:
    """A microphone whose every sample has its time; speech begins at any of them."""

    def __init__(self, client: Line, sound: bytes, chunk: float, seed: int) -> None:
        self._client = client
        self._sound = sound
        self._size = 2 * round(chunk * work.RATE)
        self._random = random.Random(seed)
        noise = [self._random.randint(-work.NOISE, work.NOISE) for _ in range(work.RATE)]
        self._noise = struct.pack(f"<{work.RATE}h", *noise)
        self._made = bytearray()
        "Sound that has not been sent yet."
        self._sent = 0
        "Bytes of sound until the end of the chunk that fills now."
        self._began = 0.0

    async def run(self) -> None:
        """Send chunk after chunk until cancelled."""
        size = self._size
        self._began = work.now()
        while True:
            self._sent += size
            await asyncio.sleep(max(0.0, self._began + self._sent / 2 / work.RATE - work.now()))
            while len(self._made) < size:
                self._made += self._noise
            await self._client.send(bytes(self._made[:size]))
            del self._made[:size]

    def speak(self) -> float:
        """Speak from somewhere within the chunk that fills now; returns when the last sound will have been made."""
        place = 2 * self._random.randrange(self._size // 2)
        quiet = (self._noise * (place // len(self._noise) + 1))[:place]
        self._made = bytearray(quiet + self._sound)
        loud = last_sound(self._sound, work.RATE) or 0.0
        return self._began + (self._sent - self._size + place) / 2 / work.RATE + loud


async def _caller(address: str, sound: bytes, chunk: float, trials: int, seed: int) -> list[float]:
    delays: list[float] = []
    async with line(address) as client, asyncio.TaskGroup() as tasks:
        stream = Stream(client, sound, chunk, seed)
        running = tasks.create_task(stream.run())
        await asyncio.sleep(1.0 + 0.4 * seed)
        for number in range(trials + 1):
            end = stream.speak()
            await asyncio.sleep(max(0.0, end - work.now()))
            audio = await client.stamps.reply(end)
            if audio is None:
                print("no reply came", file=sys.stderr)
            elif number:  # the first warms up
                delays.append(audio - end)
            await asyncio.sleep(work.INSTANT.reply + work.QUIET)
        running.cancel()
    return delays


async def _row(path: Path, sound: bytes, chunk: float, eagerness: str, trials: int) -> list[float]:
    async with Server(path, engines="instant", options={"eagerness": eagerness, "mode": "silence"}) as server:
        calls = [_caller(server.address, sound, chunk, trials, seed) for seed in range(CALLERS)]
        return [delay for delays in await asyncio.gather(*calls) for delay in delays]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=6, help="of each of the three callers of a row")
    trials: int = parser.parse_args().trials
    met = True
    print("voice to voice, ms (the standard error of a mean is what the place within chunk and frame leaves)")
    print(f"{'chunk':>6}{'silence':>9}{'n':>5}{'floor':>8}{'mean':>8}{'p95':>8}{'above':>8}{'+-':>6}   goal")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech")
        speech.write(path)
        for chunk, eagerness in ROWS:
            silence = ENDPOINT_DELAYS[eagerness][0]
            delays = asyncio.run(_row(path, path.read_bytes(), chunk, eagerness, trials))
            if not delays:
                met = False
                print(f"{chunk * 1000:>6.0f}{silence * 1000:>9.0f}   no figures")
                continue
            least, mean = floor(chunk, silence), fmean(delays)
            spread = math.sqrt((chunk**2 + 0.032**2) / 12 / len(delays))
            fine = mean - least <= GOAL
            met &= fine
            print(
                f"{chunk * 1000:>6.0f}{silence * 1000:>9.0f}{len(delays):>5}{least * 1000:>8.0f}{mean * 1000:>8.0f}"
                f"{percentile(delays, 0.95) * 1000:>8.0f}{(mean - least) * 1000:>8.1f}{spread * 1000:>6.1f}"
                f"   {'met' if fine else 'MISSED'}"
            )
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
