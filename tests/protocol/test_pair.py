"""Both halves of the protocol, joined back to back: what one says, the other hears."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.protocol import events as ev
from antiphon.protocol.client import ClientProtocol
from antiphon.protocol.server import EventIds, ServerProtocol


class Pair:
    """A client and a server with a line between them on which messages wait until they are delivered."""

    def __init__(self, *, strict_audio_gate: bool = False) -> None:
        self.client = ClientProtocol(strict_audio_gate=strict_audio_gate)
        self.server = ServerProtocol(ev.ConversationMetadata(conversation_id="conv_1"))
        self.ids = EventIds()
        self.now = 0.0
        self.heard_by_client: list[ev.ServerEvent] = []
        self.heard_by_server: list[ev.ClientEvent] = []
        self._to_client: deque[str] = deque()

    def serve(self, event: ev.ServerEvent) -> None:
        """The server says something."""
        self._to_client.append(self.server.send(event))

    def ping(self) -> None:
        self.serve(self.server.ping(self.now))

    def deliver_to_client(self, number: int = 10_000) -> None:
        for _ in range(min(number, len(self._to_client))):
            self.heard_by_client += self.client.receive(self._to_client.popleft())

    def deliver_to_server(self) -> None:
        for text in self.client.messages_to_send():
            event = self.server.receive(text, self.now)
            if event is not None:
                self.heard_by_server.append(event)

    def open(self) -> None:
        self.client.open(ev.ConversationInitiation(user_id="u1"))
        self.serve(self.server.metadata)


def test_a_conversation_opens() -> None:
    """The client learns the conversation's id, the server who is calling."""
    pair = Pair()
    pair.open()
    pair.deliver_to_client()
    pair.deliver_to_server()
    assert pair.client.conversation_id == "conv_1"
    assert pair.heard_by_server == [ev.ConversationInitiation(user_id="u1")]


def test_a_ping_s_answer_measures_the_line() -> None:
    """Half a delay there, half a delay back."""
    pair = Pair()
    pair.open()
    pair.ping()
    pair.now += 0.02
    pair.deliver_to_client()
    pair.now += 0.02
    pair.deliver_to_server()
    assert pair.server.round_trip == pytest.approx(0.04)
    assert pair.heard_by_server[-1] == ev.Pong(event_id=1)
    pair.ping()
    pair.deliver_to_client()
    assert pair.heard_by_client[-1] == ev.Ping(event_id=2, ping_ms=40)


CLIENT_SAYS: list[ev.ClientEvent] = [
    ev.UserAudio(bytes(range(256))),
    ev.UserMessage(text="hé"),
    ev.UserMessage(),
    ev.ContextualUpdate(text="on the pricing page", context_id="page"),
    ev.UserActivity(),
    ev.MultimodalMessage(text="what is this?", file_ids=["f1", "f2"]),
    ev.ClientToolResult(tool_call_id="c", result={"total": 3}),
    ev.Feedback(event_id=7, score="like"),
    ev.McpToolApprovalResult(tool_call_id="c", is_approved=False),
]


@pytest.mark.parametrize("event", CLIENT_SAYS, ids=lambda event: type(event).__name__)
def test_the_server_hears_what_the_client_says(event: ev.ClientEvent) -> None:
    """Value for value."""
    pair = Pair()
    pair.open()
    pair.client.send(event)
    pair.deliver_to_server()
    assert pair.heard_by_server[1:] == [event]


def test_a_setup_comes_before_the_initiation() -> None:
    """As from a client of a self-hosted orchestrator (protocol.md C11)."""
    pair = Pair()
    pair.client.open(ev.ConversationInitiation(), setup=ev.EnclaveSetup(tools=[{"name": "lookup"}]))
    pair.deliver_to_server()
    assert pair.heard_by_server == [ev.EnclaveSetup(tools=[{"name": "lookup"}]), ev.ConversationInitiation()]


def server_event(kind: str, ids: EventIds) -> ev.ServerEvent:
    event_id = ids.next()
    events: dict[str, Any] = {
        "audio": lambda: ev.AgentAudio(audio=b"\x01\x02", event_id=event_id),
        "interruption": lambda: ev.Interruption(event_id=event_id),
        "response": lambda: ev.AgentResponse(text=f"answer {event_id}", event_id=event_id),
        "correction": lambda: ev.AgentResponseCorrection(original="a b", corrected="a", event_id=event_id),
        "transcript": lambda: ev.UserTranscript(text="yes", event_id=event_id),
        "tool": lambda: ev.ClientToolCall(tool_name="t", tool_call_id="c", parameters={"a": 1}, event_id=event_id),
    }
    return events[kind]()


STEPS = st.lists(
    st.sampled_from(["audio"] * 4 + ["interruption", "response", "correction", "transcript", "tool"])
    | st.sampled_from(["ping", "to client", "to server", "client speaks"])
    | st.integers(1, 3),
    max_size=60,
)


@pytest.mark.parametrize("strict", [False, True])
def test_nothing_is_lost_or_changed_however_late_it_comes(strict: bool) -> None:
    """With ids from one counter no audio is stale by either gate; whatever the line delays, all arrives in order."""

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(STEPS)
    def holds(steps: list[Any]) -> None:
        pair = Pair(strict_audio_gate=strict)
        pair.open()
        said: list[ev.ServerEvent] = [pair.server.metadata]
        spoken, pings = 0, 0
        for step in steps:
            pair.now += 0.01
            match step:
                case int():
                    pair.deliver_to_client(step)
                case "to client":
                    pair.deliver_to_client()
                case "to server":
                    pair.deliver_to_server()
                case "client speaks":
                    spoken += 1
                    pair.client.send(ev.UserAudio(spoken.to_bytes(2, "little")))
                case "ping":
                    pings += 1
                    pair.ping()
                case kind:
                    said.append(server_event(kind, pair.ids))
                    pair.serve(said[-1])
        pair.deliver_to_client()
        pair.deliver_to_server()
        assert [event for event in pair.heard_by_client if not isinstance(event, ev.Ping)] == said
        audio = [event for event in pair.heard_by_server if isinstance(event, ev.UserAudio)]
        assert audio == [ev.UserAudio(number.to_bytes(2, "little")) for number in range(1, spoken + 1)]
        pongs = [event.event_id for event in pair.heard_by_server if isinstance(event, ev.Pong)]
        assert pongs == list(range(1, pings + 1))
        assert (pair.server.round_trip is not None) == (pings > 0)

    holds()
