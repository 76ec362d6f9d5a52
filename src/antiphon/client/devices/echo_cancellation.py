"""Takes the agent's voice out of what the microphone hears: the echo canceller of WebRTC, from `pywebrtc-audio`."""

from __future__ import annotations

from collections import deque
from typing import Any

from antiphon.audio.convert import Resampler
from antiphon.errors import ConfigError

_RATES = (8_000, 16_000, 32_000, 48_000)
"Samples per second that WebRTC's audio processing knows."
_FRAME_SECONDS = 0.01
_MOST_FAR_SECONDS = 0.25
"How much of what was played may wait for its echo; more means that the two devices' clocks have drifted apart."


class EchoCanceller:
    """Cancels the echo of what is `played` in what is `heard`, both s16le mono, each at its device's rate.

    Whichever way the room answers, up to some hundred milliseconds late, is learnt within the first seconds of sound.
    `rate`: samples per second of what `hear` returns, at least `microphone_rate` up to 48 kHz.

    Raises:
        ConfigError: the package is not installed.
    """

    def __init__(self, microphone_rate: int, loudspeaker_rate: int) -> None:
        processor_class = load_processor()
        self.rate = next((rate for rate in _RATES if rate >= microphone_rate), _RATES[-1])
        self._processor: Any = processor_class(
            sample_rate=self.rate, echo_cancellation=True, noise_suppression=False, auto_gain_control=False
        )
        self._frame_bytes = round(_FRAME_SECONDS * self.rate) * 2
        self._near_resampler = Resampler(microphone_rate, self.rate)
        self._far_resampler = Resampler(loudspeaker_rate, self.rate)
        self._played: deque[bytes] = deque(maxlen=1000)
        self._near, self._far = bytearray(), bytearray()
        self._has_heard = False

    def played(self, audio: bytes) -> None:
        """Told by PortAudio's callback of each block that it is given, silence too. Never waits."""
        self._played.append(audio)

    def hear(self, audio: bytes) -> bytes:
        """What the microphone hears without the echo, at `rate`, in whole frames of 10 ms; the rest comes next time."""
        while self._played:
            self._far += self._far_resampler.resample(self._played.popleft())
        self._near += self._near_resampler.resample(audio)
        size = len(self._near) - len(self._near) % self._frame_bytes
        if not size:
            return b""
        near, self._near = bytes(self._near[:size]), self._near[size:]
        if not self._has_heard or len(self._far) > size + round(_MOST_FAR_SECONDS * self.rate) * 2:
            del self._far[:-size]
            self._has_heard = True
        far = bytes(self._far[:size])
        del self._far[:size]
        return self._process(near, far + bytes(size - len(far)))

    def _process(self, near: bytes, far: bytes) -> bytes:
        from antiphon.audio.arrays import load_numpy

        np = load_numpy()
        kind = np.dtype("<i2")
        cleaned: bytes = self._processor.process(np.frombuffer(near, kind), np.frombuffer(far, kind)).tobytes()
        return cleaned


def load_processor() -> Any:
    """The class of the package's audio processors.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        from pywebrtc_audio import AudioProcessor
    except ImportError as error:
        raise ConfigError("echo cancellation needs pywebrtc-audio: pip install 'antiphon[aec]'") from error
    return AudioProcessor
