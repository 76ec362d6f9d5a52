"""How JSON documents that people and programs write are read: leniently where that is harmless, precisely where not.

Real documents carry keys that this version does not know, nulls where a field has a default, and numbers as text
(rest.md 8.2). A `View` takes all of these; what it cannot take is a ConfigError that names the place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from antiphon.errors import ConfigError


class View(BaseModel):
    """A typed look at one object of a document. The document stays the truth: what a view leaves out is not lost."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    nullable: ClassVar[frozenset[str]] = frozenset()
    "Fields for which null is a value of its own; everywhere else it means the default."

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Work out once which fields may be null."""
        super().__pydantic_init_subclass__(**kwargs)
        fields = cls.model_fields.items()
        cls.nullable = frozenset(name for name, field in fields if type(None) in get_args(field.annotation))

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, document: object) -> object:
        if not isinstance(document, Mapping):
            raise PydanticCustomError("object_expected", "should be an object")
        items = cast("Mapping[str, Any]", document).items()
        return {key: value for key, value in items if value is not None or key in cls.nullable}


V = TypeVar("V", bound=View)


def read(view: type[V], document: object, *, path: str = "", inside: tuple[str, ...] = ()) -> V:
    """The view of a document. `path`: the file it came from, if any; `inside`: where in that file it stands.

    Raises:
        ConfigError: a value is missing or impossible; its path is `path`, then the JSON path.
    """
    try:
        return view.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ConfigError(_complaint(first) + more, path=place(path, (*inside, *first["loc"]))) from error


def place(file: str, location: str | tuple[int | str, ...] = ()) -> str:
    """A path for an error message: `agents/desk.json: conversation_config.turn.turn_timeout`."""
    inside = location if isinstance(location, str) else ".".join(str(step) for step in location)
    return ": ".join(part for part in (file, inside) if part)


_IN_JSONS_WORDS = {
    "dict_type": "should be an object",
    "mapping_type": "should be an object",
    "tuple_type": "should be a list",
}


def _complaint(error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return "is missing"
    complaint = error["msg"].removeprefix("Input ").removeprefix("String ").partition(", unable to parse")[0]
    complaint = _IN_JSONS_WORDS.get(error["type"], complaint)
    given = error["input"]
    return f"{complaint}, not {given!r:.60}" if isinstance(given, (bool, int, float, str)) else complaint
