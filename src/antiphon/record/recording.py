"""The recording of a conversation: two tracks, what the caller said and what the caller heard.

The agent's track is what came out of the caller's loudspeaker as the ledger has it (turns/playback.py), not what was
made or sent: each piece where it sounded, and nothing of it after a cut.
"""

from __future__ import annotations

from typing import Final

DRIFT: Final = 0.3
"""Seconds by which the caller's sound may come sooner or later than it was made: it is laid end to end. What is later
than that was not sent, and is silence."""


class Recording:
    """Hand it sound as it comes, s16le mono at `rate`, with its time in seconds since the conversation began.

    All of it is kept in memory: at 16 kHz, two tracks of a ten-minute call are 38 MB.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._user = bytearray()
        self._agent = bytearray()

    def user(self, audio: bytes, at: float) -> None:
        """The caller's sound, whose last sample arrived at `at`."""
        begin = self._bytes(at) - len(audio)
        if begin - len(self._user) > self._bytes(DRIFT):
            self._user.extend(bytes(begin - len(self._user)))
        self._user.extend(audio)

    def agent(self, audio: bytes, at: float) -> None:
        """The agent's sound, which begins to sound at `at`, or when what came before has sounded."""
        self._agent.extend(bytes(max(0, self._bytes(at) - len(self._agent))))
        self._agent.extend(audio)

    def cut(self, at: float) -> None:
        """Nothing of the agent's sound is heard that would sound after `at`; what comes from now on is."""
        del self._agent[self._bytes(at) :]

    def tracks(self) -> tuple[bytes, bytes]:
        """The caller's track and the agent's, of one length."""
        length = max(len(self._user), len(self._agent))
        return bytes(self._user.ljust(length, b"\0")), bytes(self._agent.ljust(length, b"\0"))

    def _bytes(self, seconds: float) -> int:
        return 2 * max(0, round(seconds * self.rate))
