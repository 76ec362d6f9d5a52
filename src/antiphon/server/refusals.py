"""Errors as a client on a socket is told them: an `error` message, then a close code and a reason."""

from __future__ import annotations

from antiphon.errors import (
    AuthError,
    ConfigError,
    EngineError,
    LocalProtocolError,
    NotFoundError,
    ProtocolError,
    RemoteProtocolError,
    SessionError,
)
from antiphon.protocol import server as protocol
from antiphon.protocol.events import ErrorEvent

from .limits import TooManyRequestsError
from .sessions import ServerBusyError


def refusal(error: Exception) -> tuple[ErrorEvent, int, str]:
    """The message to send first, then the close code and its reason. Of what nobody foresaw, no detail is told."""
    return protocol.refusal(_in_the_protocols_words(error))


def _in_the_protocols_words(error: Exception) -> ProtocolError:
    match error:
        case ProtocolError():
            return error
        case AuthError():
            return RemoteProtocolError(str(error), error_type="unknown")
        case NotFoundError():
            return RemoteProtocolError(str(error), error_type="value_error")
        case ServerBusyError():
            return RemoteProtocolError(str(error), close_code=error.close_code, error_type="unknown")
        case TooManyRequestsError():
            return RemoteProtocolError(f"{error}: try again later", error_type="unknown")
        case SessionError():
            return RemoteProtocolError(str(error))
        case ConfigError():
            # The agent was fine when the server started: it is the client's override that asks for the impossible.
            return RemoteProtocolError(error.message, error_type="override_error")
        case EngineError():
            return RemoteProtocolError("the agent's engines are not available", close_code=1002, error_type="unknown")
        case _:
            return LocalProtocolError(str(error))
