"""How a scene names a text or a value that it expects.

Speech is compared as people hear it: `how can i help` is in "Hello! How can I help?". `/how can (i|we)/` is a regular
expression, searched in the text as it stands; `/HELP/i` for any case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import PydanticCustomError

_EXPRESSION = re.compile(r"/(?P<pattern>.+)/(?P<flags>[ims]*)", re.DOTALL)
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}


def expression(text: str) -> re.Pattern[str] | None:
    """The regular expression of a text between slashes; None: it is plain text. Raises re.error."""
    found = _EXPRESSION.fullmatch(text)
    if found is None:
        return None
    flags = 0
    for flag in found["flags"]:
        flags |= _FLAGS[flag]
    return re.compile(found["pattern"], flags)


def checked(text: str) -> str:
    """The text, if it can be looked for. For pydantic."""
    try:
        pattern = expression(text)
    except re.error as error:
        context = {"text": text, "error": str(error)}
        raise PydanticCustomError("expression", "{text} is no regular expression: {error}", context) from error
    if pattern is None and not plain(text):
        raise PydanticCustomError("empty", "should have a word in it")
    return text


def plain(text: str) -> str:
    """The words alone: small letters and digits, one space between."""
    return " ".join(re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.casefold().replace("’", "'")))


def said(wanted: str, text: str) -> bool:
    """Whether the words, or the expression, are in a text."""
    pattern = expression(wanted)
    if pattern is not None:
        return pattern.search(text) is not None
    return f" {plain(wanted)} " in f" {plain(text)} "


@dataclass(frozen=True, slots=True)
class Missing:
    """In the place of a value that is not there."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = Missing()


def at_path(document: Any, path: str) -> Any:
    """The value at a dotted path, `a.0.b`; MISSING where there is none."""
    value = document
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = cast("Mapping[str, Any]", value)[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(cast("list[Any]", value)):
            value = cast("list[Any]", value)[int(step)]
        else:
            return MISSING
    return value


def same(wanted: Any, value: Any) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    return bool(wanted == value)
