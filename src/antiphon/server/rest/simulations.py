"""Conversations between an agent and a simulated user, judged (rest.md 1)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator

from antiphon.agents.config import AgentConfig
from antiphon.errors import AntiphonError, ConfigError, EngineError, RemoteProtocolError
from antiphon.evaluation.simulation import simulated
from antiphon.server.evaluations import TIME, EvaluationsBusyError
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.rest.shapes import completed
from antiphon.server.services import Services

router = APIRouter(prefix="/v1/convai", tags=["simulations"], dependencies=[KeyNeeded])

SHAPE = "AgentSimulatedChatTestResponseModel"


class Turn(BaseModel):
    """Something that was said before."""

    model_config = ConfigDict(extra="allow")

    role: str


class Mock(BaseModel):
    """What a tool is to answer."""

    model_config = ConfigDict(extra="allow")

    default_return_value: str = "Tool Called."
    default_is_error: bool = False


class SimulatedUserConfig(BaseModel):
    """Who talks to the agent."""

    model_config = ConfigDict(extra="allow")

    prompt: dict[str, Any] | None = None
    first_message: str | None = None
    language: str | None = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _bare(cls, prompt: Any) -> Any:
        """The MCP server sends a bare text (rest.md 8)."""
        return {"prompt": prompt} if isinstance(prompt, str) else prompt


class Specification(BaseModel):
    """`simulation_specification`."""

    model_config = ConfigDict(extra="allow")

    simulated_user_config: SimulatedUserConfig
    tool_mock_config: dict[str, Mock] | None = None
    partial_conversation_history: list[Turn] | None = None
    dynamic_variables: dict[str, Any] | None = None


class Criterion(BaseModel):
    """By which the conversation is judged, besides what the agent has."""

    model_config = ConfigDict(extra="allow")

    id: str
    name: str
    conversation_goal_prompt: str


class Simulation(BaseModel):
    """What is to be simulated."""

    model_config = ConfigDict(extra="allow")

    simulation_specification: Specification
    extra_evaluation_criteria: list[Criterion] | None = None
    new_turns_limit: Annotated[int, Field(ge=1)] = 10_000


@router.post("/agents/{agent_id}/simulate-conversation")
async def simulate(services: ServicesOf, agent_id: str, body: Simulation) -> dict[str, Any]:
    """Have the conversation, and answer when it is judged."""
    agent = await services.workspace.agent(agent_id)
    return await _simulated(services, agent, body)


@router.post("/agents/{agent_id}/simulate-conversation/stream")
async def simulate_and_stream(services: ServicesOf, agent_id: str, body: Simulation) -> StreamingResponse:
    """The same: a line of JSON with the new turns whenever the agent has spoken, and a last one with the analysis."""
    agent = await services.workspace.agent(agent_id)
    return StreamingResponse(_lines(services, agent, body), media_type="application/x-ndjson")


async def _lines(services: Services, agent: AgentConfig, body: Simulation) -> AsyncGenerator[str]:
    turns: asyncio.Queue[list[Any] | None] = asyncio.Queue()  # as many as the simulation has turns
    sent = 0

    def told(said: Sequence[Any]) -> None:
        turns.put_nowait(list(said))

    async def work() -> dict[str, Any]:
        try:
            answer = await _simulated(services, agent, body, told)
            return {"simulated_conversation": [], "analysis": answer["analysis"]}
        except ApiError as error:
            return {"error": {"status": error.status, "message": str(error)}}
        finally:
            turns.put_nowait(None)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work())
        while (said := await turns.get()) is not None:
            new, sent = said[sent:], len(said)
            if new:
                yield json.dumps(completed(SHAPE, {"simulated_conversation": new, "analysis": None})) + "\n"
    yield json.dumps(task.result()) + "\n"


async def _simulated(
    services: Services, agent: AgentConfig, body: Simulation, told: Callable[[Sequence[Any]], None] | None = None
) -> dict[str, Any]:
    """Raises ApiError."""
    try:
        async with services.evaluations.simulating(agent) as stage:
            answer = await simulated(
                stage,
                body.simulation_specification.model_dump(exclude_none=True),
                extra_criteria=[each.model_dump() for each in body.extra_evaluation_criteria or ()],
                most=body.new_turns_limit,
                conversation_id=services.new_id("conv"),
                told=told or _ignored,
            )
    except EvaluationsBusyError as error:
        raise ApiError(429, "system_busy", str(error)) from error
    except (ConfigError, RemoteProtocolError) as error:
        raise ApiError(400, "simulation_impossible", str(error)) from error
    except EngineError as error:
        raise ApiError(503, "llm_failed", f"the language model failed: {error.full_text}") from error
    except TimeoutError as error:
        raise ApiError(504, "simulation_timeout", f"the simulation took longer than {TIME:g} seconds") from error
    except AntiphonError as error:
        raise ApiError(400, "simulation_failed", str(error)) from error
    return completed(SHAPE, answer)


def _ignored(turns: Sequence[Any]) -> None:
    """Nobody watches."""
