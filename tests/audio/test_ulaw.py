"""mu-law, bit for bit."""

from __future__ import annotations

import hashlib
import sys
import warnings

import pytest

from antiphon.audio import ulaw

ALL_SAMPLES = b"".join(sample.to_bytes(2, "little", signed=True) for sample in range(-32768, 32768))
ALL_BYTES = bytes(range(256))
ENCODED_DIGEST = "81d633c9e6972a18c74a58720b96cb8ca0bdd096d4060b646dd708c3b846019a"
DECODED_DIGEST = "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827"


def samples(audio: bytes) -> list[int]:
    return [int.from_bytes(audio[i : i + 2], "little", signed=True) for i in range(0, len(audio), 2)]


def test_every_sample_and_every_byte_converts_as_in_cpython() -> None:
    """Digests of what `audioop.lin2ulaw` and `ulaw2lin` of CPython 3.11 make of all inputs in order."""
    assert hashlib.sha256(ulaw.encode(ALL_SAMPLES)).hexdigest() == ENCODED_DIGEST
    assert hashlib.sha256(ulaw.decode(ALL_BYTES)).hexdigest() == DECODED_DIGEST


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="audioop left the standard library")
def test_the_digests_are_those_of_audioop() -> None:
    """The two digests above come from where they say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop
    assert hashlib.sha256(audioop.lin2ulaw(ALL_SAMPLES, 2)).hexdigest() == ENCODED_DIGEST
    assert hashlib.sha256(audioop.ulaw2lin(ALL_BYTES, 2)).hexdigest() == DECODED_DIGEST


def test_decoding_inverts_encoding() -> None:
    """All 256 bytes survive the round trip, but negative zero, which comes back as zero."""
    assert ulaw.encode(ulaw.decode(ALL_BYTES)) == ALL_BYTES.replace(b"\x7f", b"\xff")


def test_a_sample_is_off_by_at_most_half_a_step() -> None:
    """Steps are 8 at silence and 1024 at full scale; what lies above the largest value is clipped to it."""
    heard = samples(ulaw.decode(ulaw.encode(ALL_SAMPLES)))
    for sample, decoded in zip(range(-32768, 32768), heard, strict=True):
        magnitude = min(abs(sample), 32635) + 132 + 3  # the lowest two bits are cut off towards minus infinity
        step = 8 << (magnitude.bit_length() - 8)
        assert abs(decoded - max(-32635, min(32635, sample))) <= step / 2 + 4, sample
