"""What an operator watches: counters and histograms in Prometheus' format, fed by the events of conversations.

No label ever holds what somebody said or who somebody is: labels are agents' ids and closed sets of names.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics import exposition

from antiphon.protocol import events as ev

CONTENT_TYPE = exposition.CONTENT_TYPE_LATEST

LATENCIES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"Seconds: upper ends of the buckets of answers and their stages."
DURATIONS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)
"The same of whole conversations."


class Metrics:
    """The metrics of one server."""

    def __init__(self, live: Callable[[], int]) -> None:
        """`live`: how many conversations live now."""
        self._registry = CollectorRegistry(auto_describe=True)
        gauge = Gauge("antiphon_live_conversations", "Conversations that live now.", registry=self._registry)
        gauge.set_function(live)
        self._ended = Counter(
            "antiphon_conversations",
            "Conversations that are over.",
            ["agent_id", "close_code"],
            registry=self._registry,
        )
        self._duration = Histogram(
            "antiphon_conversation_seconds", "How long they were.", buckets=DURATIONS, registry=self._registry
        )
        self._refused = Counter(
            "antiphon_refused_conversations", "Clients that got no conversation.", ["reason"], registry=self._registry
        )
        self._answer = Histogram(
            "antiphon_answer_seconds",
            "From the user's last sound to the first sound of the answer.",
            ["agent_id"],
            buckets=LATENCIES,
            registry=self._registry,
        )
        self._stage = Histogram(
            "antiphon_answer_stage_seconds",
            "Where that time went.",
            ["stage"],
            buckets=LATENCIES,
            registry=self._registry,
        )
        self._interruptions = Counter(
            "antiphon_interruptions", "Replies that were interrupted.", ["agent_id"], registry=self._registry
        )
        self._tool_results = Counter("antiphon_tool_results", "Answers of tools.", ["outcome"], registry=self._registry)
        self._errors = Counter("antiphon_errors", "Errors told to clients.", ["type"], registry=self._registry)
        self._deliveries = Counter(
            "antiphon_webhook_attempts", "Webhooks posted.", ["outcome"], registry=self._registry
        )

    def observe(self, agent_id: str, event: ev.ServerEvent) -> None:
        """Something that a conversation has emitted."""
        match event:
            case ev.TurnWaterfall(stages=stages):
                self._answer.labels(agent_id).observe(sum(stages.values()))
                for stage, seconds in stages.items():
                    self._stage.labels(stage).observe(seconds)
            case ev.Interruption():
                self._interruptions.labels(agent_id).inc()
            case ev.AgentToolResponse(is_error=failed):
                self._tool_results.labels("error" if failed else "ok").inc()
            case ev.ErrorEvent(error_type=kind):
                self._errors.labels(kind or "unknown").inc()
            case _:
                pass

    def ended(self, agent_id: str, close_code: int, seconds: float) -> None:
        """A conversation is over."""
        self._ended.labels(agent_id, str(close_code)).inc()
        self._duration.observe(seconds)

    def refused(self, reason: str) -> None:
        """A client got none. `reason`: the error's name."""
        self._refused.labels(reason).inc()

    def delivered(self, outcome: str) -> None:
        """A webhook was posted. `outcome`: `ok`, `refused` or `unreachable`."""
        self._deliveries.labels(outcome).inc()

    def text(self) -> bytes:
        """All of it, in the OpenMetrics format."""
        return bytes(exposition.generate_latest(self._registry))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
