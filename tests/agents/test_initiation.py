"""What a client asks for is checked, laid over the agent's configuration, and its variables are put into the texts."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.agents.config import AgentConfig
from antiphon.agents.initiation import initiate, time_variables
from antiphon.errors import RemoteProtocolError

ALLOWED = {
    "agent": {"first_message": True, "language": True, "prompt": {"prompt": True, "llm": False, "tool_ids": True}},
    "tts": {"voice_id": True, "speed": True},
    "conversation": {"max_duration_seconds": True},
}
CONFIG: dict[str, Any] = {
    "agent": {
        "first_message": "Hello {{name}}!",
        "language": "en",
        "prompt": {"prompt": "You help {{ name }} on {{day}}.", "tool_ids": ["a", "b"]},
        "dynamic_variables": {"dynamic_variable_placeholders": {"name": "friend", "day": "Monday"}},
    },
    "tts": {"voice_id": "v1"},
    "language_presets": {
        "de": {
            "overrides": {"agent": {"first_message": None}, "tts": {"voice_id": "v2"}},
            "first_message_translation": {"source_hash": "x", "text": "Hallo {{name}}!"},
            "soft_timeout_translation": {"source_hash": "x", "text": "Hmm, {{name}}..."},
        },
        "fr": {"overrides": {"agent": {"first_message": "Bonjour."}}, "first_message_translation": {"text": "Salut."}},
    },
}


def agent(config: Mapping[str, Any] = CONFIG, allowed: Any = ALLOWED, **overrides: Any) -> AgentConfig:
    settings = {"overrides": {"conversation_config_override": allowed, **overrides}}
    document = {"name": "Desk", "conversation_config": config, "platform_settings": settings, "x_kept": [1]}
    return AgentConfig.parse(document, agent_id="desk")


def begin(
    start: AgentConfig | None = None,
    override: Mapping[str, Any] | None = None,
    *,
    extra: Mapping[str, Any] | None = None,
    system: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
    **named: Any,
) -> AgentConfig:
    return initiate(
        start or agent(),
        config_override=override or {},
        dynamic_variables={**(variables or {}), **named},
        custom_llm_extra_body=extra or {},
        system_variables=system or {},
    )


def refusal(*args: Any, **kwargs: Any) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        begin(*args, **kwargs)
    assert caught.value.close_code == 1008
    return caught.value


def asking(prompt: str, **more: Any) -> AgentConfig:
    return agent({"agent": {"prompt": {"prompt": prompt}, **more}})


def prompt_of(started: AgentConfig) -> str:
    return started.conversation_config.agent.prompt.prompt


# ----------------------------------------------------------------------------------------------------- overrides


def test_an_allowed_override_replaces_what_the_agent_has() -> None:
    """Leaf by leaf; the rest stays, lists are replaced whole."""
    override = {"agent": {"first_message": "Hi.", "prompt": {"tool_ids": ["c"]}}, "tts": {"speed": "1.1"}}
    started = begin(override=override)
    config = started.conversation_config
    assert config.agent.first_message == "Hi."
    assert config.agent.prompt.tool_ids == ("c",)
    assert config.tts.speed == 1.1
    assert config.tts.voice_id == "v1"
    assert prompt_of(started) == "You help friend on Monday."
    assert started.raw["conversation_config"]["agent"]["first_message"] == "Hi."
    assert started.raw["x_kept"] == [1]


def test_an_empty_first_message_is_an_override() -> None:
    """It means: wait for the user (protocol.md 2.2)."""
    assert begin(override={"agent": {"first_message": ""}}).conversation_config.agent.first_message == ""


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ({"agent": {"prompt": {"llm": "gpt-5"}}}, "agent.prompt.llm"),
        ({"agent": {"prompt": {"custom_llm": {"url": "http://10.0.0.1"}}}}, "agent.prompt.custom_llm.url"),
        ({"tts": {"model_id": "x"}}, "tts.model_id"),
        ({"conversation": {"client_events": []}}, "conversation.client_events"),
        ({"antiphon": {"llm": {"engine": "scripted"}}}, "antiphon.llm.engine"),
        ({"agent": "x"}, "agent"),
        ({"turn": [1]}, "turn"),
        ({"agent": {"first_message": "ok"}, "asr": {"keywords": ["x"]}}, "asr.keywords"),
    ],
)
def test_what_the_agent_does_not_allow_is_refused_by_name(override: dict[str, Any], name: str) -> None:
    """The reason says which leaf, and which setting would allow it; the leaf fits into a close frame."""
    error = refusal(override=override)
    assert error.error_type == "override_error"
    assert name in str(error)[:123]
    assert f"platform_settings.overrides.conversation_config_override.{name}" in str(error)


def test_an_error_does_not_repeat_whatever_it_is_told() -> None:
    """Names are the client's to choose, and may be of any length."""
    assert len(str(refusal(override={"x" * 10_000: 1}))) < 1000
    assert len(str(refusal(variables={"system__" + "x" * 10_000: 1}))) < 1000


@pytest.mark.parametrize(
    "override",
    [
        {},
        {"agent": {}},
        {"agent": {"prompt": {}}, "tts": {}, "conversation": {}, "asr": None, "turn": {"soft_timeout_config": {}}},
        {"agent": {"prompt": {"llm": None}}, "tts": {"model_id": None}, "antiphon": None},
    ],
    ids=repr,
)
def test_what_says_nothing_is_no_override(override: dict[str, Any]) -> None:
    """Browsers send empty objects for all blocks, generated clients send nulls."""
    assert begin(override=override).raw == begin().raw


def test_permission_for_an_object_is_permission_for_all_in_it() -> None:
    """A shorter way to write it; only `true` is permission."""
    loose = agent(allowed={"tts": True, "agent": "yes", "turn": 1})
    assert begin(loose, {"tts": {"voice_id": "v9", "stability": 0.9}}).conversation_config.tts.voice_id == "v9"
    assert refusal(loose, {"agent": {"first_message": "x"}}).error_type == "override_error"
    assert refusal(loose, {"turn": {"turn_timeout": 3}}).error_type == "override_error"


@pytest.mark.parametrize("override", [{"text_only": True}, {"conversation": {"text_only": True}}], ids=repr)
@pytest.mark.parametrize("allowed", [{}, {"conversation": {}}, {"conversation": {"text_only": True}}], ids=repr)
def test_text_only_is_allowed_wherever_a_client_writes_it(override: dict[str, Any], allowed: dict[str, Any]) -> None:
    """Python writes it at the root, browsers under `conversation` (protocol.md 2.2)."""
    started = begin(agent(allowed=allowed), override)
    assert started.conversation_config.conversation.text_only
    assert started.raw["conversation_config"]["conversation"] == {"text_only": True}
    assert "text_only" not in started.raw["conversation_config"]


@pytest.mark.parametrize("override", [{"text_only": True}, {"conversation": {"text_only": True}}], ids=repr)
def test_text_only_can_be_forbidden(override: dict[str, Any]) -> None:
    """By an explicit false, and by nothing else."""
    error = refusal(agent(allowed={"conversation": {"text_only": False}}), override)
    assert error.error_type == "override_error"
    assert "conversation.text_only" in str(error)


def test_of_two_text_only_the_documented_place_counts() -> None:
    """The root is one client's peculiarity."""
    override = {"text_only": True, "conversation": {"text_only": False}}
    assert not begin(override=override).conversation_config.conversation.text_only


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"tts": {"speed": 9}}, "override of tts.speed: should be less"),
        ({"agent": {"first_message": {"text": "Hi"}}}, "override of agent.first_message"),
        ({"text_only": "perhaps"}, "override of conversation.text_only"),
        ({"conversation": {"max_duration_seconds": -5}}, "override of conversation.max_duration_seconds"),
    ],
)
def test_an_allowed_override_has_to_make_sense(override: dict[str, Any], words: str) -> None:
    """Else the client is told, in the words in which an agent's author would be."""
    error = refusal(override=override)
    assert error.error_type == "override_error"
    assert words in str(error)


def test_a_body_for_the_custom_model_needs_permission() -> None:
    """Unless it is empty: one client always sends it."""
    error = refusal(extra={"seed": 7})
    assert error.error_type == "override_error"
    assert "platform_settings.overrides.custom_llm_extra_body" in str(error)
    assert begin(agent(custom_llm_extra_body=True), extra={"seed": 7}).custom_llm_extra_body == {"seed": 7}
    assert begin(extra={}).custom_llm_extra_body == {}


# ----------------------------------------------------------------------------------------------------- languages


def test_another_language_brings_its_preset() -> None:
    """Translated texts, another voice; variables are put in afterwards."""
    config = begin(override={"agent": {"language": "de"}}, name="Ada").conversation_config
    assert config.agent.language == "de"
    assert config.agent.first_message == "Hallo Ada!"
    assert config.tts.voice_id == "v2"
    assert config.turn.soft_timeout_config.message == "Hmm, Ada..."


def test_a_preset_of_the_author_wins_over_a_translation_and_a_client_over_both() -> None:
    """From the general to the particular."""
    assert begin(override={"agent": {"language": "fr"}}).conversation_config.agent.first_message == "Bonjour."
    override = {"agent": {"language": "fr", "first_message": "Allô?"}}
    assert begin(override=override).conversation_config.agent.first_message == "Allô?"


def test_a_language_without_a_preset_changes_the_language_alone() -> None:
    """So does no override of the language: presets of the agent's own language are not applied."""
    config = begin(override={"agent": {"language": "it"}}).conversation_config
    assert (config.agent.language, config.agent.first_message, config.tts.voice_id) == ("it", "Hello friend!", "v1")


# ----------------------------------------------------------------------------------------------------- variables


def test_the_clients_variables_win_over_the_agents() -> None:
    """Null is no value."""
    started = begin(name="Ada", day=None)
    assert prompt_of(started) == "You help Ada on Monday."
    assert started.conversation_config.agent.first_message == "Hello Ada!"
    assert started.dynamic_variables["name"] == "Ada"


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (3, "3"), (2.5, "2.5"), (True, "true"), (False, "false"), ("", ""), (["a", 1], '["a", 1]')],
)
def test_values_are_put_in_as_json_writes_them(value: Any, text: str) -> None:
    """Texts without their quotation marks."""
    assert prompt_of(begin(asking("<{{v}}>"), v=value)) == f"<{text}>"


def test_variables_go_into_every_text_that_is_said_or_read() -> None:
    """Prompt, first message, farewell, fillers; and into nothing else."""
    config = {
        "agent": {
            "first_message": "1{{v}}",
            "max_conversation_duration_message": "2{{v}}",
            "prompt": {"prompt": "3{{v}}"},
        },
        "turn": {"soft_timeout_config": {"message": "4{{v}}", "additional_soft_timeout_messages": ["5{{v}}", "6"]}},
        "asr": {"keywords": ["{{v}}"]},
    }
    read = begin(agent(config), v="x").conversation_config
    assert (read.agent.first_message, read.agent.max_conversation_duration_message) == ("1x", "2x")
    assert read.agent.prompt.prompt == "3x"
    assert read.turn.soft_timeout_config.message == "4x"
    assert read.turn.soft_timeout_config.additional_soft_timeout_messages == ("5x", "6")
    assert read.asr.keywords == ("{{v}}",)


def test_a_variable_without_a_value_ends_the_conversation_before_it_begins() -> None:
    """All of them are named at once; names are case-sensitive."""
    error = refusal(asking("{{Name}} {{other}} {{Name}}"), name="Ada")
    assert error.error_type == "missing_dynamic_variable"
    assert str(error) == "no value for the dynamic variables Name, other"


@pytest.mark.parametrize("text", ["{{}}", "{{ }}", "{name}", "{{a b}}", "{{#if}}", "{{1}}", "{{name}", "%name%"])
def test_what_does_not_look_like_a_variable_is_text(text: str) -> None:
    """Prompts hold braces of all kinds."""
    assert prompt_of(begin(asking(text))) == text


def test_a_client_cannot_give_the_servers_variables() -> None:
    """The prefix is reserved (protocol.md 2.3)."""
    error = refusal(system__conversation_id="mine")
    assert error.error_type == "value_error"
    assert "system__conversation_id" in str(error)


def test_the_server_gives_its_own() -> None:
    """What it is told to give, and what it knows from the configuration; the agent's author cannot replace them."""
    names = ("agent_id", "current_agent_id", "conversation_id", "is_text_only", "call_duration_secs", "caller_id")
    placeholders = {"dynamic_variable_placeholders": {"system__agent_id": "other"}}
    start = asking("|".join(f"{{{{system__{name}}}}}" for name in names), dynamic_variables=placeholders)
    started = begin(start, {"text_only": True}, system={"system__conversation_id": "conv_1"})
    assert prompt_of(started) == "desk|desk|conv_1|true|0|"


def test_a_system_variable_that_nobody_gives_is_missing() -> None:
    """Those of the telephone are empty elsewhere; any other would be a lie."""
    assert refusal(asking("{{system__time_utc}}")).error_type == "missing_dynamic_variable"


@pytest.mark.parametrize("given_by_client", [True, False])
def test_a_secret_is_never_put_into_a_text(given_by_client: bool) -> None:
    """Not even where there is a value for it; for tools it is at hand."""
    error = refusal(asking("Key: {{secret__key}}"), **({"secret__key": "hush"} if given_by_client else {}))
    assert error.error_type == "value_error"
    assert "hush" not in str(error)
    assert begin(secret__key="hush").dynamic_variables["secret__key"] == "hush"


VALUES = st.text(alphabet="{}ab_ secret", max_size=20)


@given(VALUES, VALUES)
def test_what_a_variable_holds_is_never_read_as_a_variable(a: str, b: str) -> None:
    """A caller's name cannot bring another variable, or a secret, into the prompt."""
    assert prompt_of(begin(asking("[{{a}}|{{b}}]"), a=a, b=b)) == f"[{a}|{b}]"


# ------------------------------------------------------------------------------------------------------ always

LEAVES = st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "x", "{{name}}", "de"]) | st.just(["y"])
TREES = st.fixed_dictionaries(
    {},
    optional={
        "agent": st.fixed_dictionaries(
            {},
            optional={
                "first_message": LEAVES,
                "language": LEAVES,
                "prompt": st.dictionaries(st.sampled_from(["prompt", "llm", "tool_ids", "x"]), LEAVES),
            },
        ),
        "tts": st.dictionaries(st.sampled_from(["voice_id", "speed", "x"]), LEAVES),
        "conversation": st.dictionaries(st.sampled_from(["text_only", "max_duration_seconds"]), LEAVES),
        "text_only": LEAVES,
        "x": LEAVES,
    },
)


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in tree.items():
        found |= leaves(value, (*path, key)) if isinstance(value, Mapping) else {(*path, key): value}
    return found


@given(TREES)
def test_a_conversation_is_the_agent_but_for_the_leaves_that_were_asked_for_and_allowed(
    override: dict[str, Any],
) -> None:
    """And neither the agent nor the override is changed by it."""
    start = agent(CONFIG | {"language_presets": {}})
    document, asked = copy.deepcopy(start.raw), copy.deepcopy(override)
    try:
        started = begin(start, override, name="Ada")
    except RemoteProtocolError as error:
        assert error.error_type in ("override_error", "missing_dynamic_variable")  # noqa: PT017  either is an answer
        started = None
    assert start.raw == document
    assert override == asked
    if started is None:
        return
    before, after = leaves(document["conversation_config"]), leaves(started.raw["conversation_config"])
    wanted = {path: value for path, value in leaves(override).items() if value is not None}
    if ("text_only",) in wanted:
        text_only = wanted.pop(("text_only",))
        wanted.setdefault(("conversation", "text_only"), text_only)
    expected = before | wanted
    for path in (("agent", "first_message"), ("agent", "prompt", "prompt")):
        text = expected[path]
        assert isinstance(text, (str, int))
        expected[path] = (
            text.replace("{{name}}", "Ada").replace("{{ name }}", "Ada").replace("{{day}}", "Monday")
            if isinstance(text, str)
            else text
        )
    assert after == expected
    again = AgentConfig.parse(started.raw, agent_id="desk")
    assert started.conversation_config == again.conversation_config
    json.dumps(started.raw)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("{{name}}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PLACES = [
    ("agent",),
    ("agent", "first_message"),
    ("agent", "language"),
    ("agent", "prompt"),
    ("agent", "prompt", "tools"),
    ("agent", "dynamic_variables"),
    ("agent", "dynamic_variables", "dynamic_variable_placeholders"),
    ("turn", "soft_timeout_config"),
    ("turn", "soft_timeout_config", "additional_soft_timeout_messages"),
    ("conversation",),
    ("language_presets", "de"),
    ("text_only",),
]


@given(st.sampled_from(PLACES), ANYTHING, st.dictionaries(st.text(max_size=5), ANYTHING, max_size=2))
def test_whatever_a_client_sends_begins_a_conversation_or_is_refused(
    place: tuple[str, ...], value: Any, variables: dict[str, Any]
) -> None:
    """Even where the agent allows everything, nothing else comes out."""
    override: Any = value
    for key in reversed(place):
        override = {key: override}
    generous = agent(allowed=dict.fromkeys((*CONFIG, "turn", "conversation"), True))
    try:
        begin(generous, override, variables={"name": "Ada", **variables})
    except RemoteProtocolError as error:
        assert error.close_code == 1008  # noqa: PT017  both are answers


# ---------------------------------------------------------------------------------------------------- the time


@pytest.mark.parametrize("timezone", [None, "", "UTC"])
def test_the_time_is_told_to_machines_and_to_people(timezone: str | None) -> None:
    """In the agent's time zone, or in UTC."""
    assert time_variables(1_764_591_180.0, timezone) == {
        "system__time_utc": "2025-12-01T12:13:00+00:00",
        "system__time": "Monday, 12:13 1 December 2025",
        "system__timezone": "UTC",
    }
