"""Tools of the client's own, which the agent calls: `python tools.py http://127.0.0.1:8080 desk`."""

import asyncio
import sys

from antiphon import Antiphon, AsyncConversation, ClientTools
from antiphon.protocol.events import AgentResponse

tools = ClientTools()


@tools.tool
async def order_status(order: str) -> str:
    """Looks up an order.

    Args:
        order: the number on the receipt
    """
    print(f"looking up order {order}")
    return "on its way"


async def main(address: str, agent: str) -> None:
    async with AsyncConversation(Antiphon(address), agent, requires_auth=False, client_tools=tools) as conversation:
        await conversation.send_user_message("Where is order seven?")
        async for event in conversation:
            if isinstance(event, AgentResponse):
                print("agent:", event.text)
                if "on its way" in event.text:
                    break


asyncio.run(main(*sys.argv[1:]))
