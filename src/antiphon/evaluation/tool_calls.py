"""Whether a tool call is the one that a test expects."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from .judge import Judge

MISSING: Any = object()
MOST_MATCHED = 10_000
"Characters of a value that a pattern is held against."


def at(values: Any, path: str) -> Any:
    """What stands at `order.items.0.id`, `$.order` or `order`; MISSING: nothing."""
    for step in re.findall(r"[^.\[\]]+", path.removeprefix("$")):
        if isinstance(values, Mapping) and step in values:
            values = cast("Mapping[str, Any]", values)[step]
        elif isinstance(values, list) and step.isdecimal() and int(step) < len(cast("list[Any]", values)):
            values = cast("list[Any]", values)[int(step)]
        else:
            return MISSING
    return values


async def mismatches(conditions: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], judge: Judge) -> list[str]:
    """What of the parameters is not as the conditions (`{"path", "eval"}`) want it, in words; empty: nothing."""
    wrong: list[str] = []
    for condition in conditions:
        path = str(condition.get("path", ""))
        value = at(parameters, path)
        if value is MISSING:
            wrong.append(f"there is no parameter {path!r}")
        elif reason := await _mismatch(condition.get("eval") or {}, path, value, judge):
            wrong.append(reason)
    return wrong


async def _mismatch(wanted: Mapping[str, Any], path: str, value: Any, judge: Judge) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    match wanted.get("type"):
        case "anything":
            return ""
        case "exact":
            expected = str(wanted.get("expected_value", ""))
            return "" if text == expected else f"{path} is {text!r}, not {expected!r}"
        case "regex":
            pattern = str(wanted.get("pattern", ""))
            try:
                fits = re.search(pattern, text[:MOST_MATCHED])
            except re.error as error:
                return f"{pattern!r} is no regular expression: {error}"
            return "" if fits else f"{path} is {text!r}, which {pattern!r} does not match"
        case "llm":
            criterion = f"the value of {path} fits this description: {wanted.get('description', '')}"
            verdict = await judge.verdict(criterion, [{"role": "agent", "message": f"{path} = {text}"}])
            return "" if verdict.result == "success" else f"{path} is {text!r}: {verdict.rationale or verdict.result}"
        case other:
            return f"{path} is to be compared by {other!r}, which is unknown here"
