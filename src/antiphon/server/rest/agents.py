"""Agents: made, shown, changed, listed, duplicated, forgotten; what a widget and a link need of them.

A document is kept as it came; what a client never set is filled in on the way out (shapes.py). Agents in files of
`--agents` are listed and shown beside the others, and can only be changed in their files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict

from antiphon.agents.config import AgentConfig
from antiphon.errors import ConfigError, NotFoundError
from antiphon.server.auth import Credentials, admit
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf, key_holder
from antiphon.server.rest.errors import ApiError
from antiphon.server.rest.shapes import completed, merged, section
from antiphon.server.services import Services, ShownAgent
from antiphon.store.resources import Resource

router = APIRouter(prefix="/v1/convai/agents", tags=["agents"], dependencies=[KeyNeeded])
public = APIRouter(prefix="/v1/convai/agents", tags=["agents"])
"What a widget on a web page asks for, which has no key."

SHAPE = "GetAgentResponseModel"
MOST = 100
ANSWERED = ("agent_id", "metadata", "access_info", "phone_numbers", "whatsapp_accounts", "version_id", "branch_id")
"Keys of the answer that are the server's: what a client sends back of them changes nothing."
MAIN_BRANCH = "main"
FRESH = 0.5
"Seconds for which an answer is given again without a look into the store. A change made here is seen at once."
MOST_SHOWN = 1_000
"Agents whose answer is kept: to fill one in takes a millisecond, which live conversations would feel."

Word = Annotated[str | None, Query()]


class AgentBody(BaseModel):
    """An agent's document: `conversation_config` and whatever else there is (docs/agents.md)."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    conversation_config: dict[str, Any] | None = None
    platform_settings: dict[str, Any] | None = None
    workflow: dict[str, Any] | None = None
    tags: list[str] | None = None


class Duplicate(BaseModel):
    """How the copy is to be called."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None


@router.post("/create")
async def create_agent(services: ServicesOf, body: AgentBody) -> dict[str, str]:
    """Make an agent. It can be talked to at once."""
    document = _given(body)
    if "conversation_config" not in document:
        raise _invalid("conversation_config", "Field required", "missing")
    return {"agent_id": await _create(services, document)}


async def _create(services: Services, document: dict[str, Any]) -> str:
    identifier = services.new_id("agent")
    _check(document, identifier)
    name = document.get("name") or "New agent"
    await services.store.resources.create("agent", identifier, name, {**document, "name": name}, now=services.epoch())
    return identifier


@router.get("")
async def list_agents(
    services: ServicesOf,
    page_size: Annotated[int, Query()] = 30,
    cursor: Word = None,
    search: Word = None,
    archived: Annotated[bool | None, Query()] = None,
    tags: Annotated[list[str] | None, Query()] = None,
    sort_by: Annotated[Literal["name", "created_at", "call_count_7d"] | None, Query()] = None,
    sort_direction: Annotated[Literal["asc", "desc"], Query()] = "desc",
) -> dict[str, Any]:
    """A page of the agents. Those in files come last."""
    page = await services.store.resources.page(
        "agent",
        cursor=cursor,
        page_size=max(1, min(page_size, MOST)),
        search=search,
        archived=archived,
        sort_by="name" if sort_by == "name" else "created_at",
        descending=sort_direction == "desc",
    )
    found = list(page.items)
    if not page.has_more and not archived:
        taken = {agent.id for agent in await services.store.resources.some("agent", list(services.workspace.file_ids))}
        found += [
            agent
            for agent in map(_from_file, services.workspace.files.agents)
            if (not search or search.casefold() in agent.name.casefold()) and agent.id not in taken
        ]
    wanted = set(tags or ())
    found = [agent for agent in found if wanted <= set(agent.document.get("tags") or ())]
    calls = await services.store.conversations.last_calls([agent.id for agent in found])
    return {
        "agents": [_summary(services, agent, calls.get(agent.id)) for agent in found],
        "next_cursor": page.next_cursor,
        "has_more": page.has_more,
    }


@router.get("/summaries")
async def get_summaries(services: ServicesOf, agent_ids: Annotated[list[str], Query()]) -> dict[str, Any]:
    """What the list shows, of these agents."""
    answer: dict[str, Any] = {}
    calls = await services.store.conversations.last_calls(agent_ids)
    for agent_id in agent_ids:
        try:
            summary = _summary(services, await _agent(services, agent_id), calls.get(agent_id))
            answer[agent_id] = {"status": "success", "data": summary}
        except NotFoundError as error:
            failure = {"error_code": 404, "error_status": "agent_not_found", "error_message": str(error)}
            answer[agent_id] = {"status": "failure", **failure}
    return answer


def _summary(services: Services, agent: Resource, last_call: float | None) -> dict[str, Any]:
    tts = section(agent.document, "conversation_config", "tts")
    known: dict[str, Any] = {
        "agent_id": agent.id,
        "name": agent.name,
        "voice_id": tts.get("voice_id") or "",
        "tags": agent.document.get("tags") or [],
        "created_at_unix_secs": int(agent.created_at),
        "updated_at_unix_secs": int(agent.updated_at),  # newer clients require it
        "access_info": _access(services, agent.id),
        "last_call_time_unix_secs": None if last_call is None else int(last_call),
        "archived": agent.archived,
    }
    return completed("AgentSummaryResponseModel", known)


@router.get("/{agent_id}")
async def get_agent(services: ServicesOf, agent_id: str, branch_id: Word = None, version_id: Word = None) -> Response:
    """An agent. There is one branch and one version of it, whatever is asked for."""
    now = services.clock()
    known = services.shown_agents.get(agent_id)
    if known is None or not known.looked_at <= now < known.looked_at + FRESH:
        agent = await _agent(services, agent_id)
        if known is None or known.updated_at != agent.updated_at:
            if len(services.shown_agents) >= MOST_SHOWN:
                services.shown_agents.clear()
            body = json.dumps(_shown(services, agent)).encode()
            known = services.shown_agents[agent_id] = ShownAgent(agent.updated_at, body)
        known.looked_at = now
    return Response(known.body, media_type="application/json")


@router.patch("/{agent_id}")
async def update_agent(services: ServicesOf, agent_id: str, body: AgentBody, branch_id: Word = None) -> dict[str, Any]:
    """Change what is given; objects merge key by key, lists and maps are replaced. Conversations that go on keep what
    they began with."""
    change = _given(body)
    before = await _stored(services, agent_id)
    document = merged(SHAPE, before.document, change)
    if "archived" in document:
        del document["archived"]
    _check(document, agent_id)
    changed = await services.store.resources.update(
        "agent",
        agent_id,
        now=services.epoch(),
        name=document.get("name") or before.name,
        document=document,
        archived=change["archived"] if isinstance(change.get("archived"), bool) else None,
        expected=before.updated_at,
    )
    services.shown_agents.pop(agent_id, None)
    return _shown(services, changed)


@router.delete("/{agent_id}")
async def delete_agent(services: ServicesOf, agent_id: str) -> dict[str, Any]:
    """Forget an agent. Its conversations stay, and those that go on end as they would."""
    await _stored(services, agent_id)
    await services.store.resources.delete("agent", agent_id)
    services.shown_agents.pop(agent_id, None)
    return {}


@router.post("/{agent_id}/duplicate")
async def duplicate_agent(services: ServicesOf, agent_id: str, body: Duplicate | None = None) -> dict[str, str]:
    """Another agent with the same document."""
    agent = await _agent(services, agent_id)
    document = {key: value for key, value in agent.document.items() if key not in ANSWERED}
    document["name"] = (body.name if body else None) or f"{agent.name} (copy)"
    return {"agent_id": await _create(services, document)}


@router.get("/{agent_id}/link")
async def get_link(services: ServicesOf, agent_id: str) -> dict[str, Any]:
    """The token of the agent's shareable link, where its settings have one."""
    agent = await services.workspace.agent(agent_id)
    token = agent.platform_settings.auth.shareable_token
    shown = None
    if token:
        shown = completed(
            "ConversationTokenResponseModel",
            {"agent_id": agent_id, "conversation_token": token, "purpose": "shareable_link"},
        )
    return {"agent_id": agent_id, "token": shown}


@router.get("/{agent_id}/branches")
async def list_branches(services: ServicesOf, agent_id: str) -> dict[str, Any]:
    """The one branch that there is."""
    branch = _branch(services, await _agent(services, agent_id))
    return {"meta": {"total": 1, "page": 1, "page_size": 1}, "results": [completed("AgentBranchSummary", branch)]}


@router.get("/{agent_id}/branches/{branch_id}")
async def get_branch(services: ServicesOf, agent_id: str, branch_id: str) -> dict[str, Any]:
    """The one branch that there is; no other is found."""
    agent = await _agent(services, agent_id)
    if branch_id != MAIN_BRANCH:
        raise NotFoundError("branch", branch_id)
    return completed("AgentBranchResponse", _branch(services, agent))


def _branch(services: Services, agent: Resource) -> dict[str, Any]:
    return {
        "id": MAIN_BRANCH,
        "name": "Main",
        "agent_id": agent.id,
        "created_at": int(agent.created_at),
        "last_committed_at": int(agent.updated_at),
        "current_live_percentage": 100,
        "access_info": _access(services, agent.id),
    }


@public.get("/{agent_id}/widget")
async def get_widget(
    request: Request, services: ServicesOf, agent_id: str, conversation_signature: Word = None
) -> dict[str, Any]:
    """How a widget shows the agent. An agent that needs authorization is shown to a signed address or a key."""
    agent = await services.workspace.agent(agent_id)
    shown = Credentials(
        signature=conversation_signature, holder=key_holder(request), origin=request.headers.get("origin")
    )
    admit(services.authority, agent_id, agent.platform_settings.auth, shown)
    return {"agent_id": agent_id, "widget_config": _widget(agent)}


def _widget(agent: AgentConfig) -> dict[str, Any]:
    config = agent.conversation_config
    allowed = agent.platform_settings.overrides.conversation_config_override
    presets: Mapping[str, Any] = config.language_presets
    known: dict[str, Any] = {
        **section(agent.raw, "platform_settings", "widget"),
        "language": config.agent.language,
        "supported_language_overrides": list(presets),
        "language_presets": {language: {} for language in presets},
        "text_only": config.conversation.text_only,
        "supports_text_only": bool(section(allowed, "conversation").get("text_only", True)),
        "first_message": config.agent.first_message or None,
        "use_rtc": False,
    }
    return completed("WidgetConfigResponseModel", known)


# ------------------------------------------------------------------------------------------------------- documents


def _given(body: AgentBody) -> dict[str, Any]:
    """What the client sent, without what is the server's to say."""
    sent = body.model_dump(exclude_unset=True)
    return {key: value for key, value in sent.items() if key not in ANSWERED}


def _check(document: Mapping[str, Any], agent_id: str) -> None:
    """Raises RequestValidationError: the server could make nothing of it."""
    try:
        AgentConfig.parse(document, agent_id=agent_id)
    except ConfigError as error:
        raise _invalid(error.path, error.message, "value_error") from error


def _invalid(path: str, message: str, kind: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", *path.split(".")), "msg": message, "type": kind}])


async def _agent(services: Services, agent_id: str) -> Resource:
    """An agent, from a file or from the store. Raises NotFoundError."""
    try:
        return _from_file(await services.workspace.files.agent(agent_id))
    except NotFoundError:
        return await services.store.resources.get("agent", agent_id)


async def _stored(services: Services, agent_id: str) -> Resource:
    """An agent that can be changed. Raises NotFoundError, ApiError: it is in a file."""
    if agent_id in services.workspace.file_ids:
        raise ApiError(400, "agent_is_read_only", "this agent is in a file of the server and can only be changed there")
    return await services.store.resources.get("agent", agent_id)


def _from_file(agent: AgentConfig) -> Resource:
    return Resource("agent", agent.agent_id, agent.name, dict(agent.raw), 0.0, 0.0)


def _access(services: Services, agent_id: str) -> dict[str, Any]:
    """Who may do what with it: agents in files are only to be looked at."""
    in_file = agent_id in services.workspace.file_ids
    role, name = ("viewer", "file") if in_file else ("admin", "workspace")
    given = {"is_creator": not in_file, "creator_name": name, "creator_email": "", "role": role}
    return completed("ResourceAccessInfo", given)


def _shown(services: Services, agent: Resource) -> dict[str, Any]:
    known = {
        **agent.document,
        "agent_id": agent.id,
        "name": agent.name,
        "metadata": {"created_at_unix_secs": int(agent.created_at), "updated_at_unix_secs": int(agent.updated_at)},
        "access_info": _access(services, agent.id),
    }
    return completed(SHAPE, known)
