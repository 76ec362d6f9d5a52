"""Scene files: what they may hold, and how a mistake is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon.errors import ConfigError
from antiphon.simulation.scenes.document import BargesIn, InOrder, Persona, Says
from antiphon.simulation.scenes.reading import Located, SceneError, read_scenes, scene_files

Read = Callable[[str], list[Located]]

HEAD = "name: x\nagent: a.json\n"


def complaints(read: Read, text: str) -> list[str]:
    """What is said about a file, without its path."""
    with pytest.raises(SceneError) as caught:
        read(text)
    return [problem.partition("a.scene.yaml:")[2] for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HEAD, "1: caller: is missing"),
        ("agent: a.json\ncaller: []\n", "1: name: is missing"),
        (HEAD + "caller: []\nexpects: []\n", "4: expects: is no key that is known here"),
        (
            HEAD + "caller:\n  - sais: hello\n",
            "4: caller.0: should be a step: an object with exactly one of the keys says",
        ),
        (
            HEAD + "caller:\n  - says: hello\n    types: hello\n",
            "4: caller.0: should be a step: an object with exactly one",
        ),
        (HEAD + "caller:\n  - says: hello\n    efter: 1\n", "5: caller.0.efter: is no key that is known here"),
        (HEAD + "caller:\n  - says: 12\n", "4: caller.0.says: should be a valid string, not 12"),
        (HEAD + "caller:\n  - stays_silent: -1\n", "4: caller.0.stays_silent: should be greater than or equal to 0"),
        (HEAD + "caller:\n  - says: hello\n    after: [2, 1]\n", "5: caller.0.after: should be"),
        (HEAD + "caller:\n  - sends: {text: x}\n", "4: caller.0.sends: should have a text as its `type`"),
        (HEAD + "caller:\n  - hears: /(/\n", "4: caller.0.hears: /(/ is no regular expression: missing )"),
        (HEAD + "caller: {persona: x}\n", "3: caller.llm: is missing"),
        (HEAD + "caller: {persona: x, llm: {model: y}}\n", "3: caller.llm: should name its `engine`"),
        (
            HEAD + "caller: []\nexpect:\n  - event: interrupt\n",
            "5: expect.0.event: should be an event of the server, as interruption",
        ),
        (HEAD + "caller: []\nexpect:\n  - times: 3\n", "5: expect.0: should be an expectation"),
        (
            HEAD + "caller: []\nexpect:\n  - never: {tool: x, times: 2}\n",
            "5: expect.0.never: cannot have `times` in here",
        ),
        (
            HEAD + "caller: []\nexpect:\n  - agent_says: x\n    since: previous\n",
            "5: expect.0: can have `since: previous` in `in_order` only",
        ),
        (
            HEAD + "caller: []\nexpect:\n  - in_order:\n    - {tool: x, times: 2}\n",
            "6: expect.0.in_order.0: cannot have",
        ),
        (HEAD + "caller: []\nexpect:\n  - lasts: {}\n", "5: expect.0.lasts: should have at_least, at_most or both"),
        (HEAD + "caller: []\nexpect:\n  - ends: {}\n", "5: expect.0.ends: should have one of by, code, reason"),
        (HEAD + "caller: []\ntools: {t: {after: 1}}\n", "4: tools.t: should have exactly one of returns, fails, never"),
        (HEAD + "caller: []\ntools: {t: {returns: 1, fails: x}}\n", "4: tools.t: should have exactly one of"),
        (HEAD + "caller: []\nengines: {ears: {engine: x}}\n", "4: engines: ears is none of vad, turn, stt, llm, tts"),
        (HEAD + "caller: []\nengines: {llm: {}}\n", "4: engines: should name its `engine`"),
        (HEAD + "caller: []\nchunk: 2\n", "4: chunk: should be less than or equal to 1, not 2"),
        (HEAD + "caller: []\nseed: yes\n", "4: seed: should be a valid integer"),
        ("scenes: []\n", "1: scenes: "),
        ("agent: a.json\nscenes:\n  - name: x\n    caller: 3\n", "4: caller: should be an object, not 3"),
        (HEAD + "caller: [\n", "4: is not YAML: "),
        (HEAD + "caller: []\nname: y\n", "4: name: is given twice"),
        ("- name: x\n", "1: should be an object"),
        ("", " there is no scene in it"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_place(read: Read, text: str, complaint: str) -> None:
    """One sentence, in the words of the file."""
    (told,) = complaints(read, text)
    assert told.startswith(complaint)


def test_every_mistake_of_a_file_is_told_at_once(read: Read) -> None:
    """Of all its scenes, in its order."""
    text = HEAD + "caller:\n  - says: 1\n  - hears: /(/\n---\nname: y\nagent: 3\ncaller: []\n"
    assert [told.split(":")[0] for told in complaints(read, text)] == ["4", "5", "8"]


def test_names_are_not_given_twice(read: Read) -> None:
    """Results are told apart by them."""
    scene = HEAD + "caller: []\n"
    assert complaints(read, f"{scene}---\n{scene}") == ["5: name: there is a scene 'x' already, in line 1"]


def test_a_file_holds_several_scenes(read: Read) -> None:
    """As documents, and as a list with defaults beside it."""
    scenes = read(
        """\
        name: one
        agent: a.json
        caller: [says: hello]
        ---
        agent: b.json
        seed: 3
        scenes:
          - name: two
            caller: [barges_in: wait]
          - name: three
            seed: 4
            caller: {persona: somebody, llm: {engine: scripted}}
        """
    )
    assert [(s.scene.name, s.scene.agent, s.scene.seed, s.line) for s in scenes] == [
        ("one", "a.json", 0, 1),
        ("two", "b.json", 3, 8),
        ("three", "b.json", 4, 10),
    ]
    assert isinstance(scenes[0].scene.caller, list)
    assert isinstance(scenes[0].scene.caller[0], Says)
    assert isinstance(scenes[1].scene.caller, list)
    assert isinstance(scenes[1].scene.caller[0], BargesIn)
    assert isinstance(scenes[2].scene.caller, Persona)


def test_words_that_yaml_once_took_for_something_else_are_words(read: Read) -> None:
    """`no`, `on`, a time of the day, a date: what callers say."""
    steps = "".join(f"  - says: {words}\n" for words in ("no", "on", "yes", "12:30", "2026-01-01"))
    (located,) = read(f"{HEAD}caller:\n{steps}")
    assert [step.says for step in located.scene.caller] == ["no", "on", "yes", "12:30", "2026-01-01"]


@pytest.mark.parametrize(("text", "value"), [("1e1", 10), ("0x10", 16), ("0o17", 15), ("007", 7), ("+1.5", 1.5)])
def test_numbers_are_those_of_the_newer_yaml(read: Read, text: str, value: float) -> None:
    """1e1 is one, 007 is seven."""
    (located,) = read(f"{HEAD}caller: []\npatience: {text}\n")
    assert located.scene.patience == value


def test_json_is_read_too(read: Read) -> None:
    """It is YAML."""
    document = {"name": "x", "agent": {}, "caller": [{"says": "hi"}], "expect": [{"in_order": [{"agent_says": "a"}]}]}
    (located,) = read(json.dumps(document, indent=1))
    assert isinstance(located.scene.expect[0], InOrder)


def test_steps_and_expectations_know_their_lines(read: Read) -> None:
    """For what is said when they fail."""
    (located,) = read(HEAD + "caller:\n  - says: a\n  - says: b\nexpect:\n  - answers_within: 1\n")
    assert located.place("caller.1").endswith("a.scene.yaml:5")
    assert located.place("expect.0").endswith("a.scene.yaml:7")
    assert located.place("").endswith("a.scene.yaml:1")


def test_a_folder_is_searched_for_scenes(tmp_path: Path) -> None:
    """Of the right ending, at any depth, in the order of their names; a file is taken whatever its name."""
    for name in ("b.scene.yaml", "a.scene.json", "c.yaml", "in/d.scene.yml", "e.scene.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("")
    found = [str(file.relative_to(tmp_path)) for file in scene_files(tmp_path)]
    assert found == ["a.scene.json", "b.scene.yaml", "in/d.scene.yml"]
    assert scene_files(tmp_path / "c.yaml") == [tmp_path / "c.yaml"]
    with pytest.raises(ConfigError, match="no such file"):
        scene_files(tmp_path / "nothing")


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    """Not a traceback."""
    file = tmp_path / "a.scene.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SceneError, match="cannot be read"):
        read_scenes(file)
