"""A chat-completions server on the loopback interface that does exactly what a test tells it, wrong things included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import pytest

STALL: Literal["stall"] = "stall"
"Send nothing more, and wait until the client hangs up."
DROP: Literal["drop"] = "drop"
"Cut the connection, mid-sentence."

Step = bytes | Literal["stall", "drop"]


class Received:
    """One request as it came in."""

    def __init__(self, head: bytes, content: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ")
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        self.body: Any = json.loads(content)


class ChatServer:
    """Answers the n-th request with the n-th list of steps; the last one again and again."""

    STALL = STALL
    DROP = DROP

    def __init__(self, *answers: Sequence[Step]) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()
        "The client closed its connection while an answer was stalled."
        self._answers = list(answers)
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._serving.values():
            writer.close()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(Received(head, await reader.readexactly(size)))
                self.asked.set()
                answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
                if not await self._send(answer, reader, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del self._serving[task]
            writer.close()

    async def _send(self, answer: Sequence[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for step in answer:
            if step == STALL:
                assert await reader.read() == b""
                self.hung_up.set()
                return False
            if step == DROP:
                return False
            writer.write(step)
            await writer.drain()
        return True

    # ------------------------------------------------------------------------------------------- steps of answers

    @staticmethod
    def head(status: int = 200, **headers: str) -> bytes:
        """The beginning of an answer; `content_type="..."` is the header Content-Type."""
        lines = [f"HTTP/1.1 {status} Whatever"]
        lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    @classmethod
    def stream_head(cls) -> bytes:
        """The beginning of an event stream that ends with an empty chunk."""
        return cls.head(content_type="text/event-stream", transfer_encoding="chunked")

    @staticmethod
    def piece(content: bytes) -> bytes:
        """A chunk of the transfer encoding; an empty one ends the body."""
        return f"{len(content):x}\r\n".encode() + content + b"\r\n"

    @classmethod
    def stream(cls, *events: Mapping[str, Any] | bytes, done: bool = True) -> list[Step]:
        """A whole streamed answer: completions as JSON, other pieces as they are, the end mark if `done`."""
        contents = [e if isinstance(e, bytes) else f"data: {json.dumps(e)}\n\n".encode() for e in events]
        if done:
            contents.append(b"data: [DONE]\n\n")
        return [cls.stream_head(), *(cls.piece(content) for content in [*contents, b""])]

    @classmethod
    def whole(cls, value: Any, status: int = 200, **headers: str) -> list[Step]:
        """An answer that is one JSON document."""
        content = json.dumps(value).encode()
        return [
            cls.head(status, content_type="application/json", content_length=str(len(content)), **headers) + content
        ]

    @staticmethod
    def says(text: str, finish_reason: str | None = None) -> dict[str, Any]:
        """A chunk with text."""
        return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}]}


@pytest.fixture
def chat_server() -> type[ChatServer]:
    """The server's class: test code is shared through fixtures here."""
    return ChatServer
