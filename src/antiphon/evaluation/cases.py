"""One test of an agent, run: what the agent did, and whether that is what the test wants.

`type` llm: the agent's next answer is judged. tool: its next answer calls the tool that the test names, with parameters
as the test wants them. simulation: a simulated user talks to it, and the whole conversation is judged. In the first
two, no tool is really run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from antiphon.agents.workspace import Workspace
from antiphon.errors import AntiphonError, ConfigError, NotFoundError

from .history import parameters, split
from .judge import Judge, Result
from .mocks import Mocks
from .simulation import talk
from .stage import Stage
from .tool_calls import mismatches
from .user import SimulatedUser

Json = Mapping[str, Any]

MOST_ROUNDS = 50
"Answers of the user in a test that is a simulation."


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a test. One that could not be judged has failed, as `unknown`."""

    result: Result
    reasons: Sequence[str]
    responses: Sequence[Json] = field(default_factory=list[Json])
    "The agent's turns; of a simulation, all turns."

    @property
    def status(self) -> Literal["passed", "failed"]:
        """As the API words it."""
        return "passed" if self.result == "success" else "failed"


async def run(test: Json, stage: Stage, *, conversation_id: str = "") -> Report:
    """Run a test (its document). Raises nothing of ours: what keeps it from being run is in the report."""
    try:
        match test.get("type"):
            case "tool":
                return await _tool(test, stage, conversation_id)
            case "simulation":
                return await _simulation(test, stage, conversation_id)
            case _:
                return await _response(test, stage, conversation_id)
    except AntiphonError as error:
        return Report("unknown", [f"the test could not be run: {error}"])


async def _answered(test: Json, stage: Stage, conversation_id: str) -> list[dict[str, Any]] | None:
    """The agent's turns after the test's history; None: the history does not end with the user's words."""
    before, last = split(cast("Sequence[Json]", test.get("chat_history") or ()))
    if last is None:
        return None
    waiting = [last]

    async def answer(_: Sequence[Json]) -> str | None:
        return waiting.pop() if waiting else None

    turns = await stage.converse(
        answer,
        # without this, an agent with a first message would say it
        history=before or [{"role": "agent", "message": ""}],
        dynamic_variables=test.get("dynamic_variables"),
        mock=Mocks(Judge(stage.llm), strategy="all"),
        conversation_id=conversation_id,
    )
    return [turn for turn in turns if turn["role"] == "agent"]


NO_QUESTION = Report("unknown", ["chat_history has to end with a message of the user, for the agent to answer"])


async def _response(test: Json, stage: Stage, conversation_id: str) -> Report:
    condition = str(test.get("success_condition") or "").strip()
    if not condition:
        return Report("unknown", ["the test has no success_condition"])
    said = await _answered(test, stage, conversation_id)
    if said is None:
        return NO_QUESTION
    verdict = await Judge(stage.llm).verdict(
        f"the assistant's last answer meets this condition: {condition}",
        [*cast("Sequence[Json]", test.get("chat_history") or ()), *said],
        successes=_examples(test, "success_examples"),
        failures=_examples(test, "failure_examples"),
    )
    return Report(verdict.result, [verdict.rationale], said)


def _examples(test: Json, name: str) -> list[str]:
    listed = cast("Sequence[Json]", test.get(name) or ())
    return [str(each.get("response")) for each in listed if each.get("response")]


async def _tool(test: Json, stage: Stage, conversation_id: str) -> Report:
    wanted: Json = test.get("tool_call_parameters") or {}
    if wanted.get("workflow_node_transition"):
        return Report("unknown", ["workflows are not run here: the transition cannot be tested"])
    referenced: Json | None = wanted.get("referenced_tool")
    if referenced is None:
        return Report("unknown", ["the test names no tool (tool_call_parameters.referenced_tool)"])
    name = await _name(str(referenced.get("id")), stage)
    if name is None:
        return Report("unknown", [f"the agent has no tool {referenced.get('id')!r}"])
    said = await _answered(test, stage, conversation_id)
    if said is None:
        return NO_QUESTION
    calls = [cast("Json", call) for turn in said for call in cast("Sequence[Any]", turn["tool_calls"])]
    matching = [call for call in calls if call["tool_name"] == name]
    if wanted.get("verify_absence"):
        if matching:
            return Report("failure", [f"the agent called {name}, which it was not to call"], said)
        return Report("success", [f"the agent did not call {name}"], said)
    if not matching:
        called = ", ".join(str(call["tool_name"]) for call in calls) or "no tool"
        return Report("failure", [f"the agent called {called}, not {name}"], said)
    if len(calls) > 1 and not test.get("check_any_tool_matches"):
        return Report("failure", [f"the agent called {len(calls)} tools, and one was expected"], said)
    conditions = cast("Sequence[Json]", wanted.get("parameters") or ())
    reasons: list[str] = []
    for call in matching:
        wrong = await mismatches(conditions, parameters(call), Judge(stage.llm))
        if not wrong:
            return Report("success", [f"the agent called {name} as expected"], said)
        reasons += wrong
    return Report("failure", reasons, said)


async def _name(identifier: str, stage: Stage) -> str | None:
    """Of the tool of that id, or of a tool of the agent that has it as its name."""
    names = stage.tool_names
    if identifier in names:
        return identifier
    try:
        name = (await stage.workspace.tool(identifier)).name
    except (NotFoundError, ConfigError):
        return None
    return name if name in names else None


async def _simulation(test: Json, stage: Stage, conversation_id: str) -> Report:
    conditions = [str(each) for each in (test.get("success_conditions") or ()) if each]
    if not conditions and test.get("success_condition"):
        conditions = [str(test["success_condition"])]
    if not conditions:
        return Report("unknown", ["the test has no success_condition"])
    judge = Judge(await stage.model(test.get("evaluation_model")))
    user = SimulatedUser(
        await stage.model(test.get("simulated_user_model")), str(test.get("simulation_scenario") or "")
    )
    rounds = min(int(test.get("simulation_max_turns") or 5), MOST_ROUNDS)
    turns = await talk(
        stage,
        user,
        history=cast("Sequence[Json]", test.get("chat_history") or ()),
        most=2 * rounds,
        dynamic_variables=test.get("dynamic_variables"),
        mock=await _mocks(test, judge, stage.workspace),
        conversation_id=conversation_id,
    )
    whole = [*split(cast("Sequence[Json]", test.get("chat_history") or ()))[0], *turns]
    verdicts = [await judge.verdict(condition, whole) for condition in conditions]
    found = [verdict.result for verdict in verdicts]
    result: Result = "failure" if "failure" in found else "unknown" if "unknown" in found else "success"
    return Report(result, [verdict.rationale for verdict in verdicts], turns)


async def _mocks(test: Json, judge: Judge, workspace: Workspace) -> Mocks:
    """`tool_mock_config` and `tool_mock_overrides`, whose keys are ids of tools or their names."""
    config: Json = test.get("tool_mock_config") or {}

    async def name(identifier: str) -> str:
        try:
            return (await workspace.tool(identifier)).name
        except (NotFoundError, ConfigError):
            return identifier

    listed = cast("Mapping[str, Sequence[Json]]", test.get("tool_mock_overrides") or {})
    return Mocks(
        judge,
        answers={await name(key): answers for key, answers in listed.items()},
        strategy=config.get("mocking_strategy") or "none",
        selected=frozenset([await name(key) for key in config.get("mocked_tool_ids") or ()]),
        otherwise=config.get("fallback_strategy") or "raise_error",
    )
