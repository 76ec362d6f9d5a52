"""The one way out: every event of a session is journaled, folded into the transcript and, where asked for, sent.

Audio waits for a slow client (`room`), control does not: an interruption must never stand behind a queue of its own
making.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from antiphon.protocol import codec
from antiphon.protocol.events import ServerEvent
from antiphon.record.journal import Journal
from antiphon.record.transcript import Transcript

ALWAYS_SENT = frozenset({"conversation_initiation_metadata", "ping", "client_tool_call", "error"})
"Types that go out whatever `client_events` lists (protocol.md 1.3)."

BACKLOG = 2
"Messages that may wait for the transport before audio waits too."
LIMIT = 4096
"Messages that may wait at all: a client that reads nothing for so long is gone."

Send = Callable[[ServerEvent], Awaitable[None]]


class Outbox:
    """Put events in at any time; `run` hands them to the transport one after another."""

    def __init__(
        self,
        send: Send,
        journal: Journal,
        transcript: Transcript,
        client_events: frozenset[str],
        observe: Callable[[ServerEvent], None] | None = None,
    ) -> None:
        """`observe`: told of every event too, whether or not the client gets it."""
        self.on_drained: Callable[[], None] = lambda: None
        "Called when `room` had been refused and there is room again."
        self._refused = False
        self._send = send
        self._observe = observe
        self._journal = journal
        self._transcript = transcript
        self._wanted = client_events | ALWAYS_SENT
        self._events: deque[ServerEvent] = deque()
        self._arrived = asyncio.Event()
        self._sent = asyncio.Event()
        self._sending = False
        self._closed = False

    @property
    def overwhelmed(self) -> bool:
        """The client has read nothing for so long that events are being dropped."""
        return len(self._events) >= LIMIT

    def wants(self, wire_type: str) -> bool:
        """Whether the client gets events of this type."""
        return wire_type in self._wanted

    def put(self, event: ServerEvent) -> None:
        """Journal it, fold it, queue it. Returns at once."""
        self._journal.emitted(event)
        self._transcript.apply(event)
        if self._observe is not None:
            self._observe(event)
        if codec.wire_type(event) in self._wanted and not self._closed and not self.overwhelmed:
            self._events.append(event)
            self._arrived.set()

    def room(self) -> bool:
        """Whether the transport has taken nearly everything: sound may go out. If not, `on_drained` is called later."""
        self._refused = len(self._events) >= BACKLOG
        return not self._refused

    async def flush(self) -> None:
        """Wait until the transport has taken everything."""
        while self._events or self._sending:
            self._sent.clear()
            await self._sent.wait()

    def close(self) -> None:
        """The transport is gone: from now on events are journaled only."""
        self._closed = True
        self._events.clear()
        self._sent.set()

    async def run(self) -> None:
        """Send until cancelled. What the transport raises comes out here."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._events:
                self._sending = True
                event = self._events.popleft()
                try:
                    await self._send(event)
                finally:
                    self._sending = False
                    self._sent.set()
                if self._refused and len(self._events) < BACKLOG:
                    self._refused = False
                    self.on_drained()
