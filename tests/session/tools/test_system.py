"""System tools: what the model is offered, and what comes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.dialogue.outcome import EndCall, Outcome, PlayTones, SkipTurn, SwitchLanguage, Transfer

AGENTS = {
    "transfers": [
        {"agent_id": "agent_billing", "condition": "the user asks about an invoice", "delay_ms": 1500},
        {"node_id": "n1", "condition": "never: a node of a workflow"},
        {
            "agent_id": "agent_sales",
            "condition": "the user wants to buy",
            "transfer_message": "One moment, {{name}}.",
            "enable_transferred_agent_first_message": True,
            "preserve_client_tts_overrides": True,
        },
    ]
}


def system(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "system", "name": name, **more}


@pytest.fixture
def call(bench: Any) -> Any:
    def run(name: str, arguments: Any = None, params: Any = None, **options: Any) -> Outcome:
        one = bench(system(name, params=params or {}), **options)
        return asyncio.run(one.call(name, **(arguments or {})))

    return run


def test_the_model_is_told_what_a_tool_is_for(bench: Any) -> None:
    """In the author's words, else in ours; the conditions of transfers stand in the description."""
    one = bench(
        system("end_call"),
        system("skip_turn", description="Be quiet."),
        system("transfer_to_agent", params=AGENTS),
        system("play_keypad_touch_tone", pre_tool_speech="force"),
    )
    specs = {spec.name: spec for spec in one.runner.specs}
    assert specs["end_call"].description.startswith("End the conversation")
    assert specs["skip_turn"].description == "Be quiet."
    transfer = specs["transfer_to_agent"]
    assert "agent_number 0: the user asks about an invoice" in transfer.description
    assert "agent_number 2: the user wants to buy" in transfer.description
    assert "workflow" not in transfer.description
    assert transfer.parameters["properties"]["agent_number"]["enum"] == [0, 2]
    assert specs["play_keypad_touch_tone"].description.endswith(
        "tell the user in a few words what you are about to do."
    )


def test_only_what_can_work_is_offered(bench: Any) -> None:
    """One language cannot be changed, text has no tones, an empty list leads nowhere, the unknown is unknown."""
    tools = [
        system("language_detection"),
        system("transfer_to_agent"),
        system("play_keypad_touch_tone"),
        system("voicemail_detection"),
        system("knowledge_base_rag"),
    ]
    one = bench(*tools, languages=["en"], sounds=False)
    assert one.runner.specs == []
    assert asyncio.run(one.call("voicemail_detection", reason="beep")).is_error
    assert asyncio.run(one.call("knowledge_base_rag")).is_error


def test_end_call(call: Any) -> None:
    """The message is said, the reason recorded."""
    outcome = call("end_call", {"reason": "done", "message": "Goodbye!"})
    assert outcome.action == EndCall("done", "Goodbye!")
    assert not outcome.is_error
    assert call("end_call", {}).is_error


def test_skip_turn(call: Any) -> None:
    """No argument is needed."""
    assert call("skip_turn").action == SkipTurn("")


@pytest.mark.parametrize(("asked", "meant"), [("de", "de"), ("DE", "de"), ("de-AT", "de"), ("pt_br", "pt-br")])
def test_language_detection(call: Any, asked: str, meant: str) -> None:
    """Among the agent's languages, however the model writes them."""
    outcome = call("language_detection", {"reason": "r", "language": asked}, languages=["en", "de", "pt-br"])
    assert outcome.action == SwitchLanguage(meant)


def test_a_language_that_is_not_there_is_an_error(call: Any) -> None:
    """The model is told which there are, before and after."""
    outcome = call("language_detection", {"reason": "r", "language": "fr"}, languages=["en", "de"])
    assert outcome == Outcome("there is no language 'fr' here; there are en, de", is_error=True)


def test_the_languages_are_in_the_schema(bench: Any) -> None:
    """Own first, each once."""
    one = bench(system("language_detection"), languages=["en", "de", "en"])
    assert one.runner.specs[0].parameters["properties"]["language"]["enum"] == ["en", "de"]


def test_a_language_changes_only_at_the_start_where_the_author_wants(bench: Any) -> None:
    """Two turns of the user; whoever has changed by then may change again (openapi.json)."""
    turns = [2]
    tool = system("language_detection", params={"only_at_conversation_start": True})
    ask = {"reason": "r", "language": "de"}

    def fresh() -> Any:
        return bench(tool, languages=["en", "de"], user_turns=lambda: turns[0])

    early, late = fresh(), fresh()
    assert asyncio.run(early.call("language_detection", **ask)).action == SwitchLanguage("de")
    turns[0] = 3
    assert asyncio.run(early.call("language_detection", **ask)).action == SwitchLanguage("de")
    assert asyncio.run(late.call("language_detection", **ask)).is_error


def test_transfer_to_agent(call: Any) -> None:
    """By the number that the model was shown, with all that the author has set."""
    assert call("transfer_to_agent", {"agent_number": 0}, AGENTS).action == Transfer("agent_billing", delay=1.5)
    assert call("transfer_to_agent", {"agent_number": "2"}, AGENTS, variables={"name": "Ada"}).action == Transfer(
        "agent_sales", message="One moment, Ada.", greets=True, keeps_tts_overrides=True
    )


@pytest.mark.parametrize("number", [1, 3, -1, None, "x"])
def test_a_transfer_to_nobody_is_an_error(call: Any, number: Any) -> None:
    """Also to a node of a workflow."""
    outcome = call("transfer_to_agent", {"agent_number": number}, AGENTS)
    assert outcome.is_error
    assert outcome.action is None


def test_transfer_to_number_has_no_telephone(call: Any) -> None:
    """The model can say so."""
    arguments = {"transfer_number": "+1555", "client_message": "a", "agent_message": "b"}
    outcome = call("transfer_to_number", arguments)
    assert outcome.is_error
    assert "no telephone line" in outcome.text


def test_play_keypad_touch_tone(call: Any) -> None:
    """As the keys are, without what people write between them."""
    outcome = call("play_keypad_touch_tone", {"dtmf_tones": "1w2 3-#"}, {"suppress_turn_after_dtmf": True})
    assert outcome.action == PlayTones("1w23#", silent_after=True)


@pytest.mark.parametrize("keys", ["", "12x", "1" * 101])
def test_keys_that_are_none_are_an_error(call: Any, keys: str) -> None:
    """Said before any sounds."""
    outcome = call("play_keypad_touch_tone", {"dtmf_tones": keys})
    assert outcome.is_error
    assert outcome.action is None


def test_voicemail_detection(call: Any) -> None:
    """The message is left, with its variables; without one the call just ends."""
    params = {"voicemail_message": "Hello {{name}}, {{unknown}} {{secret__x}}"}
    outcome = call(
        "voicemail_detection", {"reason": "beep"}, params, variables={"name": "Ada", "secret__x": "hidden-value"}
    )
    assert outcome.action == EndCall("beep", "Hello Ada, {{unknown}} {{secret__x}}")
    assert call("voicemail_detection", {"reason": "beep"}).action == EndCall("beep", "")


def test_a_system_tool_may_have_another_name(bench: Any) -> None:
    """`params.system_tool_type` says what it does."""
    one = bench(system("hang_up", params={"system_tool_type": "end_call"}))
    assert asyncio.run(one.call("hang_up", reason="r")).action == EndCall("r", "")
