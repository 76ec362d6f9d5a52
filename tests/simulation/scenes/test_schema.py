"""The published JSON Schema says the same as the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from antiphon.simulation.scenes.document import Scene
from antiphon.simulation.scenes.schema import schema, schema_text

ROOT = Path(__file__).resolve().parents[3]
VALIDATOR = jsonschema.Draft202012Validator(schema())


def test_the_published_schema_is_up_to_date() -> None:
    """Made anew by: python -c "from antiphon.simulation.scenes.schema import *; print(schema_text(), end='')"."""
    assert (ROOT / "docs" / "scene.schema.json").read_text(encoding="utf-8") == schema_text()


def test_it_is_a_schema() -> None:
    """By the rules of its own draft."""
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("file", sorted((ROOT / "examples" / "scenes").glob("*.yaml")), ids=lambda file: file.name)
def test_the_examples_are_valid(file: Path) -> None:
    """As an editor checks them."""
    VALIDATOR.validate(yaml.safe_load(file.read_text(encoding="utf-8")))


GOOD: dict[str, Any] = {"name": "x", "agent": "a.json", "caller": [{"says": "hello"}]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"caller": [{"sais": "hello"}]},
        {"caller": [{"says": "hello", "types": "hello"}]},
        {"caller": [{"says": 3}]},
        {"caller": {"persona": "x"}},
        {"expect": [{"agent_says": "x", "within": -1}]},
        {"expect": [{"never": {"nothing": 1}}]},
        {"chunk": 3},
        {"surprise": 1},
    ],
    ids=json.dumps,
)
def test_what_the_reader_refuses_the_schema_refuses(wrong: dict[str, Any]) -> None:
    """Of all that a schema can say."""
    assert VALIDATOR.is_valid(GOOD)
    assert not VALIDATOR.is_valid(GOOD | wrong)


def test_every_key_is_documented() -> None:
    """In docs/simulate.md, in code."""
    page = (ROOT / "docs" / "simulate.md").read_text(encoding="utf-8")
    keys = {
        key
        for definition in (Scene.model_json_schema(), *Scene.model_json_schema()["$defs"].values())
        for key in definition.get("properties", {})
    }
    assert len(keys) > 50
    assert [key for key in sorted(keys) if f"`{key}`" not in page and f"`{key}:" not in page] == []
