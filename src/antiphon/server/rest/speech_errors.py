"""What may go wrong with engines, in the API's words: clients repeat a 5xx, so it is for what may succeed later."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from antiphon.errors import ConfigError, EngineError
from antiphon.server.rest.errors import ApiError
from antiphon.server.speech_engines import BusyError


@contextmanager
def told() -> Generator[None]:
    """Answer an engine's errors within this block."""
    try:
        yield
    except BusyError as error:
        raise ApiError(429, "too_many_concurrent_requests", str(error)) from error
    except ConfigError as error:
        raise ApiError(400, "engine_unavailable", error.message) from error
    except EngineError as error:
        status_code, status = (503, "system_busy") if error.retryable else (500, "engine_failed")
        raise ApiError(status_code, status, str(error)) from error
