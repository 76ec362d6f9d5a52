"""Runs one scenario with the unmodified elevenlabs SDK and prints, as JSON lines, what its user would notice.

    .venv-compat/elevenlabs/bin/python driver.py SCENARIO sync|async BASE_URL AGENT_ID [API_KEY [ON_PREM]]

An empty API_KEY is none. ON_PREM: the arguments of OnPremInitiationData, and of the webhooks in it, as JSON.

Imports nothing of Antiphon. Frames are noted where the websockets library hands them out, before the SDK sees them, so
that what came over the wire can be held against what the SDK made of it.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import struct
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import websockets.asyncio.connection
import websockets.sync.connection
from elevenlabs import ElevenLabs
from elevenlabs.conversational_ai.conversation import (
    AsyncAudioInterface,
    AsyncConversation,
    AudioInterface,
    ClientTools,
    Conversation,
    OnPremInitiationData,
    PostCallWebhookConfig,
)
from elevenlabs.core import ApiError
from websockets.exceptions import WebSocketException

PATIENCE = 15.0
CHUNK_SECONDS = 0.05
BYTES_PER_SECOND = 32_000


class Notes:
    """What happened, in order."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._notes: list[dict[str, Any]] = []
        self._began = time.monotonic()

    def add(self, note: str, **values: Any) -> None:
        entry = {"note": note, "at": round(time.monotonic() - self._began, 4), **values}
        with self._changed:
            self._notes.append(entry)
            print(json.dumps(entry), flush=True)
            self._changed.notify_all()

    def count(self, note: str) -> int:
        with self._changed:
            return sum(entry["note"] == note for entry in self._notes)

    def wait(self, note: str, count: int = 1, *, after: tuple[str, int] | None = None) -> None:
        """Waits for the count-th note of that kind, counted from the start or after the n-th note of another kind.

        Raises:
            RuntimeError: the session is over, or patience is, and there were not so many.
        """

        def missing() -> bool:
            kinds = [entry["note"] for entry in self._notes]
            for _ in range(after[1] if after else 0):
                if after[0] not in kinds:
                    return True
                kinds = kinds[kinds.index(after[0]) + 1 :]
            return kinds.count(note) < count

        with self._changed:
            self._changed.wait_for(lambda: not missing() or self._is_over(), PATIENCE)
            if missing():
                raise RuntimeError(f"waited in vain for {note} number {count}")

    def _is_over(self) -> bool:
        return any(entry["note"] == "disconnect" for entry in self._notes)


notes = Notes()


def note_frame(frame: str | bytes) -> None:
    """Notes a frame of the server, audio by its size."""
    message = json.loads(frame)
    body = message.get("audio_event")
    if body is not None:
        body["bytes"] = len(base64.b64decode(body.pop("audio_base_64")))
    notes.add("frame", message=message)


def tap() -> None:
    """Has every frame noted as it is received."""
    recv, recv_async = websockets.sync.connection.Connection.recv, websockets.asyncio.connection.Connection.recv

    def tapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        frame = recv(self, *args, **kwargs)
        note_frame(frame)
        return frame

    async def tapped_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        frame = await recv_async(self, *args, **kwargs)
        note_frame(frame)
        return frame

    websockets.sync.connection.Connection.recv = tapped
    websockets.asyncio.connection.Connection.recv = tapped_async


def voice(seconds: float) -> bytes:
    """A loud sound of five harmonics of 300 Hz: speech, to a detector that goes by energy."""
    tones = [300 * k for k in range(1, 6)]
    samples = (
        round(sum(4000 / k * math.sin(math.tau * tone * i / 16_000) for k, tone in enumerate(tones, 1)))
        for i in range(round(16_000 * seconds))
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)


class Caller:
    """A microphone that is never closed and a loudspeaker whose clock is real."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._speech = bytearray()
        self._silent_at = 0.0

    def say(self, seconds: float) -> None:
        with self._lock:
            self._speech += voice(seconds)
        notes.add("speech", seconds=seconds)

    def chunk(self) -> bytes:
        size = round(CHUNK_SECONDS * BYTES_PER_SECOND)
        with self._lock:
            audio = bytes(self._speech[:size])
            del self._speech[:size]
        return audio.ljust(size, b"\0")

    def play(self, audio: bytes) -> None:
        with self._lock:
            self._silent_at = max(self._silent_at, time.monotonic()) + len(audio) / BYTES_PER_SECOND
        notes.add("output", bytes=len(audio))

    def hush(self) -> None:
        with self._lock:
            self._silent_at = 0.0
        notes.add("interrupt")

    def listen(self) -> None:
        """Returns when the agent has been silent for a third of a second."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with self._lock:
                silence = time.monotonic() - self._silent_at
            if silence > 0.3:
                return
            time.sleep(0.02)
        raise RuntimeError("the agent does not stop speaking")


class Device(Caller, AudioInterface):
    """The caller, for Conversation."""

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        notes.add("audio started")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._speak, args=(input_callback,))
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not threading.current_thread():  # the SDK stops it from there when a send finds it closed
            self._thread.join()
        notes.add("audio stopped")

    def output(self, audio: bytes) -> None:
        self.play(audio)

    def interrupt(self) -> None:
        self.hush()

    def _speak(self, input_callback: Callable[[bytes], None]) -> None:
        due = time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            input_callback(self.chunk())
            due += CHUNK_SECONDS


class AsyncDevice(Caller, AsyncAudioInterface):
    """The caller, for AsyncConversation."""

    async def start(self, input_callback: Any) -> None:
        notes.add("audio started")
        self._stopped = False
        self._task = asyncio.create_task(self._speak(input_callback))

    async def stop(self) -> None:
        self._stopped = True
        if self._task is not asyncio.current_task():  # as above
            self._task.cancel()
            await asyncio.wait({self._task})
        notes.add("audio stopped")

    async def output(self, audio: bytes) -> None:
        self.play(audio)

    async def interrupt(self) -> None:
        self.hush()

    async def _speak(self, input_callback: Any) -> None:
        due = time.monotonic()
        while not self._stopped:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await input_callback(self.chunk())
            due += CHUNK_SECONDS


class DumpingDevice(Device):
    """The audio interface that the SDK's documentation shows: the whole file while it starts, nothing after it."""

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        notes.add("audio started")
        with io.BytesIO(voice(1.0)) as file:
            while chunk := file.read(8000):
                input_callback(chunk)

    def stop(self) -> None:
        notes.add("audio stopped")


class AsyncDumpingDevice(AsyncDevice):
    """The same as coroutines."""

    async def start(self, input_callback: Any) -> None:
        notes.add("audio started")
        with io.BytesIO(voice(1.0)) as file:
            while chunk := file.read(8000):
                await input_callback(chunk)

    async def stop(self) -> None:
        notes.add("audio stopped")


CALLBACKS: dict[str, Callable[..., dict[str, Any]]] = {
    "agent_response": lambda text: {"text": text},
    "agent_response_correction": lambda original, corrected: {"original": original, "corrected": corrected},
    "agent_chat_response_part": lambda text, part: {"text": text, "part": part.value},
    "user_transcript": lambda text: {"text": text},
    "latency_measurement": lambda ms: {"ms": ms},
    "audio_alignment": lambda alignment: {
        "chars": alignment.chars,
        "starts": alignment.char_start_times_ms,
        "durations": alignment.char_durations_ms,
    },
    "disconnect": lambda details: {
        "reason": details.reason,
        "close_code": details.close_code,
        "close_reason": details.close_reason,
        "message": details.message,
    },
}


def callbacks(asynchronous: bool) -> dict[str, Any]:
    """A callback of every kind, noting its arguments."""

    def noting(name: str, values: Callable[..., dict[str, Any]]) -> Any:
        def note(*args: Any) -> None:
            notes.add(name, **values(*args))

        async def note_async(*args: Any) -> None:
            note(*args)

        return note_async if asynchronous else note

    return {f"callback_{name}": noting(name, values) for name, values in CALLBACKS.items()}


def tools() -> ClientTools:
    """One plain tool, one async tool, one that fails."""

    def order_status(parameters: dict[str, Any]) -> dict[str, Any]:
        notes.add("tool", name="order_status", parameters=parameters)
        return {"status": "shipped", "days": 2}

    async def weather(parameters: dict[str, Any]) -> str:
        notes.add("tool", name="weather", parameters=parameters)
        await asyncio.sleep(0.05)
        return "sunny"

    def broken(parameters: dict[str, Any]) -> str:
        notes.add("tool", name="broken", parameters=parameters)
        raise RuntimeError("the till is closed")

    registered = ClientTools()
    registered.register("order_status", order_status)
    registered.register("weather", weather, is_async=True)
    registered.register("broken", broken)
    return registered


def on_prem_config(arguments: dict[str, Any]) -> OnPremInitiationData:
    """What is sent to an orchestrator, as the SDK's user writes it."""
    webhooks = ("post_call_transcription_webhook", "post_call_audio_webhook")
    given = {name: PostCallWebhookConfig(**arguments[name]) for name in webhooks if name in arguments}
    return OnPremInitiationData(**{**arguments, **given})


Devices = tuple[type[Caller], type[Caller]]
"""A caller for Conversation, and one for AsyncConversation."""


class Call:
    """One conversation, of either kind, driven from this thread."""

    def __init__(
        self,
        mode: str,
        base_url: str,
        agent_id: str,
        api_key: str | None,
        on_prem: dict[str, Any] | None,
        devices: Devices | None,
    ) -> None:
        self._asynchronous = mode == "async"
        self.caller = devices[self._asynchronous]() if devices else Caller()
        options: dict[str, Any] = {
            "requires_auth": api_key is not None,
            "audio_interface": self.caller if devices else None,
            "client_tools": tools(),
            "on_prem_config": on_prem_config(on_prem) if on_prem else None,
            **callbacks(self._asynchronous),
        }
        client = ElevenLabs(base_url=base_url, api_key=api_key or "none")
        if not self._asynchronous:
            self._conversation: Any = Conversation(client, agent_id, "user_7", **options)
            return
        self._loop = asyncio.new_event_loop()
        self._pool = ThreadPoolExecutor(1)
        self._pool.submit(self._loop.run_forever)

        async def make() -> AsyncConversation:
            return AsyncConversation(client, agent_id, "user_7", **options)

        self._conversation = self._await(make())

    def _await(self, value: Any) -> Any:
        if not self._asynchronous:
            return value
        return asyncio.run_coroutine_threadsafe(value, self._loop).result(PATIENCE)

    def start(self) -> None:
        self._await(self._conversation.start_session())

    def write(self, text: str) -> None:
        self._await(self._conversation.send_user_message(text))

    def end(self) -> None:
        notes.add("ending")
        self._await(self._conversation.end_session())

    def wait(self) -> None:
        try:
            notes.add("over", conversation_id=self._await(self._conversation.wait_for_session_end()))
        except (OSError, WebSocketException) as error:  # AsyncConversation raises what kept it from beginning
            notes.add("over", error=str(error))

    def close(self) -> None:
        if self._asynchronous:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._pool.shutdown()


def greeting(call: Call) -> None:
    """Listens to the first message and hangs up."""
    call.start()
    notes.wait("agent_response")
    notes.wait("output")
    call.caller.listen()
    call.end()


def turn(call: Call) -> None:
    """One question, one answer."""
    call.start()
    notes.wait("output")
    call.caller.listen()
    call.caller.say(0.8)
    notes.wait("agent_response", 2)
    notes.wait("output", after=("user_transcript", 1))
    call.caller.listen()
    call.end()


def two_turns(call: Call) -> None:
    """Two questions, two answers."""
    call.start()
    notes.wait("output")
    call.caller.listen()
    for responses in (2, 3):
        call.caller.say(0.8)
        notes.wait("agent_response", responses)
        notes.wait("output", after=("user_transcript", responses - 1))
        call.caller.listen()
    call.end()


def barge_in(call: Call) -> None:
    """Asks, interrupts the answer after a second of it, listens to the next one."""
    call.start()
    notes.wait("output")
    call.caller.listen()
    call.caller.say(0.8)
    notes.wait("output", 8, after=("user_transcript", 1))
    call.caller.say(1.2)
    notes.wait("agent_response_correction", after=("interrupt", 1))
    notes.wait("agent_response", 3)
    notes.wait("output", after=("user_transcript", 2))
    call.caller.listen()
    call.end()


def text(call: Call) -> None:
    """Writes one message."""
    call.start()
    notes.wait("agent_response")
    call.write("What are your opening hours?")
    notes.wait("agent_response", 2)
    call.end()


def server_ends(call: Call) -> None:
    """Says nothing until the agent hangs up."""
    call.start()
    notes.wait("disconnect")


def refused(call: Call) -> None:
    """Is not let in."""
    try:
        call.start()
    except ApiError as error:
        notes.add("api error", status=error.status_code, body=error.body)
        return
    notes.wait("disconnect")


def dump(call: Call) -> None:
    """Has asked before the agent could greet; listens to the answer."""
    call.start()
    notes.wait("output", after=("user_transcript", 1))
    call.caller.listen()
    call.end()


TELEPHONE = (Device, AsyncDevice)
SCENARIOS: dict[str, tuple[Callable[[Call], None], Devices | None]] = {
    "greeting": (greeting, TELEPHONE),
    "turn": (turn, TELEPHONE),
    "two_turns": (two_turns, TELEPHONE),
    "barge_in": (barge_in, TELEPHONE),
    "dump": (dump, (DumpingDevice, AsyncDumpingDevice)),
    "text": (text, None),
    "server_ends": (server_ends, TELEPHONE),
    "refused": (refused, None),
}


def main(scenario: str, mode: str, base_url: str, agent_id: str, api_key: str = "", on_prem: str = "null") -> None:
    """Plays the scenario."""
    tap()
    script, devices = SCENARIOS[scenario]
    call = Call(mode, base_url, agent_id, api_key or None, json.loads(on_prem), devices)
    try:
        script(call)
        if not notes.count("api error"):
            call.wait()
    except Exception as error:  # noqa: BLE001 - a session that is left would keep the program alive
        notes.add("failure", text=repr(error))
        call.end()
        call.wait()
    finally:
        call.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
