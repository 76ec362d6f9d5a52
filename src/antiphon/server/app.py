"""The server as one ASGI application: the table of contents of this folder.

    /v1/convai/conversation                     websocket.py        raw ASGI: a conversation is two callables
    /v1/convai/conversation/get-signed-url      rest/signed_urls.py
    /v1/single-use-token/{type}                 rest/single_use_tokens.py
    /v1/convai/conversations/...                rest/conversations.py
    /v1/convai/orchestrator                     orchestrator.py     the same, with an agent that the client brings
    /health                                     rest/health.py

FastAPI answers what is not a conversation. Agents and their engines are loaded before the first request and freed after
the last: by ASGI's lifespan under any server, by `Application.running` where somebody wants to see what went wrong.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message, Receive, Scope, Send

from antiphon.agents.folder import FolderWorkspace
from antiphon.audio.arrays import load_numpy
from antiphon.engines.registry import Registry
from antiphon.errors import AntiphonError, ConfigError, StoreError
from antiphon.session.tools.hosts import HostPolicy
from antiphon.store.recordings import open_recordings
from antiphon.store.store import Store, open_store

from .alongside import alongside
from .auth import Authority
from .engine_pool import EnginePool
from .environment_variables import environment_variables as environment_variables_of
from .evaluations import Evaluations
from .keys import kept_workspace_key, sealer, signing_secret, workspace_key
from .limits import Limits
from .metrics import Metrics
from .orchestrator import PATH as ORCHESTRATOR_PATH
from .orchestrator import OrchestratorRoute
from .places import Places
from .records import Records
from .rest import (
    agent_tests,
    agents,
    analytics,
    conversations,
    environment_variables,
    health,
    knowledge_base,
    llms,
    mcp_servers,
    models,
    phone_numbers,
    signed_urls,
    simulations,
    single_use_tokens,
    speech_to_text,
    text_to_speech,
    tools,
    user,
    voices,
    webhooks,
    workspace_secrets,
    workspace_settings,
)
from .rest.callers import Callers
from .rest.errors import REPORTED, add_error_answers
from .retention import Retention
from .services import Services
from .sessions import Sessions
from .settings import Settings
from .speech_engines import SpeechEngines
from .tracing import Tracing, open_tracing
from .webhooks import Deliveries
from .websocket import PATH, ConversationRoute
from .workspace import StoredWorkspace

logger = logging.getLogger(__name__)

SWEEP_INTERVAL = 3_600.0
"Seconds between two times that expired single-use tokens are forgotten."


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
        self._rest = rest_app()
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
        files = FolderWorkspace.load(settings.agents)
        async with AsyncExitStack() as stack:
            # Every conversation needs it: without this, all would wait while the first one loads it.
            await asyncio.to_thread(load_numpy)
            store = await stack.enter_async_context(open_store(settings.database_url, sealer(settings)))
            if sealed := await store.resources.seal():
                logger.info("secrets were sealed", extra={"documents": sealed})
            limits = Limits.of(settings.rate_limit_per_minute)
            authority = await self._authority(store, limits)
            workspace = StoredWorkspace(files, store.resources)
            variables = functools.partial(environment_variables_of, store.resources, workspace, None)
            engines = EnginePool(self._registry, workspace, settings.models, variables)
            stack.push_async_callback(engines.aclose)
            speech = SpeechEngines(self._registry)
            stack.push_async_callback(speech.aclose)
            for agent in files.agents:
                await engines.preload(agent)
            recordings = open_recordings(settings.recordings or str(settings.data / "recordings"))
            records = Records(store.conversations, recordings, settings.data / "recordings", self._epoch)
            await records.close_abandoned(alone=store.database.embedded)
            sessions: Sessions
            metrics = Metrics(lambda: len(sessions.live))
            webhook_hosts = self._webhook_hosts()
            deliveries = Deliveries(store, records, webhook_hosts, self._epoch, metrics.delivered)
            sessions = Sessions(records, settings.max_sessions, deliveries.nudge)
            tool_hosts = _hosts("tool_hosts", settings.tool_hosts)
            evaluations = Evaluations(
                self._registry,
                engines,
                store.resources,
                workspace,
                models=settings.models,
                hosts=tool_hosts,
                clock=self._clock,
                epoch=self._epoch,
            )
            if store.database.embedded:  # another process could still be at those of a shared one
                await evaluations.close_abandoned()
            services = Services(
                settings=settings,
                store=store,
                workspace=workspace,
                registry=self._registry,
                engines=engines,
                speech=speech,
                authority=authority,
                limits=limits,
                places=Places(
                    settings.workspace_concurrency_limit,
                    settings.workspace_daily_limit,
                    store.conversations.count,
                    self._epoch,
                ),
                sessions=sessions,
                records=records,
                metrics=metrics,
                tracing=self._tracing(stack),
                deliveries=deliveries,
                tool_hosts=tool_hosts,
                webhook_hosts=webhook_hosts,
                evaluations=evaluations,
                epoch=self._epoch,
                clock=self._clock,
                random_bits=self._random_bits,
            )
            self.services = self._rest.state.services = services
            self._sockets = {PATH: ConversationRoute(services)}
            if settings.allow_client_config:
                self._sockets[ORCHESTRATOR_PATH] = OrchestratorRoute(services)
            posting = deliveries.running(settings.shutdown_timeout)
            sweeping = alongside(self._forget_spent_tokens(store))
            retention = Retention(store, records, workspace, self._epoch, settings.retention_interval)
            writing, testing = alongside(services.sessions.write_down()), alongside(evaluations.run())
            async with posting, sweeping, alongside(retention.run()), writing, testing:
                try:
                    yield services
                finally:
                    await services.sessions.stop(settings.shutdown_timeout, drain=settings.drain_timeout)

    def _tracing(self, stack: AsyncExitStack) -> Tracing | None:
        if self._settings.otlp_endpoint is None:
            return None
        tracing = open_tracing(self._settings.otlp_endpoint)
        stack.push_async_callback(asyncio.to_thread, tracing.close)
        return tracing

    def _webhook_hosts(self) -> HostPolicy:
        """Where webhooks may go: this machine too, if only this machine can ask for them."""
        local = ("127.0.0.0/8", "::1") if self._settings.is_local else ()
        return _hosts("webhook_hosts", (*self._settings.webhook_hosts, *local))

    async def _authority(self, store: Store, limits: Limits) -> Authority:
        """Who decides who may do what. Raises ConfigError: strangers could call, and there is no key."""
        settings = self._settings
        if settings.api_key is not None:
            key = settings.api_key.get_secret_value()
        elif settings.on_loopback:
            key, generated = workspace_key(settings.data)
            if generated:
                self._announce_key(key)
        else:
            key = kept_workspace_key(settings.data)
            if key is None and not await store.keys.any_valid():
                message = (
                    "others than this machine can reach this address, and there is no key: set ANTIPHON_API_KEY, "
                    "or make one with `antiphon keys create`"
                )
                raise ConfigError(message, path=f"host {settings.host}")
        if settings.signing_secret is not None:
            secret = settings.signing_secret.get_secret_value().encode()
        else:
            secret = signing_secret(settings.data)
        return Authority(key, secret, store.keys, limits.failures, self._epoch, self._clock)

    async def _forget_spent_tokens(self, store: Store) -> None:
        """Now and then; runs until cancelled."""
        while True:
            try:
                await store.spent.sweep(now=self._epoch())
            except StoreError:  # the next time will do
                logger.exception("spent tokens could not be forgotten")
            await asyncio.sleep(SWEEP_INTERVAL)

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

        try:
            await self._rest(scope, receive, send_with_id)
        except Exception:
            if REPORTED not in scope:  # else it is raised again only for a log that has it already
                raise


def rest_app() -> FastAPI:
    """What answers requests that are not conversations: every route, with nothing behind it yet."""
    app = FastAPI(title="Antiphon", redoc_url=None)
    app.include_router(health.router)
    app.include_router(signed_urls.router)
    app.include_router(single_use_tokens.router)
    app.include_router(agents.router)
    app.include_router(agents.public)
    app.include_router(agent_tests.router)
    app.include_router(simulations.router)
    app.include_router(tools.router)
    app.include_router(workspace_secrets.router)
    app.include_router(environment_variables.router)
    app.include_router(mcp_servers.router)
    app.include_router(phone_numbers.router)
    app.include_router(workspace_settings.router)
    app.include_router(llms.router)
    app.include_router(analytics.router)
    app.include_router(conversations.router)
    app.include_router(conversations.public)
    app.include_router(webhooks.router)
    app.include_router(knowledge_base.router)
    app.include_router(text_to_speech.router)
    app.include_router(speech_to_text.router)
    app.include_router(voices.router)
    app.include_router(models.router)
    app.include_router(user.router)
    add_error_answers(app)
    app.add_middleware(Callers)
    # Browsers may call from anywhere: it is the key that opens, never a cookie (rest.md 6).
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["request-id", "retry-after"],
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
