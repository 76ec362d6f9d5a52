"""`antiphon parity`: what works here of the API that this server speaks."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from antiphon.agents.parity import Field
    from antiphon.server.parity import Message, Operation

Part: TypeAlias = Literal["operations", "messages", "fields"]

UNBROKEN = 240
"Columns where no terminal says how many it has: enough for one line each."
COLORS = {"works": "green", "accepted without effect": "yellow", "refused": "red"}


def parity(
    only: Annotated[Part | None, typer.Option(help="One part of it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show of every operation, message and agent field whether it works, is accepted without effect, or is refused."""
    from antiphon.agents.parity import fields
    from antiphon.server.parity import messages, operations

    whole: Mapping[Part, Sequence[Operation | Message | Field]] = {
        "operations": operations(),
        "messages": messages(),
        "fields": fields(),
    }
    parts = {part: lines for part, lines in whole.items() if only in (None, part)}
    if as_json:
        typer.echo(json.dumps({part: [asdict(line) for line in lines] for part, lines in parts.items()}, indent=2))
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else UNBROKEN)
    for part, lines in parts.items():
        counts = {state: sum(line.state == state for line in lines) for state in COLORS}
        table = Table(box=None, pad_edge=False, title_justify="left", title_style="bold")
        table.title = f"{part}: {', '.join(f'{count} {state}' for state, count in counts.items())}"
        for heading in ("state", part.removesuffix("s"), ""):
            table.add_column(heading, overflow="fold")
        for line in lines:
            state = "accepted" if line.state == "accepted without effect" else line.state
            name = _name(line).replace("[", r"\[")
            table.add_row(f"[{COLORS[line.state]}]{state}[/]", name, line.note.replace("[", r"\["))
        console.print(table)
        console.print()


def _name(line: Operation | Message | Field) -> str:
    from antiphon.agents.parity import Field
    from antiphon.server.parity import Operation

    match line:
        case Operation():
            return f"{line.method} {line.path}"
        case Field():
            return line.path
        case _:
            return f"{line.type} ({line.direction})"
