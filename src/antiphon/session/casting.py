"""Engines and agents that a conversation may change to while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from antiphon.agents.config import AgentConfig
from antiphon.agents.workspace import Workspace
from antiphon.engines.registry import Registry
from antiphon.errors import ConfigError, EngineError, NotFoundError, SessionError

from .engines import Engines, engines_for


class Casting:
    """What one conversation needs to go on in another language or with another agent.

    Engines that are made here live until `aclose`, so that going back to a language costs nothing.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        models: Mapping[str, Mapping[str, Any]],
        workspace: Workspace | None,
        base: Engines,
        others: Sequence[Engines] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._registry = registry
        self._models = models
        self._workspace = workspace
        self._base = base
        self._others = others
        "Engines that are there anyway: those of the other agents."
        self._environment = environment
        self._made: list[Engines] = []
        "Sets with engines of their own."
        self._making = asyncio.Lock()
        "Two requests for the same engine make it once."

    async def engines(self, agent: AgentConfig) -> Engines:
        """The engines of `agent`, as it is in this conversation: taken over wherever they would be the same.

        They are closed here, not by who asked. Raises SessionError: one of them cannot be had.
        """
        async with self._making:
            try:
                engines = await engines_for(
                    agent,
                    self._base,
                    self._registry,
                    models=self._models,
                    workspace=self._workspace,
                    others=[*self._made, *self._others],
                    environment=self._environment,
                )
            except (ConfigError, EngineError) as error:
                raise SessionError(f"no engines for the agent {agent.agent_id}: {error}") from error
            if engines.owned:
                self._made.append(engines)
            return engines

    async def agent(self, agent_id: str) -> AgentConfig:
        """An agent of the workspace, as its document has it. Raises SessionError: there is none of that id."""
        try:
            if self._workspace is None:
                raise NotFoundError("agent", agent_id)
            return await self._workspace.agent(agent_id)
        except NotFoundError as error:
            raise SessionError(str(error)) from error

    async def aclose(self) -> None:
        """Free the engines that were made for this conversation. The base is whose it was."""
        async with AsyncExitStack() as stack:
            while self._made:
                stack.push_async_callback(self._made.pop(0).aclose)
