"""What an endpoint may ask for: the server's services, and a caller who holds the workspace key."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from antiphon.server.auth import API_KEY_HEADER
from antiphon.server.services import Services


def services(request: Request) -> Services:
    """Those of the server that got the request."""
    return request.app.state.services


ServicesOf = Annotated[Services, Depends(services)]


def require_key(services: ServicesOf, key: Annotated[str | None, Header(alias=API_KEY_HEADER)] = None) -> None:
    """Let only holders of the workspace key in."""
    services.authority.require_key(key)


KeyNeeded = Depends(require_key)
