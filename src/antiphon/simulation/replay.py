"""A journal, held again: the same items at the same times through the code as it is now.

Theory of operation. A dialogue is a function of what it is told and when (dialogue/), and the journal keeps both, so
nothing has to run again: no engine, no socket, no clock. Lines that tell of items are handed in; lines that tell of
what came of them (`out`, `saw`) are compared with what comes of them now. Ticks are not journaled: a line of the second
sort says by its time that there was one. Where code has changed and something differs, the conversation is held once
more without looking at the recorded results, and the two are laid side by side.
"""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from antiphon.dialogue import journaling
from antiphon.dialogue.dialogue import Dialogue
from antiphon.dialogue.outcome import SwitchLanguage, Transfer
from antiphon.dialogue.settings import Settings
from antiphon.engines.base import ToolCall
from antiphon.errors import AntiphonError
from antiphon.protocol import codec
from antiphon.protocol import events as ev
from antiphon.record.journal import VERSION
from antiphon.record.transcript import Transcript
from antiphon.turns import observations as ob

RESULTS = ("out", "saw")
"Lines that tell of what came of items; an observation from outside is both."
MOST_TICKS = 100_000
"Ticks between two items: a dialogue that asks for more never comes to rest."


class ReplayError(AntiphonError):
    """The file is no journal that can be held again; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a journal."""

    number: int
    at: float
    body: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Its key."""
        return next((key for key in self.body if key != "at"), "")


@dataclass(slots=True)
class Replayed:
    """What came of it."""

    lines: int = 0
    results: int = 0
    "Lines that were compared."
    expected: Line | None = None
    "The first line that came out differently; None: everything is the same, or something came besides."
    got: Mapping[str, Any] | None = None
    "What came instead; None: nothing."
    diff: list[str] = field(default_factory=list[str])
    "Both conversations side by side, as a unified diff."

    @property
    def same(self) -> bool:
        """Every line came out again, and nothing else."""
        return self.expected is None and self.got is None


class Recorder:
    """Hands that only write down what they were given."""

    def __init__(self) -> None:
        self.now = 0.0
        self.results: deque[tuple[float, dict[str, Any]]] = deque()
        self.upcoming: Sequence[Line] | None = None
        "The recorded lines, items and results; None: nobody looks at them, and the transport takes everything."
        self.position = 0
        "How many of them have been dealt with."

    def emit(self, event: ev.ServerEvent) -> None:
        """Written down."""
        if (message := codec.journal_json(event)) is not None:
            self.results.append((self.now, {"out": _plain(message)}))

    def play(self, event: ev.AgentAudio, at: float) -> None:
        """Written down."""
        self.emit(event)

    def room(self) -> bool:
        """As it was: there was room where sound went out next."""
        if self.upcoming is None:
            return True
        upcoming = self.upcoming[self.position + len(self.results) :][:2]
        kinds = [line.body.get("out", {}).get("type") for line in upcoming]
        return kinds[:1] == ["audio"] or kinds == ["agent_response", "audio"]  # a filler's text goes just before it

    def saw(self, observation: ob.Observation) -> None:
        """Written down."""
        self.results.append((self.now, {"saw": _plain(observation)}))

    def hush(self, at: float) -> None:
        """Nobody listens."""

    def think(self, reply: int, round: int, text: str | None) -> None:  # noqa: A002
        """What came of it is in the journal; so with everything below."""

    def compose(self, reply: int, otherwise: str) -> None:
        """See `think`."""

    def pronounce(self, reply: int, clause: int, text: str) -> None:
        """See `think`."""

    def run_tool(self, reply: int, call: ToolCall) -> None:
        """See `think`."""

    def resolve(self, event: ev.ClientToolResult | ev.McpToolApprovalResult) -> None:
        """See `think`."""

    def drop(self, reply: int) -> None:
        """See `think`."""

    def switch(self, reply: int, change: SwitchLanguage | Transfer) -> None:
        """See `think`."""

    def end_utterance(self, utterance: int) -> None:
        """See `think`."""

    def discard_utterance(self) -> None:
        """See `think`."""

    def judge(self, pause: int) -> None:
        """See `think`."""


def _plain(value: Any) -> Any:
    """As it reads after having been written."""
    return msgspec.json.decode(msgspec.json.encode(value))


def read(lines: Iterable[bytes]) -> list[Line]:
    """A journal's lines. Raises ReplayError."""
    known: list[Line] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            body: Any = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            raise ReplayError(f"line {number} is no JSON: {error}") from error
        if not isinstance(body, dict) or not isinstance(cast("dict[str, Any]", body).get("at"), (int, float)):
            raise ReplayError(f"line {number} is no line of a journal: it has no time")
        known.append(Line(number, float(cast("dict[str, Any]", body)["at"]), cast("dict[str, Any]", body)))
    header: Any = known[0].body.get("journal") if known else None
    if not isinstance(header, dict):
        raise ReplayError("this is no journal: it does not begin with one's header")
    if (version := cast("dict[str, Any]", header).get("version")) != VERSION:
        raise ReplayError(f"this is a journal of version {version}; this code holds those of version {VERSION} again")
    return known


def replay(journal: Iterable[bytes]) -> Replayed:
    """Hold a journal's conversation again and compare. Raises ReplayError."""
    lines = read(journal)
    replayed = _compare(lines)
    if not replayed.same:
        replayed.diff = _side_by_side(lines)
    return replayed


def _begin(lines: Sequence[Line]) -> tuple[Dialogue, Recorder]:
    try:
        settings = Settings.parse(lines[0].body["journal"]["settings"])
    except (KeyError, TypeError, msgspec.ValidationError, AntiphonError) as error:
        raise ReplayError(f"the header's settings cannot be used: {error}") from error
    recorder = Recorder()
    return Dialogue(settings, hands=recorder, transcript=Transcript()), recorder


def _item(line: Line) -> Any:
    try:
        return journaling.read(line.body)
    except (KeyError, TypeError, ValueError, AntiphonError) as error:
        raise ReplayError(f"line {line.number} cannot be understood: {error}") from error


def _hand_in(dialogue: Dialogue, recorder: Recorder, item: Any, now: float) -> None:
    recorder.now = now
    if isinstance(item, ob.Opened):
        dialogue.begin(now)
    else:
        dialogue.handle(item, now)


def _compare(lines: Sequence[Line]) -> Replayed:
    dialogue, recorder = _begin(lines)
    replayed = Replayed(lines=len(lines))
    steps = [(line, item) for line in lines if (item := _item(line)) is not None or line.kind in RESULTS]
    items = {line.number for line, item in steps if item is not None and line.kind not in RESULTS}
    recorder.upcoming = [line for line, _ in steps]
    for position, (line, item) in enumerate(steps):
        if item is not None:
            if recorder.results:
                replayed.got = recorder.results[0][1]
                return replayed
            recorder.position = position + (line.number in items)
            _hand_in(dialogue, recorder, item, line.at)
        if line.number in items:
            continue
        recorder.position = position
        if not recorder.results:
            _hand_in(dialogue, recorder, ob.Tick(), line.at)
        replayed.results += 1
        got = recorder.results.popleft() if recorder.results else None
        if got is None or got != (line.at, {line.kind: line.body[line.kind]}):
            replayed.expected = line
            replayed.got = None if got is None else {"at": got[0], **got[1]}
            return replayed
    if recorder.results:
        replayed.got = recorder.results[0][1]
    return replayed


def _side_by_side(lines: Sequence[Line]) -> list[str]:
    """Both conversations as text, the recorded one first."""
    dialogue, recorder = _begin(lines)
    for line in lines:
        _tick_until(dialogue, recorder, line.at)
        if (item := _item(line)) is not None:
            _hand_in(dialogue, recorder, item, line.at)
    before = [_told(line.at, line.body) for line in lines if line.kind in RESULTS and not _is_sound(line.body)]
    after = [_told(at, body) for at, body in recorder.results if not _is_sound(body)]
    return list(difflib.unified_diff(before, after, "recorded", "now", lineterm="", n=3))


def _tick_until(dialogue: Dialogue, recorder: Recorder, at: float) -> None:
    for _ in range(MOST_TICKS):
        deadline = dialogue.deadline
        if deadline is None or deadline > at or dialogue.ending is not None:
            return
        _hand_in(dialogue, recorder, ob.Tick(), max(recorder.now, deadline))
    raise ReplayError(f"at {at:.3f} s the dialogue wants to be woken again and again")


def _is_sound(body: Mapping[str, Any]) -> bool:
    """Pieces of sound are many, and when each left depends on the transport."""
    return body.get("out", {}).get("type") == "audio" or body.get("saw", {}).get("kind") == "ReplyAudible"


def _told(at: float, body: Mapping[str, Any]) -> str:
    if "out" in body:
        message = dict(body["out"])
        kind = message.pop("type", "?")
        rest: Any = next(iter(message.values())) if len(message) == 1 else message
        return f"{at:10.3f}  agent  {kind} {_short(rest)}"
    seen = dict(body["saw"])
    return f"{at:10.3f}  saw    {seen.pop('kind', '?')} {_short(seen)}"


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else text[:117] + "..."
