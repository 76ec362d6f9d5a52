"""The vendor's contract as JSON schemas, one per message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

CONTRACT = Path(__file__).parent / "agent.asyncapi.yaml"
AUDIO = "user_audio_chunk"


class ContractLoader(yaml.SafeLoader):
    """YAML 1.2 booleans: in 1.1 the language code `no` would be False."""


ContractLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


MCP_TOOL_CALL_STATES = ("Loading", "AwaitingApproval", "Success", "Failure")


def as_json_schema(node: Any) -> Any:
    """OpenAPI's `nullable` as JSON Schema says it."""
    if isinstance(node, list):
        return [as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    schema = {key: as_json_schema(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [schema, {"type": "null"}]} if node.get("nullable") is True else schema


def load_contract(*, literal: bool) -> dict[str, Any]:
    """The contract; not `literal`: without the `additionalProperties: false` that makes MCP tool calls impossible.

    It stands in both halves of each state's `allOf`, where each half then forbids what the other one requires.
    """
    contract = yaml.load(CONTRACT.read_text(encoding="utf-8"), ContractLoader)
    if not literal:
        named = contract["components"]["schemas"]
        del named["MCPToolCallBase"]["additionalProperties"]
        for state in MCP_TOOL_CALL_STATES:
            del named[f"MCPToolCall{state}"]["allOf"][1]["additionalProperties"]
    return as_json_schema(contract)


def schemas(contract: dict[str, Any], operation: str) -> dict[str, dict[str, Any]]:
    """Wire type -> schema, for one direction: `publish` is the server's in this contract."""
    components = contract["components"]
    found = {}
    for reference in contract["channels"]["AgentMessages"][operation]["message"]["oneOf"]:
        message = components["messages"][reference["$ref"].rsplit("/", 1)[1]]
        name = message["payload"]["$ref"].rsplit("/", 1)[1]
        kind = components["schemas"][name]["properties"].get("type", {"const": AUDIO})["const"]
        found[kind] = {"$ref": f"#/components/schemas/{name}", "components": components}
    return found


@pytest.fixture(scope="session")
def contract() -> dict[str, dict[str, dict[str, Any]]]:
    """Direction -> wire type -> schema."""
    document = load_contract(literal=False)
    return {"client": schemas(document, "subscribe"), "server": schemas(document, "publish")}


@pytest.fixture(scope="session")
def literal_contract() -> dict[str, dict[str, Any]]:
    """The server's schemas as they are written, contradictions included."""
    return schemas(load_contract(literal=True), "publish")


@pytest.fixture(scope="session")
def violations() -> Callable[[dict[str, Any], Any], list[str]]:
    """What is wrong with a message by a schema; nothing, if it is valid."""

    def check(schema: dict[str, Any], message: Any) -> list[str]:
        return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(message)]

    return check
