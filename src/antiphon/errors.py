"""Every error that Antiphon raises on purpose.

AntiphonError
├── ProtocolError           a message broke the ConvAI protocol; `close_code` says how to hang up
│   ├── LocalProtocolError      you did: what was about to be sent is wrong
│   └── RemoteProtocolError     the peer did: what came in is wrong
├── EngineError             speech-to-text, language model, ... failed; `retryable` says whether another try may help
├── ConfigError             an agent's file or a setting is wrong; `path` says where
├── DeviceError             a microphone or loudspeaker is not there, or cannot be opened
├── AuthError               who are you?
├── StoreError              what is kept cannot be reached, or not be changed like that
│   ├── NotFoundError           no agent, tool, secret, conversation of that id
│   └── ConflictError           it is there already, or was changed by somebody else
└── SessionError            a conversation cannot go on, or is not in the state that a call needs
"""

from __future__ import annotations


class AntiphonError(Exception):
    """Base of every error that this package raises."""


class ProtocolError(AntiphonError):
    """A message broke the ConvAI protocol.

    `close_code` is the WebSocket close code that fits (protocol.md 3.5), `error_type` the protocol's own name for it.
    """

    def __init__(self, message: str, *, close_code: int = 1008, error_type: str = "invalid_message") -> None:
        super().__init__(message)
        self.close_code = close_code
        self.error_type = error_type


class LocalProtocolError(ProtocolError):
    """We were about to break the protocol: a bug here, or a caller that asked for something impossible."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol."""


class EngineError(AntiphonError):
    """An engine failed.

    `engine` is its registered name. `retryable`: whether the same request may succeed later (a timeout, a 429).
    `detail`: what a server said about it in its own words. They may quote what was said in a conversation, so that the
    error's text, which goes to logs, is without them; `full_text` is for who may read the conversation.
    """

    def __init__(self, engine: str, message: str, *, retryable: bool = False, detail: str = "") -> None:
        super().__init__(f"{engine}: {message}")
        self.engine = engine
        self.retryable = retryable
        self.detail = detail

    @property
    def full_text(self) -> str:
        """The error's text and, if there are any, the server's own words."""
        return f"{self}: {self.detail}" if self.detail else str(self)


class ConfigError(AntiphonError):
    """A setting or an agent's file is wrong. `path` is where: a file, a JSON path, the name of a setting."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message


class DeviceError(AntiphonError, OSError):
    """A microphone or loudspeaker is not there, or cannot be opened (the original interface's OSError)."""


class AuthError(AntiphonError):
    """The caller is not who it would have to be. `status` is the API's name for it (rest.md 6)."""

    def __init__(self, message: str, *, status: str = "invalid_api_key") -> None:
        super().__init__(message)
        self.status = status


class StoreError(AntiphonError):
    """What is kept cannot be reached, or not be changed like that."""


class ConflictError(StoreError):
    """It is there already, or was changed by somebody else at the same time."""


class NotFoundError(StoreError):
    """There is nothing of that id. `kind` is what was looked for: agent, tool, secret, ..."""

    def __init__(self, kind: str, identifier: str) -> None:
        super().__init__(f"no {kind} with id {identifier!r}")
        self.kind = kind
        self.identifier = identifier


class SessionError(AntiphonError, RuntimeError):
    """A conversation cannot go on, or is not in the state that the call needs (the original client's RuntimeError)."""
