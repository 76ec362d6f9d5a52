"""The tones of a telephone's keys (DTMF), as sound."""

from __future__ import annotations

from .arrays import load_numpy

TONE = 0.1
"Seconds that a key sounds. ITU-T Q.24 asks receivers to take 40 ms."
GAP = 0.06
"Seconds of silence behind it."
PAUSES = {"w": 0.5, "W": 1.0}
"Seconds of silence that a letter stands for."
_LEVEL = 0.25
"Of full scale, each of the two frequencies: the tone is at -9 dBFS (rms of a full-scale sine: 0), its peak at -6."
_EDGE = 0.005
"Seconds that a tone takes to rise and to fall: without, keys click."

_ROWS = (697, 770, 852, 941)
_COLUMNS = (1209, 1336, 1477, 1633)
_KEYS = ("123A", "456B", "789C", "*0#D")
FREQUENCIES = {
    key: (row, column)
    for row, keys in zip(_ROWS, _KEYS, strict=True)
    for key, column in zip(keys, _COLUMNS, strict=True)
}
"Hertz of each key's two tones (ITU-T Q.23)."


def dtmf(tones: str, rate: int) -> bytes:
    """The keys one after another: s16le mono at `rate`. `tones`: 0-9 * # A-D, in either case, and w, W for pauses.

    Raises:
        ValueError: there is no such key.
    """
    np = load_numpy()
    moments = np.arange(round(TONE * rate)) / rate
    rise = np.clip(moments / _EDGE, 0.0, 1.0)
    envelope = np.minimum(rise, np.clip((TONE - moments) / _EDGE, 0.0, 1.0))
    pieces: list[bytes] = []
    for key in tones:
        if key in PAUSES:
            pieces.append(bytes(2 * round(PAUSES[key] * rate)))
            continue
        if key.upper() not in FREQUENCIES:
            raise ValueError(f"no key {key!r}")
        low, high = FREQUENCIES[key.upper()]
        wave = np.sin(2 * np.pi * low * moments) + np.sin(2 * np.pi * high * moments)
        pieces.append((wave * envelope * _LEVEL * 32767).astype("<i2").tobytes())
        pieces.append(bytes(2 * round(GAP * rate)))
    return b"".join(pieces)
