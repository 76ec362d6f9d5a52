"""What a tool has answered: values taken out of it for variables, and what of it the model gets to see."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from antiphon.agents.tools import Assignment
from antiphon.agents.webhook import ResponseFilter

NOTHING: Any = object()
"No value, where null would be one."


def parsed(text: str) -> Any:
    """The JSON value that the text is; NOTHING where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOTHING


def assigned(document: Any, assignments: Sequence[Assignment]) -> dict[str, Any]:
    """Variables by what the answer says of them; where it says nothing, or null, there is no entry."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        value = _at(document, assignment.value_path)
        if value is NOTHING or value is None:
            continue
        if isinstance(value, (dict, list)) and not assignment.preserve_native_type:
            value = json.dumps(value, ensure_ascii=False)
        values[assignment.dynamic_variable] = value
    return values


def sanitized(document: Any, assignments: Sequence[Assignment]) -> Any:
    """The answer without the values that nobody is to see; the very same object where there are none."""
    paths = [assignment.value_path for assignment in assignments if assignment.sanitize]
    if not any(_at(document, path) is not NOTHING for path in paths):
        return document
    document = copy.deepcopy(document)
    for path in paths:
        outer, _, last = path.rpartition(".")
        owner = _at(document, outer)
        key = _key(owner, last)
        if key is not NOTHING and isinstance(owner, list):
            owner[key] = None  # the others keep their places
        elif key is not NOTHING:
            del owner[key]
    return document


def filtered(document: Any, rule: ResponseFilter) -> Any:
    """What of a JSON answer the model sees; NOTHING where it sees none of it."""
    if rule.mode == "hide_all":
        return NOTHING
    if rule.mode == "all":
        return document
    seen: Any = NOTHING
    for path in rule.filters:
        seen = _merged(seen, _only(document, path.split(".")))
    return {} if seen is NOTHING else seen


def _at(document: Any, path: str) -> Any:
    for step in path.split(".") if path else []:
        key = _key(document, step)
        if key is NOTHING:
            return NOTHING
        document = document[key]
    return document


def _key(owner: Any, step: str) -> Any:
    """How `step` is found in there; NOTHING where it is not."""
    if isinstance(owner, Mapping):
        return step if step in owner else NOTHING
    if isinstance(owner, list) and step.isdecimal() and int(step) < len(cast("list[Any]", owner)):
        return int(step)
    return NOTHING


def _only(document: Any, steps: Sequence[str]) -> Any:
    """The document with nothing in it but what the path leads to. In lists a name leads into every element."""
    if not steps:
        return document
    step, *rest = steps
    if isinstance(document, list):
        elements = cast("list[Any]", document)
        if step.isdecimal():
            elements, steps = elements[int(step) : int(step) + 1], rest
        kept = [_only(element, steps) for element in elements]
        return [element for element in kept if element is not NOTHING] or NOTHING
    if not isinstance(document, Mapping) or step not in document:
        return NOTHING
    inner = _only(document[step], rest)
    return NOTHING if inner is NOTHING else {step: inner}


def _merged(one: Any, other: Any) -> Any:
    if one is NOTHING or other is NOTHING:
        return other if one is NOTHING else one
    if isinstance(one, dict) and isinstance(other, dict):
        mine, theirs = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        return {key: _merged(mine.get(key, NOTHING), theirs.get(key, NOTHING)) for key in {**mine, **theirs}}
    if isinstance(one, list) and isinstance(other, list):
        first, second = cast("list[Any]", one), cast("list[Any]", other)
        if len(first) == len(second):
            return [_merged(left, right) for left, right in zip(first, second, strict=True)]
        return [*first, *second]
    return other
