"""/v1/convai/orchestrator: a conversation with an agent that the client brings along.

The client's first message holds the agent's configuration (`enclave_setup_config`, protocol.md 2.6); from its
initiation on it is a conversation as any other. What a stranger's configuration may not do: reach the workspace's
tools, secrets and documents, the server's environment, engines that the operator did not list, or private addresses.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from antiphon.agents.config import AgentConfig
from antiphon.agents.folder import FolderWorkspace
from antiphon.errors import AuthError, ConfigError, RemoteProtocolError
from antiphon.protocol.codec import decode_client
from antiphon.protocol.events import EnclaveSetup
from antiphon.session.tools.hosts import HostPolicy

from .auth import AuthorizationMethod, KeyHolder
from .settings import Settings
from .webhooks import requested
from .websocket import Admission, Client, ConversationRoute

PATH = "/v1/convai/orchestrator"
AGENT_ID = "client_config"
"The agent's name in the record."
MAX_SETUP_CHARACTERS = 1 << 20
"What a configuration may weigh, the knowledge in its prompt included."

_LINKS = frozenset({"secret_id", "env_var_label", "tool_ids", "mcp_server_ids", "native_mcp_server_ids"})
"Fields that name what is the server's: its secrets, its environment, its tools."
_REMOTE = frozenset({"custom_llm", "mcp_servers", "base_url", "request_headers"})
"Fields that have the server connect to addresses, allowed only where the operator lists their name."
_KINDS = ("llm", "stt", "tts", "vad", "turn")


class OrchestratorRoute(ConversationRoute):
    """The ASGI application behind the path: every call is one socket."""

    async def _admit(self, client: Client) -> Admission:
        services = self._services
        holder = await client.holder(services)
        if holder is None and (key := _key_in_address(client)) is not None:
            holder = await services.authority.holder(key, address=client.address or "")
        method = _authorized(client, holder, services.settings)
        setup = await self._setup(client)
        webhooks = requested(setup)
        for webhook in webhooks:
            await services.deliveries.check(webhook)
        agent = configuration(setup, services.settings.client_config_engines)
        return Admission(
            agent,
            method,
            FolderWorkspace(),
            HostPolicy(),
            environment={},
            pooled=False,
            webhooks=webhooks,
            logging=client.logging,
        )

    async def _setup(self, client: Client) -> EnclaveSetup:
        try:
            async with asyncio.timeout(self._services.settings.initiation_timeout):
                text = await client.receive()
        except TimeoutError as error:
            raise RemoteProtocolError("no enclave_setup_config came in time") from error
        if text is None:
            raise RemoteProtocolError("the client hung up before its enclave_setup_config")
        if len(text) > MAX_SETUP_CHARACTERS:
            raise RemoteProtocolError("enclave_setup_config: more than 1 MiB", close_code=1009)
        setup = decode_client(text)
        if not isinstance(setup, EnclaveSetup):
            raise RemoteProtocolError("enclave_setup_config has to be the first message here")
        return setup


def configuration(setup: EnclaveSetup, allowed: Sequence[str]) -> AgentConfig:
    """The agent that a client brings. `allowed`: the setting `client_config_engines`.

    `agent_config_dict` may be an agent's document or its `conversation_config` alone.

    Raises:
        RemoteProtocolError: it is missing, wrong, or asks for what is not allowed.
    """
    given = setup.agent_config
    if not given:
        raise RemoteProtocolError("agent_config_dict is needed: this server has no agent of its own here")
    if setup.override_agent_configs:
        raise RemoteProtocolError("override_agent_config_list is not supported")
    document = dict(given) if "conversation_config" in given else {"conversation_config": given}
    config = _object(document, "conversation_config")
    agent = _object(config, "agent")
    prompt = _object(agent, "prompt")
    if setup.tools:
        prompt["tools"] = [*(prompt.get("tools") or []), *setup.tools]
    if setup.knowledge_base is not None:
        prompt["prompt"] = "\n\n".join([str(prompt.get("prompt") or ""), *_texts(setup.knowledge_base)]).strip()
    _check_fields(document, allowed)
    for key, value in _fields(document):
        if key == "antiphon":
            _check_engines(value, allowed)
    try:
        return AgentConfig.parse(document, agent_id=AGENT_ID)
    except ConfigError as error:
        raise RemoteProtocolError(f"agent_config_dict: {error}") from error


def _texts(knowledge_base: object) -> list[str]:
    """One text, or a list of them as the original's SDK declares it."""
    listed = cast("list[object]", knowledge_base) if isinstance(knowledge_base, list) else [knowledge_base]
    texts = [text for text in listed if isinstance(text, str)]
    if len(texts) < len(listed):
        raise RemoteProtocolError("prompt_knowledge_base should be a text or a list of texts")
    return texts


def _object(parent: dict[str, Any], key: str) -> dict[str, Any]:
    """A copy of what is there, put in its place: the client's message stays as it was."""
    value = parent.get(key)
    if value is not None and not isinstance(value, dict):
        raise RemoteProtocolError(f"agent_config_dict: {key} should be an object")
    parent[key] = copy = dict(cast("dict[str, Any]", value or {}))
    return copy


def _mappings(tree: object) -> Iterator[Mapping[str, Any]]:
    """Every object in a JSON value, itself included."""
    if isinstance(tree, Mapping):
        yield (mapping := cast("Mapping[str, Any]", tree))
        for value in mapping.values():
            yield from _mappings(value)
    elif isinstance(tree, list):
        for value in cast("list[Any]", tree):
            yield from _mappings(value)


def _fields(tree: object) -> Iterator[tuple[str, Any]]:
    for mapping in _mappings(tree):
        yield from mapping.items()


def _check_fields(document: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for key, value in _fields(document):
        if not value:
            continue
        if key in _LINKS:
            raise RemoteProtocolError(f"agent_config_dict: {key} is not for a client's configuration")
        if key in _REMOTE and key not in allowed:
            raise RemoteProtocolError(f"agent_config_dict: {key} is not in the server's client_config_engines")


def _check_engines(block: object, allowed: Sequence[str]) -> None:
    """Every engine by name, every option of it as `engine.option` or `engine.*`."""
    if block is None:
        return
    if not isinstance(block, Mapping):
        raise RemoteProtocolError("antiphon: should be an object")
    named = cast("Mapping[str, Any]", block)
    engines = [value for value in _mappings(named) if "engine" in value]
    kinds = [cast("Mapping[str, Any]", named[kind]) for kind in _KINDS if isinstance(named.get(kind), Mapping)]
    engines += [{"engine": None, **options} for options in kinds if options and "engine" not in options]
    for engine in engines:
        name = engine["engine"]
        if name not in allowed:
            raise RemoteProtocolError(f"antiphon: the engine {name!r} is not in the server's client_config_engines")
        for option in engine:
            if option != "engine" and f"{name}.{option}" not in allowed and f"{name}.*" not in allowed:
                message = f"antiphon: the option {name}.{option} is not in the server's client_config_engines"
                raise RemoteProtocolError(message)


def _key_in_address(client: Client) -> str | None:
    """The key in `wss://key:sk_...@host/`, which clients send as basic authorization.

    The original's SDK connects to the address as it is and can send no header of its own.
    """
    kind, _, encoded = (client.header("authorization") or "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded).decode().partition(":")[2] or None
    except ValueError:
        return None


def _authorized(client: Client, holder: KeyHolder | None, settings: Settings) -> AuthorizationMethod:
    """How the client may be here: by a key, or because only this machine can be."""
    if holder is not None and holder.may("converse"):
        return "authorization_header"
    if not (settings.is_local and is_loopback(client.address) and client.header("x-forwarded-for") is None):
        raise AuthError("the orchestrator needs the workspace key", status="authorization_required")
    origin = client.header("origin")
    if origin is not None and not is_loopback(urlsplit(origin).hostname):
        raise AuthError("a web page from elsewhere needs the workspace key", status="authorization_required")
    return "public"


def is_loopback(host: str | None) -> bool:
    """Whether this names this machine and nothing else."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False
