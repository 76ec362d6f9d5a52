"""Agents and calls for scenes: a scripted agent, a scripted caller, virtual time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from antiphon.agents.config import AgentConfig
from antiphon.engines.registry import Registry
from antiphon.record.recording import Recording
from antiphon.session.engines import load_engines
from antiphon.simulation.call import Call, Step, Tool, hold
from antiphon.simulation.loop import run

Hold = Callable[..., Call]

RULES = [
    {
        "when": "^long",
        "say": "This is a very long answer, with many words in it, so that there is time to interrupt it.",
    },
    {
        "when": "order (\\w+)",
        "tool": {"name": "order_status", "parameters": {"order": "{1}"}},
        "then": "It is {result}.",
    },
    {
        "when": "^check",
        "say": "One moment.",
        "tool": {"name": "order_status", "parameters": {}},
        "then": "It is {result}.",
    },
    {"when": "where", "context": "pricing", "say": "You are on the pricing page."},
    {"when": "^slow", "say": "That took long.", "delay": 3.0},
    {"say": "You said something."},
]


def agent_document(
    *, lines: Sequence[str] = (), conversation: Mapping[str, Any] | None = None, **blocks: Mapping[str, Any]
) -> dict[str, Any]:
    """An agent that hears `lines` in order and answers by RULES; `blocks` replace parts of conversation_config."""
    config: dict[str, Any] = {
        "agent": {
            "first_message": "Hello, how can I help?",
            "prompt": {
                "tools": [
                    {
                        "type": "client",
                        "name": "order_status",
                        "description": "Where an order is",
                        "parameters": {"type": "object", "properties": {"order": {"type": "string"}}},
                        "expects_response": True,
                        "response_timeout_secs": 5,
                    }
                ]
            },
        },
        "conversation": conversation or {},
        "antiphon": {
            "llm": {"engine": "scripted", "rules": RULES},
            "stt": {"engine": "scripted", "lines": list(lines)},
            "tts": {"engine": "scripted"},
            "vad": {"engine": "energy"},
        },
    }
    for name, block in blocks.items():
        config[name] = {**config.get(name, {}), **block}
    return {"name": "Scene", "conversation_config": config}


@pytest.fixture
def call() -> Hold:
    """Hold a scripted call under virtual time: `call(script, lines=[...], tools={...}, turn={...}, chunk=0.1)`."""

    def hold_a_call(
        script: Sequence[Step],
        *,
        tools: Mapping[str, Tool] | None = None,
        chunk: float = 0.1,
        registry: Registry | None = None,
        recording: Recording | None = None,
        **document: Any,
    ) -> Call:
        async def scene() -> Call:
            agent = AgentConfig.parse(agent_document(**document), agent_id="scene")
            engines = await load_engines(agent, registry or Registry(), models={})
            try:
                return await hold(agent, engines, script, tools=tools, chunk=chunk, recording=recording)
            finally:
                await engines.aclose()

        return run(scene())

    return hold_a_call
