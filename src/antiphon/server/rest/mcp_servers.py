"""MCP servers that agents are connected to by their id (docs/tools.md)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.rest.shapes import completed, merged, section
from antiphon.server.services import Services
from antiphon.store.resources import Resource

router = APIRouter(prefix="/v1/convai/mcp-servers", tags=["MCP servers"], dependencies=[KeyNeeded])

SHAPE = "MCPServerResponseModel"
EVERYBODY = {"is_creator": True, "creator_name": "workspace", "creator_email": "", "role": "admin"}


class NewServer(BaseModel):
    """A server."""

    model_config = ConfigDict(extra="allow")

    config: dict[str, Any]


@router.post("")
async def create_server(services: ServicesOf, body: NewServer) -> dict[str, Any]:
    """Keep a server's configuration. It is connected to when a conversation needs it."""
    config = body.config
    if not isinstance(config.get("url"), (str, dict)) or not isinstance(config.get("name"), str):
        raise ApiError(400, "invalid_mcp_server", "config needs a name and a url")
    document = body.model_dump(exclude_unset=True)
    identifier = services.new_id("mcp")
    server = await services.store.resources.create(
        "mcp_server", identifier, config["name"], document, now=services.epoch()
    )
    return await _shown(services, server)


@router.get("")
async def list_servers(services: ServicesOf) -> dict[str, Any]:
    """All of them."""
    servers = await services.store.resources.all("mcp_server")
    return {"mcp_servers": [await _shown(services, server) for server in servers]}


@router.get("/{mcp_server_id}")
async def get_server(services: ServicesOf, mcp_server_id: str) -> dict[str, Any]:
    """One."""
    return await _shown(services, await services.store.resources.get("mcp_server", mcp_server_id))


@router.patch("/{mcp_server_id}")
async def update_server(services: ServicesOf, mcp_server_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change what is given of its configuration."""
    before = await services.store.resources.get("mcp_server", mcp_server_id)
    document = merged(SHAPE, before.document, {"config": body.get("config", body)})
    server = await services.store.resources.update(
        "mcp_server", mcp_server_id, now=services.epoch(), name=document["config"]["name"], document=document
    )
    return await _shown(services, server)


@router.delete("/{mcp_server_id}")
async def delete_server(services: ServicesOf, mcp_server_id: str) -> dict[str, Any]:
    """Forget it."""
    await services.store.resources.delete("mcp_server", mcp_server_id)
    return {}


async def _shown(services: Services, server: Resource) -> dict[str, Any]:
    users = [
        {
            "type": "available",
            "id": agent.id,
            "name": agent.name,
            "created_at_unix_secs": int(agent.created_at),
            "access_level": "admin",
        }
        for agent in await services.store.resources.all("agent")
        if server.id in (section(agent.document, "conversation_config", "agent", "prompt").get("mcp_server_ids") or ())
    ]
    known = {
        **server.document,
        "id": server.id,
        "access_info": EVERYBODY,
        "dependent_agents": users,
        "metadata": {"created_at": int(server.created_at)},
    }
    return completed(SHAPE, known)
