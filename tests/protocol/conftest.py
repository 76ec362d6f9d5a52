"""The golden messages, as material for tests that bend them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

WIRE = Path(__file__).parent.parent / "wire"


@pytest.fixture(scope="session")
def golden_messages() -> list[dict[str, Any]]:
    """Every golden message of both directions."""
    files = sorted(WIRE.glob("*/*.json"))
    examples = [example for path in files for example in json.loads(path.read_text(encoding="utf-8"))["examples"]]
    return [example["message"] for example in examples]
