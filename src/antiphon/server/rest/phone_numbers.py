"""Phone numbers: kept and assigned to agents, as the API's users expect. No carrier stands behind them yet, and a call
that is to go out says so."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from antiphon.errors import NotFoundError
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.shapes import completed
from antiphon.server.services import Services
from antiphon.store.resources import Resource

router = APIRouter(prefix="/v1/convai", tags=["phone numbers"], dependencies=[KeyNeeded])

SHAPES = {
    "twilio": "GetPhoneNumberTwilioResponseModel",
    "sip_trunk": "GetPhoneNumberSIPTrunkResponseModel",
    "exotel": "GetPhoneNumberExotelResponseModel",
}
CREDENTIALS = ("sid", "token", "api_key", "api_token", "credentials")
"Keys whose values never come out again."
NO_CARRIER = "no carrier is connected to this server: it takes calls over WebSocket only"


class NewNumber(BaseModel):
    """A phone number."""

    model_config = ConfigDict(extra="allow")

    phone_number: str
    label: str
    provider: Literal["twilio", "sip_trunk", "exotel"] = "twilio"


class NumberChange(BaseModel):
    """What of it is to change."""

    model_config = ConfigDict(extra="allow")

    label: str | None = None
    agent_id: str | None = None


class OutboundCall(BaseModel):
    """Who is to be called by whom."""

    model_config = ConfigDict(extra="allow")

    agent_id: str
    agent_phone_number_id: str
    to_number: str


@router.post("/phone-numbers")
async def create_number(services: ServicesOf, body: NewNumber) -> dict[str, str]:
    """Keep a number."""
    identifier = services.new_id("phnum")
    document = {**body.model_dump(), "provider": body.provider}
    await services.store.resources.create("phone_number", identifier, body.label, document, now=services.epoch())
    return {"phone_number_id": identifier}


@router.get("/phone-numbers")
async def list_numbers(
    services: ServicesOf,
    provider: Annotated[str | None, Query()] = None,
    agent_id: Annotated[str | None, Query()] = None,
) -> list[dict[str, Any]]:
    """All of them."""
    numbers = await services.store.resources.all("phone_number")
    return [
        await _shown(services, number)
        for number in numbers
        if (not provider or number.document["provider"] == provider)
        and (not agent_id or number.document.get("agent_id") == agent_id)
    ]


@router.get("/phone-numbers/{phone_number_id}")
async def get_number(services: ServicesOf, phone_number_id: str) -> dict[str, Any]:
    """A number."""
    return await _shown(services, await services.store.resources.get("phone_number", phone_number_id))


@router.patch("/phone-numbers/{phone_number_id}")
async def update_number(services: ServicesOf, phone_number_id: str, body: NumberChange) -> dict[str, Any]:
    """Change what is given; `agent_id` assigns it, null takes it from whoever has it."""
    before = await services.store.resources.get("phone_number", phone_number_id)
    change = body.model_dump(exclude_unset=True)
    if change.get("agent_id"):
        await services.workspace.agent(change["agent_id"])
    document = {**before.document, **change}
    number = await services.store.resources.update(
        "phone_number", phone_number_id, now=services.epoch(), name=document["label"], document=document
    )
    return await _shown(services, number)


@router.delete("/phone-numbers/{phone_number_id}")
async def delete_number(services: ServicesOf, phone_number_id: str) -> dict[str, Any]:
    """Forget it."""
    await services.store.resources.delete("phone_number", phone_number_id)
    return {}


@router.post("/twilio/outbound-call")
async def call_by_twilio(services: ServicesOf, body: OutboundCall) -> dict[str, Any]:
    """Say that nobody can be called from here."""
    await services.workspace.agent(body.agent_id)
    return {"success": False, "message": NO_CARRIER, "conversation_id": None, "callSid": None}


@router.post("/sip-trunk/outbound-call")
async def call_by_sip(services: ServicesOf, body: OutboundCall) -> dict[str, Any]:
    """Say that nobody can be called from here."""
    await services.workspace.agent(body.agent_id)
    return {"success": False, "message": NO_CARRIER, "conversation_id": None, "sip_call_id": None}


async def _shown(services: Services, number: Resource) -> dict[str, Any]:
    assigned = None
    if agent_id := number.document.get("agent_id"):
        try:
            assigned = {"agent_id": agent_id, "agent_name": (await services.workspace.agent(agent_id)).name}
        except NotFoundError:
            assigned = None  # it was deleted
    shown = {key: value for key, value in number.document.items() if key not in (*CREDENTIALS, "agent_id")}
    shown |= {"phone_number_id": number.id, "assigned_agent": assigned}
    return completed(SHAPES[number.document["provider"]], shown)
