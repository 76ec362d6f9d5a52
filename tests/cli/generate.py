"""Make the lists that `antiphon parity` compares this server with, from what is published of the API that it speaks.

    python tests/cli/generate.py ENDPOINTS.tsv    src/antiphon/server/operations.json, from a ranked list of operations
    python tests/cli/generate.py                  src/antiphon/agents/fields.json, from what tests of REST compare with

Facts only: names, ranks, defaults, the values that a field may have.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
ORACLE = TESTS / "server" / "rest" / "openapi.json.gz"
PACKAGE = TESTS.parent / "src" / "antiphon"
OPERATIONS, FIELDS = PACKAGE / "server" / "operations.json", PACKAGE / "agents" / "fields.json"
AGENT = "Body_Create_Agent_v1_convai_agents_create_post"
REFERENCE = "#/components/schemas/"
WHOLE = re.compile(r"JsonSchemaProperty|^AST|WorkflowOverride(-Input|-Output)?$|^WidgetTextContents$|^WidgetStyles$")
"Schemas that are languages of their own, dozens of texts, or the agent's configuration once more: one field each."
ALIKE = re.compile(r"^BuiltInTools")
"Schemas whose properties are all of one kind: each is a field, and what is inside them is listed once."

OTHERS = """
    A POST /v1/text-to-speech/{voice_id}    A POST /v1/text-to-speech/{voice_id}/stream
    B POST /v1/text-to-speech/{voice_id}/with-timestamps    B POST /v1/text-to-speech/{voice_id}/stream/with-timestamps
    B WS /v1/text-to-speech/{voice_id}/stream-input    A POST /v1/speech-to-text    B WS /v1/speech-to-text/realtime
    A GET /v1/voices    A GET /v2/voices    A GET /v1/voices/{voice_id}    B POST /v1/voices/add
    B DELETE /v1/voices/{voice_id}    B GET /v1/voices/settings/default    B GET /v1/voices/{voice_id}/settings
    B POST /v1/voices/{voice_id}/settings/edit    B GET /v1/shared-voices    A GET /v1/models    A GET /v1/user
    A GET /v1/user/subscription    C POST /v1/sound-generation    B POST /v1/single-use-token/{token_type}
    C POST /v1/speech-to-speech/{voice_id}    C POST /v1/voice-changer/{voice_id}    A GET /v1/workspace/webhooks
    A POST /v1/workspace/webhooks    A PATCH /v1/workspace/webhooks/{webhook_id}
    A DELETE /v1/workspace/webhooks/{webhook_id}    A WS /v1/convai/conversation    C WS /v1/convai/orchestrator
"""
"What clients of agents use besides /v1/convai over HTTP: rank, method, path."


def operations(ranked: str) -> list[list[str]]:
    """Rank, method, path, name of each."""
    rows = csv.DictReader(ranked.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    known = [[row["rank"], row["method"], row["path"], row["summary"]] for row in rows]
    words = OTHERS.split()
    others = [[*words[at : at + 3], ""] for at in range(0, len(words), 3)]
    seen = {(method, path) for _, method, path, _ in known}
    known += [row for row in others if (row[1], row[2]) not in seen]
    return sorted(known, key=lambda row: (not row[2].startswith("/v1/convai"), row[0], row[2], row[1]))


class Fields:
    """Every leaf of a schema, by its dotted path: `[]` for each of a list, `*` for each of a map."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas
        self.found: dict[str, dict[str, Any]] = {}

    def add(self, path: str, schema: dict[str, Any], default: Any = None, above: tuple[str, ...] = ()) -> None:
        """What a schema says of the field at `path`. `above`: schemas that are being looked at."""
        default = schema.get("default", default)
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(REFERENCE)
            if name in above or WHOLE.search(name):
                self._leaf(path, {}, default)
            else:
                self.add(path, self._schemas[name], default, (*above, name))
        elif choices := [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]:
            for choice in choices:
                if choice != {"type": "null"}:
                    self.add(path, choice, default, above)
        elif properties := schema.get("properties"):
            if above and ALIKE.search(above[-1]):
                for key in properties:
                    self._leaf(f"{path}.{key}", {}, None)
                properties = {"*": next(iter(properties.values()))}
            for key, value in properties.items():
                inner = default.get(key) if isinstance(default, dict) else None
                self.add(f"{path}.{key}" if path else key, value, inner, above)
        elif isinstance(values := schema.get("additionalProperties"), dict) and self._has_parts(values):
            self.add(f"{path}.*", values, None, above)
        elif isinstance(items := schema.get("items"), dict) and self._has_parts(items):
            self.add(f"{path}[]", items, None, above)
        else:
            self._leaf(path, schema, default)

    def _has_parts(self, schema: dict[str, Any]) -> bool:
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(REFERENCE)
            return not WHOLE.search(name) and self._has_parts(self._schemas[name])
        choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
        return bool(schema.get("properties")) or any(self._has_parts(choice) for choice in choices)

    def _leaf(self, path: str, schema: dict[str, Any], default: Any) -> None:
        field = self.found.setdefault(path, {})
        if default is not None:
            field.setdefault("default", default)
        values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())]
        values += [schema[bound] for bound in ("minimum", "maximum") if bound in schema]
        known = field.get("values", [])
        if new := [value for value in values if value not in known]:
            field["values"] = [*known, *new]


def fields(oracle: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of an agent, as a client may write it."""
    schemas = oracle["components"]["schemas"]
    found = Fields(schemas)
    found.add("", schemas[AGENT])
    return dict(sorted(found.found.items()))


def written(lines: list[str], brackets: str) -> str:
    """JSON, a line for each."""
    return brackets[0] + "\n" + ",\n".join(lines) + "\n" + brackets[1] + "\n"


def main() -> None:
    """See the module."""
    if len(sys.argv) > 1:
        rows = operations(Path(sys.argv[1]).read_text(encoding="utf-8"))
        OPERATIONS.write_text(written([json.dumps(row) for row in rows], "[]"), encoding="utf-8")
    found = fields(json.loads(gzip.decompress(ORACLE.read_bytes()))).items()
    lines = [f"{json.dumps(path)}: {json.dumps(field)}" for path, field in found]
    FIELDS.write_text(written(lines, "{}"), encoding="utf-8")


if __name__ == "__main__":
    main()
