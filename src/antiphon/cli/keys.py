"""`antiphon keys`: API keys, made and revoked in the server's database, whether or not a server runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from antiphon.errors import AntiphonError

if TYPE_CHECKING:
    from antiphon.store.store import Store

T = TypeVar("T")

app = typer.Typer(help="API keys: make, list, revoke.", no_args_is_help=True)

Config = Annotated[Path | None, typer.Option(help="TOML file with settings.")]
Data = Annotated[Path | None, typer.Option(help="Folder of what the server keeps [default: data].")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What people will know it by.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="What it is good for, once for each scope [default: admin, everything].")
    ] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Make a key and show it, this once: only its digest is kept.

    Scopes: agents:read, agents:write, conversations:read, conversations:write, converse, speech, workspace:read,
    workspace:write, admin.
    """
    from antiphon.server.auth import SCOPES, new_key

    scopes = [*dict.fromkeys("admin" if one == "*" else one for one in scope or ["admin"])]
    for one in scopes:
        if one not in SCOPES:
            raise typer.BadParameter(f"no such scope: {one} (known: {', '.join(SCOPES)})")

    async def make() -> str:
        key, kept = new_key(name, scopes, now=time.time())  # noqa: TID251
        async with _store(config, data) as store:
            await store.keys.add(kept)
        return f"{key}\n{kept.id} ({', '.join(scopes)}); the key is shown this once"

    key, _, about = _done(make()).partition("\n")
    typer.echo(key)
    typer.echo(about, err=True)


@app.command(name="list")
def show(config: Config = None, data: Data = None) -> None:
    """Show every key: id, last characters, state, scopes, name."""

    async def lines() -> list[str]:
        async with _store(config, data) as store:
            return [
                "  ".join((key.id, key.hint, _state(key.revoked_at, key.used_at), ",".join(key.scopes), key.name))
                for key in await store.keys.all()
            ]

    for line in _done(lines()):
        typer.echo(line.rstrip())


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `antiphon keys list` shows it.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Have a key open nothing any more; running servers know within a second."""

    async def end() -> None:
        async with _store(config, data) as store:
            await store.keys.revoke(key_id, now=time.time())  # noqa: TID251

    _done(end())
    typer.echo(f"{key_id} is revoked")


@asynccontextmanager
async def _store(config: Path | None, data: Path | None) -> AsyncGenerator[Store]:
    from antiphon.server.settings import Settings
    from antiphon.store.store import open_store

    async with open_store(Settings.load(config, data=data).database_url) as store:
        yield store


def _done(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except AntiphonError as error:
        typer.echo(f"antiphon: {error}", err=True)
        raise typer.Exit(2) from error


def _state(revoked_at: float | None, used_at: float | None) -> str:
    if revoked_at is not None:
        return f"revoked {_day(revoked_at)}"
    return "never used" if used_at is None else f"used {_day(used_at)}"


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(when))
