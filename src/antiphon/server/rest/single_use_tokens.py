"""Single-use tokens: what a browser shows instead of a key, to one speech socket."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf

router = APIRouter(prefix="/v1/single-use-token", tags=["tokens"], dependencies=[KeyNeeded])


@router.post("/{token_type}")
async def create_single_use_token(
    services: ServicesOf, token_type: Literal["realtime_scribe", "batch_scribe", "tts_websocket"]
) -> dict[str, str]:
    """A token for one use within 15 minutes."""
    return {"token": services.authority.sign_single_use(token_type, token_id=f"{services.random_bits(128):032x}")}
