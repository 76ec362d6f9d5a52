"""What an application says about itself and its wishes before the first word is spoken."""

from __future__ import annotations

import copy
from typing import Any

import antiphon
from antiphon.protocol.events import ConversationInitiation

SOURCE = "python_sdk"
"Our kind of client, by the name that servers know (protocol.md 2.1)."


class ConversationInitiationData:
    """Overrides of the agent's configuration, variables for its texts, and who is calling.

    `conversation_config_override` has the shape of the agent's `conversation_config`; each leaf needs the agent's
    permission. `extra_body` goes to a custom language model with every request.
    """

    def __init__(
        self,
        extra_body: dict[str, Any] | None = None,
        conversation_config_override: dict[str, Any] | None = None,
        dynamic_variables: dict[str, Any] | None = None,
        user_id: str | None = None,
    ) -> None:
        self.extra_body = extra_body or {}
        self.conversation_config_override = conversation_config_override or {}
        self.dynamic_variables = dynamic_variables or {}
        self.user_id = user_id


def initiation(config: ConversationInitiationData, *, user_id: str | None, text_only: bool) -> ConversationInitiation:
    """The client's first message. `user_id` wins over the one in `config`, which is not changed.

    `text_only` stands where the contract has it (`conversation.text_only`) and at the root of the override, where the
    original puts it (protocol.md 2.2); what the application wrote itself stays.
    """
    override = copy.deepcopy(config.conversation_config_override)
    if text_only:
        override.setdefault("text_only", True)
        override.setdefault("conversation", {}).setdefault("text_only", override["text_only"])
    return ConversationInitiation(
        custom_llm_extra_body=copy.deepcopy(config.extra_body),
        config_override=override,
        dynamic_variables=copy.deepcopy(config.dynamic_variables),
        source_info={"source": SOURCE, "version": antiphon.__version__},
        user_id=user_id or config.user_id or None,
    )
