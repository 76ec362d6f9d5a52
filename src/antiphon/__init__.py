"""Open, self-hosted voice agents that speak the ElevenLabs Agents protocol, and a Python client for them.

The names of the client are here; they are loaded when first used, so that `import antiphon` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from antiphon.client import Antiphon, AsyncConversation, ClientTools, ConversationInitiationData

__all__ = ["Antiphon", "AsyncConversation", "ClientTools", "ConversationInitiationData", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from antiphon import client

    return getattr(client, name)
