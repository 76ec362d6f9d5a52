"""Engines and agents that a conversation may change to while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from antiphon.agents.config import AgentConfig
from antiphon.agents.workspace import Workspace
from antiphon.engines.registry import Registry
from antiphon.errors import ConfigError, EngineError, NotFoundError, SessionError

from .engines import Engines, engines_for


class Casting:
    """What one conversation needs to go on in another language or with another agent.

    Engines that are made here live until `aclose`, so that going back to a language costs nothing. `borrow` lends the
    engines that an agent has anyway.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        models: Mapping[str, Mapping[str, Any]],
        workspace: Workspace | None,
        base: Engines,
        borrow: Callable[[AgentConfig], AbstractAsyncContextManager[Engines]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._registry = registry
        self._models = models
        self._workspace = workspace
        self._base = base
        self._borrow = borrow
        self._borrowed: list[Engines] = []
        "Engines of other agents, as their documents have them."
        self._lent = AsyncExitStack()
        "What has to be given back."
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
                    others=[*self._made, *self._borrowed],
                    environment=self._environment,
                )
            except (ConfigError, EngineError) as error:
                raise SessionError(f"no engines for the agent {agent.agent_id}: {error}") from error
            if engines.owned:
                self._made.append(engines)
            return engines

    async def agent(self, agent_id: str) -> AgentConfig:
        """An agent of the workspace, as its document has it. Raises SessionError: it cannot be had."""
        try:
            if self._workspace is None:
                raise NotFoundError("agent", agent_id)
            agent = await self._workspace.agent(agent_id)
            if self._borrow is not None:
                self._borrowed.append(await self._lent.enter_async_context(self._borrow(agent)))
        except (NotFoundError, ConfigError, EngineError) as error:
            raise SessionError(str(error)) from error
        return agent

    async def aclose(self) -> None:
        """Free the engines that were made for this conversation. The base is whose it was."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._lent.aclose)
            while self._made:
                stack.push_async_callback(self._made.pop(0).aclose)
