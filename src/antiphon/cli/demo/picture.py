"""The latency waterfall as a picture: a bar per answer, a colour per stage."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from antiphon.dialogue.waterfall import STAGES

from .measure import Turn

COLOURS = {
    "endpointing": "#8da0b3",
    "stt": "#4c78a8",
    "llm": "#b279a2",
    "clause": "#e0ac69",
    "tts": "#59a14f",
    "output": "#e15759",
}
MEANINGS = {
    "endpointing": "waiting for silence",
    "stt": "speech to text",
    "llm": "language model",
    "clause": "first clause",
    "tts": "text to speech",
    "output": "on its way out",
}
LEFT, TOP, WIDTH, ROW, BAR = 330, 84, 820, 46, 20


def draw(turns: Sequence[Turn]) -> str:
    """An SVG document."""
    longest = max([sum(turn.stages.values()) for turn in turns] + [turn.latency or 0.0 for turn in turns] + [0.1])
    scale = (WIDTH - LEFT - 90) / longest
    height = TOP + ROW * len(turns) + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        '<text x="16" y="28" font-size="17" font-weight="600">From the caller’s last sound to the agent’s first</text>',
        *_legend(),
        *_grid(longest, scale, TOP + ROW * len(turns)),
    ]
    for index, turn in enumerate(turns):
        parts += _row(turn, TOP + ROW * index, scale)
    parts.append(
        f'<text x="16" y="{height - 14}" fill="#666">Bars: the server’s waterfall. '
        "Black mark: the same time, read from conversation.wav.</text></svg>"
    )
    return "\n".join(parts)


def _legend() -> list[str]:
    parts: list[str] = []
    for index, stage in enumerate(STAGES):
        x = 16 + index * 134
        parts.append(f'<rect x="{x}" y="42" width="11" height="11" fill="{COLOURS[stage]}"/>')
        parts.append(f'<text x="{x + 16}" y="52">{MEANINGS[stage]}</text>')
    return parts


def _grid(longest: float, scale: float, bottom: int) -> list[str]:
    step = next(step for step in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 60.0) if longest / step <= 8)
    parts: list[str] = []
    for tick in range(int(longest / step) + 1):
        x = LEFT + tick * step * scale
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="#e6e6e6"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{TOP - 10}" text-anchor="middle" fill="#888">{tick * step * 1000:.0f} ms</text>'
        )
    return parts


def _row(turn: Turn, y: int, scale: float) -> list[str]:
    text = turn.said if len(turn.said) <= 46 else turn.said[:45] + "…"
    parts = [f'<text x="16" y="{y + 15}">{escape(text)}</text>']
    x = float(LEFT)
    for stage, seconds in turn.stages.items():
        width = seconds * scale
        parts.append(
            f'<rect x="{x:.2f}" y="{y}" width="{max(width, 0.0):.2f}" height="{BAR}" fill="{COLOURS[stage]}">'
            f"<title>{MEANINGS[stage]}: {seconds * 1000:.1f} ms</title></rect>"
        )
        x += width
    if turn.latency is not None:
        mark = LEFT + turn.latency * scale
        parts.append(
            f'<line x1="{mark:.2f}" y1="{y - 4}" x2="{mark:.2f}" y2="{y + BAR + 4}" stroke="#000" stroke-width="2"/>'
        )
        parts.append(f'<text x="{mark + 8:.1f}" y="{y + 15}" font-weight="600">{turn.latency * 1000:.0f} ms</text>')
    else:
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 15}" fill="#b00">no answer</text>')
    return parts
