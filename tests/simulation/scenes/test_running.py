"""Scenes as a whole: the same every time, for any number of processes, and honest about what could not be run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon.simulation.scenes.reading import Located, read_scenes
from antiphon.simulation.scenes.running import Options, Result, run_scene, run_scenes

Read = Callable[[str], list[Located]]
Play = Callable[..., Result]

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "scenes"
RANDOM = (
    "caller: [{says: long please, after: [0.2, 1.5]}, {hums: mm-hm, into: [0.5, 2]}, {noise: [0.1, 0.3]}]\nexpect: []\n"
)


def test_one_seed_gives_one_journal(play: Play) -> None:
    """Byte for byte; another seed, another call."""
    first, again, other = play(RANDOM, seed=1), play(RANDOM, seed=1), play(RANDOM, seed=2)
    assert first.journal == again.journal
    assert first.timeline == again.timeline
    assert first.journal != other.journal


def test_the_scenes_own_seed_is_taken(play: Play) -> None:
    """Where no other is given."""
    assert play("seed: 5\n" + RANDOM).seed == 5
    assert play("seed: 5\n" + RANDOM).journal == play(RANDOM, seed=5).journal


def test_the_number_of_processes_changes_nothing() -> None:
    """Results, journals and their order."""
    scenes = [*read_scenes(EXAMPLES / "orders.scene.yaml"), *read_scenes(EXAMPLES / "persona.scene.yaml")]
    alone, together = (list(run_scenes(scenes, Options(), jobs=jobs, repeat=2)) for jobs in (1, 2))
    assert len(alone) == 6
    assert [(r.name, r.seed, r.status, r.failures, r.timeline, r.journal) for r in alone] == [
        (r.name, r.seed, r.status, r.failures, r.timeline, r.journal) for r in together
    ]


def test_a_repetition_has_the_next_seed() -> None:
    """So that what hangs on chance shows."""
    (scene,) = read_scenes(EXAMPLES / "persona.scene.yaml")
    assert [result.seed for result in run_scenes([scene], Options(seed=40), repeat=3)] == [40, 41, 42]


def test_the_journal_can_be_kept(tmp_path: Path) -> None:
    """One file for each call, named after it."""
    (scene,) = read_scenes(EXAMPLES / "chat.scene.yaml")
    result = run_scene(scene, Options(record=tmp_path / "kept"))
    file = tmp_path / "kept" / "chat.a-visitor-chats.0.jsonl"
    assert result.recorded == str(file)
    assert file.read_bytes() == result.journal
    assert "journal" in json.loads(result.journal.splitlines()[0])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("agent: nothing.json\ncaller: []\n", "nothing.json: cannot be read"),
        ("agents: nowhere\nagent: desk\ncaller: []\n", "nowhere: there is no such folder"),
        ("agents: .\nagent: desk\ncaller: []\n", "no agent with id 'desk'"),
        ("agent: {}\ncaller: []\n", "conversation_config: is missing"),
        (
            "agent: {conversation_config: {}}\ncaller: []\n",
            "give the scene `engines: {llm: ...}`, or run it with --engines agent",
        ),
        (
            "agent: {conversation_config: {antiphon: {llm: {engine: scripted, rules: [{say: x}]}}}}\ncaller: []\n"
            "tools: {t: {returns: 1}}\n",
            "tools.t: the agent has no tool of this name (it has: none)",
        ),
        (
            "agent: {conversation_config: {conversation: {text_only: true}, antiphon: {llm: {engine: scripted, rules: "
            "[{say: x}]}}}}\ncaller: [says: hello]\n",
            "caller.0: the agent is text only: it cannot hear; use `types`",
        ),
        (
            "agent: {conversation_config: {antiphon: {llm: {engine: scripted, rules: [{say: x}]}}}}\n"
            "initiation: {config_override: {agent: {first_message: hi}}}\ncaller: []\n",
            "the agent does not allow overriding agent.first_message",
        ),
    ],
)
def test_what_cannot_be_run_is_broken_and_says_why(read: Read, text: str, complaint: str) -> None:
    """Not failed: nothing was tried."""
    (located,) = read("name: x\n" + text)
    result = run_scene(located, Options())
    assert result.status == "broken"
    (failure,) = result.failures
    assert complaint in failure.message


def test_an_agent_is_found_in_a_folder_with_its_tools(tmp_path: Path, read: Read) -> None:
    """As `antiphon serve` takes it."""
    (tmp_path / "desk.json").write_text(
        json.dumps(
            {
                "conversation_config": {
                    "agent": {"prompt": {"tool_ids": ["look"]}},
                    "antiphon": {
                        "llm": {"engine": "scripted", "rules": [{"when": "x", "say": "y"}, {"say": "Found you."}]}
                    },
                }
            }
        )
    )
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "look.json").write_text(json.dumps({"type": "client", "name": "look"}))
    (located,) = read(
        """\
        name: x
        agents: .
        agent: desk
        caller: [says: hello there]
        tools: {look: {returns: 1}}
        expect: [agent_says: found you]
        """
    )
    result = run_scene(located, Options())
    assert result.status == "passed", result.failures


EXAMPLE_SCENES = [located for file in sorted(EXAMPLES.glob("*.scene.yaml")) for located in read_scenes(file)]


@pytest.mark.parametrize("located", EXAMPLE_SCENES, ids=lambda located: located.scene.name)
def test_the_examples_pass(located: Located) -> None:
    """Each of them, with its own seed and two others."""
    for seed in (None, 1, 2):
        result = run_scene(located, Options(seed=seed))
        assert result.status == "passed", result.failures
