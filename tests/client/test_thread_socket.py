"""The socket of the sync client, beside the one of websockets that it is made of: the same bytes come to the same."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode
from websockets.server import ServerProtocol

from antiphon.client.thread_connection import connect
from antiphon.client.thread_socket import ThreadSocket

MOST = 100_000


def frame(opcode: int, data: bytes, *, fin: bool = True, rsv1: bool = False, mask: bool = False) -> bytes:
    """As it lies on the wire, in order or not."""
    if mask:
        return Frame(Opcode(opcode), data).serialize(mask=True)
    assert len(data) < 126
    return bytes([0x80 * fin + 0x40 * rsv1 + opcode, len(data)]) + data


def text(data: str | bytes) -> bytes:
    """In one frame."""
    return Frame(Opcode.TEXT, data.encode() if isinstance(data, str) else data).serialize(mask=False)


BEGINNING = frame(1, b"a be", fin=False)
REST = frame(0, b"ginning")
PING = frame(9, b"ping")
CLOSE = Frame(Opcode.CLOSE, Close(1000, "done").serialize()).serialize(mask=False)
STREAMS = {
    "texts of all lengths": text("one") + text("") + text("x" * 125) + text("x" * 126) + text("x" * 66_000) + CLOSE,
    "the longest text": text("x" * MOST) + CLOSE,
    "a text of several bytes a character": text("\N{SNOWMAN}" * 100) + CLOSE,
    "fragments, a ping amid them, and a text after them": BEGINNING + PING + REST + text("x") + CLOSE,
    "fragments that end in the midst of a character": frame(1, b"\xe2\x98", fin=False) + frame(0, b"\x83") + CLOSE,
    "a length said in more bytes than it needs": b"\x81\x7e\x00\x03two\x81\x7f" + bytes(7) + b"\x03two" + CLOSE,
    "a text amid fragments": text("x") + BEGINNING + text("y") + REST,
    "a continuation of nothing": text("x") + REST + text("y"),
    "a text after the close": text("x") + CLOSE + text("y"),
    "a masked text": text("x") + frame(1, b"y", mask=True) + text("z"),
    "a reserved bit": text("x") + frame(1, b"y", rsv1=True) + text("z"),
    "a reserved opcode": text("x") + frame(3, b"y") + text("z"),
    "a text that is too long": text("x") + text("y" * (MOST + 1)) + text("z"),
    "fragments that are too long together": BEGINNING + frame(0, b"y" * 100, fin=False) * (MOST // 100) + text("z"),
    "a text that is no UTF-8": text("x") + text(b"\xff"),
    "an end in the midst of a text": text("x") + text("y" * 200)[:100],
    "an end without a close": text("x"),
}
ENDS = {stream for name, stream in STREAMS.items() if name.startswith("an end")}


def answer(peer: socket.socket, stream: bytes, ends: bool) -> None:
    """Accept, and send the stream with what accepts; `ends`: hang up then, else when the client has had enough."""
    protocol = ServerProtocol()
    while not (requests := protocol.events_received()):
        protocol.receive_data(peer.recv(4096))
    protocol.send_response(protocol.accept(requests[0]))  # pyright: ignore[reportArgumentType]
    with peer:
        peer.sendall(b"".join(protocol.data_to_send()) + stream)
        if ends:
            peer.shutdown(socket.SHUT_WR)
        while protocol.close_rcvd is None and (received := peer.recv(4096)):
            protocol.receive_data(received)


def receive(opened: Any, messages: list[str | bytes]) -> None:
    """What the reader gets, until the end."""
    while True:
        messages.append(opened.recv(timeout=10))


def heard(stream: bytes, **options: Any) -> tuple[list[str | bytes], tuple[Any, ...]]:
    """The messages of a stream, and how it ends."""
    messages: list[str | bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    answering = threading.Thread(target=answer, args=(peer, stream, stream in ENDS))
    answering.start()
    if options.pop("direct"):
        options["take"] = messages.append
    with connect("ws://peer/", sock=ours, max_size=MOST, compression=None, proxy=None, **options) as opened:
        assert isinstance(opened, ThreadSocket) == ("take" in options)
        with pytest.raises(ConnectionClosed) as closed:
            receive(opened, messages)
    answering.join(10)
    return messages, (type(closed.value), closed.value.rcvd, closed.value.sent, str(closed.value))


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_comes_to_what_websockets_makes_of_it(name: str) -> None:
    """Messages, and the close, whether they come with the handshake's answer or later."""
    assert heard(STREAMS[name], direct=True) == heard(STREAMS[name], direct=False)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("name", [name for name, stream in STREAMS.items() if len(stream) < 1000])
def test_it_does_not_matter_where_a_stream_is_cut(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the handshake's answer, in a frame's head, in its payload."""
    whole = heard(STREAMS[name], direct=False)
    monkeypatch.setattr(ThreadSocket, "recv_bufsize", size)
    assert heard(STREAMS[name], direct=True) == whole


def test_bytes_come_to_the_reader() -> None:
    """Only texts are handed over where they are read."""
    messages, _ = heard(frame(2, b"bytes") + frame(2, b"in ", fin=False) + frame(0, b"two") + CLOSE, direct=True)
    assert messages == [b"bytes", b"in two"]
