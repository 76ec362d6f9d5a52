"""G.711 A-law by table, bit for bit what telephones and CPython's late `audioop` make of it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .arrays import load_numpy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOGGLED = 0x55
"Every other bit is turned over on the wire, so that silence is no row of equal bits."


def encode(audio: bytes) -> bytes:
    """s16le samples -> one A-law byte each. `audio`: whole samples."""
    np = load_numpy()
    return _encode_table()[np.frombuffer(audio, np.dtype("<u2"))].tobytes()


def decode(audio: bytes) -> bytes:
    """A-law bytes -> s16le, one sample each."""
    np = load_numpy()
    return _decode_table()[np.frombuffer(audio, np.uint8)].tobytes()


@cache
def _encode_table() -> NDArray[np.uint8]:
    """The A-law byte of every 16-bit sample, indexed by the sample's unsigned bit pattern."""
    np = load_numpy()
    linear = np.arange(65_536).astype(np.uint16).view(np.int16).astype(np.int32) >> 3
    magnitude = np.where(linear >= 0, linear, -linear - 1)
    segment = np.searchsorted([0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF], magnitude)
    code = (segment << 4) | ((magnitude >> np.maximum(segment, 1)) & 0x0F)
    return (code ^ np.where(linear >= 0, 0x80 | TOGGLED, TOGGLED)).astype(np.uint8)


@cache
def _decode_table() -> NDArray[np.int16]:
    """The 16-bit sample of every A-law byte."""
    np = load_numpy()
    code = np.arange(256) ^ TOGGLED
    segment = (code >> 4) & 0x07
    step = (code & 0x0F) << 4
    magnitude = np.where(segment == 0, step + 8, (step + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype("<i2")
