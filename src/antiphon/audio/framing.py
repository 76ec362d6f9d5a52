"""Audio of any length -> frames of one length."""

from __future__ import annotations


class Framer:
    """Cuts a stream into frames of exactly `frame_bytes`; what is left over waits for the next piece."""

    def __init__(self, frame_bytes: int) -> None:
        self._frame_bytes = frame_bytes
        self._rest = b""

    @property
    def held(self) -> int:
        """Bytes that wait for their frame to fill."""
        return len(self._rest)

    def push(self, audio: bytes) -> list[bytes]:
        """The frames that this piece completes, in order; none is ever lost or split."""
        if self._rest:
            audio = self._rest + audio
        size = self._frame_bytes
        end = len(audio) - len(audio) % size
        self._rest = audio[end:]
        return [audio[start : start + size] for start in range(0, end, size)]
