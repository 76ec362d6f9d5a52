"""A blocking socket for thread_connection.py: messages are handed over where they are read, instead of waking a reader
for each. Imported when the first socket is opened: websockets' part is large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.sync.client import ClientConnection


class ThreadSocket(ClientConnection):
    """Gives each text message to `take` in the thread that reads it; everything else is left to websockets."""

    def __init__(self, *arguments: Any, take: Callable[[str], None], **options: Any) -> None:
        self._take = take
        self._fragments: list[bytes] = []
        super().__init__(*arguments, **options)

    def process_event(self, event: Any) -> None:
        """Called by websockets with the response to the handshake, then with every frame."""
        if not isinstance(event, Frame) or not (
            event.opcode is Opcode.TEXT or (event.opcode is Opcode.CONT and self._fragments)
        ):
            super().process_event(event)
            return
        data = bytes(event.data)
        if not event.fin:
            self._fragments.append(data)
            return
        if self._fragments:
            data, self._fragments = b"".join([*self._fragments, data]), []
        try:
            text = data.decode()
        except UnicodeDecodeError:
            super().process_event(Frame(Opcode.TEXT, data))
            return  # the reader closes the socket with 1007
        self._take(text)

    def send_now(self, text: str) -> None:
        """Writes a message from any thread; does nothing where the socket is closed, which the reader learns."""
        with self.protocol_mutex:
            if self.protocol.state is not State.OPEN:
                return
            self.protocol.send_text(text.encode())
            try:
                self.send_data()
            except OSError as error:
                self.set_connection_exc(error)
                self.close_socket()
