"""The computer's microphone and loudspeaker as audio interfaces, under the original SDK's names (protocol.md 5.8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent import futures
from typing import Any

from antiphon.audio.formats import parse_format
from antiphon.client import threads
from antiphon.client.audio_interface import AsyncAudioInterface, AudioInterface
from antiphon.client.devices.echo_cancellation import load_processor
from antiphon.client.devices.portaudio import Choice, SoundCard, load_backend

__all__ = ["AsyncAudioInterface", "AsyncDefaultAudioInterface", "AudioInterface", "DefaultAudioInterface"]

logger = logging.getLogger(__name__)

_INPUT_FRAMES = 4000
_OUTPUT_FRAMES = 1000
_SLICE_SECONDS = 0.25
"How much sound is converted at a time on the event loop, in well under a millisecond a piece."


class _PortAudioInterface:
    """What both interfaces share: the choice of devices, and the formats."""

    INPUT_FRAMES_PER_BUFFER = _INPUT_FRAMES
    OUTPUT_FRAMES_PER_BUFFER = _OUTPUT_FRAMES

    _card: SoundCard

    def _choose(
        self,
        input_chunk_ms: float,
        output_chunk_ms: float,
        input_device: int | str | None,
        output_device: int | str | None,
        input_format: str,
        output_format: str,
        echo_cancellation: bool,
        on_loss: Callable[[str], None] | None,
    ) -> None:
        if input_chunk_ms <= 0 or output_chunk_ms <= 0:
            raise ValueError("a chunk must last some milliseconds")
        backend = load_backend()
        if echo_cancellation:
            load_processor()
        self._card = SoundCard(
            backend,
            Choice(
                input_device=input_device,
                output_device=output_device,
                input_frames=self._overridden("INPUT_FRAMES_PER_BUFFER"),
                output_frames=self._overridden("OUTPUT_FRAMES_PER_BUFFER"),
                input_seconds=input_chunk_ms / 1000,
                output_seconds=output_chunk_ms / 1000,
                echo_cancellation=echo_cancellation,
                on_loss=on_loss,
            ),
            parse_format(input_format),
            parse_format(output_format),
        )

    def _overridden(self, name: str) -> int | None:
        """The value of a class attribute of the original if anybody has set it, be it to the original's value."""
        ours = (DefaultAudioInterface, AsyncDefaultAudioInterface, _PortAudioInterface)
        for owner in type(self).__mro__:
            if owner not in ours and name in vars(owner):
                return getattr(self, name)
        value = getattr(self, name)
        return value if value != getattr(_PortAudioInterface, name) else None

    def _set_formats(self, input_format: str | None, output_format: str | None) -> None:
        self._card.set_formats(
            parse_format(input_format) if input_format else None, parse_format(output_format) if output_format else None
        )


class DefaultAudioInterface(_PortAudioInterface, AudioInterface):
    """Microphone and loudspeaker, through PortAudio.

    `input_chunk_ms`, `output_chunk_ms`: length of a piece of the microphone's audio, and of a block for the
    loudspeaker. A subclass that sets INPUT_FRAMES_PER_BUFFER or OUTPUT_FRAMES_PER_BUFFER (samples) has its way
    instead; the values here are the original's and stand for these keywords.

    `input_device`, `output_device`: index, name or part of the name (`antiphon doctor` lists them); None is the
    system's default. `input_format`, `output_format`: those of the conversation until it announces others, as
    Antiphon's conversations do through `set_formats`. `echo_cancellation`: keep what the loudspeaker says out of what
    the microphone hears, for which `antiphon[aec]` must be installed. `on_loss`: called, on a thread of ours, with
    `microphone` or `loudspeaker` when that is gone, which is logged in any case.

    May be started again after it was stopped.

    Raises:
        ImportError: neither `sounddevice` with PortAudio nor `PyAudio` is installed.
        ConfigError: a format is unknown, or `echo_cancellation` lacks its package.
    """

    def __init__(
        self,
        *,
        input_chunk_ms: float = 20,
        output_chunk_ms: float = 20,
        input_device: int | str | None = None,
        output_device: int | str | None = None,
        input_format: str = "pcm_16000",
        output_format: str = "pcm_16000",
        echo_cancellation: bool = False,
        on_loss: Callable[[str], None] | None = None,
    ) -> None:
        self._choose(
            input_chunk_ms,
            output_chunk_ms,
            input_device,
            output_device,
            input_format,
            output_format,
            echo_cancellation,
            on_loss,
        )

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        """Opens both devices. `input_callback` is called on a thread of ours, and may wait; 5 s of audio wait for it.

        Raises:
            DeviceError: a device is not there or cannot be opened; the message lists those that there are.
            ConfigError: a device does not know the rate, and numpy is missing.
        """
        self._card.open(input_callback)

    def stop(self) -> None:
        """Closes both devices at once, whatever is playing. May be called from `input_callback`, and again."""
        self._card.close()

    def output(self, audio: bytes) -> None:
        """Plays `audio`, in the output format, after what is waiting. Returns at once."""
        self._card.output(audio)

    def interrupt(self) -> None:
        """Falls silent from the next block on and forgets what was waiting to be played."""
        self._card.interrupt()

    def set_formats(self, input_format: str | None, output_format: str | None) -> None:
        """The formats that the server has announced, such as `pcm_16000`; None: as before. Called by the conversation.

        Raises:
            ConfigError: a format is unknown.
            DeviceError: a device cannot be opened anew.
        """
        self._set_formats(input_format, output_format)


class AsyncDefaultAudioInterface(_PortAudioInterface, AsyncAudioInterface):
    """DefaultAudioInterface as coroutines, none of which holds up the event loop. See there for the parameters.

    Raises:
        ImportError: neither `sounddevice` with PortAudio nor `PyAudio` is installed.
        ConfigError: a format is unknown, or `echo_cancellation` lacks its package.
    """

    _stopped: futures.Future[None]

    def __init__(
        self,
        *,
        input_chunk_ms: float = 20,
        output_chunk_ms: float = 20,
        input_device: int | str | None = None,
        output_device: int | str | None = None,
        input_format: str = "pcm_16000",
        output_format: str = "pcm_16000",
        echo_cancellation: bool = False,
        on_loss: Callable[[str], None] | None = None,
    ) -> None:
        self._choose(
            input_chunk_ms,
            output_chunk_ms,
            input_device,
            output_device,
            input_format,
            output_format,
            echo_cancellation,
            on_loss,
        )
        self._stopped = futures.Future()
        self._interruptions = 0

    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Opens both devices. `input_callback` is awaited on the loop that this runs on, one piece at a time.

        Raises:
            DeviceError: a device is not there or cannot be opened; the message lists those that there are.
            ConfigError: a device does not know the rate, and numpy is missing.
        """
        loop = asyncio.get_running_loop()
        stopped = self._stopped = futures.Future()

        async def deliver(audio: bytes) -> None:
            await input_callback(audio)

        def hear(audio: bytes) -> None:
            delivery = _submit(deliver(audio), loop)
            if delivery is None:
                return
            # Waiting for it keeps the order and the bound. Not beyond the end, which the callback may have asked for.
            futures.wait((delivery, stopped), return_when=futures.FIRST_COMPLETED)
            if delivery.done() and not delivery.cancelled():
                delivery.result()

        await threads.in_thread(self._card.open, hear)

    async def stop(self) -> None:
        """Closes both devices at once, whatever is playing. May be called from `input_callback`, and again."""
        if not self._stopped.done():
            self._stopped.set_result(None)
        await threads.in_thread(self._card.close)

    async def output(self, audio: bytes) -> None:
        """Plays `audio`, in the output format, after what is waiting. Returns before it has sounded."""
        interruptions = self._interruptions
        size = self._card.output_format.bytes_of(_SLICE_SECONDS)
        for begin in range(0, len(audio), size):
            if interruptions != self._interruptions:
                return
            self._card.output(audio[begin : begin + size])
            await asyncio.sleep(0)

    async def interrupt(self) -> None:
        """Falls silent from the next block on and forgets what was waiting to be played."""
        self._interruptions += 1
        self._card.interrupt()

    async def set_formats(self, input_format: str | None, output_format: str | None) -> None:
        """The formats that the server has announced, such as `pcm_16000`; None: as before. Called by the conversation.

        Raises:
            ConfigError: a format is unknown.
            DeviceError: a device cannot be opened anew.
        """
        await threads.in_thread(self._set_formats, input_format, output_format)


def _submit(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> futures.Future[None] | None:
    """Starts it on another thread's loop; None if that is closed."""
    try:
        return asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()
        return None
