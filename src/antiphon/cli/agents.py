"""`antiphon agents`: agents as files, in and out of a folder or of the server's database, server running or not."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from antiphon.errors import AntiphonError, ConfigError, NotFoundError

if TYPE_CHECKING:
    from antiphon.store.store import Store

T = TypeVar("T")
LONGEST_VALUE = 60
"Characters of a value that a report shows."

app = typer.Typer(help="Agents: import, list, export.", no_args_is_help=True)

Folder = Annotated[Path | None, typer.Option("--agents", help="Folder of agents' files, instead of the database.")]
Config = Annotated[Path | None, typer.Option(help="TOML file with settings.")]
Data = Annotated[Path | None, typer.Option(help="Folder of what the server keeps [default: data].")]
Database = Annotated[str | None, typer.Option(help="The database, as the setting of this name.")]


@dataclass(frozen=True, slots=True)
class Pulled:
    """An agent out of a file."""

    file: Path
    agent_id: str
    name: str
    document: Mapping[str, Any]


@app.command(name="import")
def take(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Agents' JSON files; of a folder, every *.json in it.")
    ],
    agents: Folder = None,
    config: Config = None,
    data: Data = None,
    database: Database = None,
    replace: Annotated[bool, typer.Option(help="Put them in place of agents that have their ids.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Report only; keep nothing.")] = False,
) -> None:
    """Take agents that were pulled from ElevenLabs, and tell of each what it sets that has no effect here.

    A file is one of `agent_configs/` of the ElevenLabs command line tool, or what GET /v1/convai/agents/ID answers.
    Exit code 1: one of them is refused, and none is kept.
    """
    pulled: list[Pulled] = []
    refusals: list[str] = []
    for file in _files(paths):
        try:
            pulled.append(_read(file))
        except ConfigError as error:
            refusals.append(str(error))
    ids = [one.agent_id for one in pulled]
    refusals += [f"{one.file}: agent_id: {one.agent_id!r} comes twice" for one in pulled if ids.count(one.agent_id) > 1]
    for one in pulled:
        _report(one)
    if not refusals and not dry_run:
        try:
            if agents is not None:
                _into_folder(pulled, agents, replace=replace)
            else:
                asyncio.run(_into_store(pulled, config, data, database, replace=replace))
        except AntiphonError as error:
            refusals.append(str(error))
    for refusal in refusals:
        typer.echo(f"refused: {refusal}", err=True)
    if refusals:
        raise typer.Exit(1)


@app.command(name="list")
def show(agents: Folder = None, config: Config = None, data: Data = None, database: Database = None) -> None:
    """Show every agent: id, name."""
    for agent_id, name, _ in _done(_all(agents, config, data, database)):
        typer.echo(f"{agent_id}  {name}")


@app.command()
def export(
    agent_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which ones [default: all].")] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder for a file of each; without it, one agent is printed.")
    ] = None,
    agents: Folder = None,
    config: Config = None,
    data: Data = None,
    database: Database = None,
) -> None:
    """Write agents as files that `import`, `--agents` and the ElevenLabs command line tool read."""
    known = {agent_id: document for agent_id, _, document in _done(_all(agents, config, data, database))}
    chosen = agent_ids or [*known]
    for agent_id in chosen:
        if agent_id not in known:
            typer.echo(f"antiphon: {NotFoundError('agent', agent_id)}", err=True)
            raise typer.Exit(2)
    if to is None:
        if len(chosen) != 1:
            raise typer.BadParameter("name one agent, or a folder for all of them: --to DIR")
        typer.echo(_dumped(known[chosen[0]]))
        return
    to.mkdir(parents=True, exist_ok=True)
    for agent_id in chosen:
        _file(to, agent_id).write_text(_dumped(known[agent_id]) + "\n", encoding="utf-8")
    typer.echo(f"{len(chosen)} written to {to}")


# ------------------------------------------------------------------------------------------------------- reading


def _files(paths: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("*.json")) if path.is_dir() else [path]
    return found


def _read(file: Path) -> Pulled:
    """Raises ConfigError: it is no agent."""
    from antiphon.agents.config import AgentConfig
    from antiphon.agents.parity import ANSWERS_ONLY

    document = _json(file)
    given = document.get("agent_id") or _listed_id(file)
    agent_id = given if isinstance(given, str) else file.stem
    agent = AgentConfig.parse(document, agent_id=agent_id, path=str(file))
    kept = {key: value for key, value in document.items() if key not in ANSWERS_ONLY}
    return Pulled(file, agent_id, agent.name, kept)


def _json(file: Path) -> Mapping[str, Any]:
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(file)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is not JSON: {error}", path=str(file)) from error
    if not isinstance(document, Mapping):
        raise ConfigError("should be an object", path=str(file))
    return cast("Mapping[str, Any]", document)


def _listed_id(file: Path) -> Any:
    """The id that the ElevenLabs command line tool has for it: `agents.json`, beside the folder of its files."""
    try:
        listed: Any = json.loads((file.parent.parent / "agents.json").read_text(encoding="utf-8"))
        for entry in listed["agents"]:
            if (file.parent.parent / entry["config"]).resolve() == file.resolve():
                return entry.get("id")
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return None


def _report(agent: Pulled) -> None:
    from antiphon.agents.parity import unused

    found = unused(agent.document)
    typer.echo(f"{agent.file}: {agent.agent_id} ({agent.name})")
    if not found:
        typer.echo("  everything that it sets works here")
    for field in found:
        value = json.dumps(field.value, ensure_ascii=False)
        shown = value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 3] + "..."
        typer.echo(f"  {field.path} = {shown}\n      no effect: {field.happens}")


# ------------------------------------------------------------------------------------------------------- keeping


def _into_folder(pulled: list[Pulled], folder: Path, *, replace: bool) -> None:
    """Raises ConfigError: an id is taken, and nothing is written."""
    from antiphon.agents.folder import FolderWorkspace

    folder.mkdir(parents=True, exist_ok=True)
    taken = {agent.agent_id: Path(agent.path) for agent in FolderWorkspace.load(folder).agents}
    files = {one.agent_id: taken.get(one.agent_id, _file(folder, one.agent_id)) for one in pulled}
    if not replace:
        for agent_id, file in files.items():
            if file.exists():
                raise ConfigError(f"there is an agent {agent_id!r} already; replace it with --replace", path=str(file))
    for one in pulled:
        document = {"agent_id": one.agent_id, **one.document}
        files[one.agent_id].write_text(_dumped(document) + "\n", encoding="utf-8")
        typer.echo(f"{one.agent_id}: {files[one.agent_id]}")


async def _into_store(
    pulled: list[Pulled], config: Path | None, data: Path | None, database: str | None, *, replace: bool
) -> None:
    """Raises ConfigError: an id is taken, and nothing is kept; StoreError."""
    now = time.time()  # noqa: TID251
    async with _store(config, data, database) as store:
        taken = {agent.id for agent in await store.resources.some("agent", [one.agent_id for one in pulled])}
        if taken and not replace:
            raise ConfigError(f"there is an agent {min(taken)!r} already; replace it with --replace", path="database")
        for one in pulled:
            if one.agent_id in taken:
                await store.resources.update("agent", one.agent_id, now=now, name=one.name, document=one.document)
            else:
                await store.resources.create("agent", one.agent_id, one.name, one.document, now=now)
            typer.echo(f"{one.agent_id}: kept in the database")


async def _all(
    folder: Path | None, config: Path | None, data: Path | None, database: str | None
) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Id, name, document of every agent."""
    if folder is not None:
        from antiphon.agents.folder import FolderWorkspace

        return [(agent.agent_id, agent.name, agent.raw) for agent in FolderWorkspace.load(folder).agents]
    async with _store(config, data, database) as store:
        kept = await store.resources.all("agent")
    return [(agent.id, agent.name, {"agent_id": agent.id, **agent.document}) for agent in kept]


@asynccontextmanager
async def _store(config: Path | None, data: Path | None, database: str | None) -> AsyncGenerator[Store]:
    from antiphon.server.settings import Settings
    from antiphon.store.store import open_store

    async with open_store(Settings.load(config, data=data, database=database).database_url) as store:
        yield store


def _file(folder: Path, agent_id: str) -> Path:
    """No id becomes a path: what is no letter, digit, - or _ becomes _."""
    return folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', agent_id)}.json"


def _dumped(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def _done(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except AntiphonError as error:
        typer.echo(f"antiphon: {error}", err=True)
        raise typer.Exit(2) from error
