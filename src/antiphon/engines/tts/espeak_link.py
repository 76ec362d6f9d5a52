"""The server's end of the pipes to espeak_program.py, whose docstring is the protocol.

The pipes are watched only while an answer is due, so a program belongs to no event loop, leaves nothing behind in one,
and an idle one does not hold up virtual time.
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from antiphon.errors import ConfigError

from .espeak_voices import Installed, parse_installed

HEADER: Final = struct.Struct("<IcI")
WORD: Final = struct.Struct("<II")
PROGRAM: Final = Path(__file__).with_name("espeak_program.py")
LIBRARIES: Final = ("libespeak-ng.so", "libespeak-ng.dylib")


class ProgramError(Exception):
    """The program did not do what it was asked. `lost`: nor will it do anything else."""

    def __init__(self, message: str, *, lost: bool) -> None:
        super().__init__(message)
        self.lost = lost


class Request(msgspec.Struct, frozen=True):
    """Something to be spoken."""

    text: str
    voice: str
    rate: int
    "Words a minute."
    pitch: int
    "0 to 99."
    pause: int
    "Samples kept after the last sound."


class Word(msgspec.Struct, frozen=True):
    """The sound of the text from where the word before ended."""

    audio: bytes
    until: int
    "Characters of the request's text up to here."
    voiced: int
    "Samples before the pause at its end."


def command() -> list[str]:
    """How the program is started here.

    Raises:
        ConfigError: espeak-ng is not installed.
    """
    python = [sys.executable, "-I", "-S", str(PROGRAM)]
    package = find_spec("espeakng_loader")
    for folder in (package and package.submodule_search_locations) or ():
        for name in LIBRARIES:
            if (library := Path(folder, name)).is_file():
                return [*python, str(library), str(Path(folder, "espeak-ng-data"))]
    from ctypes.util import find_library  # slow: it asks the linker

    library_name = find_library("espeak-ng")
    if library_name is None:
        raise ConfigError(
            "espeak-ng is missing: pip install 'antiphon[espeak]', or install it from the system's packages",
            path="conversation_config.antiphon.tts.engine",
        )
    return [*python, library_name]


class Program:
    """A running program. Many requests at a time, from one event loop at a time."""

    def __init__(self, command: list[str], *, patience: float) -> None:
        """Start it; returns before it is ready. `patience`: seconds of silence after which it is taken for hung."""
        self._patience = patience
        self._process = subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin.fileno()
        self._stdout = self._process.stdout.fileno()
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdout, False)
        self._incoming = bytearray()
        self._outgoing = bytearray()
        "What the pipe had no room for: at most one request of each speaker."
        self._answers: dict[int, asyncio.Queue[tuple[bytes, bytes] | None]] = {}
        "Unbounded queues, so that nobody waits for a slow listener: the sound of one request, BLOCK characters, ends."
        self._numbers = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard_at = 0.0
        self._failure = ""
        self._voices: Installed | None = None
        "They do not change while it runs, and to read the list takes 5 ms."
        self.lost = False
        "Whether it has ended, or was closed."

    @property
    def pid(self) -> int:
        """Its process, which leads a process group of its own."""
        return self._process.pid

    async def installed(self) -> Installed:
        """Which voices there are. Raises ProgramError."""
        if self._voices is None:
            async with aclosing(self._ask(b"V")) as frames:
                self._voices = parse_installed([payload.decode() async for _, payload in frames])
        return self._voices

    async def speak(self, request: Request) -> AsyncGenerator[Word]:
        """The words as they are made. Closing this stops it. Raises ProgramError."""
        line = f"{request.voice}\t{request.rate}\t{request.pitch}\t{request.pause}\n"
        audio = bytearray()
        async with aclosing(self._ask(b"S", (line + request.text).encode())) as frames:
            async for kind, payload in frames:
                if kind == b"D":
                    audio += payload
                elif kind == b"W":
                    until, voiced = WORD.unpack(payload)
                    yield Word(bytes(audio), until, voiced)
                    audio.clear()

    def close(self) -> None:
        """End it and all it has started; whoever waits for an answer gets a ProgramError."""
        with suppress(ProcessLookupError):
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._lose("it was closed")
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()  # it has been killed: this takes a moment

    # ------------------------------------------------------------------------------------------------- questions

    async def _ask(self, kind: bytes, payload: bytes = b"") -> AsyncGenerator[tuple[bytes, bytes]]:
        """Frames of the answer, without the last."""
        if self.lost:
            raise ProgramError(self._failure, lost=True)
        self._watch()
        self._numbers = number = (self._numbers + 1) % 2**32 or 1
        answer = self._answers[number] = asyncio.Queue()
        ended = False
        try:
            self._send(kind, number, payload)
            while True:
                frame = await self._next(answer)
                ended = frame[0] in b"EF"
                if frame[0] == b"F":
                    raise ProgramError(frame[1].decode(), lost=False)
                if ended:
                    return
                yield frame
        finally:
            del self._answers[number]
            if not ended:
                self._send(b"A", number)
            if not self._answers:
                self._unwatch()

    async def _next(self, answer: asyncio.Queue[tuple[bytes, bytes] | None]) -> tuple[bytes, bytes]:
        """Raises ProgramError once the program is lost, or has said nothing to anybody for too long."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        while True:
            if answer.empty() and self.lost:
                raise ProgramError(self._failure, lost=True)
            deadline = max(since, self._heard_at) + self._patience
            try:
                async with asyncio.timeout_at(deadline):
                    frame = await answer.get()
            except TimeoutError:
                if max(since, self._heard_at) + self._patience <= loop.time():
                    raise ProgramError(f"it said nothing for {self._patience:g} s", lost=True) from None
                continue
            if frame is not None:
                return frame

    # ----------------------------------------------------------------------------------------------------- pipes

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._heard_at = loop.time()  # each loop may have a clock of its own
            loop.add_reader(self._stdout, self._readable)

    def _unwatch(self) -> None:
        if self._loop is not None and not self.lost:
            self._loop.remove_reader(self._stdout)
            self._loop.remove_writer(self._stdin)
        self._loop = None

    def _readable(self) -> None:
        try:
            received = os.read(self._stdout, 65_536)
        except BlockingIOError:
            return
        if not received:
            self._lose(self._failure or "it ended")
            return
        assert self._loop is not None
        self._heard_at = self._loop.time()
        self._incoming += received
        begin = 0
        while len(self._incoming) - begin >= HEADER.size:
            length, kind, number = HEADER.unpack_from(self._incoming, begin)
            end = begin + HEADER.size + length
            if len(self._incoming) < end:
                break
            payload = bytes(self._incoming[begin + HEADER.size : end])
            begin = end
            if number == 0:
                self._failure = payload.decode()
            elif number in self._answers:  # or it was aborted
                self._answers[number].put_nowait((kind, payload))
        del self._incoming[:begin]

    def _send(self, kind: bytes, number: int, payload: bytes = b"") -> None:
        if not self.lost:
            self._outgoing += HEADER.pack(len(payload), kind, number) + payload
            self._writable()

    def _writable(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self._stdin, self._outgoing)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._outgoing.clear()  # the end of its output says so too, after its last words
        if self._loop is not None:
            if self._outgoing:
                self._loop.add_writer(self._stdin, self._writable)
            else:
                self._loop.remove_writer(self._stdin)

    def _lose(self, failure: str) -> None:
        if self.lost:
            return
        self._unwatch()
        self.lost = True
        self._failure = failure
        for answer in self._answers.values():
            answer.put_nowait(None)
