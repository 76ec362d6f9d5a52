"""What holds for all agents of the workspace: its webhooks, above all."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from antiphon.errors import NotFoundError
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.shapes import completed, merged, section
from antiphon.server.services import Services

router = APIRouter(prefix="/v1/convai/settings", tags=["settings"], dependencies=[KeyNeeded])

SHAPE = "GetConvAISettingsResponseModel"
DEFAULTS = {"can_use_mcp_servers": True}


class SettingsChange(BaseModel):
    """What is to change."""

    model_config = ConfigDict(extra="allow")

    webhooks: dict[str, Any] | None = None
    conversation_initiation_client_data_webhook: dict[str, Any] | None = None


@router.get("")
async def get_settings(services: ServicesOf) -> dict[str, Any]:
    """All of them."""
    return completed(SHAPE, {**DEFAULTS, **await _kept(services)})


@router.patch("")
async def update_settings(services: ServicesOf, body: SettingsChange) -> dict[str, Any]:
    """Change what is given. Raises NotFoundError: there is no such webhook."""
    document = merged(SHAPE, await _kept(services), body.model_dump(exclude_unset=True))
    webhook_id = section(document, "webhooks").get("post_call_webhook_id")
    if webhook_id:
        await services.store.resources.get("webhook", webhook_id)
    await services.store.resources.put("settings", "workspace", "settings", document, now=services.epoch())
    return completed(SHAPE, {**DEFAULTS, **document})


async def _kept(services: Services) -> dict[str, Any]:
    try:
        return (await services.store.resources.get("settings", "workspace")).document
    except NotFoundError:
        return {}
