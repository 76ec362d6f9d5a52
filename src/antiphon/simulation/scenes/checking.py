"""What a scene expects, held against what happened. Each expectation that does not hold is told in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import document as doc
from .caller import Deed, Failure, shown
from .history import History, ToolUse, payload
from .matching import MISSING, at_path, expression, said, same

EPSILON = 1e-3
"Seconds that do not count: times are made of sums."


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time that something happened."""

    at: float
    what: str
    number: int
    "Which of its kind."


def check(scene: doc.Scene, history: History) -> list[Failure]:
    """What is not as the scene expects, in its order."""
    failures: list[Failure] = []
    for index, expectation in enumerate(scene.expect):
        where = f"expect.{index}"
        failures += [Failure(text, where, at) for text, at in _check(expectation, history)]
    ending = history.ending
    if not any(isinstance(e, doc.Ends) for e in scene.expect) and (ending.close_code != 1000 or ending.error_type):
        kind = f" ({ending.error_type})" if ending.error_type else ""
        failures.append(
            Failure(f"the call ended with an error: {ending.close_code} {ending.reason}{kind}", "", history.seconds)
        )
    return failures


Complaint = tuple[str, float | None]
"What is wrong, and when."


def _check(expectation: doc.Expectation, history: History) -> Iterator[Complaint]:
    match expectation:
        case doc.Never(never=moment):
            for found in _in_time(moment, _find(moment, history), history):
                yield f"{describe(moment)}, which should never happen{_limit(moment)}: {found.what}", found.at
        case doc.InOrder(in_order=moments):
            yield from _in_order(moments, history)
        case doc.AnswersWithin(answers_within=limit):
            yield from _answers(limit, history)
        case doc.InterruptedWithin(interrupted_within=limit):
            yield from _interruptions(limit, history)
        case doc.SilenceAtMost(silence_at_most=limit):
            yield from _silences(limit, history)
        case doc.Lasts(lasts=bounds):
            if not _inside(bounds, history.seconds):
                yield f"the call lasted {history.seconds:g} s, not {_bounds(bounds)} s", history.seconds
        case doc.Ends(ends=ending):
            yield from _ending(ending, history)
        case _:
            yield from _times(expectation, history)


# ------------------------------------------------------------------------------------------- things that happen


def describe(moment: doc.Moment) -> str:
    """What it would be, in a few words: `the agent says “hello”`."""
    match moment:
        case doc.AgentSays(agent_says=text):
            return f"the agent says {shown(text)}"
        case doc.CallerHears(caller_hears=text):
            return f"the caller hears {shown(text)}"
        case doc.AgentHears(agent_hears=text):
            return f"the agent hears {shown(text)}"
        case doc.Event(event=name, where=where):
            return f"the event {name}{_conditions(where)}"
        case doc.Tool(tool=name, arguments=arguments, result=result, fails=fails):
            ending = "" if result is None else f", with {shown(result)} in its result"
            ending += "" if fails is None else ", failing" if fails else ", not failing"
            return f"a call of the tool {name}{_conditions(arguments)}{ending}"
        case doc.ModelReads(model_reads=text, role=role):
            return f"the language model reads {shown(text)}" + (f" from {role}" if role else "")


def _conditions(conditions: dict[str, Any]) -> str:
    if not conditions:
        return ""
    return " with " + ", ".join(f"{path} {_condition(wanted)}" for path, wanted in conditions.items())


def _condition(wanted: Any) -> str:
    if not isinstance(wanted, doc.Comparison):
        return f"= {wanted!r}" if not (isinstance(wanted, str) and expression(wanted)) else f"like {wanted}"
    given = [name for name in type(wanted).model_fields if name in wanted.model_fields_set]
    return " and ".join(f"{name} {getattr(wanted, name)!r}" for name in given)


def _find(moment: doc.Moment, history: History) -> list[Occurrence]:
    match moment:
        case doc.AgentSays(agent_says=text):
            found = [(m.at, shown(m.text)) if said(text, m.text) else None for m in history.messages]
        case doc.CallerHears(caller_hears=text):
            found = [(m.at, shown(m.heard)) if said(text, m.heard) else None for m in history.messages]
        case doc.AgentHears(agent_hears=text):
            found = [(at, shown(heard)) if said(text, heard) else None for at, heard in history.transcripts]
        case doc.Event():
            messages = history.out if moment.seen_by == "journal" else list(history.client_messages())
            found = [(at, _short(message)) if _is(moment, message) else None for at, message in messages]
        case doc.Tool():
            found = [(use.at, use.shown()) if _called(moment, use) else None for use in history.tools]
        case doc.ModelReads(model_reads=text, role=role):
            found = [
                next(((asked.at, f"{r}: {t}") for r, t in asked.messages if role in (None, r) and said(text, t)), None)
                for asked in history.asked
            ]
    return [Occurrence(each[0], each[1], number) for number, each in enumerate(found) if each is not None]


def _is(event: doc.Event, message: dict[str, Any]) -> bool:
    if message.get("type") != event.event:
        return False
    return all(_holds(wanted, _first(path, payload(message), message)) for path, wanted in event.where.items())


def _first(path: str, *documents: Any) -> Any:
    return next((value for document in documents if (value := at_path(document, path)) is not MISSING), MISSING)


def _called(tool: doc.Tool, use: ToolUse) -> bool:
    return (
        use.name == tool.tool
        and all(_holds(wanted, at_path(use.arguments, path)) for path, wanted in tool.arguments.items())
        and (tool.result is None or said(tool.result, use.result or ""))
        and (tool.fails is None or (use.done_at is not None and use.is_error == tool.fails))
    )


def _holds(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, doc.Comparison):
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        return (
            ("equals" not in wanted.model_fields_set or same(wanted.equals, value))
            and (wanted.contains is None or (isinstance(value, str) and said(wanted.contains, value)))
            and (wanted.above is None or (number is not None and number > wanted.above))
            and (wanted.below is None or (number is not None and number < wanted.below))
        )
    pattern = expression(wanted) if isinstance(wanted, str) else None
    return same(wanted, value) if pattern is None else isinstance(value, str) and pattern.search(value) is not None


def _short(message: dict[str, Any]) -> str:
    text = str(next((value for key, value in message.items() if key != "type"), ""))
    return f"{message['type']} {text}" if len(text) < 200 else f"{message['type']} {text[:200]}…"


def _in_time(
    moment: doc.Moment, found: Sequence[Occurrence], history: History, previous: float = 0.0
) -> list[Occurrence]:
    if moment.within is None:
        return list(found)
    return [each for each in found if each.at <= _since(moment, each.at, history, previous) + moment.within + EPSILON]


def _since(moment: doc.Moment, at: float, history: History, previous: float) -> float:
    """From when the time is counted that something which happened `at` may take."""
    match moment.since:
        case "start":
            return 0.0
        case "previous":
            return previous
        case "caller":
            return max((deed.until for deed in history.deeds if deed.until <= at + EPSILON), default=0.0)


def _limit(moment: doc.Moment) -> str:
    if moment.within is None:
        return ""
    since = {"caller": "of the caller's last word", "start": "of the beginning", "previous": "of the one before"}
    return f" within {moment.within:g} s {since[moment.since]}"


def _times(moment: doc.Moment, history: History) -> Iterator[Complaint]:
    found = _find(moment, history)
    in_time = _in_time(moment, found, history)
    wanted = moment.times
    if wanted is None and not in_time:
        yield _not_found(moment, found, history)
    elif isinstance(wanted, int) and len(in_time) != wanted:
        yield _count(moment, in_time, f"{wanted}"), None
    elif isinstance(wanted, doc.Bounds) and not _inside(wanted, len(in_time)):
        yield _count(moment, in_time, _bounds(wanted)), None


def _count(moment: doc.Moment, found: Sequence[Occurrence], wanted: str) -> str:
    when = f" (at {', '.join(f'{each.at:.1f} s' for each in found)})" if found else ""
    return f"{describe(moment)}{_limit(moment)}: {len(found)} times{when}, not {wanted}"


def _not_found(moment: doc.Moment, late: Sequence[Occurrence], history: History, previous: float = 0.0) -> Complaint:
    if late:
        each = late[0]
        after = each.at - _since(moment, each.at, history, previous)
        return f"{describe(moment)}: after {after:.2f} s, not{_limit(moment)}", each.at
    match moment:
        case doc.AgentSays():
            instead = [shown(message.text) for message in history.messages]
        case doc.CallerHears():
            instead = [shown(message.heard) for message in history.messages]
        case doc.AgentHears():
            instead = [shown(text) for _, text in history.transcripts]
        case doc.Event(event=name):
            messages = history.out if moment.seen_by == "journal" else list(history.client_messages())
            instead = [_short(message) for _, message in messages if message.get("type") == name][:5]
        case doc.Tool():
            instead = [use.shown() for use in history.tools]
        case doc.ModelReads():
            instead = [f"{len(history.asked)} requests without it"]
    there_was = "; there was: " + ", ".join(instead) if instead else ""
    return f"this never happened: {describe(moment)}{there_was}", None


def _in_order(moments: Sequence[doc.Moment], history: History) -> Iterator[Complaint]:
    previous, used = 0.0, set[tuple[str, int]]()
    for index, moment in enumerate(moments):
        kind = doc.verb(type(moment))
        found = [
            each for each in _find(moment, history) if each.at >= previous - EPSILON and (kind, each.number) not in used
        ]
        in_time = _in_time(moment, found, history, previous)
        if not in_time:
            text, at = _not_found(moment, found, history, previous)
            before = f"after {describe(moments[index - 1])} (at {previous:.1f} s), " if index else ""
            yield f"in order, number {index + 1}: {before}{text}", at
            return
        previous = in_time[0].at
        used.add((kind, in_time[0].number))


def _inside(bounds: doc.Bounds, value: float) -> bool:
    low, high = bounds.at_least, bounds.at_most
    return (low is None or value >= low - EPSILON) and (high is None or value <= high + EPSILON)


def _bounds(bounds: doc.Bounds) -> str:
    parts = [("at least", bounds.at_least), ("at most", bounds.at_most)]
    return " and ".join(f"{word} {value:g}" for word, value in parts if value is not None)


# ---------------------------------------------------------------------------------------------- the whole call


def _first_sounds(history: History) -> list[float]:
    """When the agent began to be heard, or, without sound, to be read."""
    if history.stretches:
        return [stretch.begin for stretch in history.stretches]
    return [message.at for message in history.messages]


def _turns(history: History) -> list[tuple[Deed, float]]:
    """What the caller said that asks for an answer, and until when it can come: the next time they do something."""
    turns: list[tuple[Deed, float]] = []
    acts = [deed for deed in history.deeds if deed.kind not in ("noise", "hums")]
    for index, deed in enumerate(acts):
        if deed.is_turn:
            turns.append((deed, acts[index + 1].at if index + 1 < len(acts) else history.seconds))
    return turns


def _answers(limit: float, history: History) -> Iterator[Complaint]:
    sounds = _first_sounds(history)
    for deed, until in _turns(history):
        answer = next((at for at in sounds if at >= deed.until - EPSILON), None)
        if answer is not None and answer - deed.until <= limit + EPSILON and answer <= until + EPSILON:
            continue
        if answer is None or answer > until + EPSILON:
            if until - deed.until < limit:
                continue  # the caller went on before an answer was late
            yield f"{shown(deed.text)} was not answered", deed.until
        else:
            yield f"{shown(deed.text)} was answered after {answer - deed.until:.2f} s, not within {limit:g} s", answer


def _interruptions(limit: float, history: History) -> Iterator[Complaint]:
    interruptions = [at for at, message in history.client_messages() if message["type"] == "interruption"]
    for deed in history.deeds:
        if deed.kind != "barges_in":
            continue
        after = next((at - deed.at for at in interruptions if at >= deed.at), None)
        if after is None:
            yield f"{shown(deed.text)} did not interrupt the agent", deed.at
        elif after > limit + EPSILON:
            yield (
                f"{shown(deed.text)} interrupted the agent after {after:.2f} s, not within {limit:g} s",
                deed.at + after,
            )


def _silences(limit: float, history: History) -> Iterator[Complaint]:
    sounds = sorted(
        [(stretch.begin, stretch.end) for stretch in history.stretches]
        + [(deed.at, deed.until) for deed in history.deeds if deed.is_sound]
    )
    for begin, end in _agents_turns(history):
        at = begin
        for first, last in [*((s, e) for s, e in sounds if e > begin and s < end), (end, end)]:
            if first - at > limit + EPSILON:
                yield f"nothing was heard for {first - at:.2f} s, from {at:.2f} s on; at most {limit:g} s", at
            at = max(at, last)


def _agents_turns(history: History) -> Iterator[tuple[float, float]]:
    """From the end of what the caller said, or the beginning, until the agent has said all it had to say."""
    complete = [at for at, message in history.out if message["type"] == "agent_response_complete"]
    sounds = _first_sounds(history)
    begins = [(deed.until, until) for deed, until in _turns(history)]
    if history.greets:
        begins.insert(0, (0.0, history.deeds[0].at if history.deeds else history.seconds))
    for begin, until in begins:
        answered = next((at for at in sounds if at >= begin - EPSILON), until)
        end = next((at for at in complete if at >= answered - EPSILON), until)
        yield begin, min(end, until)


def _ending(wanted: doc.Ending, history: History) -> Iterator[Complaint]:
    ending = history.ending
    by = "caller" if history.hung_up else "agent"
    given = wanted.model_fields_set
    checks: list[tuple[str, bool, str]] = [
        ("by", wanted.by == by, f"the {by} ended the call, not the {wanted.by}"),
        ("code", wanted.code == ending.close_code, f"the call ended with {ending.close_code}, not {wanted.code}"),
        (
            "reason",
            wanted.reason is not None and said(wanted.reason, ending.reason),
            f"the call ended because of {shown(ending.reason)}, not {shown(wanted.reason or '')}",
        ),
        (
            "error_type",
            wanted.error_type == ending.error_type,
            f"the call ended with the error {ending.error_type}, not {wanted.error_type}",
        ),
    ]
    for name, holds, complaint in checks:
        if name in given and not holds:
            yield complaint, history.seconds
