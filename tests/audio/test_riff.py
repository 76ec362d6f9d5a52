"""WAV files in memory: every sample format that is in use, whole, open-ended, cut short and broken."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio import alaw, ulaw
from antiphon.audio.riff import Sound, parse_wav, wav_header
from antiphon.errors import ConfigError


def wav(kind: int, bits: int, data: bytes, *, channels: int = 1, rate: int = 16_000, before: bytes = b"") -> bytes:
    """A file of these samples."""
    size = channels * bits // 8
    chunk = struct.pack("<HHIIHH", kind, channels, rate, rate * size, size, bits)
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(chunk)) + chunk + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", len(body) + len(data)) + body + data


def samples(sound: Sound) -> tuple[int, ...]:
    """Of the first channel."""
    return struct.unpack(f"<{len(sound.channels[0]) // 2}h", sound.channels[0])


@pytest.mark.parametrize(
    ("kind", "bits", "data"),
    [
        (1, 8, bytes([128, 192, 64])),
        (1, 16, struct.pack("<3h", 0, 16384, -16384)),
        (1, 24, b"\0\0\0" + b"\0\0\x40" + b"\0\0\xc0"),
        (1, 32, struct.pack("<3i", 0, 1 << 30, -(1 << 30))),
        (3, 32, struct.pack("<3f", 0, 0.5, -0.5)),
        (3, 64, struct.pack("<3d", 0, 0.5, -0.5)),
    ],
)
def test_every_format_says_the_same(kind: int, bits: int, data: bytes) -> None:
    """Silence, half of the scale up, half of it down."""
    assert samples(parse_wav(wav(kind, bits, data))) == pytest.approx((0, 16384, -16384), abs=1)


def test_telephone_formats_are_read() -> None:
    """A-law and mu-law."""
    every = bytes(range(256))
    assert parse_wav(wav(6, 8, every)).channels == (alaw.decode(every),)
    assert parse_wav(wav(7, 8, every)).channels == (ulaw.decode(every),)


def test_floats_beyond_the_scale_are_cut_off() -> None:
    """What is no number is silence."""
    data = struct.pack("<4f", 2.0, -2.0, float("nan"), float("inf"))
    assert samples(parse_wav(wav(3, 32, data))) == (32767, -32767, 0, 32767)


def test_channels_are_parted_and_mixed() -> None:
    """Each by itself, and their mean."""
    sound = parse_wav(wav(1, 16, struct.pack("<4h", 100, 300, -100, -300), channels=2))
    assert sound.channels == (struct.pack("<2h", 100, -100), struct.pack("<2h", 300, -300))
    assert sound.mono == struct.pack("<2h", 200, -200)
    assert sound.seconds == 2 / 16_000


def test_an_open_end_and_a_short_file_end_where_they_end() -> None:
    """A stream's header cannot know; a sample that is half there is none. Other chunks are passed over."""
    assert parse_wav(wav_header(8_000) + b"\1\0\2\0\3").channels == (b"\1\0\2\0",)
    whole = wav(1, 16, b"\1\0\2\0", before=b"LIST\3\0\0\0abc\0")
    assert parse_wav(whole).channels == (b"\1\0\2\0",)
    assert parse_wav(whole[:-2]).channels == (b"\1\0",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ID3",
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        b"RIFF\0\0\0\0WAVEfmt \2\0\0\0\1\0",
        wav(1, 16, b"", channels=0),
        wav(1, 16, b"", rate=0),
        wav(1, 12, b"\0\0\0"),
        wav(2, 4, b"\0\0"),
        wav(85, 16, b"\0\0"),
    ],
)
def test_what_is_no_wav_file_is_refused(data: bytes) -> None:
    """Compressed sound in a WAV file, too."""
    with pytest.raises(ConfigError):
        parse_wav(data)


@given(st.binary(max_size=80))
def test_nothing_but_config_error_comes_of_any_bytes(data: bytes) -> None:
    """Whatever somebody uploads."""
    for file in (data, b"RIFF\0\0\0\0WAVE" + data, wav(1, 16, b"\0\0")[:20] + data):
        with suppress(ConfigError):
            parse_wav(file)
