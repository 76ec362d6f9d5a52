"""The engine `turn: smart_turn`: its plumbing, on graphs written here byte by byte.

How well Smart Turn judges is not tested: synthetic voices say nothing about it, and its file is not ours to ship. That
the real file answers as it does for its makers was observed by hand (docs/quality.md).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from antiphon.engines.base import EngineContext, TurnDetector
from antiphon.engines.registry import Registry
from antiphon.engines.turn.features import log_mel
from antiphon.errors import ConfigError, EngineError

pytestmark = pytest.mark.component("onnxruntime")

# An ONNX file is a protocol buffer: each field is its number and kind, then a length and that many bytes, or a number.


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def tensor(name: str, *shape: int) -> bytes:
    """ValueInfoProto: a float tensor of that shape."""
    dimensions = b"".join(field(1, field(1, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dimensions)))


def mean(source: str, target: str, axis: int, *, keep: bool) -> bytes:
    """NodeProto: ReduceMean over one axis, opset 13."""
    axes = field(1, "axes") + field(8, axis) + field(20, 7)
    keepdims = field(1, "keepdims") + field(3, int(keep)) + field(20, 2)
    return field(1, source) + field(2, target) + field(4, "ReduceMean") + field(5, axes) + field(5, keepdims)


def graph(given: str = "input_features", shape: tuple[int, ...] = (1, 80, 800)) -> bytes:
    """ModelProto: the sigmoid of the mean of all features."""
    nodes = (
        mean(given, "by_band", 2, keep=False),
        mean("by_band", "mean", 1, keep=True),
        field(1, "mean") + field(2, "logits") + field(4, "Sigmoid"),
    )
    body = b"".join(field(1, node) for node in nodes) + field(2, "mean")
    body += field(11, tensor(given, *shape)) + field(12, tensor("logits", 1, 1))
    return field(1, 8) + field(8, field(2, 13)) + field(7, body)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "smart-turn-v3.2-cpu.onnx"
    path.write_bytes(graph())
    return path


def detector(options: Mapping[str, Any]) -> TurnDetector:
    """As everybody gets it."""
    return Registry().create("turn", "smart_turn", {"engine": "smart_turn", **options}, EngineContext())


def noise(seconds: float = 2.0, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).normal(0, 2000, round(seconds * 16_000)).astype(np.int16).tobytes()


def test_it_answers_with_what_the_model_says_of_the_features(model: Path) -> None:
    """The one output, as it is: it is a probability already."""

    async def judge() -> list[float]:
        turn = detector({"model": str(model)})
        await turn.prepare()
        try:
            return [await turn.complete(audio) for audio in (noise(), noise(9.0), b"")]
        finally:
            await turn.aclose()

    expected = [1 / (1 + np.exp(-log_mel(audio).mean())) for audio in (noise(), noise(9.0), b"")]
    assert asyncio.run(judge()) == pytest.approx(expected, abs=1e-5)


def test_the_event_loop_runs_while_it_judges(model: Path) -> None:
    """Many callers at once: each gets its own answer, and the loop turns meanwhile."""

    async def judge() -> tuple[list[float], int]:
        turn = detector({"model": str(model)})
        await turn.prepare()
        turns = 0
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(turn.complete(noise(seed=seed))) for seed in range(8)]
            while not all(task.done() for task in tasks):
                await asyncio.sleep(0)
                turns += 1
        await turn.aclose()
        return [task.result() for task in tasks], turns

    answers, turns = asyncio.run(judge())
    assert answers == pytest.approx([1 / (1 + np.exp(-log_mel(noise(seed=s)).mean())) for s in range(8)], abs=1e-5)
    assert turns > 8


def test_who_is_cancelled_disturbs_nobody(model: Path) -> None:
    """The user went on: the question is dropped, the next one is answered, and nothing is left behind."""

    async def judge() -> float:
        turn = detector({"model": str(model)})
        await turn.prepare()
        dropped = [asyncio.ensure_future(turn.complete(noise(8.0))) for _ in range(6)]
        await asyncio.sleep(0)
        for task in dropped:
            task.cancel()
        answer = await turn.complete(noise())
        assert all(
            isinstance(r, asyncio.CancelledError) for r in await asyncio.gather(*dropped, return_exceptions=True)
        )
        await turn.aclose()
        return answer

    assert asyncio.run(judge()) == pytest.approx(1 / (1 + np.exp(-log_mel(noise()).mean())), abs=1e-5)


def test_it_loads_itself_where_nobody_prepared_it(model: Path) -> None:
    """`prepare` is a courtesy to the first caller."""

    async def judge() -> float:
        turn = detector({"model": str(model), "threads": 2})
        try:
            return await turn.complete(noise())
        finally:
            await turn.aclose()

    assert 0.0 < asyncio.run(judge()) < 1.0


def test_after_it_was_closed_it_fails_as_engines_do(model: Path) -> None:
    """EngineError, not whatever an executor raises. Closing twice is no harm."""

    async def judge() -> None:
        turn = detector({"model": str(model)})
        await turn.aclose()
        await turn.aclose()
        with pytest.raises(EngineError):
            await turn.complete(noise())

    asyncio.run(judge())


def test_half_a_sample_is_refused(model: Path) -> None:
    """Audio is s16le."""

    async def judge() -> None:
        turn = detector({"model": str(model)})
        with pytest.raises(EngineError, match="samples"):
            await turn.complete(b"\0\0\0")
        await turn.aclose()

    asyncio.run(judge())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"no model", "cannot load"),
        (graph(given="waveform"), "not the graph of Smart Turn v3"),
        (graph(shape=(1, 40, 800)), "not the graph of Smart Turn v3"),
    ],
)
def test_another_file_is_refused_when_it_is_loaded(tmp_path: Path, content: bytes, complaint: str) -> None:
    """ConfigError that names the file: a wrong path must not wait for the first pause of the first call."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    async def load() -> None:
        turn = detector({"model": str(path)})
        try:
            await turn.prepare()
        finally:
            await turn.aclose()

    with pytest.raises(ConfigError, match=complaint) as caught:
        asyncio.run(load())
    assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"model": "/nowhere/smart-turn.onnx"}, "conversation_config.antiphon.turn.model"),
        ({"model": 3}, "conversation_config.antiphon.turn.model"),
        ({"threads": 0}, "conversation_config.antiphon.turn.threads"),
        ({"modle": "x"}, "conversation_config.antiphon.turn"),
    ],
)
def test_wrong_options_are_named(options: Mapping[str, Any], path: str) -> None:
    """ConfigError with the place in the agent's file."""
    with pytest.raises(ConfigError) as caught:
        detector(options)
    assert caught.value.path == path


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *models: str) -> None:
    """A package named pipecat that must not be imported, with these models."""
    data = folder / "pipecat" / "audio" / "turn" / "smart_turn" / "data"
    data.mkdir(parents=True)
    (folder / "pipecat" / "__init__.py").write_text("raise AssertionError('imported')", encoding="utf-8")
    for model in models:
        (data / model).write_bytes(graph())
    monkeypatch.setattr(sys, "path", [str(folder)])
    monkeypatch.delitem(sys.modules, "pipecat", raising=False)


def test_the_model_inside_an_installed_pipecat_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path; the newest of several, and without importing the package."""
    registry = Registry()
    factory = registry.create("turn", "smart_turn", {"model": __file__}, EngineContext())  # imports what it needs
    asyncio.run(factory.aclose())
    install(tmp_path, monkeypatch, "smart-turn-v3.0.onnx", "smart-turn-v3.2-cpu.onnx")
    turn = registry.create("turn", "smart_turn", {}, EngineContext())

    async def judge() -> float:
        try:
            return await turn.complete(noise())
        finally:
            await turn.aclose()

    assert 0.0 < asyncio.run(judge()) < 1.0
    assert "pipecat" not in sys.modules


def test_without_any_model_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways out are named: a path, or the package."""
    registry = Registry()
    turn = registry.create("turn", "smart_turn", {"model": __file__}, EngineContext())
    asyncio.run(turn.aclose())
    install(tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match="pip install pipecat-ai") as caught:
        registry.create("turn", "smart_turn", {}, EngineContext())
    assert caught.value.path == "conversation_config.antiphon.turn.model"


def test_the_bytes_written_here_are_what_onnx_means() -> None:
    """The smallest check of this file's own encoder: a known message, field by field."""
    assert field(1, 300) == b"\x08\xac\x02"
    assert field(2, "testing") == b"\x12\x07testing"
