"""A-law, against the tables of the recommendation G.711."""

from __future__ import annotations

import struct

from antiphon.audio import alaw


def samples(audio: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(audio) // 2}h", audio)


def test_the_ends_of_the_scale_are_those_of_the_recommendation() -> None:
    """The quietest and the loudest steps, both signs, with every other bit turned over (G.711, table 1a)."""
    assert alaw.encode(struct.pack("<4h", 0, -1, 32767, -32768)) == bytes([0xD5, 0x55, 0xAA, 0x2A])
    assert samples(alaw.decode(bytes([0xD5, 0x55, 0xAA, 0x2A]))) == (8, -8, 32256, -32256)


def test_every_byte_is_what_its_sample_is_encoded_as() -> None:
    """Decoding loses nothing: all 256 come back."""
    every = bytes(range(256))
    assert alaw.encode(alaw.decode(every)) == every


def test_a_sample_comes_back_within_half_a_step() -> None:
    """Steps are 16 wide near silence, and at most a sixteenth of the sample's power of two beyond."""
    every = struct.pack("<65536h", *range(-32768, 32768))
    for before, after in zip(samples(every), samples(alaw.decode(alaw.encode(every))), strict=True):
        assert abs(before - after) <= max(8, 1 << max(0, abs(before).bit_length() - 6))
