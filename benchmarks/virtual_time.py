"""How much computing one minute of conversation takes: 1,000 of them in virtual time, on one core.

Each has 8 turns, a barge-in and a tool call; 100 ms of sound per message both ways, every message encoded and decoded
as on the wire, voice activity scored every 32 ms, the journal on. Engines are scripted, so what is measured is ours.

    python -m benchmarks.virtual_time [--calls 1000]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
import time
from typing import Any

from antiphon.agents.config import AgentConfig
from antiphon.engines.registry import Registry
from antiphon.protocol import events as ev
from antiphon.session.engines import Engines, load_engines
from antiphon.simulation.call import BargeIn, Call, Speak, Step, Wait, hold
from antiphon.simulation.loop import run

LINES = [
    "hello there",
    "tell me about the hours",
    "no wait",
    "where is order 42",
    "can I book a table",
    "for two people",
    "at seven",
    "thank you goodbye",
]
MOST = 60
"Milliseconds of CPU for a simulated minute."
AGENT: dict[str, Any] = {
    "name": "Benchmark",
    "conversation_config": {
        "agent": {
            "first_message": "Good morning, this is the front desk, how can I help you today?",
            "prompt": {
                "tools": [
                    {
                        "type": "client",
                        "name": "order_status",
                        "description": "Where an order is",
                        "parameters": {"type": "object", "properties": {"order": {"type": "string"}}},
                        "expects_response": True,
                    }
                ]
            },
        },
        "antiphon": {
            "llm": {
                "engine": "scripted",
                "rules": [
                    {
                        "when": "hours",
                        "say": "We are open from eight in the morning until six in the evening, Monday to Friday.",
                    },
                    {
                        "when": "order (\\w+)",
                        "tool": {"name": "order_status", "parameters": {"order": "{1}"}},
                        "then": "Order {1} is {result}.",
                    },
                    {"say": "Certainly, I have made a note of that for you."},
                ],
            },
            "stt": {"engine": "scripted", "lines": LINES, "delay": 0.05},
            "tts": {"engine": "scripted", "seconds_per_char": 0.06},
            "vad": {"engine": "energy"},
        },
    },
}
SCRIPT: list[Step] = [
    Speak(seconds=1.0),
    Speak(seconds=1.5),
    BargeIn(seconds=1.0, into=1.5),
    Speak(seconds=1.5),
    Speak(seconds=1.5),
    Speak(seconds=1.0),
    Speak(seconds=1.0),
    Speak(seconds=1.5),
    Wait(8.0),
    Speak(seconds=0.1),
]


async def _call(agent: AgentConfig, engines: Engines) -> Call:
    return await hold(agent, engines, SCRIPT, tools={"order_status": lambda _: "on its way"})


async def _engines(agent: AgentConfig) -> Engines:
    return await load_engines(agent, Registry(), models={})


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000)
    calls: int = parser.parse_args().calls
    agent = AgentConfig.parse(AGENT, agent_id="benchmark")
    engines = asyncio.run(_engines(agent))
    first = run(_call(agent, engines))
    seconds = first.heard[-1][0]
    turns = len(first.events(ev.UserTranscript))
    print(
        f"one call: {seconds:.1f} s, {turns} turns, {len(first.events(ev.Interruption))} barge-in, "
        f"{len(first.events(ev.ClientToolCall))} tool call, {len(first.journal)} journal lines"
    )
    digests: set[str] = set()
    began = time.process_time()
    for _ in range(calls):
        call = run(_call(agent, engines))
        digests.add(hashlib.sha256(b"".join(call.journal)).hexdigest())
    spent = time.process_time() - began
    print(
        f"{calls} calls: {spent:.1f} s of CPU, {spent / calls * 1000:.1f} ms each, {len(digests)} different journal(s)"
    )
    minute = spent / calls * 1000 / (seconds / 60)
    print(f"a simulated minute: {minute:.1f} ms (at most {MOST})")
    sys.exit(0 if minute <= MOST and len(digests) == 1 else 1)


if __name__ == "__main__":
    main()
