"""`antiphon workspace` and `antiphon users`: what a server keeps, as an archive; everything about one user, erased.

They work on the settings' database and recordings, whether or not a server runs on them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from antiphon.errors import AntiphonError

if TYPE_CHECKING:
    from antiphon.store.recordings import Recordings
    from antiphon.store.store import Store

workspace = typer.Typer(help="The whole workspace: export it, import it.", no_args_is_help=True)
users = typer.Typer(help="Everything about one user: export it, erase it.", no_args_is_help=True)

Config = Annotated[Path | None, typer.Option(help="TOML file with settings.")]
Data = Annotated[Path | None, typer.Option(help="Folder of what the server keeps [default: data].")]
UserId = Annotated[str, typer.Argument(help="The `user_id` with which conversations were begun.")]

Tell: TypeAlias = Callable[[str], None]


@workspace.command("export")
def export_workspace(
    target: Annotated[Path, typer.Argument(help="A new FILE.tar.gz, or a folder.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Write everything to an archive: agents, tools, secrets, documents, settings, conversations, recordings.

    API keys are not in it; secrets are, in clear: keep it as you keep those.
    """
    from antiphon.server import archive

    async def work(store: Store, recordings: Recordings, _parts: Path, tell: Tell) -> Mapping[str, int]:
        now = time.time()  # noqa: TID251
        return await archive.export_workspace(store, recordings, target, now=now, progress=tell)

    _show("exported", _done(work, config, data))


@workspace.command("import")
def import_workspace(
    source: Annotated[Path, typer.Argument(help="What `antiphon workspace export` has written.")],
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite what has the same ids.")] = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Take in an archive, beside what there is. If anything of the same id is there, nothing is done."""
    from antiphon.server import archive

    async def work(store: Store, recordings: Recordings, _parts: Path, tell: Tell) -> Mapping[str, int]:
        return await archive.import_workspace(store, recordings, source, replace=replace, progress=tell)

    _show("imported", _done(work, config, data))


@users.command("export")
def export_user(
    user_id: UserId,
    target: Annotated[Path, typer.Argument(help="A new FILE.tar.gz, or a folder.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Write everything about one user to an archive: conversations, journals, recordings, queued webhooks."""
    from antiphon.server import archive

    async def work(store: Store, recordings: Recordings, _parts: Path, tell: Tell) -> Mapping[str, int]:
        now = time.time()  # noqa: TID251
        return await archive.export_user(store, recordings, user_id, target, now=now, progress=tell)

    _show("exported", _done(work, config, data))


@users.command("erase")
def erase_user(
    user_id: UserId,
    yes: Annotated[bool, typer.Option("--yes", help="Do it: there is no way back.")] = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Erase everything about one user: conversations, journals, recordings, queued webhooks."""
    from antiphon.server import archive

    if not yes:
        typer.echo("antiphon: nothing was erased: there is no way back, so it needs --yes", err=True)
        raise typer.Exit(2)

    async def work(store: Store, recordings: Recordings, parts: Path, tell: Tell) -> Mapping[str, int]:
        return await archive.erase_user(store, recordings, user_id, parts, progress=tell)

    _show("erased", _done(work, config, data))


# ------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _kept(config: Path | None, data: Path | None) -> AsyncGenerator[tuple[Store, Recordings, Path]]:
    """The settings' store and recordings, and the folder in which recordings grow."""
    from antiphon.server.keys import sealer
    from antiphon.server.settings import Settings
    from antiphon.store.recordings import open_recordings
    from antiphon.store.store import open_store

    settings = Settings.load(config, data=data)
    parts = settings.data / "recordings"
    async with open_store(settings.database_url, sealer(settings)) as store:
        yield store, open_recordings(settings.recordings or str(parts)), parts


def _done(
    work: Callable[[Store, Recordings, Path, Tell], Awaitable[Mapping[str, int]]],
    config: Path | None,
    data: Path | None,
) -> Mapping[str, int]:
    """What came of it, with its progress on standard error."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())

    async def run() -> Mapping[str, int]:
        tasks: dict[str, TaskID] = {}
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

            def tell(section: str) -> None:
                if section not in tasks:
                    tasks[section] = progress.add_task(section, total=None)
                progress.advance(tasks[section])

            async with _kept(config, data) as (store, recordings, parts):
                return await work(store, recordings, parts, tell)

    try:
        return asyncio.run(run())
    except AntiphonError as error:
        typer.echo(f"antiphon: {error}", err=True)
        raise typer.Exit(2) from error


def _show(verb: str, counts: Mapping[str, int]) -> None:
    said = ", ".join(f"{many} {section}" for section, many in counts.items() if many) or "nothing"
    typer.echo(f"{verb}: {said}")
