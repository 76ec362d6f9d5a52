"""Make what is derived from the published OpenAPI file of the API that this server speaks.

    python tests/server/rest/generate.py OPENAPI.json    trims it to tests/server/rest/openapi.json.gz, then
    python tests/server/rest/generate.py                 writes src/antiphon/server/rest/shapes.json from that

The first is what the tests validate answers against. The second holds facts only: which keys the answers have, which
of them are required, and what stands there when nobody has set them.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ORACLE = HERE / "openapi.json.gz"
SHAPES = HERE.parents[2] / "src" / "antiphon" / "server" / "rest" / "shapes.json"
REFERENCE = "#/components/schemas/"
VENDOR = "elevenlabs.io"

OPERATIONS = """
    get post /v1/convai/agent-testing  get put delete /v1/convai/agent-testing/{test_id}
    post /v1/convai/agent-testing/create  post /v1/convai/agent-testing/summaries
    get /v1/convai/agents  post /v1/convai/agents/create  get /v1/convai/agents/summaries
    get patch delete /v1/convai/agents/{agent_id}  post /v1/convai/agents/{agent_id}/duplicate
    get /v1/convai/agents/{agent_id}/link  get /v1/convai/agents/{agent_id}/widget
    get /v1/convai/agents/{agent_id}/branches  get /v1/convai/agents/{agent_id}/branches/{branch_id}
    post /v1/convai/agents/{agent_id}/run-tests  post /v1/convai/agents/{agent_id}/simulate-conversation
    get /v1/convai/analytics/live-count  get /v1/convai/conversation/get-signed-url  get /v1/convai/conversation/token
    get /v1/convai/conversations  get delete /v1/convai/conversations/{conversation_id}
    get /v1/convai/conversations/{conversation_id}/audio  post /v1/convai/conversations/{conversation_id}/feedback
    get /v1/convai/knowledge-base  post /v1/convai/knowledge-base/file  post /v1/convai/knowledge-base/text
    post /v1/convai/knowledge-base/url  get /v1/convai/knowledge-base/rag-index
    get patch delete /v1/convai/knowledge-base/{documentation_id}
    get /v1/convai/knowledge-base/{documentation_id}/content
    get /v1/convai/knowledge-base/{documentation_id}/dependent-agents
    get post /v1/convai/knowledge-base/{documentation_id}/rag-index
    get /v1/convai/llm/list  get post /v1/convai/mcp-servers  get patch delete /v1/convai/mcp-servers/{mcp_server_id}
    get post /v1/convai/phone-numbers  get patch delete /v1/convai/phone-numbers/{phone_number_id}
    get post /v1/convai/secrets  get patch delete /v1/convai/secrets/{secret_id}
    get patch /v1/convai/settings  post /v1/convai/sip-trunk/outbound-call  post /v1/convai/twilio/outbound-call
    get /v1/convai/test-invocations  get /v1/convai/test-invocations/{test_invocation_id}
    get post /v1/convai/tools  get patch delete /v1/convai/tools/{tool_id}
    get /v1/convai/tools/{tool_id}/dependent-agents
    get post /v1/convai/environment-variables  get patch /v1/convai/environment-variables/{env_var_id}
    get /v1/voices  get /v2/voices  get /v1/voices/{voice_id}  get /v1/voices/settings/default
    get /v1/voices/{voice_id}/settings  get /v1/models  get /v1/user  get /v1/user/subscription
    post /v1/text-to-speech/{voice_id}  post /v1/text-to-speech/{voice_id}/stream
    post /v1/text-to-speech/{voice_id}/with-timestamps  post /v1/text-to-speech/{voice_id}/stream/with-timestamps
    post /v1/speech-to-text  get post /v1/workspace/webhooks  patch delete /v1/workspace/webhooks/{webhook_id}
"""
"What is answered, or will be."

OURS: dict[tuple[str, str], dict[str, Any]] = {
    ("AgentWorkflowResponseModel", "nodes"): {
        "absent": {"start_node": {"type": "start", "position": {"x": 0.0, "y": 0.0}, "edge_order": []}}
    },
    ("ConversationConfig-Output", "client_events"): {
        "absent": [
            *("agent_response", "agent_response_correction", "audio", "conversation_initiation_metadata"),
            *("interruption", "ping", "tentative_user_transcript", "user_transcript"),
        ]
    },
    ("TurnConfig", "merge_with_default_ignore_terms"): {"absent": True},
    ("TTSConversationalConfig-Output", "model_id"): {"absent": "eleven_flash_v2"},
    ("ConversationalConfigAPIModel-Output", "antiphon"): {"object": "antiphon"},
    ("antiphon", "lines"): {"object": "antiphon.lines"},
}
"""What is other here: what this server does where nothing is set, so that a client which sends back what it got changes
nothing; and our own block, whose keys merge one by one."""


def trimmed(whole: dict[str, Any]) -> dict[str, Any]:
    """The operations above, with the schemas that they reach."""
    schemas: dict[str, Any] = whole["components"]["schemas"]
    paths: dict[str, Any] = {}
    for path, method in _operations():
        if (operation := whole["paths"].get(path, {}).get(method)) is not None:
            kept = {
                key: operation[key]
                for key in ("operationId", "parameters", "requestBody", "responses")
                if key in operation
            }
            paths.setdefault(path, {})[method] = kept
    reached: dict[str, Any] = {}
    waiting = _references(paths)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        # The file refers to a few schemas whose name in it has no -Input or -Output.
        reached[name] = schemas.get(name) or schemas[name.removesuffix("-Input").removesuffix("-Output")]
        waiting |= _references(reached[name])
    oracle = {"openapi": whole["openapi"], "paths": paths, "components": {"schemas": dict(sorted(reached.items()))}}
    return _without_prose(oracle)


def _operations() -> list[tuple[str, str]]:
    operations: list[tuple[str, str]] = []
    methods: list[str] = []
    fresh = True
    for word in OPERATIONS.split():
        if word.startswith("/"):
            operations += [(word, method) for method in methods]
            fresh = True
        else:
            methods = [word] if fresh else [*methods, word]
            fresh = False
    return operations


def _references(part: Any) -> set[str]:
    if isinstance(part, dict):
        found = {part["$ref"].removeprefix(REFERENCE)} if isinstance(part.get("$ref"), str) else set[str]()
        return found.union(*(_references(value) for value in part.values()))
    if isinstance(part, list):
        return set[str]().union(*(_references(value) for value in part))
    return set()


def _without_prose(part: Any, *, names: bool = False) -> Any:
    """Without what explains. `names`: the keys are names of properties, which may be "title"."""
    if isinstance(part, list):
        return [_without_prose(value) for value in part]
    if not isinstance(part, dict):
        return part
    prose = () if names else ("description", "title", "example", "examples", "deprecated")
    return {
        key: value
        if key in ("default", "const", "enum") and not names
        else _without_prose(value, names=key == "properties")
        for key, value in part.items()
        if key not in prose and not (key.startswith("x-") and not names)
    }


# ---------------------------------------------------------------------------------------------------------- shapes


class Shapes:
    """What is known of the objects in answers: name -> key -> node.

    A node may say `absent`, what stands there when nobody has set it; `null`, that null is a value; and what is inside:
    `object`, the name of a shape; `items` and `values`, the node of a list's and a map's; `by`, the key that tells
    which of the shapes in `of` it is.
    """

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas
        self._filling: list[str] = []
        self.known: dict[str, dict[str, Any]] = {}

    def add(self, name: str) -> None:
        """A shape with all that it reaches."""
        schema = self._schemas.get(name, {})
        if name in self.known or "properties" not in schema:
            return
        shape = self.known[name] = {}
        required = schema.get("required", ())
        for key, value in schema["properties"].items():
            shape[key] = {**self._node(value, required=key in required), **OURS.get((name, key), {})}

    def _node(self, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
        node = self._inside(schema)
        choices = schema.get("anyOf", ())
        if {"type": "null"} in choices:
            node["null"] = True
        if "default" in schema and VENDOR not in str(schema["default"]):
            node["absent"] = schema["default"]
        elif "const" in schema and required:
            node["absent"] = schema["const"]
        elif "null" in node:
            node["absent"] = None
        elif "items" in node or schema.get("type") == "array":
            node["absent"] = []
        elif (
            "values" in node
            or (schema.get("type") == "object" and "object" not in node)
            or ("object" in node and (required or self._complete_without_values(node["object"])))
        ):
            node["absent"] = {}
        elif required and (invented := self._invented(schema)) is not None:
            node["absent"] = invented
        return node

    def _inside(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(REFERENCE)
            target = self._schemas[name]
            if "properties" in target:
                self.add(name)
                return {"object": name}
            return self._inside(target) if "oneOf" in target or "anyOf" in target else {}
        if "discriminator" in schema and "mapping" in schema["discriminator"]:
            of = {key: value.removeprefix(REFERENCE) for key, value in schema["discriminator"]["mapping"].items()}
            for name in of.values():
                self.add(name)
            return {"by": schema["discriminator"]["propertyName"], "of": of}
        choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
        insides = [inside for inside in map(self._inside, choices) if inside]
        if len(insides) == 1:
            return insides[0]
        if schema.get("type") == "array":
            items = self._inside(schema.get("items", {}))
            return {"items": items} if items else {}
        if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
            return {"values": self._inside(schema["additionalProperties"])}
        return {}

    def _complete_without_values(self, name: str) -> bool:
        """Whether an object can be there though nobody has set anything in it."""
        if name in self._filling:
            return False
        self._filling.append(name)
        schema = self._schemas[name]
        known = all(self._has_default(schema["properties"][key]) for key in schema.get("required", ()))
        self._filling.pop()
        return known

    def _has_default(self, schema: dict[str, Any]) -> bool:
        if "default" in schema or "const" in schema or {"type": "null"} in schema.get("anyOf", ()):
            return True
        if schema.get("type") in ("array", "object"):
            return True
        inside = self._inside(schema)
        return "object" in inside and self._complete_without_values(inside["object"])

    def _invented(self, schema: dict[str, Any]) -> Any:
        """What stands for a required value that a client should have set: clients stop at a missing key."""
        if "$ref" in schema:
            return self._invented(self._schemas[schema["$ref"].removeprefix(REFERENCE)])
        if "enum" in schema:
            return schema["enum"][0]
        return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(schema.get("type", ""))


def shapes(oracle: dict[str, Any]) -> dict[str, Any]:
    """The shapes of all answers."""
    found = Shapes(oracle["components"]["schemas"])
    for methods in oracle["paths"].values():
        for operation in methods.values():
            answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            for name in _references(answers):
                found.add(name)
    for (name, key), node in OURS.items():
        found.known.setdefault(name, {}).setdefault(key, node)
    return dict(sorted(found.known.items()))


def written(known: dict[str, Any]) -> str:
    """The shapes as their file has them: a line each."""
    lines = (f"{json.dumps(name)}:{json.dumps(shape, separators=(',', ':'))}" for name, shape in known.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    """See the module."""
    if len(sys.argv) > 1:
        oracle = trimmed(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
        ORACLE.write_bytes(gzip.compress(json.dumps(oracle, separators=(",", ":")).encode(), mtime=0))
    SHAPES.write_text(written(shapes(json.loads(gzip.decompress(ORACLE.read_bytes())))), encoding="utf-8")


if __name__ == "__main__":
    main()
