"""A webhook tool's description: what is refused at load, what the model is shown, what goes where."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.agents.mcp import McpServerConfig, approval_hash, offered_name
from antiphon.agents.tools import ToolConfig
from antiphon.agents.webhook import Webhook
from antiphon.errors import ConfigError


def tool(**schema: Any) -> ToolConfig:
    return ToolConfig.parse({"type": "webhook", "name": "t", "api_schema": {"url": "https://x.test/", **schema}})


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"url": "https://x.test/?key={{secret__key}}"}, "api_schema.url"),
        ({"url": "https://{tenant}.x.test/"}, "api_schema.url"),
        ({"url": "http://{{ secret__host }}/"}, "api_schema.url"),
        ({"method": "TRACE"}, "api_schema.method"),
        ({"content_type": "text/plain"}, "api_schema.content_type"),
        ({"path_params_schema": {"id": "string"}}, "api_schema.path_params_schema"),
        ({"query_params_schema": {"properties": []}}, "api_schema.query_params_schema"),
        ({"request_body_schema": {"required": "a"}}, "api_schema.request_body_schema"),
        ({"response_filter": {"mode": "some"}}, "api_schema.response_filter.mode"),
    ],
)
def test_what_cannot_work_is_refused_at_load(schema: dict[str, Any], place: str) -> None:
    """With the place where it stands; secrets would end up in other people's logs, a model choosing hosts anywhere."""
    with pytest.raises(ConfigError) as caught:
        tool(**schema)
    assert place in caught.value.path


def test_an_address_may_be_a_variable_whole() -> None:
    """Also with what looks like a scheme further on."""
    assert tool(url="{{base}}/users/{id}?next=https://y.test/").api_schema is not None


def test_a_method_without_a_body_shows_none() -> None:
    """A body schema of GET and DELETE is not used (openapi.json: POST, PUT and PATCH)."""
    body = {"properties": {"a": {"type": "string"}}}
    assert tool(request_body_schema=body).json_schema()["properties"] == {}
    assert tool(request_body_schema=body, method="delete").json_schema()["properties"] == {}
    assert set(tool(request_body_schema=body, method="post").json_schema()["properties"]) == {"a"}


def test_an_empty_body_is_sent_where_one_is_described() -> None:
    """`{}`; None where there is none to send."""
    described = Webhook(url="https://x.test/", method="POST", request_body_schema={"properties": {"a": {}}})
    assert described.sort({}).body == {}
    assert Webhook(url="https://x.test/", method="POST").sort({"a": 1}).body is None


def test_path_parameters_are_always_required() -> None:
    """There is no address without them."""
    schema = tool(url="https://x.test/{id}", path_params_schema={"id": {"type": "string"}}).json_schema()
    assert schema["required"] == ["id"]


# ----------------------------------------------------------------------------------------------------------- MCP


def test_an_approval_is_bound_to_description_and_parameters() -> None:
    """And to nothing else: not to the order of keys."""
    one = approval_hash("d", {"a": 1, "b": 2})
    assert one == approval_hash("d", {"b": 2, "a": 1})
    assert len({one, approval_hash("e", {"a": 1, "b": 2}), approval_hash("d", {"a": 1})}) == 3


def test_names_are_made_fit_for_chat_models() -> None:
    """Letters, digits, - and _, at most 64; a name that is taken gets its server's in front."""
    assert offered_name("weather.today/now", "srv", {}) == "weather_today_now"
    assert offered_name("a" * 80, "srv", {}) == "a" * 64
    assert offered_name("add", "my srv", {"add": 1}) == "my_srv_add"
    with pytest.raises(ConfigError):
        offered_name("add", "srv", {"add": 1, "srv_add": 1})


def test_older_keys_of_servers_are_understood() -> None:
    """`force_pre_tool_speech`, `disable_interruptions` (openapi.json: deprecated)."""
    config = McpServerConfig.model_validate(
        {"url": "https://x.test", "force_pre_tool_speech": True, "disable_interruptions": True}
    )
    made = config.tool("a", "d", {"properties": {"x": True, "y": {"items": True}}}, offered_as="a")
    assert (made.pre_tool_speech, made.interruption_mode) == ("force", "disable_during_tool")
    assert made.response_timeout_secs == 30.0
    assert made.json_schema() == {"type": "object", "properties": {"x": {}, "y": {"items": {}}}}


def test_inputs_of_a_server_can_be_overridden_at_any_depth() -> None:
    """Constant, variable, omitted, or only another description; what is not there is left alone."""
    schema = {
        "required": ["a", "b"],
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "object", "required": ["c"], "properties": {"c": {"type": "string"}}},
            "d": {"type": "string"},
            "e": {"type": "string", "description": "old"},
        },
    }
    overrides = {
        "a": {"source": "constant", "constant_value": "x"},
        "$.b.c": {"source": "dynamic_variable", "dynamic_variable": "v"},
        "d": {"source": "omit"},
        "e": {"source": "llm", "prompt": "new"},
        "none.such": {"source": "omit"},
    }
    config = McpServerConfig.model_validate(
        {"url": "https://x.test", "tool_config_overrides": [{"tool_name": "t", "input_overrides": overrides}]}
    )
    made = config.tool("t", "d", schema, offered_as="t")
    assert made.json_schema()["properties"] == {"e": {"type": "string", "description": "new"}}
    assert made.check_arguments({"e": "1"}, variables={"v": "V"}) == {"a": "x", "b": {"c": "V"}, "e": "1"}
    assert schema["properties"]["a"] == {"type": "string"}
