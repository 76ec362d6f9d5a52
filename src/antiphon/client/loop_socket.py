"""A socket on an event loop for connection.py. Imported when the first is opened: websockets' part is large."""

from __future__ import annotations

from websockets.asyncio.client import ClientConnection
from websockets.protocol import State

from .direct_messages import DirectMessages


class LoopSocket(DirectMessages, ClientConnection):
    """Gives each text message to the taker as it is read, and writes without a task."""

    def send_now(self, text: str) -> None:
        """Writes a message; does nothing where the socket is closed, which the reader learns.

        What the network does not take yet is buffered, for the 40 s after which the keepalive gives the peer up.
        """
        if self.protocol.state is State.OPEN:
            self.protocol.send_text(text.encode())
            self.send_data()
