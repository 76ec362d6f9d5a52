"""What all doors of one server share. There is no global state: two servers in one process share nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from antiphon.engines.registry import Registry
from antiphon.session.tools.hosts import HostPolicy
from antiphon.store.store import Store

from .auth import Authority
from .engine_pool import EnginePool
from .evaluations import Evaluations
from .limits import Limits
from .metrics import Metrics
from .places import Places
from .records import Records
from .sessions import Sessions
from .settings import Settings
from .speech_engines import SpeechEngines
from .tracing import Tracing
from .webhooks import Deliveries
from .workspace import StoredWorkspace


@dataclass(slots=True)
class ShownAgent:
    """What GET answers of an agent."""

    updated_at: float
    "Of the document that it was made from."
    body: bytes
    looked_at: float = 0.0
    "When the store was last asked whether that is still so, on the services' `clock`."


@dataclass(frozen=True, slots=True)
class Services:
    """Loaded and ready, from start to stop."""

    settings: Settings
    store: Store
    workspace: StoredWorkspace
    registry: Registry
    engines: EnginePool
    "Those of the agents that are in use."
    speech: SpeechEngines
    "Those of requests that belong to no agent."
    authority: Authority
    limits: Limits
    "How often anybody may ask."
    places: Places
    "How many conversations there may be."
    sessions: Sessions
    records: Records
    "What is kept of conversations."
    metrics: Metrics
    tracing: Tracing | None
    deliveries: Deliveries
    "Post-call webhooks under way."
    tool_hosts: HostPolicy
    "Where the tools of the workspace's agents may be."
    webhook_hosts: HostPolicy
    "Where webhooks may go."
    evaluations: Evaluations
    "Simulations and tests of agents."
    epoch: Callable[[], float]
    "Seconds since 1970."
    clock: Callable[[], float]
    "Seconds on the event loop's time base; of conversations, whose latencies are told in milliseconds."
    random_bits: Callable[[int], int]
    "An integer of so many random bits, as `secrets.randbits`."
    shown_agents: dict[str, ShownAgent] = field(default_factory=dict[str, "ShownAgent"])
    "What GET answered of agents lately, by id."

    def new_id(self, prefix: str) -> str:
        """A new id, as `agent_0123...`: the prefix and 28 characters that nobody can guess."""
        alphabet, bits = "0123456789abcdefghjkmnpqrstvwxyz", self.random_bits(140)
        return f"{prefix}_" + "".join(alphabet[bits >> 5 * place & 31] for place in range(28))
