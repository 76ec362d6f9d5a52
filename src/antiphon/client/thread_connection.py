"""One run of a conversation over a socket, in threads: what connection.py is on an event loop.

Theory of operation. The socket's own thread reads a message, asks ClientProtocol what it means, answers and plays at
once: there is no queue between the wire and the sound device, and no second thread to wake for each message. Whoever
has something to send, the microphone's thread too, encodes it and writes it itself; when another thread is writing at
that moment, that one writes it as well. Callbacks have a thread of their own, tools theirs (ClientTools). The thread
that called `run` sleeps until the socket is closed and then ends things in order: the device, tools, callbacks of what
was received, and last the callbacks about the end.

`end` may be called anywhere, in a signal's handler too: it takes no lock that the interrupted code might hold. It
leaves the closing of the socket to a thread of its own and waits for that one, 50 ms at most.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

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
from .audio_interface import AudioInterface
from .audio_link import find_set_formats, silence
from .connection import MAX_MESSAGE_BYTES, NOT_CONNECTED
from .disconnection import DisconnectionDetails, disconnection
from .thread_delivery import CallbackThread, EventQueue, call
from .tools import ClientTools

logger = logging.getLogger(__name__)


def connect(uri: str, *, take: Callable[[str], None] | None = None, **options: Any) -> Any:
    """A socket as `websockets.sync.client.connect` opens it; with `take`, a ThreadSocket.

    websockets' own is loaded here and not before: it is the larger part of what importing the client would cost.
    """
    from websockets.sync import client

    if take is not None:
        from .thread_socket import ThreadSocket

        options["create_connection"] = functools.partial(ThreadSocket, take=take)
    opens: Any = client.connect
    return opens(uri, **options)


_CLOSE_TIMEOUT = 2.0
"How long the server may take to answer the closing of the socket before the connection is dropped."
_END_TIMEOUT = 0.045
"How long `end` waits for the socket to be closed."
_POLL = 0.5
"How often a socket that is not ours to wake, such as a test's, is asked whether all is over."
_RARELY = 5.0
"The same of one that is ours: closing it is what wakes its reader, and each time in vain is a wake-up for nothing."
_TOOLS_TIMEOUT = 0.1
"How long tools may go on after the socket is closed: enough for one that ended the conversation itself."
_CALLBACKS_TIMEOUT = 2.0
"How long the callbacks of what was received may take after the end."


class ThreadConnection:
    """Runs the protocols that `open_protocol` opens over one socket, or over several if `resume` gives another address.

    `connect` opens a socket as `websockets.sync.client.connect` does. `find_callback` gives the application's callback
    of a name, or None; it is asked for each event anew. `on_socket` is told the socket when there is one, `on_end` that
    the end has begun; `on_message` gets each message instead of `take`.
    """

    def __init__(
        self,
        open_protocol: Callable[[], ClientProtocol],
        *,
        connect: Callable[..., Any],
        audio_interface: AudioInterface | None,
        client_tools: Any,
        find_callback: Callable[[str], Callable[..., Any] | None],
        is_muted: Callable[[], bool] = lambda: False,
        resume: Callable[[DisconnectionDetails], str | None] = lambda details: None,
        on_socket: Callable[[Any], None] = lambda socket: None,
        on_end: Callable[[], None] = lambda: None,
        on_message: Callable[[str], None] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.events = EventQueue()
        self.settled = threading.Event()
        "The server has named the conversation, or it will not any more."
        self.failure: Exception | None = None
        "What kept the conversation from beginning."
        self.over = False
        "Nothing is left to do but to tell of the end."
        self.socket: Any = None
        self.audio_started = False
        self._is_direct = False
        self._open_protocol = open_protocol
        self._protocol = open_protocol()
        self._connect = connect
        self._audio_interface = audio_interface
        self._client_tools = client_tools
        self._find_callback = find_callback
        self._is_muted = is_muted
        self._resume = resume
        self._on_socket = on_socket
        self._on_end = on_end
        self._on_message = on_message
        self._headers = headers
        self._context = contextvars.copy_context()
        self._callbacks = CallbackThread(self.report)
        self._tool_calls: set[Future[None]] = set()
        self._receiving = threading.Lock()
        "Held while the protocol is asked anything."
        self._sending = threading.Lock()
        "Held while the socket is written to."
        self._unsent: deque[str] = deque()
        # Without a bound, for the reason that ClientProtocol gives.
        self._end: dict[str, DisconnectionDetails] = {}
        # A dict because setdefault is atomic: the first reason counts, and a signal's handler may give it.
        self._attached = False
        self._finishing = threading.Lock()

    @property
    def details(self) -> DisconnectionDetails | None:
        """How it ended; None while it goes on."""
        return self._end.get("details")

    # -------------------------------------------------------------------------------------------- from any thread

    def send(self, event: ClientEvent) -> None:
        """Sends an event; before the socket is open, as soon as it is.

        Raises:
            SessionError: the conversation is over.
        """
        if self._end:
            raise SessionError(NOT_CONNECTED)
        with self._receiving:
            self._protocol.send(event)
            self._unsent.extend(self._protocol.messages_to_send())
        self._flush()

    def end(self, details: DisconnectionDetails) -> None:
        """Ends the conversation. The first reason given is the one that counts. Returns when the socket is closed."""
        details = dataclasses.replace(details, conversation_id=self._protocol.conversation_id)
        if self._end.setdefault("details", details) is not details:
            return
        self._on_end()
        if self.socket is not None and details.reason == "user":
            closing = threading.Thread(target=self._close, args=(self.socket,), name="antiphon-closing", daemon=True)
            closing.start()
            closing.join(_END_TIMEOUT)

    def report(self, error: Exception) -> None:
        """Tells the application of an error that it would not see otherwise."""
        on_error = self._find_callback("on_error")
        if on_error is not None:
            try:
                on_error(error)
            except Exception:
                logger.exception("on_error failed")

    def is_callback(self) -> bool:
        """Whether this is asked in a callback."""
        return self._callbacks.is_current()

    # ------------------------------------------------------------------------------------------- the thread of `run`

    def run(self, url: str) -> None:
        """Holds the conversation until either side ends it; `finish` is to be called next."""
        self.attach()
        next_url: str | None = url
        try:
            while next_url is not None:
                details = self._converse(next_url)
                next_url = None
                if not self._end and details.close_code == 1006 and details.reason == "error":
                    next_url = self._resume(details)
                if next_url is None:
                    self.end(details)
                else:
                    with self._receiving:
                        self._protocol = self._open_protocol()
        except Exception as error:
            logger.exception("Error running conversation: %s", error, extra=self._extra())
            self.failure = error
            self.end(DisconnectionDetails("error", message=str(error)))

    def attach(self) -> None:
        """Has the tools made ready."""
        if not self._attached and self._client_tools is not None:
            self._attached = True
            ours = isinstance(self._client_tools, ClientTools)
            self._client_tools.attach() if ours else self._client_tools.start()

    def finish(self, stop_audio: bool = False) -> None:
        """Stops the device, then tools, then waits for callbacks, and last tells of the end. Once, in order."""
        self.end(DisconnectionDetails("user"))
        with self._finishing:
            if self.over:
                return
            self.socket = None
            self._on_socket(None)
            if self.audio_started or stop_audio:
                self.audio_started = False
                self._guarded(self._audio_interface.stop if self._audio_interface is not None else lambda: None)
            if self._tool_calls:
                for tool_call in wait(set(self._tool_calls), _TOOLS_TIMEOUT).not_done:
                    tool_call.cancel()
            if self._attached:
                ours = isinstance(self._client_tools, ClientTools)
                self._guarded(self._client_tools.detach if ours else self._client_tools.stop)
            self.settled.set()
            self.events.close()
            if not self.is_callback() and not self._callbacks.finish(_CALLBACKS_TIMEOUT):
                logger.warning("callbacks did not end with the session and are left", extra=self._extra())
            self.over = True
        for name, arguments in (("callback_end_session", ()), ("callback_disconnect", (self.details,))):
            function = self._find_callback(name)
            if function is not None:
                call(function, arguments, self.report)

    def _converse(self, url: str) -> DisconnectionDetails:
        options: dict[str, Any] = {}
        self._is_direct = self._connect is connect
        if self._is_direct:  # else a stand-in, which may know no more than the original gives it
            options = {"compression": None, "close_timeout": _CLOSE_TIMEOUT}
            options["take"] = self.take if self._on_message is None else self._pass_on
            if address.is_loopback(url):
                options["proxy"] = None
        if self._headers:
            options["additional_headers"] = self._headers
        with self._connect(url, max_size=MAX_MESSAGE_BYTES, **options) as socket:
            with self._receiving:
                self._unsent.extendleft(reversed(self._protocol.messages_to_send()))
            self.socket = socket
            self._on_socket(socket)
            self._flush()
            if not self._end and self._audio_interface is not None and not self.audio_started:
                self.audio_started = True  # a `start` that fails half-way may have opened the device
                self._audio_interface.start(self._hear)
            return self._wait(socket)

    def _wait(self, socket: Any) -> DisconnectionDetails:
        while not self._end:
            try:
                message = socket.recv(timeout=_RARELY if self._is_direct else _POLL)
            except TimeoutError:
                continue
            except ConnectionClosed as closed:
                return disconnection(closed)
            self._pass_on(message)  # from a socket that is no ThreadSocket, or a binary frame
        return self._end["details"]

    def _close(self, socket: Any) -> None:
        self._flush()
        if hasattr(socket, "close"):  # else it is a test's
            socket.close()

    # ------------------------------------------------------------------------------- the socket's thread, mostly

    def _pass_on(self, message: str | bytes) -> None:
        if self._on_message is None or isinstance(message, bytes):
            self.take(message)
        elif not self._end:
            self._guarded(self._on_message, message)

    def take(self, message: str | bytes) -> None:
        """Does what a message asks for, and tells the application."""
        if self._end:
            return
        try:
            if isinstance(message, bytes):
                raise RemoteProtocolError("a binary frame, where the protocol has only text")
            with self._receiving:
                events = self._protocol.receive(message)
                self._unsent.extend(self._protocol.messages_to_send())
            if self._unsent:  # it was a ping
                self._flush()
            for event in events:
                self._act_on(event)
        except RemoteProtocolError as error:
            logger.warning("a message of the server was ignored", extra=self._extra(), exc_info=True)
            self.report(error)
        except Exception:
            logger.exception("Error receiving message", extra=self._extra())

    def _act_on(self, event: ServerEvent) -> None:
        if isinstance(event, AgentAudio):
            if self._audio_interface is not None and event.audio:
                self._guarded(self._audio_interface.output, event.audio)
        elif isinstance(event, Interruption):
            if self._audio_interface is not None:
                self._guarded(self._audio_interface.interrupt)
        elif isinstance(event, ConversationMetadata):
            if (set_formats := find_set_formats(self._audio_interface)) is not None:
                self._guarded(set_formats, event.user_input_audio_format, event.agent_output_audio_format)
        elif isinstance(event, ClientToolCall):
            self._context.copy().run(self._run_tool, event)
        if not self.settled.is_set() and self._protocol.metadata is not None:
            self.settled.set()
        self.events.put(event)
        on_event = self._find_callback("on_event")
        if on_event is not None:
            self._callbacks.put(on_event, event)
        wanted = callback(event)
        if wanted is not None:
            function = self._find_callback(wanted.name)
            if function is not None:
                self._callbacks.put(function, *wanted.arguments)

    def _flush(self) -> None:
        """Writes what waits, unless a thread is at it already: then that one writes this, too."""
        while self._unsent and (socket := self.socket) is not None:
            if not self._sending.acquire(blocking=False):
                return
            try:
                send = socket.send_now if self._is_direct else socket.send
                while self._unsent:
                    send(self._unsent.popleft())
            except ConnectionClosed:
                return  # the thread of `run` says so
            finally:
                self._sending.release()

    def _hear(self, audio: bytes) -> None:
        if self._end:
            return
        if self._is_muted():
            metadata = self._protocol.metadata
            audio = silence(len(audio), metadata.user_input_audio_format if metadata is not None else "")
        try:
            self.send(UserAudio(bytes(audio)))
        except SessionError:
            return  # it has just ended

    def _run_tool(self, tool_call: ClientToolCall) -> None:
        if not isinstance(self._client_tools, ClientTools):
            self._run_foreign_tool(tool_call)
            return
        running = self._client_tools.submit(tool_call, self._answer)
        self._tool_calls.add(running)
        running.add_done_callback(self._tool_calls.discard)

    def _run_foreign_tool(self, tool_call: ClientToolCall) -> None:
        """With another class's `execute_tool`, such as the original's."""

        def respond(message: dict[str, Any]) -> None:
            self._answer(UnknownEvent(message))

        parameters = tool_call.parameters | {"tool_call_id": tool_call.tool_call_id}
        self._client_tools.execute_tool(tool_call.tool_name, parameters, respond)

    def _answer(self, event: ClientEvent) -> None:
        if not self._end:
            try:
                self.send(event)
            except SessionError:
                return

    def _guarded(self, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:
            logger.exception("the application failed")
            self.report(error)

    def _extra(self) -> dict[str, str | None]:
        return {"conversation_id": self._protocol.conversation_id}
