"""The demo on a terminal: the dialogue as it happens, then what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from antiphon.dialogue.waterfall import STAGES
from antiphon.protocol import events as ev

from .measure import Turn, words

COLOURS = {
    "endpointing": "bright_black",
    "stt": "blue",
    "llm": "magenta",
    "clause": "yellow",
    "tts": "green",
    "output": "red",
}
PER_CELL = 0.02
"Seconds that one character of a bar stands for."

console = Console(highlight=False)


def title(seed: int) -> None:
    """Before the call."""
    console.print(f"[bold]antiphon demo[/bold]  seed {seed}: a synthetic caller rings the front desk, in real time.\n")


def event(event: Any) -> None:
    """One event of the call, if it is worth a line."""
    match event:
        case ev.UserTranscript(text=text):
            console.print(Text.assemble(("caller  ", "bold cyan"), text))
        case ev.AgentResponse(text=text):
            console.print(Text.assemble(("agent   ", "bold green"), text))
        case ev.Interruption():
            console.print(Text("        (the caller talks over the agent)", "yellow"))
        case ev.AgentResponseCorrection(corrected=text):
            console.print(Text.assemble(("heard   ", "bold yellow"), text, " …"))
        case ev.ClientToolCall(tool_name=name, parameters=parameters):
            console.print(Text.assemble(("tool    ", "bold magenta"), f"{name}({parameters})"))
        case ev.TurnWaterfall(stages=stages) if "endpointing" in stages:
            console.print(bar(stages))
        case _:
            pass


def bar(stages: dict[str, float]) -> Text:
    """A waterfall in one line."""
    line = Text("        ")
    for stage in STAGES:
        if cells := round(stages.get(stage, 0.0) / PER_CELL):
            line.append("█" * cells, COLOURS[stage])
    line.append(f" {sum(stages.values()) * 1000:.0f} ms: ", "bold")
    line.append(", ".join(f"{stage} {seconds * 1000:.0f}" for stage, seconds in stages.items()), "bright_black")
    return line


def summary(turns: Sequence[Turn], out: Path) -> None:
    """After the call."""
    table = Table(box=None, pad_edge=False, title="\nWhat the recording says", title_justify="left")
    for heading in ("said", "heard", "wrong words", "latency", "waterfall", "ours"):
        table.add_column(heading, justify="left" if heading in ("said", "heard") else "right")
    for turn in turns:
        table.add_row(
            turn.said,
            turn.heard,
            str(turn.wrong_words),
            _milliseconds(turn.latency),
            _milliseconds(sum(turn.stages.values())),
            _milliseconds(turn.overhead),
        )
    console.print(table)
    said = sum(len(words(turn.said)) for turn in turns)
    wrong = sum(turn.wrong_words for turn in turns)
    overheads = [turn.overhead for turn in turns if turn.overhead is not None]
    answered = sum(turn.latency is not None for turn in turns)
    console.print(
        f"\n{answered} of {len(turns)} lines answered; {wrong} of {said} words heard wrong"
        + (
            f"; latency besides engines and endpointing: {median(overheads) * 1000:.0f} ms (median)"
            if overheads
            else ""
        )
    )
    for name in ("conversation.json", "conversation.wav", "waterfall.svg"):
        console.print(f"  {out / name}")


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"
