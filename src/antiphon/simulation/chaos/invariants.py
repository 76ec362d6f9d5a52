"""What must hold in every conversation, whatever goes wrong: judged by what the client saw, and by the journal.

Which state the turn machine was in is folded anew from the observations in the journal. What sounded, and when, is what
a player makes of the events that the client got (simulation/player.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from antiphon.audio.formats import AudioFormat
from antiphon.dialogue.settings import Settings
from antiphon.protocol import events as ev
from antiphon.simulation.player import Player
from antiphon.turns import observations as ob
from antiphon.turns.machine import State, TurnMachine

from .case import Act, Case
from .rambling import TAG

EPSILON = 0.002
ROUNDING = 0.001
"Seconds by which a character's time may be off: the wire has whole milliseconds."
AGENTS_TURN = (State.THINKING, State.AGENT_SPEAKING)
PATIENCE: Mapping[State, float] = {State.TRANSCRIBING: 9.0, State.USER_PAUSED: 6.0, State.USER_SPEAKING: 8.0}
"Seconds that a state may last at most; the agent's own are bounded by its sound."
WITHOUT_LIMIT = 70.0
"Seconds of silence in the agent's turn where the agent has no limit of its own: then the watchdog has come."
ANSWER = 10.0
"Seconds within which a client that stays quiet sees an answer to what it said."


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken."""

    rule: str
    at: float
    text: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.at:.3f}: {self.text}"


@dataclass(slots=True)
class Evidence:
    """What is left of a conversation."""

    case: Case
    heard: Sequence[tuple[float, ev.ServerEvent]]
    did: Sequence[tuple[float, Act]]
    journal: Sequence[bytes]
    output: AudioFormat
    ended_at: float | None = None
    "When the session was over; None: never."
    leaked: Sequence[str] = ()
    "Tasks that were left."
    crash: str = ""
    lines: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = [msgspec.json.decode(line) for line in self.journal]

    @property
    def hung_up_at(self) -> float:
        """When the caller was gone."""
        return self.did[-1][0] if self.did else 0.0


def violations(evidence: Evidence) -> list[Violation]:
    """Every rule that was broken, in order of time."""
    if evidence.crash:
        return [Violation("crash", 0.0, evidence.crash)]
    states = list(_states(evidence))
    sounds = _sounds(evidence)
    found = [
        *_ends(evidence),
        *_silence(evidence, states, sounds),
        *_stuck(states),
        *_past(evidence),
        *_corrections(evidence),
        *_truth(evidence),
        *_answers(evidence),
        *_ids(evidence),
    ]
    return sorted(found, key=lambda violation: violation.at)


def _ends(evidence: Evidence) -> Iterator[Violation]:
    if evidence.ended_at is None:
        yield Violation("ends", evidence.hung_up_at, "the caller has hung up, and the conversation goes on")
    elif not any("end" in line for line in evidence.lines):
        yield Violation("ends", evidence.ended_at, "the journal has no last line")
    for task in evidence.leaked:
        yield Violation("no task is left", evidence.ended_at or 0.0, task)


# ---------------------------------------------------------------------------------------------------------- states


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in one state."""

    state: State
    since: float
    until: float


def _states(evidence: Evidence) -> Iterator[Stretch]:
    """The machine's states, from what it was told."""
    machine = TurnMachine(Settings.parse(evidence.lines[0]["journal"]["settings"]).policy)
    since = 0.0
    for line in evidence.lines:
        if "saw" not in line:
            continue
        before, at = machine.state, line["at"]
        machine.handle(msgspec.convert(line["saw"], ob.Observation), at)
        if machine.state is not before:
            yield Stretch(before, since, at)
            since = at
    yield Stretch(machine.state, since, max(since, evidence.ended_at or since))


def _stuck(states: Sequence[Stretch]) -> Iterator[Violation]:
    for stretch in states:
        limit = PATIENCE.get(stretch.state)
        if limit is not None and stretch.until - stretch.since > limit:
            text = f"{stretch.state} for {stretch.until - stretch.since:.1f} s"
            yield Violation("nothing is stuck", stretch.since, text)


# ----------------------------------------------------------------------------------------------------------- sound


def _sounds(evidence: Evidence) -> list[tuple[float, float]]:
    """When the client's loudspeaker sounded."""
    player = Player(buffer=evidence.case.buffer)
    for at, event in evidence.heard:
        if isinstance(event, ev.AgentAudio):
            player.receive(at, evidence.output.seconds(len(event.audio)), event.event_id)
        elif isinstance(event, ev.Interruption):
            player.interrupt(at)
    player.advance(1e9)
    return [(piece.at, piece.at + piece.seconds) for piece in player.played]


def _silence(
    evidence: Evidence, states: Sequence[Stretch], sounds: Sequence[tuple[float, float]]
) -> Iterator[Violation]:
    """No span of the agent's turn without its sound is longer than the agent's limit.

    Who says or writes something begins to wait anew, once that has become a turn. While a caller makes a noise of any
    other kind it is not silent, and the agent holds its tongue: that much longer the span may be, and no more.
    """
    limit = evidence.case.max_silence or WITHOUT_LIMIT
    said = [at for at, event in evidence.heard if isinstance(event, ev.UserTranscript)]
    said += [at for at, act in evidence.did if act.kind == "type"]
    noise = [(at, at + act.seconds) for at, act in evidence.did if act.kind == "speak"]
    for begin, end in _turns(states, evidence.hung_up_at):
        marks = [(at, at) for at in said if begin < at < end]
        edges = sorted([(begin, begin), *((a, b) for a, b in sounds if b > begin and a < end), *marks, (end, end)])
        quiet_from = begin
        for sound_from, sound_until in edges:
            noisy = sum(max(0.0, min(b, sound_from) - max(a, quiet_from)) for a, b in noise)
            if sound_from - quiet_from - noisy > limit + EPSILON:
                text = f"nothing sounded for {sound_from - quiet_from:.2f} s of the agent's turn"
                yield Violation("no dead air", quiet_from, text)
            quiet_from = max(quiet_from, sound_until)


def _turns(states: Iterable[Stretch], hung_up_at: float) -> Iterator[tuple[float, float]]:
    """The agent's turns, up to when the caller hung up."""
    begin: float | None = None
    for stretch in states:
        if stretch.state in AGENTS_TURN and begin is None:
            begin = stretch.since
        if stretch.state not in AGENTS_TURN and begin is not None:
            yield begin, min(stretch.since, hung_up_at)
            begin = None
    if begin is not None:
        yield begin, hung_up_at


# ------------------------------------------------------------------------------------------------- what was, was


def _past(evidence: Evidence) -> Iterator[Violation]:
    """Once a reply was interrupted, or a newer one has begun, nothing more of it is said: words tell whose they are.

    What a new reply takes up of an old one (`Resume`) is announced anew.
    """
    newest, text, void = 0, "", 0
    announced: set[str] = set()
    for at, event in evidence.heard:
        match event:
            case ev.Interruption():
                text, void = "", newest
                announced.clear()
            case ev.AgentResponse(text=said):
                announced.update(said.split())
            case ev.AgentAudio(alignment=alignment) if alignment is not None:
                text += "".join(alignment.chars)
                *words, text = text.split(" ")
                for word in words:
                    match = TAG.fullmatch(word.rstrip("."))
                    number = int(match[1]) if match else newest + 1
                    if match and word not in announced and number <= void:
                        yield Violation("what was interrupted is over", at, f"{word} sounded after its interruption")
                    elif match and word not in announced and number < newest:
                        yield Violation("one reply at a time", at, f"{word} sounded amid answer {newest}")
                    if match:
                        newest = max(newest, number)
            case _:
                pass


def _corrections(evidence: Evidence) -> Iterator[Violation]:
    """A correction keeps the beginning of what it corrects."""
    said: dict[int, str] = {}
    for at, event in evidence.heard:
        match event:
            case ev.AgentResponse(text=text, event_id=event_id):
                said[event_id] = text
            case ev.AgentResponseCorrection(original=original, corrected=corrected, event_id=event_id):
                if said.get(event_id) != original:
                    yield Violation("corrections fit", at, f"{original!r} was never said, but {said.get(event_id)!r}")
                if not original.startswith(corrected):
                    yield Violation("corrections fit", at, f"{corrected!r} does not begin {original!r}")
                said[event_id] = corrected
            case _:
                pass


def _truth(evidence: Evidence) -> Iterator[Violation]:
    """After an interruption the texts, as corrected, hold the words that have sounded: to the word.

    Nothing can be said where the voice gives no timings, or where pieces of its speech were lost or swapped.
    """
    if not evidence.case.alignment or {"drop", "reorder"} & set(evidence.case.faults.get("tts", {})):
        return
    player = Player(buffer=evidence.case.buffer)
    said: dict[int, str] = {}
    timed: dict[int, list[tuple[float, str]]] = {}
    wrong: set[tuple[str, str]] = set()
    cut_at: float | None = None
    for at, event in (*evidence.heard, (evidence.hung_up_at, None)):
        if cut_at is not None and not isinstance(event, ev.AgentResponseCorrection):
            now_wrong = _tags("".join(_played(player, timed))) ^ _tags(" ".join(said.values()))
            if len(new := now_wrong - wrong) > 1:
                words = ", ".join("r{}w{}".format(*tag) for tag in sorted(new))
                yield Violation("the record is true", cut_at, f"heard and not told, or told and not heard: {words}")
            wrong, cut_at = now_wrong, None
        match event:
            case ev.AgentResponse(text=text, event_id=event_id):
                said[event_id] = text
            case ev.AgentResponseCorrection(corrected=corrected, event_id=event_id):
                said[event_id] = corrected
            case ev.AgentAudio(audio=audio, event_id=event_id, alignment=alignment):
                player.receive(at, evidence.output.seconds(len(audio)), event_id)
                starts = alignment.char_start_times_ms if alignment is not None else []
                chars = alignment.chars if alignment is not None else []
                timed[event_id] = [(start / 1000, char) for start, char in zip(starts, chars, strict=True)]
            case ev.Interruption():
                player.interrupt(at)
                cut_at = at
            case _:
                pass


def _played(player: Player, timed: Mapping[int, Sequence[tuple[float, str]]]) -> Iterator[str]:
    """The characters that have begun to sound, in order; clauses come without the space between them."""
    for piece in player.played:
        for start, char in timed[piece.label]:
            if start < piece.seconds + ROUNDING:
                yield char


def _tags(text: str) -> set[tuple[str, str]]:
    """Words of which more than the beginning is there."""
    return set(TAG.findall(text))


def _answers(evidence: Evidence) -> Iterator[Violation]:
    """A client that said something, and then waits, sees an answer."""
    wait = ANSWER if evidence.case.max_silence else WITHOUT_LIMIT
    active = sorted(at for at, act in evidence.did if act.kind != "wait")
    for index, (at, event) in enumerate(evidence.heard):
        if not isinstance(event, ev.UserTranscript):
            continue
        until = min((when for when in active if when > at), default=evidence.hung_up_at)
        later = (event for when, event in evidence.heard[index + 1 :] if when <= at + wait)
        if until - at > wait and not any(isinstance(event, (ev.AgentResponse, ev.AgentAudio)) for event in later):
            yield Violation("who speaks is answered", at, f"nothing for {wait:.0f} s after {event.text!r}")


def _ids(evidence: Evidence) -> Iterator[Violation]:
    """Ids grow: of sound, of interruptions, of the user's words."""
    newest = 0
    for at, event in evidence.heard:
        if isinstance(event, (ev.AgentAudio, ev.Interruption, ev.UserTranscript)):
            if event.event_id <= newest:
                yield Violation("ids grow", at, f"{event.event_id} after {newest}")
            newest = event.event_id
