"""What a conversation needs of a sound device: four methods, plain or async.

Audio in both directions is in the formats that the server announces, by default s16le mono at 16 kHz.
"""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable


class AudioInterface(abc.ABC):
    """A microphone and a loudspeaker.

    A conversation calls it from threads of its own, one call at a time; only `stop` may come while another is running.
    """

    @abc.abstractmethod
    def start(self, input_callback: Callable[[bytes], None]) -> None:
        """Opens the device. Called once, before anything is played.

        From then on `input_callback` is to be given what the microphone hears, silence too, as it comes: 20 to 250 ms a
        piece. It may be called from any thread and returns at once.
        """

    @abc.abstractmethod
    def stop(self) -> None:
        """Closes the device. Called once; nothing may be given to `input_callback` after it has returned."""

    @abc.abstractmethod
    def output(self, audio: bytes) -> None:
        """Plays `audio` after what is already waiting. Must return before it has sounded."""

    @abc.abstractmethod
    def interrupt(self) -> None:
        """Falls silent now and forgets what was waiting to be played."""


class AsyncAudioInterface(abc.ABC):
    """AudioInterface as coroutines, all run on the conversation's event loop."""

    @abc.abstractmethod
    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Opens the device; see AudioInterface.start. `input_callback` may be awaited on any event loop."""

    @abc.abstractmethod
    async def stop(self) -> None:
        """Closes the device; see AudioInterface.stop."""

    @abc.abstractmethod
    async def output(self, audio: bytes) -> None:
        """Plays `audio` after what is already waiting. Must return before it has sounded."""

    @abc.abstractmethod
    async def interrupt(self) -> None:
        """Falls silent now and forgets what was waiting to be played."""
