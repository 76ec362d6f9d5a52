"""What Smart Turn looks at: the last eight seconds of sound as Whisper's log-mel spectrogram.

As Whisper's feature extractor makes it (OpenAI, `whisper/audio.py`; `WhisperFeatureExtractor` with normalisation):
windows of 25 ms every 10 ms, 80 bands on Slaney's mel scale, logarithm, all but the loudest 80 dB cut off, scaled.
Shorter sound has silence in front; its mean and variance are taken with that silence, as the model was trained.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from antiphon.engines.base import SAMPLE_RATE

SECONDS = 8
SAMPLES = SECONDS * SAMPLE_RATE
WINDOW = 400
HOP = 160
FRAMES = SAMPLES // HOP
BANDS = 80

_VARIANCE_FLOOR = 1e-7
_POWER_FLOOR = 1e-10
_DYNAMIC_RANGE = 8.0
"In powers of ten."

Array: TypeAlias = npt.NDArray[Any]


def log_mel(audio: bytes) -> npt.NDArray[np.float32]:
    """The features of the last eight seconds of `audio` (s16le, 16 kHz), as an array [80, 800]."""
    sound = np.frombuffer(audio[-2 * SAMPLES :], np.int16).astype(np.float64) / 32768
    # Mean and variance over the silence in front, too, which is then no longer zero.
    mean = sound.sum() / SAMPLES
    variance = np.square(sound).sum() / SAMPLES - mean**2
    scale = 1 / np.sqrt(max(variance, 0.0) + _VARIANCE_FLOOR)
    quiet = SAMPLES - len(sound)
    still = max(0, (quiet - WINDOW // 2) // HOP)  # frames of silence alone: all alike, one is worked out
    first = max(0, still - 1)
    padded = np.full(SAMPLES + WINDOW, -mean * scale)
    padded[WINDOW // 2 + quiet : WINDOW // 2 + SAMPLES] = (sound - mean) * scale
    _mirror_edges(padded)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: FRAMES * HOP : HOP][first:]
    spectrum = np.fft.rfft(windows * _hann(), axis=-1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    bands = np.log10(np.maximum(power @ _mel_filters(), _POWER_FLOOR))
    bands = np.maximum(bands, bands.max() - _DYNAMIC_RANGE)
    features = np.empty((BANDS, FRAMES), np.float32)
    features[:, first:] = ((bands + 4) / 4).T
    features[:, :first] = features[:, first : first + 1]
    return features


def _mirror_edges(padded: Array) -> None:
    """Whisper's windows are centred: half a window on either side repeats the sound backwards."""
    half = WINDOW // 2
    padded[:half] = padded[2 * half : half : -1]
    padded[-half:] = padded[-half - 2 : -2 * half - 2 : -1]


@cache
def _hann() -> Array:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


@cache
def _mel_filters() -> Array:
    """Weights [201, 80]: triangles evenly spaced on the mel scale, each of the same area."""
    frequencies = np.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    edges = _hertz(np.linspace(0, _mel(SAMPLE_RATE / 2), BANDS + 2))
    filters = [
        np.interp(frequencies, edges[band : band + 3], (0, 2 / (edges[band + 2] - edges[band]), 0))
        for band in range(BANDS)
    ]
    return np.stack(filters, axis=1)


# Slaney's scale is linear up to 1 kHz (15 mel) and logarithmic above, with 27 mel to a factor of 6.4.


def _mel(hertz: float) -> float:
    return 15 + 27 * float(np.log(hertz / 1000)) / float(np.log(6.4)) if hertz >= 1000 else 3 * hertz / 200


def _hertz(mels: Array) -> Array:
    return np.where(mels >= 15, 1000 * np.exp(np.log(6.4) * (mels - 15) / 27), 200 * mels / 3)
