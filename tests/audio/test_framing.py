"""Frames of one length out of audio of any length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio.framing import Framer


@given(pieces=st.lists(st.binary(max_size=40)), frame_bytes=st.integers(1, 16))
def test_no_byte_is_lost_moved_or_repeated(pieces: list[bytes], frame_bytes: int) -> None:
    """All frames are of the one length, and joined they are the stream, but for what is held."""
    framer = Framer(frame_bytes)
    frames = [frame for piece in pieces for frame in framer.push(piece)]
    stream = b"".join(pieces)
    assert all(len(frame) == frame_bytes for frame in frames)
    assert b"".join(frames) == stream[: len(stream) - framer.held]
    assert framer.held < frame_bytes


def test_a_frame_comes_with_the_piece_that_completes_it() -> None:
    """100 ms pieces of 16 kHz into 32 ms frames: three, and every eighth time four."""
    framer = Framer(1024)
    assert [len(framer.push(bytes(3200))) for _ in range(16)] == [3, 3, 3, 3, 3, 3, 3, 4] * 2
