"""Makes calls of the elevenlabs SDK, one a line, and says what its models have of each answer.

    .venv-compat/elevenlabs/bin/python calls.py BASE_URL API_KEY
    < {"method": "conversational_ai.agents.get", "args": [], "named": {"agent_id": "agent_1"}}
    > {"answer": {"agent_id": "agent_1", ...}, "missing": []}

`{"$file": [NAME, BASE64, TYPE]}` in what is given is a file, and `{"$bytes": BASE64}` in an answer is bytes. The SDK
does not check what it is sent: `missing` names what its models require and the server left out, or sent as null.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, get_args

from elevenlabs import ElevenLabs
from elevenlabs.core.api_error import ApiError
from pydantic import BaseModel


def main(base_url: str, key: str) -> None:
    client = ElevenLabs(base_url=base_url, api_key=key)
    for line in sys.stdin:
        call = json.loads(line)
        method = reduce(getattr, call["method"].split("."), client)
        try:
            found = method(*given(call["args"]), **given(call["named"]))
            answer = shown(found)
            note = {"answer": answer, "missing": list(missing(found, call["method"]))}
        except ApiError as error:
            note = {"status": error.status_code, "body": shown(error.body)}
        except Exception as error:  # noqa: BLE001 - whatever it is, it fails the test that made the call
            note = {"failure": f"{type(error).__name__}: {error}"}
        print(json.dumps(note), flush=True)


def given(value: Any) -> Any:
    if isinstance(value, dict):
        if "$file" in value:
            name, data, media_type = value["$file"]
            return name, base64.b64decode(data), media_type
        return {key: given(item) for key, item in value.items()}
    return [given(item) for item in value] if isinstance(value, list) else value


def shown(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return json.loads(value.model_dump_json(by_alias=True))
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {str(key): shown(item) for key, item in value.items()}
    if isinstance(value, Iterator):
        parts = list(value)
        return shown(b"".join(parts) if parts and isinstance(parts[0], bytes) else parts)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [shown(item) for item in value]
    return value


def missing(value: Any, path: str) -> Iterator[str]:
    """What the SDK's models require and is not there."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            item = getattr(value, name, None)
            optional = type(None) in get_args(field.annotation) or field.annotation is Any
            if field.is_required() and item is None and not optional:
                yield f"{path}.{field.alias or name} of {type(value).__name__}"
            yield from missing(item, f"{path}.{name}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from missing(item, f"{path}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for index, item in enumerate(value):
            yield from missing(item, f"{path}.{index}")


if __name__ == "__main__":
    main(*sys.argv[1:])
