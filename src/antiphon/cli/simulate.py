"""`antiphon simulate`: hold the calls of scene files under virtual time, and say which went as they should."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from antiphon.errors import AntiphonError

if TYPE_CHECKING:
    from rich.console import Console

    from antiphon.simulation.scenes.reading import Located
    from antiphon.simulation.scenes.running import Result

MARKS = {"passed": "[green]passed[/green]", "failed": "[red]FAILED[/red]", "broken": "[red]BROKEN[/red]"}


def simulate(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Scene files, and folders to search for *.scene.yaml.")
    ],
    seed: Annotated[int | None, typer.Option(help="Seed of every scene, instead of its own.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many processes work at a time.")] = 1,
    junit: Annotated[Path | None, typer.Option(help="Write the results to this file, as JUnit XML.")] = None,
    only: Annotated[
        str | None, typer.Option("--filter", help="Only scenes with this text in their file or name, in any case.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Keep each call's journal (.jsonl) in this folder.")] = None,
    engines: Annotated[
        Literal["scripted", "agent"],
        typer.Option(help="Hear and speak with scripted engines, or with those that the agent names."),
    ] = "scripted",
    repeat: Annotated[int, typer.Option(min=1, help="Run each scene so many times, with the next seed each.")] = 1,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the call of every scene.")] = False,
) -> None:
    """Run scenes: calls by callers who follow a script or are played by a language model, and what is expected of them.

    A minute of a call takes well under a second. Exit code 0: all scenes passed; 1: some did not; 2: nothing could be
    run. How scenes are written: docs/simulate.md.
    """
    from rich.console import Console

    from antiphon.simulation.scenes.report import junit as junit_xml
    from antiphon.simulation.scenes.running import Options, run_scenes

    try:
        scenes = _scenes(paths, only)
    except AntiphonError as error:
        typer.echo("\n".join(f"antiphon: {line}" for line in str(error).splitlines()), err=True)
        raise typer.Exit(2) from error
    console = Console(highlight=False, soft_wrap=True)
    options = Options(seed=seed, engines=engines, record=record)
    results: list[Result] = []
    width = max(len(located.scene.name) for located in scenes)
    for result in run_scenes(scenes, options, jobs=jobs, repeat=repeat):
        results.append(result)
        _tell(console, result, width, verbose=verbose)
    _summarise(console, results)
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.write_bytes(junit_xml(results))
    if all(result.status == "broken" for result in results):
        raise typer.Exit(2)
    raise typer.Exit(0 if all(result.status == "passed" for result in results) else 1)


def _scenes(paths: list[Path], only: str | None) -> list[Located]:
    """Every scene that is to be run. Raises ConfigError, with all that is wrong in any file."""
    from antiphon.errors import ConfigError
    from antiphon.simulation.scenes.reading import SceneError, read_scenes, scene_files

    files = list(dict.fromkeys(file for path in paths for file in scene_files(path)))
    if not files:
        raise ConfigError(f"there is no *.scene.yaml in {', '.join(map(str, paths))}")
    scenes: list[Located] = []
    problems: list[str] = []
    for file in files:
        try:
            scenes += read_scenes(file)
        except SceneError as error:
            problems += error.problems
    if problems:
        raise ConfigError("\n".join(problems))
    if only is not None:
        wanted = only.casefold()
        scenes = [s for s in scenes if wanted in s.scene.name.casefold() or wanted in s.file.name.casefold()]
        if not scenes:
            raise ConfigError(f"no scene has {only!r} in its file or name")
    return scenes


def _tell(console: Console, result: Result, width: int, *, verbose: bool) -> None:
    from rich.markup import escape

    from antiphon.simulation.scenes.report import explanation, timeline

    console.print(
        f"{MARKS[result.status]}  {escape(result.name.ljust(width))}  {result.virtual_seconds:7.1f} s call"
        f"  {result.real_seconds:6.2f} s  [dim]seed {result.seed}  {escape(result.file)}[/dim]"
    )
    if result.status != "passed":
        for line in explanation(result).splitlines():
            style = "red" if line.startswith(">") else None
            console.print(f"        {line}", style=style, markup=False)
    elif verbose:
        for line in timeline(result):
            console.print(f"        {line}", markup=False)


def _summarise(console: Console, results: list[Result]) -> None:
    counts = {status: number for status in MARKS if (number := sum(result.status == status for result in results)) > 0}
    told = ", ".join(f"{number} {status}" for status, number in counts.items())
    calls, real = sum(r.virtual_seconds for r in results), sum(r.real_seconds for r in results)
    colour = "green" if set(counts) == {"passed"} else "red"
    console.print(
        f"\n[{colour}]{len(results)} scene{'s' if len(results) != 1 else ''}: {told}[/{colour}]"
        f" ({calls:.1f} s of calls in {real:.2f} s)"
    )
