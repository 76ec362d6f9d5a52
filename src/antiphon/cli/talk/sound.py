"""The caller's end of the sound: a file that speaks, and the tap that measures and records what passes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from antiphon.audio.convert import Decoder, Encoder
from antiphon.audio.formats import AudioFormat, parse_format
from antiphon.audio.levels import last_sound, rms
from antiphon.audio.wav import StereoRecording, read_wav
from antiphon.client.audio_interface import AsyncAudioInterface
from antiphon.client.devices.playback import Playback

from .levels import SpeechEnd

RATE = 16_000
"Samples per second of a recording."
CHUNK = 0.02
_METER = 0.05
"Seconds of sound that a meter shows."
_JITTER = 0.25
"Seconds by which a piece of the microphone's audio may be late without a gap in the recording."


class Spoken:
    """A WAV file to be said. `seconds`: until its last sound; the silence behind that is left out."""

    def __init__(self, path: Path) -> None:
        self.rate, audio = read_wav(path)
        self.seconds = last_sound(audio, self.rate) or 0.0
        self.audio = audio[: 2 * round(self.seconds * self.rate)]


class SpeakingFile(AsyncAudioInterface):
    """A microphone that hears what it is told to `say`, in real time, else silence; its loudspeaker nobody hears."""

    def __init__(self) -> None:
        self._format = parse_format("pcm_16000")
        self._waiting = b""
        self._task: asyncio.Task[None] | None = None
        self._hear: Callable[[bytes], Awaitable[None]] | None = None

    def say(self, spoken: Spoken) -> None:
        """Says it from now on, after what is still being said."""
        encoder = Encoder(spoken.rate, self._format)
        self._waiting += encoder.encode(spoken.audio) + encoder.flush()

    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Called by the conversation. Nothing is heard before the formats are known."""
        self._hear = input_callback

    async def set_formats(self, input_format: str | None, output_format: str | None) -> None:
        """Called by the conversation."""
        if input_format:
            self._format = parse_format(input_format)
        if self._task is None and self._hear is not None:
            # Owned by this device until stop; no TaskGroup spans the two calls.
            self._task = asyncio.create_task(self._speak(self._hear))  # noqa: TID251

    async def stop(self) -> None:
        """Called by the conversation."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def output(self, audio: bytes) -> None:
        """Called by the conversation."""

    async def interrupt(self) -> None:
        """Called by the conversation."""

    async def _speak(self, hear: Callable[[bytes], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        size = self._format.bytes_of(CHUNK)
        silence = Encoder(self._format.rate, self._format).encode(bytes(2 * round(CHUNK * self._format.rate)))
        due = loop.time()
        while True:
            due += CHUNK
            await asyncio.sleep(due - loop.time())
            piece, self._waiting = self._waiting[:size], self._waiting[size:]
            await hear(piece + silence[len(piece) :])


class Tap(AsyncAudioInterface):
    """Passes everything on to `device`, and knows of it: levels, when speech ended, what was heard.

    `is_muted`: the microphone's audio is not sent. `record`: keep both sides. `on_answer` is told how many seconds
    after the user's last sound the agent's first one arrived.
    """

    def __init__(
        self,
        device: AsyncAudioInterface,
        *,
        record: bool,
        is_muted: Callable[[], bool],
        on_answer: Callable[[float], None],
    ) -> None:
        self.speech = SpeechEnd()
        self.input_rms = 0.0
        "Of the newest piece of the microphone's audio, in sample units."
        self._device = device
        self._is_muted = is_muted
        self._on_answer = on_answer
        self._recording = StereoRecording(RATE) if record else None
        self._input = parse_format("pcm_16000")
        self._decoder = Decoder(self._input, RATE)
        self._playback = Playback(parse_format("pcm_16000"))
        self._began = 0.0
        self._left_until = 0.0
        self._hear: Callable[[bytes], Awaitable[None]] | None = None

    @property
    def output_rms(self) -> float:
        """Of what is being played now, in sample units."""
        now = self._now()
        if not self._playback.remaining(now):
            return 0.0
        newest = self._playback.stretches[-1]
        until = self._playback.audio_format.bytes_of(now - newest.at)
        begin = max(0, until - self._playback.audio_format.bytes_of(_METER))
        return rms(_linear(bytes(newest.audio[begin:until]), self._playback.audio_format))

    def save(self, path: Path) -> None:
        """Writes what was recorded: the user left; right, of the agent what was heard."""
        if self._recording is not None:
            self._keep_playback()
            self._recording.save(path)

    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Called by the conversation."""
        self._began = self._now()
        self._hear = input_callback
        await self._device.start(self._listen)

    async def set_formats(self, input_format: str | None, output_format: str | None) -> None:
        """Called by the conversation."""
        if input_format and parse_format(input_format) != self._input:
            self._input = parse_format(input_format)
            self._decoder = Decoder(self._input, RATE)
        if output_format and parse_format(output_format) != self._playback.audio_format:
            self._keep_playback()
            self._playback = Playback(parse_format(output_format))
        set_formats = getattr(self._device, "set_formats", None)
        if set_formats is not None:
            await set_formats(input_format, output_format)

    async def stop(self) -> None:
        """Called by the conversation."""
        self._playback.interrupt(self._now())
        await self._device.stop()

    async def output(self, audio: bytes) -> None:
        """Called by the conversation."""
        now = self._now()
        if not self._playback.remaining(now):
            if self._recording is None:
                self._playback.stretches.clear()  # nobody will ask for them
            if (latency := self.speech.answered(now)) is not None:
                self._on_answer(latency)
        self._playback.output(audio, now)
        await self._device.output(audio)

    async def interrupt(self) -> None:
        """Called by the conversation."""
        self._playback.interrupt(self._now())
        await self._device.interrupt()

    async def _listen(self, audio: bytes) -> None:
        now = self._now()
        decoded = self._decoder.decode(audio)
        if self._is_muted():
            decoded = bytes(len(decoded))
        seconds = len(decoded) / (2 * RATE)
        self.input_rms = rms(decoded)
        self.speech.hear(self.input_rms, seconds, now)
        if self._recording is not None:
            at = now - self._began - seconds
            if at - self._left_until < _JITTER:
                at = self._left_until
            self._recording.write_left(max(at, 0.0), decoded)
            self._left_until = max(at, 0.0) + seconds
        if self._hear is not None:
            await self._hear(audio)

    def _keep_playback(self) -> None:
        if self._recording is None:
            return
        for stretch in self._playback.stretches:
            decoder = Decoder(self._playback.audio_format, RATE)
            audio = decoder.decode(bytes(stretch.audio)) + decoder.flush()
            self._recording.write_right(max(stretch.at - self._began, 0.0), audio)
        self._playback.stretches.clear()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _linear(audio: bytes, audio_format: AudioFormat) -> bytes:
    return Decoder(audio_format, audio_format.rate).decode(audio)
