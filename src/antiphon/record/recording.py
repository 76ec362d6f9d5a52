"""The recording of a conversation: two tracks, what the caller said and what the caller heard.

The agent's track is what came out of the caller's loudspeaker as the ledger has it (turns/playback.py), not what was
made or sent: each piece where it sounded, and nothing of it after a cut.
"""

from __future__ import annotations

from array import array
from typing import Final

DRIFT: Final = 0.3
"""Seconds by which the caller's sound may come sooner or later than it was made: it is laid end to end. What is later
than that was not sent, and is silence."""


class Recording:
    """Hand it sound as it comes, s16le mono at `rate`, with its time in seconds since the conversation began.

    It is kept in memory until it is taken: at 16 kHz, two tracks of a minute are 3.8 MB.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._user = bytearray()
        self._agent = bytearray()
        self._taken = 0
        "Bytes of each track that are not here any more."
        self._gap_begin = self._gap_end = 0
        "The newest silence of the caller's that nobody sent: bytes of the track as it is here."

    @property
    def seconds(self) -> float:
        """How long it is so far, with what was taken."""
        return (self._taken + max(len(self._user), len(self._agent))) / (2 * self.rate)

    def user(self, audio: bytes, at: float) -> None:
        """The caller's sound, whose last sample arrived at `at`.

        If more of it comes than time has passed, it was held up on its way, and stands where it was made: the silence
        that was put in for it is taken out again.
        """
        length, arrived = len(self._user), self._bytes(at)
        missing = arrived - len(audio) - length
        if missing > 2 * round(DRIFT * self.rate):
            self._gap_begin, self._gap_end = length, length + missing
            self._user.extend(bytes(missing))
        elif missing < 0 and self._gap_begin < self._gap_end:
            begin = max(self._gap_begin, self._gap_end + missing)
            del self._user[begin : self._gap_end]
            self._gap_end = begin
        self._user.extend(audio)

    def agent(self, audio: bytes, at: float) -> None:
        """The agent's sound, which begins to sound at `at`, or when what came before has sounded."""
        self._agent.extend(bytes(max(0, self._bytes(at) - len(self._agent))))
        self._agent.extend(audio)

    def cut(self, at: float) -> None:
        """Nothing of the agent's sound is heard that would sound after `at`; what comes from now on is."""
        del self._agent[max(0, self._bytes(at)) :]

    def tracks(self) -> tuple[bytes, bytes]:
        """The caller's track and the agent's, of one length, without what was taken."""
        length = max(len(self._user), len(self._agent))
        return bytes(self._user.ljust(length, b"\0")), bytes(self._agent.ljust(length, b"\0"))

    def take(self, until: float) -> bytes:
        """What is here of both up to `until`, the caller left, the agent right. What comes later for it is late."""
        length = max(0, self._bytes(until))
        both = array("h", bytes(2 * length))
        for side, track in enumerate((self._user, self._agent)):
            both[side::2] = array("h", bytes(track[:length].ljust(length, b"\0")))
            del track[:length]
        self._gap_begin, self._gap_end = max(0, self._gap_begin - length), max(0, self._gap_end - length)
        self._taken += length
        return both.tobytes()

    def _bytes(self, seconds: float) -> int:
        """Where a time is on the tracks as they are here."""
        return 2 * round(seconds * self.rate) - self._taken
