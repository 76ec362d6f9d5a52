"""A sound server of one's own, without a sound card: PulseAudio with a loudspeaker and a microphone that lead nowhere.

What is played to the sink `speaker` is heard at `speaker.monitor`; what is played to the sink `microphone`
is what programs record. Works as root, without D-Bus, beside any other server: everything lies in one folder.

Programs take their settings from the environment and a file when they start: run them with `SoundServer.environment`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

PROGRAMS = ("pulseaudio", "pactl", "parec", "pacat")
RATE = 16_000
_ALSA_CONFIGURATION = "pcm.!default { type pulse }\nctl.!default { type pulse }\n"
_MODULES = (
    "module-null-sink sink_name=speaker rate=48000",
    "module-null-sink sink_name=microphone rate=48000",
)


def is_here() -> bool:
    """Whether all its programs are installed, and the plug-in that takes ALSA programs to it."""
    plug_in = any(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so"))
    return plug_in and all(shutil.which(program) is not None for program in PROGRAMS)


class SoundServer:
    """Runs while the `with` block does."""

    def __enter__(self) -> SoundServer:
        # Not a test's folder: the path of a socket may not be longer than 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="sound-"))
        socket = self._folder / "socket"
        (self._folder / ".asoundrc").write_text(_ALSA_CONFIGURATION)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PULSE_", "ALSA_"))},
            "HOME": str(self._folder),
            "XDG_RUNTIME_DIR": str(self._folder),
            "XDG_CONFIG_HOME": str(self._folder),
            "PULSE_SERVER": f"unix:{socket}",
        }
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--log-level=info"]
        for module in (f"module-native-protocol-unix auth-anonymous=1 socket={socket}", *_MODULES):
            command += ["-L", module]
        self._process = subprocess.Popen(
            command, env={**self.environment, "LC_ALL": "C"}, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        log: list[str] = []
        for line in self._process.stderr:
            log.append(line)
            if "startup complete" in line:
                break
        else:
            raise RuntimeError("".join(["pulseaudio did not start\n", *log]))
        # What it logs from now on would fill the pipe.
        threading.Thread(target=self._process.stderr.read, daemon=True).start()
        self._control("set-default-sink", "speaker")
        self._control("set-default-source", "microphone.monitor")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, module: str, *arguments: str, timeout: float = 60) -> str:
        """What a Python module prints, run as a program that hears and speaks here."""
        result = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self.environment,
            cwd=Path(__file__).resolve().parent.parent,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if result.returncode != 0:
            raise RuntimeError(result.stderr)
        return result.stdout

    def _control(self, *arguments: str) -> None:
        subprocess.run(["pactl", *arguments], env=self.environment, check=True, stdout=subprocess.DEVNULL)


class Monitor:
    """Records what a sink plays, with the time of every sample.

    `environment`: the server's; left out where this is used in a program that the server runs.

    While it listens, a null sink works in steps of 10 ms; otherwise in steps of up to 2 s, unlike any sound card.
    """

    def __init__(self, sink: str = "speaker", environment: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            ["parec", f"--device={sink}.monitor", "--latency-msec=10", "--raw", f"--rate={RATE}", "--channels=1"],
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._audio = bytearray()
        self._anchor = float("inf")
        "When the first sample sounded: no piece can come before it has been recorded, and some come at once."
        self._more = threading.Condition()
        threading.Thread(target=self._record, daemon=True).start()

    def _record(self) -> None:
        assert self._process.stdout is not None
        while piece := os.read(self._process.stdout.fileno(), 65_536):
            with self._more:
                self._audio += piece
                self._anchor = min(self._anchor, time.monotonic() - len(self._audio) / (2 * RATE))
                self._more.notify_all()

    def wait(self, seconds: float) -> None:
        """Until that much more has been recorded."""
        with self._more:
            wanted = len(self._audio) + round(seconds * RATE) * 2
            if not self._more.wait_for(lambda: len(self._audio) >= wanted, timeout=seconds + 15):
                raise TimeoutError("nothing is recorded")

    def audio(self, since: float = float("-inf")) -> bytes:
        """All that was recorded from that time on, s16le mono at RATE."""
        with self._more:
            first = max(0, round((since - self._anchor) * RATE)) if since > self._anchor else 0
            return bytes(self._audio[2 * first :])

    def last_sound(self, since: float) -> float:
        """When the last sample sounded that was not silent."""
        audio = self.audio(since)
        samples = memoryview(audio).cast("h")
        last = next((at for at in range(len(samples) - 1, -1, -1) if abs(samples[at]) > 64), -1)
        return max(since, self._anchor) + (last + 1) / RATE

    def close(self) -> None:
        """Ends the recording."""
        self._process.terminate()
        self._process.wait()
