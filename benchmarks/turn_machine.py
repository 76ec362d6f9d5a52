"""Whether the turn machine keeps its word: every reachable state to depth 10, and a million random schedules.

The machine is joined to a model of its surroundings: a microphone, a speech-to-text, a turn detector, replies that are
thought, sound, go quiet, are locked, fail and end. The model hands in whatever could come next, in every order, late
observations about replies that are gone among them, and holds the commands against the invariants of `Surroundings`.

`explore` visits every state breadth first; states that differ only in what can no longer matter (numbers, absolute
times, words that mean the same, lengths of speech that have reached the same limits) are merged: `key`. From each new
state, `settle` shows that the conversation comes to rest: with a mute world (Ticks alone) nothing stays held, paused or
untranscribed, and with a faithful one it is WAITING or ENDED a few observations later. There, time passes only from
deadline to deadline; `wander` takes random schedules at random times from the states that were found, and merges none.

    python -m benchmarks.turn_machine [--depth 10] [--schedules 1000000] [--seed 1]
"""

# The machine is looked into here: what it keeps is what tells its states apart.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import argparse
import functools
import gc
import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeAlias

from antiphon.turns import machine as turns
from antiphon.turns import observations as ob
from antiphon.turns.backchannels import is_backchannel
from antiphon.turns.machine import NEVER, State, TurnMachine, TurnPolicy

BACKCHANNEL, WORDS, UNFINISHED = "yeah", "where is my order", "my number is"
NUMBERS = (0.1, 0.3, 0.9)
"Lengths of speech: a cough, a word, a sentence."
QUIETS = (0.35, 0.6, 1.6)
"Lengths of pauses, after which a short sound, a finished turn and any turn is over."
STARTS = (ob.Greet, ob.Answer, ob.Reengage, ob.Reprompt, ob.Resume, ob.Apologise, ob.Farewell)
AGENTS = (State.THINKING, State.AGENT_SPEAKING)
USERS = (State.USER_SPEAKING, State.USER_PAUSED, State.TRANSCRIBING)
NOT_THE_USER = frozenset((ob.Tick, ob.Transferred, ob.Closed, ob.ReplyQuiet))
"What may cut off a reply that the user must not."
STEPS_TO_REST = 24
SOME = 500
"States of each depth, or a few more, from which random schedules begin."
LENGTH = 5
"Observations of a random schedule, besides Ticks."

POLICIES: dict[str, TurnPolicy] = {
    "everything on": TurnPolicy(
        judges=True, speculative=True, max_preparations=1, soft_timeout=2.0, max_quiet_fills=1, max_duration=None
    ),
    "first message locked, farewell": TurnPolicy(
        first_message_interruptible=False,
        transcribe_when_locked=True,
        turn_timeout=None,
        max_quiet_fills=0,
        max_duration=1e9,
        farewell=True,
    ),
    "not interruptible": TurnPolicy(interruptible=False, fixed_silence=True, max_quiet_fills=1, max_duration=None),
}


@contextmanager
def few_words() -> Generator[None]:
    """Compute what two pure functions say of the few texts here once, not a million times."""
    before = turns.is_backchannel, turns.completeness
    turns.is_backchannel, turns.completeness = functools.cache(before[0]), functools.cache(before[1])
    try:
        yield
    finally:
        turns.is_backchannel, turns.completeness = before


class BrokenError(AssertionError):
    """An invariant does not hold."""


def check(holds: bool, rule: str) -> None:
    """Raises BrokenError."""
    if not holds:
        raise BrokenError(rule)


@dataclass(slots=True)
class Surroundings:
    """What the machine's commands have made of the world, and what may be observed of it next."""

    policy: TurnPolicy
    numbered: int = 0
    "The highest number of a reply so far."
    live: int = 0
    "The reply that is under way; 0: none."
    kind: type[object] | None = None
    held: bool = False
    locked: bool = False
    audible: bool = False
    prepared: int = 0
    utterances: int = 0
    "How many were ended..."
    untold: int = 0
    "...and of how many, the newest, the text has not come."
    pauses: int = 0
    microphone: str = "quiet"
    "quiet, speaking, paused"
    spoken: float = 0.0
    paused: float = 0.0
    typed: bool = False
    "A typed message has not been answered yet."
    over: bool = False

    def obey(self, seen: ob.Observation, commands: list[ob.Command], before: State, machine: TurnMachine) -> None:
        """Carry the commands out. Raises BrokenError when one of them makes no sense."""
        if commands:
            check(before is not State.ENDED, "ENDED emits nothing")
            for command in commands:
                check(not self.over, "nothing follows the end")
                self._carry_out(command, seen)
        state = machine.state
        agents = state is State.THINKING or state is State.AGENT_SPEAKING
        if agents != (self.live != 0):
            raise BrokenError("it is the agent's turn just while a reply lives")
        if machine.held != self.held:
            raise BrokenError("the machine knows what is held")
        if self.over != (state is State.ENDED):
            raise BrokenError("it ends by hanging up")
        if machine._prepared != self.prepared:
            raise BrokenError("the machine knows what is prepared")
        if self.prepared and state not in USERS:
            raise BrokenError("only a turn of the user is prepared for")
        if state is State.TRANSCRIBING and not self.untold:
            raise BrokenError("what is waited for will come")
        if (self.held or state is State.USER_PAUSED or state is State.TRANSCRIBING) and machine._alarm == NEVER:
            raise BrokenError("nothing waits for ever")
        if state is State.WAITING and self.typed:
            raise BrokenError("what was typed is answered")

    def _carry_out(self, command: Any, seen: ob.Observation) -> None:
        kind: type[object] = type(command)
        if kind in STARTS:
            self._start(command, kind)
        elif kind is ob.Interrupt:
            check(command.reply == self.live, "only the living are interrupted")
            if type(seen) not in NOT_THE_USER or self.held:
                check(not self.locked, "what is locked is not interrupted")
                check(self.may_be_interrupted() or type(seen) is ob.Typed, "nor is what may not be")
            self.live, self.held = 0, False
        elif kind is ob.Hold:
            check(command.reply == self.live and not self.held, "what is held lives, and is held once")
            check(self.may_be_interrupted(), "what may not be interrupted is not held")
            self.held = True
        elif kind is ob.Release:
            check(command.reply == self.live and self.held, "what is released is held")
            self.held = False
        elif kind is ob.EndUtterance:
            check(command.utterance == self.utterances + 1, "utterances are numbered")
            self.utterances, self.untold = command.utterance, self.untold + 1
        elif kind is ob.Fill:
            check(command.reply == self.live and not self.held, "a filler belongs to a reply that may sound")
        elif kind is ob.Prepare:
            check(self.prepared == 0 and self.live == 0, "one reply is prepared at a time")
            check(command.reply == self.numbered + 1, "numbers grow")
            self.numbered = self.prepared = command.reply
        elif kind is ob.Abandon:
            check(command.reply == self.prepared, "what is abandoned was prepared")
            self.prepared = 0
        elif kind is ob.Judge:
            check(command.pause > self.pauses, "pauses are numbered")
            self.pauses = command.pause
        elif kind is ob.HangUp:
            check(self.live == 0 and self.prepared == 0, "every reply is settled before the end")
            self.over, self.typed = True, False
        else:
            check(kind is ob.DiscardUtterance, "there is no other command")

    def _start(self, command: Any, kind: type[object]) -> None:
        number: int = command.reply
        check(self.live == 0, "at most one reply is alive")
        if number == self.prepared:
            check(kind is ob.Answer, "only an answer is prepared")
            self.prepared = 0
        else:
            check(number == self.numbered + 1, "numbers grow")
            check(self.prepared == 0, "what was prepared in vain is abandoned")
            self.numbered = number
        self.live, self.kind, self.held, self.locked, self.audible = number, kind, False, False, False
        if kind is ob.Farewell or (kind is ob.Answer and command.typed):
            self.typed = False
        elif kind is ob.Resume:
            check(0 < command.interrupted < number, "what is resumed was cut off")

    def may_be_interrupted(self) -> bool:
        """Whether the user may barge in on the reply that is alive."""
        policy = self.policy
        if not policy.interruptible or self.locked or self.kind is ob.Farewell:
            return False
        return self.kind is not ob.Greet or policy.first_message_interruptible

    def tell(self, seen: Any) -> None:
        """An observation is made: what it says is so from here on."""
        kind: type[object] = type(seen)
        if kind is ob.SpeechStarted:
            self.microphone, self.spoken = "speaking", 0.0
        elif kind is ob.Speaking:
            self.spoken = seen.seconds
        elif kind is ob.SpeechStopped:
            self.microphone, self.paused = "paused", 0.0
        elif kind is ob.Silence:
            if self.microphone == "paused":
                self.paused = seen.seconds
        elif kind is ob.Stalled:
            self.microphone = "quiet"
        elif kind is ob.Heard:
            self.untold -= 1
        elif kind is ob.Typed:
            self.typed = True
        elif kind is ob.ReplyAudible:
            self.audible = self.audible or seen.reply == self.live
        elif kind is ob.ReplyLocked:
            self.locked = seen.locked if seen.reply == self.live else self.locked
        elif kind is ob.ReplyOver or kind is ob.ReplyFailed:
            if seen.reply == self.live:
                self.live, self.held = 0, False
            elif seen.reply == self.prepared:
                self.prepared = 0

    def possible(self) -> list[ob.Observation]:
        """Whatever may be observed next, but for Ticks."""
        found: list[ob.Observation] = [ob.Typed("never mind"), ob.Active()]
        if self.microphone == "speaking":
            found += [ob.Speaking(s) for s in NUMBERS if s > self.spoken]
            found.append(ob.Silence(0.1))
            found += [ob.SpeechStopped(s) for s in NUMBERS if s >= self.spoken]
        else:
            found.append(ob.SpeechStarted())
        if self.microphone == "paused":
            found += [ob.Silence(s) for s in QUIETS if s > self.paused]
            found.append(ob.Stalled(max(0.7, self.paused)))
        if self.microphone != "quiet":
            found += [ob.Partial(text) for text in self._texts()]
        if self.untold:
            oldest = self.utterances - self.untold + 1
            found += [ob.Heard(oldest, text) for text in ("", *self._texts())]
        if self.policy.judges and self.microphone == "paused":
            found += [ob.TurnJudged(self.pauses, 0.9), ob.TurnJudged(self.pauses, 0.1)]
        found += self._possible_of_replies()
        found += [ob.Transferred(greets=True), ob.Transferred(greets=False), ob.Closed()]
        return found

    def _texts(self) -> tuple[str, ...]:
        # Over the agent it matters only whether words are backchannels.
        return (BACKCHANNEL, WORDS) if self.live else (BACKCHANNEL, WORDS, UNFINISHED)

    def _possible_of_replies(self) -> list[ob.Observation]:
        found: list[ob.Observation] = []
        if self.prepared:
            found += [ob.ReplyThought(self.prepared), ob.ReplyFailed(self.prepared)]
        live = self.live
        if not live:
            # What was under way when the reply was cut off.
            return [*found, ob.ReplyAudible(self.numbered), ob.ReplyQuiet(self.numbered, 3.0)]
        found += [ob.ReplyThought(live), ob.ReplyOver(live - 1), ob.ReplyLocked(live, not self.locked)]
        if not self.audible:
            found += [ob.ReplyAudible(live), ob.ReplyFailed(live)]
        if not self.held:
            found.append(ob.ReplyQuiet(live, 3.0))
        over = ob.ReplyOver(live, expects=ob.Expectation.NUMBER)
        return [*found, ob.ReplyOver(live), ob.ReplyOver(live, "skip"), ob.ReplyOver(live, "hang_up"), over]


# -------------------------------------------------------------------------------------------- states, and their copies

Values: TypeAlias = tuple[Any, ...]


def _reader_and_writer(kind: type[Any]) -> tuple[Callable[[Any], Values], Callable[[Any, Values], None]]:
    """All slots of a thing as one tuple, and back: written out, since a loop over them takes ten times as long."""
    names: tuple[str, ...] = tuple(kind.__slots__)
    found: dict[str, Callable[[Any, Values], None]] = {}
    exec(f"def write(thing, values): {', '.join('thing.' + name for name in names)} = values", found)
    return attrgetter(*names), found["write"]


_read_machine, _write_machine = _reader_and_writer(TurnMachine)
_read_surroundings, _write_surroundings = _reader_and_writer(Surroundings)
Path: TypeAlias = "tuple[Path | None, ob.Observation]"
"How a state was reached: the path to the state before, and what was observed there."
Copy: TypeAlias = tuple[Values, Values, float]


@dataclass(slots=True)
class World:
    """A machine, its surroundings and the time; can be copied and set back."""

    machine: TurnMachine
    around: Surroundings
    now: float = 0.0

    def copy(self) -> Copy:
        """All of it, as a value."""
        return _read_machine(self.machine), _read_surroundings(self.around), self.now

    def restore(self, copy: Copy) -> None:
        """Back to a copy."""
        machine, around, self.now = copy
        _write_machine(self.machine, machine)
        _write_surroundings(self.around, around)

    def see(self, seen: ob.Observation) -> None:
        """One observation, now. Raises BrokenError."""
        before = self.machine.state
        self.around.tell(seen)
        self.around.obey(seen, self.machine.handle(seen, self.now), before, self.machine)

    def tick(self) -> None:
        """Wait until the deadline. Raises BrokenError."""
        deadline = self.machine.deadline
        assert deadline is not None
        self.now = max(self.now, deadline)
        self.see(ob.Tick())
        following = self.machine.deadline
        check(following is None or following > self.now, "a Tick at the deadline moves it on")


def new_world(policy: TurnPolicy, *, greets: bool) -> World:
    """A conversation that has just begun."""
    world = World(TurnMachine(policy), Surroundings(policy))
    world.see(ob.Opened(greets=greets))
    return world


@functools.cache
def meaning(texts: tuple[str, ...]) -> str:
    """What the machine makes of words: texts of one meaning are interchangeable."""
    text = " ".join(texts)
    if not text:
        return ""
    if is_backchannel(text):
        return "backchannel"
    return "unfinished" if text.endswith(UNFINISHED) else "words"


ENDED_KEY = (State.ENDED,)
_ALIKE: dict[type[object], type[object]] = {ob.Reengage: ob.Answer}
"Replies that the machine treats alike."


def key(world: World) -> Values:
    """What still matters of a state, with times from now on and without numbers."""
    m, w, now = world.machine, world.around, world.now
    state, policy, speech = m.state, m.policy, m._speech
    if state is State.ENDED:
        return ENDED_KEY
    pausing = m._pausing
    agents = state is State.THINKING or state is State.AGENT_SPEAKING
    common = (
        state,
        m.user_speaking,
        pausing,
        m._utterance - m._void,
        w.untold,
        meaning(m._words),
        m._typed != (),
        meaning((m._partial,)) if m.user_speaking or pausing else None,
        (speech > 0)
        + (speech >= policy.cough)
        + (speech >= policy.reprompt_after)
        + (speech >= policy.backchannel_limit),
        round(m._alarm - now, 2),
        (m._quiet, m._stalled, m._delay, m._verdict) if pausing else None,
    )
    if agents:
        waits = m._filler_at != NEVER
        return (
            *common,
            m.held,
            round(m._filler_at - now, 2),
            round(m._end_at - now, 2) if m._kind is ob.Farewell else None,
            round(now - m._onset, 2) if m.user_speaking else None,
            w.spoken if w.microphone == "speaking" else None,
            _ALIKE.get(m._kind, m._kind),
            m._thought,
            m._locked,
            state is State.THINKING and m._fills > 0,
            m._soft_fills if waits else 0,
            m._quiet_fills,
            w.audible,
        )
    return (
        *common,
        m._expects,
        m._cut_off is None,
        m._resumable,
        m._skipping,
        (meaning((" ".join(m._prepared_for),)), m._thought) if m._prepared else None,
        m._preparations,
    )


# ------------------------------------------------------------------------------------------------- every state


@dataclass(slots=True)
class Figures:
    """What was done."""

    states: int = 0
    transitions: int = 0
    deepest: int = 0
    rests: int = 0
    longest_to_rest: int = 0
    by_state: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))


def explore(policy: TurnPolicy, depth: int, figures: Figures, *, greets: bool = False) -> list[Copy]:
    """Every state that `depth` observations can lead to; some of each depth are returned.

    Raises BrokenError, with the path that leads there.
    """
    world = new_world(policy, greets=greets)
    starts: list[Copy] = []
    gc.disable()  # nothing is thrown away
    known = {key(world)}
    frontier: list[tuple[Copy, Path]] = [(world.copy(), (None, ob.Opened(greets)))]
    for level in range(1, depth + 1):
        following: list[tuple[Copy, Path]] = []
        for start, path in frontier:
            world.restore(start)
            choices = world.around.possible()
            if world.machine.deadline is not None:
                choices.append(ob.Tick())
            for seen in choices:
                try:
                    step(world, seen)
                    found = key(world)
                    if found not in known:
                        known.add(found)
                        figures.by_state[world.machine.state] += 1
                        copy = world.copy()
                        settle(world, copy, figures)
                        if found is not ENDED_KEY:
                            following.append((copy, (path, seen)))
                except BrokenError as error:
                    raise BrokenError(f"{error} {told((path, seen))}") from None
                world.restore(start)
            figures.transitions += len(choices)
        starts += [copy for copy, _ in following[:: 1 + len(following) // SOME]]
        figures.deepest = level
        frontier = following
    gc.enable()
    figures.states += len(known)
    return starts


def told(path: Path | None) -> list[ob.Observation]:
    """A path from its beginning."""
    found: list[ob.Observation] = []
    while path is not None:
        path, seen = path
        found.insert(0, seen)
    return found


def step(world: World, seen: ob.Observation) -> None:
    """Let `seen` happen next, at once; a Tick when it is due."""
    if type(seen) is ob.Tick:
        world.tick()
    else:
        world.see(seen)


def settle(world: World, start: Copy, figures: Figures) -> None:
    """The conversation comes to rest from here: by the clock alone where it must, and else with what must come."""
    steps = 0
    while world.machine.held or world.machine.state in (State.USER_PAUSED, State.TRANSCRIBING):
        world.tick()
        steps += 1
        check(steps <= STEPS_TO_REST, "by the clock alone, nothing stays held, paused or untranscribed")
    world.restore(start)
    steps = 0
    while world.machine.state not in (State.WAITING, State.ENDED) or world.around.untold:
        faithful(world)
        steps += 1
        check(steps <= STEPS_TO_REST, "the conversation comes to rest")
    figures.rests += 1
    figures.longest_to_rest = max(figures.longest_to_rest, steps)
    world.restore(start)


def faithful(world: World) -> None:
    """What must come sooner or later, of what has not come yet."""
    around = world.around
    if around.microphone == "speaking":
        world.see(ob.SpeechStopped(max(around.spoken, 0.3)))
    elif around.microphone == "paused":
        world.see(ob.Stalled(max(0.7, around.paused)))
    elif around.untold:
        world.see(ob.Heard(around.utterances - around.untold + 1, WORDS))
    elif around.live and not around.held:
        world.see(ob.ReplyOver(around.live))
    else:
        world.tick()


# ---------------------------------------------------------------------------------------------- random schedules


SHORT_TEXTS = ("", BACKCHANNEL, WORDS, UNFINISHED)
PAUSES = (0.0, 0.0, 0.02, 0.1, 0.3, 1.0, 4.0, 20.0)
"Seconds, at most, until the next observation: together, one after the other, or after a deadline or two."


def by_chance(around: Surroundings, chance: Callable[[], float]) -> ob.Observation:
    """Something that may be observed next."""
    roll, number = chance(), int(chance() * 4)
    if roll < 0.5:
        if around.microphone == "speaking":
            if number == 0:
                return ob.SpeechStopped(around.spoken + 0.3 * chance())
            if number == 1:
                return ob.Silence(0.1)
            return ob.Speaking(around.spoken + 0.3 * chance()) if number == 2 else ob.Partial(SHORT_TEXTS[number])
        if around.microphone == "quiet" or number == 0:
            return ob.SpeechStarted()
        if number == 1:
            return ob.Stalled(around.paused + 0.3)
        return ob.Silence(around.paused + 0.4 * chance()) if number == 2 else ob.Partial(SHORT_TEXTS[number - 1])
    if around.untold and roll < 0.65:
        return ob.Heard(around.utterances - around.untold + 1, SHORT_TEXTS[number])
    if around.live and roll < 0.9:
        return _about_a_reply(around, int(chance() * 8), number)
    if roll < 0.92:
        return ob.Transferred(number < 2) if roll < 0.91 else ob.Typed("never mind")
    if around.prepared and number < 2:
        return ob.ReplyThought(around.prepared) if number else ob.ReplyFailed(around.prepared)
    return ob.TurnJudged(around.pauses - number // 3, 0.9 if roll < 0.95 else 0.1)


def _about_a_reply(around: Surroundings, which: int, number: int) -> ob.Observation:
    live = around.live
    if which < 2 and not around.audible:
        return ob.ReplyAudible(live) if which else ob.ReplyFailed(live)
    if which == 2:
        return ob.ReplyThought(live)
    if which == 3:
        return ob.ReplyLocked(live, not around.locked)
    if which == 4:
        return ob.ReplyQuiet(live if number else live - 1, 3.0)
    if which == 5:
        return ob.ReplyOver(live - 1)
    return ob.ReplyOver(live) if number else ob.ReplyOver(live, "skip")


def wander(world: World, chance: Callable[[], float], length: int) -> int:
    """A random schedule from here on, at random times; how many observations there were until the end, with Ticks."""
    taken = 0
    for _ in range(length):
        at = world.now + PAUSES[int(chance() * 8)] * chance()
        while (deadline := world.machine.deadline) is not None and deadline < at:
            world.tick()
            taken += 1
        if world.around.over:
            break
        world.now = max(world.now, at)
        world.see(by_chance(world.around, chance))
        taken += 1
    return taken


def wander_often(starts: list[Copy], policy: TurnPolicy, schedules: int, length: int, seed: int) -> int:
    """So many random schedules, each from one of the states that were found; how many observations there were."""
    chance, taken, count = random.Random(seed).random, 0, len(starts)
    world = new_world(policy, greets=False)
    for _ in range(schedules):
        start = starts[int(chance() * count)]
        world.restore(start)
        taken += wander(world, chance, length)
    return taken


@dataclass(frozen=True, slots=True)
class Result:
    """What was done with one policy."""

    name: str
    figures: Figures
    schedules: int
    observations: int
    seconds: float
    "Of computing."


def run(depth: int, schedules: int, seed: int, length: int = LENGTH) -> list[Result]:
    """Both, with every policy. Raises BrokenError."""
    results: list[Result] = []
    with few_words():
        for number, (name, policy) in enumerate(POLICIES.items()):
            began, figures = time.process_time(), Figures()
            starts = explore(policy, depth, figures, greets=not policy.first_message_interruptible)
            share = schedules // len(POLICIES) + (number < schedules % len(POLICIES))
            observations = wander_often(starts, policy, share, length, seed + number)
            results.append(Result(name, figures, share, observations, time.process_time() - began))
    return results


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--schedules", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    results = run(options.depth, options.schedules, options.seed)
    columns = ("policy", "depth", "states", "transitions", "steps to rest", "schedules", "observations", "seconds")
    lines = [columns]
    lines += [
        (
            result.name,
            f"{result.figures.deepest}",
            f"{result.figures.states:,}",
            f"{result.figures.transitions:,}",
            f"<= {result.figures.longest_to_rest}",
            f"{result.schedules:,}",
            f"{result.observations:,}",
            f"{result.seconds:.1f}",
        )
        for result in results
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)))
    total = sum(result.seconds for result in results)
    states = sum(result.figures.states for result in results)
    print(f"{states:,} states, {options.schedules:,} schedules, 0 broken invariants, {total:.1f} s (at most 120)")
    if total > 120:
        raise SystemExit("too slow")


if __name__ == "__main__":
    main()
