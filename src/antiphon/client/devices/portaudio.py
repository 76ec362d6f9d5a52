"""Microphone and loudspeaker through PortAudio, by way of `sounddevice`, else of `PyAudio`.

PortAudio calls from a thread of its own, which must never wait: what it brings goes to a Microphone, what it wants
comes from a Loudspeaker. Opening and closing wait for the sound system, and are done under one lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from antiphon.audio.convert import Decoder, Encoder
from antiphon.audio.formats import AudioFormat
from antiphon.errors import DeviceError

from .echo_cancellation import EchoCanceller
from .loudspeaker import Loudspeaker
from .microphone import Microphone

logger = logging.getLogger(__name__)

LATENCY = 0.04
"""Seconds that PortAudio is asked to keep between a block and its sound, and as much after an interruption is heard.

Measured with PulseAudio and blocks of 10 and 20 ms: below this, blocks are missed.
"""
_OTHER_RATES = (48_000, 44_100, 16_000)
"Tried, after the device's own, where a device does not know the rate of the conversation."
_SAMPLE_BYTES = 2

Kind = Literal["input", "output"]


class Stream(Protocol):
    """One direction of a sound device, running."""

    def close(self) -> None:
        """Falls silent at once, then lets go of the device."""
        ...


class Backend(Protocol):
    """A binding of PortAudio. `device`: an index, a name or a part of it; None is the system's default."""

    def open_input(
        self, device: int | str | None, rate: int, frames: int, put: Callable[[bytes], None], lost: Callable[[], None]
    ) -> Stream:
        """Has `put` called, from PortAudio's thread, with `frames` samples at a time; `lost` if that ends by itself."""
        ...

    def open_output(
        self,
        device: int | str | None,
        rate: int,
        frames: int,
        block: Callable[[int], bytes],
        lost: Callable[[], None],
    ) -> Stream:
        """Plays what `block`, called from PortAudio's thread, returns for a number of bytes; `lost` as above."""
        ...

    def own_rate(self, device: int | str | None, kind: Kind) -> int | None:
        """Samples per second that the device prefers; None if there is no such device."""
        ...

    def devices(self) -> str:
        """All devices, one a line."""
        ...

    def close(self) -> None:
        """Lets go of PortAudio."""
        ...


@dataclass(frozen=True)
class Choice:
    """What the user chose of sound devices."""

    input_device: int | str | None = None
    output_device: int | str | None = None
    input_frames: int | None = None
    "Samples of a piece of the microphone's; None: as many as `input_seconds` hold."
    output_frames: int | None = None
    "Samples of a block for the loudspeaker; None: as many as `output_seconds` hold."
    input_seconds: float = 0.02
    output_seconds: float = 0.02
    echo_cancellation: bool = False
    on_loss: Callable[[str], None] | None = None
    "Told, on a thread of ours, `microphone` or `loudspeaker` when that is gone."


class SoundCard:
    """A microphone and a loudspeaker in the formats of a conversation, whatever the devices' own rates are.

    May be opened again after it was closed. Every method may be called from any thread, `hear`'s own included.
    """

    def __init__(
        self, backend: Callable[[], Backend], choice: Choice, input_format: AudioFormat, output_format: AudioFormat
    ) -> None:
        self._make_backend = backend
        self._choice = choice
        self._formats: dict[Kind, AudioFormat] = {"input": input_format, "output": output_format}
        self._opening = threading.RLock()
        self._playing = threading.Lock()
        self._backend: Backend | None = None
        self._streams: dict[Kind, Stream] = {}
        self._rates: dict[Kind, int] = {}
        self._loudspeaker = Loudspeaker()
        self._microphone: Microphone | None = None
        self._encoder: Encoder | None = None
        self._decoder: Decoder | None = None
        self._canceller: EchoCanceller | None = None
        self._interruptions = 0

    @property
    def output_format(self) -> AudioFormat:
        """What `output` takes."""
        return self._formats["output"]

    def open(self, hear: Callable[[bytes], None]) -> None:
        """Opens both devices; `hear` gets what the microphone hears, in order, on a thread of ours.

        Raises:
            DeviceError: a device is not there or cannot be opened; the message lists those that there are.
            ConfigError: sound would have to be converted, and numpy is missing.
        """
        with self._opening:
            self.close()
            self._backend = self._make_backend()
            self._microphone = Microphone(lambda audio: self._hear(audio, hear))
            try:
                self._open("output")
                self._open("input")
                self._set_converters()
            except BaseException:
                self.close()
                raise

    def set_formats(self, input_format: AudioFormat | None, output_format: AudioFormat | None) -> None:
        """From now on audio is in these, None: as before. A device whose rate no longer fits is opened anew.

        Raises:
            DeviceError, ConfigError: see `open`.
        """
        with self._opening:
            before = self._formats
            self._formats = {"input": input_format or before["input"], "output": output_format or before["output"]}
            if self._backend is None or self._formats == before:
                return
            for kind, audio_format in self._formats.items():
                if audio_format.rate != before[kind].rate:
                    self._streams.pop(kind).close()
                    self._open(kind)
            self._set_converters()

    def close(self) -> None:
        """Falls silent, lets go of the devices. When it has returned, `hear` is not called any more."""
        with self._opening:
            microphone, self._microphone = self._microphone, None
            streams, self._streams = self._streams, {}
            backend, self._backend = self._backend, None
            for stream in streams.values():
                stream.close()
            if backend is not None:
                backend.close()
            self._loudspeaker.interrupt()
        if microphone is not None:
            microphone.close()

    def output(self, audio: bytes) -> None:
        """Plays `audio` after what is waiting, unless an interruption comes while it is converted."""
        with self._playing:
            interruptions, decoder = self._interruptions, self._decoder
            decoded = decoder.decode(audio) if decoder is not None else audio
            if interruptions == self._interruptions:
                self._loudspeaker.output(decoded)

    def interrupt(self) -> None:
        """Falls silent: from the next block on."""
        self._interruptions += 1
        self._loudspeaker.interrupt()
        with self._playing:  # what was being converted has been dropped; what it left in the filter goes, too
            self._loudspeaker.interrupt()
            if self._decoder is not None:
                self._decoder.flush()

    def _open(self, kind: Kind) -> None:
        backend = self._backend
        assert backend is not None
        choice = self._choice
        device = choice.input_device if kind == "input" else choice.output_device
        wanted = self._formats[kind].rate
        failure: Exception | None = None
        for rate in dict.fromkeys((wanted, backend.own_rate(device, kind), *_OTHER_RATES)):
            if rate is None:
                continue
            try:
                self._streams[kind] = self._open_at(rate, kind, device, backend)
            except (OSError, ValueError, _portaudio_error()) as error:
                failure = failure or error
            else:
                self._rates[kind] = rate
                return
        name = "microphone" if kind == "input" else "loudspeaker"
        which = f" {device!r}" if device is not None else ""
        raise DeviceError(
            f"the {name}{which} cannot be opened: {failure}. The sound devices are:\n{backend.devices() or '  none'}"
        ) from failure

    def _open_at(self, rate: int, kind: Kind, device: int | str | None, backend: Backend) -> Stream:
        microphone, choice = self._microphone, self._choice
        assert microphone is not None
        if kind == "input":
            frames = choice.input_frames or round(choice.input_seconds * rate)
            return backend.open_input(
                device, rate, frames, microphone.put, lambda: microphone.call(lambda: self._report_loss("microphone"))
            )
        frames = choice.output_frames or round(choice.output_seconds * rate)
        return backend.open_output(
            device, rate, frames, self._block, lambda: microphone.call(lambda: self._report_loss("loudspeaker"))
        )

    def _set_converters(self) -> None:
        microphone_rate, loudspeaker_rate = self._rates["input"], self._rates["output"]
        canceller = EchoCanceller(microphone_rate, loudspeaker_rate) if self._choice.echo_cancellation else None
        heard_rate = canceller.rate if canceller is not None else microphone_rate
        encoder, decoder = (
            Encoder(heard_rate, self._formats["input"]),
            Decoder(self._formats["output"], loudspeaker_rate),
        )
        encoder.encode(b"")  # fetches numpy, and makes the tables, now rather than in the first sound
        decoder.decode(b"")
        with self._playing:
            self._encoder, self._decoder, self._canceller = encoder, decoder, canceller

    def _hear(self, audio: bytes, hear: Callable[[bytes], None]) -> None:
        encoder, canceller = self._encoder, self._canceller
        if encoder is None:
            return
        if canceller is not None:
            audio = canceller.hear(audio)
        if (encoded := encoder.encode(audio)) and self._microphone is not None:
            hear(encoded)

    def _block(self, size: int) -> bytes:
        block = self._loudspeaker.block(size)
        if self._canceller is not None:
            self._canceller.played(block)
        return block

    def _report_loss(self, name: str) -> None:
        backend = self._backend
        if backend is None:
            return
        logger.error("the %s is gone. The sound devices were:\n%s", name, backend.devices() or "  none")
        if self._choice.on_loss is not None:
            self._choice.on_loss(name)


def load_backend() -> Callable[[], Backend]:
    """What makes the binding that is installed.

    Raises:
        ImportError: there is none, or PortAudio itself is missing.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the package is here, PortAudio is not
        try:
            import pyaudio  # pyright: ignore[reportMissingModuleSource]
        except ImportError:
            raise ImportError(
                "To use DefaultAudioInterface you must install pyaudio. Or, rather: pip install 'antiphon[audio]', and "
                f"PortAudio where the system lacks it (Debian, Ubuntu: apt install libportaudio2). Missing is: {error}"
            ) from error
        return lambda: PyAudio(pyaudio)
    return lambda: SoundDevice(sounddevice)


class SoundDevice:
    """PortAudio through `sounddevice`."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def open_input(
        self, device: int | str | None, rate: int, frames: int, put: Callable[[bytes], None], lost: Callable[[], None]
    ) -> Stream:
        """See Backend."""

        def callback(audio: Any, frames: int, time: Any, status: Any) -> None:
            put(bytes(audio))

        return self._open("RawInputStream", device, rate, frames, callback, lost)

    def open_output(
        self,
        device: int | str | None,
        rate: int,
        frames: int,
        block: Callable[[int], bytes],
        lost: Callable[[], None],
    ) -> Stream:
        """See Backend."""

        def callback(audio: Any, frames: int, time: Any, status: Any) -> None:
            audio[:] = block(frames * _SAMPLE_BYTES)

        return self._open("RawOutputStream", device, rate, frames, callback, lost)

    def own_rate(self, device: int | str | None, kind: Kind) -> int | None:
        """See Backend."""
        try:
            return round(self._module.query_devices(device, kind)["default_samplerate"])
        except (ValueError, self._module.PortAudioError):
            return None

    def devices(self) -> str:
        """See Backend."""
        devices = self._module.query_devices()
        return str(devices) if len(devices) else ""

    def close(self) -> None:
        """See Backend. The package lets go of PortAudio when the program ends."""

    def _open(
        self,
        kind: str,
        device: int | str | None,
        rate: int,
        frames: int,
        callback: Callable[..., None],
        lost: Callable[[], None],
    ) -> Stream:
        closing = threading.Event()
        stream = getattr(self._module, kind)(
            samplerate=rate,
            blocksize=frames,
            device=device,
            channels=1,
            dtype="int16",
            latency=LATENCY,
            callback=callback,
            finished_callback=lambda: None if closing.is_set() else lost(),
        )
        running = _SoundDeviceStream(stream, closing)
        try:
            stream.start()
        except BaseException:
            running.close()
            raise
        return running


class _SoundDeviceStream:
    def __init__(self, stream: Any, closing: threading.Event) -> None:
        self._stream = stream
        self._closing = closing

    def close(self) -> None:
        """See Stream."""
        self._closing.set()
        self._stream.abort()
        self._stream.close()


class PyAudio:
    """PortAudio through `PyAudio`."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._portaudio = module.PyAudio()

    def open_input(
        self, device: int | str | None, rate: int, frames: int, put: Callable[[bytes], None], lost: Callable[[], None]
    ) -> Stream:
        """See Backend. The binding does not tell when a device is lost."""

        def callback(audio: bytes, frames: int, time: Any, status: int) -> tuple[None, int]:
            put(audio)
            return None, self._module.paContinue

        return self._open("input", device, rate, frames, callback)

    def open_output(
        self,
        device: int | str | None,
        rate: int,
        frames: int,
        block: Callable[[int], bytes],
        lost: Callable[[], None],
    ) -> Stream:
        """See Backend. The binding does not tell when a device is lost."""

        def callback(audio: None, frames: int, time: Any, status: int) -> tuple[bytes, int]:
            return block(frames * _SAMPLE_BYTES), self._module.paContinue

        return self._open("output", device, rate, frames, callback)

    def own_rate(self, device: int | str | None, kind: Kind) -> int | None:
        """See Backend."""
        try:
            if device is None and kind == "input":
                info = self._portaudio.get_default_input_device_info()
            elif device is None:
                info = self._portaudio.get_default_output_device_info()
            else:
                info = self._portaudio.get_device_info_by_index(self._index(device, kind))
        except (OSError, ValueError):
            return None
        return round(info["defaultSampleRate"])

    def devices(self) -> str:
        """See Backend."""
        return "\n".join(
            f"{info['index']:3} {info['name']} ({info['maxInputChannels']} in, {info['maxOutputChannels']} out)"
            for info in self._infos()
        )

    def close(self) -> None:
        """See Backend."""
        self._portaudio.terminate()

    def _infos(self) -> list[dict[str, Any]]:
        return [self._portaudio.get_device_info_by_index(at) for at in range(self._portaudio.get_device_count())]

    def _index(self, device: int | str, kind: Kind) -> int:
        if isinstance(device, int):
            return device
        channels = "maxInputChannels" if kind == "input" else "maxOutputChannels"
        found = [info for info in self._infos() if info[channels] and device.lower() in info["name"].lower()]
        exact = [info for info in found if info["name"].lower() == device.lower()]
        if not found:
            raise ValueError(f"no {kind} device matches {device!r}")
        return (exact or found)[0]["index"]

    def _open(
        self, kind: Kind, device: int | str | None, rate: int, frames: int, callback: Callable[..., Any]
    ) -> Stream:
        index = self._index(device, kind) if device is not None else None
        return _PyAudioStream(
            self._portaudio.open(
                rate=rate,
                channels=1,
                format=self._module.paInt16,
                frames_per_buffer=frames,
                stream_callback=callback,
                **{kind: True, f"{kind}_device_index": index},
            )
        )


class _PyAudioStream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def close(self) -> None:
        """See Stream."""
        self._stream.close()


def _portaudio_error() -> type[Exception]:
    """What `sounddevice` raises; PyAudio raises OSError."""
    try:
        from sounddevice import PortAudioError
    except (ImportError, OSError):
        return OSError
    return PortAudioError
