"""An engine's options as typed values; what is wrong with them is told by its place in the agent's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from antiphon.errors import ConfigError

PATH = "conversation_config.antiphon.llm"
"Where a language model's options stand in the agent's file."

T = TypeVar("T")


def parse(values: Mapping[str, Any], kind: type[T], path: str = PATH) -> T:
    """`values` as a `kind`, a msgspec Struct.

    Raises:
        ConfigError: a value has the wrong type, is missing or unknown; its path is `path` and on from there.
    """
    try:
        return msgspec.convert(dict(values), kind)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise ConfigError(message, path=path + where.rstrip("`")) from error
