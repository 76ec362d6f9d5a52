"""Traces of conversations, for OpenTelemetry: a span for a conversation, for each answer, for each of its stages.

Spans hold times and ids, and nothing of what was said. They are made out of what a conversation emits, after the fact,
so that tracing costs the conversation nothing but the making of a few objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from antiphon.errors import ConfigError
from antiphon.protocol import events as ev

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

NANOSECONDS = 1_000_000_000


class ConversationTrace(Protocol):
    """The trace of one conversation."""

    def observe(self, event: ev.ServerEvent) -> None:
        """Something that it has emitted."""
        ...

    def end(self, now: float, close_code: int) -> None:
        """It is over, at `now` seconds since 1970."""
        ...


class Tracing:
    """Sends spans to a collector. Made by `open_tracing`."""

    def __init__(self, tracer: Tracer, shutdown: Callable[[], None]) -> None:
        self._tracer = tracer
        self._shutdown = shutdown

    def begin(self, conversation_id: str, agent_id: str, started_at: float) -> ConversationTrace:
        """A conversation begins at `started_at` seconds since 1970."""
        attributes = {"antiphon.conversation_id": conversation_id, "antiphon.agent_id": agent_id}
        span = self._tracer.start_span("conversation", start_time=_ns(started_at), attributes=attributes)
        return _Trace(self._tracer, span, started_at)

    def close(self) -> None:
        """Send what is left. Blocks for a moment."""
        self._shutdown()


class _Trace:
    def __init__(self, tracer: Tracer, span: Span, started_at: float) -> None:
        from opentelemetry.trace import set_span_in_context

        self._tracer = tracer
        self._span = span
        self._context = set_span_in_context(span)
        self._started_at = started_at

    def observe(self, event: ev.ServerEvent) -> None:
        """See ConversationTrace."""
        if isinstance(event, ev.TurnWaterfall):
            self._answer(event)
        elif isinstance(event, ev.Interruption):
            self._span.add_event("interruption", {"antiphon.event_id": event.event_id})
        elif isinstance(event, ev.ErrorEvent):
            self._span.add_event("error", {"antiphon.error_type": event.error_type or "unknown"})

    def _answer(self, event: ev.TurnWaterfall) -> None:
        from opentelemetry.trace import set_span_in_context

        at = self._started_at + event.user_speech_ended_at
        answer = self._tracer.start_span(
            "answer", self._context, start_time=_ns(at), attributes={"antiphon.event_id": event.event_id}
        )
        inside = set_span_in_context(answer)
        for stage, seconds in event.stages.items():
            span = self._tracer.start_span(stage, inside, start_time=_ns(at))
            at += seconds
            span.end(_ns(at))
        answer.end(_ns(at))

    def end(self, now: float, close_code: int) -> None:
        """See ConversationTrace."""
        self._span.set_attribute("antiphon.close_code", close_code)
        self._span.end(_ns(now))


def _ns(seconds: float) -> int:
    return round(seconds * NANOSECONDS)


def open_tracing(endpoint: str, *, exporter: Any = None) -> Tracing:
    """Send spans to an OTLP collector over HTTP, as `http://127.0.0.1:4318/v1/traces`. `exporter`: somewhere else.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing: install antiphon[otel]", path="otlp_endpoint") from error
    provider = TracerProvider(resource=Resource.create({"service.name": "antiphon"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint=endpoint)))
    return Tracing(provider.get_tracer("antiphon"), provider.shutdown)
