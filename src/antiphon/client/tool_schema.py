"""A function's type hints as the JSON schema of a tool's parameters, and the parameters back as its arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

_CALL_ID = "tool_call_id"


class Signature:
    """How a tool's function wants to be called.

    A function with one positional parameter that is a dict, or has no type hint, gets all parameters as one dict, as
    the original's handlers do; any other function gets them by name, as the types that it asks for. It may ask for
    `tool_call_id`, which is not the agent's to fill in.

    Raises:
        TypeError: a parameter's type has no JSON schema.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        try:
            parameters = list(inspect.signature(function).parameters.values())
            hints = get_type_hints(_plain(function), include_extras=True)
        except (NameError, TypeError, ValueError):  # built-in, or hints that only a type checker can resolve
            parameters, hints = [], {}
            self.takes_dict = True
        else:
            self.takes_dict = len(parameters) == 1 and _is_whole(parameters[0], hints)
        self._answers = hints.get("return", Any) is not type(None)
        self._fields = {
            parameter.name: (hints.get(parameter.name, Any), parameter.default is parameter.empty)
            for parameter in parameters
            if not self.takes_dict and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        }

    def arguments(self, parameters: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and named arguments for a call of the agent; what the function does not know is left out.

        Raises:
            ValueError: a parameter is missing or of the wrong type; the text is made for the agent.
        """
        if self.takes_dict:
            return (parameters,), {}
        named: dict[str, Any] = {}
        for name, (hint, required) in self._fields.items():
            if name not in parameters:
                if required:
                    raise ValueError(f"parameter {name!r} is missing")
                continue
            try:
                named[name] = msgspec.convert(parameters[name], hint, strict=False)
            except msgspec.ValidationError as error:
                raise ValueError(f"parameter {name!r}: {error}") from error
        return (), named

    def definition(self, name: str) -> dict[str, Any]:
        """The tool as an agent's configuration has it: `type`, `name`, `description`, `parameters`, ..."""
        documentation = inspect.getdoc(self._function) or ""
        described = _described(documentation)
        properties: dict[str, Any] = {}
        for field, (hint, _) in self._fields.items():
            if field != _CALL_ID:
                schema = _schema(hint)
                if field in described:
                    schema.setdefault("description", described[field])
                properties[field] = schema
        required = [field for field, (_, needed) in self._fields.items() if needed and field != _CALL_ID]
        return {
            "type": "client",
            "name": name,
            "description": " ".join(documentation.split("\n\n")[0].split()),
            "expects_response": self._answers,
            "parameters": {"type": "object", "properties": properties, "required": required},
        }


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    while hasattr(function, "func"):  # functools.partial
        function = function.func  # pyright: ignore[reportFunctionMemberAccess]
    return function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__


def _is_whole(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> bool:
    if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
        return False
    hint = hints.get(parameter.name, Any)
    origin = get_origin(hint) or hint
    return hint is Any or (isinstance(origin, type) and issubclass(origin, Mapping))


def _schema(hint: Any) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([hint])
    described = [text for text in get_args(hint)[1:] if isinstance(text, str)] if hasattr(hint, "__metadata__") else []
    schema = _inlined(schema, components)
    return schema | ({"description": described[0]} if described else {})


def _inlined(node: Any, components: Mapping[str, Any]) -> Any:
    """The schema without references, which models and consoles do not follow."""
    if isinstance(node, list):
        return [_inlined(item, components) for item in node]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(components[str(node["$ref"]).rpartition("/")[2]], components)  # pyright: ignore[reportUnknownArgumentType]
    plain: dict[str, Any] = {key: _inlined(value, components) for key, value in node.items()}  # pyright: ignore[reportUnknownVariableType]
    alternatives = [kind for kind in plain.get("anyOf", []) if kind != {"type": "null"}]
    if len(alternatives) == 1:  # `str | None`: leaving it out is how to say None
        del plain["anyOf"]
        return alternatives[0] | {key: value for key, value in plain.items() if value is not None}
    for kind, name in ((str, "string"), (int, "integer")):
        if "enum" in plain and all(type(choice) is kind for choice in plain["enum"]):
            plain.setdefault("type", name)
    return plain


def _described(documentation: str) -> dict[str, str]:
    """The parameters that a docstring explains, below a line `Args:`."""
    section = re.search(r"^(?:Args|Arguments|Parameters):\s*\n((?:[ \t]+.*\n?|\s*\n)+)", documentation, re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in section[1].splitlines() if section is not None else []:
        entry = re.match(r"\s+\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s+(.*)", line)
        if entry is not None:
            name = entry[1]
            found[name] = entry[2].strip()
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found
