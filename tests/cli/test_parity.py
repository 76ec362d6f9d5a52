"""`antiphon parity`: nothing in it is claimed that the code does not bear out."""

from __future__ import annotations

import ast
import gzip
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from antiphon.agents import parity as of_fields
from antiphon.agents.config import AgentConfig
from antiphon.errors import ConfigError
from antiphon.protocol.codec import CLIENT, SERVER
from antiphon.server import parity as of_server

from . import generate

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "antiphon"
STATES = {"works", "accepted without effect", "refused"}


def antiphon(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One call of the command."""
    return subprocess.run(
        [sys.executable, "-m", "antiphon", *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )


@cache
def trees() -> dict[str, ast.Module]:
    """The code, by file."""
    return {str(file.relative_to(SOURCE)): ast.parse(file.read_text("utf-8")) for file in SOURCE.rglob("*.py")}


def in_conversations(file: str) -> bool:
    """Whether a file is a part of what the server does."""
    return file.split("/")[0] in ("dialogue", "session", "server", "protocol", "agents", "engines", "record")


# --------------------------------------------------------------------------------------------------------- page


def test_the_page_in_docs_is_what_the_code_does() -> None:
    """Whoever adds a route or a field writes docs/parity.md anew: python -m antiphon.server.parity > docs/parity.md."""
    assert (ROOT / "docs" / "parity.md").read_text("utf-8") == of_server.page()


def test_the_command_shows_each_part_for_people_and_for_programs() -> None:
    """`--json` has every line of every part; `--only` one part."""
    whole = json.loads(antiphon("parity", "--json").stdout)
    assert {part: len(lines) for part, lines in whole.items()} == {
        "operations": len(of_server.operations()),
        "messages": len(of_server.messages()),
        "fields": len(of_fields.fields()),
    }
    assert all(line["state"] in STATES for lines in whole.values() for line in lines)
    assert [*json.loads(antiphon("parity", "--json", "--only", "fields").stdout)] == ["fields"]
    shown = antiphon("parity", "--only", "operations").stdout
    assert "GET /v1/convai/conversation/get-signed-url" in shown
    assert "user_audio_chunk" not in shown


# --------------------------------------------------------------------------------------------------- operations


def test_an_operation_works_only_where_the_application_has_its_route() -> None:
    """What has no route is refused, whatever is said of it by hand; names of parameters do not matter."""
    told = {(one.method, one.path): one for one in of_server.operations()}
    assert told["GET", "/v1/convai/conversation/get-signed-url"].state == "works"
    assert told["GET", "/v1/convai/conversations/{conversation_id}"].state == "works"
    assert told["WS", "/v1/convai/conversation"].state == "works"
    assert told["GET", "/v1/convai/conversation/token"].state == "refused"
    assert told["POST", "/v1/convai/batch-calling/submit"] == of_server.Operation(
        rank="B",
        method="POST",
        path="/v1/convai/batch-calling/submit",
        summary=told["POST", "/v1/convai/batch-calling/submit"].summary,
        state="refused",
        note=of_server.NOT_FOUND,
    )
    assert {*of_server.ROUTES_BY_HAND} <= {*told}


def test_every_published_operation_is_listed_once() -> None:
    """All of /v1/convai, and of the rest what clients of agents use."""
    told = [(one.method, one.path) for one in of_server.operations()]
    assert len(told) == len(set(told))
    oracle = json.loads(gzip.decompress(generate.ORACLE.read_bytes()))
    published = {(method.upper(), path) for path, methods in oracle["paths"].items() for method in methods}
    assert published <= set(told)


# ----------------------------------------------------------------------------------------------------- messages


def test_every_message_of_the_contract_is_listed() -> None:
    """The published contract's types, both ways."""
    contract = yaml.safe_load((ROOT / "tests" / "wire" / "agent.asyncapi.yaml").read_text("utf-8"))
    types = {
        schema["properties"]["type"]["const"]
        for name, schema in _payloads(contract["components"]["schemas"])
        if name.endswith("Payload")
    }
    assert len(types) > 20
    assert types <= {message.type for message in of_server.messages()}


def _payloads(schemas: dict[str, dict[str, object]]) -> list[tuple[str, dict[str, dict[str, dict[str, str]]]]]:
    found = []
    for name, schema in schemas.items():
        parts = [schema, *schema.get("allOf", [])]
        found += [(name, part) for part in parts if "const" in part.get("properties", {}).get("type", {})]
    return found


def test_a_message_works_exactly_where_the_code_sends_it_or_goes_by_it() -> None:
    """Server events are made somewhere, client events are named somewhere, outside the vocabulary itself."""
    sent, named = set[str](), set[str]()
    for file, tree in trees().items():
        if not in_conversations(file) or file in ("protocol/events.py", "protocol/codec.py", "protocol/client.py"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute | ast.Name):
                named.add(node.attr if isinstance(node, ast.Attribute) else node.id)
            if isinstance(node, ast.Call):
                function = node.func
                sent.add(function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", ""))
    for message in of_server.messages():
        shapes = [shape for shape in (*CLIENT, *SERVER) if shape.type == message.type]
        if not shapes:
            continue  # user_audio_chunk, the one without a type
        event = shapes[0].event.__name__
        happens = event in (sent if message.direction == "server to client" else named)
        assert happens == (message.state == "works"), f"{message.type}: said to be {message.state}"


# ------------------------------------------------------------------------------------------------------- fields


def test_the_fields_are_those_of_the_published_api() -> None:
    """tests/cli/generate.py makes the list anew."""
    oracle = json.loads(gzip.decompress(generate.ORACLE.read_bytes()))
    assert of_fields.published() == generate.fields(oracle)


def test_a_field_works_only_where_something_reads_it() -> None:
    """A view names it, and code goes by its name; or it is among those that are read without a view."""
    attributes = {node.attr for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for field in of_fields.fields():
        if field.state != "works":
            continue
        path = field.path
        for tree, original in of_fields.MIRRORS:
            path = path.replace(tree, original)
        if (seen := of_fields.viewed(path)) is not None and seen[1] != "source":  # always "response"
            assert seen[1] in attributes, path


def test_what_is_said_to_have_no_effect_is_not_gone_by() -> None:
    """Code that comes to read such a field, as `tts.stability`, has it struck off the list of what does not."""
    read = set[tuple[str, str]]()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                owner = node.value
                read.add((owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", ""), node.attr))
    for path, (state, _) in of_fields.BY_HAND.items():
        if state == "accepted without effect" and of_fields.viewed(path) is not None:
            *_, owner, name = re.findall(r"\w+", path)
            if owner == "built_in_tools":
                continue  # one of a map: its name is no attribute
            assert (owner, name) not in read, f"{path} is read"


def test_what_is_read_without_a_view_is_named_in_the_code() -> None:
    """Each of these keys is a text somewhere in the code that reads agents, tools and webhooks."""
    texts = {
        node.value
        for file, tree in trees().items()
        if in_conversations(file) and not file.endswith("parity.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    annotated = {
        node.target.id
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for path in of_fields.READ_WITHOUT_VIEW:
        assert re.findall(r"\w+", path)[-1] in texts | annotated, path


@pytest.mark.parametrize(
    ("path", "state"),
    [
        ("conversation_config.agent.prompt.llm", "works"),
        ("conversation_config.agent.prompt.reasoning_effort", "accepted without effect"),
        ("conversation_config.tts.supported_voices[].voice_id", "accepted without effect"),
        ("conversation_config.turn.turn_timeout", "works"),
        ("conversation_config.agent.prompt.custom_llm.request_headers.*", "works"),
        ("platform_settings.overrides.conversation_config_override.tts.voice_id", "works"),
        ("platform_settings.overrides.conversation_config_override.tts.stability", "accepted without effect"),
        ("platform_settings.widget.bg_color", "accepted without effect"),
        ("workflow.nodes.*.type", "accepted without effect"),
        ("platform_settings.auth.enable_auth", "works"),
    ],
)
def test_fields_are_judged_by_what_reads_them(path: str, state: str) -> None:
    """A few that everybody knows."""
    assert {field.path: field.state for field in of_fields.fields()}[path] == state


def test_values_that_are_said_to_be_refused_are_refused() -> None:
    """And those that are published and not said to be are taken."""
    (field,) = [field for field in of_fields.fields() if field.path == "conversation_config.turn.turn_eagerness"]
    assert field.note == ""
    for eagerness in of_fields.published()[field.path]["values"]:
        AgentConfig.parse({"conversation_config": {"turn": {"turn_eagerness": eagerness}}}, agent_id="agent")
    with pytest.raises(ConfigError, match="turn_eagerness"):
        AgentConfig.parse({"conversation_config": {"turn": {"turn_eagerness": "hasty"}}}, agent_id="agent")
    for field in of_fields.fields():
        assert ("refused: " in field.note) <= bool(of_fields.published()[field.path].get("values"))
