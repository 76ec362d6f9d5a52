"""A spoken conversation of some seconds, with files for a microphone and a loudspeaker:
`python spoken.py http://127.0.0.1:8080 desk question.wav heard.wav`."""

import asyncio
import sys
from contextlib import suppress

from antiphon import Antiphon, AsyncConversation, FileAudioInterface


async def main(address: str, agent: str, question: str, heard: str, seconds: str = "10") -> None:
    async with AsyncConversation(
        Antiphon(address),
        agent,
        requires_auth=False,
        audio_interface=FileAudioInterface(question, heard),
        callback_user_transcript=lambda text: print("user:", text),
        callback_agent_response=lambda text: print("agent:", text),
        callback_agent_response_correction=lambda original, corrected: print("heard of it:", corrected),
    ) as conversation:
        print("conversation:", await conversation.connected(timeout=10))
        with suppress(TimeoutError):  # the agent may hang up before
            await conversation.wait_for_session_end(timeout=float(seconds))


asyncio.run(main(*sys.argv[1:]))
