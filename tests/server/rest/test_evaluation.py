"""Simulated conversations and tests of agents, run by a scripted model that plays agent, user and judge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .test_agents import Api, Serving, asking

PLAYS = "You play a person"
JUDGES = "You judge"
SUMMARISES = "You write down"
READS = "You read a value"

SUMMARY = {"summary": "A table was booked.", "title": "Booking", "result": "success", "rationale": "It was booked."}
RULES: list[dict[str, Any]] = [
    {"system": PLAYS, "when": "how can I help", "say": "book Monday"},
    {"system": PLAYS, "when": "is booked", "say": "Thank you. HANG_UP"},
    {"system": PLAYS, "say": "And then?"},
    {
        "system": JUDGES,
        "when": "the sky is green",
        "say": 'Sure: ```{"result": "failure", "rationale": "It is not."}```',
    },
    {"system": JUDGES, "when": "nobody can tell", "say": "Well, who knows."},
    {"system": JUDGES, "when": "^Criterion", "say": '{"result": "success", "rationale": "So it is."}'},
    {"system": JUDGES, "say": "I said so."},
    {"system": SUMMARISES, "say": json.dumps(SUMMARY)},
    {"system": READS, "when": "Value: day", "say": '{"value": "Monday", "rationale": "The user said so."}'},
    {"system": READS, "say": '{"value": "many", "rationale": "Guessed."}'},
    {
        "when": "^book (?P<day>\\w+)",
        "tool": {"name": "book", "parameters": {"day": "{day}"}},
        "then": "{result} is booked.",
        "error": "It failed: {result}",
    },
    {"when": "^thank you", "say": "You are welcome."},
    {"when": "^bye", "tool": {"name": "end_call", "parameters": {"reason": "done"}}, "then": "Bye."},
    {"say": "I am {{name}}."},
]
for _rule in RULES[:-1]:
    _rule.setdefault("when", "[\\s\\S]*")
BOOK = {
    "type": "client",
    "name": "book",
    "description": "Books a day.",
    "expects_response": True,
    "parameters": {"type": "object", "properties": {"day": {"type": "string", "description": "Which day."}}},
}
CRITERION = {"id": "booked", "name": "Booked", "type": "prompt", "conversation_goal_prompt": "A table is booked."}


@pytest.fixture
def agent(document: Any) -> dict[str, Any]:
    """An agent that books days, with a criterion and data to collect."""
    body = document()
    config = body["conversation_config"]
    config["antiphon"]["llm"]["rules"] = RULES
    config["agent"]["prompt"] = {
        "prompt": "You book tables.",
        "tools": [BOOK],
        "built_in_tools": {"end_call": {"name": "end_call", "params": {"system_tool_type": "end_call"}}},
    }
    body["platform_settings"]["evaluation"] = {"criteria": [CRITERION]}
    body["platform_settings"]["data_collection"] = {
        "day": {"type": "string", "description": "Which day."},
        "guests": {"type": "integer", "description": "How many guests."},
    }
    return body


def simulation(**more: Any) -> dict[str, Any]:
    """A request for a simulation."""
    user = {"prompt": {"prompt": "You want a table."}, "first_message": "", "language": "en"}
    return {"simulation_specification": {"simulated_user_config": user, **more}}


def said(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Who said what."""
    return [(turn["role"], turn["message"]) for turn in answer["simulated_conversation"] if turn["message"]]


SIMULATE = "/agents/{agent_id}/simulate-conversation"


def test_a_simulated_user_talks_to_the_agent_and_the_conversation_is_judged(
    serving: Serving, agent: dict[str, Any]
) -> None:
    """Both speak until the user hangs up; a mock answers the tool; the judge's words come back, and only those."""

    async def scene(_: Any, api: Api) -> None:
        agent_id = (await api("POST", "/agents/create", agent))["agent_id"]
        mocks = {"book": {"default_return_value": "Tuesday", "default_is_error": False}}
        extra = {**CRITERION, "id": "sky", "conversation_goal_prompt": "the sky is green"}
        body = {**simulation(tool_mock_config=mocks), "extra_evaluation_criteria": [extra]}
        answer = await api("POST", SIMULATE, body, agent_id=agent_id)
        assert said(answer) == [
            ("agent", "Hello, how can I help?"),
            ("user", "book Monday"),
            ("agent", "Tuesday is booked."),
            ("user", "Thank you."),
            ("agent", "You are welcome."),
        ]
        (call,) = [call for turn in answer["simulated_conversation"] for call in turn["tool_calls"]]
        assert json.loads(call["params_as_json"]) == {"day": "Monday"}
        analysis = answer["analysis"]
        results = analysis["evaluation_criteria_results"]
        assert {name: each["result"] for name, each in results.items()} == {"booked": "success", "sky": "failure"}
        assert analysis["call_successful"] == "failure"
        assert analysis["transcript_summary"] == "A table was booked."
        collected = analysis["data_collection_results"]
        assert collected["day"]["value"] == "Monday"
        assert collected["guests"]["value"] is None
        assert "no integer" in collected["guests"]["rationale"]

    asking(serving, scene)


def test_a_simulation_goes_on_from_what_was_said_and_keeps_to_its_limit(
    serving: Serving, agent: dict[str, Any]
) -> None:
    """The agent does not greet again; no more new messages than asked for; the streamed answer holds the same."""

    async def scene(_: Any, api: Api) -> None:
        agent_id = (await api("POST", "/agents/create", agent))["agent_id"]
        history = [
            {"role": "agent", "message": "Hi.", "time_in_call_secs": 0},
            {"role": "user", "message": "What?", "time_in_call_secs": 1},
        ]
        body = {
            **simulation(partial_conversation_history=history, dynamic_variables={"name": "Ada"}),
            "new_turns_limit": 4,
        }
        answer = await api("POST", SIMULATE, body, agent_id=agent_id)
        assert said(answer)[:2] == [("agent", "Hi."), ("user", "What?")]
        assert [role for role, _ in said(answer)[2:]] == ["agent", "user", "agent"]
        streamed = await api.http.post(f"/v1/convai{SIMULATE.format(agent_id=agent_id)}/stream", json=body)
        *parts, last = [json.loads(line) for line in streamed.text.splitlines()]
        turns = [turn for part in parts for turn in part["simulated_conversation"]]
        assert len([turn for turn in turns if turn["message"]]) == 4
        assert last["analysis"]["call_successful"] == "success"

    asking(serving, scene)


async def ran(server: Any, api: Api, agent_id: str, test: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The only run of a test, when it is over."""
    test_id = (await api("POST", "/agent-testing/create", {"name": "t", **test}))["id"]
    asked = {"tests": [{"test_id": test_id}], **more}
    begun = await api("POST", "/agents/{agent_id}/run-tests", asked, agent_id=agent_id)
    assert [run["status"] for run in begun["test_runs"]] == ["pending"]
    await server.services.evaluations.idle()
    kept = await api("GET", "/test-invocations/{test_invocation_id}", test_invocation_id=begun["id"])
    return {**kept["test_runs"][0], "invocation": begun["id"]}


def asked(message: str) -> list[dict[str, Any]]:
    """A history in which the user says that."""
    return [{"role": "user", "message": message, "time_in_call_secs": 0}]


def test_an_answer_is_judged_by_the_condition_of_its_test(serving: Serving, agent: dict[str, Any]) -> None:
    """Passed and failed as the judge says; without a usable verdict it has failed, as unknown, with the reason."""

    async def scene(server: Any, api: Api) -> None:
        agent_id = (await api("POST", "/agents/create", agent))["agent_id"]
        test = {"type": "llm", "chat_history": asked("Thank you"), "success_condition": "it is polite"}
        test["success_examples"] = [{"type": "success", "response": "Gladly."}]
        good = await ran(server, api, agent_id, test)
        assert (good["status"], good["condition_result"]["result"]) == ("passed", "success")
        assert [turn["message"] for turn in good["agent_responses"]] == ["You are welcome."]
        assert good["metadata"]["test_type"] == "llm"
        bad = await ran(server, api, agent_id, {**test, "success_condition": "the sky is green"})
        assert (bad["status"], bad["condition_result"]["rationale"]["summary"]) == ("failed", "It is not.")
        unsure = await ran(server, api, agent_id, {**test, "success_condition": "nobody can tell"})
        assert (unsure["status"], unsure["condition_result"]["result"]) == ("failed", "unknown")
        assert "no usable answer" in unsure["condition_result"]["rationale"]["summary"]
        again = {"test_run_ids": [good["test_run_id"]], "agent_id": agent_id}
        answer = await api.http.post(f"/v1/convai/test-invocations/{good['invocation']}/resubmit", json=again)
        assert answer.status_code == 200
        await server.services.evaluations.idle()
        listed = (await api("GET", "/test-invocations", params={"agent_id": agent_id}))["results"]
        assert sum(each["passed_count"] for each in listed) == 1
        assert sum(each["failed_count"] for each in listed) == 2

    asking(serving, scene)


def test_a_tool_call_is_held_against_what_its_test_expects(serving: Serving, agent: dict[str, Any]) -> None:
    """The tool, its parameters by each way to compare, its absence; an unknown tool cannot be tested."""

    def expecting(*evals: dict[str, Any], tool: str = "book", kind: str = "client", **more: Any) -> dict[str, Any]:
        parameters = [{"path": "day", "eval": each} for each in evals]
        wanted = {"parameters": parameters, "referenced_tool": {"id": tool, "type": kind}, **more}
        return {"type": "tool", "chat_history": asked("book Monday"), "tool_call_parameters": wanted}

    exact, other = ({"type": "exact", "expected_value": day} for day in ("Monday", "Friday"))
    cases = [
        (expecting(exact, {"type": "regex", "pattern": "^Mon"}, {"type": "anything"}), "passed", "as expected"),
        (expecting({"type": "llm", "description": "a day"}), "passed", "as expected"),
        (expecting({"type": "llm", "description": "the sky is green"}), "failed", "It is not."),
        (expecting(other), "failed", "'Monday', not 'Friday'"),
        (expecting(tool="end_call", kind="system"), "failed", "called book, not end_call"),
        (expecting(tool="end_call", kind="system", verify_absence=True), "passed", "did not call"),
        (expecting(tool="tool_123"), "failed", "no tool 'tool_123'"),
    ]

    async def scene(server: Any, api: Api) -> None:
        agent_id = (await api("POST", "/agents/create", agent))["agent_id"]
        for test, status, reason in cases:
            run = await ran(server, api, agent_id, test)
            told = run["condition_result"]["rationale"]["summary"]
            assert (run["status"], reason in told) == (status, True), told

    asking(serving, scene)


def test_a_simulation_is_a_test_too_and_an_override_is_what_is_tested(serving: Serving, agent: dict[str, Any]) -> None:
    """The scenario is played with mocked tools; `agent_config_override` lies over the agent for this run alone."""

    async def scene(server: Any, api: Api) -> None:
        agent_id = (await api("POST", "/agents/create", agent))["agent_id"]
        test = {
            "type": "simulation",
            "simulation_scenario": "You want a table.",
            "success_condition": "A table is booked.",
            "simulation_max_turns": 3,
            "tool_mock_overrides": {"book": [{"mock_result": "Sunday"}]},
        }
        override = {
            "conversation_config": {"agent": {"first_message": "Hey, how can I help?"}},
            "platform_settings": {},
        }
        run = await ran(server, api, agent_id, test, agent_config_override=override)
        assert run["status"] == "passed"
        spoken = [turn["message"] for turn in run["agent_responses"] if turn["message"]]
        assert spoken[:3] == ["Hey, how can I help?", "book Monday", "Sunday is booked."]

    asking(serving, scene)


def test_a_test_that_a_stopped_server_left_behind_has_failed(serving: Serving, agent: dict[str, Any]) -> None:
    """Nothing stays pending for ever."""

    async def scene(server: Any, api: Api) -> None:
        run = {"test_run_id": "trun_1", "test_id": "t", "agent_id": "desk", "status": "pending"}
        document = {"agent_id": "desk", "created_at": 1, "test_runs": [{**run, "test_invocation_id": "suite_1"}]}
        resources = server.services.store.resources
        await resources.create("test_invocation", "suite_1", "Front desk", document, now=1.0)
        await server.services.evaluations.close_abandoned()
        kept = await api("GET", "/test-invocations/{test_invocation_id}", test_invocation_id="suite_1")
        assert kept["test_runs"][0]["status"] == "failed"
        assert "stopped" in kept["test_runs"][0]["condition_result"]["rationale"]["summary"]

    asking(serving, scene)


def test_a_conversation_that_is_over_is_judged_where_the_agent_asks_for_it(
    serving: Serving, agent: dict[str, Any]
) -> None:
    """Its record and the list of conversations have the verdict of the agent's own model; the list can be searched by
    it. What an agent without criteria has said, nobody judges."""

    async def scene(server: Any, api: Api) -> None:
        judged = (await api("POST", "/agents/create", agent))["agent_id"]
        del agent["platform_settings"]["evaluation"], agent["platform_settings"]["data_collection"]
        plain = (await api("POST", "/agents/create", agent))["agent_id"]
        for agent_id in (judged, plain):
            async with server.call(agent_id) as caller:
                await caller.initiate()
                await caller.hear("agent_response")
                await caller.say({"type": "user_message", "text": "thank you"})
                await caller.hear("agent_response")
        await server.services.sessions.idle()
        listed = await api("GET", "/conversations", params={"summary_mode": "include", "call_successful": "success"})
        (found,) = listed["conversations"]
        assert (found["agent_id"], found["transcript_summary"]) == (judged, "A table was booked.")
        assert found["call_summary_title"] == "Booking"
        record = await server.record(found["conversation_id"])
        assert record["analysis"]["evaluation_criteria_results"]["booked"]["rationale"] == "So it is."
        assert record["analysis"]["data_collection_results"]["day"]["value"] == "Monday"
        (other,) = (await api("GET", "/conversations", params={"agent_id": plain}))["conversations"]
        assert (await server.record(other["conversation_id"]))["analysis"] is None

    asking(serving, scene)
