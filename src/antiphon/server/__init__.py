"""The doors: HTTP, and the conversation socket."""

from __future__ import annotations

from .app import create_app
from .run import listening, serve
from .settings import Settings

__all__ = ["Settings", "create_app", "listening", "serve"]
