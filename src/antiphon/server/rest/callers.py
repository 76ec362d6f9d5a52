"""Who calls, and how often: found out once for every request, before any endpoint."""

from __future__ import annotations

import math

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.server.addresses import client_address
from antiphon.server.auth import offered_key
from antiphon.server.limits import TooManyRequestsError
from antiphon.server.services import Services

from .errors import problem

HOLDER = "antiphon.holder"
"Where the request's scope has the `KeyHolder`, or None."

_UNLIMITED = frozenset({"/health", "/ready"})


class Callers:
    """ASGI middleware: identifies the caller, and answers 429 to one who asks too often."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request; pass it on if it may be made now."""
        if scope["type"] != "http" or scope["path"] in _UNLIMITED:
            return await self._app(scope, receive, send)
        request = Request(scope)
        services: Services = scope["app"].state.services
        address = client_address(scope, services.settings)
        try:
            holder = await services.authority.holder(offered_key(request.headers.get), address=address)
            if holder is None:
                services.limits.addresses.take(address, services.clock())
            else:
                services.limits.keys.take(holder.key_id, services.clock())
        except TooManyRequestsError as error:
            answer = problem(request, 429, "too_many_requests", f"{error}: try again later")
            answer.headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
            return await answer(scope, receive, send)
        scope[HOLDER] = holder
        return await self._app(scope, receive, send)
