"""Our own client against the real server: the audio interfaces that come with it, and the documentation's."""

from __future__ import annotations

import asyncio
import math
import struct
import wave
from typing import TYPE_CHECKING, Any

from antiphon import Antiphon, AsyncConversation, AudioInterface, FileAudioInterface, MemoryAudioInterface
from antiphon.protocol.events import AgentAudio, AgentResponse, AgentResponseCorrection, Interruption, UserTranscript

if TYPE_CHECKING:
    from pathlib import Path

HELLO = "Hello, how can I help?"
ANSWER = "We are open from nine to five."


def voice(seconds: float) -> bytes:
    """Loud enough for a detector that goes by energy."""
    samples = (round(9000 * math.sin(math.tau * 300 * i / 16_000)) for i in range(round(16_000 * seconds)))
    return b"".join(struct.pack("<h", sample) for sample in samples)


def write_wav(path: Path, audio: bytes) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(audio)
    return path


async def until(conversation: AsyncConversation, kind: type, count: int = 1) -> list[Any]:
    """The events up to the count-th of a kind."""
    seen: list[Any] = []
    async with asyncio.timeout(20):
        async for event in conversation:
            seen.append(event)
            count -= isinstance(event, kind)
            if not count:
                break
    return seen


def test_a_file_in_real_time_is_a_turn(server: str, tmp_path: Path) -> None:
    """The caller waits for the greeting's end; the output file holds greeting and answer, each at its time."""
    source = write_wav(tmp_path / "in.wav", bytes(32_000) + voice(0.8))
    out = tmp_path / "out.wav"

    async def play() -> None:
        device = FileAudioInterface(source, out)
        async with AsyncConversation(Antiphon(server), "hours", requires_auth=False, audio_interface=device) as call:
            seen = await until(call, AgentResponse, 2)
            assert [e.text for e in seen if isinstance(e, UserTranscript)] == ["what are your opening hours"]
            assert [e.text for e in seen if isinstance(e, AgentResponse)] == [HELLO, ANSWER]
            await until(call, AgentAudio, 5)

    asyncio.run(play())
    with wave.open(str(out)) as file:
        audio = file.readframes(file.getnframes())
    sounds = [any(audio[i : i + 3200]) for i in range(0, len(audio), 3200)]
    assert sounds[0]
    assert sounds[-1]
    assert not all(sounds)  # the caller's turn


def test_a_dumped_file_is_a_turn(server: str, tmp_path: Path) -> None:
    """Without real time, and as the documentation of the original does it inside start()."""
    source = tmp_path / "in.pcm"
    source.write_bytes(voice(1.0))

    class Documented(AudioInterface):
        def __init__(self, input_file: str) -> None:
            self.input_file = input_file
            self.output_chunks: list[bytes] = []

        def start(self, input_callback: Any) -> None:
            with open(self.input_file, "rb") as f:
                while chunk := f.read(8000):
                    input_callback(chunk)

        def stop(self) -> None:
            pass

        def output(self, audio: bytes) -> None:
            self.output_chunks.append(audio)

        def interrupt(self) -> None:
            self.output_chunks.clear()

    async def play(device: AudioInterface) -> None:
        async with AsyncConversation(Antiphon(server), "hours", requires_auth=False, audio_interface=device) as call:
            seen = await until(call, UserTranscript)
            assert seen[-1].text == "what are your opening hours"
            seen = await until(call, AgentAudio)
            assert [e.text for e in seen if isinstance(e, AgentResponse)][-1:] == [ANSWER]

    asyncio.run(play(FileAudioInterface(source, realtime=False)))
    asyncio.run(play(Documented(str(source))))


def test_what_memory_heard_is_what_the_server_says_was_heard(server: str) -> None:
    """Barge-in: the simulated playback clock and the server's correction agree."""

    async def play() -> None:
        memory = MemoryAudioInterface()
        speaking = asyncio.Event()

        async def speak() -> None:
            """Silence every 20 ms, and 1 s of speech when asked."""
            loop = asyncio.get_running_loop()
            due, waiting = loop.time(), b""
            while True:
                if speaking.is_set():
                    speaking.clear()
                    waiting = voice(1.0)
                memory.feed(waiting[:640].ljust(640, b"\0"))
                waiting = waiting[640:]
                due += 0.02
                await asyncio.sleep(due - loop.time())

        call = AsyncConversation(Antiphon(server), "storyteller", requires_auth=False, audio_interface=memory)
        async with call, asyncio.TaskGroup() as tasks:
            microphone = tasks.create_task(speak())
            await until(call, AgentAudio)
            # A loudspeaker tells nobody when it falls silent, and its thread is not the loop's: polled.
            while (remaining := memory.remaining()) or len(memory.heard()) < len(HELLO) * 0.03 * 32_000:  # noqa: ASYNC110
                await asyncio.sleep(max(remaining, 0.02))
            greeting = len(memory.heard())
            await asyncio.sleep(1.0)  # silence after it tells the server that this microphone hears no loudspeaker
            speaking.set()
            await until(call, AgentAudio, 15)
            speaking.set()
            seen = await until(call, AgentResponseCorrection)
            assert any(isinstance(event, Interruption) for event in seen)
            while not memory.interruptions:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            heard = (len(memory.playback.heard(memory.interruptions[-1])) - greeting) / 32_000
            assert abs(heard - len(seen[-1].corrected) * 0.03) < 0.4
            assert seen[-1].original.startswith(seen[-1].corrected.rstrip("."))
            microphone.cancel()

    asyncio.run(play())
