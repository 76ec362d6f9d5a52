"""docs/agents.md and docs/tools.md name every field that is read, and the example of the first is an agent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from antiphon.agents.config import AgentConfig, AgentDocument
from antiphon.agents.initiation import initiate
from antiphon.agents.reading import View

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "agents.md").read_text(encoding="utf-8")
TOOLS = (DOCS / "tools.md").read_text(encoding="utf-8")


def views(kind: Any) -> Iterator[type[View]]:
    """The views that can be met in a value of this type."""
    if isinstance(kind, type) and issubclass(kind, View):
        yield kind
        for field in kind.model_fields.values():
            yield from views(field.annotation)
    for inner in get_args(kind):
        yield from views(inner)


FIELDS = sorted({(view.__name__, name) for view in views(AgentDocument) for name in view.model_fields})


@pytest.mark.parametrize(("view", "field"), FIELDS, ids=lambda value: value)
def test_every_field_is_documented(view: str, field: str) -> None:
    """By its name, in code; blocks by their headings."""
    assert re.search(rf"`(\w+\.)*{field}[`.]|^#+ (\w+\.)?{field}$", PAGE + TOOLS, re.MULTILINE), f"{view}.{field}"


def test_the_fields_are_found_at_any_depth() -> None:
    """Through lists, maps and what may be null, so that the test above means something."""
    deep = {("AllowedHost", "hostname"), ("Translation", "text"), ("ToolConfig", "params"), ("SoftTimeout", "message")}
    assert deep <= set(FIELDS)


def test_the_example_is_an_agent() -> None:
    """It parses, and a conversation can begin with it, in both of its languages."""
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    agent = AgentConfig.parse(json.loads(example), agent_id="desk")
    assert agent.name == "Front desk"
    for override, greeting in (
        ({}, "Hello dear guest, how can I help?"),
        ({"agent": {"language": "de"}}, "Hallo dear guest, was kann ich tun?"),
    ):
        started = initiate(
            agent, config_override=override, dynamic_variables={}, custom_llm_extra_body={}, system_variables={}
        )
        assert started.conversation_config.agent.first_message == greeting
