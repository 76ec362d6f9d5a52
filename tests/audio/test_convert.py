"""Conversion between the wire's formats and the engines' rates."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio.convert import TAPS, Decoder, Encoder, Resampler
from antiphon.audio.formats import FORMATS, parse_format
from antiphon.errors import ConfigError

RATES = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
PAIRS = [(a, b) for a in RATES for b in RATES if a != b]
SPEECH_PAIRS = [
    (24_000, 16_000),
    (16_000, 24_000),
    (8_000, 16_000),
    (16_000, 8_000),
    (22_050, 16_000),
    (48_000, 16_000),
]

Tone = Callable[..., bytes]


def noise(samples: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(2 * samples)


def cut(audio: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Pieces of these sizes, then the rest in one."""
    pieces: list[bytes] = []
    start = 0
    for size in sizes:
        pieces.append(audio[start : start + size])
        start += size
    return [*pieces, audio[start:]]


def through(resampler: Resampler, audio: bytes, piece: int) -> bytes:
    pieces = [resampler.resample(audio[i : i + piece]) for i in range(0, len(audio), piece)]
    return b"".join([*pieces, resampler.flush()])


# ------------------------------------------------------------------------------------------------------ sound


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_a_tone_keeps_its_pitch_level_and_time(
    rate_in: int, rate_out: int, make_tone: Tone, fit_tone: Callable[..., Any]
) -> None:
    """Passband: 70 dB over the noise, level within 0.05 dB, moved by less than 2 microseconds."""
    frequency = 0.35 * min(rate_in, rate_out)
    heard = fit_tone(through(Resampler(rate_in, rate_out), make_tone(frequency, rate_in), 640), frequency, rate_out)
    assert heard.snr > 70
    assert abs(heard.gain) < 0.05
    assert abs(heard.phase) / (2 * math.pi * frequency) < 2e-6


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "frequency"),
    [
        (24_000, 16_000, 10_000),
        (16_000, 8_000, 5_000),
        (48_000, 16_000, 9_000),
        (44_100, 16_000, 20_000),
        (22_050, 16_000, 9_000),
    ],
)
def test_what_the_lower_rate_cannot_carry_is_removed(
    rate_in: int, rate_out: int, frequency: int, make_tone: Tone, level_of: Callable[[bytes, int], float]
) -> None:
    """Rejection of at least 65 dB: an alias would be heard as speech that nobody spoke."""
    audio = through(Resampler(rate_in, rate_out), make_tone(frequency, rate_in), 640)
    assert level_of(audio, rate_out) < -65


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_carries_a_tone_both_ways(name: str, make_tone: Tone, fit_tone: Callable[..., Any]) -> None:
    """16 kHz -> wire -> 16 kHz: mu-law costs what its 8 bits must cost, everything else next to nothing."""
    audio_format = parse_format(name)
    encoder, decoder = Encoder(16_000, audio_format), Decoder(audio_format)
    wire = encoder.encode(make_tone(1_000, 16_000)) + encoder.flush()
    assert len(wire) == audio_format.bytes_per_second
    audio = decoder.decode(wire) + decoder.flush()
    assert len(audio) == 32_000
    heard = fit_tone(audio, 1_000, 16_000)
    assert heard.snr > (30 if audio_format.encoding == "ulaw" else 75)
    assert abs(heard.gain) < 0.1
    assert abs(heard.phase) < 0.01


def test_a_steady_level_comes_out_steady() -> None:
    """No ripple between the phases: each has unit gain by itself."""
    audio = Resampler(22_050, 16_000).resample(np.full(22_050, 12_345, "<i2").tobytes())
    assert set(np.frombuffer(audio, "<i2")[TAPS:].tolist()) == {12_345}


def test_overshoot_is_clipped_not_wrapped() -> None:
    """A square wave at full scale rings; ringing beyond 16 bits must not turn into its opposite."""
    square = np.tile(np.repeat(np.array([32_767, -32_768], "<i2"), 80), 50)
    loud = np.frombuffer(through(Resampler(16_000, 48_000), square.tobytes(), 640), "<i2").reshape(-1, 240)
    middles = loud[2:-2, 60:180]
    assert (middles[::2] > 30_000).all()
    assert (middles[1::2] < -30_000).all()
    assert loud.max() == 32_767
    assert loud.min() == -32_768


# -------------------------------------------------------------------------------------------------- the stream


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
@pytest.mark.parametrize("milliseconds", [10, 20, 250])
def test_nothing_is_withheld_but_the_filters_half_length(rate_in: int, rate_out: int, milliseconds: int) -> None:
    """After every piece, what is missing is at most 1 ms (of 16 kHz) or 2 ms (of 8 kHz): no block ever fills."""
    resampler = Resampler(rate_in, rate_out)
    piece = bytes(rate_in * milliseconds // 1000 * 2)
    allowed = (TAPS / 2 + 1) / min(rate_in, rate_out)
    given_seconds = got_seconds = 0.0
    for _ in range(20):
        given_seconds += len(piece) / 2 / rate_in
        got_seconds += len(resampler.resample(piece)) / 2 / rate_out
        assert 0 <= given_seconds - got_seconds <= allowed


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
@pytest.mark.parametrize("samples", [0, 1, 7, 441, 1_000])
def test_flush_completes_the_stream(rate_in: int, rate_out: int, samples: int) -> None:
    """As many samples come out as begin to sound before the input ends, however short it was."""
    resampler = Resampler(rate_in, rate_out)
    audio = resampler.resample(noise(samples)) + resampler.flush()
    assert len(audio) // 2 == math.ceil(samples * rate_out / rate_in)


def test_after_a_flush_another_stream_begins() -> None:
    """Nothing of the first stream sounds in the second."""
    resampler = Resampler(22_050, 16_000)
    first = through(resampler, noise(3_001) + b"\x01", 999)
    assert through(resampler, noise(3_001), 640) == first


@given(
    pair=st.sampled_from(SPEECH_PAIRS),
    sizes=st.lists(st.integers(0, 700), max_size=30),
    samples=st.integers(0, 4_000),
)
def test_any_cut_of_a_stream_resamples_to_the_same_bytes(pair: tuple[int, int], sizes: list[int], samples: int) -> None:
    """Cuts may fall anywhere, inside a sample too."""
    whole, pieces = Resampler(*pair), Resampler(*pair)
    audio = noise(samples)
    expected = whole.resample(audio) + whole.flush()
    assert b"".join(pieces.resample(piece) for piece in cut(audio, sizes)) + pieces.flush() == expected


@given(name=st.sampled_from(sorted(FORMATS)), sizes=st.lists(st.integers(0, 300), max_size=20))
def test_any_cut_of_the_wire_decodes_to_the_same_bytes(name: str, sizes: list[int]) -> None:
    """A client may cut its stream inside a sample (protocol.md 4.2): the odd byte waits for its other half."""
    whole, pieces = Decoder(parse_format(name)), Decoder(parse_format(name))
    wire = noise(1_001)
    assert b"".join(map(pieces.decode, cut(wire, sizes))) + pieces.flush() == whole.decode(wire) + whole.flush()


@given(name=st.sampled_from(sorted(FORMATS)), sizes=st.lists(st.integers(0, 300), max_size=20))
def test_any_cut_of_speech_encodes_to_the_same_bytes(name: str, sizes: list[int]) -> None:
    """Text-to-speech may hand over pieces of any length."""
    whole, pieces = Encoder(22_050, parse_format(name)), Encoder(22_050, parse_format(name))
    audio = noise(1_001)
    assert b"".join(map(pieces.encode, cut(audio, sizes))) + pieces.flush() == whole.encode(audio) + whole.flush()


# ------------------------------------------------------------------------------------------------------- costs


def test_audio_in_the_engines_own_format_is_not_touched() -> None:
    """pcm_16000, the default both ways, costs not even a copy."""
    audio = noise(1_600)
    assert Decoder(parse_format("pcm_16000")).decode(audio) is audio
    assert Encoder(16_000, parse_format("pcm_16000")).encode(audio) is audio


def test_audio_can_be_imported_and_passed_through_without_numpy() -> None:
    """A client that converts nothing never loads it."""
    program = (
        "import sys\n"
        "from antiphon.audio import convert, formats, framing, levels, ulaw, wav\n"
        "convert.Decoder(formats.parse_format('pcm_16000')).decode(bytes(321))\n"
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", ["pcm_24000", "ulaw_8000"])
def test_missing_numpy_is_named_with_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion that needs numpy says which extras bring it."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ConfigError, match=r"antiphon\[audio\].*antiphon\[server\]"):
        Decoder(parse_format(name)).decode(bytes(320))
