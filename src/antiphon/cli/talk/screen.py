"""The transcript, the meters and the times as a terminal shows them."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from .levels import cells, decibels
from .transcript import Entry, Transcript

_METER = 24
_LOUD = 0.8
"Part of a meter from which on it is yellow: -12 dB."
_STYLES = {"user": "bold cyan", "agent": "bold green", "tool": "bold magenta", "note": "bold yellow"}


@dataclass
class Screen:
    """What `rich` draws; everything in it may change between two drawings."""

    title: str
    transcript: Transcript
    input_rms: float = 0.0
    output_rms: float = 0.0
    seconds: float = 0.0
    is_muted: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As much of the newest as fits, then meters and times."""
        foot = [
            meter("microphone", 0.0 if self.is_muted else self.input_rms, "muted" if self.is_muted else ""),
            meter("agent", self.output_rms),
            status(self.transcript, self.seconds),
        ]
        room = (options.height or console.height) - len(foot) - 3
        shown: list[Text] = []
        for entry in reversed(self.transcript.entries):
            text = words(entry)
            room -= len(console.render_lines(text, options.update(height=None), pad=False))
            if room < 0:
                break
            shown.append(text)
        yield Text(self.title, "bold", no_wrap=True, overflow="ellipsis")
        yield from reversed(shown)
        yield Text("")
        yield from foot


def words(entry: Entry) -> Text:
    """One entry. Of what an interruption kept from being heard, no more than a trace remains."""
    line = Text(f"{entry.who:<6} ", _STYLES[entry.who])
    if entry.heard is not None:
        unheard = entry.text[len(entry.heard) :] if entry.text.startswith(entry.heard) else ""
        line.append(entry.heard, "not bold default")
        line.append(unheard, "not bold bright_black strike")
    else:
        line.append(entry.text, "not bold italic default" if entry.is_unfinished else "not bold default")
    if entry.is_unfinished:
        line.append(" …", "not bold bright_black")
    if entry.is_interrupted:
        line.append("  ✂ interrupted", "not bold yellow")
    if entry.who == "tool":
        style = "not bold red" if entry.has_failed else "not bold bright_black"
        line.append(" …" if entry.result is None else f" → {entry.result}", style)
    if entry.latency is not None:
        line.append(f"  {milliseconds(entry.latency)}", "not bold bright_black")
    return line


def meter(name: str, rms: float, remark: str = "") -> Text:
    """A level in sample units as a bar."""
    level = decibels(rms)
    lit = cells(level, _METER)
    loud = round(_METER * _LOUD)
    line = Text(f"{name:<11}", "bold")
    line.append("█" * min(lit, loud), "not bold green")
    line.append("█" * max(0, lit - loud), "not bold yellow")
    line.append("░" * (_METER - lit), "not bold bright_black")
    line.append(f" {remark or f'{level:.0f} dB'}", "not bold")
    return line


def status(transcript: Transcript, seconds: float) -> Text:
    """The times, in one line."""
    parts = [f"{int(seconds) // 60}:{int(seconds) % 60:02}"]
    if transcript.ping is not None:
        parts.append(f"ping {milliseconds(transcript.ping)}")
    if transcript.latencies:
        parts.append(f"answer {milliseconds(transcript.latencies[-1])}")
        parts.append(f"median {milliseconds(transcript.median_latency or 0.0)}")
    if transcript.interruptions:
        parts.append(f"interruptions {transcript.interruptions}")
    return Text(" · ".join([*parts, "Ctrl-C ends"]), "bright_black", no_wrap=True, overflow="ellipsis")


def milliseconds(seconds: float) -> str:
    """`412 ms`."""
    return f"{seconds * 1000:.0f} ms"
