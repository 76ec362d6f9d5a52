"""Everything that a simulated conversation needs, made for it and freed after it."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from antiphon.agents.config import AgentConfig
from antiphon.agents.initiation import initiate, time_variables
from antiphon.agents.workspace import Workspace
from antiphon.engines.base import LanguageModel
from antiphon.engines.registry import Registry
from antiphon.errors import AntiphonError, ConfigError, EngineError
from antiphon.protocol.events import ServerEvent, UserMessage
from antiphon.record.document import conversation_document
from antiphon.session.assembly import assemble
from antiphon.session.casting import Casting
from antiphon.session.engines import Engines, load_engines
from antiphon.session.tools.hosts import HostPolicy
from antiphon.session.tools.runner import Mock

from .history import entries

logger = logging.getLogger(__name__)

Answer = Callable[[Sequence[Mapping[str, Any]]], Awaitable[str | None]]
"The user's next words, out of what was said since the beginning; None: the user hangs up."


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where agents are simulated: the server's engines, tools and clocks."""

    registry: Registry
    models: Mapping[str, Mapping[str, Any]]
    workspace: Workspace
    hosts: HostPolicy
    clock: Callable[[], float]
    "On the time base of the running loop."
    epoch: Callable[[], float]
    environment: Mapping[str, str]
    "What `env_var_label` names, besides the environment of the process."
    told: Mapping[str, str]
    "What of it agents may tell of."


class Stage:
    """One agent, in text, and the language models that play the user and judge."""

    def __init__(
        self,
        surroundings: Surroundings,
        agent: AgentConfig,
        engines: Engines,
        casting: Casting,
        stack: AsyncExitStack,
    ) -> None:
        self.agent = agent
        self.workspace = surroundings.workspace
        self._surroundings = surroundings
        self._engines = engines
        self._casting = casting
        self._stack = stack

    @property
    def llm(self) -> LanguageModel:
        """The agent's own."""
        return self._engines.llm

    @property
    def tool_names(self) -> frozenset[str]:
        """Of the agent's tools; those of MCP servers are known only while one is connected."""
        return frozenset(self._engines.tools)

    async def model(self, name: str | None, **prompt: Any) -> LanguageModel:
        """The language model of that name, `prompt` set besides; the agent's own where there is none of that name here.

        Freed with the stage.
        """
        if not name:
            return self.llm
        raw = copy.deepcopy(dict(self.agent.raw))
        merge(raw, {"conversation_config": {"agent": {"prompt": {"llm": name, **prompt}}}})
        try:
            agent = AgentConfig.parse(raw, agent_id=self.agent.agent_id)
            engines = await load_engines(
                agent,
                self._surroundings.registry,
                models=self._surroundings.models,
                workspace=self.workspace,
                base=self._engines,
                environment=self._surroundings.environment,
            )
        except (ConfigError, EngineError) as error:
            logger.info("the agent's own model is used in place of another: %s", error)
            return self.llm
        self._stack.push_async_callback(engines.aclose)
        return engines.llm

    async def converse(
        self,
        answer: Answer,
        *,
        history: Sequence[Mapping[str, Any]] = (),
        dynamic_variables: Mapping[str, Any] | None = None,
        mock: Mock | None = None,
        conversation_id: str = "",
        told: Callable[[Sequence[Mapping[str, Any]]], None] = lambda _: None,
    ) -> list[dict[str, Any]]:
        """The turns of a conversation with the agent, in the API's shape, without those of `history`.

        `told` gets them whenever the agent has finished. Raises RemoteProtocolError: a dynamic variable has no value;
        EngineError: what `answer` raises.
        """
        around = self._surroundings
        started_at = around.epoch()
        agent = self.agent
        if history:
            raw = copy.deepcopy(dict(agent.raw))
            merge(raw, {"conversation_config": {"agent": {"first_message": ""}}})
            agent = AgentConfig.parse(raw, agent_id=agent.agent_id)
        configured = initiate(
            agent,
            config_override={},
            dynamic_variables=dynamic_variables or {},
            custom_llm_extra_body={},
            system_variables={
                "system__conversation_id": conversation_id,
                **time_variables(started_at, agent.conversation_config.agent.prompt.timezone),
                **{f"system__env_{label}": value for label, value in around.told.items()},
            },
        )
        journal: list[bytes] = []
        session = assemble(
            configured,
            self._engines,
            conversation_id=conversation_id,
            send=_to_nobody,
            write=journal.append,
            clock=around.clock,
            header={"started_at": started_at},
            workspace=around.workspace,
            hosts=around.hosts,
            casting=self._casting,
            told=around.told,
            environment=around.environment,
            history=entries(history),
            mock=mock,
        )

        def turns() -> list[dict[str, Any]]:
            return conversation_document(b"".join(journal).splitlines())["transcript"]

        failure: AntiphonError | None = None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            try:
                await session.quiet()
                while not session.over:
                    said = turns()
                    told(said)
                    text = await answer([*history, *said])
                    if text is None:
                        break
                    session.receive(UserMessage(text=text))
                    await session.quiet()
            except AntiphonError as error:  # kept out of the group, which would wrap it
                failure = error
            session.disconnect()
        if failure is not None:
            raise failure
        said = turns()
        told(said)
        return said


@asynccontextmanager
async def staged(
    agent: AgentConfig, surroundings: Surroundings, *, base: Engines | None = None
) -> AsyncGenerator[Stage]:
    """A stage for `agent`, without sound. `base`: its engines, where they are loaded.

    Raises ConfigError, EngineError.
    """
    raw = copy.deepcopy(dict(agent.raw))
    merge(raw, {"conversation_config": {"conversation": {"text_only": True}}})
    silent = dataclasses.replace(AgentConfig.parse(raw, agent_id=agent.agent_id), path=agent.path)
    made: dict[str, Any] = {
        "models": surroundings.models,
        "workspace": surroundings.workspace,
        "environment": surroundings.environment,
    }
    async with AsyncExitStack() as stack:
        engines = await load_engines(silent, surroundings.registry, base=base, **made)
        stack.push_async_callback(engines.aclose)
        casting = Casting(surroundings.registry, base=engines, **made)
        stack.push_async_callback(casting.aclose)
        yield Stage(surroundings, silent, engines, casting, stack)


def merge(base: dict[str, Any], change: Mapping[str, Any]) -> None:
    """Lay `change` over `base`: objects merge, everything else replaces."""
    for key, value in change.items():
        inner = base.get(key)
        if isinstance(value, Mapping) and isinstance(inner, dict):
            merge(cast("dict[str, Any]", inner), cast("Mapping[str, Any]", value))
        else:
            base[key] = copy.deepcopy(cast("Any", value))


async def _to_nobody(event: ServerEvent) -> None:
    """There is no client: the journal has it all."""
