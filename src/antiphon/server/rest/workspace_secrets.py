"""Secrets that tools' headers and models' keys refer to. A value goes in and never comes out again."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.rest.shapes import completed
from antiphon.server.services import Services
from antiphon.store.resources import Resource

router = APIRouter(prefix="/v1/convai/secrets", tags=["secrets"], dependencies=[KeyNeeded])


class NewSecret(BaseModel):
    """A secret."""

    model_config = ConfigDict(extra="allow")

    name: str
    value: str


class ChangedSecret(BaseModel):
    """What of it is to change."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    value: str | None = None


@router.post("")
async def create_secret(services: ServicesOf, body: NewSecret) -> dict[str, str]:
    """Keep a secret."""
    identifier = services.new_id("secret")
    document = {"value": body.value}
    await services.store.resources.create("secret", identifier, body.name, document, now=services.epoch())
    return {"type": "stored", "secret_id": identifier, "name": body.name}


@router.get("")
async def list_secrets(
    services: ServicesOf,
    page_size: Annotated[int, Query()] = 100,
    search: Annotated[str | None, Query()] = None,
    cursor: Annotated[str | None, Query()] = None,
) -> dict[str, Any]:
    """Names and ids, and what refers to them."""
    size = max(1, min(page_size, 100))
    page = await services.store.resources.page("secret", cursor=cursor, page_size=size, search=search)
    users = await _referring(services)
    shown = [_shown(secret, users) for secret in page.items]
    return {"secrets": shown, "next_cursor": page.next_cursor, "has_more": page.has_more}


@router.get("/{secret_id}")
async def get_secret(services: ServicesOf, secret_id: str) -> dict[str, Any]:
    """Name and id, and what refers to it."""
    return _shown(await services.store.resources.get("secret", secret_id), await _referring(services))


@router.patch("/{secret_id}")
async def update_secret(services: ServicesOf, secret_id: str, body: ChangedSecret) -> dict[str, str]:
    """Another name, another value."""
    document = None if body.value is None else {"value": body.value}
    secret = await services.store.resources.update(
        "secret", secret_id, now=services.epoch(), name=body.name, document=document
    )
    return {"type": "stored", "secret_id": secret_id, "name": secret.name}


@router.delete("/{secret_id}")
async def delete_secret(services: ServicesOf, secret_id: str) -> dict[str, Any]:
    """Forget it. One that something refers to has to stay."""
    secret = await services.store.resources.get("secret", secret_id)
    used = _shown(secret, await _referring(services))["used_by"]
    if used["tools"] or used["agents"]:
        raise ApiError(400, "secret_in_use", "tools or agents refer to this secret")
    await services.store.resources.delete("secret", secret_id)
    return {}


async def _referring(services: Services) -> list[tuple[Resource, str]]:
    """Everything that may refer to a secret, with its document as text."""
    found = [*await services.store.resources.all("tool"), *await services.store.resources.all("agent")]
    return [(resource, json.dumps(resource.document)) for resource in found]


def _shown(secret: Resource, referring: list[tuple[Resource, str]]) -> dict[str, Any]:
    users = [resource for resource, text in referring if json.dumps(secret.id) in text]
    used_by: dict[str, list[dict[str, Any]]] = {"tools": [], "agents": [], "others": []}
    for user in users:
        about = {"type": "available", "id": user.id, "name": user.name, "access_level": "admin"}
        used_by[f"{user.kind}s"].append({**about, "created_at_unix_secs": int(user.created_at)})
    known = {"type": "stored", "secret_id": secret.id, "name": secret.name, "used_by": used_by}
    return completed("ConvAIWorkspaceStoredSecretConfig", known)
