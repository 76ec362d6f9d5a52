"""Documents as the API answers them: what a client stored, completed with what the API's own answers always have.

`shapes.json` holds, for every object of an answer, its keys, what stands there when nobody has set it, and what is
inside (made by tests/server/rest/generate.py from the API's published description). What a client has set always wins,
keys that nobody knows included.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

import msgspec


class Node(msgspec.Struct, frozen=True):
    """What is known of one key's value."""

    absent: Any = msgspec.UNSET
    "What stands there when nobody has set it; unset: nothing."
    null: bool = False
    "Null is a value."
    object: str = ""
    "The shape of the object that it is."
    items: Node | None = None
    "Of the elements of a list."
    values: Node | None = None
    "Of the values of a map."
    by: str = ""
    of: dict[str, str] = {}
    "The shapes it may have, by the value of its key `by`."


@cache
def _shapes() -> dict[str, dict[str, Node]]:
    text = files(__package__ or "").joinpath("shapes.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, dict[str, Node]])


def completed(shape: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a document that has every key of its shape."""
    answer = dict(document)
    for key, node in _shapes().get(shape, {}).items():
        value = answer.get(key)
        if value is not None or (key in answer and node.null):
            answer[key] = _completed(node, value)
        elif node.absent is not msgspec.UNSET:
            answer[key] = _completed(node, copy.deepcopy(node.absent))
    return answer


def _completed(node: Node, value: Any) -> Any:
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        if shape := _shape(node, mapping):
            return completed(shape, mapping)
        if node.values is not None:
            return {key: _completed(node.values, each) for key, each in mapping.items()}
    if isinstance(value, list) and node.items is not None:
        return [_completed(node.items, each) for each in cast("list[Any]", value)]
    return cast("Any", value)


def merged(shape: str, before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A document after a change: objects of a known shape merge key by key, everything else is replaced."""
    after = dict(before)
    for key, value in change.items():
        node = _shapes().get(shape, {}).get(key, Node())
        old = after.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            given, known = cast("Mapping[str, Any]", value), cast("Mapping[str, Any]", old)
            inner = _shape(node, given) or _shape(node, known)
            if inner and given.get(node.by, known.get(node.by)) == known.get(node.by):
                after[key] = merged(inner, known, given)
                continue
        after[key] = value
    return after


def _shape(node: Node, value: Mapping[str, Any]) -> str:
    """The shape of an object, as far as it is known."""
    return node.of.get(str(value.get(node.by)), "") if node.by else node.object


def section(document: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The object that stands there in a document; an empty one where none does."""
    found: Any = document
    for key in keys:
        found = cast("Mapping[str, Any]", found).get(key) if isinstance(found, Mapping) else None
    return dict(cast("Mapping[str, Any]", found)) if isinstance(found, Mapping) else {}
