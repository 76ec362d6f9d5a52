"""Turn detection by Smart Turn v3, a small network that listens to how the last seconds were said; with onnxruntime.

The graph takes `input_features` [1, 80, 800] (features.py) and gives one value that is a probability already, whatever
it is called. The file (8.7 MB, BSD-2-Clause) is not ours to ship: it comes with `pipecat-ai`, or from its makers. One
judgement costs a processor about a tenth of a second, so it runs in a thread beside the event loop, at most one per
processor core at a time; a caller who goes on meanwhile cancels the wait, and one not begun yet is never made.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import msgspec

from antiphon.engines.base import EngineContext
from antiphon.errors import ConfigError, EngineError

from .features import BANDS, FRAMES, log_mel

PATH = "conversation_config.antiphon.turn"
FOLDER = ("audio", "turn", "smart_turn", "data")
"Where pipecat keeps its model."


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`conversation_config.antiphon.turn` of the engine `smart_turn`."""

    engine: str = "smart_turn"
    model: str = ""
    "Path of the ONNX file; left out: the newest one inside an installed pipecat-ai."
    threads: Annotated[int, msgspec.Meta(ge=1)] = 1
    "Threads that one judgement may use."


def create(options: Mapping[str, Any], context: EngineContext) -> SmartTurn:
    """Factory of the engine `turn: smart_turn`. The model itself is loaded by `prepare`.

    Raises:
        ConfigError: an option is wrong, or there is no model.
    """
    try:
        parsed = msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise ConfigError(message, path=PATH + where.rstrip("`")) from error
    path = Path(parsed.model) if parsed.model else _packaged_model()
    if not path.is_file():
        raise ConfigError(f"there is no file {str(path)!r}", path=f"{PATH}.model")
    return SmartTurn(path.resolve(), parsed.threads)


def _packaged_model() -> Path:
    """The newest model inside pipecat-ai, found without importing that package (it takes seconds)."""
    package = find_spec("pipecat")
    for folder in (package and package.submodule_search_locations) or ():
        if models := sorted(Path(folder, *FOLDER).glob("smart-turn-v3*.onnx")):
            return models[-1]
    raise ConfigError(
        "Smart Turn's model is not here: give the path of smart-turn-v3.2-cpu.onnx, or pip install pipecat-ai",
        path=f"{PATH}.model",
    )


@lru_cache(maxsize=4)
def _session(path: Path, threads: int) -> Any:
    """The InferenceSession of that file; agents share it, for it has no state. Blocks for some 100 ms."""
    try:
        onnxruntime: Any = import_module("onnxruntime")
    except ImportError as error:
        raise ConfigError("onnxruntime is missing: pip install 'antiphon[speech]'", path=f"{PATH}.engine") from error
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    errors = onnxruntime.capi.onnxruntime_pybind11_state
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except (errors.Fail, errors.InvalidProtobuf, errors.InvalidGraph, errors.NotImplemented) as error:
        raise ConfigError(f"onnxruntime cannot load it: {error}", path=str(path)) from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [value.name for value in inputs] != ["input_features"] or len(outputs) != 1:
        names = ", ".join(value.name for value in (*inputs, *outputs))
        raise ConfigError(f"this is not the graph of Smart Turn v3: it has {names}", path=str(path))
    if inputs[0].shape[-2:] != [BANDS, FRAMES]:
        raise ConfigError(f"this is not the graph of Smart Turn v3: it takes {inputs[0].shape}", path=str(path))
    return session


class SmartTurn:
    """One agent's detector."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path = path
        self._threads = threads
        self._session: Any = None
        workers = max(1, (os.cpu_count() or 1) // threads)
        # Its queue needs no bound: every caller waits for one judgement at a time.
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="smart-turn")

    async def prepare(self) -> None:
        """Load the model, and run it once: the first run allocates. Raises ConfigError or EngineError."""
        self._session = await self._in_thread(_session, self._path, self._threads)
        await self.complete(b"")

    async def complete(self, audio: bytes) -> float:
        """See TurnDetector."""
        if self._session is None:
            await self.prepare()
        return await self._in_thread(self._judge, audio)

    async def aclose(self) -> None:
        """Wait for what is being judged, and end the threads."""
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        try:
            future = asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)
        except RuntimeError as error:
            raise EngineError("smart_turn", "it has been closed") from error
        return await future

    def _judge(self, audio: bytes) -> float:
        """In a thread: onnxruntime and numpy's larger operations let the event loop run."""
        if len(audio) % 2:
            raise EngineError("smart_turn", f"{len(audio)} bytes are no whole number of samples")
        try:
            (output,) = self._session.run(None, {"input_features": log_mel(audio)[None]})
            return min(1.0, max(0.0, float(output.reshape(-1)[0])))
        except Exception as error:  # whatever a model's file makes onnxruntime raise: its errors share no base
            raise EngineError("smart_turn", f"the model failed: {error}") from error
