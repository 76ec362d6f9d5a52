"""Engines of the agents that are in use: made when a conversation first needs them, freed when an agent has changed and
nobody uses the old ones any more."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from antiphon.agents.config import AgentConfig
from antiphon.agents.workspace import Workspace
from antiphon.engines.registry import Registry
from antiphon.errors import ConfigError
from antiphon.session.engines import Engines, load_engines

from .environment_variables import EnvironmentVariables

MOST_IDLE = 32
"Sets of engines that are kept though no conversation uses them: a workspace may have thousands of agents."


@dataclass(slots=True)
class _Set:
    """The engines of one version of an agent."""

    agent: AgentConfig
    engines: Engines
    users: int = 0
    kept: bool = False
    "It is there from the start to the end: an agent in a file."


class EnginePool:
    """Every agent's engines, as its document has them. Conversations that override something build on them."""

    def __init__(
        self,
        registry: Registry,
        workspace: Workspace,
        models: Mapping[str, Mapping[str, Any]],
        variables: Callable[[], Awaitable[EnvironmentVariables]],
    ) -> None:
        """`variables`: what `env_var_label` names, besides the environment of the process."""
        self._registry = registry
        self._workspace = workspace
        self._models = models
        self._variables = variables
        self._sets: dict[str, _Set] = {}
        "By agent id, the newest version of each; those used last come last."
        self._making = asyncio.Lock()
        "Two conversations that begin at once make the engines of an agent once."

    def loaded(self) -> list[Engines]:
        """What is there now, for others to share."""
        return [each.engines for each in self._sets.values()]

    @property
    def agent_ids(self) -> list[str]:
        """Agents whose engines are loaded."""
        return list(self._sets)

    async def preload(self, agent: AgentConfig) -> None:
        """Have an agent's engines ready until the end. Raises ConfigError, EngineError."""
        (await self._set(agent)).kept = True

    @asynccontextmanager
    async def using(self, agent: AgentConfig) -> AsyncGenerator[Engines]:
        """An agent's engines for as long as this block. Raises ConfigError, EngineError."""
        used = await self._set(agent)
        used.users += 1
        try:
            yield used.engines
        finally:
            used.users -= 1
            await self._let_go(used)

    async def aclose(self) -> None:
        """Free everything."""
        async with AsyncExitStack() as stack:
            while self._sets:
                stack.push_async_callback(self._sets.popitem()[1].engines.aclose)

    async def _set(self, agent: AgentConfig) -> _Set:
        async with self._making:
            known = self._sets.get(agent.agent_id)
            if known is None or known.agent is not agent:
                # Not shared with other agents' engines: those may be closed while this agent still uses them.
                engines = await self._load(agent)
                before, known = known, _Set(agent, engines)
                self._sets.pop(agent.agent_id, None)
                self._sets[agent.agent_id] = known
                if before is not None:
                    await self._let_go(before)
                await self._shrink()
            else:
                self._sets[agent.agent_id] = self._sets.pop(agent.agent_id)
            return known

    async def _load(self, agent: AgentConfig) -> Engines:
        try:
            environment = {**os.environ, **(await self._variables()).all}
            return await load_engines(
                agent, self._registry, models=self._models, workspace=self._workspace, environment=environment
            )
        except ConfigError as error:
            if error.path.startswith(agent.path):
                raise
            raise ConfigError(error.message, path=agent.place(error.path)) from error

    async def _let_go(self, used: _Set) -> None:
        """Close engines of an old version that nobody uses."""
        if used.users == 0 and self._sets.get(used.agent.agent_id) is not used:
            await used.engines.aclose()

    async def _shrink(self) -> None:
        idle = [key for key, each in self._sets.items() if each.users == 0 and not each.kept]
        for agent_id in idle[: max(0, len(idle) - MOST_IDLE)]:
            await self._sets.pop(agent_id).engines.aclose()
