"""Scenes in the words of their files, with an agent that answers by a few rules."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon.simulation.scenes.reading import Located, read_scenes
from antiphon.simulation.scenes.running import Options, Result, run_scene

Read = Callable[[str], list[Located]]
Play = Callable[..., Result]

AGENT = """
name: scene
agent:
  platform_settings: {overrides: {conversation_config_override: {conversation: {client_events: true}, tts: true}}}
  conversation_config:
    agent:
      first_message: Hello, how can I help?
      prompt:
        prompt: You are the desk.
        tools:
          - {type: client, name: order_status, description: Where an order is, expects_response: true,
             response_timeout_secs: 5, parameters: {type: object, properties: {order: {type: string}}}}
          - {type: webhook, name: room_service, description: Order food, expects_response: true,
             api_schema: {url: "https://hotel.example/food", method: POST,
                          request_body_schema: {type: object, properties: {dish: {type: string}}}}}
    antiphon:
      llm:
        engine: scripted
        rules:
          - {when: "^long",
             say: "This is a very long answer, with many words in it, so that there is time to interrupt."}
          - {when: "order (\\\\w+)", say: Let me see., tool: {name: order_status, parameters: {order: "{1}"}},
             then: "It is {result}.", error: I cannot look.}
          - {when: "bring (\\\\w+)", say: At once., tool: {name: room_service, parameters: {dish: "{1}"}},
             then: "The kitchen says {result}."}
          - {when: "^slow", say: That took long., delay: 2.0}
          - {say: You said something.}
"""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The scenes of a text."""

    def read_text(text: str) -> list[Located]:
        file = tmp_path / "a.scene.yaml"
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return read_scenes(file)

    return read_text


@pytest.fixture
def play(read: Read) -> Play:
    """What comes of the scene that the agent and these lines are: `play("caller: ...", seed=3)`."""

    def run(text: str, *, seed: int | None = None) -> Result:
        (located,) = read(AGENT + textwrap.dedent(text))
        return run_scene(located, Options(seed=seed))

    return run
