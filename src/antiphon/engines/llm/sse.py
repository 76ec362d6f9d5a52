"""Server-sent events, sans-I/O: bytes in as they arrive, events out as soon as they are complete.

Written out here because two things have to be exactly so for text that is spoken: lines end at CR LF, LF or CR alone
(the line splitting of `str` also cuts at U+2028, U+0085 and others, which a model's JSON may contain raw), and a
character may be split between two packets. Source: the HTML standard, section 9.2 "Server-sent events".
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_EVENT = 1024 * 1024
"Bytes of one event; a peer that sends more is not a chat model."

_LINE_END = re.compile(rb"\r\n|\n|\r")


class ServerSentEvent(NamedTuple):
    """One event."""

    data: str
    name: str = ""
    "Its `event` field; empty: an ordinary message."


class EventDecoder:
    """`feed` it what arrives, `close` it when nothing more will."""

    def __init__(self) -> None:
        self._line = b""
        self._after_cr = False
        self._at_start = True
        self._data: list[str] = []
        self._size = 0
        self._name = ""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that this chunk completes, in order.

        Raises:
            ValueError: an event is longer than MAX_EVENT.
        """
        if not chunk:
            return []
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        *lines, self._line = _LINE_END.split(self._line + chunk)
        events = [event for line in lines if (event := self._take(line)) is not None]
        if len(self._line) + self._size > MAX_EVENT:
            raise ValueError(f"an event is longer than {MAX_EVENT} bytes")
        return events

    def close(self) -> list[ServerSentEvent]:
        """What was left unfinished. The standard drops it; a server that forgets its last blank line is served here."""
        lines, self._line = [self._line, b""], b""
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._dispatch()
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._data.append(value)
                self._size += len(line)
            case "event":
                self._name = value
            case "error":  # not in the standard: llama.cpp's server tells failures in a field of this name
                self._name = "error"
                self._data.append(value)
                self._size += len(line)
            case _:  # id, retry, and comments (an empty field name)
                pass
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        data, name = self._data, self._name
        self._data, self._name, self._size = [], "", 0
        return ServerSentEvent("\n".join(data), name) if data else None
