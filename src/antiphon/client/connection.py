"""One run of a conversation over a socket, from connecting to the news that it ended.

Nothing is decided here: ClientProtocol says what each message means, an AudioLink serves the sound device, Callbacks
and EventStream serve the application. This moves text between them and the socket, and ends things in order: the socket
and the device, then tools, then callbacks of what was received, and last the callbacks about the end.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, Any

import websockets
from websockets.exceptions import ConnectionClosed

from antiphon.errors import RemoteProtocolError, SessionError
from antiphon.protocol.client import ClientProtocol, callback
from antiphon.protocol.events import (
    AgentAudio,
    ClientEvent,
    ClientToolCall,
    ConversationMetadata,
    Interruption,
    ServerEvent,
    UnknownEvent,
    UserAudio,
)

from . import address
from .audio_interface import AsyncAudioInterface, AudioInterface
from .audio_link import AudioLink, silence
from .delivery import Callbacks, EventStream, call
from .disconnection import DisconnectionDetails, disconnection
from .tools import ClientTools

if TYPE_CHECKING:
    from .loop_socket import LoopSocket

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
NOT_CONNECTED = "Session not started or websocket not connected."
"The original's words."
_CLOSE_TIMEOUT = 2.0
"How long the server may take to answer the closing of the socket before the connection is dropped."
_UNSENT_TIMEOUT = 0.03
"How long what was sent before the end may take to go out."
_TOOLS_TIMEOUT = 0.1
"How long tools may go on after the socket is closed: enough for one that ended the conversation itself."
_CALLBACKS_TIMEOUT = 2.0
"How long the callbacks of what was received may take after the end."


class Connection:
    """Runs the protocols that `open_protocol` opens over one socket, or over several if `resume` gives another address.

    `connect` opens a socket as `websockets.connect` does. `find_callback` gives the application's callback of a name,
    or None; it is asked for each event anew. `on_socket` is told the socket when there is one, `on_end` that the end
    has begun; `on_message` gets each message instead of `take`.
    """

    def __init__(
        self,
        open_protocol: Callable[[], ClientProtocol],
        *,
        connect: Callable[..., Any],
        audio_interface: AudioInterface | AsyncAudioInterface | None,
        client_tools: Any,
        find_callback: Callable[[str], Callable[..., Any] | None],
        is_muted: Callable[[], bool] = lambda: False,
        resume: Callable[[DisconnectionDetails], Awaitable[str | None]] | None = None,
        on_socket: Callable[[Any], None] = lambda socket: None,
        on_end: Callable[[], None] = lambda: None,
        on_message: Callable[[str], Awaitable[None]] | None = None,
        headers: dict[str, str] | None = None,
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
        self.over = False
        "Nothing is left to do but to tell of the end."
        self._open_protocol = open_protocol
        self._protocol = open_protocol()
        self._connect = connect
        self._is_muted = is_muted
        self._resume = resume
        self._on_socket = on_socket
        self._on_end = on_end
        self._on_message = on_message
        self._headers = headers
        self._client_tools = client_tools
        self._find_callback = find_callback
        self._link = AudioLink(audio_interface, self._hear) if audio_interface is not None else None
        self._playing: asyncio.Task[None] | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._direct: LoopSocket | None = None
        self._callbacks = Callbacks(lambda: find_callback("on_error"))
        self._tool_calls: set[asyncio.Task[None]] = set()
        self._has_socket = False
        self._unsent = asyncio.Event()
        self._unsent.set()  # the initiation
        self._ending = asyncio.Event()
        self._leaving = self._ending
        "Set when the present socket is of no more use."
        self._next_url: str | None = None

    def send(self, event: ClientEvent) -> None:
        """Has an event sent; before the socket is open, as soon as it is.

        Raises:
            SessionError: the conversation is over.
        """
        if self.details is not None:
            raise SessionError(NOT_CONNECTED)
        self._protocol.send(event)
        self._flush()

    def end(self, details: DisconnectionDetails) -> None:
        """Makes `run` end. The first reason given is the one that counts."""
        if self.details is None:
            self.details = dataclasses.replace(details, conversation_id=self._protocol.conversation_id)
            self._ending.set()
            self._leaving.set()
            self.settled.set()
            self._on_end()

    def report(self, error: Exception) -> None:
        """Tells the application of an error that it would not see otherwise."""
        on_error = self._find_callback("on_error")
        if on_error is not None:
            self._callbacks.put(on_error, error)

    async def run(self, url: str) -> None:
        """Holds the conversation until either side ends it. Cancelling ends it as `end` does, without waiting."""
        if isinstance(self._client_tools, ClientTools):
            self._client_tools.attach()
        try:
            async with asyncio.TaskGroup() as tasks:
                delivering = tasks.create_task(self._callbacks.run())
                conversing = tasks.create_task(self._converse(url, tasks))
                await self._ending.wait()
                if not self._has_socket:
                    conversing.cancel()
                await asyncio.wait({conversing})
                self.closed.set()
                if self._playing is not None:
                    await asyncio.wait({self._playing})
                self._callbacks.close()
                await asyncio.wait({delivering}, timeout=_CALLBACKS_TIMEOUT)
                if delivering.cancel():
                    logger.warning("callbacks did not end with the session and are left", extra=self._extra())
        finally:
            self.end(DisconnectionDetails("user"))
            self.closed.set()
            self.events.close()
            if isinstance(self._client_tools, ClientTools):
                self._client_tools.detach()
            self._on_socket(None)
            self.over = True
            await self._announce_end()

    # ------------------------------------------------------------------------------------------------- the socket

    async def _converse(self, url: str, tasks: asyncio.TaskGroup) -> None:
        next_url: str | None = url
        try:
            while next_url is not None:
                next_url = await self._hold(next_url, tasks)
        except Exception as error:
            logger.exception("the conversation could not be held", extra=self._extra())
            self._fail(error)

    async def _hold(self, url: str, outer: asyncio.TaskGroup) -> str | None:
        opened, is_direct = self._opened(url)
        async with opened as socket:
            self._direct = socket if is_direct else None
            self._next_url = None
            self._has_socket = True
            self._leaving = asyncio.Event()
            if self._ending.is_set():
                self._leaving.set()
            self._on_socket(socket)
            if self._link is not None and self._playing is None:
                self._playing = outer.create_task(self._play(self._link))
            await self._exchange(socket)
        self._direct = None
        if self._next_url is not None:
            self._protocol = self._open_protocol()
        return self._next_url

    def _opened(self, url: str) -> tuple[AbstractAsyncContextManager[Any], bool]:
        """A LoopSocket, unless the application has another `connect` or handles messages itself, or a proxy is in
        between: then one of websockets. And which it is."""
        from websockets.asyncio.client import connect

        proxied = not address.is_loopback(url) and address.has_proxy(url)
        if self._connect is connect and self._on_message is None and not proxied:
            try:
                from .loop_socket import open_socket
            except ImportError:  # picows has no wheel for every platform
                pass
            else:
                return open_socket(url, max_size=MAX_MESSAGE_BYTES, headers=self._headers), True
        options: dict[str, Any] = {}
        if self._connect is connect:  # else a stand-in, which may know no more than the original gives it
            options = {"compression": None, "close_timeout": _CLOSE_TIMEOUT}
            if address.is_loopback(url):
                options["proxy"] = None
        if self._headers:
            options["additional_headers"] = self._headers
        return self._connect(url, max_size=MAX_MESSAGE_BYTES, **options), False

    async def _exchange(self, socket: websockets.ClientConnection) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            receiving = tasks.create_task(self._receive(socket))
            sending = None
            if self._direct is None:
                sending = tasks.create_task(self._send(socket))
            else:
                self._flush()
                self._direct.begin(self.take)
            await self._leaving.wait()
            if self._playing is not None and self._ending.is_set():
                self._playing.cancel()
            if sending is not None:
                self._unsent.set()
                await asyncio.wait({sending}, timeout=_UNSENT_TIMEOUT)
                sending.cancel()
            await socket.close()  # which ends _receive, unless the socket is a test's
            receiving.cancel()
            if self._ending.is_set():
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
                if self._leaving.is_set():
                    return
        except ConnectionClosed:
            return  # _receive says so

    async def _receive(self, socket: websockets.ClientConnection) -> None:
        try:
            while True:
                message = await socket.recv()
                if self._ending.is_set():
                    continue  # until the socket is closed
                if self._on_message is None or isinstance(message, bytes):
                    self.take(message)
                    continue
                try:
                    await self._on_message(message)
                except Exception as error:
                    logger.exception("the application failed")
                    self.report(error)
        except ConnectionClosed as closed:
            details = disconnection(closed)
            if self._resume is not None and not self._ending.is_set() and details.close_code == 1006:
                self._next_url = await self._resume(details)
            if self._next_url is None:
                self.end(details)
            self._leaving.set()

    def _flush(self) -> None:
        """Has what waits sent: at once where the socket can do that, else by the task that sends."""
        if self._direct is None:
            self._unsent.set()
            return
        for message in self._protocol.messages_to_send():
            self._direct.send_now(message)

    def take(self, message: str | bytes) -> None:
        """Does what a message asks for, and tells the application."""
        if self.details is not None:
            return
        try:
            if isinstance(message, bytes):
                raise RemoteProtocolError("a binary frame, where the protocol has only text")
            events = self._protocol.receive(message)
            self._flush()  # it may have been a ping
            for event in events:
                self._act_on(event)
        except RemoteProtocolError as error:
            logger.warning("a message of the server was ignored", extra=self._extra(), exc_info=True)
            self.report(error)
        except Exception:
            logger.exception("Error receiving message", extra=self._extra())

    def _act_on(self, event: ServerEvent) -> None:
        if isinstance(event, AgentAudio) and self._link is not None and event.audio:
            self._link.output(event.audio)
        elif isinstance(event, Interruption) and self._link is not None:
            self._link.interrupt()
        elif isinstance(event, ConversationMetadata) and self._link is not None:
            self._link.announce(event.user_input_audio_format, event.agent_output_audio_format)
        elif isinstance(event, ClientToolCall):
            assert self._tasks is not None
            tool_call = self._tasks.create_task(self._run_tool(event))
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
        if self.details is not None:
            return
        if self._is_muted():
            metadata = self._protocol.metadata
            audio = silence(len(audio), metadata.user_input_audio_format if metadata is not None else "")
        self.send(UserAudio(audio))

    async def _run_tool(self, tool_call: ClientToolCall) -> None:
        if not isinstance(self._client_tools, ClientTools):
            self._run_foreign_tool(tool_call)
            return
        result = await self._client_tools.run(tool_call)
        if self.details is None:
            self.send(result)

    def _run_foreign_tool(self, tool_call: ClientToolCall) -> None:
        """With another class's `execute_tool`, such as the original's, which answers in whatever thread."""
        loop = asyncio.get_running_loop()

        def respond(message: dict[str, Any]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(self._answer, message)

        parameters = tool_call.parameters | {"tool_call_id": tool_call.tool_call_id}
        try:
            self._client_tools.start()
            self._client_tools.execute_tool(tool_call.tool_name, parameters, respond)
        except Exception as error:
            logger.exception("a tool could not be run", extra=self._extra())
            self.report(error)

    def _answer(self, message: dict[str, Any]) -> None:
        if self.details is None:
            self.send(UnknownEvent(message))

    def _deliver(self, name: str, *arguments: Any) -> None:
        function = self._find_callback(name)
        if function is not None:
            self._callbacks.put(function, *arguments)

    async def _announce_end(self) -> None:
        for name, arguments in (("callback_end_session", ()), ("callback_disconnect", (self.details,))):
            function = self._find_callback(name)
            if function is not None:
                error = await call(function, *arguments)
                on_error = self._find_callback("on_error")
                if error is not None and on_error is not None:
                    await call(on_error, error)

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self.end(DisconnectionDetails("error", message=str(error)))

    def _extra(self) -> dict[str, str | None]:
        return {"conversation_id": self._protocol.conversation_id}
