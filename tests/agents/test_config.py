"""An agent's document is read leniently where that is harmless, and its mistakes are told by file and JSON path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.agents.config import ALWAYS_SENT, AgentConfig, ConversationConfig
from antiphon.audio.formats import FORMATS
from antiphon.errors import ConfigError

# Machine-made from GetAgentResponseModel in the OpenAPI document that @elevenlabs/cli 1.3.0 carries: every property of
# `conversation_config` and `platform_settings` is there, with its default or a value of its type.
PULLED = json.loads((Path(__file__).parent / "pulled_agent.json").read_text())


def parse(conversation_config: Any, **document: Any) -> AgentConfig:
    return AgentConfig.parse(
        {"conversation_config": conversation_config, **document}, agent_id="desk", path="desk.json"
    )


def config(**blocks: Any) -> ConversationConfig:
    return parse(blocks).conversation_config


def complaint(conversation_config: Any, **document: Any) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse(conversation_config, **document)
    return caught.value.path, caught.value.message


# ----------------------------------------------------------------------------------------------------- defaults


def test_what_an_agent_does_not_say_has_the_default_of_the_api() -> None:
    """rest.md 2.1: an empty configuration is a whole one."""
    empty = config()
    assert empty.agent.first_message == ""
    assert empty.agent.language == "en"
    assert empty.agent.prompt.llm == "gemini-2.5-flash"
    assert empty.agent.prompt.temperature == 0.0
    assert empty.agent.prompt.max_tokens == -1
    assert empty.asr.user_input_audio_format == empty.tts.agent_output_audio_format == "pcm_16000"
    assert empty.turn.turn_timeout == 7.0
    assert empty.turn.initial_wait_time is None
    assert empty.turn.silence_end_call_timeout == -1.0
    assert empty.turn.turn_eagerness == "normal"
    assert empty.turn.soft_timeout_config.timeout_seconds == -1.0
    assert empty.conversation.max_duration_seconds == 600.0
    assert not empty.conversation.text_only
    settings = parse({}).platform_settings
    assert not settings.auth.enable_auth
    assert settings.overrides.conversation_config_override == {}
    assert settings.call_limits.agent_concurrency_limit == -1


def test_an_agent_without_engines_gets_the_usual_ones() -> None:
    """`antiphon` is optional, so is each part of it, so is the name in a part."""
    assert {kind: getattr(config().antiphon, kind) for kind in ("llm", "stt", "tts", "vad")} == {
        "llm": {"engine": "openai"},
        "stt": {"engine": "pocketsphinx"},
        "tts": {"engine": "espeak"},
        "vad": {"engine": "silero"},
    }
    named = config(antiphon={"llm": {"engine": "scripted", "rules": []}, "tts": {"pitch": 40}, "stt": None}).antiphon
    assert named.llm == {"engine": "scripted", "rules": []}
    assert named.tts == {"engine": "espeak", "pitch": 40}
    assert named.stt == {"engine": "pocketsphinx"}
    assert named.max_silence_seconds == 3.0


def test_an_agent_without_a_name_is_called_by_its_id() -> None:
    """The name is for people; there always is one."""
    assert parse({}).name == "desk"
    assert parse({}, name="Front desk").name == "Front desk"


# --------------------------------------------------------------------------------------------------- leniency


def test_an_agent_pulled_from_the_vendor_is_understood() -> None:
    """Every property that the API can give parses, and the document stays whole."""
    agent = AgentConfig.parse(PULLED, agent_id="agent_pulled")
    assert agent.name == "Pulled"
    assert agent.raw == PULLED
    assert agent.conversation_config.agent.prompt.llm == PULLED["conversation_config"]["agent"]["prompt"]["llm"]
    assert {tool.type for tool in agent.conversation_config.agent.prompt.tools} >= {
        "client",
        "webhook",
        "system",
        "mcp",
    }
    assert list(agent.conversation_config.language_presets) == ["de"]


def test_null_means_the_default() -> None:
    """Clients write null for whatever they do not set (rest.md 8.2), at any depth."""
    nulls = {
        "agent": {
            "first_message": None,
            "language": None,
            "prompt": {"llm": None, "tools": None, "knowledge_base": None},
        },
        "turn": None,
        "tts": {"voice_id": None, "speed": None},
        "conversation": {"client_events": None, "max_duration_seconds": None},
        "language_presets": None,
    }
    assert config(**nulls) == config()


def test_a_null_temperature_is_not_the_default() -> None:
    """The default is 0; null leaves it to the model."""
    assert config(agent={"prompt": {"temperature": None}}).agent.prompt.temperature is None


def test_numbers_may_be_text_and_text_may_be_a_number() -> None:
    """Forms and templates send both."""
    read = config(turn={"turn_timeout": "10"}, conversation={"max_duration_seconds": "90"}, agent={"first_message": 42})
    assert read.turn.turn_timeout == 10.0
    assert read.conversation.max_duration_seconds == 90.0
    assert read.agent.first_message == "42"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.dictionaries(st.text(max_size=8).filter(lambda key: not key.startswith(("conv", "name", "plat"))), JSON), JSON
)
def test_what_is_not_understood_is_kept(extra: dict[str, Any], more: Any) -> None:
    """Unknown keys change no view, and the document keeps them."""
    document = {**extra, "conversation_config": {"agent": {"first_message": "Hi", "x_unknown": more}, "x_new": more}}
    agent = AgentConfig.parse(document, agent_id="desk")
    assert agent.raw == document
    assert agent.conversation_config == config(agent={"first_message": "Hi"})


@given(JSON)
def test_any_document_is_an_agent_or_a_config_error(document: Any) -> None:
    """Nothing else comes out, whatever stands in the place of the configuration or of a block of it."""
    for nonsense in (
        document,
        {"agent": document},
        {"agent": {"prompt": {"tools": [document]}}},
        {"antiphon": document},
    ):
        problem = None
        try:
            parse(nonsense)
        except ConfigError as error:
            problem = error
        assert problem is None or problem.path.startswith("desk.json: conversation_config")


def test_the_document_is_the_agents_own() -> None:
    """Who made it may go on changing it."""
    document: dict[str, Any] = {"conversation_config": {"agent": {"prompt": {"tool_ids": ["a"]}}}}
    agent = AgentConfig.parse(document, agent_id="desk")
    document["conversation_config"]["agent"]["prompt"]["tool_ids"].append("b")
    assert agent.raw["conversation_config"]["agent"]["prompt"]["tool_ids"] == ["a"]


# ---------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("blocks", "path", "words"),
    [
        ({"turn": {"turn_timeout": 0.5}}, "turn.turn_timeout", "1 to 30 seconds"),
        ({"turn": {"turn_timeout": 31}}, "turn.turn_timeout", "1 to 30 seconds"),
        ({"turn": {"turn_timeout": "soon"}}, "turn.turn_timeout", "number, not 'soon'"),
        ({"turn": {"silence_end_call_timeout": 0}}, "turn.silence_end_call_timeout", "-1 for never"),
        ({"turn": {"turn_eagerness": "keen"}}, "turn.turn_eagerness", "'patient', 'normal' or 'eager', not 'keen'"),
        ({"turn": 7}, "turn", "an object, not 7"),
        ({"conversation": {"max_duration_seconds": 0}}, "conversation.max_duration_seconds", "greater than 0"),
        ({"conversation": {"max_duration_seconds": "inf"}}, "conversation.max_duration_seconds", "finite"),
        (
            {"asr": {"user_input_audio_format": "mp3_44100"}},
            "asr.user_input_audio_format",
            "ulaw_8000, not 'mp3_44100'",
        ),
        ({"tts": {"agent_output_audio_format": "pcm"}}, "tts.agent_output_audio_format", "pcm_16000"),
        ({"tts": {"speed": 3}}, "tts.speed", "less than or equal to 2"),
        ({"tts": {"stability": -0.1}}, "tts.stability", "greater than or equal to 0"),
        ({"agent": {"prompt": {"timezone": "Mars/Base"}}}, "agent.prompt.timezone", "not 'Mars/Base'"),
        ({"agent": {"prompt": {"timezone": "../../etc/passwd"}}}, "agent.prompt.timezone", "time zone"),
        ({"antiphon": {"llm": {"engine": 7}}}, "antiphon.llm", "name"),
        ({"antiphon": {"stt": "pocketsphinx"}}, "antiphon.stt", "an object, not 'pocketsphinx'"),
        ({"agent": {"prompt": {"tools": [{"name": "ok"}, {}]}}}, "agent.prompt.tools.1.name", "is missing"),
        ({"agent": {"prompt": {"tools": [{"name": "two words"}]}}}, "agent.prompt.tools.0.name", "pattern"),
        ({"agent": {"prompt": {"knowledge_base": [{"name": "x"}]}}}, "agent.prompt.knowledge_base.0.id", "is missing"),
    ],
)
def test_a_mistake_is_told_by_its_json_path(blocks: dict[str, Any], path: str, words: str) -> None:
    """File, path, what was expected, and what stands there instead."""
    where, message = complaint(blocks)
    assert where == f"desk.json: conversation_config.{path}"
    assert words in message


def test_a_file_that_is_no_agent_is_told_so() -> None:
    """Of all keys only `conversation_config` has to be there."""
    with pytest.raises(ConfigError, match=r"^desk\.json: conversation_config: is missing$"):
        AgentConfig.parse({"name": "package"}, agent_id="desk", path="desk.json")
    with pytest.raises(ConfigError, match=r"^conversation_config: should be an object$"):
        AgentConfig.parse({"conversation_config": []}, agent_id="desk")


def test_the_other_mistakes_are_counted() -> None:
    """One at a time is told, and how many are left."""
    _, message = complaint({"turn": {"turn_timeout": 0}, "tts": {"speed": 9}})
    assert message.endswith("(and 1 more)")


def test_limits_can_be_switched_off() -> None:
    """-1 is the API's word for never."""
    off = config(turn={"turn_timeout": -1, "initial_wait_time": -1, "silence_end_call_timeout": -1}).turn
    assert (off.turn_timeout, off.initial_wait_time, off.silence_end_call_timeout) == (-1, -1, -1)


@pytest.mark.parametrize("name", FORMATS)
def test_every_audio_format_can_be_asked_for(name: str) -> None:
    """In each direction by itself."""
    read = config(asr={"user_input_audio_format": name}, tts={"agent_output_audio_format": "ulaw_8000"})
    assert read.asr.user_input_audio_format == name
    assert read.tts.agent_output_audio_format == "ulaw_8000"


# ------------------------------------------------------------------------------------------------- client events


def test_without_a_list_a_client_gets_the_published_default_and_corrections() -> None:
    """The list of the AsyncAPI contract, `agent_response_correction`, and what always goes."""
    assert config().effective_client_events == {
        "audio",
        "interruption",
        "agent_response",
        "agent_response_correction",
        "user_transcript",
        "tentative_user_transcript",
        "conversation_initiation_metadata",
        "ping",
        "client_tool_call",
    }


def test_a_list_replaces_the_default() -> None:
    """Only what no client can do without is added; an empty list is a list."""
    assert config(conversation={"client_events": ["audio"]}).effective_client_events == {"audio"} | ALWAYS_SENT
    assert config(conversation={"client_events": []}).effective_client_events == ALWAYS_SENT
    assert {"conversation_initiation_metadata", "ping", "client_tool_call"} == ALWAYS_SENT


def test_system_tools_are_those_that_are_switched_on() -> None:
    """Null is off; a tool without a name or a type has those of its key (rest.md 2.1, system tools)."""
    tools = config(
        agent={"prompt": {"built_in_tools": {"end_call": {}, "skip_turn": None}}}
    ).agent.prompt.built_in_tools
    assert {name: (tool.name, tool.type) for name, tool in tools.items()} == {"end_call": ("end_call", "system")}
