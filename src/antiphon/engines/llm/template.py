"""Texts with places to fill in: `{1}` and `{name}` of a regular expression, `{result}` and `{result.path.0}` of a tool.

This is no template language: a place is filled with text, and that is all. Braces that are not a place (`{}`, `{ x }`,
`{{name}}`) are left as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

RESULT = "result"

_PLACE = re.compile(r"(?<!\{)\{(\w+(?:\.[\w-]+)*)\}(?!\})")


def places(text: str) -> list[str]:
    """What `text` wants filled in, in order: "1", "name", "result.items.0"."""
    return _PLACE.findall(text)


def fill(text: str, value: Callable[[str], str]) -> str:
    """`text` with `value(place)` at each place."""
    return _PLACE.sub(lambda match: value(match[1]), text)


def fill_all(values: Any, value: Callable[[str], str]) -> Any:
    """JSON values with every text in them filled, at any depth; a text stays a text."""
    match values:
        case str():
            return fill(values, value)
        case list() | tuple():
            return [fill_all(item, value) for item in cast("Sequence[Any]", values)]
        case Mapping():
            items = cast("Mapping[str, Any]", values)
            return {name: fill_all(item, value) for name, item in items.items()}
        case _:
            return values


def blank(text: str) -> str:
    """`text` without its places: what of it is known beforehand."""
    return " ".join(_PLACE.sub(" ", text).split())


def result_value(result: str, path: Sequence[str]) -> str | None:
    """What stands at `path` in a tool's result, as words to say; no path: the whole result. None: there is nothing.

    The result is read as JSON where it is JSON. Text is said as it is, a list item by item, other values as in JSON.
    """
    try:
        return _words(_at(json.loads(result), path))
    except (ValueError, RecursionError):  # no JSON, or nested to do harm
        return None if path else result


def _at(value: Any, path: Sequence[str]) -> Any:
    for step in path:
        match value:
            case dict() if step in value:
                value = cast("dict[str, Any]", value)[step]
            case list() if step.isdecimal() and int(step) < len(cast("list[Any]", value)):
                value = cast("list[Any]", value)[int(step)]
            case _:
                return None
    return value


def _words(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, list):
        return ", ".join(_item(item) for item in cast("list[Any]", value) if item is not None)
    return _item(value)


def _item(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
