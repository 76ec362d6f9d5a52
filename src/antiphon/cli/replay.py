"""`antiphon replay`: hold recorded conversations again, with the code as it is now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SHOWN = 60
"Lines of a difference that are shown, unless all are asked for."


def replay(
    journals: Annotated[
        list[Path], typer.Argument(help="Journals (*.jsonl), or folders of them.", exists=True, readable=True)
    ],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show differences whole.")] = False,
) -> None:
    """Hold recorded conversations again, item by item, and tell what comes out differently.

    Exit status: 0, everything came out again; 1, something differs; 2, a file could not be read as a journal.
    """
    from rich.console import Console
    from rich.text import Text

    from antiphon.simulation.replay import ReplayError
    from antiphon.simulation.replay import replay as hold_again

    console = Console(highlight=False)
    different = unreadable = 0
    files = [file for path in journals for file in (sorted(path.rglob("*.jsonl")) if path.is_dir() else [path])]
    if not files:
        console.print("no journals there", style="red")
        raise typer.Exit(2)
    for file in files:
        try:
            with file.open("rb") as lines:
                replayed = hold_again(lines)
        except (ReplayError, OSError) as error:
            unreadable += 1
            console.print(Text(f"{file}: {error}", style="red"))
            continue
        if replayed.same:
            console.print(Text.assemble(("same  ", "green"), f"{file}  {replayed.results} results"))
            continue
        different += 1
        where = f"line {replayed.expected.number}" if replayed.expected is not None else "behind the last match"
        console.print(Text.assemble(("differs  ", "red"), f"{file}  from {where}"))
        shown = replayed.diff if verbose else replayed.diff[:SHOWN]
        for line in shown:
            style = "green" if line.startswith("+") else "red" if line.startswith("-") else "dim"
            console.print(Text(line, style=style))
        if len(shown) < len(replayed.diff):
            console.print(Text(f"... {len(replayed.diff) - len(shown)} more lines (--verbose)", style="dim"))
    console.print(f"{len(files)} held again: {len(files) - different - unreadable} the same, {different} different")
    if unreadable:
        raise typer.Exit(2)
    if different:
        raise typer.Exit(1)
