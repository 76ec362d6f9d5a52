"""The doors: HTTP, and the conversation socket.

The names are loaded when first used: who only wants the settings or the keys does not wait for the whole server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app
    from .run import listening, serve
    from .settings import Settings

__all__ = ["Settings", "create_app", "listening", "serve"]

_HOMES = {"Settings": "settings", "create_app": "app", "listening": "run", "serve": "run"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
