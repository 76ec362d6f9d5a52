"""Which server answers for a model's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from antiphon.engines.base import EngineContext
from antiphon.engines.llm.endpoint import Endpoint, Options, resolve
from antiphon.engines.llm.options import parse
from antiphon.errors import ConfigError

KEY = "sk-canary-0123456789"
MODELS: Mapping[str, Mapping[str, Any]] = {
    "*": {"base_url": "http://any.example/v1"},
    "gemini-*": {"base_url": "http://gemini.example/v1/", "model": "qwen3", "api_key": KEY},
    "gemini-2.5-*": {"base_url": "http://gemini25.example/v1"},
    "gemini-2.5-flash": {"base_url": "http://flash.example/v1"},
    "gemini-2.5-flash*": {"base_url": "http://flashes.example/v1"},
}


def endpoint(options: Mapping[str, Any] = {}, **context: Any) -> Endpoint:
    return resolve(parse(options, Options), EngineContext(**context))


def custom(**fields: Any) -> dict[str, Any]:
    return {"model": "custom-llm", "custom_llm": {"url": "http://own.example/v1", **fields}}


@pytest.mark.parametrize(
    ("model", "host", "sent"),
    [
        ("gpt-4o", "any.example", "gpt-4o"),
        ("gemini-2.0-flash-001", "gemini.example", "qwen3"),
        ("gemini-2.5-pro", "gemini25.example", "gemini-2.5-pro"),
        ("gemini-2.5-flash", "flash.example", "gemini-2.5-flash"),
        ("Gemini-2.5-Flash-Lite", "flashes.example", "Gemini-2.5-Flash-Lite"),
    ],
)
def test_the_most_specific_pattern_wins(model: str, host: str, sent: str) -> None:
    """The name itself, else the longest pattern; upper and lower case are one; without `model` the name stays."""
    found = endpoint(model=model, models=MODELS)
    assert (found.url.host, found.model) == (host, sent)
    assert found.url.path == "/v1/chat/completions"
    assert not found.custom


@pytest.mark.parametrize("models", [{}, {"gpt-*": {"base_url": "http://any.example/v1"}}])
def test_an_unmapped_model_is_an_error_that_names_setting_and_model(models: Mapping[str, Any]) -> None:
    """At load, not in the middle of the first call."""
    with pytest.raises(ConfigError, match=r"'gemini-2\.5-flash'.*setting llm_models") as error:
        endpoint(model="gemini-2.5-flash", models=models)
    assert error.value.path == "conversation_config.agent.prompt.llm"


def test_options_go_before_everything() -> None:
    """An address in the agent's own options is asked, under the model's name from there or else the agent's."""
    options = {"base_url": "http://mine.example/api"}
    assert str(endpoint(options, model="m", models=MODELS).url) == "http://mine.example/api/chat/completions"
    assert endpoint(options, model="m").model == "m"
    assert endpoint({**options, "model": "n"}, model="m").model == "n"
    found = endpoint(options, **custom(model_id="own-model"))
    assert (found.url.host, found.model, found.custom) == ("mine.example", "own-model", True)


def test_an_operators_key_is_never_sent_to_an_agents_address() -> None:
    """A key belongs to the address it stands beside."""
    assert "authorization" in endpoint(model="gemini-3", models=MODELS).headers
    assert endpoint({"base_url": "http://mine.example"}, model="gemini-3", models=MODELS).headers == {}
    assert endpoint(**custom(), models=MODELS).headers == {}


def test_a_custom_model_is_asked_where_the_agent_says() -> None:
    """Address, name, key and headers from `custom_llm`; it is told who asks."""
    found = endpoint(**custom(model_id="m", api_key=KEY, request_headers={"X-Team": "blue"}, unknown=1))
    assert str(found.url) == "http://own.example/v1/chat/completions"
    assert (found.model, found.custom) == ("m", True)
    assert found.headers == {"authorization": f"Bearer {KEY}", "x-team": "blue"}
    assert endpoint(**custom()).model == "custom-llm"


@pytest.mark.parametrize(
    ("url", "posted"),
    [
        ("http://own.example/v1", "http://own.example/v1/chat/completions"),
        ("http://own.example/v1/", "http://own.example/v1/chat/completions"),
        ("http://own.example", "http://own.example/chat/completions"),
        ("https://own.example/v1/chat/completions", "https://own.example/v1/chat/completions"),
        (" https://own.example/a?tenant=7 ", "https://own.example/a/chat/completions?tenant=7"),
    ],
)
def test_the_route_is_appended_only_where_it_is_missing(url: str, posted: str) -> None:
    """A query stays where it was."""
    assert str(endpoint(**custom(url=url)).url) == posted


def test_an_api_version_is_a_query() -> None:
    """Azure's way."""
    url = endpoint(**custom(url="http://own.example/a?b=c", api_version="2024-10-21")).url
    assert dict(url.params) == {"b": "c", "api-version": "2024-10-21"}


def test_given_headers_win_over_the_key() -> None:
    """Whatever their case."""
    own = custom(api_key=KEY, request_headers={"AUTHORIZATION": "Basic abc"})
    assert endpoint(**own).headers == {"authorization": "Basic abc"}
    assert endpoint({"headers": {"Authorization": "Basic xyz"}}, **own).headers == {"authorization": "Basic xyz"}


def test_a_key_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read when the engine is made; unset or empty it is an error then."""
    options = {"base_url": "http://mine.example", "api_key": {"env": "CHAT_KEY"}}
    monkeypatch.setenv("CHAT_KEY", f" {KEY}\n")
    assert endpoint(options).headers == {"authorization": f"Bearer {KEY}"}
    for change in (lambda: monkeypatch.setenv("CHAT_KEY", ""), lambda: monkeypatch.delenv("CHAT_KEY")):
        change()
        with pytest.raises(ConfigError, match="CHAT_KEY is not set") as error:
            endpoint(options)
        assert error.value.path == "conversation_config.antiphon.llm.api_key.env"


def test_the_servers_own_secrets_are_no_keys_for_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent's file must not be able to send the workspace key somewhere."""
    monkeypatch.setenv("ANTIPHON_API_KEY", KEY)
    with pytest.raises(ConfigError, match="setting of this server") as error:
        endpoint({"base_url": "http://mine.example", "api_key": {"env": "ANTIPHON_API_KEY"}})
    assert KEY not in str(error.value)


def test_no_key_shows_in_a_repr_or_an_address() -> None:
    """An endpoint can be logged."""
    found = endpoint(**custom(url=f"http://own.example/v1?key={KEY}", api_key=KEY, request_headers={"X-Key": KEY}))
    assert KEY not in f"{found!r} {found} {found.address}"
    assert found.address == "http://own.example/v1/chat/completions"


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("localhost", True),
        ("llm.localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("[::1]", True),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_an_address_on_this_machine_is_recognised(host: str, is_loopback: bool) -> None:
    """A proxy must not be asked for it."""
    assert endpoint({"base_url": f"http://{host}:1234/v1"}).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("options", "context", "path", "message"),
    [
        ({"base_ulr": "x"}, {}, "conversation_config.antiphon.llm", "base_ulr"),
        ({"stall_timeout": 0}, {}, "conversation_config.antiphon.llm.stall_timeout", "> 0"),
        ({"max_retries": 99}, {}, "conversation_config.antiphon.llm.max_retries", "<= 10"),
        ({"base_url": "mine.example/v1"}, {}, "conversation_config.antiphon.llm.base_url", "http://"),
        ({"base_url": "ftp://mine.example"}, {}, "conversation_config.antiphon.llm.base_url", "http://"),
        ({"base_url": "http://["}, {}, "conversation_config.antiphon.llm.base_url", "http://"),
        ({"base_url": "http://h:x"}, {}, "conversation_config.antiphon.llm.base_url", "no address"),
        ({"base_url": "http://u:p@h"}, {}, "conversation_config.antiphon.llm.base_url", "user and password"),
        ({}, custom(api_type="responses"), "conversation_config.agent.prompt.custom_llm.api_type", "'responses'"),
        ({}, custom(url=None), "conversation_config.agent.prompt.custom_llm.url", "str"),
        ({}, custom(api_key={"secret_id": "s"}), "conversation_config.agent.prompt.custom_llm.api_key", "str"),
        ({}, {"model": "custom-llm"}, "conversation_config.agent.prompt.custom_llm", "say where"),
        (
            {},
            {"model": "m", "models": {"m": {"base_url": "http://h", "key": "x"}}},
            "llm_models['m']",
            "unknown field `key`",
        ),
        (
            {"base_url": "http://h", "headers": {"a b": "c"}},
            {},
            "conversation_config.antiphon.llm.headers",
            "name of a header",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    options: dict[str, Any], context: dict[str, Any], path: str, message: str
) -> None:
    """A ConfigError names the option, and what it should be."""
    with pytest.raises(ConfigError, match=message) as error:
        endpoint(options, **context)
    assert error.value.path == path


@pytest.mark.parametrize("bad", [f"{KEY}\r\nX: y", f"{KEY}é", f"a\x00{KEY}"])
@pytest.mark.parametrize("where", ["api_key", "headers"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(where: str, bad: str) -> None:
    """The HTTP library would refuse it later, and print it."""
    with pytest.raises(ConfigError, match="cannot be sent") as error:
        endpoint({"base_url": "http://h", where: bad if where == "api_key" else {"X-Key": bad}})
    assert KEY not in str(error.value)
