"""A conversation between an agent and a user who is played by a language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from antiphon.session.tools.runner import Mock

from .analysis import analysed, collected_by, criteria_of
from .history import split
from .judge import Judge
from .mocks import CALLED, Mocks
from .stage import Stage
from .user import SimulatedUser

MOST_TURNS = 200
"New messages of both sides that a simulation comes to, whatever was asked for."


async def talk(
    stage: Stage,
    user: SimulatedUser,
    *,
    history: Sequence[Mapping[str, Any]] = (),
    most: int = MOST_TURNS,
    dynamic_variables: Mapping[str, Any] | None = None,
    mock: Mock | None = None,
    conversation_id: str = "",
    told: Callable[[Sequence[Mapping[str, Any]]], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """The new turns: after `most` messages, or when either side hangs up, it ends. Raises as `Stage.converse`."""
    before, unanswered = split(history)
    leaving = False

    async def answer(transcript: Sequence[Mapping[str, Any]]) -> str | None:
        nonlocal leaving, unanswered
        if unanswered is not None:  # the last words of the history
            text, unanswered = unanswered, None
            return text
        new = sum(bool(turn.get("message")) for turn in transcript[len(before) :])
        if leaving or new >= min(most, MOST_TURNS):
            return None
        text, leaving = await user.next(transcript)
        return text or None

    return await stage.converse(
        answer,
        history=before,
        dynamic_variables=dynamic_variables,
        mock=mock,
        conversation_id=conversation_id,
        told=told,
    )


async def simulated(
    stage: Stage,
    specification: Mapping[str, Any],
    *,
    extra_criteria: Sequence[Mapping[str, Any]] = (),
    most: int = MOST_TURNS,
    conversation_id: str = "",
    told: Callable[[Sequence[Mapping[str, Any]]], None] = lambda _: None,
) -> dict[str, Any]:
    """What POST /v1/convai/agents/{id}/simulate-conversation answers.

    `specification`: its `simulation_specification`. `told` gets the new turns whenever the agent has finished.
    Raises as `Stage.converse`.
    """
    wanted: Mapping[str, Any] = specification.get("simulated_user_config") or {}
    given: Any = wanted.get("prompt")
    prompt: Mapping[str, Any] = cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else {"prompt": given}
    settings = {name: prompt[name] for name in ("temperature", "max_tokens", "custom_llm") if name in prompt}
    user = SimulatedUser(
        await stage.model(prompt.get("llm"), **settings),
        str(prompt.get("prompt") or ""),
        first_message=str(wanted.get("first_message") or ""),
        language=str(wanted.get("language") or ""),
    )
    judge = Judge(stage.llm)
    history: Sequence[Mapping[str, Any]] = specification.get("partial_conversation_history") or ()
    turns = await talk(
        stage,
        user,
        history=history,
        most=most,
        dynamic_variables=specification.get("dynamic_variables"),
        mock=Mocks(judge, answers=_answers(specification.get("tool_mock_config") or {})),
        conversation_id=conversation_id,
        told=told,
    )
    whole = [*split(history)[0], *turns]
    analysis = await analysed(
        whole,
        judge,
        criteria=[*criteria_of(stage.agent.raw), *extra_criteria],
        collected=collected_by(stage.agent.raw),
    )
    return {"simulated_conversation": whole, "analysis": analysis}


def _answers(mocked: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """`tool_mock_config`, as `Mocks` has it."""
    settings = {name: cast("Mapping[str, Any]", mock or {}) for name, mock in mocked.items()}
    return {
        name: [
            {
                "mock_result": mock.get("default_return_value", CALLED),
                "is_error": mock.get("default_is_error") is True,
            }
        ]
        for name, mock in settings.items()
    }
