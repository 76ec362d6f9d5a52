"""Webhook tools against a real HTTP server."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from antiphon.protocol.events import AgentToolRequest, AgentToolResponse, AgentToolResponseFullPayload
from antiphon.session.tools.hosts import HostPolicy

CANARY = "sk-canary-91f0"


def webhook(port: int, path: str = "/", *, scheme: str = "http", tool: Any = None, **schema: Any) -> dict[str, Any]:
    url = f"{scheme}://127.0.0.1:{port}{path}"
    return {"type": "webhook", "name": "hook", "description": "d", "api_schema": {"url": url, **schema}, **(tool or {})}


@pytest.fixture
def call(serve: Any, upstream: Any, bench: Any) -> Callable[..., Any]:
    """Run one call of one webhook; returns the outcome and the bench."""

    def run(
        path: str = "/", arguments: Any = None, *, options: Any = None, tool: Any = None, **schema: Any
    ) -> tuple[Any, Any]:
        async def scene() -> tuple[Any, Any]:
            async with serve(upstream.app) as port:
                one = bench(webhook(port, path, tool=tool, **schema), **(options or {}))
                async with one.runner:
                    return await one.call("hook", **(arguments or {})), one

        return asyncio.run(scene())

    return run


# ------------------------------------------------------------------------------------------------------ requests


def test_each_argument_goes_where_the_author_says(call: Any, upstream: Any) -> None:
    """Path, query and body, from the model, from constants and from variables; what is omitted is not sent."""
    outcome, one = call(
        "/users/{user}/orders",
        {"user": "a/b ü", "limit": "3", "note": "hi", "address": {"city": "Bonn"}},
        options={"variables": {"account": "acc_1"}},
        method="POST",
        path_params_schema={"user": {"type": "string", "description": "who"}},
        query_params_schema={
            "properties": {
                "limit": {"type": "integer", "description": "how many"},
                "source": {"type": "string", "constant_value": "voice"},
                "gone": {"type": "string", "is_omitted": True},
            }
        },
        request_body_schema={
            "type": "object",
            "required": ["note"],
            "properties": {
                "note": {"type": "string", "description": "n"},
                "account": {"type": "string", "dynamic_variable": "account"},
                "address": {
                    "type": "object",
                    "properties": {
                        "city": {"type": "string", "description": "c"},
                        "country": {"type": "string", "constant_value": "DE"},
                    },
                },
            },
        },
    )
    assert not outcome.is_error
    assert upstream.last["path"] == "/users/a%2Fb%20%C3%BC/orders"
    assert upstream.last["query"] == "limit=3&source=voice"
    assert upstream.json == {"note": "hi", "account": "acc_1", "address": {"city": "Bonn", "country": "DE"}}
    assert upstream.last["headers"]["content-type"] == "application/json"
    (spec,) = one.runner.specs
    assert set(spec.parameters["properties"]) == {"user", "limit", "note", "address"}
    assert set(spec.parameters["required"]) == {"user", "note"}


def test_one_name_in_two_places_is_two_arguments(call: Any, upstream: Any) -> None:
    """The later place's argument is shown with the place before its name."""
    literal = {"type": "string", "description": "x"}
    _, one = call(
        "/{id}",
        {"id": "p", "query_id": "q", "body_id": "b"},
        method="PUT",
        path_params_schema={"id": literal},
        query_params_schema={"properties": {"id": literal}},
        request_body_schema={"properties": {"id": literal}},
    )
    assert (upstream.last["path"], upstream.last["query"], upstream.json) == ("/p", "id=q", {"id": "b"})
    assert list(one.runner.specs[0].parameters["properties"]) == ["id", "query_id", "body_id"]


def test_a_form_is_sent_as_a_form(call: Any, upstream: Any) -> None:
    """Lists repeat their name; booleans are written as JSON has them."""
    call(
        "/",
        {"name": "a b", "tags": ["x", "y"], "yes": True},
        method="POST",
        content_type="application/x-www-form-urlencoded",
        request_body_schema={
            "properties": {
                "name": {"type": "string"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "yes": {"type": "boolean"},
            }
        },
    )
    assert upstream.last["body"] == "name=a+b&tags=x&tags=y&yes=true"


def test_a_body_may_be_a_variable_whole(call: Any, upstream: Any) -> None:
    """`dynamic_variable` at the root of the body's schema."""
    call("/", options={"variables": {"all": [1, 2]}}, method="POST", request_body_schema={"dynamic_variable": "all"})
    assert upstream.json == [1, 2]


def test_what_the_schema_does_not_name_is_not_sent(call: Any, upstream: Any) -> None:
    """A model's own ideas do not reach an API that describes what it takes."""
    call("/", {"a": "1", "admin": True}, method="POST", request_body_schema={"properties": {"a": {"type": "string"}}})
    assert upstream.json == {"a": "1"}
    call("/", {"anything": 1}, method="POST", request_body_schema={"type": "object", "description": "free"})
    assert upstream.json == {"anything": 1}


@pytest.mark.parametrize("value", ["..", "."])
def test_a_value_cannot_climb_out_of_its_path(call: Any, upstream: Any, value: str) -> None:
    """A segment that means another one is refused before anything is sent."""
    outcome, _ = call("/users/{id}/x", {"id": value}, path_params_schema={"id": {"type": "string"}})
    assert outcome.is_error
    assert upstream.requests == []


def test_a_variable_in_the_address_cannot_leave_its_place(call: Any, upstream: Any) -> None:
    """What a caller gave is percent-encoded like what the model gives."""
    call("/u/{{who}}?v={{v}}", options={"variables": {"who": "../admin?x=1#", "v": "1&admin=1"}})
    assert upstream.last["path"] == "/u/..%2Fadmin%3Fx%3D1%23"
    assert upstream.last["query"] == "v=1%26admin%3D1"


def test_headers_take_secrets_and_variables(call: Any, upstream: Any, shelf: Any) -> None:
    """All four forms of a header (rest.md 3.4)."""
    call(
        options={
            "workspace": shelf({"key": CANARY}),
            "variables": {"secret__token": "tok", "tenant": "t1"},
            "environment": {"REGION": "eu"},
            "system_variables": lambda: {"system__conversation_id": "conv_1"},
        },
        request_headers={
            "Authorization": {"secret_id": "key"},
            "X-Token": "Bearer {{secret__token}}",
            "X-Tenant": {"variable_name": "tenant"},
            "X-Region": {"env_var_label": "REGION"},
            "X-Conversation": "{{system__conversation_id}}",
            "Host": "evil.example",
        },
    )
    sent = upstream.last["headers"]
    assert sent["authorization"] == CANARY
    assert sent["x-token"] == "Bearer tok"
    assert (sent["x-tenant"], sent["x-region"], sent["x-conversation"]) == ("t1", "eu", "conv_1")
    assert sent["host"].startswith("127.0.0.1:")


@pytest.mark.parametrize(
    "headers", [{"X": {"secret_id": "none"}}, {"X": "{{gone}}"}, {"X": "{{split}}"}, {"X": {"env_var_label": "HOME"}}]
)
def test_without_its_header_nothing_is_sent(call: Any, upstream: Any, headers: Any) -> None:
    """A value that is missing or would split the request; the server's own environment is nobody's."""
    outcome, _ = call(options={"variables": {"split": "a\r\nX-Evil: 1"}}, request_headers=headers)
    assert outcome.is_error
    assert upstream.requests == []


# ------------------------------------------------------------------------------------------------------- answers


def answer(value: Any, **options: Any) -> Callable[[Any], Response]:
    return lambda request: JSONResponse(value, **options)


def test_the_model_reads_the_answer(call: Any, upstream: Any) -> None:
    """Just as it came; and it is reported as the protocol has it."""
    upstream.answer = lambda request: PlainTextResponse("sunny")
    outcome, one = call()
    assert outcome.text == "sunny"
    kinds = [type(event) for event in one.events]
    assert kinds == [AgentToolRequest, AgentToolResponse, AgentToolResponseFullPayload]
    assert one.events[-1].full_tool_result == "sunny"
    assert {event.tool_type for event in one.events} == {"webhook"}


def test_an_answer_is_filtered_by_its_paths(call: Any, upstream: Any) -> None:
    """`allow` keeps what is named, `hide_all` keeps nothing; lists are walked into."""
    upstream.answer = answer({"a": {"b": 1, "c": 2}, "items": [{"id": 1, "x": 0}, {"id": 2, "x": 0}], "z": 0})
    outcome, _ = call(response_filter={"mode": "allow", "filters": ["a.b", "items.id", "none.such"]})
    assert outcome.text == '{"a": {"b": 1}, "items": [{"id": 1}, {"id": 2}]}'
    assert call(response_filter={"mode": "hide_all"})[0].text == "The request succeeded."


def test_an_answer_sets_variables(call: Any, upstream: Any) -> None:
    """By dot paths; nothing where nothing is; lists as text unless asked for; sanitized values are not shown."""
    upstream.answer = answer({"user": {"id": 7, "token": CANARY, "tags": ["a"]}, "orders": [{"no": "A1"}], "nil": None})
    paths = {
        "order": "orders.0.no",
        "user_id": "user.id",
        "secret__token": "user.token",
        "tags": "user.tags",
        "kept": "no.such",
        "nil": "nil",
        "system__agent_id": "user.id",
    }
    assignments: list[dict[str, Any]] = [{"dynamic_variable": k, "value_path": p} for k, p in paths.items()]
    assignments += [{"dynamic_variable": "native", "value_path": "user.tags", "preserve_native_type": True}]
    assignments += [{"dynamic_variable": "hidden", "value_path": "user.id", "sanitize": True}]
    outcome, one = call(tool={"assignments": assignments}, options={"variables": {"kept": "old"}})
    variables = one.runner.variables
    assert variables["order"] == "A1"
    assert variables["user_id"] == 7
    assert variables["secret__token"] == CANARY
    assert variables["tags"] == '["a"]'
    assert variables["native"] == ["a"]
    assert variables["kept"] == "old"
    assert "nil" not in variables
    assert "system__agent_id" not in variables
    assert '"id"' not in outcome.text
    assert "secret__token" not in outcome.assignments
    assert outcome.assignments["order"] == "A1"
    assert CANARY not in outcome.text


def test_secrets_never_come_out(call: Any, upstream: Any, shelf: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An API that repeats our headers, in an answer or an error, tells nobody; neither does the log at any level."""
    caplog.set_level(logging.DEBUG)
    secret = 'k"y-canary-ü1'
    for status in (200, 500):
        upstream.answer = lambda request, status=status: JSONResponse(dict(request.headers), status_code=status)
        outcome, one = call(
            options={"workspace": shelf({"key": CANARY}), "variables": {"secret__x": secret}},
            request_headers={"Authorization": {"secret_id": "key"}, "X-Other": "{{secret__x}}"},
            tool={"tool_error_handling_mode": "passthrough"},
        )
        assert upstream.last["headers"]["authorization"] == CANARY
        everything = outcome.text + repr(one.events) + caplog.text
        assert CANARY not in everything
        assert "canary" not in everything
        assert "[secret]" in outcome.text


# ------------------------------------------------------------------------------------------------------ failures


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("auto", "The tool failed; no details are available."),
        ("hide", "The tool failed; no details are available."),
        ("summarized", "the answer was 503 Service Unavailable"),
        ("passthrough", 'the answer was 503 Service Unavailable: {"why":"database"}'),
    ],
)
def test_the_author_says_how_much_of_a_failure_is_told(call: Any, upstream: Any, mode: str, text: str) -> None:
    """`tool_error_handling_mode`; of a webhook, nothing by default."""
    upstream.answer = answer({"why": "database"}, status_code=503)
    outcome, one = call(tool={"tool_error_handling_mode": mode})
    assert outcome.is_error
    assert outcome.text == text
    assert one.of(AgentToolResponse)[0].status == "error"


def test_a_slow_answer_is_a_failure(call: Any, upstream: Any) -> None:
    """response_timeout_secs is for everything together."""
    upstream.delay = 5.0
    outcome, _ = call(tool={"response_timeout_secs": 0.1, "tool_error_handling_mode": "summarized"})
    assert outcome.is_error
    assert outcome.text == "there was no answer within 0.1 seconds"


def test_an_endless_answer_is_a_failure(call: Any, upstream: Any) -> None:
    """Also one that is small as long as it is packed."""
    upstream.answer = lambda request: PlainTextResponse("x" * (1024 * 1024 + 1))
    outcome, _ = call(tool={"tool_error_handling_mode": "summarized"})
    assert outcome.is_error
    assert "longer than" in outcome.text


def test_nobody_there_is_a_failure(bench: Any) -> None:
    """A port where nobody listens."""

    async def scene() -> Any:
        one = bench(webhook(1, tool={"tool_error_handling_mode": "summarized"}))
        async with one.runner:
            return await one.call("hook")

    outcome = asyncio.run(scene())
    assert outcome.is_error
    assert outcome.text == "there was no connection (ConnectError)"


def test_a_tool_that_needs_what_is_not_there_says_so(call: Any, upstream: Any) -> None:
    """auth_connection is not supported: better no request than one without its credentials."""
    outcome, _ = call(auth_connection={"auth_connection_id": "x"}, tool={"tool_error_handling_mode": "summarized"})
    assert outcome.is_error
    assert "auth_connection" in outcome.text
    assert upstream.requests == []


def test_bad_arguments_are_not_sent(call: Any, upstream: Any) -> None:
    """The model is told what is wrong, and can try again."""
    outcome, _ = call("/{id}", {}, path_params_schema={"id": {"type": "string", "description": "an id"}})
    assert outcome.is_error
    assert "id is required" in outcome.text
    assert upstream.requests == []


def test_a_cancelled_call_leaves_nothing(serve: Any, upstream: Any, bench: Any) -> None:
    """An interruption in the middle: no task, and the runner closes at once."""
    upstream.delay = 5.0

    async def scene() -> None:
        async with serve(upstream.app) as port:
            before = asyncio.all_tasks()
            one = bench(webhook(port))
            async with one.runner:
                task = asyncio.create_task(one.call("hook"))
                await upstream.asked.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            left = {task for task in asyncio.all_tasks() - before if "uvicorn" not in repr(task)}
            assert not left
            assert one.of(AgentToolResponse) == []

    asyncio.run(scene())


def test_calls_run_side_by_side(serve: Any, upstream: Any, bench: Any) -> None:
    """Eight calls of 0.2 seconds take no 1.6."""
    upstream.delay = 0.2

    async def scene() -> float:
        async with serve(upstream.app) as port:
            one = bench(webhook(port))
            async with one.runner:
                begun = asyncio.get_running_loop().time()
                outcomes = await asyncio.gather(*(one.call("hook") for _ in range(8)))
                assert not any(outcome.is_error for outcome in outcomes)
                return asyncio.get_running_loop().time() - begun

    assert asyncio.run(scene()) < 1.2


# ----------------------------------------------------------------------------------------------------- redirects


def test_a_redirect_is_not_followed_unasked(call: Any, upstream: Any) -> None:
    """It may lead anywhere, with the tool's headers."""
    upstream.answer = lambda request: RedirectResponse("/other", status_code=302)
    outcome, _ = call()
    assert outcome.is_error
    assert len(upstream.requests) == 1


def test_a_redirect_from_http_is_refused(call: Any, upstream: Any) -> None:
    """Only https leads to https (openapi.json, follow_redirects)."""
    upstream.answer = lambda request: RedirectResponse("/other", status_code=302)
    tool = {
        "follow_redirects": True,
        "follow_redirects_allowed_domains": ["127.0.0.1"],
        "tool_error_handling_mode": "summarized",
    }
    outcome, _ = call(tool=tool)
    assert outcome.is_error
    assert "https" in outcome.text
    assert len(upstream.requests) == 1


@pytest.fixture
def secure(tmp_path: Path, serve: Any, upstream: Any) -> Callable[[Callable[[int, Any], Awaitable[Any]]], Any]:
    """Run something with the server behind TLS, as api.example.test and files.example.test."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = "subjectAltName=DNS:api.example.test,DNS:files.example.test"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=test", "-addext", names]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")

    def run(scene: Callable[[int, Any], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            async with serve(upstream.app, ssl_keyfile=str(key), ssl_certfile=str(certificate)) as port:
                return await scene(port, ssl.create_default_context(cafile=str(certificate)))

        return asyncio.run(whole())

    return run


async def _loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def test_a_redirect_is_followed_once_as_a_bare_get(secure: Any, upstream: Any, bench: Any, shelf: Any) -> None:
    """Over TLS that is agreed upon with the host's name; nothing of the tool's goes on."""

    def lead(request: Any) -> Response:
        port = request.url.port
        target = f"https://files.example.test:{port}/file"
        if request.url.path == "/start":
            return RedirectResponse(target, status_code=303)
        return JSONResponse({"file": 1}) if request.url.path == "/file" else RedirectResponse("/again")

    async def scene(port: int, context: Any) -> list[Any]:
        upstream.answer = lead
        outcomes: list[Any] = []
        for path, domains in (("/start", ["files.example.test"]), ("/start", ["other.test"]), ("/loop", ["*"])):
            one = bench(
                {
                    "type": "webhook",
                    "name": "hook",
                    "follow_redirects": True,
                    "follow_redirects_allowed_domains": domains,
                    "api_schema": {
                        "url": f"https://api.example.test:{port}{path}",
                        "method": "POST",
                        "request_body_schema": {"properties": {"x": {"constant_value": "1"}}},
                        "request_headers": {"Authorization": {"secret_id": "key"}},
                    },
                },
                workspace=shelf({"key": CANARY}),
                hosts=HostPolicy(["api.example.test", "files.example.test"], resolve=_loopback),
                verify=context,
            )
            async with one.runner:
                outcomes.append(await one.call("hook"))
        return outcomes

    followed, forbidden, looping = secure(scene)
    assert followed.text == '{"file":1}'
    first, second = upstream.requests[:2]
    assert (first["method"], first["headers"]["authorization"]) == ("POST", CANARY)
    assert (second["method"], second["path"], second["body"]) == ("GET", "/file", "")
    assert second["headers"]["host"].startswith("files.example.test")
    assert "authorization" not in second["headers"]
    assert forbidden.is_error
    assert looping.is_error
    assert len(upstream.requests) == 4


def test_a_redirect_is_judged_like_the_address_itself(secure: Any, upstream: Any, bench: Any) -> None:
    """An allowed domain that leads to a private address is refused."""

    async def scene(port: int, context: Any) -> Any:
        upstream.answer = lambda request: RedirectResponse(f"https://files.example.test:{port}/x")
        one = bench(
            {
                "type": "webhook",
                "name": "hook",
                "follow_redirects": True,
                "follow_redirects_allowed_domains": ["files.example.test"],
                "tool_error_handling_mode": "summarized",
                "api_schema": {"url": f"https://api.example.test:{port}/"},
            },
            hosts=HostPolicy(["api.example.test"], resolve=_loopback),
            verify=context,
        )
        async with one.runner:
            return await one.call("hook")

    outcome = secure(scene)
    assert outcome.is_error
    assert "files.example.test is not a public host" in outcome.text
    assert len(upstream.requests) == 1
