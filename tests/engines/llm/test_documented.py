"""docs/engines.md tells the truth about language models."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from antiphon.engines.base import EngineContext
from antiphon.engines.llm import endpoint, openai, scripted

PAGE = (Path(__file__).parents[3] / "docs" / "engines.md").read_text(encoding="utf-8")


def part(engine: str) -> str:
    """What the page says about one engine."""
    return PAGE.partition(f"### `{engine}`")[2].partition("\n### ")[0]


def block(engine: str, language: str) -> str:
    found = re.search(rf"^( *)```{language}\n(.*?)^ *```$", part(engine), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[2]


@pytest.mark.parametrize(
    ("engine", "names"),
    [("openai", endpoint.Options.__struct_fields__), ("scripted", scripted.Rule.__struct_fields__)],
)
def test_every_option_is_on_the_page_and_no_other(engine: str, names: tuple[str, ...]) -> None:
    """The tables of docs/engines.md are the options."""
    rows = re.findall(r"^\| `(\w+)` \|", part(engine), re.MULTILINE)
    assert set(rows) == set(names) - {"engine"}


def test_the_defaults_on_the_page_are_the_defaults() -> None:
    """Of the options that are numbers."""
    options = endpoint.Options()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", part("openai"), re.MULTILINE))
    assert {name: float(value) for name, value in rows.items()} == {
        name: value for name in options.__struct_fields__ if isinstance(value := getattr(options, name), int | float)
    }


def test_the_examples_on_the_page_work() -> None:
    """They are read as they stand."""
    model = scripted.create(json.loads(block("scripted", "json")), EngineContext())
    assert "Order is ." in model.texts
    models = tomllib.loads(block("openai", "toml"))["llm_models"]
    openai.create({}, EngineContext(model="gemini-2.5-flash", models=models))
