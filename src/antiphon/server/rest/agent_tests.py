"""Tests of agents, as the API keeps them: made, changed, listed. Running them is not built yet, and a run says so."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.rest.shapes import completed
from antiphon.store.resources import Resource

router = APIRouter(prefix="/v1/convai", tags=["agent tests"], dependencies=[KeyNeeded])

SHAPES = {
    "llm": "GetResponseUnitTestResponseModel",
    "tool": "GetToolCallUnitTestResponseModel",
    "simulation": "GetSimulationTestResponseModel",
}
EVERYBODY = {"is_creator": True, "creator_name": "workspace", "creator_email": "", "role": "admin"}
MOST = 100
NOT_RUN = "tests of agents cannot be run here yet: `antiphon simulate` runs scenes (docs/simulate.md)"


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
    """Keep what was asked for, with the answer that none of it was run: every run has failed and says why."""
    agent = await services.workspace.agent(agent_id)
    known = {test.id: test for test in await services.store.resources.some("test", [one.test_id for one in body.tests])}
    identifier, now = services.new_id("suite"), services.epoch()
    runs: list[dict[str, Any]] = []
    for asked in body.tests * body.repeat_count:
        test = known.get(asked.test_id)
        reason = NOT_RUN if test else f"there is no test with id {asked.test_id!r}"
        runs.append(
            {
                "test_run_id": services.new_id("trun"),
                "test_invocation_id": identifier,
                "agent_id": agent.agent_id,
                "status": "failed",
                "test_id": asked.test_id,
                "test_name": test.name if test else "Unknown Test",
                "condition_result": {
                    "result": "unknown",
                    "rationale": {"messages": [reason], "summary": reason},
                },
                "agent_responses": [],
                "last_updated_at_unix": int(now),
            }
        )
    document = {
        "agent_id": agent_id,
        "created_at": int(now),
        "repeat_count": body.repeat_count,
        "test_runs": runs,
    }
    kept = await services.store.resources.create("test_invocation", identifier, agent.name, document, now=now)
    return _invocation(kept)


@router.get("/test-invocations/{test_invocation_id}")
async def get_invocation(services: ServicesOf, test_invocation_id: str) -> dict[str, Any]:
    """What came of a run."""
    return _invocation(await services.store.resources.get("test_invocation", test_invocation_id))


@router.get("/test-invocations")
async def list_invocations(
    services: ServicesOf,
    agent_id: Annotated[str, Query()],
    page_size: Annotated[int, Query()] = 30,
    cursor: Annotated[str | None, Query()] = None,
) -> dict[str, Any]:
    """A page of the runs of an agent's tests."""
    size = max(1, min(page_size, MOST))
    page = await services.store.resources.page("test_invocation", cursor=cursor, page_size=size)
    found = [each for each in page.items if each.document["agent_id"] == agent_id]
    results = [
        {
            "id": each.id,
            "agent_id": agent_id,
            "created_at_unix_secs": int(each.created_at),
            "test_run_count": len(each.document["test_runs"]),
            "passed_count": 0,
            "failed_count": len(each.document["test_runs"]),
            "pending_count": 0,
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


def _invocation(kept: Resource) -> dict[str, Any]:
    return completed("GetTestSuiteInvocationResponseModel", {**kept.document, "id": kept.id})
