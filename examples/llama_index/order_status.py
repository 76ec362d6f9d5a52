"""Asks an agent about an order: `python order_status.py http://127.0.0.1:8080 AGENT_ID`."""

import sys

from llama_index.core.tools import FunctionTool

from antiphon import Antiphon
from antiphon.client.devices.memory import MemoryAudioInterface
from antiphon.integrations.llama_index import AgentResponseEvent, ElevenLabsVoiceAgent
from antiphon.protocol.events import AgentResponse


def order_status(order: str) -> dict[str, object]:
    """Where an order is."""
    return {"status": "on its way", "days": 3, "order": order}


def main(base_url: str, agent_id: str) -> None:
    """Without an interface the computer's microphone and loudspeaker are used."""
    agent = ElevenLabsVoiceAgent(
        Antiphon(base_url),
        agent_id,
        requires_auth=False,
        interface=MemoryAudioInterface(),
        tools=[FunctionTool.from_defaults(order_status)],
    )
    agent.start()
    agent.send_user_message("where is order forty")
    for event in agent:
        if isinstance(event, AgentResponse) and "arrives" in event.text:
            break
    agent.stop()
    for message in agent.export_messages():
        print(f"{message.role.value}: {message.content}")
    print(f"{len(agent.events(AgentResponseEvent))} answers, {agent.average_latency} ms on average to the server")


main(*sys.argv[1:])
