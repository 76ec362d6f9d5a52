"""Audio formats: bytes, samples and seconds."""

from __future__ import annotations

import pytest

from antiphon.audio.formats import FORMATS, parse_format
from antiphon.errors import ConfigError

WIRE = {
    "pcm_8000": 16_000,
    "pcm_16000": 32_000,
    "pcm_22050": 44_100,
    "pcm_24000": 48_000,
    "pcm_44100": 88_200,
    "pcm_48000": 96_000,
    "ulaw_8000": 8_000,
}
"Bytes per second of each format (protocol.md 4.2)."


def test_the_formats_are_those_of_the_protocol() -> None:
    """All seven, no other, each under its own name."""
    assert {name: audio_format.bytes_per_second for name, audio_format in FORMATS.items()} == WIRE
    assert all(parse_format(name).name == name for name in WIRE)


@pytest.mark.parametrize(
    "name", ["", "pcm", "pcm_", "pcm_11025", "PCM_16000", "ulaw_16000", "opus_48000", "pcm_16000 "]
)
def test_any_other_format_is_refused_by_name(name: str) -> None:
    """The error repeats what was asked for and lists what there is."""
    with pytest.raises(ConfigError, match="ulaw_8000") as refusal:
        parse_format(name)
    assert repr(name) in str(refusal.value)


@pytest.mark.parametrize("name", WIRE)
def test_seconds_and_bytes_are_inverse(name: str) -> None:
    """A quarter of a second, as protocol.md 4.2 lists it, there and back."""
    audio_format = parse_format(name)
    audio_bytes = audio_format.bytes_of(0.25)
    assert abs(audio_bytes - WIRE[name] / 4) <= 1
    assert audio_format.seconds(audio_bytes) == pytest.approx(0.25, abs=1 / audio_format.rate)


@pytest.mark.parametrize("name", WIRE)
@pytest.mark.parametrize("seconds", [0.0, 0.0301, 0.1, 1 / 3, 7.77777])
def test_bytes_of_a_duration_are_whole_samples(name: str, seconds: float) -> None:
    """No duration cuts a sample in two."""
    audio_format = parse_format(name)
    assert audio_format.bytes_of(seconds) % audio_format.bytes_per_sample == 0
