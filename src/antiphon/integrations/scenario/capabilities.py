"""What an adapter can do, said beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from antiphon.errors import AntiphonError

from . import langwatch

__all__ = ["AdapterCapabilities", "UnsupportedCapabilityError"]

if TYPE_CHECKING or langwatch.voice is None:

    @dataclass(frozen=True)
    class AdapterCapabilities:
        """What an adapter can do. Formats are written `pcm16/24000`."""

        streaming_transcripts: bool = False
        "Whether transcripts arrive while the agent speaks."
        native_vad: bool = False
        "Whether the other side finds out by itself when the user speaks."
        dtmf: bool = False
        "Whether keys of a telephone can be pressed."
        interruption: bool = False
        "Whether the agent can be told to stop, other than by speaking."
        input_formats: list[str] = field(default_factory=list[str])
        "In which the user's sound is taken."
        output_formats: list[str] = field(default_factory=list[str])
        "In which the agent's sound is given."

    class UnsupportedCapabilityError(AntiphonError, RuntimeError):
        """An adapter was asked for what its capabilities do not promise."""

        def __init__(self, adapter_name: str, capability: str, hint: str = "") -> None:
            super().__init__(f"{adapter_name} has not the capability {capability!r}. {hint}".rstrip())
            self.adapter_name = adapter_name
            self.capability = capability

else:
    AdapterCapabilities = langwatch.voice.AdapterCapabilities
    UnsupportedCapabilityError = langwatch.voice.UnsupportedCapabilityError
