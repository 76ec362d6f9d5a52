"""A chaos conversation before it is held: an agent, a caller, and what goes wrong, all drawn from one seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from antiphon.agents.config import AgentConfig

USER_LINES = (
    "where is my order",
    "stop that please",
    "mm-hm",
    "yeah",
    "my number is four seven",
    "and the other one",
    "no I meant something else",
    "thank you",
    "",
)
"What speech-to-text understands, in an order that the seed has."
SEVERITIES: Mapping[str, float] = {
    "stall": 0.15,
    "dribble": 0.15,
    "429": 0.15,
    "clinging": 0.2,
    "jitter": 0.4,
    "drop": 0.1,
    "reorder": 0.1,
}
"How likely each fault is in an engine that has it."


class Act(msgspec.Struct, frozen=True):
    """Something that the caller does."""

    kind: Literal["speak", "type", "burst", "mute", "busy", "wait", "hang_up"]
    when: Literal["quiet", "over", "now"] = "quiet"
    "When the agent has finished; when it speaks; or as soon as the act before is done."
    after: float = 0.3
    "Seconds after that."
    seconds: float = 0.6
    "Length of the speech, or of the wait."


class Case(msgspec.Struct, frozen=True):
    """Everything that a conversation follows from."""

    seed: int
    script: list[Act]
    faults: dict[str, dict[str, float]] = {}
    "Of each kind of engine: fault -> probability."
    turn: dict[str, Any] = {}
    "The agent's `turn` block."
    greets: bool = True
    interruptible: bool = True
    max_silence: float = 3.0
    words: int = 12
    "Of an answer, at most."
    thinking: float = 0.2
    "Seconds to an answer's first word, at most."
    calls_tools: bool = False
    tool_delay: float = 0.5
    "Seconds until the client answers a tool call."
    partials: bool = True
    alignment: bool = True
    chunk: float = 0.1
    buffer: float = 0.0
    "Seconds of sound that the client gathers before it plays."

    def agent(self) -> AgentConfig:
        """The agent, with every engine behind `chaos`."""
        rng = random.Random(f"{self.seed}/lines")
        lines = rng.choices(USER_LINES, weights=[3] * (len(USER_LINES) - 1) + [1], k=40)
        tool: dict[str, Any] = {
            "type": "client",
            "name": "look",
            "description": "Looks it up",
            "parameters": {"type": "object", "properties": {}},
            "expects_response": True,
            "response_timeout_secs": 5,
        }
        events = ["audio", "interruption", "agent_response", "agent_response_correction", "user_transcript"]
        engines: dict[str, Any] = {
            "llm": {"engine": "rambling", **self._rambles()},
            "stt": {"engine": "scripted", "lines": lines, "partials": self.partials, "delay": 0.1},
            "tts": {"engine": "scripted", "alignment": self.alignment},
        }
        chaotic = {
            kind: {"engine": "chaos", "of": engine, "seed": self.seed, "faults": self.faults[kind]}
            if self.faults.get(kind)
            else engine
            for kind, engine in engines.items()
        }
        document: dict[str, Any] = {
            "conversation_config": {
                "agent": {
                    "first_message": "Hello there, how can I help you today?" if self.greets else "",
                    "prompt": {"tools": [tool]},
                },
                "turn": self.turn,
                "conversation": {
                    "client_events": [name for name in events if self.interruptible or name != "interruption"]
                },
                "antiphon": {**chaotic, "vad": {"engine": "energy"}, "max_silence_seconds": self.max_silence},
            }
        }
        return AgentConfig.parse(document, agent_id="chaos")

    def _rambles(self) -> dict[str, Any]:
        return {"seed": self.seed, "words": self.words, "thinking": self.thinking, "calls_tools": self.calls_tools}


def draw_case(seed: int) -> Case:
    """The case of that seed."""
    rng = random.Random(f"{seed}/case")
    turn: dict[str, Any] = {
        "turn_timeout": rng.choice((2.0, 5.0, 7.0)),
        "speculative_turn": rng.random() < 0.4,
        "turn_eagerness": rng.choice(("eager", "normal", "patient")),
        "transcribe_on_disabled_interruptions": rng.random() < 0.3,
    }
    if rng.random() < 0.3:
        turn["soft_timeout_config"] = {"timeout_seconds": rng.choice((0.6, 1.5)), "message": "One moment."}
    vendor = rng.random() < 0.03
    faults = {
        kind: {name: probability for name, probability in SEVERITIES.items() if rng.random() < 0.4}
        for kind in ("llm", "stt", "tts")
        if rng.random() < 0.6
    }
    if vendor:
        faults["llm"] = {"stall": 0.5}
    return Case(
        seed=seed,
        script=_script(rng, patient=vendor),
        faults=faults,
        turn=turn,
        greets=rng.random() < 0.7,
        interruptible=rng.random() < 0.9,
        max_silence=0.0 if vendor else 3.0,
        words=rng.choice((4, 12, 30)),
        thinking=rng.choice((0.0, 0.3, 1.5, 4.0)),
        calls_tools=rng.random() < 0.3,
        tool_delay=rng.choice((0.0, 0.5, 4.0)),
        partials=rng.random() < 0.7,
        alignment=rng.random() < 0.8,
        chunk=rng.choice((0.02, 0.1, 0.1, 0.1, 0.25)),
        buffer=rng.uniform(0.0, 0.1),
    )


def _script(rng: random.Random, *, patient: bool) -> list[Act]:
    acts: list[Act] = []
    for _ in range(rng.randint(1, 5)):
        dice = rng.random()
        when = rng.choices(("quiet", "over", "now"), weights=(5, 4, 2))[0]
        after = rng.choice((0.0, 0.3, rng.uniform(0.0, 2.0)))
        if dice < 0.45:
            acts.append(Act("speak", when, after, rng.choice((0.3, 0.5, 0.8, 1.5, 3.0))))
        elif dice < 0.6:
            acts.append(Act("speak", when, after, rng.uniform(0.05, 0.2)))  # a cough
        elif dice < 0.75:
            acts.append(Act("type", when, after))
        elif dice < 0.82:
            acts.append(Act("burst", when, after, rng.uniform(0.3, 2.0)))
        elif dice < 0.86:
            acts.append(Act("mute", when, after))
        elif dice < 0.9:
            acts.append(Act("busy", when, after))
        else:
            acts.append(Act("wait", "now", 0.0, rng.uniform(0.5, 6.0)))
    if patient:
        acts.append(Act("wait", "now", 0.0, 75.0))
    elif rng.random() < 0.4:
        acts.append(Act("wait", "now", 0.0, 12.0))
    acts.append(Act("hang_up", rng.choice(("quiet", "over", "now", "now")), rng.uniform(0.0, 2.0)))
    return acts
