"""What goes on now."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf

router = APIRouter(prefix="/v1/convai/analytics", tags=["analytics"], dependencies=[KeyNeeded])


@router.get("/live-count")
async def get_live_count(
    services: ServicesOf,
    agent_id: Annotated[str | None, Query()] = None,
    agent_ids: Annotated[list[str] | None, Query()] = None,
) -> dict[str, Any]:
    """How many conversations live in this process, of these agents or of all."""
    wanted = {*(agent_ids or ()), *([agent_id] if agent_id else ())}
    live = services.sessions.live.values()
    return {"count": sum(not wanted or each.agent_id in wanted for each in live)}
