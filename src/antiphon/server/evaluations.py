"""What is judged: simulations and tests of agents, and conversations that are over. Their stage in this server, and
the runs that go on in the background."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from antiphon.agents.config import AgentConfig
from antiphon.agents.workspace import Workspace
from antiphon.engines.registry import Registry
from antiphon.errors import AntiphonError, NotFoundError, SessionError, StoreError
from antiphon.evaluation import cases
from antiphon.evaluation.analysis import analysed, collected_by, criteria_of
from antiphon.evaluation.cases import Report
from antiphon.evaluation.judge import Judge
from antiphon.evaluation.stage import Stage, Surroundings, merge, staged
from antiphon.session.tools.hosts import HostPolicy
from antiphon.store.resources import Resources

from .engine_pool import EnginePool
from .environment_variables import environment_variables

logger = logging.getLogger(__name__)

KIND = "test_invocation"
AT_ONCE = 4
"Tests that run at the same time, all invocations together."
MOST_SIMULATIONS = 8
"Simulations that are answered at the same time."
MOST_WAITING = 100
"Invocations under way: more are refused."
TIME = 600.0
"Seconds that one test, or one simulation, may take."
ANALYSIS_TIME = 60.0
"Seconds that the analysis of a conversation may take: its record, and the webhooks, wait for it."
STOPPED = "the server stopped before the test was run"


class EvaluationsBusyError(SessionError):
    """So many evaluations are under way that another has to wait."""


class Evaluations:
    """Runs tests in the background, and lends stages to simulations."""

    def __init__(
        self,
        registry: Registry,
        engines: EnginePool,
        resources: Resources,
        workspace: Workspace,
        *,
        models: Mapping[str, Mapping[str, Any]],
        hosts: HostPolicy,
        clock: Callable[[], float],
        epoch: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._engines = engines
        self._resources = resources
        self._workspace = workspace
        self._models = models
        self._hosts = hosts
        self._clock = clock
        self._epoch = epoch
        self._running = asyncio.Semaphore(AT_ONCE)
        self._simulations = 0
        self._invocations: dict[str, dict[str, Any]] = {}
        "Documents of those under way, by id."
        self._tasks: asyncio.TaskGroup | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Have tests run in the background; until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            await asyncio.Event().wait()

    async def idle(self) -> None:
        """Wait until no test is under way."""
        await self._idle.wait()

    @asynccontextmanager
    async def simulating(self, agent: AgentConfig) -> AsyncGenerator[Stage]:
        """A stage for a simulation.

        Raises:
            EvaluationsBusyError: there is no place for another.
            ConfigError: an engine of the agent cannot be had. EngineError: it does not start.
            TimeoutError: it took too long.
        """
        if self._simulations >= MOST_SIMULATIONS:
            raise EvaluationsBusyError(f"{MOST_SIMULATIONS} simulations are under way; try again later")
        self._simulations += 1
        try:
            async with asyncio.timeout(TIME), self._stage(agent, None) as stage:
                yield stage
        finally:
            self._simulations -= 1

    async def analysis(
        self, agent: AgentConfig, environment: str | None, transcript: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any] | None:
        """What the agent's own model makes of a conversation that it has had; None: it could not be asked. Raises
        nothing of ours."""
        extra = {"agent_id": agent.agent_id}
        try:
            async with asyncio.timeout(ANALYSIS_TIME), self._stage(agent, environment) as stage:
                return await analysed(
                    transcript, Judge(stage.llm), criteria=criteria_of(agent.raw), collected=collected_by(agent.raw)
                )
        except TimeoutError:
            logger.warning("a conversation's analysis took longer than %g seconds", ANALYSIS_TIME, extra=extra)
        except AntiphonError as error:
            logger.warning("a conversation could not be analysed: %s", error, extra=extra)
        return None

    def start(self, identifier: str, document: dict[str, Any], override: Mapping[str, Any] | None) -> None:
        """Run the pending runs of an invocation that is kept already. Returns at once.

        Raises EvaluationsBusyError; SessionError: one of that id is under way, or the server does not run.
        """
        self.check(identifier)
        assert self._tasks is not None, "checked above"
        self._invocations[identifier] = document
        self._idle.clear()
        self._tasks.create_task(self._invoke(identifier, document, override))

    def check(self, identifier: str = "") -> None:
        """Raises as `start`."""
        if self._tasks is None or identifier in self._invocations:
            raise EvaluationsBusyError("the tests of this invocation are still being run")
        if len(self._invocations) >= MOST_WAITING:
            raise EvaluationsBusyError(f"{MOST_WAITING} invocations of tests are under way; try again later")

    async def close_abandoned(self) -> None:
        """Have those fail that a process left behind that died. Raises StoreError."""
        for kept in await self._resources.all(KIND):
            left = [run for run in kept.document["test_runs"] if run["status"] == "pending"]
            for run in left:
                _settle(run, Report("unknown", [STOPPED]), self._epoch())
            if left:
                await self._resources.update(KIND, kept.id, now=self._epoch(), document=kept.document)

    # ------------------------------------------------------------------------------------------------- the runs

    async def _invoke(self, identifier: str, document: dict[str, Any], override: Mapping[str, Any] | None) -> None:
        pending = deque(run for run in document["test_runs"] if run["status"] == "pending")

        async def work() -> None:
            while pending:
                run = pending.popleft()
                async with self._running:
                    report = await self._report(run, override)
                _settle(run, report, self._epoch())
                await self._resources.update(KIND, identifier, now=self._epoch(), document=copy.deepcopy(document))

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(AT_ONCE, len(pending))):
                    workers.create_task(work())
        except* NotFoundError:
            logger.info("an invocation of tests was deleted while it ran")
        except* StoreError:
            logger.exception("what came of tests could not be written")
        finally:
            del self._invocations[identifier]
            if not self._invocations:
                self._idle.set()

    async def _report(self, run: Mapping[str, Any], override: Mapping[str, Any] | None) -> Report:
        test: Mapping[str, Any] | None = run.get("test_info")
        if test is None:
            return Report("unknown", [f"there is no test with id {run['test_id']!r}"])
        try:
            async with asyncio.timeout(TIME):
                agent = await self._workspace.agent(run["agent_id"])
                if override is not None:
                    raw = copy.deepcopy(dict(agent.raw))
                    merge(raw, {key: value for key, value in override.items() if isinstance(value, Mapping)})
                    agent = AgentConfig.parse(raw, agent_id=agent.agent_id)
                async with self._stage(agent, test.get("environment")) as stage:
                    return await cases.run(test, stage, conversation_id=run["test_run_id"])
        except TimeoutError:
            return Report("unknown", [f"the test took longer than {TIME:g} seconds"])
        except AntiphonError as error:
            return Report("unknown", [f"the test could not be run: {error}"])
        except Exception:
            logger.exception("a test broke", extra={"test_run_id": run["test_run_id"]})
            return Report("unknown", ["the server failed while it ran the test; its log says why"])

    @asynccontextmanager
    async def _stage(self, agent: AgentConfig, environment: str | None) -> AsyncGenerator[Stage]:
        variables = await environment_variables(self._resources, self._workspace, environment)
        around = Surroundings(
            registry=self._registry,
            models=self._models,
            workspace=self._workspace,
            hosts=self._hosts,
            clock=self._clock,
            epoch=self._epoch,
            environment={**os.environ, **variables.all},
            told=variables.texts,
        )
        async with AsyncExitStack() as stack:
            base = None
            if agent.agent_id in self._engines.agent_ids:  # what it hears and speaks with is not loaded for a text
                base = await stack.enter_async_context(self._engines.using(await self._workspace.agent(agent.agent_id)))
            yield await stack.enter_async_context(staged(agent, around, base=base))


def _settle(run: dict[str, Any], report: Report, now: float) -> None:
    """Write into a run what came of it."""
    reasons = [reason for reason in report.reasons if reason]
    run.update(
        status=report.status,
        agent_responses=[dict(turn) for turn in report.responses],
        condition_result={
            "result": report.result,
            "rationale": {"messages": reasons, "summary": " ".join(reasons)},
        },
        last_updated_at_unix=int(now),
    )


def statuses(runs: Collection[Mapping[str, Any]]) -> dict[str, int]:
    """How many of the runs passed, failed, and are pending."""
    return {
        f"{status}_count": sum(run["status"] == status for run in runs) for status in ("passed", "failed", "pending")
    }
