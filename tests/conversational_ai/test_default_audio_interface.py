"""DefaultAudioInterface and AsyncDefaultAudioInterface with a PortAudio that the test turns itself."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pybase64
import pytest

from antiphon.audio import ulaw
from antiphon.client.audio_link import AudioLink
from antiphon.conversational_ai.default_audio_interface import AsyncDefaultAudioInterface, DefaultAudioInterface
from antiphon.errors import ConfigError, DeviceError
from antiphon.protocol.events import AgentAudio, ConversationMetadata

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE = b"\x01\x02"


class PortAudioError(Exception):
    """What sounddevice raises."""


class Stream:
    """One direction of a device; the test is the sound card."""

    def __init__(self, module: FakeSoundDevice, **settings: Any) -> None:
        self.__dict__.update(settings)
        self.module = module
        if settings["samplerate"] not in module.rates:
            raise PortAudioError("Invalid sample rate")
        if settings["device"] not in (None, 0, "card"):
            raise ValueError(f"no device matches {settings['device']!r}")
        self.running = False
        self.closed = False

    callback: Callable[..., None]
    finished_callback: Callable[[], None]
    samplerate: int
    blocksize: int

    def start(self) -> None:
        self.running = True
        with self.module.changed:
            self.module.changed.notify_all()

    def abort(self) -> None:
        if self.running:
            self.running = False
            self.finished_callback()

    def close(self) -> None:
        self.closed = True

    def capture(self, audio: bytes) -> None:
        """The microphone hears that."""
        self.callback(memoryview(audio), len(audio) // 2, None, None)

    def played(self, frames: int | None = None) -> bytes:
        """The next block."""
        frames = frames or self.blocksize
        block = bytearray(frames * 2)
        self.callback(block, frames, None, None)
        return bytes(block)


class FakeSoundDevice(ModuleType):
    """The package's part that we use."""

    def __init__(self) -> None:
        super().__init__("sounddevice")
        self.PortAudioError = PortAudioError
        self.rates = {8_000, 16_000, 22_050, 24_000, 44_100, 48_000}
        self.opened: dict[str, list[Stream]] = {"input": [], "output": []}
        self.there = True
        self.changed = threading.Condition()

    def wait(self, condition: Callable[[], Any]) -> None:
        """Until it holds, when a stream has been started."""
        with self.changed:
            assert self.changed.wait_for(condition, 10)

    def next_sound(self) -> bytes:
        """The next block that is not silent."""
        return next(block for block in iter(self.speaker.played, None) if any(block))

    def _open(self, kind: str, settings: dict[str, Any]) -> Stream:
        if not self.there:
            raise PortAudioError("Error querying device -1")
        stream = Stream(self, **settings)
        self.opened[kind].append(stream)
        return stream

    def RawInputStream(self, **settings: Any) -> Stream:  # noqa: N802
        return self._open("input", settings)

    def RawOutputStream(self, **settings: Any) -> Stream:  # noqa: N802
        return self._open("output", settings)

    def query_devices(self, device: Any = None, kind: str | None = None) -> Any:
        if kind is None:
            return ["  0 card, ALSA (1 in, 2 out)"] if self.there else []
        if not self.there:
            raise PortAudioError("Error querying device -1")
        return {"default_samplerate": 48_000.0}

    @property
    def microphone(self) -> Stream:
        return self.opened["input"][-1]

    @property
    def speaker(self) -> Stream:
        return self.opened["output"][-1]


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> FakeSoundDevice:
    module = FakeSoundDevice()
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


class Ears:
    """An input callback that can be waited for."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.threads: set[str] = set()
        self._changed = threading.Condition()

    def __call__(self, audio: bytes) -> None:
        with self._changed:
            self.pieces.append(audio)
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()

    def wait(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.pieces) >= count, 10)


# --------------------------------------------------------------------------------------------------- as the original


@pytest.mark.parametrize("kind", [DefaultAudioInterface, AsyncDefaultAudioInterface])
def test_without_a_binding_the_originals_words_and_the_remedy(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised when the interface is made, as the original does."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    with pytest.raises(ImportError, match=r"^To use DefaultAudioInterface you must install pyaudio\.") as raised:
        kind()
    assert "pip install 'antiphon[audio]'" in str(raised.value)
    assert "libportaudio2" in str(raised.value)


@pytest.mark.parametrize("kind", [DefaultAudioInterface, AsyncDefaultAudioInterface])
def test_the_originals_constants_stay(kind: type[Any]) -> None:
    """Programs read them."""
    assert (kind.INPUT_FRAMES_PER_BUFFER, kind.OUTPUT_FRAMES_PER_BUFFER) == (4000, 1000)


@pytest.mark.parametrize("kind", [DefaultAudioInterface, AsyncDefaultAudioInterface])
def test_what_the_original_lets_one_write(kind: type[Any]) -> None:
    """Its constructor takes nothing; everything of ours is a keyword with a default."""
    parameters = list(inspect.signature(kind).parameters.values())
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    assert all(parameter.default is not inspect.Parameter.empty for parameter in parameters)


def test_a_subclass_that_overrides_the_constants_wins(sound: FakeSoundDevice) -> None:
    """Be it with the original's own values; the other direction keeps its milliseconds."""

    class Mine(DefaultAudioInterface):
        INPUT_FRAMES_PER_BUFFER = 4000

    interface = Mine()
    interface.start(Ears())
    assert (sound.microphone.blocksize, sound.speaker.blocksize) == (4000, 320)
    interface.stop()


def test_constants_set_from_outside_win_too(sound: FakeSoundDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do with the original."""
    monkeypatch.setattr(DefaultAudioInterface, "OUTPUT_FRAMES_PER_BUFFER", 160)
    interface = DefaultAudioInterface()
    interface.start(Ears())
    assert (sound.microphone.blocksize, sound.speaker.blocksize) == (320, 160)
    interface.stop()


# ------------------------------------------------------------------------------------------------------------ sound


def test_by_default_pieces_are_short(sound: FakeSoundDevice) -> None:
    """20 ms of s16le mono at 16 kHz each way, from the system's default devices."""
    interface = DefaultAudioInterface()
    interface.start(Ears())
    for stream in (sound.microphone, sound.speaker):
        settings = vars(stream)
        assert (settings["samplerate"], settings["channels"], settings["dtype"]) == (16_000, 1, "int16")
        assert (settings["blocksize"], settings["device"]) == (320, None)
    interface.stop()


def test_devices_and_chunks_can_be_chosen(sound: FakeSoundDevice) -> None:
    """By index or name, in milliseconds."""
    interface = DefaultAudioInterface(input_chunk_ms=100, output_chunk_ms=10, input_device=0, output_device="card")
    interface.start(Ears())
    assert (vars(sound.microphone)["device"], sound.microphone.blocksize) == (0, 1600)
    assert (vars(sound.speaker)["device"], sound.speaker.blocksize) == ("card", 160)
    interface.stop()


def test_nonsense_is_refused_when_the_interface_is_made(sound: FakeSoundDevice) -> None:
    """Not when the conversation has begun."""
    with pytest.raises(ValueError, match="milliseconds"):
        DefaultAudioInterface(input_chunk_ms=0)
    with pytest.raises(ConfigError, match="mp3_44100"):
        DefaultAudioInterface(output_format="mp3_44100")


def test_an_interruption_silences_the_next_block(sound: FakeSoundDevice) -> None:
    """In the middle of a chunk of three seconds, and the next reply is heard at once."""
    interface = DefaultAudioInterface()
    interface.start(Ears())
    interface.output(SAMPLE * 48_000)
    assert sound.speaker.played() == SAMPLE * 320
    interface.interrupt()
    assert sound.speaker.played() == bytes(640)
    interface.output(b"\x07\x07" * 320)
    assert sound.speaker.played() == b"\x07\x07" * 320
    interface.stop()


def test_the_microphone_is_heard_on_a_thread_of_ours(sound: FakeSoundDevice) -> None:
    """In order, and an application that is stuck does not stop PortAudio's thread."""
    interface, ears, go_on = DefaultAudioInterface(), Ears(), threading.Event()

    def hear(audio: bytes) -> None:
        go_on.wait(10)
        ears(audio)

    interface.start(hear)
    for number in range(3):
        sound.microphone.capture(bytes([number, 0]) * 320)
    go_on.set()
    ears.wait(3)
    assert ears.pieces == [bytes([number, 0]) * 320 for number in range(3)]
    assert ears.threads == {"antiphon-microphone"}
    interface.stop()


def test_stop_lets_go_of_everything(sound: FakeSoundDevice) -> None:
    """May be called twice, and before the start; nothing is heard after it."""
    interface, ears = DefaultAudioInterface(), Ears()
    interface.stop()
    interface.start(ears)
    interface.output(SAMPLE * 48_000)
    interface.stop()
    interface.stop()
    assert sound.microphone.closed
    assert sound.speaker.closed
    sound.microphone.capture(bytes(640))
    assert ears.pieces == []
    assert not any(thread.name == "antiphon-microphone" for thread in threading.enumerate())


def test_stop_from_the_microphones_callback(sound: FakeSoundDevice) -> None:
    """The original's, run on PortAudio's thread, may never return."""
    interface, stopped = DefaultAudioInterface(), threading.Event()

    def hear(audio: bytes) -> None:
        interface.stop()
        stopped.set()

    interface.start(hear)
    sound.microphone.capture(bytes(640))
    assert stopped.wait(10)
    assert sound.speaker.closed


def test_an_interface_can_be_started_again(sound: FakeSoundDevice) -> None:
    """And does not play what was left of the last conversation."""
    interface, ears = DefaultAudioInterface(), Ears()
    interface.start(Ears())
    interface.output(SAMPLE * 48_000)
    interface.stop()
    interface.start(ears)
    assert sound.speaker.played() == bytes(640)
    sound.microphone.capture(SAMPLE * 320)
    ears.wait(1)
    interface.stop()


# ---------------------------------------------------------------------------------------------------------- formats


def test_the_servers_formats_open_the_devices_anew(sound: FakeSoundDevice) -> None:
    """Only the one whose rate is another."""
    interface = DefaultAudioInterface()
    interface.start(Ears())
    interface.set_formats("pcm_16000", "pcm_24000")
    assert [stream.samplerate for stream in sound.opened["input"]] == [16_000]
    assert [stream.samplerate for stream in sound.opened["output"]] == [16_000, 24_000]
    assert sound.opened["output"][0].closed
    assert sound.speaker.blocksize == 480
    interface.stop()


def test_formats_that_are_known_before_the_start(sound: FakeSoundDevice) -> None:
    """By keyword, or because the server was quicker than the sound system."""
    interface = DefaultAudioInterface(input_format="pcm_8000")
    interface.set_formats(None, "pcm_22050")
    interface.start(Ears())
    assert (sound.microphone.samplerate, sound.speaker.samplerate) == (8_000, 22_050)
    interface.stop()


def test_telephone_audio_is_converted(sound: FakeSoundDevice) -> None:
    """Mu-law on the wire, linear on the device, both ways."""
    interface, ears = DefaultAudioInterface(input_format="ulaw_8000", output_format="ulaw_8000"), Ears()
    interface.start(ears)
    audio = b"".join(number.to_bytes(2, "little", signed=True) for number in range(-8000, 8000, 100))
    sound.microphone.capture(audio)
    ears.wait(1)
    assert ears.pieces == [ulaw.encode(audio)]
    interface.output(ulaw.encode(audio))
    assert sound.speaker.played() == ulaw.decode(ulaw.encode(audio))
    interface.stop()


def test_a_device_that_does_not_know_the_rate_is_resampled_for(sound: FakeSoundDevice) -> None:
    """At the rate that it prefers."""
    sound.rates = {48_000}
    interface, ears = DefaultAudioInterface(), Ears()
    interface.start(ears)
    assert (sound.microphone.samplerate, sound.microphone.blocksize) == (48_000, 960)
    for _ in range(10):
        sound.microphone.capture(bytes(1920))
    ears.wait(10)
    assert 6400 - 64 <= sum(map(len, ears.pieces)) <= 6400
    interface.output((1000).to_bytes(2, "little") * 16_000)
    block = memoryview(sound.speaker.played(24_000)).cast("h")
    assert all(abs(sample - 1000) <= 1 for sample in block[1000:-1000])
    interface.interrupt()
    assert sound.speaker.played() == bytes(1920)
    interface.stop()


def test_a_conversation_tells_the_interface_its_formats(sound: FakeSoundDevice) -> None:
    """In order with the audio, interrupted or not."""

    async def converse() -> None:
        interface = AsyncDefaultAudioInterface()
        link = AudioLink(interface, lambda _: None)
        link.output(b"old" * 100)
        link.announce("pcm_16000", "pcm_24000")
        link.interrupt()
        link.output(SAMPLE * 480)
        running = asyncio.create_task(link.run())
        await asyncio.to_thread(sound.wait, lambda: sound.opened["output"] and sound.speaker.samplerate == 24_000)
        assert await asyncio.to_thread(sound.next_sound) == SAMPLE * 480
        running.cancel()
        await asyncio.wait({running})

    asyncio.run(asyncio.wait_for(converse(), 10))


def test_a_conversation_in_threads_tells_it_too(sound: FakeSoundDevice, server: Any) -> None:
    """The agent's first words are played at the rate that its metadata names, and the caller is heard at the other."""
    metadata = ConversationMetadata(
        conversation_id="conv_1", user_input_audio_format="ulaw_8000", agent_output_audio_format="pcm_24000"
    )
    conversation = server.conversation(audio_interface=DefaultAudioInterface())
    conversation.start_session()
    peer = server.accept(metadata)
    peer.say(AgentAudio(audio=SAMPLE * 480, event_id=1))
    sound.wait(lambda: sound.opened["output"] and sound.speaker.samplerate == 24_000)
    assert sound.next_sound() == SAMPLE * 480
    sound.microphone.capture(bytes(320))
    assert pybase64.b64decode(peer.hear("user_audio_chunk")["user_audio_chunk"]) == b"\xff" * 160
    conversation.end_session()
    conversation.wait_for_session_end()
    assert sound.speaker.closed


# --------------------------------------------------------------------------------------------------------- failures


def test_without_a_device_the_error_lists_what_there_is(sound: FakeSoundDevice) -> None:
    """And is what the original raises, an OSError."""
    sound.there = False
    interface = DefaultAudioInterface()
    with pytest.raises(DeviceError, match=r"loudspeaker cannot be opened: Error querying device -1.*\n  none"):
        interface.start(Ears())
    assert issubclass(DeviceError, OSError)


def test_a_device_of_another_name(sound: FakeSoundDevice) -> None:
    """The microphone that is missing closes the loudspeaker that is there; the list helps to choose."""
    interface = DefaultAudioInterface(input_device="headset")
    with pytest.raises(DeviceError, match=r"the microphone 'headset' cannot be opened: (?s:.*)0 card, ALSA"):
        interface.start(Ears())
    assert sound.speaker.closed
    assert not any(thread.name == "antiphon-microphone" for thread in threading.enumerate())


def test_a_device_that_is_pulled_out_is_told(sound: FakeSoundDevice, caplog: pytest.LogCaptureFixture) -> None:
    """With the list of devices; a stream that is closed on purpose is not."""
    lost: list[str] = []
    interface, ears = DefaultAudioInterface(on_loss=lost.append), Ears()
    interface.start(ears)
    sound.microphone.finished_callback()
    sound.microphone.capture(SAMPLE)  # comes after the report on the same thread
    ears.wait(1)
    interface.stop()
    assert [record.message for record in caplog.records] == [
        "the microphone is gone. The sound devices were:\n['  0 card, ALSA (1 in, 2 out)']"
    ]
    assert lost == ["microphone"]


# ------------------------------------------------------------------------------------------------------------ async


def test_the_async_microphone_is_heard_on_the_loop(sound: FakeSoundDevice) -> None:
    """The original's never sends a single chunk."""

    async def converse() -> None:
        interface = AsyncDefaultAudioInterface()
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def hear(audio: bytes) -> None:
            assert asyncio.get_running_loop() is loop
            await asyncio.sleep(0)
            heard.put_nowait(audio)

        await interface.start(hear)
        for number in range(5):
            await asyncio.to_thread(sound.microphone.capture, bytes([number, 0]) * 320)
        assert [await heard.get() for _ in range(5)] == [bytes([number, 0]) * 320 for number in range(5)]
        await interface.stop()
        await interface.stop()
        assert sound.microphone.closed

    asyncio.run(asyncio.wait_for(converse(), 10))


def test_async_stop_from_the_microphones_callback(sound: FakeSoundDevice) -> None:
    """It waits for nobody, least of all for itself."""

    async def converse() -> None:
        interface, stopped = AsyncDefaultAudioInterface(), asyncio.Event()

        async def hear(audio: bytes) -> None:
            await interface.stop()
            stopped.set()

        await interface.start(hear)
        sound.microphone.capture(bytes(640))
        await stopped.wait()

    asyncio.run(asyncio.wait_for(converse(), 10))


def test_an_async_callback_that_raises_is_logged(sound: FakeSoundDevice, caplog: pytest.LogCaptureFixture) -> None:
    """And called again."""

    async def converse() -> None:
        interface, second = AsyncDefaultAudioInterface(), asyncio.Event()

        async def hear(audio: bytes) -> None:
            if audio[0] == 1:
                raise KeyError("mine")
            second.set()

        await interface.start(hear)
        sound.microphone.capture(b"\x01\0" * 320)
        sound.microphone.capture(b"\x02\0" * 320)
        await second.wait()
        await interface.stop()

    asyncio.run(asyncio.wait_for(converse(), 10))
    assert "mine" in caplog.text


def test_async_audio_is_cut_by_an_interruption(sound: FakeSoundDevice) -> None:
    """Also while a long chunk is still being handed over."""

    async def converse() -> None:
        interface = AsyncDefaultAudioInterface()

        async def hear(audio: bytes) -> None: ...

        await interface.start(hear)
        playing = asyncio.create_task(interface.output(SAMPLE * 160_000))
        await asyncio.to_thread(sound.next_sound)
        await interface.interrupt()
        await playing
        assert sound.speaker.played() == bytes(640)
        await interface.stop()

    asyncio.run(asyncio.wait_for(converse(), 10))


# ---------------------------------------------------------------------------------------------------------- PyAudio


class PyAudioStream:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.closed = False

    def close(self) -> None:
        self.closed = True


class FakePyAudio(ModuleType):
    """The package's part that we use."""

    paInt16 = 8  # noqa: N815
    paContinue = 0  # noqa: N815

    def __init__(self) -> None:
        super().__init__("pyaudio")
        self.streams: list[PyAudioStream] = []
        self.terminated = 0

    def PyAudio(self) -> FakePyAudio:  # noqa: N802
        return self

    def open(self, **settings: Any) -> PyAudioStream:
        if settings["rate"] == 16_000 and settings.get("input"):
            raise OSError(-9997, "Invalid sample rate")
        self.streams.append(PyAudioStream(settings))
        return self.streams[-1]

    def terminate(self) -> None:
        self.terminated += 1

    def get_device_count(self) -> int:
        return 2

    def get_device_info_by_index(self, index: int) -> dict[str, Any]:
        return {
            "index": index,
            "name": ("Speakers", "USB headset")[index],
            "maxInputChannels": index,
            "maxOutputChannels": 2,
            "defaultSampleRate": 48_000.0,
        }

    def get_default_input_device_info(self) -> dict[str, Any]:
        return self.get_device_info_by_index(1)

    get_default_output_device_info = get_default_input_device_info


def test_pyaudio_is_used_where_it_alone_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same sound, same devices, same end."""
    module = FakePyAudio()
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setitem(sys.modules, "pyaudio", module)
    interface, ears = DefaultAudioInterface(input_device="headset"), Ears()
    interface.start(ears)
    speaker, microphone = module.streams
    assert (speaker.settings["rate"], speaker.settings["frames_per_buffer"]) == (16_000, 320)
    assert (microphone.settings["rate"], microphone.settings["input_device_index"]) == (48_000, 1)
    interface.output(SAMPLE * 320)
    assert speaker.settings["stream_callback"](None, 320, {}, 0) == (SAMPLE * 320, 0)
    interface.interrupt()
    assert microphone.settings["stream_callback"](bytes(1920), 960, {}, 0) == (None, 0)
    ears.wait(1)
    interface.stop()
    assert speaker.closed
    assert microphone.closed
    assert module.terminated == 1


def test_pyaudio_lists_its_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the one that was asked for is missing."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setitem(sys.modules, "pyaudio", FakePyAudio())
    interface = DefaultAudioInterface(output_device="bluetooth")
    with pytest.raises(DeviceError, match=r"no output device matches 'bluetooth'(?s:.*)1 USB headset \(1 in, 2 out\)"):
        interface.start(Ears())
