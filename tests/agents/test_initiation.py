"""What a client asks for is checked, laid over the agent's configuration, and its variables are put into the texts."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.agents.config import AgentConfig
from antiphon.agents.initiation import in_language, initiate, system_variables, time_variables, transferred
from antiphon.errors import RemoteProtocolError, SessionError

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
    named = ("language", "llm", "voice_id")
    wanted = {
        path: value
        for path, value in leaves(override).items()
        if value is not None and not (value == "" and path[-1] in named)
    }
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


# ------------------------------------------------------------------------------------------- while it goes on


def texts_of(started: AgentConfig) -> tuple[str, str, str]:
    config = started.conversation_config
    return config.agent.language, config.agent.first_message, config.tts.voice_id


def test_a_conversation_goes_on_in_another_language_and_comes_back() -> None:
    """The preset as at the start, variables as they are; the agent's own language brings back its own texts."""
    started = begin(name="Ada")
    german = in_language(started, "de")
    assert texts_of(german) == ("de", "Hallo Ada!", "v2")
    assert german.raw == begin(override={"agent": {"language": "de"}}, name="Ada").raw
    assert texts_of(in_language(german, "fr")) == ("fr", "Bonjour.", "v1")
    assert texts_of(in_language(german, "en")) == texts_of(started) == ("en", "Hello Ada!", "v1")
    assert texts_of(in_language(begin(override={"agent": {"language": "de"}}, name="Ada"), "en")) == texts_of(started)


def test_what_a_tool_has_assigned_is_in_the_texts_of_the_new_language() -> None:
    """Texts are those of now; a secret stays out of them."""
    started = begin(name="Ada", secret__key="hush")
    changed = replace(started, dynamic_variables={**started.dynamic_variables, "name": "Bob"})
    german = in_language(changed, "de")
    assert german.conversation_config.agent.first_message == "Hallo Bob!"
    assert german.dynamic_variables["secret__key"] == "hush"


def test_what_the_client_overrode_holds_in_every_language() -> None:
    """As at the start: its override lies over the preset."""
    started = begin(agent(custom_llm_extra_body=True), {"tts": {"voice_id": "v9"}}, extra={"seed": 7})
    german = in_language(started, "de")
    assert texts_of(german) == ("de", "Hallo friend!", "v9")
    assert german.custom_llm_extra_body == {"seed": 7}
    assert in_language(german, "de").raw == german.raw


def test_a_preset_that_cannot_be_used_does_not_end_the_conversation() -> None:
    """It goes on in the language that it had: the error is of a kind that tools report."""
    presets = {
        "de": {"first_message_translation": {"text": "{{nobody}}"}},
        "fr": {"overrides": {"tts": {"speed": 9}}},
        "it": {"first_message_translation": {"text": "{{secret__key}}"}},
    }
    started = begin(agent(CONFIG | {"language_presets": presets}), name="Ada", secret__key="hush")
    for language in presets:
        with pytest.raises(SessionError, match=language) as caught:
            in_language(started, language)
        assert "hush" not in str(caught.value)


def other(config: Mapping[str, Any] | None = None) -> AgentConfig:
    own: dict[str, Any] = {
        "agent": {
            "first_message": "Here is {{system__current_agent_id}}, {{name}}, {{topic}}.",
            "dynamic_variables": {"dynamic_variable_placeholders": {"name": "you", "topic": "bills"}},
        },
        "tts": {"voice_id": "v5"},
    }
    return AgentConfig.parse({"conversation_config": own | dict(config or {})}, agent_id="billing")


def test_an_agent_that_takes_over_knows_what_was_known() -> None:
    """The conversation's variables before its own placeholders; with whom the conversation began stays known."""
    started = begin(name="Ada", system={"system__conversation_id": "conv_1", "system__call_duration_secs": 1})
    taken = transferred(started, other(), keeps_tts_overrides=False, system_variables={"system__call_duration_secs": 9})
    assert taken.agent_id == "billing"
    assert taken.conversation_config.agent.first_message == "Here is billing, Ada, bills."
    known = taken.dynamic_variables
    assert (known["system__agent_id"], known["system__current_agent_id"]) == ("desk", "billing")
    assert (known["system__conversation_id"], known["system__call_duration_secs"]) == ("conv_1", 9)
    again = transferred(taken, agent(), keeps_tts_overrides=False, system_variables={})
    assert prompt_of(again) == "You help Ada on Monday."
    assert again.dynamic_variables["system__current_agent_id"] == "desk"


@pytest.mark.parametrize("keeps", [True, False])
def test_the_voice_that_the_client_asked_for_stays_if_the_agent_that_goes_says_so(keeps: bool) -> None:
    """What the client did not ask for is never the new agent's; the same holds one agent further on."""
    started = begin(override={"tts": {"speed": 1.1}})
    taken = transferred(started, other(), keeps_tts_overrides=keeps, system_variables={})
    for voice in (taken.conversation_config.tts, in_language(taken, "de").conversation_config.tts):
        assert (voice.voice_id, voice.speed) == ("v5", 1.1 if keeps else 1.0)
    back = transferred(taken, agent(), keeps_tts_overrides=True, system_variables={})
    assert back.conversation_config.tts.speed == (1.1 if keeps else 1.0)


def test_what_the_client_was_told_of_the_conversation_stays_so() -> None:
    """Its medium, its formats, its events and its length are not the new agent's to change."""
    conversation = {"max_duration_seconds": 60, "client_events": ["audio"]}
    audio = {"tts": {"agent_output_audio_format": "ulaw_8000"}, "asr": {"user_input_audio_format": "pcm_8000"}}
    strange = other({"conversation": {"max_duration_seconds": 999, "text_only": True}, **audio})
    started = begin(agent(CONFIG | {"conversation": conversation}))
    for taken in (
        transferred(started, strange, keeps_tts_overrides=True, system_variables={}),
        in_language(transferred(started, strange, keeps_tts_overrides=True, system_variables={}), "de"),
    ):
        config = taken.conversation_config
        assert config.conversation == started.conversation_config.conversation
        assert config.tts.agent_output_audio_format == "pcm_16000"
        assert config.asr.user_input_audio_format == "pcm_16000"


def test_an_agent_that_lacks_a_variable_cannot_take_over() -> None:
    """The one that is there goes on."""
    lost = other({"agent": {"first_message": "{{nobody}}"}})
    with pytest.raises(SessionError, match="billing cannot take over: no value for the dynamic variable nobody"):
        transferred(begin(), lost, keeps_tts_overrides=False, system_variables={})


def test_a_tool_is_told_how_things_stand_now() -> None:
    """Every variable of protocol.md 2.3 has a value: from the start, or at the call."""
    told = system_variables(
        conversation_id="conv_1",
        now=1_764_591_180.0,
        started_at=1_764_591_117.5,
        agent_turns=3,
        history=[{"role": "user", "message": 'Grüße, "you"'}],
        environment={"region": "eu"},
    )
    assert told == {
        "system__conversation_id": "conv_1",
        "system__time_utc": "2025-12-01T12:13:00+00:00",
        "system__time": "Monday, 12:13 1 December 2025",
        "system__timezone": "UTC",
        "system__call_duration_secs": 62,
        "system__agent_turns": 3,
        "system__conversation_history": '[{"role": "user", "message": "Grüße, \\"you\\""}]',
        "system__env_region": "eu",
    }
    known = begin(system=told).dynamic_variables
    names = "agent_id current_agent_id caller_id called_number call_duration_secs time_utc conversation_id call_sid"
    later = "time timezone call_id agent_turns is_text_only conversation_history env_region"
    assert {f"system__{name}" for name in f"{names} {later}".split()} <= known.keys()


# --------------------------------------------------------------------------------------- leaves of an override

LEAVES_OF_THE_PROTOCOL: list[tuple[str, Any]] = [
    ("agent.prompt.prompt", "p"),
    ("agent.prompt.prompt", ""),
    ("agent.prompt.llm", "gpt-5"),
    ("agent.prompt.reasoning_effort", "low"),
    ("agent.prompt.tool_ids", ["t"]),
    ("agent.prompt.tool_ids", []),
    ("agent.prompt.tool_ids_strict", True),
    ("agent.prompt.native_mcp_server_ids", ["m"]),
    ("agent.prompt.knowledge_base", [{"id": "d", "name": "d", "type": "file"}]),
    ("agent.first_message", ""),
    ("agent.language", "it"),
    ("agent.max_conversation_duration_message", "Bye."),
    ("tts.voice_id", "v9"),
    ("tts.stability", 0.9),
    ("tts.similarity_boost", 0.1),
    ("tts.speed", 1.1),
    ("tts.model_id", "m"),
    ("tts.supported_voices", []),
    ("tts.clone_strength", 0.5),
    ("tts.pronunciation_dictionary_locators", []),
    ("asr.keywords", ["k"]),
    ("asr.keywords", []),
    ("turn.soft_timeout_config.message", "Hm."),
    ("turn.soft_timeout_config.additional_soft_timeout_messages", ["Hm."]),
    ("turn.noisy_environment_message", "Loud."),
    ("conversation.text_only", True),
    ("conversation.max_duration_seconds", 60),
    ("conversation.client_events", ["audio"]),
    ("conversation.client_events", []),
]


def tree(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize(("path", "value"), LEAVES_OF_THE_PROTOCOL, ids=repr)
def test_every_leaf_of_the_protocol_can_be_overridden_where_it_is_allowed(path: str, value: Any) -> None:
    """And without its permission it is refused (protocol.md 2.2), text only apart."""
    started = begin(agent(allowed=tree(path, True)), tree(path, value))
    found: Any = started.raw["conversation_config"]
    for key in path.split("."):
        found = found[key]
    assert found == value
    if path != "conversation.text_only":
        assert refusal(agent(allowed={}), tree(path, value)).error_type == "override_error"


@pytest.mark.parametrize("path", ["agent.language", "agent.prompt.llm", "tts.voice_id", "tts.model_id"])
def test_an_empty_name_is_no_override(path: str) -> None:
    """There is nothing of that name; clients with a form send their empty fields."""
    assert begin(agent(allowed={}), tree(path, "")).raw == begin(agent(allowed={})).raw
