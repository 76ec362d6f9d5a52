"""Chaos conversations: a few hundred in the suite, every shrunk seed ever found, and faults planted on purpose."""

# pyright: reportPrivateUsage=false
# Faults are planted where nobody is meant to reach.

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from antiphon.dialogue.dialogue import Dialogue
from antiphon.session.session import Session
from antiphon.simulation.chaos.case import Act, Case, draw_case
from antiphon.simulation.chaos.conversation import hold_case, run_case, shrink
from antiphon.simulation.chaos.invariants import violations
from antiphon.turns import observations as ob
from antiphon.turns.playback import Playback

FOUND = msgspec.json.decode(Path(__file__).with_name("seeds.json").read_bytes(), type=list[Case])
"Cases that have failed once, shrunk."
SEEDS = range(500)
"A twentieth of what benchmarks/chaos.py holds."


def described(case: Case) -> list[str]:
    return [str(violation) for violation in run_case(case)]


def test_a_conversation_is_the_same_every_time() -> None:
    """Whatever befalls it."""
    case = draw_case(11)
    assert hold_case(case).journal == hold_case(case).journal
    assert msgspec.json.decode(msgspec.json.encode(case), type=Case) == case


@pytest.mark.parametrize("part", range(10))
def test_whatever_goes_wrong_the_rules_hold(part: int) -> None:
    """Those of simulation/chaos/invariants.py."""
    broken = {seed: found for seed in SEEDS[part::10] if (found := described(draw_case(seed)))}
    assert broken == {}


@pytest.mark.parametrize("case", FOUND, ids=lambda case: str(case.seed))
def test_what_went_wrong_once_does_not_again(case: Case) -> None:
    """Every case of seeds.json."""
    assert described(case) == []


# --------------------------------------------------------------------------------------------------- planted faults


def broken_rules(cases: Iterator[Case], enough: int = 1) -> set[str]:
    """The rules that are broken, until there are enough of them."""
    rules: set[str] = set()
    for case in cases:
        rules |= {violation.rule for violation in run_case(case)}
        if len(rules) >= enough:
            break
    return rules


def racing_cases() -> Iterator[Case]:
    """Callers that interrupt answers while these are still being thought and spoken."""
    for seed in range(20):
        acts = [Act("type", "quiet"), *[Act("type", "over", after) for after in (0.2, 0.4, 0.6)]]
        script = [*acts, Act("wait", "now", 0.0, 8.0), Act("hang_up", "now")]
        faults = {"llm": {"jitter": 1.0}, "tts": {"jitter": 1.0}}
        yield Case(seed=seed, script=script, faults=faults, words=30, greets=False)


def interrupting_cases() -> Iterator[Case]:
    """Callers that interrupt long answers."""
    for seed in range(20):
        script = [Act("type", "quiet"), Act("type", "over", 1.0), Act("wait", "now", 0.0, 8.0), Act("hang_up", "now")]
        yield Case(seed=seed, script=script, words=30, greets=False)


def everything(playback: Playback, now: float) -> int:
    """A ledger that is not asked: all of it was heard."""
    assert now >= 0
    return len(playback.text)


def lost_case() -> Case:
    """Somebody who waits for a long time, and an agent that has no limit of its own to silence."""
    script = [Act("type", "now"), Act("wait", "now", 0.0, 90.0), Act("hang_up", "now")]
    return Case(seed=1, script=script, greets=False, max_silence=0.0)


def test_reply_numbers_removed_turns_the_suite_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: what an engine returns is taken for the live reply's, whatever reply it was asked for.

    Engines here cannot be stopped in either case: that is what the numbers are for.
    """

    def goes_on(session: Session, reply: int) -> None:
        assert session is not None, reply

    monkeypatch.setattr(Session, "drop", goes_on)
    assert broken_rules(racing_cases()) == set(), "without the fault it is green"
    hand_on = Dialogue._hand_on

    def to_whoever_lives(self: Dialogue, item: Any, now: float) -> None:
        live = self._reply
        if live is not None and hasattr(item, "round"):
            item = msgspec.structs.replace(item, reply=live.number, round=live._round)
        elif live is not None and hasattr(item, "clause"):
            item = msgspec.structs.replace(item, reply=live.number, clause=live._numbers)
        hand_on(self, item, now)

    monkeypatch.setattr(Dialogue, "_hand_on", to_whoever_lives)
    assert broken_rules(racing_cases()) & {"what was interrupted is over", "one reply at a time"}


def test_ledger_trim_removed_turns_the_suite_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: everything that was said counts as heard."""
    assert broken_rules(interrupting_cases()) == set(), "without the fault it is green"
    monkeypatch.setattr(Playback, "heard", everything)
    assert "the record is true" in broken_rules(interrupting_cases())


def test_watchdog_removed_turns_the_suite_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: no reply's end is ever told. The watchdog notices; without it the agent's turn never ends."""
    take, watch = Dialogue._take, Dialogue._watch
    watching: list[float] = []

    def loses_ends(self: Dialogue, seen: Any, now: float) -> None:
        if not isinstance(seen, ob.ReplyOver) or watching[-1:] == [now]:
            take(self, seen, now)

    def watches(self: Dialogue, now: float) -> None:
        watching.append(now)
        watch(self, now)

    monkeypatch.setattr(Dialogue, "_take", loses_ends)
    monkeypatch.setattr(Dialogue, "_watch", watches)
    assert described(lost_case()) == [], "the watchdog heals it"
    assert watching

    def looks_away(self: Dialogue, now: float) -> None:
        self._watch_at = now + 5.0

    monkeypatch.setattr(Dialogue, "_watch", looks_away)
    assert broken_rules(iter([lost_case()])) == {"no dead air"}


def test_a_failing_case_is_shrunk_to_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One interruption is enough to see that the ledger is not asked; the rest goes."""
    monkeypatch.setattr(Playback, "heard", everything)
    found = next(case for case in map(draw_case, range(1000)) if run_case(case))
    smallest = shrink(found)
    assert run_case(smallest)
    assert len(smallest.script) <= 3
    assert smallest.faults == {}
    assert len(violations(hold_case(smallest))) == 1
