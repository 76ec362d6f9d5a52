"""Hold chaos conversations: `run_seed(7)` draws one, holds it under virtual time and says what was wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, cast

import msgspec

from antiphon.audio.formats import parse_format
from antiphon.engines.registry import Registry
from antiphon.session.engines import load_engines
from antiphon.simulation.call import Call, join
from antiphon.simulation.loop import run

from . import engines, rambling
from .caller import ChaosCaller
from .case import Case, draw_case
from .faults import CLINGS
from .invariants import Evidence, Violation, violations

__all__ = ["hold_case", "run_case", "run_seed", "shrink"]

LONGEST = 400.0
"Simulated seconds after which a conversation is taken never to end."


def run_seed(seed: int) -> list[Violation]:
    """Draw the case of a seed, hold it, judge it."""
    return run_case(draw_case(seed))


def run_case(case: Case) -> list[Violation]:
    """Hold a case, judge it."""
    return violations(hold_case(case))


def hold_case(case: Case) -> Evidence:
    """Hold a case under virtual time."""
    return run(_hold(case))


@cache
def _registry() -> Registry:
    registry = Registry()
    registry.add("llm", "rambling", rambling.create)
    for kind in ("llm", "stt", "tts"):
        registry.add(kind, "chaos", engines.factory(kind, registry))
    return registry


async def _hold(case: Case) -> Evidence:
    loop = asyncio.get_running_loop()
    agent = case.agent()
    before = asyncio.all_tasks()
    config = agent.conversation_config
    loaded = await load_engines(agent, _registry(), models={})
    caller = ChaosCaller(
        case.script,
        audio_format=parse_format(config.asr.user_input_audio_format),
        chunk=case.chunk,
        tool_delay=case.tool_delay,
    )
    call, began = Call(), loop.time()  # the voice has rehearsed by now, with faults of its own
    ended_at, crash = None, ""
    try:
        async with asyncio.timeout(LONGEST):
            await join(agent, loaded, caller, call, conversation_id="conv_chaos")
        ended_at = loop.time() - began
    except TimeoutError:
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        crash = _described(error)
    finally:
        await loaded.aclose()
    await asyncio.sleep(0)
    if asyncio.all_tasks() - before:
        await asyncio.sleep(3 * CLINGS)  # an engine that does not let go is given as long as it takes
    leaked = [repr(task) for task in asyncio.all_tasks() - before]
    return Evidence(
        case=case,
        heard=caller.heard,
        did=caller.did,
        journal=call.journal,
        output=parse_format(config.tts.agent_output_audio_format),
        ended_at=ended_at,
        leaked=leaked,
        crash=crash,
    )


def _described(error: BaseException) -> str:
    """An exception group by what is in it."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_described(one) for one in cast("BaseExceptionGroup[BaseException]", error).exceptions)
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    where = f" ({traceback.tb_frame.f_code.co_name}, line {traceback.tb_lineno})" if traceback is not None else ""
    return f"{type(error).__name__}: {error}{where}"


# -------------------------------------------------------------------------------------------------------- shrinking


def shrink(case: Case, fails: Callable[[Case], bool] | None = None, *, attempts: int = 300) -> Case:
    """The smallest case that fails in the same way: acts left out, faults left out, values made plain, one by one.

    `fails`: whether a case does; by default, whether it breaks a rule that `case` breaks.
    """
    if fails is None:
        rules = {violation.rule for violation in run_case(case)}

        def breaks_the_same(smaller: Case) -> bool:
            return bool(rules & {violation.rule for violation in run_case(smaller)})

        fails = breaks_the_same
    going_on = True
    while going_on and attempts > 0:
        going_on = False
        for smaller in _smaller(case):
            attempts -= 1
            if attempts < 0:
                break
            if fails(smaller):
                case, going_on = smaller, True
                break
    return case


_PLAIN = Case(seed=0, script=[])
_SETTINGS = ("calls_tools", "tool_delay", "greets", "partials", "thinking", "words", "chunk", "buffer", "alignment")


def _smaller(case: Case) -> Iterator[Case]:
    """Cases that are simpler by one thing."""

    def but(**changes: Any) -> Case:
        return msgspec.structs.replace(case, **changes)

    for index in range(len(case.script) - 1):
        yield but(script=[*case.script[:index], *case.script[index + 1 :]])
    for kind, faults in case.faults.items():
        yield but(faults={other: rest for other, rest in case.faults.items() if other != kind})
        for name in faults:
            kept = {other: rest for other, rest in faults.items() if other != name}
            yield but(faults={**case.faults, kind: kept})
    for name in case.turn:
        yield but(turn={other: value for other, value in case.turn.items() if other != name})
    for name in (
        "calls_tools",
        "tool_delay",
        "greets",
        "partials",
        "thinking",
        "words",
        "chunk",
        "buffer",
        "alignment",
    ):
        if getattr(case, name) != getattr(_PLAIN, name):
            yield but(**{name: getattr(_PLAIN, name)})
    for index, act in enumerate(case.script):
        for name, plain in (("after", 0.3), ("seconds", 0.6), ("when", "quiet")):
            if getattr(act, name) != plain:
                simpler = msgspec.structs.replace(act, **{name: plain})
                yield but(script=[*case.script[:index], simpler, *case.script[index + 1 :]])
