"""Models: what speaks and what listens here. Clients may send any name of a model; there is one of each."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.languages import NAMES, language_name
from antiphon.server.rest.speech_errors import told
from antiphon.server.rest.text_to_speech import MOST_CHARACTERS

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[KeyNeeded])


@router.get("")
async def get_models(services: ServicesOf) -> list[dict[str, Any]]:
    """The engine that speaks, with the languages it speaks, and the one that listens."""
    models: list[dict[str, Any]] = []
    if services.speech.installed("tts"):
        with told():
            voices = await services.speech.voices()
        languages = sorted({voice.language for voice in voices if voice.language})
        models.append(_model(services.speech.name("tts"), "Text to speech", languages, speaks=True))
    if services.speech.installed("stt"):
        languages = [code for code in NAMES if services.speech.hears(code)]
        models.append(_model(services.speech.name("stt"), "Speech to text", languages, speaks=False))
    return models


def _model(name: str, what: str, languages: list[str], *, speaks: bool) -> dict[str, Any]:
    limit = MOST_CHARACTERS if speaks else 0
    return {
        "model_id": name,
        "name": name,
        "description": f"{what} on this server, by the engine {name}.",
        "can_be_finetuned": False,
        "can_do_text_to_speech": speaks,
        "can_do_voice_conversion": False,
        "can_use_style": False,
        "can_use_speaker_boost": False,
        "serves_pro_voices": False,
        "token_cost_factor": 1.0,
        "requires_alpha_access": False,
        "max_characters_request_free_user": limit,
        "max_characters_request_subscribed_user": limit,
        "maximum_text_length_per_request": limit,
        "languages": [{"language_id": code, "name": language_name(code)} for code in languages],
        "model_rates": {"character_cost_multiplier": 0.0},
        "concurrency_group": "standard",
    }
