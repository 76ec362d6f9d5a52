"""The JSON Schema of a scene file: what editors check and complete scenes by. docs/scene.schema.json is its text."""

from __future__ import annotations

import json
from typing import Any

from .document import Scene


def schema() -> dict[str, Any]:
    """A scene, or several in one file with defaults beside them."""
    scene = Scene.model_json_schema(ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = scene.pop("$defs")
    definitions["Scene"] = {key: value for key, value in scene.items() if key != "title"}
    properties: dict[str, Any] = scene["properties"]
    parts = {name: value for name, value in properties.items() if name != "name"}
    several = {
        "description": "Several scenes; what stands beside `scenes` is the default of each.",
        "type": "object",
        "properties": {
            "scenes": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/PartOfScene"}},
            **parts,
        },
        "required": ["scenes"],
        "additionalProperties": False,
    }
    definitions["PartOfScene"] = {
        "description": "A scene; what it leaves out is taken from beside `scenes`.",
        "type": "object",
        "properties": properties,
        "required": ["name"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Antiphon scenes",
        "description": "A file for `antiphon simulate` (docs/simulate.md).",
        "if": {"type": "object", "required": ["scenes"]},
        "then": several,
        "else": {"$ref": "#/$defs/Scene"},
        "$defs": dict(sorted(_untitled(definitions).items())),
    }


def schema_text() -> str:
    """As the file has it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _untitled(node: Any) -> Any:
    """Without the titles that only repeat a key."""
    if isinstance(node, dict):
        return {
            key: _untitled(value)
            for key, value in node.items()  # pyright: ignore[reportUnknownVariableType]
            if not (key == "title" and isinstance(value, str))
        }
    if isinstance(node, list):
        return [_untitled(each) for each in node]  # pyright: ignore[reportUnknownVariableType]
    return node
