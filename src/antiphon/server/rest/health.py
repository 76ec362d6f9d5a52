"""Whether the server lives, whether it takes conversations, and what it has counted."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from antiphon.errors import StoreError
from antiphon.server.metrics import CONTENT_TYPE
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> dict[str, str]:
    """`{"status": "ok"}` once agents and engines are loaded: until then nobody listens."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(services: ServicesOf) -> JSONResponse:
    """200 while conversations can begin; 503 while the server drains, is full, or its database does not answer."""
    status = "ok"
    if services.sessions.stopping:
        status = "draining"
    elif services.sessions.full:
        status = "full"
    else:
        try:
            await services.store.database.ping()
        except StoreError:
            status = "database unreachable"
    return JSONResponse({"status": status}, 200 if status == "ok" else 503)


@router.get("/metrics", dependencies=[KeyNeeded])
async def metrics(services: ServicesOf) -> Response:
    """Metrics in the OpenMetrics format, for Prometheus; the scraper sends a key as a bearer token."""
    return Response(services.metrics.text(), media_type=CONTENT_TYPE)
