"""A blocking socket for thread_connection.py. Imported when the first socket is opened: websockets' part is large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.protocol import State
from websockets.sync.client import ClientConnection

from .direct_messages import DirectMessages


class ThreadSocket(DirectMessages, ClientConnection):
    """Gives each text message to `take` in the thread that reads it."""

    def __init__(self, *arguments: Any, take: Callable[[str], None], **options: Any) -> None:
        self.take = take
        super().__init__(*arguments, **options)

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
