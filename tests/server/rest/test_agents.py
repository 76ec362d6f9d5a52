"""Agents and what belongs to them, over REST: every answer as published, and nothing of what was set is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

from .oracle import problems

Serving = Callable[..., AbstractAsyncContextManager[Any]]
KEY = {"xi-api-key": "sk_of_the_tests"}
V1 = "/v1/convai"


class Api:
    """Asks, and holds every good answer against the published description."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def __call__(
        self, method: str, path: str, body: Any = None, *, status: int = 200, params: Any = None, **ids: str
    ) -> Any:
        answer = await self.http.request(method, V1 + path.format(**ids), json=body, params=params)
        assert answer.status_code == status, answer.text
        if status == 200:
            assert problems(method, V1 + path, answer.json()) == []
        return answer.json()


def asking(serving: Serving, scene: Callable[[Any, Api], Any], **settings: Any) -> None:
    async def run() -> None:
        async with (
            serving(**settings) as server,
            httpx.AsyncClient(base_url=server.address, trust_env=False, headers=KEY, timeout=20) as http,
        ):
            await scene(server, Api(http))

    asyncio.run(run())


def test_an_agent_is_made_shown_changed_listed_copied_and_forgotten(serving: Serving, document: Any) -> None:
    """Its life; unknown keys come back."""

    async def scene(server: Any, api: Api) -> None:
        body = {**document(), "name": "Made", "tags": ["one"], "of_the_future": {"x": [1]}}
        agent_id = (await api("POST", "/agents/create", body))["agent_id"]
        shown = await api("GET", "/agents/{agent_id}", agent_id=agent_id)
        assert (shown["name"], shown["tags"], shown["of_the_future"]) == ("Made", ["one"], {"x": [1]})
        assert shown["conversation_config"]["agent"]["first_message"] == "Hello, how can I help?"
        change = {"conversation_config": {"agent": {"first_message": "Hi."}, "tts": {"speed": 1.1}}}
        changed = await api("PATCH", "/agents/{agent_id}", change, agent_id=agent_id)
        assert changed["conversation_config"]["agent"]["first_message"] == "Hi."
        assert changed["conversation_config"]["tts"]["speed"] == 1.1
        assert changed["conversation_config"]["antiphon"]["llm"]["engine"] == "scripted"
        again = await api("PATCH", "/agents/{agent_id}", changed, agent_id=agent_id)
        del again["metadata"], changed["metadata"]
        assert again == changed
        page = await api("GET", "/agents", params={"search": "mad"})
        assert [agent["agent_id"] for agent in page["agents"]] == [agent_id]
        everybody = (await api("GET", "/agents"))["agents"]
        assert {"desk", "private", "voice", agent_id} == {agent["agent_id"] for agent in everybody}
        copy = (await api("POST", "/agents/{agent_id}/duplicate", {"name": "Copy"}, agent_id=agent_id))["agent_id"]
        assert (await api("GET", "/agents/{agent_id}", agent_id=copy))["name"] == "Copy"
        summaries = await api("GET", "/agents/summaries", params={"agent_ids": [agent_id, "none"]})
        assert summaries[agent_id]["data"]["name"] == "Made"
        assert summaries["none"]["status"] == "failure"
        await api("GET", "/agents/{agent_id}/link", agent_id=agent_id)
        await api("GET", "/agents/{agent_id}/branches", agent_id=agent_id)
        await api("DELETE", "/agents/{agent_id}", agent_id=agent_id)
        await api("GET", "/agents/{agent_id}", agent_id=agent_id, status=404)
        await api("DELETE", "/agents/{agent_id}", agent_id=agent_id, status=404)

    asking(serving, scene)


def test_an_agent_that_was_made_can_be_talked_to_at_once_and_as_it_is_now(serving: Serving, document: Any) -> None:
    """The next conversation has what the last change said."""

    async def scene(server: Any, api: Api) -> None:
        agent_id = (await api("POST", "/agents/create", document()))["agent_id"]
        for greeting in ("Hello, how can I help?", "Good evening."):
            async with server.call(agent_id) as caller:
                await caller.initiate()
                assert (await caller.hear("agent_response"))["agent_response"] == greeting
            change = {"conversation_config": {"agent": {"first_message": "Good evening."}}}
            await api("PATCH", "/agents/{agent_id}", change, agent_id=agent_id)
        listed = (await api("GET", "/agents", params={"search": "front"}))["agents"]
        assert next(agent for agent in listed if agent["agent_id"] == agent_id)["last_call_time_unix_secs"]

    asking(serving, scene)


def test_an_agent_in_a_file_is_shown_and_cannot_be_changed(serving: Serving) -> None:
    """And says so."""

    async def scene(server: Any, api: Api) -> None:
        shown = await api("GET", "/agents/{agent_id}", agent_id="desk")
        assert shown["access_info"]["role"] == "viewer"
        refused = await api("PATCH", "/agents/{agent_id}", {"name": "x"}, agent_id="desk", status=400)
        assert refused["detail"]["status"] == "agent_is_read_only"
        await api("DELETE", "/agents/{agent_id}", agent_id="desk", status=400)

    asking(serving, scene)


def test_a_widget_is_shown_to_whoever_may_talk_to_the_agent(serving: Serving) -> None:
    """No key for a public agent; a signed address or a key for another."""

    async def scene(server: Any, api: Api) -> None:
        url = (await api("GET", "/conversation/get-signed-url", params={"agent_id": "private"}))["signed_url"]
        await api("GET", "/agents/{agent_id}/widget", agent_id="private")
        del api.http.headers["xi-api-key"]
        shown = await api("GET", "/agents/{agent_id}/widget", agent_id="desk")
        assert shown["widget_config"]["use_rtc"] is False
        await api("GET", "/agents/{agent_id}/widget", agent_id="private", status=401)
        signature = httpx.URL(url).params["conversation_signature"]
        params = {"conversation_signature": signature}
        await api("GET", "/agents/{agent_id}/widget", agent_id="private", params=params)
        params = {"conversation_signature": "cvtkn_none"}
        await api("GET", "/agents/{agent_id}/widget", agent_id="private", params=params, status=401)

    asking(serving, scene)


@pytest.mark.parametrize(
    "body",
    [{}, {"conversation_config": 5}, {"conversation_config": {"turn": {"turn_timeout": "soon"}}}, [], "agent"],
)
def test_what_is_no_agent_is_refused(serving: Serving, body: Any) -> None:
    """422, with the place."""

    async def scene(server: Any, api: Api) -> None:
        refused = await api("POST", "/agents/create", body, status=422)
        assert refused["detail"][0]["loc"][0] == "body"

    asking(serving, scene)


def leaves(document: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(document, dict) and document:
        return [leaf for key, value in document.items() for leaf in leaves(value, (*path, key))]
    return [(path, document)]


def other(value: Any) -> Any:
    """Another value of the same type; None where there is none to make up."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case _:
            return None


def test_every_field_of_an_agent_that_is_set_comes_back(serving: Serving, document: Any) -> None:
    """One after another, each leaf of what GET answers is changed; those that make no sense here are refused with 422,
    and none is lost or changes another."""

    async def scene(server: Any, api: Api) -> None:
        agent_id = (await api("POST", "/agents/create", document()))["agent_id"]
        before = await api("GET", "/agents/{agent_id}", agent_id=agent_id)
        tried = refused = 0
        for path, value in leaves(
            {key: before[key] for key in ("conversation_config", "platform_settings", "workflow")}
        ):
            new = other(value)
            if new is None:
                continue
            change: Any = new
            for key in reversed(path):
                change = {key: change}
            answer = await api.http.patch(f"{V1}/agents/{agent_id}", json=change)
            assert answer.status_code in (200, 422), (path, answer.text)
            tried += 1
            if answer.status_code == 422:
                refused += 1
                continue
            found = answer.json()
            for key in path:
                found = found[key]
            assert found == new, path
        assert tried > 150
        assert refused < tried / 4

    asking(serving, scene)


async def each_leaf_comes_back(api: Api, method: str, path: str, before: dict[str, Any], **ids: str) -> int:
    """Change the leaves of a document one after another; how many came back as they were set."""
    back = 0
    for where, value in leaves(before):
        new = other(value)
        if new is None or where[-1] in ("type", "id"):
            continue
        change: Any = new
        for key in reversed(where):
            change = {key: change}
        body = change if method == "PATCH" else {**before, **change}
        answer = await api.http.request(method, V1 + path.format(**ids), json=body)
        assert answer.status_code in (200, 422), (where, answer.text)
        if answer.status_code == 200:
            found = answer.json()
            for key in where:
                found = found[key]
            assert found == new, where
            back += 1
    return back


def test_every_field_of_a_tool_that_is_set_comes_back(serving: Serving) -> None:
    """Of a webhook, which has most of them."""

    async def scene(server: Any, api: Api) -> None:
        schema = {"url": "https://example.com/{id}", "method": "GET", "path_params_schema": {"id": {"type": "string"}}}
        config = {"type": "webhook", "name": "ask", "description": "Asks", "api_schema": schema}
        tool = await api("POST", "/tools", {"tool_config": config})
        before = {"tool_config": tool["tool_config"]}
        assert await each_leaf_comes_back(api, "PATCH", "/tools/{tool_id}", before, tool_id=tool["id"]) > 8

    asking(serving, scene)


def test_every_field_of_a_test_that_is_set_comes_back(serving: Serving) -> None:
    """PUT takes the whole of it."""

    async def scene(server: Any, api: Api) -> None:
        body = {
            "type": "simulation",
            "name": "a test",
            "chat_history": [{"role": "user", "message": "hello", "time_in_call_secs": 0}],
            "simulation_scenario": "somebody calls",
            "simulation_max_turns": 5,
            "success_condition": "greets",
            "dynamic_variables": {"name": "Ann"},
        }
        test_id = (await api("POST", "/agent-testing/create", body))["id"]
        assert await each_leaf_comes_back(api, "PUT", "/agent-testing/{test_id}", body, test_id=test_id) >= 5

    asking(serving, scene)


def test_tools_live_and_stay_while_agents_use_them(serving: Serving, document: Any) -> None:
    """Made, shown, changed, listed; forgotten by force only while an agent names one."""

    async def scene(server: Any, api: Api) -> None:
        config = {"type": "client", "name": "look", "description": "Looks", "parameters": {"type": "object"}}
        tool = await api("POST", "/tools", {"tool_config": config, "note": "kept"})
        assert tool["note"] == "kept"
        changed = await api("PATCH", "/tools/{tool_id}", {"tool_config": {"description": "Sees"}}, tool_id=tool["id"])
        assert (changed["tool_config"]["name"], changed["tool_config"]["description"]) == ("look", "Sees")
        assert (await api("GET", "/tools/{tool_id}", tool_id=tool["id"])) == changed
        body = document()
        body["conversation_config"]["agent"]["prompt"] = {"tool_ids": [tool["id"]]}
        agent_id = (await api("POST", "/agents/create", body))["agent_id"]
        users = await api("GET", "/tools/{tool_id}/dependent-agents", tool_id=tool["id"])
        assert [user["id"] for user in users["agents"]] == [agent_id]
        refused = await api("DELETE", "/tools/{tool_id}", tool_id=tool["id"], status=400)
        assert refused["detail"]["status"] == "tool_in_use"
        assert [each["id"] for each in (await api("GET", "/tools"))["tools"]] == [tool["id"]]
        await api("DELETE", "/tools/{tool_id}", tool_id=tool["id"], params={"force": True})
        await api("GET", "/tools/{tool_id}", tool_id=tool["id"], status=404)
        await api("POST", "/tools", {"tool_config": {"type": "client"}}, status=422)

    asking(serving, scene)


def test_a_secret_never_comes_out_again(serving: Serving) -> None:
    """Name, id, and who uses it; one in use stays."""

    async def scene(server: Any, api: Api) -> None:
        secret = await api("POST", "/secrets", {"type": "new", "name": "crm", "value": "very-secret"})
        secret_id = secret["secret_id"]
        await api(
            "PATCH",
            "/secrets/{secret_id}",
            {"type": "update", "name": "crm2", "value": "another-secret"},
            secret_id=secret_id,
        )
        assert await server.services.workspace.secret(secret_id) == "another-secret"
        schema = {"url": "https://example.com", "method": "GET", "request_headers": {"x": {"secret_id": secret_id}}}
        config = {"type": "webhook", "name": "ask", "description": "", "api_schema": schema}
        tool = await api("POST", "/tools", {"tool_config": config})
        shown = await api("GET", "/secrets/{secret_id}", secret_id=secret_id)
        assert [user["id"] for user in shown["used_by"]["tools"]] == [tool["id"]]
        listed = await api("GET", "/secrets")
        assert "another-secret" not in json.dumps([shown, listed])
        await api("DELETE", "/secrets/{secret_id}", secret_id=secret_id, status=400)
        await api("DELETE", "/tools/{tool_id}", tool_id=tool["id"])
        await api("DELETE", "/secrets/{secret_id}", secret_id=secret_id)

    asking(serving, scene)


def test_tests_of_agents_are_kept_and_a_run_says_that_it_did_not_run(serving: Serving) -> None:
    """As the vendor's command line makes them, placeholder ids included."""

    async def scene(server: Any, api: Api) -> None:
        bodies = {
            "llm": {"success_condition": "greets", "success_examples": [], "failure_examples": []},
            "tool": {"tool_call_parameters": {"referenced_tool": {"id": "tool_123", "type": "client"}}},
            "simulation": {"simulation_scenario": "somebody calls"},
        }
        made: list[str] = []
        for kind, rest in bodies.items():
            body = {"type": kind, "name": f"a {kind} test", "chat_history": [], **rest}
            test_id = (await api("POST", "/agent-testing/create", body))["id"]
            shown = await api("GET", "/agent-testing/{test_id}", test_id=test_id)
            assert {key: shown[key] for key in rest}.keys() == rest.keys()
            renamed = await api("PUT", "/agent-testing/{test_id}", {**body, "name": "new"}, test_id=test_id)
            assert renamed["name"] == "new"
            made.append(test_id)
        assert len((await api("GET", "/agent-testing"))["tests"]) == 3
        run = await api("POST", "/agents/{agent_id}/run-tests", {"tests": [{"test_id": made[0]}]}, agent_id="desk")
        assert run["test_runs"][0]["status"] == "pending"
        await server.services.evaluations.idle()
        kept = await api("GET", "/test-invocations/{test_invocation_id}", test_invocation_id=run["id"])
        assert kept["test_runs"][0]["status"] == "failed"  # its model is no judge
        await api("GET", "/test-invocations", params={"agent_id": "desk"})
        await api("DELETE", "/agent-testing/{test_id}", test_id=made[0])
        await api("GET", "/agent-testing/{test_id}", test_id=made[0], status=404)

    asking(serving, scene)


def test_numbers_settings_servers_and_models(serving: Serving) -> None:
    """Kept, shown as published, and truthful about what is not there."""

    async def scene(server: Any, api: Api) -> None:
        new = {"provider": "twilio", "phone_number": "+491234", "label": "Desk", "sid": "AC", "token": "very-secret"}
        number_id = (await api("POST", "/phone-numbers", new))["phone_number_id"]
        change = {"agent_id": "desk"}
        shown = await api("PATCH", "/phone-numbers/{phone_number_id}", change, phone_number_id=number_id)
        assert shown["assigned_agent"]["agent_name"] == "Front desk"
        assert "very-secret" not in json.dumps(await api("GET", "/phone-numbers"))
        call = {"agent_id": "desk", "agent_phone_number_id": number_id, "to_number": "+49"}
        for carrier in ("twilio", "sip-trunk"):
            answer = await api("POST", f"/{carrier}/outbound-call", call)
            assert answer["success"] is False
            assert "carrier" in answer["message"]
        await api("DELETE", "/phone-numbers/{phone_number_id}", phone_number_id=number_id)
        settings = await api("GET", "/settings")
        assert settings["can_use_mcp_servers"] is True
        await api("PATCH", "/settings", {"webhooks": {"post_call_webhook_id": "none"}}, status=404)
        url = {"url": "https://example.com/x", "request_headers": {}}
        changed = await api("PATCH", "/settings", {"conversation_initiation_client_data_webhook": url})
        assert changed["conversation_initiation_client_data_webhook"]["url"] == url["url"]
        config = {"name": "files", "url": "https://example.com/mcp", "approval_policy": "auto_approve_all"}
        mcp = await api("POST", "/mcp-servers", {"config": config})
        patch = {"approval_policy": "require_approval_all"}
        changed = await api("PATCH", "/mcp-servers/{mcp_server_id}", patch, mcp_server_id=mcp["id"])
        assert changed["config"]["approval_policy"] == "require_approval_all"
        assert (await server.services.workspace.mcp_server(mcp["id"])).config["name"] == "files"
        await api("GET", "/mcp-servers")
        await api("DELETE", "/mcp-servers/{mcp_server_id}", mcp_server_id=mcp["id"])
        models = (await api.http.get(f"{V1}/llm/list")).json()  # published is a closed list of the vendor's models
        assert [model["llm"] for model in models["llms"]] == ["gpt-*", "custom-llm"]
        assert (await api("GET", "/analytics/live-count"))["count"] == 0

    asking(serving, scene, llm_models={"gpt-*": {"base_url": "http://127.0.0.1:9/v1"}})
