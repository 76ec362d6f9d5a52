"""What an endpoint may ask for: the server's services, and a caller whose key is good for the request.

All of it is async, though nothing here waits: FastAPI sends plain functions through its threads, each at the price of a
whole request, and while threads are at work the sound of conversations is late.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Request

from antiphon.errors import AuthError
from antiphon.server.auth import API_KEY_HEADER, InsufficientScopeError, KeyHolder, offered_key, scope_of
from antiphon.server.rest.callers import HOLDER
from antiphon.server.services import Services

_Key = Annotated[str | None, Header(alias=API_KEY_HEADER, description="An API key; or as `Authorization: Bearer`.")]


async def services(request: Request) -> Services:
    """Those of the server that got the request."""
    return request.app.state.services


ServicesOf = Annotated[Services, Depends(services)]


def key_holder(request: Request) -> KeyHolder | None:
    """Who holds the key that the request came with; None: nobody."""
    return request.scope[HOLDER]


def require_scope(request: Request, scope: str) -> None:
    """Return if the caller's key is good for this. Raises AuthError."""
    holder = key_holder(request)
    if holder is None and offered_key(request.headers.get):
        raise AuthError("the API key is not valid")
    if holder is None:
        raise AuthError(f"the header {API_KEY_HEADER} with an API key is needed", status="missing_api_key")
    if not holder.may(scope):
        raise InsufficientScopeError(scope)


async def require_key(request: Request, key: _Key = None) -> None:
    """Let only keys in that are good for the request's method and noun."""
    require_scope(request, scope_of(request.method, request.url.path))


KeyNeeded = Depends(require_key)


def Scoped(scope: str) -> Any:  # noqa: N802  used as `Depends` is
    """As `KeyNeeded`, for a scope that method and noun do not tell."""

    async def require(request: Request, key: _Key = None) -> None:
        require_scope(request, scope)

    return Depends(require)
