"""A tool's parameters, walked twice: what of the schema a model is shown, and what becomes of the arguments it sends.

The schema has been checked for its shape (`ToolConfig`); what is in the arguments is anybody's guess.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from pydantic_core import PydanticCustomError

Schema: TypeAlias = Mapping[str, Any]

_OURS = frozenset(
    {
        "dynamic_variable",
        "constant_value",
        "is_system_provided",
        "is_omitted",
        "allowed_values",
        "allowed_values_dynamic_variable",
        "required_constraints",
    }
)
"Keywords that are the API's, not JSON schema's: of no use to a model."

SECRET = "secret__"
"Variables of this prefix go into headers only (protocol.md 2.3)."

_NO_CONSTANT = (None, "")
"Both are how the API writes that there is no constant."

_NOTHING: Any = object()
"No value, where null would be one."


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one argument: `where` names it, `what` goes on from there."""

    where: str
    what: str


_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")


def check_schema(schema: Any, where: str) -> None:
    """The shape that the rest of this room relies on, checked once: at load, not in the middle of a call.

    Raises:
        PydanticCustomError: something is not what it should be; the message names it.
    """
    if not isinstance(schema, Mapping):
        raise malformed(where, "an object")
    known = cast("Mapping[str, Any]", schema)
    required: Any = known.get("required")
    if required is not None and not (
        isinstance(required, list) and all(isinstance(name, str) for name in cast("list[Any]", required))
    ):
        raise malformed(f"{where}required", "a list of names")
    properties: Any = known.get("properties")
    if properties is not None and not isinstance(properties, Mapping):
        raise malformed(f"{where}properties", "an object")
    for name, inner in (cast("Mapping[str, Any] | None", properties) or {}).items():
        check_schema(inner, f"{where}properties.{name}.")
    if known.get("items") is not None:
        check_schema(known["items"], f"{where}items.")


def malformed(where: str, expected: str) -> PydanticCustomError:
    """What is wrong with a schema, as its reader raises it."""
    context = {"where": where.removesuffix("."), "expected": expected}
    return PydanticCustomError("schema", "{where} should be {expected}", context)


def with_variables(text: str, variables: Mapping[str, Any]) -> str:
    """The text with its `{{variables}}` put in. Secrets, and what has no value, stay names."""

    def value_of(found: re.Match[str]) -> str:
        value = None if found[1].startswith(SECRET) else variables.get(found[1])
        if value is None:
            return found[0]
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return _VARIABLE.sub(value_of, text)


# ------------------------------------------------------------------------------------------------- for the model


def shown(schema: Schema) -> dict[str, Any]:
    """The schema without what the model is not to fill in."""
    plain = {key: value for key, value in schema.items() if key not in _OURS and value is not None}
    if not plain.get("description"):
        plain.pop("description", None)
    if "properties" in schema:
        properties = _properties(schema)
        plain["properties"] = {name: shown(inner) for name, inner in properties.items() if _is_asked(inner)}
        hidden = properties.keys() - plain["properties"].keys()
        plain["required"] = [name for name in _required(schema) if name not in hidden]
        if not plain["required"]:
            del plain["required"]
    if schema.get("items") is not None:
        plain["items"] = shown(schema["items"])
    return plain


def _properties(schema: Schema) -> Mapping[str, Schema]:
    return cast("Mapping[str, Schema] | None", schema.get("properties")) or {}


def _required(schema: Schema) -> Sequence[str]:
    return cast("Sequence[str] | None", schema.get("required")) or ()


def _is_asked(schema: Schema) -> bool:
    """Whether the model gives this value, or some part of it."""
    if _is_provided(schema):
        return False
    properties = _properties(schema)
    return not properties or any(_is_asked(inner) for inner in properties.values())


def _is_provided(schema: Schema) -> bool:
    return bool(
        schema.get("dynamic_variable")
        or schema.get("is_system_provided")
        or schema.get("is_omitted")
        or schema.get("constant_value") not in _NO_CONSTANT
    )


# ----------------------------------------------------------------------------------------------- from the model


class Filling:
    """One set of arguments on its way from the model to the tool. What is wrong with it is gathered in `problems`."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.problems: list[Problem] = []
        self._variables = variables

    def fill(self, schema: Schema, given: Mapping[str, Any], where: str = "") -> dict[str, Any]:
        """The arguments of an object: those of the model put right, the others put in. Unknown ones are passed on."""
        arguments = dict(given)
        properties, required = _properties(schema), _required(schema)
        for name, inner in properties.items():
            value = self._argument(
                inner, given.get(name, _NOTHING), f"{where}.{name}" if where else name, name in required
            )
            if value is _NOTHING:
                arguments.pop(name, None)
            else:
                arguments[name] = value
        for name in required:
            if name not in properties and given.get(name) is None:
                self.problems.append(Problem(f"{where}.{name}" if where else name, "is required"))
        return arguments

    def _argument(self, schema: Schema, given: Any, where: str, required: bool) -> Any:
        if _is_provided(schema):
            return self._provided(schema, where, required)
        if not _is_asked(schema):
            return self.fill(schema, {}, where) or ({} if required else _NOTHING)
        if given is None and "null" in _types(schema):
            return None
        if given is None or given is _NOTHING:  # models write null for what they leave out
            if required:
                self.problems.append(Problem(where, f"is required ({_described(schema)})"))
            return _NOTHING
        return self._fitted(schema, given, where)

    def _provided(self, schema: Schema, where: str, required: bool) -> Any:
        if schema.get("constant_value") not in _NO_CONSTANT:
            constant: Any = schema["constant_value"]
            return with_variables(constant, self._variables) if isinstance(constant, str) else constant
        variable = schema.get("dynamic_variable")
        if not isinstance(variable, str) or not variable:
            return _NOTHING
        if not variable.startswith(SECRET) and self._variables.get(variable) is not None:
            return self._variables[variable]
        if required:
            self.problems.append(Problem(where, f"is taken from the variable {variable!r}, which has no value"))
        return _NOTHING

    def _fitted(self, schema: Schema, value: Any, where: str) -> Any:
        fitted = _as_any_of(_types(schema), value)
        if fitted is _NOTHING:
            self.problems.append(Problem(where, f"should be {_described(schema)}, not {_quoted(value)}"))
            return value
        if isinstance(fitted, Mapping):
            return self.fill(schema, cast("Mapping[str, Any]", fitted), where)
        if isinstance(fitted, list):
            items: Schema = schema.get("items") or {}
            elements = enumerate(cast("list[Any]", fitted))
            return [self._fitted(items, element, f"{where}[{i}]") for i, element in elements]
        choices: Any = schema.get("enum")
        if isinstance(choices, list) and fitted not in choices and str(fitted) not in choices:
            self.problems.append(Problem(where, f"should be one of {_quoted(choices)}, not {_quoted(value)}"))
        self._check_permitted(schema, fitted, where)
        return fitted

    def _check_permitted(self, schema: Schema, value: Any, where: str) -> None:
        """`allowed_values`: a list in a variable that the model is not told. Without that list nothing is permitted."""
        named: Any = schema.get("allowed_values")
        if isinstance(named, Mapping):
            variable: Any = cast("Mapping[str, Any]", named).get("dynamic_variable")
        else:
            variable = schema.get("allowed_values_dynamic_variable")
        if not isinstance(variable, str) or not variable:
            return
        permitted: Any = self._variables.get(variable)
        if isinstance(permitted, str):
            permitted = _parsed(permitted)
        if not isinstance(permitted, list) or value not in permitted:
            self.problems.append(Problem(where, f"may not be {_quoted(value)}"))


def _types(schema: Schema) -> Sequence[str]:
    kind: Any = schema.get("type")
    if isinstance(kind, str):
        return (kind,)
    return [str(name) for name in cast("list[Any]", kind)] if isinstance(kind, list) else ("any",)


_EXACTLY: Mapping[str, tuple[type[Any], ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def _as_any_of(kinds: Sequence[str], value: Any) -> Any:
    """The value as one of these types, untouched if it can be; `_NOTHING` where that takes more than other clothes."""
    if any(kind not in _EXACTLY or _is(kind, value) for kind in kinds):
        return value
    return next((worn for kind in kinds if (worn := _as(kind, value)) is not _NOTHING), _NOTHING)


def _is(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, _EXACTLY[kind])


def _as(kind: str, value: Any) -> Any:
    if kind == "string" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return json.dumps(value)
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and kind not in ("string", "null"):
        parsed = _parsed(value.lower() if kind == "boolean" else value)
        if _is(kind, parsed):
            return parsed
        return _as(kind, parsed) if isinstance(parsed, float) else _NOTHING
    return _NOTHING


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOTHING


# --------------------------------------------------------------------------------------------------- in words


def _described(schema: Schema) -> str:
    kind = " or ".join(_article(name) for name in _types(schema))
    description: Any = schema.get("description")
    return f"{kind}: {description}" if description else kind


def _article(kind: str) -> str:
    if kind in ("null", "any"):
        return {"null": "null", "any": "any value"}[kind]
    return f"an {kind}" if kind[:1] in "aeiou" else f"a {kind}"


def _quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else text[:97] + "..."
