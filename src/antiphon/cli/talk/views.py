"""Ways to show a conversation while it goes on: lines, JSON, a dialogue that is typed, a live screen."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from antiphon.protocol import events as ev

from . import lines
from .screen import Screen, milliseconds, words
from .transcript import Transcript

_FRAME = 0.1
"Seconds between two drawings of the live screen."


class View(Protocol):
    """How a conversation is shown. `now` is seconds since it began."""

    def take(self, event: ev.ServerEvent | ev.ClientEvent, now: float) -> None:
        """An event, after the transcript has been told of it."""
        ...

    def answered(self, latency: float, now: float) -> None:
        """The agent begins to answer, so many seconds after the user's turn."""
        ...

    async def run(self) -> None:
        """Draws until it is cancelled."""
        ...

    def close(self, transcript: Transcript, now: float) -> None:
        """The conversation is over."""
        ...


class Lines:
    """A line for each event that is worth one."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out

    def take(self, event: ev.ServerEvent | ev.ClientEvent, now: float) -> None:
        """See View."""
        self._print(lines.line(event, now))

    def answered(self, latency: float, now: float) -> None:
        """See View."""
        self._print(f"{now:8.3f}  {'latency':<11}  {milliseconds(latency)}")

    async def run(self) -> None:
        """See View."""

    def close(self, transcript: Transcript, now: float) -> None:
        """See View."""
        if transcript.conversation_id is not None:
            self._print(f"{now:8.3f}  {'ended':<11}  {_summary(transcript)}")

    def _print(self, text: str | None) -> None:
        if text is not None:
            self._out.write(text.rstrip() + "\n")
            self._out.flush()


class JsonLines(Lines):
    """Every event, one JSON object a line."""

    def take(self, event: ev.ServerEvent | ev.ClientEvent, now: float) -> None:
        """See View."""
        self._print(lines.json_line(event, now))

    def answered(self, latency: float, now: float) -> None:
        """See View."""
        self._print(lines.own_line("latency", now, seconds=round(latency, 4)))

    def close(self, transcript: Transcript, now: float) -> None:
        """See View."""
        median = transcript.median_latency
        self._print(
            lines.own_line(
                "ended",
                now,
                conversation_id=transcript.conversation_id,
                interruptions=transcript.interruptions,
                median_latency=round(median, 4) if median is not None else None,
            )
        )


class Typed:
    """A dialogue on a terminal whose user types; streamed answers appear piece by piece."""

    def __init__(self, console: Console, transcript: Transcript) -> None:
        self._console = console
        self._transcript = transcript
        self._streaming = False
        self._streamed = ""

    def take(self, event: ev.ServerEvent | ev.ClientEvent, now: float) -> None:
        """See View."""
        match event:
            case ev.AgentChatResponsePart(text=text, part=part):
                self._part(text, part == "stop")
            case ev.AgentResponse(text=text) if text.strip() != self._streamed.strip() and not self._streaming:
                self._console.print(words(self._transcript.entries[-1]))
            case ev.ClientToolResult() | ev.ErrorEvent() | ev.ClientErrorEvent():
                self._console.print(words(self._transcript.entries[-1]))
            case ev.AgentResponseCorrection(corrected=text):
                self._console.print(Text.assemble(("heard  ", "bold yellow"), text))
            case _:
                pass

    def answered(self, latency: float, now: float) -> None:
        """See View."""

    async def run(self) -> None:
        """See View."""

    def close(self, transcript: Transcript, now: float) -> None:
        """See View."""
        if transcript.conversation_id is not None:
            self._console.print(Text(_summary(transcript), "bright_black"))

    def _part(self, text: str, is_last: bool) -> None:
        if not self._streaming and not text.strip():
            return
        if not self._streaming:
            self._streaming, self._streamed = True, ""
            self._console.print(Text("agent  ", "bold green"), end="")
        self._streamed += text
        self._console.print(Text(text), end="", soft_wrap=True)
        if is_last:
            self._streaming = False
            self._console.print()


class LiveScreen:
    """The screen, drawn anew ten times a second; in the end the whole transcript stays."""

    def __init__(self, console: Console, screen: Screen, refresh: Callable[[], None]) -> None:
        self._console = console
        self._screen = screen
        self._refresh = refresh
        self._live = Live(screen, console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._live.start()

    def take(self, event: ev.ServerEvent | ev.ClientEvent, now: float) -> None:
        """See View."""

    def answered(self, latency: float, now: float) -> None:
        """See View."""

    async def run(self) -> None:
        """See View."""
        while True:
            self._refresh()
            self._live.refresh()
            await asyncio.sleep(_FRAME)

    def close(self, transcript: Transcript, now: float) -> None:
        """See View."""
        self._live.stop()
        for entry in transcript.entries:
            self._console.print(words(entry))
        if transcript.conversation_id is not None:
            self._console.print(Text(_summary(transcript), "bright_black"))


def _summary(transcript: Transcript) -> str:
    parts = [transcript.conversation_id or ""]
    if transcript.median_latency is not None:
        parts.append(f"answers after {milliseconds(transcript.median_latency)} (median of {len(transcript.latencies)})")
    if transcript.interruptions:
        parts.append(f"interruptions {transcript.interruptions}")
    return ", ".join(parts)
