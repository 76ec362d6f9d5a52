"""Runs the original SDK's own tests with our conversation in place of theirs.

    python tests/compat/original_suite.py CHECKOUT [pytest arguments]

`CHECKOUT` is a checkout of the original's repository, which is not part of this one. The interpreter needs the package
`elevenlabs`, our dependencies, pytest and pytest-asyncio. The tests of conversations and client tools are run;
what takes theirs' place is this repository's `antiphon.conversational_ai.conversation`, under the original's name.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve()
TESTS = (
    "test_convai.py",
    "test_async_convai.py",
    "test_client_tools.py",
    "test_convai_imports.py",
    "test_convai_on_prem.py",
)
NAME = "elevenlabs.conversational_ai.conversation"


class Alias:
    """A pytest plugin: whoever imports the original's module gets ours."""

    def pytest_configure(self) -> None:
        sys.path.insert(0, str(HERE.parents[2] / "src"))
        ours = importlib.import_module("antiphon.conversational_ai.conversation")
        package = importlib.import_module(NAME.rpartition(".")[0])
        sys.modules[NAME] = ours
        package.conversation = ours  # type: ignore[attr-defined]


def main() -> int:
    """Run them."""
    checkout = Path(sys.argv[1])
    tests = [str(checkout / "tests" / name) for name in TESTS]
    return pytest.main(["-p", "no:cacheprovider", "--rootdir", str(checkout), *tests, *sys.argv[2:]], plugins=[Alias()])


if __name__ == "__main__":
    sys.exit(main())
