"""The live screen in the middle of a conversation: `python -m antiphon.cli.talk.picture > docs/talk.svg`."""

from __future__ import annotations

import io
import re
import sys

from rich.console import Console

from antiphon.protocol import events as ev

from .screen import Screen
from .transcript import Transcript

_HOURS = (
    "From Monday to Friday we are open from nine in the morning until six in the evening. On Saturday we close at four."
)


def screen() -> Screen:
    """A conversation with an interruption and a tool."""
    transcript = Transcript()
    for now, event in (
        (0.0, ev.ConversationMetadata(conversation_id="conv_1")),
        (0.1, ev.AgentResponse(text="Good morning, Harbour Books. How can I help you?", event_id=1)),
        (0.2, ev.Ping(event_id=1, ping_ms=3)),
        (5.0, ev.UserTranscript(text="what are your opening hours", event_id=2)),
        (5.1, ev.AgentResponse(text=_HOURS, event_id=3)),
        (8.0, ev.Interruption(event_id=4)),
        (8.0, ev.AgentResponseCorrection(original=_HOURS, corrected=_HOURS[:44], event_id=3)),
        (9.0, ev.UserTranscript(text="where is my order, the number is one two three four", event_id=5)),
        (9.1, ev.ClientToolCall(tool_name="order_status", tool_call_id="call_1", parameters={"order_number": "1234"})),
        (9.2, ev.ClientToolResult(tool_call_id="call_1", result="packed")),
        (9.3, ev.AgentResponse(text="Thank you. Your order is packed and arrives tomorrow.", event_id=6)),
    ):
        transcript.take(event, now)
        if isinstance(event, ev.AgentResponse) and event.event_id > 1:
            transcript.answered(0.672 if event.event_id == 3 else 0.603, now)
    title = "antiphon talk · front_desk · http://127.0.0.1:8080"
    return Screen(title, transcript, input_rms=120.0, output_rms=4_000.0, seconds=11.2)


def draw() -> str:
    """An SVG document that needs nothing from elsewhere."""
    console = Console(
        record=True, width=96, height=20, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(screen())
    drawn = console.export_svg(title="antiphon talk", unique_id="talk")
    drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)  # which would be fetched from the network
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(draw())
