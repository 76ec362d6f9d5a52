"""The server's end of the pipes: recogniser processes, each serving many streams, replaced when they die.

What was sent of an utterance is kept here until its transcript is there. A worker that dies or hangs is replaced and
its successor is told everything again, so that no utterance is lost. The pipes are watched by the running event loop;
every loop has its own set of workers, shared by all agents on it and ended with the last of them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from antiphon.engines.base import Transcript
from antiphon.errors import EngineError

from .worker import HEADER, LONGEST, RATE

logger = logging.getLogger(__name__)

ENGINE = "pocketsphinx"
RESTARTS = 2
"Workers that one utterance may cost before it is given up."
PIPE_READ = 1 << 16


class Worker:
    """One process and the streams on it."""

    def __init__(self, pool: Pool) -> None:
        self.streams: dict[int, WorkerStream] = {}
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._incoming = bytearray()
        self._outgoing = bytearray()
        "What the pipe had no room for; bounded by what the streams keep of their utterances."
        self._lost = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "antiphon.engines.stt.worker"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdout, False)
        self._loop.add_reader(self._stdout, self._read)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def send(self, kind: bytes, stream: int, payload: bytes = b"") -> None:
        """Write one message. Returns at once."""
        if self._lost:
            return
        self._outgoing += HEADER.pack(kind, stream, len(payload)) + payload
        self._write()

    def kill(self) -> None:
        """It hangs: the streams go to another."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """End the process."""
        self._forget()
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()  # it has been killed: this takes a moment

    def _forget(self) -> None:
        if not self._lost:
            self._lost = True
            self._loop.remove_reader(self._stdout)
            self._loop.remove_writer(self._stdin)

    def _write(self) -> None:
        try:
            while self._outgoing:
                written = os.write(self._stdin, self._outgoing[:PIPE_READ])
                del self._outgoing[:written]
        except BlockingIOError:
            self._loop.add_writer(self._stdin, self._write)
            return
        except OSError:
            self._outgoing.clear()  # it has died: `_read` will notice
        self._loop.remove_writer(self._stdin)

    def _read(self) -> None:
        try:
            data = os.read(self._stdout, PIPE_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._pool.replace(self)
            return
        self._incoming += data
        while len(self._incoming) >= HEADER.size:
            kind, number, length = HEADER.unpack_from(self._incoming)
            if len(self._incoming) < HEADER.size + length:
                return
            payload = bytes(self._incoming[HEADER.size : HEADER.size + length])
            del self._incoming[: HEADER.size + length]
            if (stream := self.streams.get(number)) is not None:
                stream.answered(kind, payload)


class Pool:
    """The workers of one event loop."""

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Pool]] = WeakKeyDictionary()

    def __init__(self, size: int) -> None:
        self._size = size
        self._users = 0
        self._workers: list[Worker] = []

    @classmethod
    def enter(cls, size: int) -> Pool:
        """This loop's workers; to be left again."""
        loop = asyncio.get_running_loop()
        pool = cls._of_loop.get(loop)
        if pool is None:
            pool = cls._of_loop[loop] = cls(size)
        pool._users += 1
        return pool

    def leave(self) -> None:
        """The last one out ends the processes."""
        self._users -= 1
        if not self._users:
            self._of_loop.pop(asyncio.get_running_loop(), None)
            workers, self._workers = self._workers, []
            for worker in workers:
                worker.close()

    def start(self) -> None:
        """Start all workers."""
        while len(self._workers) < self._size:
            self._workers.append(Worker(self))

    def place(self, stream: WorkerStream) -> Worker:
        """The worker with the fewest streams takes it."""
        self.start()
        worker = min(self._workers, key=lambda worker: len(worker.streams))
        worker.streams[stream.number] = stream
        return worker

    def replace(self, worker: Worker) -> None:
        """It has died: another takes over its streams."""
        if worker not in self._workers:
            return
        logger.warning("a speech recognition process has died and is replaced")
        self._workers.remove(worker)
        worker.close()
        for stream in list(worker.streams.values()):
            stream.move()


class WorkerStream:
    """One caller: a base.Recognition."""

    _numbers = 0

    def __init__(self, pool: Pool, model: Mapping[str, Any], patience: float) -> None:
        WorkerStream._numbers += 1
        self.number = WorkerStream._numbers
        self._pool = pool
        self._model = model
        self._patience = patience
        self._mean = ""
        self._utterance = bytearray()
        "What was fed of the utterance under way, at most LONGEST seconds."
        self._over_agent = False
        "It is spoken over the agent."
        self._finished: deque[tuple[bytes, bool]] = deque()
        "Utterances whose transcript is due, and whether they were spoken over the agent."
        self._deaths = 0
        self._timer: asyncio.TimerHandle | None = None
        self._transcripts: asyncio.Queue[Transcript | EngineError] = asyncio.Queue()
        "Unbounded: a partial transcript every third of a second of speech, read by a session that does nothing slow."
        self._worker = pool.place(self)
        self._open()

    # ----------------------------------------------------------------------------------------------- Recognition

    def feed(self, audio: bytes) -> None:
        """See base.Recognition."""
        if len(self._utterance) < LONGEST * RATE * 2:
            self._utterance += audio
            self._worker.send(b"a", self.number, audio)

    def finish(self) -> None:
        """See base.Recognition."""
        self._finished.append((bytes(self._utterance), self._over_agent))
        self._utterance.clear()
        self._over_agent = False
        self._worker.send(b"f", self.number)
        self._watch()

    def discard(self) -> None:
        """See base.Recognition."""
        self._utterance.clear()
        self._over_agent = False
        self._worker.send(b"d", self.number)

    def over_agent(self) -> None:
        """See base.Interjected."""
        self._over_agent = True
        self._worker.send(b"i", self.number)

    async def transcripts(self) -> AsyncGenerator[Transcript]:
        """See base.Recognition. Raises EngineError when an utterance has cost too many workers."""
        while True:
            heard = await self._transcripts.get()
            if isinstance(heard, EngineError):
                raise heard
            yield heard

    def close(self) -> None:
        """Free the decoder."""
        if self._timer is not None:
            self._timer.cancel()
        self._worker.streams.pop(self.number, None)
        self._worker.send(b"c", self.number)

    # ------------------------------------------------------------------------------------------------ the worker

    def answered(self, kind: bytes, payload: bytes) -> None:
        """A message of the worker."""
        if kind == b"p":
            if not self._finished:  # else it is about an utterance that is over
                self._transcripts.put_nowait(Transcript(payload.decode(), final=False))
        elif kind == b"t" and self._finished:
            self._finished.popleft()
            self._deaths = 0
            result = json.loads(payload)
            self._mean = result["mean"]
            self._watch()
            self._transcripts.put_nowait(Transcript(result["text"], final=True))
        elif kind == b"e":
            self._transcripts.put_nowait(EngineError(ENGINE, payload.decode()))

    def move(self) -> None:
        """Its worker is gone: tell another everything that was not answered."""
        self._deaths += 1
        if self._deaths > RESTARTS:
            self._transcripts.put_nowait(EngineError(ENGINE, "the recogniser died over one utterance again and again"))
            return
        self._worker = self._pool.place(self)
        self._open()
        for utterance, over_agent in self._finished:
            self._tell(utterance, over_agent)
            self._worker.send(b"f", self.number)
        if self._utterance:
            self._tell(bytes(self._utterance), self._over_agent)
        self._watch()

    def _tell(self, utterance: bytes, over_agent: bool) -> None:
        if over_agent:
            self._worker.send(b"i", self.number)
        self._worker.send(b"a", self.number, utterance)

    def _open(self) -> None:
        self._worker.send(b"o", self.number, json.dumps({**self._model, "mean": self._mean}).encode())

    def _watch(self) -> None:
        """An utterance whose transcript does not come means a worker that hangs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._finished:
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._worker.kill)
