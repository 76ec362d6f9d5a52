"""/v1/convai/conversation: one socket, one conversation.

A raw ASGI route: a socket is two callables, receive text and send text, and between them and the `Session` there is
only `ServerProtocol`. The order of things:

    accept              always, so that a refusal reaches the client as an `error` message and a close reason
    admit               agent, signature, key, a free place
    metadata            the first message, at once and once
    wait                for the initiation, a second at most; what comes before is kept, not refused
    run                 the session, until either side ends it
    close               with the session's code and reason; the record is written

Three tasks live meanwhile: this one, a reader, a pinger. A client that is slow to read holds up `send`, and with it the
agent's speech; one that reads nothing at all is noticed by the pinger, whose ping finds no room for too long.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.types import Message, Receive, Scope, Send

from antiphon.agents.arguments import SECRET
from antiphon.agents.config import AgentConfig, CallLimits
from antiphon.agents.initiation import initiate, time_variables
from antiphon.agents.workspace import Workspace
from antiphon.audio.formats import parse_format
from antiphon.errors import AntiphonError, AuthError, ConfigError, RemoteProtocolError, SessionError
from antiphon.evaluation.analysis import is_analysed
from antiphon.protocol.codec import client_json, encode_server
from antiphon.protocol.events import (
    ClientEvent,
    ConversationInitiation,
    ConversationMetadata,
    QueueStatus,
    ServerEvent,
    UserAudio,
)
from antiphon.protocol.server import ServerProtocol, close_reason, conversation_id
from antiphon.session.assembly import assemble
from antiphon.session.casting import Casting
from antiphon.session.engines import Engines, load_engines
from antiphon.session.session import Ending, Session
from antiphon.session.tools.hosts import HostPolicy
from antiphon.session.tools.values import HIDDEN

from . import initiation_webhook
from .addresses import client_address
from .auth import AuthorizationMethod, Credentials, KeyHolder, admit, offered_key
from .early import EarlyMessages
from .environment_variables import EnvironmentVariables, environment_variables
from .places import QUEUE_TIMED_OUT, all_taken
from .recorder import Recorder
from .refusals import refusal
from .services import Services
from .sessions import LiveConversation, ServerBusyError
from .tracing import ConversationTrace
from .webhooks import PostCallWebhook, chosen

logger = logging.getLogger(__name__)

PATH = "/v1/convai/conversation"
SUBPROTOCOL = "convai"
"Chosen when offered: browsers offer it and need it back; it is never required (protocol.md 3.2)."

SLICE = 0.25
"Seconds of audio given to a session in one go: hearing it takes the processor, and other sessions want it too."
MESSAGES_IN_A_ROW = 64
"Messages read before other sessions get their turn: a full receive buffer holds thousands."


class Admission(msgspec.Struct, frozen=True):
    """What a client that was let in gets to talk to."""

    agent: AgentConfig
    method: AuthorizationMethod
    workspace: Workspace
    "What the agent's tools come from."
    hosts: HostPolicy
    "Where those may be."
    environment: Mapping[str, str] | None = None
    "What its `env_var_label` fields name; None: the variables of the workspace, and the environment of the process."
    pooled: bool = True
    "The agent is one of the workspace: others will use its engines too."
    webhooks: Sequence[PostCallWebhook] = ()
    "Where the record and the recording go when they are written."
    conversation_id: str | None = None
    "What its signed address says; None: the conversation gets an id now."
    branch_id: str | None = None
    "The branch of the agent that was asked for."
    environment_name: str | None = None
    "The environment that was asked for, as `staging`; None: the default one."
    logging: bool = True
    "False: the address says `enable_logging=false`, and nothing that is said may be kept."


class ConversationRoute:
    """The ASGI application behind the path: every call is one socket."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from its handshake to its close; returns when the conversation's record is written."""
        await receive()  # websocket.connect
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        client = Client(scope, receive, send, self._services.settings.unread_timeout)
        try:
            await self._converse(client)
        except AntiphonError as error:
            event, close_code, reason = refusal(error)
            self._services.metrics.refused(event.error_type or type(error).__name__)
            about: dict[str, Any] = {"close_code": close_code, "error_type": event.error_type}
            if not isinstance(error, (RemoteProtocolError, ConfigError)):  # those quote what the client has sent
                about["reason"] = reason
            logger.info("client refused", extra={"agent_id": client.query("agent_id"), **about})
            await client.close(close_code, reason, encode_server(event))
        except Exception as error:
            logger.exception("a conversation failed", extra={"agent_id": client.query("agent_id")})
            event, close_code, reason = refusal(error)
            await client.close(close_code, reason, encode_server(event))

    async def _converse(self, client: Client) -> None:
        services = self._services
        admission = await self._admit(client)
        agent = admission.agent
        identifier = admission.conversation_id or conversation_id(services.random_bits(160))
        conversation = Conversation(services, client, admission, identifier)
        async with services.sessions.begin(identifier, agent.agent_id, conversation.hang_up) as live:
            logger.info("conversation begins", extra={"conversation_id": identifier, "agent_id": agent.agent_id})
            began = services.clock()
            ending = await conversation.hold(live)
            services.metrics.ended(agent.agent_id, ending.close_code, services.clock() - began)
            # Not the reason: it may be in somebody's words. It is in the record, if one is kept.
            about = {"close_code": ending.close_code, "error_type": ending.error_type}
            logger.info("conversation ended", extra={"conversation_id": identifier, **about})
            await client.close(ending.close_code, ending.reason)

    async def _admit(self, client: Client) -> Admission:
        agent_id = client.query("agent_id")
        if agent_id is None:
            raise RemoteProtocolError("the address names no agent_id", error_type="missing_fields")
        services = self._services
        agent = await services.workspace.agent(agent_id)
        shown = Credentials(
            signature=client.query("conversation_signature") or client.query("token"),
            holder=await client.holder(services),
            origin=client.header("origin"),
            branch_id=client.query("branch_id"),
            environment=client.query("environment"),
            conversation_id=client.query("conversation_id"),
        )
        method, claims = admit(services.authority, agent_id, agent.platform_settings.auth, shown)
        await services.places.admit(agent)
        if claims is None:
            return Admission(
                agent,
                method,
                services.workspace,
                services.tool_hosts,
                branch_id=shown.branch_id,
                environment_name=shown.environment,
                logging=client.logging,
            )
        if claims.single_use and not await services.store.spent.spend(claims.token_id, claims.expires_at):
            raise AuthError("the signed address has been used already: ask for a new one", status="invalid_signature")
        return Admission(
            agent,
            method,
            services.workspace,
            services.tool_hosts,
            conversation_id=claims.conversation_id or None,
            branch_id=claims.branch_id or None,
            environment_name=claims.environment,
            logging=client.logging and claims.logging,
        )


class Client:
    """The other end of an accepted socket."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, unread_timeout: float) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._unread_timeout = unread_timeout
        self.lost = False
        "It is gone: nothing reaches it any more, and sending is of no consequence."

    def query(self, name: str) -> str | None:
        """A parameter of the address; None if it is missing or empty."""
        values = parse_qs(self._scope["query_string"].decode("latin-1")).get(name)
        return values[0] if values else None

    @property
    def logging(self) -> bool:
        """Whether it lets be kept what is said (rest.md 5)."""
        return (self.query("enable_logging") or "true").lower() not in ("false", "0")

    def header(self, name: str) -> str | None:
        """A header of the handshake. `name` in lower case."""
        wanted = name.encode("ascii")
        return next((value.decode("latin-1") for key, value in self._scope["headers"] if key == wanted), None)

    async def holder(self, services: Services) -> KeyHolder | None:
        """Who holds the key that came with the handshake. Raises TooManyRequestsError, StoreError."""
        address = client_address(self._scope, services.settings)
        return await services.authority.holder(offered_key(self.header), address=address)

    @property
    def address(self) -> str | None:
        """Where it calls from, as far as the server can tell."""
        peer = self._scope.get("client")
        return peer[0] if peer else None

    async def receive(self) -> str | None:
        """The text of the next message; None: it has closed, or is gone. Raises RemoteProtocolError."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self.lost = True
            return None
        text = message.get("text")
        if not isinstance(text, str):
            raise RemoteProtocolError("a binary message: this protocol is JSON in text messages")
        return text

    async def send(self, text: str) -> None:
        """Send one message; waits while the client is slow."""
        await self._hand_over({"type": "websocket.send", "text": text})

    async def close(self, close_code: int, reason: str, last: str | None = None) -> None:
        """Close, after a last message if there is one. A client that does not even take that is given up."""
        try:
            async with asyncio.timeout(self._unread_timeout):
                if last is not None:
                    await self.send(last)
                closing = {"type": "websocket.close", "code": close_code, "reason": close_reason(reason)}
                await self._hand_over(closing)
        except TimeoutError:
            self.lost = True

    async def _hand_over(self, message: Message) -> None:
        if self.lost:
            return
        try:
            await self._send(message)
        except OSError:  # as ASGI says it: the peer is gone
            self.lost = True


class Conversation:
    """One conversation with one client."""

    def __init__(
        self,
        services: Services,
        client: Client,
        admission: Admission,
        identifier: str,
    ) -> None:
        config = admission.agent.conversation_config
        metadata = ConversationMetadata(
            conversation_id=identifier,
            agent_output_audio_format=config.tts.agent_output_audio_format,
            user_input_audio_format=config.asr.user_input_audio_format,
        )
        self._services = services
        self._client = client
        self._admission = admission
        self._protocol = ServerProtocol(metadata)
        self._input_format = parse_format(metadata.user_input_audio_format)
        self._early = EarlyMessages(self._input_format)
        self._initiation: ConversationInitiation | None = None
        self._session: Session | None = None
        self._verdict: Ending | AntiphonError | None = None
        "What ended the conversation before there was a session to end."
        self._settled = asyncio.Event()
        "Set when the initiation need not be waited for any more: it, or a verdict, is there."
        self._patience: asyncio.Timeout | None = None
        "While it waits for a place: until when."
        self._begun = asyncio.Event()
        "Set when the session exists and has been given what came early."

    async def hold(self, live: LiveConversation) -> Ending:
        """Have it, from the metadata to its end.

        Raises:
            AntiphonError: there was no session to have; it says what to tell the client.
        """
        await self._say(self._protocol.metadata)
        async with asyncio.TaskGroup() as tasks:
            children = [tasks.create_task(self._read()), tasks.create_task(self._ping())]
            try:
                verdict = await self._run_in_turn(live)
            except AntiphonError as error:  # kept out of the group, which would wrap it
                verdict = error
            for child in children:
                child.cancel()
        if isinstance(verdict, AntiphonError):
            raise verdict
        return verdict

    def hang_up(self, close_code: int, reason: str) -> None:
        """The server wants it to end. Returns at once."""
        self._end(Ending(close_code, reason))

    # ---------------------------------------------------------------------------------------------- the session

    async def _run_in_turn(self, live: LiveConversation) -> Ending | AntiphonError:
        """Run it when the agent has a place for it."""
        agent = self._admission.agent
        limits = agent.platform_settings.call_limits if self._admission.pooled else CallLimits()
        place = self._services.places.request(agent.agent_id, limits)
        try:
            if not place.taken:
                queueing = agent.platform_settings.queueing_config
                if not queueing.enabled:
                    raise all_taken()
                await self._say(QueueStatus(status="waiting"))
                try:
                    async with asyncio.timeout(queueing.wait_timeout_seconds) as self._patience:
                        if self._verdict is None:
                            await place.wait()
                except TimeoutError as error:
                    if self._verdict is None:
                        await self._say(QueueStatus(status="timed_out"))
                        raise ServerBusyError("no place became free in time", QUEUE_TIMED_OUT) from error
                finally:
                    self._patience = None
                if self._verdict is not None:
                    return self._verdict
                await self._say(QueueStatus(status="admitted"))
            return await self._run(live)
        finally:
            place.leave()

    async def _run(self, live: LiveConversation) -> Ending | AntiphonError:
        """Wait for the initiation, put the session together, run it."""
        services, admission = self._services, self._admission
        agent = admission.agent
        started_at = services.epoch()
        initiation = await self._initiated()
        if self._verdict is not None:
            return self._verdict
        webhook = await initiation_webhook.address(agent, services.store.resources) if admission.pooled else None
        if webhook is not None:
            told = await initiation_webhook.ask(
                webhook, agent.agent_id, live.conversation_id, admission.workspace, services.webhook_hosts
            )
            initiation = initiation_webhook.merged(told, initiation)
            if self._verdict is not None:
                return self._verdict
        initiation = msgspec.structs.replace(
            initiation,
            branch_id=admission.branch_id or initiation.branch_id,
            environment=admission.environment_name or initiation.environment,
        )
        variables = EnvironmentVariables()
        if admission.pooled:
            variables = await environment_variables(
                services.store.resources, admission.workspace, initiation.environment
            )
        configured = initiate(
            agent,
            config_override=initiation.config_override,
            dynamic_variables=initiation.dynamic_variables,
            custom_llm_extra_body=initiation.custom_llm_extra_body,
            system_variables={
                "system__conversation_id": live.conversation_id,
                **time_variables(started_at, agent.conversation_config.agent.prompt.timezone),
                **{f"system__env_{label}": value for label, value in variables.texts.items()},
            },
        )
        async with self._equipped(configured, variables) as (engines, casting):
            if self._verdict is not None:
                return self._verdict
            tracing = services.tracing
            trace = None if tracing is None else tracing.begin(live.conversation_id, agent.agent_id, started_at)
            live.started_at = started_at
            live.kept = admission.logging and not configured.platform_settings.privacy.zero_retention_mode
            live.recorder = self._recorder(configured) if live.kept else None
            if live.kept:
                live.webhooks = admission.webhooks or await chosen(agent, services.store.resources)
                if admission.pooled and is_analysed(agent.raw):
                    live.analyse = functools.partial(services.evaluations.analysis, agent, initiation.environment)
            session = assemble(
                configured,
                engines,
                conversation_id=live.conversation_id,
                send=self._say,
                write=live.write,
                clock=services.clock,
                header={
                    "started_at": started_at,
                    "user_id": initiation.user_id,
                    "initiation": _without_secrets(client_json(initiation)),
                    "authorization_method": admission.method,
                },
                workspace=admission.workspace,
                hosts=admission.hosts,
                casting=casting,
                recording=None if live.recorder is None else live.recorder.recording,
                observe=self._observer(trace),
                told=variables.texts,
                environment=variables.all,
            )
            self._begin(session)
            close_code = 1011
            try:
                ending = await session.run()
                close_code = ending.close_code
            finally:
                if trace is not None:
                    trace.end(services.epoch(), close_code)
            return ending

    def _observer(self, trace: ConversationTrace | None) -> Callable[[ServerEvent], None]:
        """Counts what the conversation emits, and traces it."""
        metrics, agent_id = self._services.metrics, self._admission.agent.agent_id

        def observe(event: ServerEvent) -> None:
            metrics.observe(agent_id, event)
            if trace is not None:
                trace.observe(event)

        return observe

    def _recorder(self, configured: AgentConfig) -> Recorder | None:
        """What records this conversation, if it has sound and may be recorded."""
        privacy = configured.platform_settings.privacy
        silent = configured.conversation_config.conversation.text_only
        if silent or not privacy.record_voice:
            return None
        return Recorder(self._services.clock)

    @asynccontextmanager
    async def _equipped(
        self, configured: AgentConfig, variables: EnvironmentVariables
    ) -> AsyncGenerator[tuple[Engines, Casting]]:
        """The engines of this conversation, and what it may change to. What was made for it is freed at the end."""
        services, admission = self._services, self._admission
        made: dict[str, Any] = {
            "models": services.settings.models,
            "workspace": admission.workspace,
            "environment": {**os.environ, **variables.all} if admission.environment is None else admission.environment,
        }
        async with AsyncExitStack() as stack:
            pool = services.engines if admission.pooled else None
            base = None if pool is None else await stack.enter_async_context(pool.using(admission.agent))
            engines = await load_engines(configured, services.registry, base=base, **made)
            stack.push_async_callback(engines.aclose)
            borrow = None if pool is None else pool.using
            casting = Casting(services.registry, base=engines, borrow=borrow, **made)
            stack.push_async_callback(casting.aclose)
            yield engines, casting

    async def _initiated(self) -> ConversationInitiation:
        """The client's initiation, or an empty one if it has not come in time."""
        try:
            async with asyncio.timeout(self._services.settings.initiation_timeout):
                await self._settled.wait()
        except TimeoutError:
            logger.debug("no initiation came: the agent's defaults hold")
        if self._initiation is None:
            self._initiation = ConversationInitiation()
        return self._initiation

    def _begin(self, session: Session) -> None:
        for event in self._early.take():
            session.receive(event)
        self._session = session
        self._begun.set()

    def _end(self, verdict: Ending | AntiphonError) -> None:
        """Whatever it is doing, it is over. Returns at once."""
        if self._session is None:
            self._verdict = self._verdict or verdict
            self._settled.set()
            if self._patience is not None:
                patience, self._patience = self._patience, None
                patience.reschedule(asyncio.get_running_loop().time())
        elif isinstance(verdict, Ending):
            self._session.close(verdict.close_code, verdict.reason, verdict.error_type)
        else:
            error, close_code, reason = refusal(verdict)
            self._session.close(close_code, reason, error.error_type)

    def _lose(self) -> None:
        """The client is gone."""
        self._client.lost = True
        if self._session is not None:
            self._session.disconnect()
        else:
            self._end(Ending(1000, "the client hung up"))

    # ------------------------------------------------------------------------------------------------ its tasks

    async def _read(self) -> None:
        """Pass on what the client says, until it is gone or says what nobody may."""
        loop = asyncio.get_running_loop()
        slice_bytes = self._input_format.bytes_of(SLICE)
        turn = 1.0  # what is left of it until other sessions get theirs
        try:
            while (text := await self._client.receive()) is not None:
                for event in pieces(self._protocol.receive(text, loop.time()), slice_bytes):
                    self._pass_on(event, len(text))
                    turn -= len(event.audio) / slice_bytes if isinstance(event, UserAudio) else 1 / MESSAGES_IN_A_ROW
                    if turn <= 0.0:
                        await asyncio.sleep(0)
                        turn = 1.0
                if self._session is None and self._early.full:
                    await self._begun.wait()
        except (RemoteProtocolError, SessionError) as error:
            self._end(error)
        else:
            self._lose()

    def _pass_on(self, event: ClientEvent, size: int) -> None:
        if isinstance(event, ConversationInitiation):
            if self._initiation is None:
                self._initiation = event
                self._settled.set()
            else:
                logger.debug("an initiation came too late: the agent's defaults hold")
        elif self._session is None:
            # What is said in the queue is said to nobody, and would fill the place of what comes after it.
            if self._patience is None or not isinstance(event, UserAudio):
                self._early.add(event, size)
        else:
            self._session.receive(event)

    async def _say(self, event: ServerEvent) -> None:
        """Send one event. Waits while the client is slow; is of no consequence once it is gone."""
        await self._client.send(self._protocol.send(event))

    async def _ping(self) -> None:
        """Measure the round trip now and then, and notice a client that does not read or is gone."""
        loop = asyncio.get_running_loop()
        settings = self._services.settings
        try:
            while not self._client.lost:
                async with asyncio.timeout(settings.unread_timeout):
                    await self._say(self._protocol.ping(loop.time()))
                await asyncio.sleep(settings.ping_interval)
        except TimeoutError:
            logger.info("a client that reads nothing is given up", extra={"seconds": settings.unread_timeout})
        self._lose()


def _without_secrets(initiation: dict[str, Any]) -> dict[str, Any]:
    """An initiation as the journal may keep it: of secret variables, that they were given (protocol.md 2.3)."""
    variables: dict[str, Any] = initiation.get("dynamic_variables") or {}
    kept = {name: HIDDEN if name.startswith(SECRET) else value for name, value in variables.items()}
    return {**initiation, "dynamic_variables": kept} if variables else initiation


def pieces(event: ClientEvent | None, slice_bytes: int) -> Iterator[ClientEvent]:
    """The event, long audio in slices of at most so many bytes; nothing for no event and for empty audio."""
    if not isinstance(event, UserAudio):
        if event is not None:
            yield event
    elif 0 < len(event.audio) <= slice_bytes:
        yield event
    else:
        for start in range(0, len(event.audio), slice_bytes):
            yield UserAudio(event.audio[start : start + slice_bytes])
