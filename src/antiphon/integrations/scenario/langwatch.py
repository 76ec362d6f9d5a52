"""Scenario's own voice package, where it is installed: our classes are then its classes, or made of them."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any


def _voice() -> Any:
    """The module `scenario.voice` of langwatch-scenario; None: not installed, or from before it could speak."""
    try:
        distribution("langwatch-scenario")  # asked for by this name, since other packages import as `scenario`, too
    except PackageNotFoundError:
        return None
    try:
        return import_module("scenario.voice")
    except ModuleNotFoundError as error:
        if error.name == "scenario.voice":
            return None
        raise


voice: Any = _voice()
"Slow to load: it brings litellm, which asks the network for prices unless LITELLM_LOCAL_MODEL_COST_MAP=True."
