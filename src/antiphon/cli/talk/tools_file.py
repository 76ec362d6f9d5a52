"""Client tools out of a Python file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from antiphon.client.tools import ClientTools
from antiphon.errors import ConfigError
from antiphon.protocol.events import ClientToolCall, ClientToolResult

_MODULE = "antiphon_talk_tools"


class ObservedTools(ClientTools):
    """Tools whose answers `observe` is told of."""

    def __init__(self, observe: Callable[[ClientToolResult], None] = lambda result: None) -> None:
        super().__init__()
        self.observe = observe

    async def run(self, call: ClientToolCall) -> ClientToolResult:
        """See ClientTools."""
        result = await super().run(call)
        self.observe(result)
        return result


def load(path: Path) -> tuple[ObservedTools, list[dict[str, Any]]]:
    """The file's tools, and their definitions for an agent's configuration.

    Those of every ClientTools object in it; without one, all of its public functions, under their own names.

    Raises:
        ConfigError: the file is not there, fails, has no tools, or one with a type hint that has no JSON schema.
    """
    module = _run(path)
    tools = ObservedTools()
    given = [value for value in vars(module).values() if isinstance(value, ClientTools)]
    if given:
        definitions: list[dict[str, Any]] = []
        for one in given:
            for name, (handler, is_async) in one.tools.items():
                try:
                    tools.register(name, handler, is_async)
                except ValueError as error:
                    raise ConfigError(str(error), path=str(path)) from error
            definitions += one.definitions()
    else:
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == _MODULE and not name.startswith("_"):
                try:
                    tools.tool(name)(function)
                except (TypeError, ValueError) as error:
                    raise ConfigError(f"{name}: {error}", path=f"{path}:{function.__code__.co_firstlineno}") from error
        definitions = tools.definitions()
    if not tools.tools:
        raise ConfigError("there is no tool in this file: neither a ClientTools nor a public function", path=str(path))
    return tools, definitions


def _run(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError("there is no such file", path=str(path))
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise ConfigError("this is no Python file", path=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # where type hints and pickling look for it
    sys.path.insert(0, str(path.resolve().parent))  # as for a script: it may import its neighbours
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{type(error).__name__}: {error}", path=_place(path, error)) from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _place(path: Path, error: Exception) -> str:
    """File and line of what went wrong in it."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{path}:{error.lineno}"
    line, trace = None, error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{path}:{line}" if line is not None else str(path)
