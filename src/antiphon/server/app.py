"""The server as one ASGI application: the table of contents of this folder.

    /v1/convai/conversation                     websocket.py        raw ASGI: a conversation is two callables
    /v1/convai/conversation/get-signed-url      rest/conversations.py
    /v1/convai/conversations/{id}               rest/conversations.py
    /v1/convai/orchestrator                     orchestrator.py     the same, with an agent that the client brings
    /health                                     rest/health.py

FastAPI answers what is not a conversation. Agents and their engines are loaded before the first request and freed after
the last: by ASGI's lifespan under any server, by `Application.running` where somebody wants to see what went wrong.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message, Receive, Scope, Send

from antiphon.agents.folder import FolderWorkspace
from antiphon.engines.registry import Registry
from antiphon.errors import AntiphonError, ConfigError
from antiphon.session.tools.hosts import HostPolicy
from antiphon.store.store import open_store

from .alongside import alongside
from .auth import Authority
from .conversations import ConversationFolder
from .engine_pool import EnginePool
from .keys import signing_secret, workspace_key
from .orchestrator import PATH as ORCHESTRATOR_PATH
from .orchestrator import OrchestratorRoute
from .rest import conversations, health
from .rest.errors import add_error_answers
from .services import Services
from .sessions import Sessions
from .settings import Settings
from .webhooks import Deliveries
from .websocket import PATH, ConversationRoute
from .workspace import StoredWorkspace


def create_app(
    settings: Settings,
    *,
    registry: Registry | None = None,
    epoch: Callable[[], float] = time.time,  # noqa: TID251  the one place where the wall clock comes in
    clock: Callable[[], float] = time.monotonic,  # noqa: TID251  the loop's time base, finer than uvloop tells it
    random_bits: Callable[[int], int] = secrets.randbits,
    announce_key: Callable[[str], None] = lambda key: None,
) -> Application:
    """A server's application. Nothing is read or made before it runs.

    `registry`: the engines that agents may name; None: those installed. `announce_key` is called with the workspace key
    if one had to be generated, once in the life of a data folder.
    """
    return Application(settings, registry or Registry(), epoch, clock, random_bits, announce_key)


class Application:
    """An ASGI application."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        epoch: Callable[[], float],
        clock: Callable[[], float],
        random_bits: Callable[[int], int],
        announce_key: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._epoch = epoch
        self._clock = clock
        self._random_bits = random_bits
        self._announce_key = announce_key
        self._rest = _rest()
        self._sockets: dict[str, ConversationRoute] = {}
        self.services: Services | None = None
        "What its doors share, once it runs."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch: lifespan, conversation, everything else."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            if (route := self._sockets.get(scope["path"])) is not None:
                await route(scope, receive, send)
            else:
                await _no_socket_here(receive, send)
        else:
            await self._answer(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Services]:
        """Load everything; on leaving, end live conversations and free it.

        Raises:
            ConfigError: an agent, an engine or a setting is wrong; `path` says where.
            EngineError: an engine failed to start.
            StoreError: the database cannot be reached.
        """
        settings = self._settings
        conversations = ConversationFolder(settings.data / "conversations")
        files = FolderWorkspace.load(settings.agents)
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(open_store(settings.database_url))
            workspace = StoredWorkspace(files, store.resources)
            engines = EnginePool(self._registry, workspace, settings.models)
            stack.push_async_callback(engines.aclose)
            for agent in files.agents:
                await engines.preload(agent)
            services = Services(
                settings=settings,
                store=store,
                workspace=workspace,
                registry=self._registry,
                engines=engines,
                authority=self._authority(),
                sessions=Sessions(conversations, settings.max_sessions),
                conversations=conversations,
                deliveries=Deliveries(self._webhook_hosts(), conversations.document, conversations.audio, self._epoch),
                tool_hosts=_hosts("tool_hosts", settings.tool_hosts),
                epoch=self._epoch,
                clock=self._clock,
                random_bits=self._random_bits,
            )
            self.services = self._rest.state.services = services
            self._sockets = {PATH: ConversationRoute(services)}
            if settings.allow_client_config:
                self._sockets[ORCHESTRATOR_PATH] = OrchestratorRoute(services)
            deliveries = services.deliveries.running(settings.shutdown_timeout)
            async with deliveries, alongside(services.sessions.write_down()):
                try:
                    yield services
                finally:
                    await services.sessions.stop(settings.shutdown_timeout)

    def _webhook_hosts(self) -> HostPolicy:
        """Where webhooks may go: this machine too, if only this machine can ask for them."""
        local = ("127.0.0.0/8", "::1") if self._settings.is_local else ()
        return _hosts("webhook_hosts", (*self._settings.webhook_hosts, *local))

    def _authority(self) -> Authority:
        settings = self._settings
        if settings.api_key is not None:
            key = settings.api_key.get_secret_value()
        else:
            key, generated = workspace_key(settings.data)
            if generated:
                self._announce_key(key)
        return Authority(key, signing_secret(settings.data))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.running())
            except AntiphonError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request under an id that its error messages, its log lines and its response headers share."""
        request_id = scope["request_id"] = f"{self._random_bits(128):032x}"

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["request-id"] = request_id
            await send(message)

        await self._rest(scope, receive, send_with_id)


def _rest() -> FastAPI:
    app = FastAPI(title="Antiphon", docs_url=None, redoc_url=None)
    app.include_router(health.router)
    app.include_router(conversations.router)
    add_error_answers(app)
    # Browsers may call from anywhere: it is the key that opens, never a cookie (rest.md 6).
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"], expose_headers=["request-id"]
    )
    return app


async def _no_socket_here(receive: Receive, send: Send) -> None:
    """Refuse the handshake of a socket on any other path."""
    await receive()  # websocket.connect
    body = json.dumps({"detail": {"status": "not_found", "message": f"the conversation socket is at {PATH}"}}).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def _hosts(setting: str, allowed: Sequence[str]) -> HostPolicy:
    try:
        return HostPolicy(allowed)
    except ConfigError as error:
        raise ConfigError(error.message, path=setting) from error
