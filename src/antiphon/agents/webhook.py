"""A webhook tool's request, as its author describes it: the address, and where each argument goes (rest.md 3.4).

The model is shown one flat object; `Webhook.sort` takes what it filled in apart again: path, query, body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from .arguments import SECRET, Schema, check_schema
from .reading import View

Place: TypeAlias = Literal["path", "query", "body", "whole body"]

PLACEHOLDER = re.compile(r"\{\{\s*(?P<variable>[A-Za-z_][\w.-]*)\s*\}\}|\{(?P<parameter>[A-Za-z_][\w.-]*)\}")
"`{{variable}}` or `{parameter}` in an address."


def _url(url: str) -> str:
    found = [match["variable"] or "" for match in PLACEHOLDER.finditer(url)]
    if any(name.startswith(SECRET) for name in found):
        raise PydanticCustomError("secret", "should hold no secret: secrets go into headers only")
    if any(match["parameter"] for match in PLACEHOLDER.finditer(authority(url)[0])):
        raise PydanticCustomError("url", "should name its host: the model does not choose it")
    return url


def _object_schema(schema: Schema | None) -> Schema | None:
    if schema is not None:
        check_schema(schema, "")
    return schema


def _literals(schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    check_schema({"properties": schemas}, "")
    return schemas


def _upper(method: Any) -> Any:
    return method.upper() if isinstance(method, str) else method


class ResponseFilter(View):
    """How much of a JSON answer the model gets to see."""

    mode: Literal["all", "allow", "hide_all"] = "all"
    filters: tuple[str, ...] = ()
    "Of `allow`: dot paths of what it may see."


Header: TypeAlias = str | Mapping[str, Any]
"A text with `{{variables}}`, or `{secret_id}`, `{variable_name}`, `{env_var_label}`."


class Webhook(View):
    """`api_schema`."""

    url: Annotated[str, AfterValidator(_url)]
    "With `{parameters}` and `{{variables}}`."
    method: Annotated[Literal["GET", "POST", "PUT", "PATCH", "DELETE"], BeforeValidator(_upper)] = "GET"
    path_params_schema: Annotated[Mapping[str, Any], AfterValidator(_literals)] = {}
    query_params_schema: Annotated[Mapping[str, Any] | None, AfterValidator(_object_schema)] = None
    request_body_schema: Annotated[Mapping[str, Any] | None, AfterValidator(_object_schema)] = None
    request_headers: Mapping[str, Header] = {}
    content_type: Literal["application/json", "application/x-www-form-urlencoded"] = "application/json"
    response_filter: ResponseFilter = ResponseFilter()
    auth_connection: Mapping[str, Any] | None = None
    "Not supported: a call of such a tool fails."

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter in one object schema. Where two places share a name, the later one's gets a prefix."""
        properties: dict[str, Any] = {}
        required: list[str] = []
        for name, (place, own) in self._names().items():
            schema = self._schema(place)
            properties[name] = cast("Mapping[str, Any]", schema["properties"])[own]
            if own in cast("Sequence[str]", schema.get("required") or ()):
                required.append(name)
        return {"type": "object", "properties": properties, "required": required}

    def sort(self, arguments: Mapping[str, Any]) -> Request:
        """What goes where. `arguments`: by the names of `parameters`; others go into a body that names none itself."""
        request = Request({}, {}, {} if self.has_body else None)
        places = {"path": request.path, "query": request.query, "body": request.body}
        names = self._names()
        for name, value in arguments.items():
            place, own = names.get(name, ("body" if self._free_form else None, name))
            if place == "whole body":
                return replace(request, body=value)
            target = places.get(place) if place is not None else None
            if target is not None:
                target[own] = value
        return request

    @property
    def has_body(self) -> bool:
        """Whether the request has one: an empty one too, if the author describes it."""
        return self.method in ("POST", "PUT", "PATCH") and self.request_body_schema is not None

    @property
    def _free_form(self) -> bool:
        return self.has_body and not self._is_given and not (self.request_body_schema or {}).get("properties")

    @property
    def _is_given(self) -> bool:
        """The body is a constant or a variable, whole."""
        schema = self.request_body_schema or {}
        return bool(schema.get("constant_value") or schema.get("dynamic_variable"))

    def _schema(self, place: Place) -> Mapping[str, Any]:
        if place == "path":
            return {"properties": self.path_params_schema, "required": list(self.path_params_schema)}
        if place == "query":
            return self.query_params_schema or {}
        if place == "whole body":
            whole = {**(self.request_body_schema or {}), "properties": None}
            return {"properties": {"body": whole}} if self.has_body and self._is_given else {}
        if self._is_given:
            return {}
        return (self.request_body_schema or {}) if self.has_body else {}

    def _names(self) -> dict[str, tuple[Place, str]]:
        """Name for the model -> its place, and its name there."""
        names: dict[str, tuple[Place, str]] = {}
        places: tuple[Place, ...] = ("whole body", "path", "query", "body")
        for place in places:
            for own in cast("Mapping[str, Any]", self._schema(place).get("properties") or {}):
                name = own
                while name in names:
                    name = f"{place}_{name}".replace(" ", "_")
                names[name] = (place, own)
        return names


@dataclass(frozen=True, slots=True)
class Request:
    """Arguments by where they go."""

    path: dict[str, Any]
    query: dict[str, Any]
    body: Any = None
    "Mostly an object; None: there is none."


def authority(template: str) -> tuple[str, str, str]:
    """`https://host`, `/`, what is behind it; a template that begins with a variable has its host in there."""
    scheme = re.match(r"[A-Za-z]+://", template)
    start = scheme.end() if scheme else 0
    ends = [at for mark in "/?#" if (at := template.find(mark, start)) >= 0]
    at = min(ends, default=len(template))
    return template[:at], template[at : at + 1], template[at + 1 :]


def as_text(value: Any) -> str:
    """A value as it stands in an address, a form or a header."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
