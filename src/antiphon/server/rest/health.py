"""Whether the server lives."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> dict[str, str]:
    """`{"status": "ok"}` once agents and engines are loaded: until then nobody listens."""
    return {"status": "ok"}
