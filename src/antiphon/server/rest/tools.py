"""Tools that agents share by their id (docs/tools.md)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict

from antiphon.agents.reading import read
from antiphon.agents.tools import ToolConfig
from antiphon.errors import ConfigError
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.rest.shapes import completed, merged, section
from antiphon.server.services import Services
from antiphon.store.resources import Resource

router = APIRouter(prefix="/v1/convai/tools", tags=["tools"], dependencies=[KeyNeeded])

SHAPE = "ToolResponseModel"
MOST = 100
EVERYBODY = {"is_creator": True, "creator_name": "workspace", "creator_email": "", "role": "admin"}


class ToolBody(BaseModel):
    """A tool."""

    model_config = ConfigDict(extra="allow")

    tool_config: dict[str, Any]


class ToolChange(BaseModel):
    """What of it is to change."""

    model_config = ConfigDict(extra="allow")

    tool_config: dict[str, Any] | None = None


@router.post("")
async def create_tool(services: ServicesOf, body: ToolBody) -> dict[str, Any]:
    """Make a tool."""
    document = body.model_dump(exclude_unset=True)
    name = _check(document["tool_config"])
    identifier = services.new_id("tool")
    return _shown(await services.store.resources.create("tool", identifier, name, document, now=services.epoch()))


@router.get("")
async def list_tools(
    services: ServicesOf,
    search: Annotated[str | None, Query()] = None,
    page_size: Annotated[int, Query()] = MOST,
    cursor: Annotated[str | None, Query()] = None,
    types: Annotated[list[str] | None, Query()] = None,
    sort_direction: Annotated[str, Query()] = "desc",
) -> dict[str, Any]:
    """A page of the tools. Clients ask without paging: a page is as long as it may be."""
    page = await services.store.resources.page(
        "tool",
        cursor=cursor,
        page_size=max(1, min(page_size, MOST)),
        search=search,
        descending=sort_direction != "asc",
    )
    tools = [tool for tool in page.items if not types or tool.document["tool_config"].get("type") in types]
    return {"tools": [_shown(tool) for tool in tools], "next_cursor": page.next_cursor, "has_more": page.has_more}


@router.get("/{tool_id}")
async def get_tool(services: ServicesOf, tool_id: str) -> dict[str, Any]:
    """A tool."""
    return _shown(await services.store.resources.get("tool", tool_id))


@router.patch("/{tool_id}")
async def update_tool(services: ServicesOf, tool_id: str, body: ToolChange) -> dict[str, Any]:
    """Change what is given. A configuration of another type replaces the one before."""
    before = await services.store.resources.get("tool", tool_id)
    document = merged(SHAPE, before.document, body.model_dump(exclude_unset=True, exclude_none=True))
    name = _check(document["tool_config"])
    return _shown(
        await services.store.resources.update(
            "tool", tool_id, now=services.epoch(), name=name, document=document, expected=before.updated_at
        )
    )


@router.delete("/{tool_id}")
async def delete_tool(services: ServicesOf, tool_id: str, force: Annotated[bool, Query()] = False) -> dict[str, Any]:
    """Forget a tool. One that agents use only with `force`."""
    await services.store.resources.get("tool", tool_id)
    users = await _users(services, tool_id)
    if users and not force:
        names = ", ".join(sorted(user.name for user in users))
        raise ApiError(400, "tool_in_use", f"agents use this tool: {names}; `force=true` deletes it all the same")
    await services.store.resources.delete("tool", tool_id)
    return {}


@router.get("/{tool_id}/dependent-agents")
async def list_users(services: ServicesOf, tool_id: str) -> dict[str, Any]:
    """The agents that use it."""
    await services.store.resources.get("tool", tool_id)
    agents = [
        {
            "type": "available",
            "id": user.id,
            "name": user.name,
            "created_at_unix_secs": int(user.created_at),
            "access_level": "admin",
        }
        for user in await _users(services, tool_id)
    ]
    return {"agents": agents, "next_cursor": None, "has_more": False}


async def _users(services: Services, tool_id: str) -> list[Resource]:
    def names(agent: Resource) -> list[str]:
        return section(agent.document, "conversation_config", "agent", "prompt").get("tool_ids") or []

    return [agent for agent in await services.store.resources.all("agent") if tool_id in names(agent)]


def _check(config: dict[str, Any]) -> str:
    """The tool's name. Raises RequestValidationError: it is no tool."""
    try:
        return read(ToolConfig, config, path="tool_config").name
    except ConfigError as error:
        where = {"loc": ("body", *error.path.split(".")), "msg": error.message, "type": "value_error"}
        raise RequestValidationError([where]) from error


def _shown(tool: Resource) -> dict[str, Any]:
    return completed(SHAPE, {"access_info": EVERYBODY, **tool.document, "id": tool.id})
