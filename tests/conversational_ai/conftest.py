"""A scripted server on the loopback, in threads: a test plays its part, message by message."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server as Listener
from websockets.sync.server import ServerConnection, serve

from antiphon import Antiphon, AudioInterface, Conversation
from antiphon.protocol.codec import encode_server
from antiphon.protocol.events import ConversationMetadata

METADATA = ConversationMetadata(conversation_id="conv_1")
PATIENCE = 15.0


class Peer:
    """The server's end of one conversation."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        assert socket.request is not None
        self.path, self.headers = socket.request.path, socket.request.headers
        self.texts: list[str] = []

    def say(self, message: Any) -> None:
        """Sends an event, a JSON object, or any text or bytes as they are."""
        if isinstance(message, dict):
            message = json.dumps(message)
        elif not isinstance(message, str | bytes):
            message = encode_server(message)
        self.socket.send(message)

    def hear(self, kind: str | None = None) -> dict[str, Any]:
        """The client's next message; of type `kind`, leaving out what comes before it."""
        while True:
            self.texts.append(str(self.socket.recv(timeout=PATIENCE)))
            message = json.loads(self.texts[-1])
            if kind is None or message.get("type") == kind or kind in message:
                return message

    def hear_end(self) -> int | None:
        """The code with which the client closes."""
        try:
            while True:
                self.hear()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None

    def drop(self) -> None:
        """Loses the connection without a close frame."""
        self.socket.socket.shutdown(2)


class Server:
    """Takes conversations in."""

    def __init__(self) -> None:
        self._peers: queue.SimpleQueue[Peer] = queue.SimpleQueue()
        self._listener: Listener = serve(self._hold, "127.0.0.1", 0, max_size=None)
        self.url = f"http://127.0.0.1:{self._listener.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listener.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown()
        self._thread.join()

    def _hold(self, socket: ServerConnection) -> None:
        self._peers.put(Peer(socket))
        socket.recv_events_thread.join()

    def accept(self, metadata: ConversationMetadata | None = METADATA) -> Peer:
        """The next conversation, its initiation heard, its metadata said unless that is None."""
        peer = self._peers.get(timeout=PATIENCE)
        peer.hear("conversation_initiation_client_data")
        if metadata is not None:
            peer.say(metadata)
        return peer

    def conversation(self, **options: Any) -> Conversation:
        """A conversation with this server."""
        return Conversation(Antiphon(self.url), "agent_1", **({"requires_auth": False} | options))

    def begin(self, conversation: Conversation | None = None, **options: Any) -> tuple[Conversation, Peer]:
        """A conversation that is going on, and the server's end of it."""
        conversation = conversation or self.conversation(**options)
        conversation.start_session()
        peer = self.accept()
        conversation.connected(PATIENCE)
        return conversation, peer


class Device(AudioInterface):
    """A sound device that notes what is asked of it."""

    def __init__(self) -> None:
        self.notes: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.stopped = 0
        self.speak: Callable[[bytes], None] = lambda audio: None

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        self.speak = input_callback
        self.notes.put("start")

    def stop(self) -> None:
        self.stopped += 1
        self.notes.put("stop")

    def output(self, audio: bytes) -> None:
        self.notes.put(audio)

    def interrupt(self) -> None:
        self.notes.put("interrupt")

    def next(self) -> Any:
        return self.notes.get(timeout=PATIENCE)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that must outlive no thread and no file of the client's."""
    before = set(threading.enumerate())
    server = Server()
    yield server
    server.close()
    ours = ("antiphon-", "ClientTools-")
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(ours):
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"thread left running: {thread.name}"


@pytest.fixture
def device() -> Device:
    return Device()
