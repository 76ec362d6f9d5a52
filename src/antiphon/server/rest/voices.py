"""Voices: those of the text-to-speech engine that an agent has which names none."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from antiphon.engines.base import Voice
from antiphon.errors import NotFoundError
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.rest.languages import language_name
from antiphon.server.rest.speech_errors import told
from antiphon.server.services import Services

router = APIRouter(tags=["voices"], dependencies=[KeyNeeded])

WELL_KNOWN = {
    "cjVigY5qzO86Huf0OWal": "what agents have by default",
    "cgSgspJ2msm6clMCkdW9": "what the MCP server speaks with",
    "JBFqnCBsd6RMkjVDRZzb": "what the command-line client speaks with",
    "21m00Tcm4TlvDq8ikWAM": "what the API's documentation speaks with",
}
"Ids that clients have built in (rest.md 5): each is a way of speaking of ours, the same as an agent of that id has."

SETTINGS: dict[str, Any] = {
    "stability": 0.5,
    "use_speaker_boost": True,
    "similarity_boost": 0.75,
    "style": 0.0,
    "speed": 1.0,
}
"The API's defaults; of these, `speed` is heard."


async def known_voice(services: Services, voice_id: str) -> Voice:
    """The voice of that id. Raises NotFoundError, ApiError."""
    with told():
        voice = await services.speech.voice(voice_id)
    if voice is None and voice_id in WELL_KNOWN:
        return Voice(id=voice_id, name="Default voice")
    if voice is None:
        raise NotFoundError("voice", voice_id)
    return voice


@router.get("/v1/voices")
async def get_voices(services: ServicesOf) -> dict[str, Any]:
    """All of them."""
    return {"voices": [_shown(voice) for voice in await _all(services)]}


@router.get("/v2/voices")
async def search_voices(
    services: ServicesOf,
    page_size: int = 10,
    next_page_token: str | None = None,
    search: str | None = None,
    sort: str | None = None,
    sort_direction: Literal["asc", "desc"] | None = None,
    category: str | None = None,
    voice_type: str | None = None,
    gender: str | None = None,
    accent: str | None = None,
    language: Annotated[list[str] | None, Query()] = None,
    voice_ids: Annotated[list[str] | None, Query()] = None,
) -> dict[str, Any]:
    """A part of the list. All voices are `premade` ones, `default` to every workspace."""
    found = [_shown(voice) for voice in await _all(services)]
    if (category or "premade") != "premade" or voice_type in ("personal", "community", "workspace", "non-default"):
        found = []
    for label, value in (("gender", gender), ("accent", accent)):
        if value:
            found = [voice for voice in found if voice["labels"].get(label) == value.lower()]
    if language:
        found = [voice for voice in found if voice["labels"].get("language") in {code.lower() for code in language}]
    if voice_ids:
        found = [voice for voice in found if voice["voice_id"] in voice_ids]
    if search:
        found = [voice for voice in found if search.lower() in _searched(voice)]
    if sort == "name" or sort_direction == "desc":
        found.sort(key=lambda voice: voice["name"], reverse=sort_direction == "desc")
    begin = _place(next_page_token)
    end = begin + min(max(page_size, 1), 100)
    more = end < len(found)
    return {
        "voices": found[begin:end],
        "has_more": more,
        "total_count": len(found),
        "next_page_token": str(end) if more else None,
    }


@router.get("/v1/voices/settings/default")
async def get_default_settings() -> dict[str, Any]:
    """How voices are set where nobody says how."""
    return SETTINGS


@router.get("/v1/voices/{voice_id}/settings")
async def get_voice_settings(services: ServicesOf, voice_id: str) -> dict[str, Any]:
    """How a voice is set: as all are."""
    await known_voice(services, voice_id)
    return SETTINGS


@router.get("/v1/voices/{voice_id}")
async def get_voice(services: ServicesOf, voice_id: str) -> dict[str, Any]:
    """One of them, or one that a client has built in."""
    return _shown(await known_voice(services, voice_id))


async def _all(services: Services) -> list[Voice]:
    if not services.speech.installed("tts"):
        return []
    with told():
        return await services.speech.voices()


def _place(token: str | None) -> int:
    if not token:
        return 0
    if not (token.isascii() and token.isdecimal() and len(token) < 10):
        raise ApiError(400, "invalid_cursor", "the next_page_token is none that this server gave out")
    return int(token)


def _searched(voice: dict[str, Any]) -> str:
    return " ".join([voice["name"], voice["description"] or "", voice["category"], *voice["labels"].values()]).lower()


def _shown(voice: Voice) -> dict[str, Any]:
    """A voice as clients see it: strict ones miss what is left out, and one needs `fine_tuning.state` (rest.md 5)."""
    labels = {"language": voice.language, "accent": voice.accent, "gender": voice.gender}
    return {
        "voice_id": voice.id,
        "name": voice.name,
        "samples": None,
        "category": "premade",
        "fine_tuning": {
            "is_allowed_to_fine_tune": False,
            "state": {},
            "verification_failures": [],
            "verification_attempts_count": 0,
            "manual_verification_requested": False,
        },
        "labels": {label: value for label, value in labels.items() if value},
        "description": WELL_KNOWN.get(voice.id) or (language_name(voice.language) if voice.language else None),
        "preview_url": None,
        "available_for_tiers": [],
        "settings": SETTINGS,
        "sharing": None,
        "high_quality_base_model_ids": [],
        "verified_languages": [],
        "safety_control": None,
        "voice_verification": None,
        "permission_on_resource": None,
        "is_owner": False,
        "is_legacy": False,
        "is_mixed": False,
        "created_at_unix": None,
    }
