"""What all doors of one server share. There is no global state: two servers in one process share nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from antiphon.agents.folder import FolderWorkspace
from antiphon.engines.registry import Registry
from antiphon.session.engines import Engines
from antiphon.session.tools.hosts import HostPolicy

from .auth import Authority
from .conversations import ConversationFolder
from .sessions import Sessions
from .settings import Settings
from .webhooks import Deliveries


@dataclass(frozen=True, slots=True)
class Services:
    """Loaded and ready, from start to stop."""

    settings: Settings
    workspace: FolderWorkspace
    registry: Registry
    engines: Mapping[str, Engines]
    "Those of every agent as its file has it, by agent id."
    authority: Authority
    sessions: Sessions
    conversations: ConversationFolder
    deliveries: Deliveries
    "Post-call webhooks under way."
    tool_hosts: HostPolicy
    "Where the tools of the workspace's agents may be."
    epoch: Callable[[], float]
    "Seconds since 1970."
    clock: Callable[[], float]
    "Seconds on the event loop's time base; of conversations, whose latencies are told in milliseconds."
    random_bits: Callable[[int], int]
    "An integer of so many random bits, as `secrets.randbits`."
