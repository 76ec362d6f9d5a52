"""Engines by name: `registry.factory("stt", "pocketsphinx")`.

Built-ins and strangers come in by the same door, the entry-point groups `antiphon.vad`, `antiphon.turn`,
`antiphon.stt`, `antiphon.llm` and `antiphon.tts`. An entry point names a factory `create(options, context) -> engine`;
nothing is imported before its name is asked for. Tests and simulations add their own with `Registry.add`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeAlias

from antiphon.engines.base import EngineContext
from antiphon.errors import ConfigError

Kind: TypeAlias = Literal["vad", "turn", "stt", "llm", "tts"]
Factory: TypeAlias = Callable[[Mapping[str, Any], EngineContext], Any]

KINDS: tuple[Kind, ...] = ("vad", "turn", "stt", "llm", "tts")


class Registry:
    """The engines that can be named in an agent's file or in the settings."""

    def __init__(self) -> None:
        self._factories: dict[tuple[Kind, str], Factory] = {}
        self._entry_points: dict[tuple[Kind, str], EntryPoint] = {
            (kind, point.name): point for kind in KINDS for point in entry_points(group=f"antiphon.{kind}")
        }

    def add(self, kind: Kind, name: str, factory: Factory) -> None:
        """Make `name` known in this registry only; it wins over an installed engine of the same name."""
        self._factories[kind, name] = factory

    def names(self, kind: Kind) -> list[str]:
        """What can be named, sorted."""
        return sorted({name for k, name in (*self._factories, *self._entry_points) if k == kind})

    def create(self, kind: Kind, name: str, options: Mapping[str, Any], context: EngineContext) -> Any:
        """The engine of that name.

        Raises:
            ConfigError: nobody knows the name, the package behind it is missing, or the options are wrong.
        """
        factory = self._factories.get((kind, name))
        if factory is None:
            point = self._entry_points.get((kind, name))
            if point is None:
                known = ", ".join(self.names(kind)) or "none"
                raise ConfigError(
                    f"there is no {kind} engine {name!r} (installed: {known})", path=f"antiphon.{kind}.engine"
                )
            try:
                factory = self._factories[kind, name] = point.load()
            except ImportError as error:
                raise ConfigError(f"the {kind} engine {name!r} cannot be loaded: {error}", path=point.value) from error
        return factory(options, context)
