"""pytest collects `*.scene.yaml` files: each scene is a test, and a failing one shows its call.

Nothing of Antiphon is imported before a scene file is found, so that other projects' tests start as fast as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .scenes.reading import Located
    from .scenes.running import EngineChoice, Result

SUFFIXES = (".scene.yaml", ".scene.yml", ".scene.json")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--scene-seed` and `--scene-engines`."""
    group = parser.getgroup("antiphon", "scenes of Antiphon")
    group.addoption("--scene-seed", type=int, default=None, help="seed of every scene, instead of its own")
    group.addoption(
        "--scene-engines",
        choices=("scripted", "agent"),
        default="scripted",
        help="hear, think and speak with scripted engines, or with the agent's own",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A file of scenes."""
    if file_path.name.endswith(SUFFIXES):
        return SceneCollector.from_parent(parent, path=file_path)  # pyright: ignore[reportUnknownMemberType]
    return None


class SceneCollector(pytest.File):
    """The scenes of a file."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test for each."""
        from antiphon.errors import ConfigError

        from .scenes.reading import read_scenes

        try:
            scenes = read_scenes(self.path)
        except ConfigError as error:
            raise self.CollectError(str(error)) from error
        for located in scenes:
            yield SceneItem.from_parent(  # pyright: ignore[reportUnknownMemberType]
                self, name=located.scene.name, located=located
            )


class SceneFailedError(Exception):
    """A scene did not pass."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.name)
        self.result = result


class SceneItem(pytest.Item):
    """A scene."""

    def __init__(self, *, located: Located, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        self._located = located

    def runtest(self) -> None:
        """Hold its call. Raises SceneFailedError."""
        from .scenes.running import Options, run_scene

        seed: int | None = self.config.getoption("--scene-seed")
        engines: EngineChoice = self.config.getoption("--scene-engines") or "scripted"
        options = Options(seed=seed, engines=engines)
        result = run_scene(self._located, options)
        if result.status != "passed":
            raise SceneFailedError(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The failures and the call, in place of a traceback."""
        if isinstance(excinfo.value, SceneFailedError):
            from .scenes.report import explanation

            return f"seed {excinfo.value.result.seed}\n{explanation(excinfo.value.result)}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """File, line (from 0) and name."""
        return self.path, self._located.line - 1, self.name
