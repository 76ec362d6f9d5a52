"""A typed conversation in threads: `python typed.py http://127.0.0.1:8080 desk`."""

import sys

from antiphon import Antiphon
from antiphon.conversational_ai.conversation import Conversation, ConversationInitiationData
from antiphon.protocol.events import AgentResponse

address, agent = sys.argv[1:]
with Conversation(
    Antiphon(address),
    agent,
    requires_auth=False,
    config=ConversationInitiationData(dynamic_variables={"name": "Ada"}, user_id="ada"),
    callback_disconnect=lambda details: print(f"ended by the {details.reason}"),
) as conversation:
    for event in conversation:
        if isinstance(event, AgentResponse):
            print("agent:", event.text)
            if "Breakfast" in event.text:
                break
            conversation.send_user_message("When is breakfast?")
