"""The turn table: what every state makes of every observation, found by asking the machine.

`page()` is docs/turns.md: `python -m antiphon.turns.table > docs/turns.md`. A situation is a state and what else
decides in it (is the reply held? locked?); a script of observations leads there, so every row is one that can be
reached. `play` is how scripts are played, in tests too.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from . import observations as ob
from .machine import State, TurnMachine, TurnPolicy

Script: TypeAlias = Iterable[tuple[float, ob.Observation]]


def play(script: Script, policy: TurnPolicy | None = None) -> tuple[TurnMachine, list[tuple[float, ob.Command]]]:
    """Hand a script to a new machine -> the machine, and its commands with their times.

    Whenever a deadline falls before the next observation, the machine gets its Tick first.
    """
    machine = TurnMachine(policy or TurnPolicy())
    commands: list[tuple[float, ob.Command]] = []
    for at, seen in script:
        while (due := machine.deadline) is not None and due < at:
            commands += [(due, command) for command in machine.handle(ob.Tick(), due)]
            assert machine.deadline != due, "a Tick at the deadline moves it on"
        commands += [(at, command) for command in machine.handle(seen, at)]
    return machine, commands


# --------------------------------------------------------------------------------------------------- situations


@dataclass(frozen=True, slots=True)
class Situation:
    """A state, how to get there, and what it means."""

    name: str
    meaning: str
    script: tuple[tuple[float, ob.Observation], ...]
    policy: TurnPolicy = field(default_factory=TurnPolicy)


_SPEAKING = ((1.0, ob.SpeechStarted()),)
_PAUSED = (*_SPEAKING, (2.0, ob.SpeechStopped(0.8)))
_TRANSCRIBING = (*_PAUSED, (2.4, ob.Silence(0.5)))
_THINKING = (*_TRANSCRIBING, (2.5, ob.Heard(1, "where is my order")))
_AUDIBLE = (*_THINKING, (2.6, ob.ReplyThought(1)), (2.8, ob.ReplyAudible(1)))
_HELD = (*_AUDIBLE, (4.0, ob.SpeechStarted()))
_HELD_PAUSED = (*_HELD, (4.3, ob.SpeechStopped(0.3)))
_HELD_TRANSCRIBING = (*_HELD_PAUSED, (4.4, ob.Silence(0.3)))
_LOCKED = (*_AUDIBLE, (3.0, ob.ReplyLocked(1, locked=True)))
_RICH = TurnPolicy(judges=True, speculative=True, soft_timeout=2.0, farewell=True, transcribe_when_locked=True)

SITUATIONS = (
    Situation("WAITING", "The user's turn; nobody speaks. The turn timeout runs.", ()),
    Situation(
        "WAITING, skipping",
        "The agent has said that it will wait (`skip_turn`): no turn timeout.",
        (*_AUDIBLE, (4.0, ob.ReplyOver(1, "skip"))),
    ),
    Situation("USER_SPEAKING", "The user speaks.", _SPEAKING),
    Situation("USER_PAUSED", "The user has stopped: perhaps the turn is over. Words and silence decide.", _PAUSED),
    Situation(
        "USER_PAUSED, prepared",
        "The same, and an answer to what was understood so far is being prepared.",
        (*_SPEAKING, (1.9, ob.Partial("where is my order")), (2.0, ob.SpeechStopped(0.8)), (2.2, ob.Silence(0.2))),
        _RICH,
    ),
    Situation("TRANSCRIBING", "The user's turn is over; its text is not there yet.", _TRANSCRIBING),
    Situation("THINKING", "The agent's turn; nothing of the reply has left.", _THINKING, _RICH),
    Situation("THINKING, held", "Somebody speaks before the reply's first sound.", (*_THINKING, _HELD[-1]), _RICH),
    Situation("AGENT_SPEAKING", "The agent is heard.", _AUDIBLE),
    Situation("AGENT_SPEAKING, held", "Somebody speaks over it: it is silent until that is judged.", _HELD),
    Situation("AGENT_SPEAKING, held, paused", "A short sound has stopped.", _HELD_PAUSED),
    Situation(
        "AGENT_SPEAKING, held, transcribing",
        "Whether it was a backchannel, its text will tell.",
        _HELD_TRANSCRIBING,
    ),
    Situation("AGENT_SPEAKING, locked", "The reply may not be interrupted: a tool runs, or by configuration.", _LOCKED),
    Situation(
        "AGENT_SPEAKING, locked, spoken over",
        "The user speaks all the same.",
        (*_LOCKED, (4.0, ob.SpeechStarted())),
        _RICH,
    ),
    Situation(
        "THINKING, farewell",
        "The conversation has lasted as long as it may; its last words are on their way.",
        ((9.0, ob.Active()),),
        TurnPolicy(max_duration=3.0, farewell=True),
    ),
    Situation("ENDED", "It is over.", ((1.0, ob.Closed()),)),
)
"Every state, and the sub-states that matter."


def reach(situation: Situation) -> tuple[TurnMachine, float]:
    """A machine in that situation, and the time."""
    script = ((0.0, ob.Opened(greets=False)), *situation.script)
    return play(script, situation.policy)[0], script[-1][0]


# --------------------------------------------------------------------------------------------------- observations


def representatives(machine: TurnMachine) -> list[ob.Observation]:
    """Every kind of observation, with each value that may make a difference; of the newest reply, unless said."""
    reply = machine.reply
    utterance, pause = machine.newest_utterance, machine.newest_pause
    return [
        ob.SpeechStarted(),
        ob.Speaking(0.1),
        ob.Speaking(0.5),
        ob.SpeechStopped(0.1),
        ob.SpeechStopped(0.3),
        ob.SpeechStopped(0.9),
        ob.Silence(0.3),
        ob.Silence(0.5),
        ob.Stalled(0.7),
        ob.Partial("yeah"),
        ob.Partial("where is my order"),
        ob.TurnJudged(pause, 0.9),
        ob.TurnJudged(pause, 0.1),
        ob.Heard(utterance, ""),
        ob.Heard(utterance, "yeah"),
        ob.Heard(utterance, "no wait"),
        ob.Typed("never mind"),
        ob.Active(),
        ob.ReplyThought(reply),
        ob.ReplyAudible(reply),
        ob.ReplyQuiet(reply, 3.0),
        ob.ReplyLocked(reply, locked=True),
        ob.ReplyLocked(reply, locked=False),
        ob.ReplyOver(reply),
        ob.ReplyOver(reply, "skip"),
        ob.ReplyOver(reply, "hang_up"),
        ob.ReplyOver(reply - 1),
        ob.ReplyFailed(reply),
        ob.Transferred(greets=True),
        ob.Transferred(greets=False),
        ob.Tick(),
        ob.Closed(),
    ]


def _possible(seen: ob.Observation, machine: TurnMachine) -> bool:
    """Speech starts, goes on and stops in this order."""
    if isinstance(seen, (ob.Speaking, ob.SpeechStopped)):
        return machine.user_speaking
    return not (isinstance(seen, (ob.SpeechStarted, ob.Stalled)) and machine.user_speaking)


@dataclass(frozen=True, slots=True)
class Row:
    """What one observation does in one situation."""

    seen: ob.Observation
    before: str
    after: str
    possible: bool
    "Whether a microphone tells of it here."
    commands: tuple[ob.Command, ...]


def name_of(machine: TurnMachine) -> str:
    """A state, and whether it is held."""
    return f"{machine.state.name}, held" if machine.held else machine.state.name


def rows(situation: Situation) -> list[Row]:
    """The table of one situation. A Tick comes at the deadline."""
    found: list[Row] = []
    for seen in representatives(reach(situation)[0]):
        machine, now = reach(situation)
        before, possible = name_of(machine), _possible(seen, machine)
        if isinstance(seen, ob.Tick):
            now = now if machine.deadline is None else machine.deadline
        commands = machine.handle(seen, now)
        found.append(Row(seen, before, name_of(machine), possible, tuple(commands)))
    return found


# ------------------------------------------------------------------------------------------------------ the page

_HEAD = """# Who speaks when: the turn table

Made by `python -m antiphon.turns.table`, which asks the machine (`src/antiphon/turns/machine.py`); a test holds this
page to what it prints. What each observation and command means is said in `src/antiphon/turns/observations.py`.

```
                     SpeechStarted                 SpeechStopped
       WAITING ----------------------> USER_SPEAKING ---------> USER_PAUSED
        ^  |  ^                          ^   ^   ^  SpeechStarted  |   |
        |  |  |                          |   |   +-----------------+   |
        |  |  |  nothing was said        |   |                         | silence long enough: EndUtterance
        |  |  +-----------------------+  |   | SpeechStarted           v
        |  |                          +--|---+------------------ TRANSCRIBING
        |  | turn timeout: Reengage      |                             |
        |  |                             | Interrupt                   | Heard: Answer
        |  |      THINKING --------------+                             |
        |  +-----> (held?) <-------------|-----------------------------+
        |             | ReplyAudible     |
        |             v                  |
        +--- AGENT_SPEAKING -------------+            Closed, hanging up, too long: ENDED
  ReplyOver       (held?)
```

In the agent's turn speech *holds* the reply at once (no more of its sound leaves); then it is released, or interrupted:

```
    SpeechStarted: Hold --+-- stops before 0.2 s, no words ---------------------> Release, DiscardUtterance
                          +-- stops before 0.4 s -----> EndUtterance -- Heard --+-> backchannel, nothing: Release
                          +-- lasts 0.4 s -----------------> Interrupt          +-> words: Interrupt, Answer
                          +-- Partial with a word -> Interrupt
                          +-- Partial, backchannels only: 1.2 s instead of 0.4 s
```

After an interruption that was none: `Resume` (the rest, as a new reply) if the agent had been heard, else `Reengage`.
"""


_INTRODUCTION = """## Every state, every observation

Delays are those of the default policy; replies, utterances and pauses are the newest, except for `ReplyOver` of an
older one; a Tick comes at the deadline. `Opened` comes once, in WAITING: the agent greets (`Greet`, THINKING) or waits.
"""


def page() -> str:
    """docs/turns.md."""
    tables = [(situation, rows(situation)) for situation in SITUATIONS]
    parts = [_HEAD, _diagram([row for _, found in tables for row in found])]
    parts.append(_INTRODUCTION)
    parts += [_section(situation, found) for situation, found in tables]
    return "\n".join(parts)


def _section(situation: Situation, found: list[Row]) -> str:
    possible = [row for row in found if row.possible]
    changed = [row for row in possible if row.commands or row.after != row.before]
    same = [row.seen for row in possible if not row.commands and row.after == row.before]
    impossible = [row.seen for row in found if not row.possible]
    lines = [f"### {situation.name}", "", situation.meaning, ""]
    if changed:
        lines += ["| observed | then | commands |", "|---|---|---|"]
    for row in changed:
        commands = ", ".join(f"`{_text(command)}`" for command in row.commands) or "-"
        lines.append(f"| `{_text(row.seen)}` | {row.after} | {commands} |")
    if changed:
        lines.append("")
    lines.append(_listed("No command, and no other state", same))
    if impossible:
        lines += ["", _listed("Cannot come here", impossible)]
    return "\n".join([*lines, ""])


def _listed(title: str, observations: list[ob.Observation]) -> str:
    """Observations on few lines: those of one kind together."""
    kinds: dict[str, list[str]] = {}
    for seen in observations:
        name, _, values = _text(seen).partition("(")
        kinds.setdefault(name, []).append(values.removesuffix(")"))
    texts = [f"`{name}({' | '.join(values)})`" for name, values in kinds.items()]
    return textwrap.fill(f"{title}: {', '.join(texts)}.", 120, break_long_words=False, break_on_hyphens=False)


def _diagram(found: list[Row]) -> str:
    edges: dict[tuple[str, str], set[str]] = {}
    for row in found:
        before, after = row.before.replace(", ", "_"), row.after.replace(", ", "_")
        if row.possible and before != after and after != State.ENDED.name:
            edges.setdefault((before, after), set()).add(type(row.seen).__name__)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> WAITING"]
    for (before, after), seen in sorted(edges.items()):
        lines.append(f"    {before} --> {after}: {', '.join(sorted(seen))}")
    ends = sorted({type(row.seen).__name__ for row in found if row.after == State.ENDED.name != row.before})
    lines += ["    AGENT_SPEAKING --> ENDED: from any state by " + ", ".join(ends), "    ENDED --> [*]", "```", ""]
    return "\n".join(lines)


def _text(value: ob.Observation | ob.Command) -> str:
    fields = [getattr(value, name) for name in value.__struct_fields__]
    defaults = list(value.__struct_defaults__)
    while defaults and fields and fields[-1] == defaults[-1]:
        fields.pop()
        defaults.pop()
    return f"{type(value).__name__}({', '.join(str(f) if isinstance(f, float) else repr(f) for f in fields)})"


if __name__ == "__main__":
    sys.stdout.write(page())
