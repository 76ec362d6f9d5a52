"""What an agent can do to its own conversation, in whole calls: end it, skip a turn, change its language or itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from antiphon.agents.config import AgentConfig
from antiphon.agents.folder import FolderWorkspace
from antiphon.engines.registry import Registry
from antiphon.protocol import events as ev
from antiphon.session.casting import Casting
from antiphon.session.engines import load_engines
from antiphon.simulation.call import Call, Speak, Step, Wait, hold
from antiphon.simulation.loop import run
from antiphon.simulation.replay import replay

ENGINES: dict[str, Any] = {
    "tts": {"engine": "scripted"},
    "vad": {"engine": "energy"},
    "echo_gate": False,
}


def document(
    name: str, tool: Mapping[str, Any] | None, then: str | None, lines: Sequence[str], **config: Any
) -> dict[str, Any]:
    """An agent that uses its system tool `name` when it hears "please"."""
    rule: dict[str, Any] = {"when": "please", "tool": {"name": name, "parameters": tool or {}}}
    if then is not None:
        rule["then"] = then
    agent: dict[str, Any] = {"prompt": {"built_in_tools": {name: {}}}, **config.pop("agent", {})}
    return {
        "conversation_config": {
            "agent": agent,
            "antiphon": {
                **ENGINES,
                "llm": {"engine": "scripted", "rules": [rule, {"say": "Hello from the first."}]},
                "stt": {"engine": "scripted", "lines": list(lines)},
            },
            **config,
        }
    }


def call(document: dict[str, Any], script: Sequence[Step], workspace: FolderWorkspace | None = None) -> Call:
    async def scene() -> Call:
        agent = AgentConfig.parse(document, agent_id="first")
        registry = Registry()
        engines = await load_engines(agent, registry, models={})
        casting = Casting(registry, models={}, workspace=workspace, base=engines)
        try:
            return await hold(agent, engines, script, chunk=0.02, casting=casting, workspace=workspace)
        finally:
            await casting.aclose()
            await engines.aclose()

    held = run(scene())
    assert replay(held.journal).same
    return held


def test_the_agent_ends_the_call() -> None:
    """With its last words, which are heard."""
    ends = document("end_call", {"reason": "all done", "message": "Goodbye then."}, "", ["end it please"])
    held = call(ends, [Speak(), Wait(20.0)])
    assert held.texts[-1] == "agent: Goodbye then."
    assert held.ending is not None
    assert held.ending.close_code == 1000
    assert held.heard[-1][0] < 10.0


def test_the_agent_skips_its_turn() -> None:
    """And is silent until the user speaks, however long that takes."""
    skips = document("skip_turn", {"reason": "let them think"}, "", ["wait please", "hello"])
    held = call(skips, [Speak(), Wait(30.0), Speak(after=30.0, patient=False), Wait(1.0)])
    assert held.texts == ["user: wait please", "user: hello", "agent: Hello from the first."]


def test_the_agent_changes_its_language() -> None:
    """The model goes on in it, with the preset's voice."""
    switches = document(
        "language_detection",
        {"reason": "they speak German", "language": "de"},
        "Gern.",
        ["auf Deutsch please", "hello"],
        language_presets={"de": {"overrides": {"tts": {"voice_id": "anna"}}}},
    )
    held = call(switches, [Speak(), Speak(), Wait(1.0)])
    assert "agent: Gern." in held.texts
    (result,) = held.events(ev.AgentToolResponse) or [None]
    assert result is None or not result.is_error


def test_another_agent_takes_over(tmp_path: Path) -> None:
    """It greets, answers from then on with its own mind, and knows what was said before."""
    other = {
        "agent_id": "second",
        "conversation_config": {
            "agent": {"first_message": "The second desk, hello."},
            "antiphon": {
                **ENGINES,
                "llm": {"engine": "scripted", "rules": [{"say": "Hello from the second."}]},
                "stt": {"engine": "scripted", "lines": ["hello again"]},
            },
        },
    }
    (tmp_path / "second.json").write_bytes(msgspec.json.encode(other))
    params = {
        "transfers": [
            {
                "agent_id": "second",
                "condition": "they ask for it",
                "transfer_message": "One moment, I put you through.",
                "enable_transferred_agent_first_message": True,
            }
        ]
    }
    first = document("transfer_to_agent", {"agent_number": 0}, "", ["put me through please", "hello"])
    first["conversation_config"]["agent"]["prompt"]["built_in_tools"] = {"transfer_to_agent": {"params": params}}
    workspace = FolderWorkspace.load(tmp_path)
    held = call(first, [Speak(), Wait(6.0), Speak(), Wait(1.0)], workspace)
    assert [text for text in held.texts if text.startswith("agent")] == [
        "agent: One moment, I put you through.",
        "agent: The second desk, hello.",
        "agent: Hello from the second.",
    ]


def test_keypad_tones_are_heard() -> None:
    """In band: sound without words; then the model goes on."""
    dials = document("play_keypad_touch_tone", {"reason": "menu", "dtmf_tones": "12#"}, "Done.", ["dial please"])
    held = call(dials, [Speak(), Wait(1.0)])
    assert held.texts[-1] == "agent: Done."
    spoken = sum(len(piece.audio) for piece in held.events(ev.AgentAudio)) / 32_000
    assert spoken > 0.06 * 5 + 3 * 0.1
