"""What a model is shown of a tool, and what becomes of the arguments it sends."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.agents.tools import ToolArgumentError, ToolConfig
from antiphon.errors import ConfigError

BOOKING = {
    "type": "client",
    "name": "book_table",
    "description": "Book a table",
    "parameters": {
        "type": "object",
        "description": "",
        "required": ["guests", "day", "caller"],
        "properties": {
            "guests": {"type": "integer", "description": "How many", "enum": None, "dynamic_variable": ""},
            "day": {"type": "string", "enum": ["monday", "tuesday"]},
            "outside": {"type": "boolean", "constant_value": ""},
            "caller": {"type": "string", "dynamic_variable": "user_name"},
            "source": {"type": "string", "constant_value": "phone"},
            "trace": {"type": "string", "is_system_provided": True},
            "legacy": {"type": "string", "is_omitted": True},
            "notes": {"type": "array", "items": {"type": "string", "description": "A wish"}},
            "contact": {
                "type": "object",
                "required": ["phone"],
                "properties": {"phone": {"type": "string"}, "kind": {"type": "string", "constant_value": "mobile"}},
            },
            "meta": {"type": "object", "properties": {"version": {"type": "integer", "constant_value": 2}}},
        },
    },
    "dynamic_variables": {"dynamic_variable_placeholders": {"user_name": "somebody"}},
}


def tool(parameters: Any = None, **more: Any) -> ToolConfig:
    return ToolConfig.parse({"name": "t", "parameters": parameters, **more})


def booking(**arguments: Any) -> dict[str, Any]:
    return ToolConfig.parse(BOOKING).check_arguments({"guests": 2, "day": "monday", **arguments})


def refusal(schema: dict[str, Any], value: Any, **more: Any) -> str:
    one = tool({"type": "object", "properties": {"x": schema}, **more})
    with pytest.raises(ToolArgumentError) as caught:
        one.check_arguments({"x": value})
    return str(caught.value)


def fitted(schema: dict[str, Any], value: Any, **variables: Any) -> Any:
    return tool({"type": "object", "properties": {"x": schema}}).check_arguments({"x": value}, variables=variables)["x"]


# ------------------------------------------------------------------------------------------------- what is shown


def test_the_model_is_shown_only_what_it_is_to_fill_in() -> None:
    """Constants, variables, omitted and system values are not its business, neither are the API's own keywords."""
    assert ToolConfig.parse(BOOKING).json_schema() == {
        "type": "object",
        "required": ["guests", "day"],
        "properties": {
            "guests": {"type": "integer", "description": "How many"},
            "day": {"type": "string", "enum": ["monday", "tuesday"]},
            "outside": {"type": "boolean"},
            "notes": {"type": "array", "items": {"type": "string", "description": "A wish"}},
            "contact": {"type": "object", "required": ["phone"], "properties": {"phone": {"type": "string"}}},
        },
    }


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object"}, {"properties": None, "required": None}], ids=repr)
def test_a_tool_without_parameters_takes_an_empty_object(parameters: Any) -> None:
    """Chat models refuse a tool whose parameters are no object."""
    assert tool(parameters).json_schema() == {"type": "object", "properties": {}}
    assert tool(parameters).check_arguments({}) == {}


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    """`constant_value` under `properties` is an argument like any other."""
    schema = {"type": "object", "properties": {"constant_value": {"type": "string"}, "required": {"type": "string"}}}
    assert tool(schema).json_schema() == schema
    assert tool(schema).check_arguments({"constant_value": "a", "required": "b"})["required"] == "b"


def test_what_json_schema_can_say_besides_reaches_the_model() -> None:
    """An author may write more than the API's forms do."""
    schema = {"type": "integer", "minimum": 1, "maximum": 8, "default": 0}
    assert tool({"type": "object", "properties": {"x": schema}}).json_schema()["properties"]["x"] == schema


# ----------------------------------------------------------------------------------------------------- arguments


def test_what_is_not_the_models_to_give_is_filled_in() -> None:
    """Constants and variables win over whatever the model made up for them; what has no value is left out."""
    assert booking(source="web", trace="mine", legacy="x") == {
        "guests": 2,
        "day": "monday",
        "caller": "somebody",
        "source": "phone",
        "meta": {"version": 2},
    }
    whole = ToolConfig.parse(BOOKING).check_arguments(
        {"guests": 2, "day": "monday", "contact": {"phone": 5550100}}, variables={"user_name": "Ada"}
    )
    assert whole["caller"] == "Ada"
    assert whole["contact"] == {"phone": "5550100", "kind": "mobile"}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "integer"}, "3", 3),
        ({"type": "integer"}, 3.0, 3),
        ({"type": "integer"}, "3.0", 3),
        ({"type": "number"}, " 2.5 ", 2.5),
        ({"type": "number"}, 2, 2),
        ({"type": "string"}, 42, "42"),
        ({"type": "boolean"}, "True", True),
        ({"type": "array", "items": {"type": "integer"}}, '["1", 2]', [1, 2]),
        ({"type": "object", "properties": {"n": {"type": "integer"}}}, '{"n": "7"}', {"n": 7}),
        ({"type": ["string", "integer"]}, 3, 3),
        ({"type": ["integer", "null"]}, None, None),
        ({}, {"any": [1]}, {"any": [1]}),
        ({"type": "integer", "enum": ["1", "2"]}, "2", 2),
    ],
)
def test_obvious_slips_are_put_right(schema: dict[str, Any], value: Any, expected: Any) -> None:
    """Models send numbers as text and lists as JSON; what fits as it is stays as it is."""
    result = fitted(schema, value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        ({"type": "integer", "description": "How many"}, "many", 'x should be an integer: How many, not "many"'),
        ({"type": "integer"}, 2.5, "x should be an integer, not 2.5"),
        ({"type": "integer"}, True, "x should be an integer, not true"),
        ({"type": "number"}, "NaN", "x should be a number"),
        ({"type": "number"}, float("inf"), "x should be a number"),
        ({"type": "integer"}, "9" * 5000, "x should be an integer"),
        ({"type": "string"}, ["a"], 'x should be a string, not ["a"]'),
        ({"type": "boolean"}, "yes", 'x should be a boolean, not "yes"'),
        ({"type": "array", "items": {"type": "integer"}}, [1, "b"], 'x[1] should be an integer, not "b"'),
        ({"type": "array"}, "a, b", "x should be an array"),
        (
            {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}}},
            {},
            "x.n is required (a string)",
        ),
        ({"type": "string", "enum": ["a", "b"]}, "c", 'x should be one of ["a", "b"], not "c"'),
        ({"type": ["integer", "null"]}, "x", "x should be an integer or null"),
    ],
)
def test_what_does_not_fit_is_refused_in_words_for_the_model(schema: dict[str, Any], value: Any, words: str) -> None:
    """Which argument, what it should be, what it is, and the schema to try again with."""
    said = refusal(schema, value)
    assert said.startswith("t was not called: ")
    assert words in said
    assert '"properties": {"x"' in said


def test_every_problem_is_told_at_once() -> None:
    """A model that has to find them one by one takes the caller's time."""
    with pytest.raises(ToolArgumentError, match=r"guests is required \(an integer: How many\); day should be one of"):
        ToolConfig.parse(BOOKING).check_arguments({"guests": None, "day": "sunday"})


def test_null_for_an_optional_argument_leaves_it_out() -> None:
    """Models write null for what they have nothing to say of."""
    assert "outside" not in booking(outside=None)


def test_arguments_that_the_schema_does_not_name_are_passed_on() -> None:
    """A client's tool may know more than the agent's author wrote down; a required one has to be there all the same."""
    assert tool().check_arguments({"anything": 1}) == {"anything": 1}
    with pytest.raises(ToolArgumentError, match="y is required"):
        tool({"type": "object", "required": ["y"]}).check_arguments({"anything": 1})


def test_a_required_variable_without_a_value_stops_the_call() -> None:
    """An optional one is left out."""
    required = {"type": "object", "required": ["x"], "properties": {"x": {"type": "string", "dynamic_variable": "id"}}}
    with pytest.raises(ToolArgumentError, match="variable 'id', which has no value"):
        tool(required).check_arguments({"x": "made up"})
    assert tool({**required, "required": []}).check_arguments({"x": "made up"}) == {}


def test_a_secret_is_no_argument() -> None:
    """Variables with the prefix secret__ go into headers only: a client's tool would be told it."""
    schema = {"type": "object", "properties": {"x": {"type": "string", "dynamic_variable": "secret__key"}}}
    assert tool(schema).check_arguments({}, variables={"secret__key": "hush"}) == {}


@pytest.mark.parametrize(
    "guard", [{"allowed_values": {"dynamic_variable": "mine"}}, {"allowed_values_dynamic_variable": "mine"}], ids=repr
)
@pytest.mark.parametrize("listed", [["a", "b"], '["a", "b"]'], ids=repr)
def test_a_guarded_argument_is_refused_unless_it_is_listed(guard: dict[str, Any], listed: Any) -> None:
    """The list is the client's, unknown to the model; without a list nothing is allowed."""
    schema = {"type": "string", **guard}
    assert fitted(schema, "a", mine=listed) == "a"
    one = tool({"type": "object", "properties": {"x": schema}})
    assert "mine" not in str(one.json_schema())
    for variables in ({"mine": listed}, {}, {"mine": "c"}):
        with pytest.raises(ToolArgumentError, match="may not be"):
            one.check_arguments({"x": "c"}, variables=variables)


SIMPLE = st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean")])
SCHEMAS = st.recursive(
    SIMPLE,
    lambda inner: (
        inner.map(lambda items: {"type": "array", "items": items})
        | st.dictionaries(st.sampled_from("abc"), inner, min_size=1).map(
            lambda properties: {"type": "object", "properties": properties, "required": sorted(properties)[:1]}
        )
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["1", "true", "[]", "{}", "x", "1e3", "NaN"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)


@given(SCHEMAS, VALUES)
def test_what_is_passed_on_fits_the_schema_that_the_model_was_shown(schema: dict[str, Any], value: Any) -> None:
    """Whatever a model sends: it fits afterwards, or the tool is not called."""
    one = tool({"type": "object", "properties": {"x": schema}})
    try:
        arguments = one.check_arguments({"x": value})
    except ToolArgumentError:
        return
    jsonschema.validate(arguments, one.json_schema())


# ----------------------------------------------------------------------------------------------------- the file


def test_older_names_of_settings_are_understood() -> None:
    """rest.md 2.1: disable_interruptions and force_pre_tool_speech are still sent, beside the newer ones."""
    old = tool(disable_interruptions=True, force_pre_tool_speech=True, interruption_mode="allow", pre_tool_speech=None)
    assert (old.interruption_mode, old.pre_tool_speech) == ("disable_during_tool", "force")
    new = tool(disable_interruptions=True, interruption_mode="disable_during_tool_and_turn")
    assert new.interruption_mode == "disable_during_tool_and_turn"


def test_timeouts_have_the_defaults_of_the_api() -> None:
    """20 seconds, 30 for MCP, -1 for ever."""
    assert tool().response_timeout_secs == 20
    assert tool(type="mcp").response_timeout_secs == 30
    assert tool(response_timeout_secs=-1).response_timeout_secs == -1
    with pytest.raises(ConfigError, match="response_timeout_secs: should be above 0"):
        tool(response_timeout_secs=0)


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({"type": "array"}, "type should be 'object'"),
        ({"properties": []}, "properties should be an object"),
        ({"properties": {"a": "string"}}, "properties.a should be an object"),
        ({"required": "a"}, "required should be a list of names"),
        (
            {"properties": {"a": {"type": "array", "items": {"properties": 3}}}},
            "properties.a.items.properties should be",
        ),
    ],
)
def test_a_malformed_schema_is_found_when_it_is_loaded(parameters: dict[str, Any], path: str) -> None:
    """Not in the middle of a call."""
    with pytest.raises(ConfigError, match=r"^tools/t\.json: parameters: ") as caught:
        ToolConfig.parse({"name": "t", "parameters": parameters}, path="tools/t.json")
    assert path in str(caught.value)
