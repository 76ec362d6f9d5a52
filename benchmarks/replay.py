"""Whether recorded conversations come out again: calls on the real clock, journaled, held again from the journal alone.

Every call has a barge-in, a cough, a tool call, a typed message, a filler and speculative answers, on a machine that is
busy with the others; engines are scripted, with delays. What is compared is every event and every observation, with its
time to the microsecond.

    python -m benchmarks.replay [--calls 200] [--at-once 40]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

from antiphon.agents.config import AgentConfig
from antiphon.engines.registry import Registry
from antiphon.protocol import events as ev
from antiphon.session.engines import load_engines
from antiphon.simulation.call import BargeIn, Call, HangUp, Say, Speak, Step, hold
from antiphon.simulation.replay import replay

AGENT: dict[str, Any] = {
    "conversation_config": {
        "agent": {
            "first_message": "Hello there.",
            "prompt": {"tools": [{"type": "client", "name": "look", "expects_response": True}]},
        },
        "turn": {"soft_timeout_config": {"timeout_seconds": 0.4, "message": "Hm."}, "speculative_turn": True},
        "antiphon": {
            "llm": {
                "engine": "scripted",
                "rules": [
                    {"when": "look", "say": "One moment.", "tool": {"name": "look"}, "then": "I see {result}."},
                    {"when": "slow", "say": "That took a while.", "delay": 1.0},
                    {"say": "This answer is long enough, with all its words, to be cut off in the middle of it."},
                ],
            },
            "stt": {
                "engine": "scripted",
                "lines": ["tell me", "stop that now please", "look", "slow"],
                "partials": True,
                "delay": 0.05,
            },
            "tts": {"engine": "scripted", "seconds_per_char": 0.03, "delay": 0.01},
            "vad": {"engine": "energy"},
        },
    }
}
SCRIPT: list[Step] = [
    Speak(0.5, after=0.2),
    BargeIn(0.7, into=0.5),
    Speak(0.5, after=0.2),
    Say(ev.UserMessage(text="hello"), after=0.1),
    BargeIn(0.1, into=0.3),
    Speak(0.5, after=0.2),
    HangUp(2.0),
]


async def _calls(count: int, at_once: int) -> list[Call]:
    agent = AgentConfig.parse(AGENT, agent_id="benchmark")
    engines = await load_engines(agent, Registry(), models={})
    turn = asyncio.Semaphore(at_once)

    async def one(index: int) -> Call:
        async with turn:
            await asyncio.sleep(0.37 * (index % at_once) / at_once)
            return await hold(
                agent, engines, SCRIPT, tools={"look": lambda _: "a tree"}, chunk=(0.02, 0.1, 0.25)[index % 3]
            )

    async with asyncio.TaskGroup() as tasks:
        held = [tasks.create_task(one(index)) for index in range(count)]
    return [task.result() for task in held]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=40)
    arguments = parser.parse_args()
    calls = asyncio.run(_calls(arguments.calls, arguments.at_once))
    began = time.process_time()
    replayed = [replay(call.journal) for call in calls]
    took = time.process_time() - began
    same = [one for one in replayed if one.same]
    results = sum(one.results for one in replayed)
    minutes = sum(call.heard[-1][0] for call in calls) / 60
    print(f"{len(same)} of {len(calls)} calls on the real clock came out again exactly: {results} results compared,")
    print(f"{minutes:.1f} minutes of conversation, {1000 * took / minutes:.1f} ms of CPU a minute to hold them again")
    for one in replayed:
        if not one.same:
            print("\n".join(one.diff[:30]))
            break
    raise SystemExit(0 if len(same) == len(calls) else 1)


if __name__ == "__main__":
    main()
