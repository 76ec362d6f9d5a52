"""What makes a socket of websockets hand its messages over where they are read, instead of waking a reader for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from websockets.frames import Frame, Opcode

if TYPE_CHECKING:

    class _Connection:
        def process_event(self, event: Any) -> None: ...
else:
    _Connection = object


class DirectMessages(_Connection):
    """Goes before a connection class of websockets: text messages are given to `take`, everything else is left to it.

    Until `begin` says who takes them, they are kept.
    """

    take: Callable[[str], None] | None = None
    _kept: list[str] | None = None
    _fragments: list[bytes] | None = None

    def begin(self, take: Callable[[str], None]) -> None:
        """From now on `take` gets the messages, first those that have come already."""
        self.take = take
        kept, self._kept = self._kept, None
        for text in kept or ():
            take(text)

    def process_event(self, event: Any) -> None:
        """Called by websockets with the response to the handshake, then with every frame."""
        if not isinstance(event, Frame) or not (
            event.opcode is Opcode.TEXT or (event.opcode is Opcode.CONT and self._fragments)
        ):
            super().process_event(event)
            return
        data = bytes(event.data)
        if not event.fin:
            self._fragments = [*(self._fragments or ()), data]
            return
        if self._fragments:
            data, self._fragments = b"".join([*self._fragments, data]), None
        try:
            text = data.decode()
        except UnicodeDecodeError:
            super().process_event(Frame(Opcode.TEXT, data))
            return  # the reader closes the socket with 1007
        if self.take is not None:
            self.take(text)
        else:
            self._kept = [*(self._kept or ()), text]
