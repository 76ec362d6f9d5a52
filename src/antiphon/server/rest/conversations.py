"""Conversations: the list of them, the record of one, its recording, what people thought of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from antiphon.errors import NotFoundError
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.store.conversations import Conversation, Wanted

router = APIRouter(prefix="/v1/convai", tags=["conversations"], dependencies=[KeyNeeded])
public = APIRouter(prefix="/v1/convai", tags=["conversations"])
"What browsers call, which have no key."

STATUSES = ("initiated", "in-progress", "processing", "done", "failed")
MOST = 100
"Conversations on a page."

_MOST_NUMBER = 2**53
"What every JSON library reads exactly, and every database takes."
Found = Annotated[int | None, Query(ge=-_MOST_NUMBER, le=_MOST_NUMBER)]
Stars = Annotated[int | None, Query(ge=1, le=5)]
Word = Annotated[str | None, Query()]


@router.get("/conversations")
async def list_conversations(
    services: ServicesOf,
    cursor: Word = None,
    agent_id: Word = None,
    user_id: Word = None,
    branch_id: Word = None,
    call_successful: Word = None,
    call_start_before_unix: Found = None,
    call_start_after_unix: Found = None,
    call_duration_min_secs: Found = None,
    call_duration_max_secs: Found = None,
    rating_min: Stars = None,
    rating_max: Stars = None,
    main_languages: Annotated[list[str] | None, Query()] = None,
    exclude_statuses: Annotated[list[str] | None, Query()] = None,
    text_only: Annotated[bool | None, Query()] = None,
    search: Word = None,
    page_size: Annotated[int, Query()] = 30,
    summary_mode: Annotated[Literal["exclude", "include"], Query()] = "exclude",
    sort_direction: Annotated[Literal["asc", "desc"], Query()] = "desc",
) -> dict[str, Any]:
    """A page of the conversations, newest first unless asked otherwise. Live ones are among them.

    Filters for what is not kept are ignored.
    """
    wanted = Wanted(
        agent_id=agent_id,
        user_id=user_id,
        branch_id=branch_id,
        successful=call_successful,
        status=[status for status in STATUSES if status not in exclude_statuses] if exclude_statuses else (),
        text_only=text_only,
        started_after=call_start_after_unix,
        started_before=call_start_before_unix,
        longer_than=call_duration_min_secs,
        shorter_than=call_duration_max_secs,
        rated_from=rating_min,
        rated_to=rating_max,
        languages=main_languages or (),
        search=search,
    )
    page = await services.store.conversations.page(
        wanted, cursor=cursor, page_size=max(1, min(page_size, MOST)), descending=sort_direction == "desc"
    )
    names: Mapping[str, str] = await services.workspace.agent_names() if page.items else {}
    asked = [each.id for each in page.items] if summary_mode == "include" else []
    documents = await services.store.conversations.documents(asked) if asked else {}
    analyses: dict[str, Mapping[str, Any]] = {key: each.get("analysis") or {} for key, each in documents.items()}
    return {
        "conversations": [
            _summary(each, names.get(each.agent_id), analyses.get(each.id, {}).get("transcript_summary"))
            for each in page.items
        ],
        "next_cursor": page.next_cursor,
        "has_more": page.has_more,
    }


def _summary(conversation: Conversation, agent_name: str | None, summary: str | None) -> dict[str, Any]:
    return {
        "agent_id": conversation.agent_id,
        "branch_id": conversation.branch_id,
        "version_id": None,
        "agent_name": agent_name,
        "conversation_id": conversation.id,
        "start_time_unix_secs": int(conversation.started_at),
        "call_duration_secs": round(conversation.duration),
        "message_count": conversation.messages,
        "status": conversation.status,
        "termination_reason": "",
        "call_successful": conversation.successful,
        "call_success_score": None,
        "transcript_summary": summary,
        "call_summary_title": conversation.title,
        "main_language": conversation.language,
        "conversation_initiation_source": None,
        "tool_names": None,
        "direction": None,
        "rating": conversation.rating,
        "tag_ids": [],
    }


@router.get("/conversations/{conversation_id}")
async def get_conversation(services: ServicesOf, conversation_id: str) -> dict[str, Any]:
    """What is known of a conversation: its record, or, while it lives, as much of it as has happened."""
    await services.sessions.flush(conversation_id)
    return await services.records.document(conversation_id)


@router.delete("/conversations/{conversation_id}")
async def delete_conversation(services: ServicesOf, conversation_id: str) -> dict[str, Any]:
    """Forget a conversation: its record, its journal, its recording. One that lives is not ended, nor written down any
    more."""
    await services.sessions.forget(conversation_id)
    await services.records.delete(conversation_id)
    return {}


@router.get("/conversations/{conversation_id}/audio", response_class=FileResponse)
async def get_conversation_audio(
    services: ServicesOf,
    conversation_id: str,
    part: Annotated[str | None, Header(alias="range", description="A part of it, as `bytes=0-1023`.")] = None,
) -> Response:
    """The recording of a conversation that is over, MP3: the caller left, the agent right. 404: there is none."""
    recording = services.records.audio_file(conversation_id)
    if recording is None:
        try:
            sound = await services.records.audio(conversation_id)
        except NotFoundError as error:
            raise NotFoundError("conversation_audio", conversation_id) from error
        return _part(sound, part or "")
    if not await asyncio.to_thread(recording.is_file):
        raise NotFoundError("conversation_audio", conversation_id)
    return FileResponse(recording, media_type="audio/mpeg")


def _part(sound: bytes, wanted: str) -> Response:
    """The part of a recording that is wanted; the whole, where none is or it is not one part in bytes."""
    headers = {"accept-ranges": "bytes"}
    found = re.fullmatch(r"bytes=(\d{1,15})?-(\d{1,15})?", wanted.strip())
    if found is None or found.group(1, 2) == (None, None):
        return Response(sound, headers=headers, media_type="audio/mpeg")
    first, last = found.group(1, 2)
    begin = int(first) if first is not None else max(0, len(sound) - int(last))
    end = min(len(sound), int(last) + 1) if first is not None and last is not None else len(sound)
    if begin >= end:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{len(sound)}"})
    headers["content-range"] = f"bytes {begin}-{end - 1}/{len(sound)}"
    return Response(sound[begin:end], 206, headers, "audio/mpeg")


class Feedback(BaseModel):
    """What somebody thought of a conversation."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    feedback: Literal["like", "dislike"] | None = None
    rating: Annotated[int, Field(ge=1, le=5)] | None = None
    "Stars."
    comment: Annotated[str, Field(max_length=10_000)] | None = None


@public.post("/conversations/{conversation_id}/feedback")
async def send_feedback(services: ServicesOf, conversation_id: str, body: Feedback) -> dict[str, Any]:
    """Keep a like, a dislike, stars or a comment. The id is the permission: only the two sides know it."""
    if conversation_id in services.sessions.live:
        raise ApiError(400, "conversation_in_progress", "feedback can be given when the conversation is over")
    given: dict[str, Any] = {"type": "thumbs", "likes": int(body.feedback == "like")}
    given |= {"dislikes": int(body.feedback == "dislike"), "overall_score": body.feedback}
    if body.feedback is None:
        given = {"type": "rating"} if body.rating is not None else {}
    given |= {name: value for name, value in (("rating", body.rating), ("comment", body.comment)) if value is not None}
    if not given:
        raise ApiError(400, "no_feedback", "feedback, rating or comment is needed")
    await services.records.rate(conversation_id, given, body.rating)
    return {}
