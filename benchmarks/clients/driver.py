"""Holds real-time conversations with one client, ours or the original's, and prints what they took, as JSON.

Runs in the environment of that client and imports nothing of the other: `driver.py ours|theirs sync|async N PORT
SECONDS`. Each session sends 250 ms of sound at a time, as a microphone does, and gets 100 ms at a time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

WHICH, MODE, SESSIONS, PORT, SECONDS = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], float(sys.argv[5])
CHUNK = bytes(8000)
EVERY = 0.25
SETTLE = 1.5
"Seconds before it counts: what a start takes is not what a conversation takes."

if WHICH == "ours":
    from antiphon import Antiphon
    from antiphon.conversational_ai import conversation as module

    client: Any = Antiphon(f"http://127.0.0.1:{PORT}")
else:
    from elevenlabs import ElevenLabs
    from elevenlabs.conversational_ai import conversation as module  # type: ignore[no-redef]

    client = ElevenLabs(base_url=f"http://127.0.0.1:{PORT}", api_key="none")

latencies: list[float] = []
begun = time.perf_counter()


def note(audio: bytes) -> None:
    """The server has written into the sound when it sent it, in nanoseconds on the machine's monotonic clock."""
    if time.perf_counter() - begun > SETTLE:
        latencies.append((time.monotonic_ns() - int.from_bytes(audio[:8], "little")) / 1e3)


class Device(module.AudioInterface):
    """Hears what it is given, and is quick about it."""

    def start(self, input_callback: Any) -> None:
        """Keep it for the loop below."""
        self.hear = input_callback

    def stop(self) -> None:
        """Nothing is open."""

    def output(self, audio: bytes) -> None:
        """Note when."""
        note(audio)

    def interrupt(self) -> None:
        """Nothing waits."""


class AsyncDevice(module.AsyncAudioInterface):
    """The same as coroutines."""

    async def start(self, input_callback: Any) -> None:
        """Keep it for the loop below."""
        self.hear = input_callback

    async def stop(self) -> None:
        """Nothing is open."""

    async def output(self, audio: bytes) -> None:
        """Note when."""
        note(audio)

    async def interrupt(self) -> None:
        """Nothing waits."""


def ignore(*_: Any) -> None:
    """A callback."""


async def ignore_async(*_: Any) -> None:
    """A callback."""


def tell(cpu: float) -> None:
    """Print what there is to tell."""
    told = {"cpu_ms": 1000 * cpu / SECONDS / SESSIONS, "threads": threading.active_count(), "latencies": latencies}
    print(json.dumps(told))


def hold() -> None:
    """The conversations of the sync class; this thread is the microphone of all of them."""
    devices = [Device() for _ in range(SESSIONS)]
    talks = [
        module.Conversation(
            client,
            "agent",
            requires_auth=False,
            audio_interface=device,
            callback_agent_response=ignore,
            callback_latency_measurement=ignore,
        )
        for device in devices
    ]
    for talk in talks:
        talk.start_session()
    time.sleep(SETTLE)
    before, due = time.process_time(), time.monotonic()
    end = due + SECONDS
    while due < end:
        for device in devices:
            device.hear(CHUNK)
            due += EVERY / SESSIONS
            time.sleep(max(0.0, due - time.monotonic()))
    tell(time.process_time() - before)
    for talk in talks:
        talk.end_session()
    for talk in talks:
        talk.wait_for_session_end()


async def hold_async() -> None:
    """Those of the async class; this task is the microphone of all of them."""
    devices = [AsyncDevice() for _ in range(SESSIONS)]
    talks = [
        module.AsyncConversation(
            client,
            "agent",
            requires_auth=False,
            audio_interface=device,
            callback_agent_response=ignore_async,
            callback_latency_measurement=ignore_async,
        )
        for device in devices
    ]
    for talk in talks:
        await talk.start_session()
    await asyncio.sleep(SETTLE)
    before, due = time.process_time(), time.monotonic()
    end = due + SECONDS
    while due < end:
        for device in devices:
            await device.hear(CHUNK)
            due += EVERY / SESSIONS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    tell(time.process_time() - before)
    for talk in talks:
        await talk.end_session()


if MODE == "sync":
    hold()
else:
    asyncio.run(hold_async())
