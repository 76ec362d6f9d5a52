"""G.711 mu-law by table, bit for bit what telephones and CPython's late `audioop` make of it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .arrays import load_numpy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BIAS = 33
"Added to the 14-bit magnitude, so that the eight segments begin at powers of two."
CLIP = 0x1FFF
"The largest biased magnitude that mu-law can say: the end of the eighth segment."


def encode(audio: bytes) -> bytes:
    """s16le samples -> one mu-law byte each. `audio`: whole samples."""
    np = load_numpy()
    return _encode_table()[np.frombuffer(audio, np.dtype("<u2"))].tobytes()


def decode(audio: bytes) -> bytes:
    """Mu-law bytes -> s16le, one sample each."""
    np = load_numpy()
    return _decode_table()[np.frombuffer(audio, np.uint8)].tobytes()


@cache
def _encode_table() -> NDArray[np.uint8]:
    """The mu-law byte of every 16-bit sample, indexed by the sample's unsigned bit pattern."""
    np = load_numpy()
    linear = np.arange(65_536).astype(np.uint16).view(np.int16).astype(np.int32) >> 2
    magnitude = np.minimum(np.abs(linear) + BIAS, CLIP)
    segment = np.searchsorted([0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF], magnitude)
    code = (segment << 4) | ((magnitude >> (segment + 1)) & 0x0F)
    return (code ^ np.where(linear < 0, 0x7F, 0xFF)).astype(np.uint8)


@cache
def _decode_table() -> NDArray[np.int16]:
    """The 16-bit sample of every mu-law byte."""
    np = load_numpy()
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 1) + BIAS) << ((code >> 4) & 0x07)) - BIAS
    return (np.where(code & 0x80, -magnitude, magnitude) << 2).astype("<i2")
