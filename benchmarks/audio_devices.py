"""DefaultAudioInterface and AsyncDefaultAudioInterface against a real sound server.

How soon an interruption is heard, how soon `stop` returns while a reply of 3 s plays, whether the event loop stands
still meanwhile, whether the microphone arrives.

    python -m benchmarks.audio_devices [--trials 20] [--short]

Times of interruptions: from the call of `interrupt` to the last block handed to PortAudio that is not silent, and to
the last sample at the sound server's monitor that is not.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import json
import math
import subprocess
import time
from collections.abc import Callable
from typing import Any

from . import sound_server
from .sound_server import RATE, Monitor, SoundServer

REPLY_SECONDS = 3.0
TONE = 440
MOST_WRITTEN = 60.0
MOST_HEARD = 130.0
MOST_STALL = 20.0


def tone(seconds: float, rate: int = RATE, frequency: float = TONE) -> bytes:
    """A sine, s16le, never silent for two samples."""
    step = 2 * math.pi * frequency / rate
    return array.array("h", (round(12_000 * math.sin(step * n + 0.1)) for n in range(round(seconds * rate)))).tobytes()


def pitch(audio: bytes, rate: int = RATE) -> float:
    """The strongest frequency, in Hz."""
    import numpy as np

    samples = np.frombuffer(audio, "<i2").astype(float)
    if not samples.any():
        return 0.0
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * rate / len(samples)


class WrittenBlocks:
    """Sees every block that PortAudio is given: whatever is opened after it was made."""

    def __init__(self) -> None:
        import sounddevice

        self.last_sound = 0.0
        self.sounding = 0
        "How many there were with sound in them."
        opened = sounddevice.RawOutputStream
        blocks = self

        class RawOutputStream(opened):
            def __init__(self, *, callback: Callable[..., None], **settings: Any) -> None:
                def watched(audio: Any, *details: Any) -> None:
                    callback(audio, *details)
                    if any(audio[:]):
                        blocks.last_sound = time.monotonic()
                        blocks.sounding += 1

                super().__init__(callback=watched, **settings)

        sounddevice.RawOutputStream = RawOutputStream


def play(trials: int) -> dict[str, Any]:
    """What the monitor hears of a tone, in the formats that a conversation may announce."""
    from antiphon.conversational_ai.default_audio_interface import DefaultAudioInterface

    monitor, speaker = Monitor(), DefaultAudioInterface()
    speaker.start(lambda _: None)
    monitor.wait(1)
    pitches: dict[str, float] = {}
    for name in ("pcm_16000", "pcm_24000", "pcm_48000", "ulaw_8000"):
        rate = int(name.split("_")[1])
        audio = tone(1.2, rate)
        if name.startswith("ulaw"):
            from antiphon.audio import ulaw

            audio = ulaw.encode(audio)
        speaker.set_formats("pcm_16000", name)
        since = time.monotonic()
        speaker.output(audio)
        monitor.wait(1.1)
        pitches[name] = pitch(monitor.audio(since + 0.3))
        speaker.interrupt()
        monitor.wait(0.2)
    speaker.stop()
    monitor.close()
    return {"pitches": pitches}


def record(trials: int) -> dict[str, Any]:
    """What arrives of a tone that a program plays into the microphone."""
    from antiphon.conversational_ai.default_audio_interface import DefaultAudioInterface

    pieces: list[bytes] = []
    monitor = Monitor("microphone")
    feed = subprocess.Popen(
        ["pacat", "--device=microphone", "--latency-msec=20", "--raw", f"--rate={RATE}", "--channels=1"],
        stdin=subprocess.PIPE,
    )
    microphone = DefaultAudioInterface()
    microphone.start(pieces.append)
    feed.communicate(tone(2.5))
    monitor.wait(0.2)
    microphone.stop()
    count = len(pieces)
    monitor.wait(0.3)
    monitor.close()
    heard = b"".join(pieces)
    loud = next((at for at in range(0, len(heard), 640) if any(heard[at : at + 640])), 0)
    return {
        "pitch": pitch(heard[loud : loud + 32_000]),
        "piece_bytes": sorted({len(piece) for piece in pieces}),
        "after_stop": len(pieces) - count,
    }


def interrupt(trials: int) -> dict[str, Any]:
    """Interruptions 0.5 s and a bit into a reply."""
    from antiphon.conversational_ai.default_audio_interface import DefaultAudioInterface

    blocks, monitor, speaker = WrittenBlocks(), Monitor(), DefaultAudioInterface()
    speaker.start(lambda _: None)
    monitor.wait(1)
    reply = tone(REPLY_SECONDS)
    written: list[float] = []
    heard: list[float] = []
    blocks_after: list[int] = []
    for trial in range(trials):
        speaker.output(reply)
        monitor.wait(0.5 + 0.0037 * (trial % 10))
        at = time.monotonic()
        speaker.interrupt()
        count = blocks.sounding
        monitor.wait(0.4)
        blocks_after.append(blocks.sounding - count)
        written.append(1000 * max(0.0, blocks.last_sound - at))
        heard.append(1000 * (monitor.last_sound(at - 0.2) - at))
    speaker.stop()
    monitor.close()
    return {"written": written, "heard": heard, "blocks_after": blocks_after}


def stop(trials: int) -> dict[str, Any]:
    """Stops in the middle of a reply, from outside and from the microphone's callback."""
    from antiphon.conversational_ai.default_audio_interface import DefaultAudioInterface

    took: list[float] = []
    inside: list[float] = []
    monitor, microphone = Monitor(), Monitor("microphone")
    microphone.wait(1)
    for _ in range(trials):
        interface = DefaultAudioInterface()
        interface.start(lambda _: None)
        interface.output(tone(REPLY_SECONDS))
        monitor.wait(0.3)
        at = time.monotonic()
        interface.stop()
        took.append(1000 * (time.monotonic() - at))
    for _ in range(trials):
        interface = DefaultAudioInterface()

        def hear(_: bytes, interface: DefaultAudioInterface = interface, stopped: list[float] = inside) -> None:
            at = time.monotonic()
            interface.stop()
            stopped.append(1000 * (time.monotonic() - at))

        interface.start(hear)
        interface.output(tone(REPLY_SECONDS))
        monitor.wait(0.3)
        interface.stop()
    monitor.close()
    microphone.close()
    return {"outside": took, "inside": inside}


async def loop(trials: int) -> dict[str, Any]:
    """The async interface while it plays a reply of 3 s, and when that is interrupted."""
    from antiphon.conversational_ai.default_audio_interface import AsyncDefaultAudioInterface

    monitor, microphone, interface = Monitor(), Monitor("microphone"), AsyncDefaultAudioInterface()
    pieces: list[int] = []
    gaps = [0.0]

    async def hear(audio: bytes) -> None:
        pieces.append(len(audio))

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    await asyncio.to_thread(monitor.wait, 1)
    reply = tone(REPLY_SECONDS)
    ticking = asyncio.create_task(tick())
    began = time.monotonic()
    await interface.start(hear)
    await interface.set_formats("pcm_16000", "pcm_24000")
    await interface.set_formats("pcm_16000", "pcm_16000")
    opened = time.monotonic() - began
    since = time.monotonic()
    await interface.output(reply)
    returned = time.monotonic() - since
    await asyncio.to_thread(monitor.wait, REPLY_SECONDS + 0.3)
    played = monitor.last_sound(since) - since
    await interface.output(reply)
    await asyncio.sleep(0.3)
    at = time.monotonic()
    await interface.interrupt()
    await asyncio.to_thread(monitor.wait, 0.4)
    heard = monitor.last_sound(at - 0.2) - at
    at = time.monotonic()
    await interface.stop()
    stopped = time.monotonic() - at
    count = len(pieces)
    await asyncio.sleep(0.2)
    ticking.cancel()
    monitor.close()
    microphone.close()
    return {
        "opened": 1000 * opened,
        "returned": 1000 * returned,
        "played": played,
        "pieces": count,
        "after_stop": len(pieces) - count,
        "stall": 1000 * max(gaps),
        "heard": 1000 * heard,
        "stopped": 1000 * stopped,
    }


SCENARIOS: dict[str, Callable[[int], Any]] = {
    "play": play,
    "record": record,
    "interrupt": interrupt,
    "stop": stop,
    "loop": lambda trials: asyncio.run(loop(trials)),
}


def measure(server: SoundServer, scenario: str, trials: int = 1) -> dict[str, Any]:
    """The figures of a scenario, held in a program of its own."""
    arguments = ("--scenario", scenario, "--trials", str(trials))
    result: dict[str, Any] = json.loads(server.run("benchmarks.audio_devices", *arguments, timeout=60 + 3 * trials))
    return result


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--short", action="store_true", help="only what depends on how fast it is")
    parser.add_argument("--scenario", choices=SCENARIOS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scenario is not None:
        print(json.dumps(SCENARIOS[options.scenario](options.trials)))
        return
    if not sound_server.is_here():
        parser.error("needs apt-get install pulseaudio pulseaudio-utils libasound2-plugins")
    with SoundServer() as server:
        if not options.short:
            _print_sound(server, min(options.trials, 5))
        _print_latency(server, options.trials)


def _print_sound(server: SoundServer, trials: int) -> None:
    for name, heard in measure(server, "play")["pitches"].items():
        print(f"{name}: a tone of {TONE} Hz is heard as {heard:.1f} Hz")
    figures = measure(server, "record")
    print(f"microphone: {figures['pitch']:.1f} Hz, pieces of {figures['piece_bytes']} bytes")
    figures = measure(server, "stop", trials)
    _print_row("stop() during a reply", figures["outside"], MOST_HEARD)
    _print_row("stop() from the microphone's callback", figures["inside"], MOST_HEARD)


def _print_latency(server: SoundServer, trials: int) -> None:
    figures = measure(server, "interrupt", trials)
    _print_row("interruption to last block written", figures["written"], MOST_WRITTEN)
    _print_row("interruption to silence at the monitor", figures["heard"], MOST_HEARD)
    figures = measure(server, "loop")
    print(f"async: {figures['pieces']} pieces of the microphone's, reply of 3 s heard for {figures['played']:.2f} s")
    _print_row("async: longest stall of the loop", [figures["stall"]], MOST_STALL)
    _print_row("async: interruption to silence at the monitor", [figures["heard"]], MOST_HEARD)
    _print_row("async: stop()", [figures["stopped"]], MOST_HEARD)


def _print_row(what: str, milliseconds: list[float], most: float) -> None:
    ordered = sorted(milliseconds)
    word = "met" if ordered[-1] <= most else "MISSED"
    print(f"{what}: p50 {ordered[len(ordered) // 2]:.1f} ms, max {ordered[-1]:.1f} ms, of {len(ordered)} {word}")


if __name__ == "__main__":
    main()
