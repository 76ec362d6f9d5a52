"""What is used of llama-index-core. It is typed by nobody: the package is not needed to work on Antiphon."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def _load(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "llama_index":
            raise
        raise ImportError(
            f"{error.name} is not installed; try: pip install 'antiphon[llama-index]'", name=error.name
        ) from error


llms: Any = _load("llama_index.core.llms")
tools: Any = _load("llama_index.core.tools")
voice_agents: Any = _load("llama_index.core.voice_agents")
