"""An audio interface that hears a file and records what is said to it into another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from antiphon.audio.formats import AudioFormat, parse_format
from antiphon.audio.wav import read_wav, write_wav
from antiphon.client.audio_interface import AudioInterface

from .playback import Playback

_CHUNK_SECONDS = 0.02
_DUMP_BYTES = 8000


class FileAudioInterface(AudioInterface):
    """A caller whose voice is a file.

    `input_file`: what the caller says; `.wav`, else raw audio in `audio_format`. `output_file`: where, at the end, what
    the agent said is written, silence where it was silent, without what interruptions kept from being heard; `.wav`,
    else raw. `realtime`: send 20 ms every 20 ms, and silence after the file's end until the conversation is over;
    otherwise send the whole file at once while starting, and nothing after it.

    `audio_format`: that of the conversation, both ways. WAV files of another format are converted, which needs numpy
    unless they are s16le mono at the right rate.

    Raises:
        OSError: the file cannot be read.
        ConfigError: the WAV file is of a kind that cannot be read, or the format is unknown.
    """

    def __init__(
        self,
        input_file: str | Path,
        output_file: str | Path | None = None,
        realtime: bool = True,
        *,
        audio_format: str = "pcm_16000",
        clock: Callable[[], float] = time.monotonic,  # noqa: TID251 - a device tells real time
    ) -> None:
        self.audio_format = parse_format(audio_format)
        self._input = _read(Path(input_file), self.audio_format)
        self._output_file = Path(output_file) if output_file is not None else None
        self._realtime = realtime
        self._clock = clock
        self._lock = threading.Lock()
        self._started_at = 0.0
        self._playback = Playback(self.audio_format)
        self._stopped = threading.Event()
        self._microphone: threading.Thread | None = None

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        """Called by the conversation."""
        self._started_at = self._clock()
        self._playback = Playback(self.audio_format)
        if not self._realtime:
            for begin in range(0, len(self._input), _DUMP_BYTES):
                input_callback(self._input[begin : begin + _DUMP_BYTES])
            return
        self._stopped = threading.Event()
        self._microphone = threading.Thread(
            target=self._speak, args=(input_callback, self._stopped), name="antiphon-file", daemon=True
        )
        self._microphone.start()

    def stop(self) -> None:
        """Called by the conversation. Writes the output file."""
        self._stopped.set()
        if self._microphone is not None and self._microphone is not threading.current_thread():
            self._microphone.join()
        if self._output_file is not None:
            with self._lock:
                _write(self._output_file, self._playback.recording(self._started_at), self.audio_format)

    def output(self, audio: bytes) -> None:
        """Called by the conversation."""
        with self._lock:
            self._playback.output(audio, self._clock())

    def interrupt(self) -> None:
        """Called by the conversation."""
        with self._lock:
            self._playback.interrupt(self._clock())

    def _speak(self, input_callback: Callable[[bytes], None], stopped: threading.Event) -> None:
        chunk = self.audio_format.bytes_of(_CHUNK_SECONDS)
        silence = (b"\x00" if self.audio_format.encoding == "pcm" else b"\xff") * chunk
        position, due = 0, self._clock()
        while not stopped.wait(max(0.0, due - self._clock())):
            audio = self._input[position : position + chunk]
            input_callback(audio + silence[len(audio) :])
            position += chunk
            due += _CHUNK_SECONDS


def _read(path: Path, audio_format: AudioFormat) -> bytes:
    """The file's sound in `audio_format`."""
    if path.suffix.lower() != ".wav":
        return path.read_bytes()
    rate, audio = read_wav(path)
    if (audio_format.encoding, audio_format.rate) == ("pcm", rate):
        return audio
    from antiphon.audio.convert import Encoder  # needs numpy, which the client alone does not

    encoder = Encoder(rate, audio_format)
    return encoder.encode(audio) + encoder.flush()


def _write(path: Path, audio: bytes, audio_format: AudioFormat) -> None:
    if path.suffix.lower() != ".wav":
        path.write_bytes(audio)
        return
    if audio_format.encoding == "ulaw":
        from antiphon.audio import ulaw

        audio = ulaw.decode(audio)
    write_wav(path, audio_format.rate, audio)
