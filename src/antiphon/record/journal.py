"""The journal: what happened in one conversation, a line at a time, in the order in which it happened.

JSON lines. `at` is seconds since the conversation began. A line is one of

    {"at": 0.0, "journal": {...}}       the first: which conversation, whose, how it was begun
    {"at": ..., "in": {...}}            a message of the client, as on the wire (audio by its size)
    {"at": ..., "out": {...}}           a server event, as on the wire, whether or not this client asked for it
    {"at": ..., "saw": {...}}           an observation that the turn machine was given
    {"at": ..., "engine": "...", ...}   what an engine returned
    {"at": ..., "end": {...}}           the last

It is the record of the conversation: the stored document, the language model's context and a replay are folds of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from antiphon.protocol import codec
from antiphon.protocol.events import ClientEvent, ServerEvent, UserAudio

VERSION = 2

_encode = msgspec.json.Encoder().encode


class Journal:
    """Writes the lines of one conversation."""

    def __init__(self, write: Callable[[bytes], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._began = clock()

    def at(self, now: float) -> float:
        """Seconds since the conversation began, to the microsecond."""
        return round(now - self._began, 6)

    def _line(self, key: str, value: Any) -> None:
        self._write(_encode({"at": self.at(self._clock()), key: value}) + b"\n")

    def begin(self, header: Mapping[str, Any]) -> None:
        """The first line."""
        self._line("journal", {"version": VERSION, **header})

    def received(self, event: ClientEvent) -> None:
        """A message of the client."""
        if type(event) is UserAudio:  # half of all lines: not worth a dictionary
            at = self.at(self._clock())
            self._write(b'{"at":%r,"in":{"user_audio_chunk":{"bytes":%d}}}\n' % (at, len(event.audio)))
        elif (message := codec.journal_json(event)) is not None:
            self._line("in", message)

    def emitted(self, event: ServerEvent) -> None:
        """An event of the session."""
        if (message := codec.journal_json(event)) is not None:
            self._line("out", message)

    def saw(self, observation: Any) -> None:
        """What the turn machine was told."""
        self._line("saw", observation)

    def engine(self, kind: str, result: Mapping[str, Any]) -> None:
        """What an engine returned."""
        self._write(_encode({"at": self.at(self._clock()), "engine": kind, **result}) + b"\n")

    def end(self, close_code: int, reason: str, error_type: str | None) -> None:
        """The last line."""
        self._line("end", {"close_code": close_code, "reason": reason, "error_type": error_type})
