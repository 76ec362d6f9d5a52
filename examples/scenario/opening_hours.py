"""Asks an agent when it is open: `python opening_hours.py http://127.0.0.1:8080 AGENT_ID API_KEY`."""

import asyncio
import math
import struct
import sys

from antiphon.integrations.scenario import AudioChunk, ElevenLabsAgentAdapter, take_turn


def question() -> AudioChunk:
    """What the user says; a recording of yours has its place here: PCM16, mono, 24 kHz."""
    tone = (round(9000 * math.sin(math.tau * 300 * at / 24_000)) for at in range(19_200))
    return AudioChunk(data=b"".join(struct.pack("<h", sample) for sample in tone))


async def main(base_url: str, agent_id: str, api_key: str) -> None:
    async with ElevenLabsAgentAdapter(agent_id, api_key, base_url=base_url) as adapter:
        greeting = await take_turn(adapter)
        print("agent:", greeting.transcript)
        answer = await take_turn(adapter, question())
        print("user: ", adapter.last_user_transcript)
        print("agent:", answer.transcript)
        assert "nine to five" in (answer.transcript or "")


asyncio.run(main(*sys.argv[1:]))
