"""One run of a conversation over a socket, from connecting to the news that it ended.

Nothing is decided here: ClientProtocol says what each message means, an AudioLink serves the sound device, Callbacks
and EventStream serve the application. This moves text between them and the socket, and ends things in order: the socket
and the device, then tools, then callbacks of what was received, and last the callbacks about the end.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import websockets
from websockets.exceptions import ConnectionClosed

from antiphon.errors import RemoteProtocolError, SessionError
from antiphon.protocol.client import ClientProtocol, callback
from antiphon.protocol.events import AgentAudio, ClientEvent, ClientToolCall, Interruption, ServerEvent, UserAudio

from . import address
from .audio_interface import AsyncAudioInterface, AudioInterface
from .audio_link import AudioLink
from .delivery import Callbacks, EventStream, call
from .disconnection import DisconnectionDetails, disconnection
from .tools import ClientTools

logger = logging.getLogger(__name__)

_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_CLOSE_TIMEOUT = 2.0
"How long the server may take to answer the closing of the socket before the connection is dropped."
_UNSENT_TIMEOUT = 0.03
"How long what was sent before the end may take to go out."
_TOOLS_TIMEOUT = 0.1
"How long tools may go on after the socket is closed: enough for one that ended the conversation itself."
_CALLBACKS_TIMEOUT = 2.0
"How long the callbacks of what was received may take after the end."


class Connection:
    """Runs `protocol`, opened already, over one socket.

    `find_callback` gives the application's callback of a name, or None; it is asked for each event anew.
    """

    def __init__(
        self,
        protocol: ClientProtocol,
        *,
        audio_interface: AudioInterface | AsyncAudioInterface | None,
        client_tools: ClientTools,
        find_callback: Callable[[str], Callable[..., Any] | None],
    ) -> None:
        self.events = EventStream()
        self.closed = asyncio.Event()
        "The socket is closed, or was never opened."
        self.settled = asyncio.Event()
        "The server has named the conversation, or it will not any more."
        self.details: DisconnectionDetails | None = None
        "How it ended; None while it goes on."
        self.failure: Exception | None = None
        "What kept the conversation from beginning."
        self._protocol = protocol
        self._client_tools = client_tools
        self._find_callback = find_callback
        self._link = AudioLink(audio_interface, self._hear) if audio_interface is not None else None
        self._callbacks = Callbacks()
        self._tool_calls: set[asyncio.Task[None]] = set()
        self._has_socket = False
        self._unsent = asyncio.Event()
        self._unsent.set()  # the initiation
        self._ending = asyncio.Event()

    def send(self, event: ClientEvent) -> None:
        """Has an event sent; before the socket is open, as soon as it is.

        Raises:
            SessionError: the conversation is over.
        """
        if self.details is not None:
            raise SessionError("the session has ended")
        self._protocol.send(event)
        self._unsent.set()

    def end(self, details: DisconnectionDetails) -> None:
        """Makes `run` end. The first reason given is the one that counts."""
        if self.details is None:
            self.details = dataclasses.replace(details, conversation_id=self._protocol.conversation_id)
            self._ending.set()
            self.settled.set()

    async def run(self, url: str) -> None:
        """Holds the conversation until either side ends it. Cancelling ends it as `end` does, without waiting."""
        try:
            async with asyncio.TaskGroup() as tasks:
                delivering = tasks.create_task(self._callbacks.run())
                conversing = tasks.create_task(self._converse(url))
                await self._ending.wait()
                if not self._has_socket:
                    conversing.cancel()
                await asyncio.wait({conversing})
                self.closed.set()
                self._callbacks.close()
                await asyncio.wait({delivering}, timeout=_CALLBACKS_TIMEOUT)
                if delivering.cancel():
                    logger.warning("callbacks did not end with the session and are left", extra=self._extra())
        finally:
            self.end(DisconnectionDetails("user"))
            self.closed.set()
            self.events.close()
            await self._announce_end()

    # ------------------------------------------------------------------------------------------------- the socket

    async def _converse(self, url: str) -> None:
        options: dict[str, Any] = {"proxy": None} if address.is_loopback(url) else {}
        try:
            async with websockets.connect(
                url, max_size=_MAX_MESSAGE_BYTES, compression=None, close_timeout=_CLOSE_TIMEOUT, **options
            ) as socket:
                self._has_socket = True
                await self._exchange(socket)
        except Exception as error:
            logger.exception("the conversation could not be held", extra=self._extra())
            self._fail(error)

    async def _exchange(self, socket: websockets.ClientConnection) -> None:
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._send(socket))
            tasks.create_task(self._receive(socket, tasks))
            playing = tasks.create_task(self._play(self._link)) if self._link is not None else None
            await self._ending.wait()
            if playing is not None:
                playing.cancel()
            self._unsent.set()
            await asyncio.wait({sending}, timeout=_UNSENT_TIMEOUT)
            sending.cancel()
            await socket.close()  # which ends _receive
            self.closed.set()
            if self._tool_calls:
                await asyncio.wait(self._tool_calls, timeout=_TOOLS_TIMEOUT)
            for tool_call in self._tool_calls:
                tool_call.cancel()

    async def _send(self, socket: websockets.ClientConnection) -> None:
        try:
            while True:
                await self._unsent.wait()
                self._unsent.clear()
                for message in self._protocol.messages_to_send():
                    await socket.send(message)
                if self._ending.is_set():
                    return
        except ConnectionClosed:
            return  # _receive says so

    async def _receive(self, socket: websockets.ClientConnection, tasks: asyncio.TaskGroup) -> None:
        try:
            while True:
                message = await socket.recv()
                if self._ending.is_set():
                    continue  # until the socket is closed
                try:
                    events = self._protocol.receive(_text(message))
                except RemoteProtocolError:
                    logger.warning("a message of the server was ignored", extra=self._extra(), exc_info=True)
                    continue
                self._unsent.set()  # it may have been a ping
                for event in events:
                    self._act_on(event, tasks)
        except ConnectionClosed as closed:
            self.end(disconnection(closed))

    def _act_on(self, event: ServerEvent, tasks: asyncio.TaskGroup) -> None:
        if isinstance(event, AgentAudio) and self._link is not None and event.audio:
            self._link.output(event.audio)
        elif isinstance(event, Interruption) and self._link is not None:
            self._link.interrupt()
        elif isinstance(event, ClientToolCall):
            tool_call = tasks.create_task(self._run_tool(event))
            self._tool_calls.add(tool_call)
            tool_call.add_done_callback(self._tool_calls.discard)
        if self._protocol.metadata is not None:
            self.settled.set()
        self.events.put(event)
        self._deliver("on_event", event)
        wanted = callback(event)
        if wanted is not None:
            self._deliver(wanted.name, *wanted.arguments)

    # ------------------------------------------------------------------------------- device, tools, application

    async def _play(self, link: AudioLink) -> None:
        try:
            await link.run()
        except Exception as error:
            logger.exception("the audio interface did not start", extra=self._extra())
            self._fail(error)

    def _hear(self, audio: bytes) -> None:
        if self.details is None:
            self.send(UserAudio(audio))

    async def _run_tool(self, tool_call: ClientToolCall) -> None:
        result = await self._client_tools.run(tool_call)
        if self.details is None:
            self.send(result)

    def _deliver(self, name: str, *arguments: Any) -> None:
        function = self._find_callback(name)
        if function is not None:
            self._callbacks.put(function, *arguments)

    async def _announce_end(self) -> None:
        for name, arguments in (("callback_end_session", ()), ("callback_disconnect", (self.details,))):
            function = self._find_callback(name)
            if function is not None:
                await call(function, *arguments)

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self.end(DisconnectionDetails("error", message=str(error)))

    def _extra(self) -> dict[str, str | None]:
        return {"conversation_id": self._protocol.conversation_id}


def _text(message: str | bytes) -> str:
    if isinstance(message, bytes):
        raise RemoteProtocolError("a binary frame, where the protocol has only text")
    return message
