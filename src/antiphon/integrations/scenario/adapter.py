"""The seam between a scenario and an agent that is spoken to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from . import langwatch
from .audio_chunk import AudioChunk
from .capabilities import AdapterCapabilities, UnsupportedCapabilityError

__all__ = ["VoiceAgentAdapter", "take_turn"]

if TYPE_CHECKING or langwatch.voice is None:

    class VoiceAgentAdapter(ABC):
        """An agent that is spoken to and answers in sound. Where Scenario is installed, this is its class."""

        capabilities: ClassVar[AdapterCapabilities] = AdapterCapabilities()
        response_timeout: float = 60.0
        "Seconds that the first sound of an answer may take."
        response_tail_silence: float = 0.6
        "Seconds without sound after which an answer is over."
        response_max_duration: float = 30.0
        "Seconds of sound after which an answer is cut off."
        agent_hung_up: bool = False
        "Whether the agent has ended the call on purpose."

        def is_connected(self) -> bool:
            """Whether sound can be exchanged now."""
            return True

        @abstractmethod
        async def connect(self) -> None:
            """Begin a conversation."""

        @abstractmethod
        async def disconnect(self) -> None:
            """End it; nothing happens where there is none."""

        @abstractmethod
        async def send_audio(self, chunk: AudioChunk) -> None:
            """Say one turn of the user."""

        @abstractmethod
        async def recv_audio(self, timeout: float) -> AudioChunk:
            """The next piece of the agent's speech; an empty one: there is no more of it.

            Raises:
                TimeoutError: none came within `timeout` seconds.
            """
            raise NotImplementedError

        async def interrupt(self) -> None:
            """Tell the agent to stop.

            Raises:
                UnsupportedCapabilityError: it can only be interrupted by speaking to it.
            """
            name = type(self).__name__
            raise UnsupportedCapabilityError(name, "interruption", "Speak while the agent does instead.")

        async def __aenter__(self) -> Self:
            await self.connect()
            return self

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            await self.disconnect()

else:
    VoiceAgentAdapter = langwatch.voice.VoiceAgentAdapter


async def take_turn(adapter: VoiceAgentAdapter, chunk: AudioChunk | None = None) -> AudioChunk:
    """Say `chunk`, unless it is the agent's turn to begin, and hear the whole answer: what Scenario's executor does.

    The answer ends with an empty piece, after the adapter's `response_tail_silence` seconds without one, or with the
    one that makes it `response_max_duration` seconds long.

    Raises:
        TimeoutError: no answer began within the adapter's `response_timeout`.
    """
    if chunk is not None:
        await adapter.send_audio(chunk)
    piece = await adapter.recv_audio(adapter.response_timeout)
    pieces = [piece]
    seconds = piece.duration_seconds
    while piece.data and seconds < adapter.response_max_duration:
        try:
            piece = await adapter.recv_audio(adapter.response_tail_silence)
        except TimeoutError:
            break
        pieces.append(piece)
        seconds += piece.duration_seconds
    said = [piece.transcript for piece in pieces if piece.transcript]
    return AudioChunk(data=b"".join(piece.data for piece in pieces), transcript=" ".join(said) or None)
