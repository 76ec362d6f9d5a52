"""What came of a tool call."""

from __future__ import annotations

import msgspec

MAX_RESULT = 64 * 1024
"Characters of a result that are kept (protocol.md 3.4)."


class Outcome(msgspec.Struct, frozen=True):
    """The text that the language model reads, and whether it tells of a failure."""

    text: str
    is_error: bool = False

    @property
    def truncated(self) -> bool:
        """The result was too long to be kept whole."""
        return len(self.text) > MAX_RESULT
