"""The sound device in a conversation: sync or async, slow or broken."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pybase64
import pytest

from antiphon.client import AsyncAudioInterface, AudioInterface, DisconnectionDetails, MemoryAudioInterface
from antiphon.protocol.events import AgentAudio, Interruption, Ping

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOON = 1.0
"Seconds. What waits for a close that does not come takes 2."


class Device(AudioInterface):
    """Notes its calls and the threads that they come from."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.threads: set[threading.Thread] = set()
        self.loop = asyncio.get_running_loop()
        self.changed = asyncio.Event()

    def note(self, call: Any) -> None:
        self.calls.append(call)
        self.threads.add(threading.current_thread())
        self.loop.call_soon_threadsafe(self.changed.set)

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        self.hear = input_callback
        self.note("start")  # last: who waits for it goes on at once

    def stop(self) -> None:
        self.note("stop")

    def output(self, audio: bytes) -> None:
        self.note(audio)

    def interrupt(self) -> None:
        self.note("interrupt")

    async def until(self, *calls: Any) -> None:
        while self.calls[-len(calls) :] != list(calls):
            self.changed.clear()
            await self.changed.wait()


def chunk(i: int) -> AgentAudio:
    return AgentAudio(audio=b"%02d" % i, event_id=i)


def said(message: dict[str, Any]) -> bytes:
    return pybase64.b64decode(message["user_audio_chunk"])


def test_a_device_is_served_in_order_and_never_on_the_loop(scene: Any, ended: Any) -> None:
    """Start, audio, interruption, stop, each once; microphone audio may come from any thread."""

    @scene
    async def _(server: Any) -> None:
        device = Device()
        conversation, peer = await server.begin(audio_interface=device)
        await device.until("start")
        microphone = threading.Thread(target=lambda: [device.hear(b"a%d" % i) for i in range(5)])
        microphone.start()
        device.hear(b"from the loop's own thread")
        microphone.join()
        heard = [said(await peer.hear("user_audio_chunk")) for _ in range(6)]
        assert sorted(heard) == [b"a0", b"a1", b"a2", b"a3", b"a4", b"from the loop's own thread"]
        for event in (chunk(1), chunk(2), Interruption(event_id=3), chunk(2), chunk(4)):
            await peer.say(event)
            await asyncio.sleep(0)
        await device.until(b"04")
        await ended(conversation)
        device.hear(b"too late")
        assert device.calls in (
            ["start", b"01", b"02", "interrupt", b"04", "stop"],
            ["start", b"01", "interrupt", b"04", "stop"],  # the interruption caught what the device had not taken
            ["start", "interrupt", b"04", "stop"],
        )
        assert threading.main_thread() not in device.threads
        assert "text_only" not in peer.received[0]["conversation_config_override"]


def test_an_async_device_is_served_on_the_loop(scene: Any, ended: Any) -> None:
    """Its input callback may be awaited on another loop (the original loses every chunk: protocol.md 5.8)."""

    @scene
    async def _(server: Any) -> None:
        calls: list[Any] = []
        played = asyncio.Event()

        class AsyncDevice(AsyncAudioInterface):
            async def start(self, input_callback: Any) -> None:
                calls.append("start")
                await input_callback(b"own loop")
                await asyncio.to_thread(lambda: asyncio.run(input_callback(b"other loop")))

            async def stop(self) -> None:
                calls.append("stop")

            async def output(self, audio: bytes) -> None:
                calls.append(audio)
                played.set()

            async def interrupt(self) -> None:
                calls.append("interrupt")

        conversation, peer = await server.begin(audio_interface=AsyncDevice())
        assert [said(await peer.hear("user_audio_chunk")) for _ in range(2)] == [b"own loop", b"other loop"]
        await peer.say(Interruption(event_id=1))
        await peer.say(chunk(2))
        await played.wait()
        await ended(conversation)
        assert calls == ["start", "interrupt", b"02", "stop"]


def test_an_interruption_overtakes_what_a_slow_device_has_not_taken(scene: Any, ended: Any) -> None:
    """However far behind the device is, nothing of the old reply follows its interruption."""

    @scene
    async def _(server: Any) -> None:
        device, release = Device(), threading.Event()
        seen = asyncio.Event()
        device.output = lambda audio: (device.note(audio), release.wait(5))  # type: ignore[method-assign, assignment]
        conversation, peer = await server.begin(
            audio_interface=device, on_event=lambda event: isinstance(event, Interruption) and loop_set()
        )
        loop = asyncio.get_running_loop()

        def loop_set() -> None:
            loop.call_soon_threadsafe(seen.set)

        await peer.say(chunk(1))
        await device.until(b"01")
        for event in (*(chunk(i) for i in range(2, 50)), Interruption(event_id=50)):
            await peer.say(event)
        await peer.say(Ping(event_id=1))
        await peer.hear("pong")  # a device that blocks does not hold up the socket
        await seen.wait()
        release.set()
        await peer.say(chunk(51))
        await device.until(b"51")
        await ended(conversation)
        assert device.calls == ["start", b"01", "interrupt", b"51", "stop"]


def test_the_seeds_device_that_dumps_a_file_while_starting(scene: Any, ended: Any, tmp_path: Path) -> None:
    """All of it arrives, in order and after the initiation, and the socket is served meanwhile."""
    source = tmp_path / "input.pcm"
    source.write_bytes(bytes(range(256)) * 1000)

    @scene
    async def _(server: Any) -> None:
        class FileAudioInterface(AudioInterface):
            """As printed in the documentation of the original."""

            def __init__(self, input_file: str) -> None:
                self.input_file = input_file
                self.output_chunks: list[bytes] = []

            def start(self, input_callback: Any) -> None:
                with open(self.input_file, "rb") as f:
                    while data := f.read(8000):
                        input_callback(data)

            def stop(self) -> None:
                pass

            def output(self, audio: bytes) -> None:
                self.output_chunks.append(audio)

            def interrupt(self) -> None:
                self.output_chunks.clear()

        conversation, peer = await server.begin(audio_interface=FileAudioInterface(str(source)))
        heard = [said(await peer.hear("user_audio_chunk")) for _ in range(32)]
        assert b"".join(heard) == source.read_bytes()
        await ended(conversation)


def test_a_device_that_does_not_start_ends_the_session(scene: Any) -> None:
    """With its own words; it is not stopped, since it never began."""

    @scene
    async def _(server: Any) -> None:
        told: list[DisconnectionDetails] = []
        device = Device()

        def start(input_callback: Any) -> None:
            raise OSError("no microphone")

        device.start = start  # type: ignore[method-assign]
        conversation = server.conversation(audio_interface=device, callback_disconnect=told.append)
        await conversation.start_session()
        peer = await server.accept()
        assert await peer.hear_end() == (1000, "")
        with pytest.raises(OSError, match="no microphone"):
            await conversation.wait_for_session_end()
        assert told == [DisconnectionDetails("error", message="no microphone")]
        assert device.calls == []


def test_a_device_that_fails_later_ends_nothing(scene: Any, ended: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged: the conversation goes on, and ends, without it."""

    @scene
    async def _(server: Any) -> None:
        class Broken(Device):
            def output(self, audio: bytes) -> None:
                self.note(audio)
                raise OSError("unplugged")

            def stop(self) -> None:
                raise OSError("unplugged")

        device = Broken()
        conversation, peer = await server.begin(audio_interface=device)
        await peer.say(chunk(1))
        await peer.say(chunk(2))
        await device.until(b"01", b"02")
        assert await ended(conversation) == "conv_1"

    assert [record.message for record in caplog.records] == ["the audio interface failed"] * 2 + [
        "the audio interface failed to stop"
    ]


def test_a_device_that_is_stuck_does_not_keep_the_socket(scene: Any) -> None:
    """The socket is closed at once even though stop() waits for the device."""

    @scene
    async def _(server: Any) -> None:
        release = threading.Event()
        device = Device()
        device.stop = lambda: (release.wait(5), None)[1]  # type: ignore[method-assign]
        conversation, peer = await server.begin(audio_interface=device)
        await device.until("start")
        loop = asyncio.get_running_loop()
        began = loop.time()
        _, end = await asyncio.gather(conversation.end_session(), peer.hear_end())
        assert (end, loop.time() - began < SOON) == ((1000, ""), True)
        release.set()
        await conversation.wait_for_session_end()


def test_memory_is_a_device(scene: Any, ended: Any) -> None:
    """What is fed before the start arrives too; what the agent says is kept."""

    @scene
    async def _(server: Any) -> None:
        memory = MemoryAudioInterface()
        memory.feed(b"early")
        conversation, peer = await server.begin(audio_interface=memory)
        assert said(await peer.hear("user_audio_chunk")) == b"early"
        memory.feed(b"later")
        assert said(await peer.hear("user_audio_chunk")) == b"later"
        await peer.say(chunk(1))
        await peer.say(Ping(event_id=1))
        await peer.hear("pong")
        await ended(conversation)
        memory.feed(b"too late")
        assert b"".join(arrival.audio for arrival in memory.arrivals) in (b"01", b"")
