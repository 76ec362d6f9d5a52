"""Answers held against the published description of the API."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

ORACLE = Path(__file__).with_name("openapi.json.gz")


@cache
def _oracle() -> dict[str, Any]:
    return json.loads(gzip.decompress(ORACLE.read_bytes()))


def problems(method: str, path: str, body: Any, status: str = "200") -> list[str]:
    """What is wrong with an answer, by JSON path; `path` as the description has it: `/v1/convai/agents/{agent_id}`."""
    operation = _oracle()["paths"][path][method.lower()]
    if status not in operation["responses"]:  # nothing is said of what it holds
        return []
    schema = operation["responses"][status].get("content", {}).get("application/json", {}).get("schema", {})
    whole = {**schema, "components": _oracle()["components"]}
    return [f"{error.json_path}: {error.message[:200]}" for error in Draft202012Validator(whole).iter_errors(body)]
