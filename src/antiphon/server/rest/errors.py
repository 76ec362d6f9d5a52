"""Errors as the API words them: `{"detail": {"status", "message", "type", "code", "request_id"}}` (rest.md 6).

Validation errors keep FastAPI's own shape, `{"detail": [{"loc", "msg", "type"}]}`, which is the original's too.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from antiphon.errors import AntiphonError, AuthError, ConflictError, NotFoundError, StoreError
from antiphon.server.auth import InsufficientScopeError
from antiphon.store.resources import CursorError

logger = logging.getLogger(__name__)

REPORTED = "antiphon.reported"
"In the scope of a request that failed, once the log and the client know."

_TYPES = {
    401: "authentication_error",
    403: "authorization_error",
    404: "not_found",
    409: "conflict",
    429: "rate_limit_error",
}


class ApiError(AntiphonError):
    """An error with an HTTP status and a name of its own."""

    def __init__(self, status_code: int, status: str, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.status = status


def problem(
    request: Request, status_code: int, status: str, message: str, *, code: str | None = None, param: str | None = None
) -> JSONResponse:
    """An error's whole answer. `status`: the classic name of the error; `code`: the newer one, where it differs."""
    detail = {
        "type": _TYPES.get(status_code, "invalid_request" if status_code < 500 else "internal_error"),
        "code": code or status,
        "status": status,
        "message": message,
        "request_id": request.scope.get("request_id", ""),
    }
    if param is not None:
        detail["param"] = param
    return JSONResponse({"detail": detail}, status_code)


def add_error_answers(app: FastAPI) -> None:
    """Have the application answer its errors in the API's words."""
    app.exception_handler(AuthError)(_unauthorized)
    app.exception_handler(InsufficientScopeError)(_forbidden)
    app.exception_handler(ApiError)(_told)
    app.exception_handler(NotFoundError)(_not_found)
    app.exception_handler(ConflictError)(_conflict)
    app.exception_handler(CursorError)(_no_cursor)
    app.exception_handler(StoreError)(_no_store)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_refused)
    app.exception_handler(Exception)(_failed)


async def _unauthorized(request: Request, error: AuthError) -> JSONResponse:
    return problem(request, 401, "invalid_api_key", str(error), code=error.status)


async def _forbidden(request: Request, error: InsufficientScopeError) -> JSONResponse:
    return problem(request, 403, error.status, str(error))


async def _told(request: Request, error: ApiError) -> JSONResponse:
    return problem(request, error.status_code, error.status, str(error))


async def _not_found(request: Request, error: NotFoundError) -> JSONResponse:
    return problem(request, 404, f"{error.kind}_not_found", str(error), param=f"{error.kind}_id")


async def _conflict(request: Request, error: ConflictError) -> JSONResponse:
    return problem(request, 409, "conflict", str(error))


async def _no_cursor(request: Request, error: CursorError) -> JSONResponse:
    return problem(request, 400, "invalid_cursor", str(error), param="cursor")


async def _no_store(request: Request, error: StoreError) -> JSONResponse:
    logger.error("the store failed", exc_info=error, extra={"request_id": request.scope.get("request_id", "")})
    answer = problem(request, 503, "system_busy", "the server's store does not answer")
    answer.headers["retry-after"] = "1"
    return answer


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """FastAPI's own answer without what came in: that may be a secret, or nothing that an answer can hold."""
    detail = [{name: each[name] for name in ("loc", "msg", "type")} for each in error.errors()]
    return JSONResponse({"detail": detail}, 422)


async def _refused(request: Request, error: HTTPException) -> JSONResponse:
    status = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    answer = problem(request, error.status_code, status, f"{error.detail}: {request.method} {request.url.path}")
    answer.headers.update(error.headers or {})
    return answer


async def _failed(request: Request, error: Exception) -> JSONResponse:
    logger.error("a request failed", exc_info=error, extra={"request_id": request.scope.get("request_id", "")})
    request.scope[REPORTED] = True
    return problem(request, 500, "internal_error", "the server failed; its log says why, under this request_id")
