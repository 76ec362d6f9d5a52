"""A scripted server for the clients: sound every 100 ms with the time of its sending in it, and a ping now and then."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress

import pybase64
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

METADATA = {
    "type": "conversation_initiation_metadata",
    "conversation_initiation_metadata_event": {
        "conversation_id": "conv_of_the_benchmark",
        "agent_output_audio_format": "pcm_16000",
        "user_input_audio_format": "pcm_16000",
    },
}
REST = bytes(3200 - 8)


async def speak(socket: ServerConnection) -> None:
    """Without end, in real time."""
    await socket.recv()
    await socket.send(json.dumps(METADATA))
    due, event_id = time.monotonic(), 0
    while True:
        event_id += 1
        if event_id % 20 == 1:
            response = {"agent_response": "Words.", "event_id": event_id}
            await socket.send(json.dumps({"type": "agent_response", "agent_response_event": response}))
            await socket.send(json.dumps({"type": "ping", "ping_event": {"event_id": event_id, "ping_ms": 20}}))
        audio = pybase64.b64encode(time.monotonic_ns().to_bytes(8, "little") + REST).decode()
        await socket.send(f'{{"type": "audio", "audio_event": {{"audio_base_64": "{audio}", "event_id": {event_id}}}}}')
        due += 0.1
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def answer(socket: ServerConnection) -> None:
    """One session."""
    try:
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(speak(socket))
            await asyncio.sleep(0.2)
            with suppress(ConnectionClosed):
                async for _ in socket:
                    pass
            speaking.cancel()
    except* ConnectionClosed:
        pass  # while it spoke


async def main() -> None:
    """Print the port; until killed."""
    async with serve(answer, "127.0.0.1", 0, compression=None, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
