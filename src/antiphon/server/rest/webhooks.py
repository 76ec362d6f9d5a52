"""The workspace's webhooks: who is told of conversations that are over (`/v1/convai/settings`: which of them)."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from antiphon.errors import NotFoundError
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.services import Services
from antiphon.store.resources import Resource

router = APIRouter(prefix="/v1/workspace/webhooks", tags=["webhooks"], dependencies=[KeyNeeded])


class HmacSettings(BaseModel):
    """A webhook that is signed (docs/deploy.md)."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    auth_type: Literal["hmac"] = "hmac"
    name: str
    webhook_url: str
    request_headers: dict[str, str] | None = None
    "Sent along."


class Creation(BaseModel):
    """The body that makes one."""

    model_config = ConfigDict(extra="allow")

    settings: HmacSettings


class Change(BaseModel):
    """The body that changes one; what is left out stays."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    webhook_url: str | None = None
    is_disabled: bool | None = None
    retry_enabled: bool | None = None
    request_headers: dict[str, str] | None = None


@router.post("")
async def create_webhook(services: ServicesOf, body: Creation) -> dict[str, Any]:
    """Make a webhook. Its secret is in this answer and in no other."""
    settings = body.settings
    _check(settings.webhook_url)
    secret = f"wsec_{secrets.token_hex(32)}"
    document = {**settings.model_dump(), "secret": secret, "is_disabled": False}
    identifier = services.new_id("webhook")
    await services.store.resources.create("webhook", identifier, settings.name, document, now=services.epoch())
    return {"webhook_id": identifier, "webhook_secret": secret}


@router.get("")
async def list_webhooks(
    services: ServicesOf, include_usages: Annotated[bool, Query()] = False
) -> dict[str, list[dict[str, Any]]]:
    """All of them."""
    used = await _used(services) if include_usages else None
    return {"webhooks": [_shown(each, used) for each in await services.store.resources.all("webhook")]}


@router.patch("/{webhook_id}")
async def update_webhook(services: ServicesOf, webhook_id: str, body: Change) -> dict[str, str]:
    """Change what is given. Failed deliveries are always tried again, whatever `retry_enabled` says."""
    before = await services.store.resources.get("webhook", webhook_id)
    changes = body.model_dump(exclude_unset=True, exclude_none=True)
    if "webhook_url" in changes:
        _check(changes["webhook_url"])
    document = {**before.document, **changes}
    await services.store.resources.update(
        "webhook", webhook_id, now=services.epoch(), name=document["name"], document=document
    )
    return {"status": "ok"}


@router.delete("/{webhook_id}")
async def delete_webhook(services: ServicesOf, webhook_id: str) -> dict[str, str]:
    """Forget it. What is queued for it is dropped when it is due."""
    await services.store.resources.delete("webhook", webhook_id)
    return {"status": "ok"}


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ApiError(400, "invalid_webhook_url", "webhook_url should be an http or https address")


async def _used(services: Services) -> str | None:
    """The webhook that the workspace's settings name."""
    try:
        settings = (await services.store.resources.get("settings", "workspace")).document
    except NotFoundError:
        return None
    webhooks: dict[str, Any] = settings.get("webhooks") or {}
    return webhooks.get("post_call_webhook_id")


def _shown(webhook: Resource, used: str | None) -> dict[str, Any]:
    document = webhook.document
    return {
        "name": webhook.name,
        "webhook_id": webhook.id,
        "webhook_url": document["webhook_url"],
        "is_disabled": document["is_disabled"],
        "is_auto_disabled": False,
        "created_at_unix": int(webhook.created_at),
        "auth_type": "hmac",
        "usage": [{"usage_type": "ConvAI Settings"}] if used == webhook.id else [],
        "events": None,
        "most_recent_failure_error_code": None,
        "most_recent_failure_timestamp": None,
    }
