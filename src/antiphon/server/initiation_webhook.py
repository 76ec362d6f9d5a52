"""The conversation-initiation webhook: before an agent speaks, its owner's server says what is known of the caller.

It is asked where the agent has `overrides.enable_conversation_initiation_client_data_from_webhook` on, at the address
in the agent's `workspace_overrides` or, where that has none, in the settings of the workspace. What it answers is an
initiation like a client's, under the same permissions; what the client itself says goes before it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, cast

import httpx
import msgspec

from antiphon.agents.config import AgentConfig
from antiphon.agents.workspace import Workspace
from antiphon.errors import NotFoundError, RemoteProtocolError
from antiphon.protocol.codec import decode_client
from antiphon.protocol.events import ConversationInitiation
from antiphon.session.tools.hosts import GuardedTransport, HostError, HostPolicy
from antiphon.store.resources import Resources

from .workspace_settings import mapping, setting_for

logger = logging.getLogger(__name__)

TIMEOUT = 5.0
"Seconds that it has to answer: the caller hears nothing meanwhile."
MAX_ANSWER = 256 * 1024
"Bytes of an answer (protocol.md 4)."
FAILED = "the conversation initiation webhook failed"
TYPE = "conversation_initiation_client_data"


async def address(agent: AgentConfig, resources: Resources) -> Mapping[str, Any] | None:
    """The webhook (`url`, `request_headers`) that this agent's conversations ask; None: they ask nobody.

    Raises StoreError.
    """
    if not agent.platform_settings.overrides.enable_conversation_initiation_client_data_from_webhook:
        return None
    webhook = await setting_for(agent, resources, f"{TYPE}_webhook", having="url")
    return webhook if webhook.get("url") else None


async def ask(
    webhook: Mapping[str, Any], agent_id: str, conversation_id: str, workspace: Workspace, hosts: HostPolicy
) -> ConversationInitiation:
    """What it says of the conversation that begins. Without a telephone line, numbers are empty.

    Raises:
        RemoteProtocolError: it could not be reached, took too long, or answered something else. It closes the client's
            socket with 1002 and tells nothing of what was sent or answered.
    """
    body = {"caller_id": "", "agent_id": agent_id, "called_number": "", "call_sid": ""}
    extra = {"agent_id": agent_id, "conversation_id": conversation_id}
    try:
        headers = await _headers(mapping(webhook.get("request_headers")), workspace)
        async with asyncio.timeout(TIMEOUT):
            text = await _post(str(webhook["url"]), {**body, "conversation_id": conversation_id}, headers, hosts)
        return _read(text)
    except TimeoutError as error:
        logger.warning("%s: no answer in time", FAILED, extra=extra)
        raise _failure(f"{FAILED}: no answer within {TIMEOUT:g} seconds") from error
    except HostError as error:
        logger.warning("%s: not a public host, and not in the server's webhook_hosts", FAILED, extra=extra)
        raise _failure(f"{FAILED}: it cannot be reached") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        logger.warning("%s: no connection (%s)", FAILED, type(error).__name__, extra=extra)
        raise _failure(f"{FAILED}: it cannot be reached") from error
    except NotFoundError as error:
        logger.warning("%s: %s", FAILED, error, extra=extra)
        raise _failure(f"{FAILED}: a header names a secret that is not there") from error
    except _AnswerError as error:
        logger.warning("%s: %s", FAILED, error, extra=extra)
        raise _failure(f"{FAILED}: {error}") from error


def merged(told: ConversationInitiation, client: ConversationInitiation) -> ConversationInitiation:
    """The webhook's initiation under the client's: objects merge key by key, and what the client says wins."""
    return msgspec.structs.replace(
        client,
        dynamic_variables={**told.dynamic_variables, **client.dynamic_variables},
        config_override=_over(told.config_override, client.config_override),
        custom_llm_extra_body={**told.custom_llm_extra_body, **client.custom_llm_extra_body},
        user_id=client.user_id or told.user_id,
        branch_id=client.branch_id or told.branch_id,
        environment=client.environment or told.environment,
    )


def _failure(message: str) -> RemoteProtocolError:
    return RemoteProtocolError(message, close_code=1002, error_type="unknown")


class _AnswerError(Exception):
    """The webhook answered, but not with an initiation. The message quotes none of it."""


async def _headers(given: Mapping[str, Any], workspace: Workspace) -> dict[str, str]:
    """Each header as text. Raises NotFoundError."""
    headers: dict[str, str] = {}
    for name, value in given.items():
        secret_id = mapping(value).get("secret_id")
        headers[name] = str(value) if secret_id is None else await workspace.secret(str(secret_id))
    return headers


async def _post(url: str, body: Mapping[str, Any], headers: Mapping[str, str], hosts: HostPolicy) -> str:
    """Its answer. httpx' client would write the address to the log: the transport is spoken to itself."""
    fixed = {"content-type": "application/json", "accept": "application/json"}
    encoded = {name.lower().encode(): value.encode() for name, value in {**fixed, **headers}.items()}
    transport = GuardedTransport(hosts)
    try:
        request = httpx.Request("POST", url, headers=encoded, content=json.dumps(body).encode())
        response = await transport.handle_async_request(request)
        try:
            if not 200 <= response.status_code < 300:
                raise _AnswerError(f"it answered {response.status_code}")
            answer = bytearray()
            async for piece in response.aiter_bytes():
                answer += piece
                if len(answer) > MAX_ANSWER:
                    raise _AnswerError(f"its answer is longer than {MAX_ANSWER} bytes")
        finally:
            await response.aclose()
    finally:
        await transport.aclose()
    return answer.decode("utf-8", "replace")


def _read(text: str) -> ConversationInitiation:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _AnswerError("its answer is no JSON") from error
    if not isinstance(answer, dict) or cast("dict[str, Any]", answer).get("type", TYPE) != TYPE:
        raise _AnswerError(f"its answer is no {TYPE}")
    try:
        told = decode_client(json.dumps({**cast("dict[str, Any]", answer), "type": TYPE}))
    except RemoteProtocolError as error:
        raise _AnswerError(f"its answer is no {TYPE}") from error
    if not isinstance(told, ConversationInitiation):
        raise _AnswerError(f"its answer is no {TYPE}")
    return told


def _over(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in change.items():
        inner = result.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            result[key] = _over(cast("Mapping[str, Any]", inner), cast("Mapping[str, Any]", value))
        elif value is not None or key not in result:
            result[key] = value
    return result
