"""What becomes of a conversation that is over: criteria, collected data, a summary, in the API's shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from .judge import Judge, Result, Verdict


def criteria_of(agent: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The criteria in an agent's document (`platform_settings.evaluation.criteria`)."""
    evaluation: Mapping[str, Any] = _settings(agent).get("evaluation") or {}
    listed = cast("Sequence[Any]", evaluation.get("criteria") or ())
    return [cast("Mapping[str, Any]", each) for each in listed if isinstance(each, Mapping)]


def collected_by(agent: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """What an agent's document wants to be collected (`platform_settings.data_collection`), by id."""
    wanted: Mapping[str, Any] = _settings(agent).get("data_collection") or {}
    return {name: cast("Mapping[str, Any]", each) for name, each in wanted.items() if isinstance(each, Mapping)}


def is_analysed(agent: Mapping[str, Any]) -> bool:
    """Whether an agent's document asks for conversations to be judged: it takes several questions to the model each."""
    return bool(criteria_of(agent) or collected_by(agent))


def _settings(agent: Mapping[str, Any]) -> Mapping[str, Any]:
    settings: Mapping[str, Any] | None = agent.get("platform_settings")
    return settings or {}


async def analysed(
    transcript: Sequence[Mapping[str, Any]],
    judge: Judge,
    *,
    criteria: Sequence[Mapping[str, Any]] = (),
    collected: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The `analysis` of a conversation.

    `call_successful`: whether all criteria are met; without any, what the judge says.
    """
    summary = await judge.summary(transcript)
    judged: dict[str, dict[str, Any]] = {}
    verdicts: list[Verdict] = []
    for criterion in criteria:
        scored = criterion.get("scoring_mode") == "numeric_uniform"
        most = int(criterion.get("max_score") or 100) if scored else None
        verdict = await judge.verdict(
            str(criterion.get("conversation_goal_prompt") or criterion.get("name") or ""),
            transcript,
            max_score=most,
            score_instructions=str(criterion.get("score_instructions") or ""),
        )
        verdicts.append(verdict)
        identifier = str(criterion.get("id"))
        judged[identifier] = {
            "criteria_id": identifier,
            "result": verdict.result,
            "rationale": verdict.rationale,
            "scoring_mode": criterion.get("scoring_mode") or "binary",
            "score": verdict.score,
            "max_score": most,
        }
    data: dict[str, dict[str, Any]] = {}
    for name, schema in (collected or {}).items():
        found = await judge.found(name, schema, transcript)
        data[name] = {
            "data_collection_id": name,
            "value": found.value,
            "json_schema": dict(schema),
            "rationale": found.rationale,
        }
    return {
        "evaluation_criteria_results": judged,
        "evaluation_criteria_results_list": list(judged.values()),
        "data_collection_results": data,
        "data_collection_results_list": list(data.values()),
        "call_successful": _together([each.result for each in verdicts]) if verdicts else summary.verdict.result,
        "transcript_summary": summary.text,
        "call_summary_title": summary.title,
    }


def _together(results: Sequence[Result]) -> Result:
    if "failure" in results:
        return "failure"
    return "unknown" if "unknown" in results else "success"
