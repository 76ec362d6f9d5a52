"""The language models that agents may name here: those of the setting `llm_models`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.shapes import completed

router = APIRouter(prefix="/v1/convai/llm", tags=["language models"], dependencies=[KeyNeeded])


@router.get("/list")
async def list_models(services: ServicesOf) -> dict[str, Any]:
    """Every name and pattern (`gpt-*`) of the setting, and `custom-llm`, which an agent brings itself."""
    names = [*services.settings.llm_models, "custom-llm"]
    known = {"supports_parallel_tool_calls": True, "available_service_tiers": ["standard"]}
    models = [completed("LLMInfoModel", {"llm": name, **known}) for name in names]
    return completed("LLMListResponseModel", {"llms": models})
