"""A real server, in a process of its own, for clients that nobody here wrote and for our own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

HERE = Path(__file__).parent
CLIENTS = HERE.parent.parent / ".venv-compat"
PYTHON = CLIENTS / "elevenlabs" / "bin" / "python"
REFUSED_HANDSHAKE = "ASGI callable returned without completing handshake"
"What uvicorn takes for an error, and is none: a socket on a path where there is none, answered with 404 and a body."


class Calls:
    """A client's REST calls, made in a process of its own: `python("voices.get", voice_id="en-us")`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, method: str, *args: Any, **named: Any) -> Any:
        """What the client makes of the answer. It must have all that the client requires."""
        note = self._call(method, args, named)
        assert "answer" in note, f"{method}: {note}"
        assert not note.get("missing"), f"{method}: the answer lacks {note['missing']}"
        return note["answer"]

    def refused(self, method: str, *args: Any, **named: Any) -> tuple[int, str]:
        """HTTP status and the error's name, of a call that the server refuses."""
        note = self._call(method, args, named)
        assert "status" in note, f"{method}: {note}"
        return note["status"], note["body"]["detail"]["status"]

    def _call(self, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"method": method, "args": args, "named": named}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Course:
    """What happened in a scenario."""

    def __init__(self, notes: list[dict[str, Any]]) -> None:
        self.notes = notes

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """The notes of these kinds, in order."""
        return [note for note in self.notes if note["note"] in kinds]

    def texts(self, kind: str) -> list[str]:
        return [note["text"] for note in self.of(kind)]

    def frames(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of the server's messages of one type."""
        messages = [note["message"] for note in self.of("frame") if note["message"]["type"] == kind]
        return [next(value for key, value in message.items() if key != "type") for message in messages]


@cache
def _play(
    scenario: str, mode: str, server: str, agent: str, *, key: str | None = None, on_prem: str | None = None
) -> Course:
    """The course of a scenario, played once however many tests look at it; what goes wrong in the SDK fails them.

    `on_prem`: JSON of what the SDK's OnPremInitiationData is made of.
    """
    command = [str(PYTHON), str(HERE / "elevenlabs" / "driver.py"), scenario, mode, server, agent, key or ""]
    command += [on_prem] if on_prem else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=_without_proxies())
    notes = [json.loads(line) for line in done.stdout.splitlines()]
    course = Course(notes)
    assert not course.of("failure"), f"{course.of('failure')}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, done.stderr
    if scenario != "refused":
        assert "Error" not in done.stderr, done.stderr  # the SDK logs what it stumbles over
    return course


@pytest.fixture(scope="session")
def key() -> str:
    """The server's workspace key."""
    return "workspace-key-of-this-test"


@pytest.fixture(scope="session")
def play() -> Callable[..., Course]:
    """Plays a scenario with the unmodified elevenlabs SDK: `play("greeting", "sync", server, "hours")`."""
    return _play


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory, key: str) -> Callable[..., AbstractContextManager[str]]:
    """Starts servers: `with serving("--host", "0.0.0.0", WEBHOOK_HOSTS="10.0.0.0/8") as address`."""

    @contextmanager
    def run(*options: str, **settings: str) -> Iterator[str]:
        """A server with this folder's agents; it must log no error, and stop in good order."""
        antiphon = Path(sys.executable).with_name("antiphon")
        data = tmp_path_factory.mktemp("data")
        log = data / "server.log"
        environment = {f"ANTIPHON_{name}": value for name, value in settings.items()}
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [antiphon, "serve", "--port", "0", "--agents", HERE / "agents", "--data", data, *options],
                env=os.environ | {"ANTIPHON_API_KEY": key} | environment,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert process.stdout is not None
        with process.stdout:
            try:
                ready = process.stdout.readline().split()
                assert ready[:2] == ["antiphon", "ready"], f"the server did not start: {log.read_text()}"
                yield ready[2]
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    status = process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
        assert status == 0
        errors = [line for line in log.read_text().splitlines() if "ERROR" in line and REFUSED_HANDSHAKE not in line]
        assert not errors, log.read_text()

    return run


@pytest.fixture(scope="module")
def server(serving: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """The address of a server with its settings as they come."""
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def python(server: str, key: str) -> Iterator[Calls]:
    """The elevenlabs SDK: `python("voices.get", voice_id="en-us")`."""
    with _calling(PYTHON, HERE / "elevenlabs" / "calls.py", server, key) as calls:
        yield calls


@pytest.fixture(scope="module")
def js(server: str, key: str) -> Iterator[Calls]:
    """@elevenlabs/elevenlabs-js: `js("voices.get", "en-us")`."""
    program = HERE / "elevenlabs_js" / "calls.mjs"
    with _calling("node", program, CLIENTS / "elevenlabs_js", server, key) as calls:
        yield calls


@pytest.fixture(scope="session")
def talk() -> Callable[[str, str], str]:
    """Says something to an agent and hangs up in its answer: `talk(signed_url, "hello")` -> conversation id."""

    def run(url: str, text: str) -> str:
        with connect(url, proxy=None) as socket:
            socket.send(json.dumps({"type": "conversation_initiation_client_data"}))
            metadata = _heard(socket, "conversation_initiation_metadata")
            _heard(socket, "agent_response")
            socket.send(json.dumps({"type": "user_message", "text": text}))
            _heard(socket, "agent_response")
            for _ in range(4):  # they come as they are heard: about half a second
                _heard(socket, "audio")
        return metadata["conversation_initiation_metadata_event"]["conversation_id"]

    return run


def _heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    return next(message for message in map(json.loads, socket) if message["type"] == kind)


@contextmanager
def _calling(*command: str | Path) -> Iterator[Calls]:
    process = subprocess.Popen(
        command, env=_without_proxies(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:  # on leaving: its input ends, and so does it
        yield Calls(process)
    assert process.returncode == 0


def _without_proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
