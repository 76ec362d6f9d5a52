"""Tests of agents, as the API keeps them: made, changed, listed, run in the background, and what came of that."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from antiphon.server.evaluations import KIND, EvaluationsBusyError, statuses
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.rest.shapes import completed
from antiphon.server.services import Services
from antiphon.store.resources import Resource

router = APIRouter(prefix="/v1/convai", tags=["agent tests"], dependencies=[KeyNeeded])

SHAPES = {
    "llm": "GetResponseUnitTestResponseModel",
    "tool": "GetToolCallUnitTestResponseModel",
    "simulation": "GetSimulationTestResponseModel",
}
EVERYBODY = {"is_creator": True, "creator_name": "workspace", "creator_email": "", "role": "admin"}
MOST = 100
RUN_TYPES = {"llm": "llm", "tool": "tool_call", "simulation": "simulation"}
"What the metadata of a run calls the types of tests."
MOST_RUNS = 5_000
"Runs of one invocation."


class TestBody(BaseModel):
    """A test of `type` llm, tool or simulation."""

    __test__ = False
    model_config = ConfigDict(extra="allow")

    name: str
    type: str = "llm"


class Asked(BaseModel):
    """A test that is to be run."""

    model_config = ConfigDict(extra="allow")

    test_id: str


class Run(BaseModel):
    """Tests that are to be run."""

    model_config = ConfigDict(extra="allow")

    tests: Annotated[list[Asked], Field(min_length=1, max_length=1000)]
    repeat_count: Annotated[int, Field(ge=1, le=50)] = 1
    agent_config_override: dict[str, Any] | None = None


class Resubmission(BaseModel):
    """Runs that are to be run again."""

    model_config = ConfigDict(extra="allow")

    test_run_ids: Annotated[list[str], Field(min_length=1, max_length=MOST_RUNS)]
    agent_id: str
    agent_config_override: dict[str, Any] | None = None


class Ids(BaseModel):
    """Which tests."""

    test_ids: list[str]


@router.post("/agent-testing/create")
async def create_test(services: ServicesOf, body: TestBody) -> dict[str, str]:
    """Keep a test. What it refers to need not be there."""
    identifier = services.new_id("test")
    document = _document(body)
    await services.store.resources.create("test", identifier, body.name, document, now=services.epoch())
    return {"id": identifier}


@router.get("/agent-testing")
async def list_tests(
    services: ServicesOf,
    page_size: Annotated[int, Query()] = 30,
    cursor: Annotated[str | None, Query()] = None,
    search: Annotated[str | None, Query()] = None,
    types: Annotated[list[str] | None, Query()] = None,
) -> dict[str, Any]:
    """A page of the tests."""
    size = max(1, min(page_size, MOST))
    page = await services.store.resources.page("test", cursor=cursor, page_size=size, search=search)
    tests = [_summary(test) for test in page.items if not types or test.document["type"] in types]
    return {"tests": tests, "next_cursor": page.next_cursor, "has_more": page.has_more}


@router.post("/agent-testing/summaries")
async def get_summaries(services: ServicesOf, body: Ids) -> dict[str, Any]:
    """What the list shows, of these tests."""
    return {"tests": {test.id: _summary(test) for test in await services.store.resources.some("test", body.test_ids)}}


@router.get("/agent-testing/{test_id}")
async def get_test(services: ServicesOf, test_id: str) -> dict[str, Any]:
    """A test."""
    return _shown(await services.store.resources.get("test", test_id))


@router.put("/agent-testing/{test_id}")
async def update_test(services: ServicesOf, test_id: str, body: TestBody) -> dict[str, Any]:
    """Put another in its place."""
    document = _document(body)
    return _shown(
        await services.store.resources.update("test", test_id, now=services.epoch(), name=body.name, document=document)
    )


@router.delete("/agent-testing/{test_id}")
async def delete_test(services: ServicesOf, test_id: str) -> dict[str, Any]:
    """Forget it."""
    await services.store.resources.delete("test", test_id)
    return {}


@router.post("/agents/{agent_id}/run-tests")
async def run_tests(services: ServicesOf, agent_id: str, body: Run) -> dict[str, Any]:
    """Begin to run them in the background; GET of the invocation tells how far that is."""
    agent = await services.workspace.agent(agent_id)
    asked = body.tests * body.repeat_count
    if len(asked) > MOST_RUNS:
        raise ApiError(400, "too_many_tests", f"{len(asked)} runs at once; {MOST_RUNS} are possible")
    _check_room(services)
    known = {test.id: test for test in await services.store.resources.some("test", [one.test_id for one in body.tests])}
    identifier, now = services.new_id("suite"), services.epoch()
    runs: list[dict[str, Any]] = []
    for one in asked:
        run = {
            "test_run_id": services.new_id("trun"),
            "test_invocation_id": identifier,
            "agent_id": agent.agent_id,
            "test_id": one.test_id,
        }
        runs.append({**run, **_pending(known.get(one.test_id), now)})
    document = {
        "agent_id": agent_id,
        "created_at": int(now),
        "repeat_count": body.repeat_count,
        "test_runs": runs,
    }
    kept = await services.store.resources.create(KIND, identifier, agent.name, document, now=now)
    answer = _invocation(kept)
    _start(services, identifier, copy.deepcopy(document), body.agent_config_override)
    return answer


@router.post("/test-invocations/{test_invocation_id}/resubmit")
async def resubmit(services: ServicesOf, test_invocation_id: str, body: Resubmission) -> dict[str, Any]:
    """Run some of its tests again, as they are now."""
    kept = await services.store.resources.get(KIND, test_invocation_id)
    _check_room(services, test_invocation_id)
    document, now = copy.deepcopy(kept.document), services.epoch()
    again = [run for run in document["test_runs"] if run["test_run_id"] in body.test_run_ids]
    if len(again) < len(set(body.test_run_ids)):
        raise ApiError(404, "test_run_not_found", "the invocation has not all of these test runs")
    if any(run["agent_id"] != body.agent_id for run in again):
        raise ApiError(400, "wrong_agent", "the runs belong to another agent")
    found = await services.store.resources.some("test", [run["test_id"] for run in again])
    known = {test.id: test for test in found}
    for run in again:
        run.update(_pending(known.get(run["test_id"]), now))
    await services.store.resources.update(KIND, test_invocation_id, now=now, document=document)
    _start(services, test_invocation_id, document, body.agent_config_override)
    return {}


@router.get("/test-invocations/{test_invocation_id}")
async def get_invocation(services: ServicesOf, test_invocation_id: str) -> dict[str, Any]:
    """What came of a run."""
    return _invocation(await services.store.resources.get(KIND, test_invocation_id))


@router.get("/test-invocations")
async def list_invocations(
    services: ServicesOf,
    agent_id: Annotated[str, Query()],
    page_size: Annotated[int, Query()] = 30,
    cursor: Annotated[str | None, Query()] = None,
) -> dict[str, Any]:
    """A page of the runs of an agent's tests."""
    size = max(1, min(page_size, MOST))
    page = await services.store.resources.page(KIND, cursor=cursor, page_size=size)
    found = [each for each in page.items if each.document["agent_id"] == agent_id]
    results = [
        {
            "id": each.id,
            "agent_id": agent_id,
            "created_at_unix_secs": int(each.created_at),
            "test_run_count": len(each.document["test_runs"]),
            **statuses(each.document["test_runs"]),
            "repeat_count": each.document.get("repeat_count", 1),
            "title": each.name,
        }
        for each in found
    ]
    return {"results": results, "next_cursor": page.next_cursor, "has_more": page.has_more}


def _document(body: TestBody) -> dict[str, Any]:
    """Raises ApiError: there is no such type of test."""
    if body.type not in SHAPES:
        raise ApiError(400, "invalid_test_type", f"type should be one of {', '.join(SHAPES)}")
    return {**body.model_dump(exclude_unset=True), "type": body.type}


def _shown(test: Resource) -> dict[str, Any]:
    return completed(SHAPES[test.document["type"]], {**test.document, "id": test.id, "name": test.name})


def _summary(test: Resource) -> dict[str, Any]:
    known = {
        "id": test.id,
        "name": test.name,
        "type": test.document["type"],
        "access_info": EVERYBODY,
        "created_at_unix_secs": int(test.created_at),
        "last_updated_at_unix_secs": int(test.updated_at),
    }
    return completed("UnitTestSummaryResponseModel", known)


def _pending(test: Resource | None, now: float) -> dict[str, Any]:
    """What is known of a run before it is run."""
    name = test.name if test else "Unknown Test"
    document: Mapping[str, Any] = test.document if test else {}
    return {
        "status": "pending",
        "test_name": name,
        "test_info": dict(document) if test else None,
        "condition_result": None,
        "agent_responses": None,
        "last_updated_at_unix": int(now),
        "environment": document.get("environment"),
        "metadata": {
            "workspace_id": "workspace",
            "test_name": name,
            "ran_by_user_email": "",
            "test_type": RUN_TYPES[document.get("type", "llm")],
        },
    }


def _check_room(services: Services, identifier: str = "") -> None:
    """Raises ApiError: too much is under way already."""
    try:
        services.evaluations.check(identifier)
    except EvaluationsBusyError as error:
        raise ApiError(429, "system_busy", str(error)) from error


def _start(services: Services, identifier: str, document: dict[str, Any], override: Mapping[str, Any] | None) -> None:
    try:
        services.evaluations.start(identifier, document, override)
    except EvaluationsBusyError as error:
        raise ApiError(429, "system_busy", str(error)) from error


def _invocation(kept: Resource) -> dict[str, Any]:
    return completed("GetTestSuiteInvocationResponseModel", {**kept.document, "id": kept.id})
