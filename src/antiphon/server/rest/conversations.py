"""Conversations: the record of one, and the signed address that starts one."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse

from antiphon.server.addresses import websocket_base
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf

router = APIRouter(prefix="/v1/convai", tags=["conversations"], dependencies=[KeyNeeded])


@router.get("/conversation/get-signed-url")
@router.get("/conversation/get_signed_url", deprecated=True)
async def get_signed_url(request: Request, services: ServicesOf, agent_id: Annotated[str, Query()]) -> dict[str, str]:
    """An address that admits to one agent, to start a conversation within 15 minutes, without the workspace key."""
    await services.workspace.agent(agent_id)
    token = services.authority.sign(agent_id, now=services.epoch(), nonce=services.random_bits(64))
    base = websocket_base(request.scope, services.settings)
    address = f"{base}/v1/convai/conversation?agent_id={quote(agent_id, safe='')}&conversation_signature={token}"
    return {"signed_url": address}


@router.get("/conversations/{conversation_id}")
async def get_conversation(services: ServicesOf, conversation_id: str) -> dict[str, Any]:
    """What is known of a conversation: its record, or, while it lives, as much of it as has happened."""
    await services.sessions.flush(conversation_id)
    return await asyncio.to_thread(services.conversations.document, conversation_id)


@router.get("/conversations/{conversation_id}/audio", response_class=FileResponse)
async def get_conversation_audio(services: ServicesOf, conversation_id: str) -> FileResponse:
    """The recording of a conversation that is over, MP3: the caller left, the agent right. 404: there is none."""
    recording = await asyncio.to_thread(services.conversations.audio, conversation_id)
    return FileResponse(recording, media_type="audio/mpeg")
