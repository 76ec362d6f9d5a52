"""The server as a process: listening, saying so, stopping when told to."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

import uvicorn

from antiphon.errors import AntiphonError, ConfigError
from antiphon.protocol.server import MAX_MESSAGE_BYTES

from .alongside import alongside
from .app import Application, create_app
from .logs import log_to_stderr
from .settings import Settings

LARGEST_FRAME = 2 * MAX_MESSAGE_BYTES
"""What uvicorn takes in, twice the protocol's limit: what lies between still reaches the conversation, which tells the
client what is wrong before it closes. What is larger, uvicorn cuts off with the bare close code 1009."""
SWITCH_INTERVAL = 0.001
"""Seconds for which a thread at work in Python may hold up the event loop, each time that the loop wakes up. With
Python's own 5 ms a timer comes 5 ms late, one in a hundred 16; with this, 1.2 and 1.9."""


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code of the process: 0, or 2 if the server could not start.

    When ready, `antiphon ready <address>` is the one line on standard output; everything else goes to standard error.
    """
    log_to_stderr(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_told(settings))
    except AntiphonError as error:
        print(f"antiphon: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


@contextlib.asynccontextmanager
async def listening(app: Application, settings: Settings) -> AsyncGenerator[str]:
    """Run the application in this event loop, on the settings' host and port.

    Yields its address, as `http://127.0.0.1:8080`, once requests are answered. Leaving ends live conversations, writes
    their records and frees the port.

    Raises:
        ConfigError: a setting or an agent is wrong.
        EngineError: an engine failed to start.
    """
    with contextlib.closing(_bound(settings)) as listener:
        config = _uvicorn_config(app, settings)
        async with app.running() as services:
            stop, limit, drain = services.sessions.stop, settings.shutdown_timeout, settings.drain_timeout
            server = _Uvicorn(config, lambda: stop(limit, drain=drain))
            async with alongside(server.serve(sockets=[listener])) as serving:
                await server.ready.wait()
                try:
                    yield _address(settings, listener.getsockname()[1])
                finally:
                    server.should_exit = True
                    await asyncio.wait({serving})


async def _until_told(settings: Settings) -> None:
    """Serve until a signal comes, also while still loading."""
    task = asyncio.current_task()
    assert task is not None
    told = False

    def stop() -> None:
        nonlocal told
        if not told:  # a second signal must not break off the orderly end
            told = True
            task.cancel()

    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # on Windows; there, Ctrl+C ends the process less politely
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
    try:
        async with listening(create_app(settings, announce_key=_announce_key), settings) as address:
            # What is loaded by now stays: looked through with the rest, it would hold all conversations up for a tenth
            # of a second each time.
            gc.collect()
            gc.freeze()
            sys.setswitchinterval(SWITCH_INTERVAL)
            print(f"antiphon ready {address}", flush=True)  # noqa: T201
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not told:
            raise


def _announce_key(key: str) -> None:
    print(  # noqa: T201
        f"antiphon: a workspace key was made, and is shown this once: {key}\n"
        "antiphon: it is kept in the data folder; ANTIPHON_API_KEY sets another",
        file=sys.stderr,
        flush=True,
    )


class _Uvicorn(uvicorn.Server):
    """uvicorn, save for its beginning and end: it says when it is ready, lets conversations say goodbye before it cuts
    their sockets, and leaves signals to the process (its own way of ending is to raise the signal again)."""

    def __init__(self, config: uvicorn.Config, farewell: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._farewell = farewell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in good order."""
        await self._farewell()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


def _uvicorn_config(app: Application, settings: Settings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=LARGEST_FRAME,
        # Deflate undoes base64's overhead at two hundred times its cost (performance.md 2c).
        ws_per_message_deflate=False,
        # WebSocket pings would punish clients that do not read for a while, as some do between turns (clients.md);
        # the protocol's own pings and TCP notice who is really gone.
        ws_ping_interval=None,
        lifespan="off",  # `app.running()` is entered by hand, so that its errors arrive here
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=1,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(str(error), path=f"tls_cert {settings.tls_cert}, tls_key {settings.tls_key}") from error
    return config


def _bound(settings: Settings) -> socket.socket:
    """A socket on the settings' host and port that does not listen yet: nobody is kept waiting while agents load."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            # Accepted sockets inherit it: whoever acknowledges nothing for so long, or keeps its window shut, is gone.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(settings.unread_timeout * 1000))
        listener.bind(address)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise ConfigError(f"cannot listen there: {error.strerror or error}", path=where) from error
    return listener


def _address(settings: Settings, port: int) -> str:
    scheme = "https" if settings.tls_cert else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{port}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop
