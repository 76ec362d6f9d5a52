"""A socket on an event loop for connection.py, by picows: frames are read and written in C, without a task for each.

What applications see of it is what websockets would show them: its exceptions, its closing handshake, its keepalive.
Imported when the first socket is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import picows
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, InvalidHandshake
from websockets.exceptions import InvalidStatus as InvalidStatusError
from websockets.frames import OK_CLOSE_CODES, Close
from websockets.http11 import Response

_OPEN_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 2.0
"How long the server may take to answer the closing of the socket before the connection is dropped."
_KEEPALIVE = 20.0
"Seconds without a sign of the server until it is asked for one, and until it is given up."
_NO_STATUS = 1005


class LoopSocket(picows.WSListener):
    """Gives each message to the taker as it is read, and writes without waiting.

    What the network does not take yet is buffered, for the 40 s after which the keepalive gives the peer up.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._transport: Any = None
        self._kept: list[str | bytes] = []
        self._take: Callable[[str | bytes], None] = self._kept.append
        self._fragments: list[bytes] = []
        self._kind: Any = None
        self._received: Close | None = None
        self._sent: Close | None = None
        self._gone = asyncio.Event()

    # ------------------------------------------------------------------------------------------ called by picows

    def on_ws_connected(self, transport: Any) -> None:
        """The handshake is done."""
        self._transport = transport

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """A frame has come."""
        kind = frame.msg_type
        if frame.payload_size > self._most:
            return  # picows breaks off for it, but may hand it over before
        if kind == picows.WSMsgType.TEXT and frame.fin:
            self._take(_text(frame.get_payload_as_utf8_text))
        elif kind == picows.WSMsgType.CLOSE:
            self._close_received(frame)
        elif kind in (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY, picows.WSMsgType.CONTINUATION):
            self._join(kind, frame)

    def on_ws_disconnected(self, transport: Any) -> None:
        """The connection is gone."""
        self._gone.set()

    # ------------------------------------------------------------------------------------- called by connection.py

    def begin(self, take: Callable[[str | bytes], None]) -> None:
        """From now on `take` gets the messages, first those that have come already."""
        self._take = take
        for message in self._kept:
            take(message)
        self._kept.clear()

    def send_now(self, text: str) -> None:
        """Writes a message; does nothing where the socket is closed, which the reader learns."""
        if self._sent is None and not self._gone.is_set():
            self._transport.send(picows.WSMsgType.TEXT, text.encode())

    async def send(self, text: str) -> None:
        """As websockets has it. Raises ConnectionClosed."""
        if self._sent is not None or self._gone.is_set():
            raise self._closed()
        self.send_now(text)

    async def recv(self) -> str:
        """Waits for the end: messages go to the taker. Raises ConnectionClosed."""
        await self._over()
        raise self._closed()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the socket, and waits until it is closed."""
        self._send_close(Close(code, reason))
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._over()
        self._transport.disconnect(graceful=False)

    # ----------------------------------------------------------------------------------------------------- inside

    async def _over(self) -> None:
        try:
            await self._transport.wait_disconnected()
        except picows.WSProtocolError as error:  # picows has closed the socket for it
            self._sent = self._sent or Close(int(error.code), str(error))

    def _join(self, kind: Any, frame: Any) -> None:
        if kind != picows.WSMsgType.CONTINUATION:
            self._kind, self._fragments = kind, []
        self._fragments.append(frame.get_payload_as_bytes())
        if sum(map(len, self._fragments)) > self._most:
            raise picows.WSProtocolError(picows.WSCloseCode.MESSAGE_TOO_BIG, "the message is too big")
        if frame.fin:
            whole, self._fragments = b"".join(self._fragments), []
            self._take(_text(whole.decode) if self._kind == picows.WSMsgType.TEXT else whole)

    def _close_received(self, frame: Any) -> None:
        code = frame.get_close_code()
        reason = frame.get_close_message()
        self._received = Close(_NO_STATUS if code is None else int(code), (reason or b"").decode("utf-8", "replace"))
        self._send_close(self._received)
        self._transport.disconnect(graceful=True)

    def _send_close(self, close: Close) -> None:
        if self._sent is None and not self._gone.is_set():
            self._sent = close
            code = picows.WSCloseCode.OK if close.code == _NO_STATUS else picows.WSCloseCode(close.code)
            self._transport.send_close(code, close.reason.encode())

    def _closed(self) -> ConnectionClosed:
        received, sent = self._received, self._sent
        regular = received is not None and received.code in OK_CLOSE_CODES
        kind = ConnectionClosedOK if regular else ConnectionClosedError
        return kind(received, sent, None if received is None or sent is None else sent is received)


def _text(decode: Callable[[], str]) -> str:
    try:
        return decode()
    except UnicodeDecodeError as error:
        raise picows.WSProtocolError(picows.WSCloseCode.INVALID_TEXT, "the message is no UTF-8") from error


@asynccontextmanager
async def open_socket(
    url: str, *, max_size: int, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[LoopSocket]:
    """A socket to `url`, without a proxy.

    Raises:
        OSError: nobody answers there.
        InvalidHandshake: the server does not want to; InvalidStatus, by an HTTP status.
        TimeoutError: it took too long.
    """
    try:
        opens: Any = getattr(picows, "ws_connect")  # noqa: B009 - whose type is not whole
        _, socket = await opens(
            lambda: LoopSocket(max_size),
            url,
            websocket_handshake_timeout=_OPEN_TIMEOUT,
            enable_auto_ping=True,
            auto_ping_idle_timeout=_KEEPALIVE,
            auto_ping_reply_timeout=_KEEPALIVE,
            max_frame_size=max_size,
            extra_headers=headers,
        )
    except picows.WSInvalidStatusError as error:
        status = HTTPStatus(error.response.status if error.response is not None else 500)
        raise InvalidStatusError(Response(int(status), status.phrase, Headers())) from error
    except picows.WSHandshakeError as error:
        raise InvalidHandshake(str(error)) from error
    assert isinstance(socket, LoopSocket)
    try:
        yield socket
    finally:
        await socket.close()
