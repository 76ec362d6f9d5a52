"""Conversations: the record of one, and its recording."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from antiphon.errors import NotFoundError
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf

router = APIRouter(prefix="/v1/convai", tags=["conversations"], dependencies=[KeyNeeded])


@router.get("/conversations/{conversation_id}")
async def get_conversation(services: ServicesOf, conversation_id: str) -> dict[str, Any]:
    """What is known of a conversation: its record, or, while it lives, as much of it as has happened."""
    await services.sessions.flush(conversation_id)
    return await services.records.document(conversation_id)


@router.get("/conversations/{conversation_id}/audio", response_class=FileResponse)
async def get_conversation_audio(services: ServicesOf, conversation_id: str) -> Response:
    """The recording of a conversation that is over, MP3: the caller left, the agent right. 404: there is none."""
    recording = services.records.audio_file(conversation_id)
    if recording is None:
        return Response(await services.records.audio(conversation_id), media_type="audio/mpeg")
    if not await asyncio.to_thread(recording.is_file):
        raise NotFoundError("conversation_audio", conversation_id)
    return FileResponse(recording, media_type="audio/mpeg")
