"""The adapters for Scenario where Scenario is not installed: on a line of scripted messages, and with real servers."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import math
import os
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.exceptions import ConnectionClosedOK
from websockets.frames import Close
from websockets.http11 import Response

from antiphon.engines.registry import Registry
from antiphon.engines.vad.energy import create as create_energy
from antiphon.errors import AuthError, SessionError
from antiphon.integrations import scenario
from antiphon.integrations.scenario import (
    AdapterCapabilities,
    AudioChunk,
    ChatCompletions,
    ComposableVoiceAgent,
    ElevenLabsAgentAdapter,
    ElevenLabsSTTProvider,
    ElevenLabsTTSProvider,
    ElevenLabsVoiceAgent,
    STTProvider,
    UnsupportedCapabilityError,
    VoiceAgentAdapter,
    elevenlabs,
    take_turn,
)
from antiphon.server import Settings, create_app, listening
from antiphon.simulation.engines import create_speech_to_text
from antiphon.simulation.loop import run as run_in_virtual_time

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "sk_of_the_tests"
FRAME = 960

# ------------------------------------------------------------------------------------------ a line of scripted messages


class Line:
    """A socket: what the server says comes at its times, what the adapter says is kept with its time.

    `script`: (seconds after the one before, message); a text is sent as it is; None closes the line.
    """

    def __init__(self, *script: tuple[float, Any]) -> None:
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.closed = False
        self._script = list(script)

    async def send(self, text: str) -> None:
        self.sent.append((asyncio.get_running_loop().time(), json.loads(text)))

    async def recv(self) -> str | bytes:
        if not self._script:
            await asyncio.Event().wait()  # nothing comes any more
        after, message = self._script[0]
        await asyncio.sleep(after)
        del self._script[0]
        if message is None:
            raise ConnectionClosedOK(Close(1000, ""), None)
        return message if isinstance(message, str | bytes) else json.dumps(message)

    async def close(self) -> None:
        self.closed = True

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [message for _, message in self.sent]

    @property
    def audio(self) -> list[tuple[float, bytes]]:
        """The user's sound, with its times."""
        return [
            (round(at, 3), base64.b64decode(message["user_audio_chunk"]))
            for at, message in self.sent
            if "user_audio_chunk" in message
        ]


def audio(data: bytes, **fields: Any) -> dict[str, Any]:
    return {"type": "audio", "audio_event": {"audio_base_64": base64.b64encode(data).decode(), **fields}}


def ping(event_id: int = 1) -> dict[str, Any]:
    return {"type": "ping", "ping_event": {"event_id": event_id, "ping_ms": None}}


def an_adapter(line: Line, **options: Any) -> ElevenLabsAgentAdapter:
    adapter = ElevenLabsAgentAdapter("desk", KEY, **options)
    adapter._ws = line  # as programs do that were written for the original
    return adapter


def play(scene: Callable[[ElevenLabsAgentAdapter], Awaitable[None]], line: Line, **options: Any) -> None:
    """A scene with an adapter that is connected to this line, under virtual time."""

    async def run() -> None:
        adapter = an_adapter(line, **options)
        await scene(adapter)
        await adapter.disconnect()

    run_in_virtual_time(run())


def now() -> float:
    return round(asyncio.get_running_loop().time(), 3)


# ------------------------------------------------------------------------------------------------------------ the names


def test_the_names_of_the_package() -> None:
    """Each is there, and another one is an AttributeError."""
    assert sorted(scenario.__all__) == scenario.__all__
    assert all(getattr(scenario, name).__name__ == name for name in scenario.__all__)
    with pytest.raises(AttributeError):
        scenario.nothing  # noqa: B018


def test_alone_it_loads_little() -> None:
    """Without Scenario, the client's packages suffice: no numpy, no HTTP library, nothing of the server."""
    code = "import sys; from antiphon.integrations.scenario import *; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "pydantic", "httpx", "urllib.request", "litellm", "opentelemetry"}
    assert not {name for name in loaded if name.startswith(("antiphon.server", "antiphon.session", "antiphon.engines"))}


def test_keys_are_not_shown() -> None:
    """What is printed of any of them tells no secret."""
    for thing in (
        ElevenLabsAgentAdapter("desk", KEY),
        ElevenLabsVoiceAgent(KEY),
        ElevenLabsSTTProvider(KEY),
        ElevenLabsTTSProvider("en-us", KEY),
        ChatCompletions("m", api_key=KEY),
    ):
        assert KEY not in repr(thing)
    assert repr(ElevenLabsAgentAdapter("desk", KEY)) == "ElevenLabsAgentAdapter(agent_id='desk', api_key='***')"


def test_a_chunk_knows_its_length() -> None:
    """PCM16 mono at 24 kHz; half a sample is refused."""
    chunk = AudioChunk(data=bytes(48_000))
    assert (chunk.sample_rate, chunk.channels, chunk.duration_seconds) == (24_000, 1, 1.0)
    assert AudioChunk(data=b"").duration_seconds == 0.0
    assert chunk.transcript is chunk.start_time is chunk.end_time is None
    with pytest.raises(ValueError, match="3 bytes"):
        AudioChunk(data=bytes(3))


def test_what_an_adapter_can_do_is_said_beforehand() -> None:
    """And what it does not promise, it refuses."""
    assert ElevenLabsAgentAdapter.capabilities == AdapterCapabilities(
        streaming_transcripts=True, native_vad=True, input_formats=["pcm16/24000"], output_formats=["pcm16/24000"]
    )
    adapter = ElevenLabsAgentAdapter("desk", KEY)
    assert (adapter.response_timeout, adapter.response_tail_silence, adapter.response_max_duration) == (60, 0.6, 30)
    with pytest.raises(UnsupportedCapabilityError, match="interruption"):
        asyncio.run(adapter.interrupt())


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "2.0"},
        {"turn_commit_mode": "smoke"},
        {"silence_tail_bytes": 0},
        {"silence_tail_bytes": 3},
        {"mode": "1.6", "base_url": "http://here/v1"},
        {"mode": "1.6", "base_url": "ftp://here"},
        {"base_url": "here"},
    ],
)
def test_what_cannot_work_is_refused_at_once(options: dict[str, Any]) -> None:
    """An unknown mode, a tail that is none, an address that is none: where the mistake is made."""
    with pytest.raises(ValueError, match="must"):
        ElevenLabsAgentAdapter("desk", KEY, **options)


# -------------------------------------------------------------------------------------------- what is said, mode `tail`


def test_a_turn_is_one_message_and_a_tail_of_silence() -> None:
    """The sound as it is, then 16,000 bytes of zeros: servers end a turn upon silence."""
    line = Line()

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        await adapter.send_audio(AudioChunk(data=b"\1\2" * 3000))
        await adapter.send_audio(AudioChunk(data=b"\3\4"))

    play(scene, line)
    assert [sent for _, sent in line.audio] == [b"\1\2" * 3000, bytes(16_000), b"\3\4", bytes(16_000)]
    assert line.closed


def test_nothing_works_without_a_connection() -> None:
    """A RuntimeError says so; ending what has not begun is no error."""

    async def run() -> None:
        adapter = ElevenLabsAgentAdapter("desk", KEY)
        assert not adapter.is_connected()
        await adapter.disconnect()
        with pytest.raises(RuntimeError, match="not connected"):
            await adapter.send_audio(AudioChunk(data=b""))
        with pytest.raises(RuntimeError, match="not connected"):
            await adapter.recv_audio(1)

    asyncio.run(run())


# ------------------------------------------------------------------------------------------- what is heard, mode `tail`


def test_everything_but_sound_is_taken_in_passing() -> None:
    """Pings are answered, texts are kept, what is unknown or unreadable is passed over."""
    line = Line(
        (0, "no JSON"),
        (0, b"\xff"),
        (0, "[]"),
        (0, {"type": "vad_score", "vad_score_event": {"vad_score": 0.5}}),
        (0, {"type": "client_tool_call", "client_tool_call": {"tool_name": "x"}}),
        (0, {"type": "user_transcript", "user_transcription_event": {"user_transcript": "hello"}}),
        (0, {"type": "agent_response", "agent_response_event": {"agent_response": "Good day to you."}}),
        (0, ping(7)),
        (0, {"type": "ping", "event_id": 8}),
        (0, {"type": "audio", "audio_event": None} | audio(b"") | {"audio_event": {"audio_base_64": "A"}}),
        (0, json.dumps(audio(b"\1\2")).encode()),
        (
            0,
            {
                "type": "agent_response_correction",
                "agent_response_correction_event": {"corrected_agent_response": "Good"},
            },
        ),
        (0, {"type": "agent_response_correction"}),
        (0, audio(b"\3\4", event_id=1)),
    )

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        first = await adapter.recv_audio(1)
        assert (first.data, first.transcript) == (b"\1\2", "Good day to you.")
        assert adapter.last_user_transcript == "hello"
        assert adapter.last_agent_transcript == "Good day to you."
        second = await adapter.recv_audio(1)
        assert (second.data, second.transcript) == (b"\3\4", None)
        assert adapter.last_agent_transcript == "Good"

    play(scene, line)
    assert line.messages == [{"type": "pong", "event_id": 7}, {"type": "pong", "event_id": 8}]


@pytest.mark.parametrize("strange", [{}, {"ping_event": None}, {"ping_event": {}}, {"ping_event": {"event_id": None}}])
def test_a_ping_without_an_id_is_not_answered(strange: dict[str, Any]) -> None:
    """There is nothing to answer with."""
    line = Line((0, {"type": "ping", **strange}), (0, ping(0)), (0, audio(b"\1\2")))

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        await adapter.recv_audio(1)

    play(scene, line)
    assert line.messages == [{"type": "pong", "event_id": 0}]


def test_half_a_sample_waits_for_its_other_half() -> None:
    """No byte is lost and none is out of place: all that is heard is the sound that was sent."""
    sound = bytes(range(20))
    pieces = [sound[:3], sound[3:4], sound[4:5], sound[5:6], sound[6:13], sound[13:]]
    line = Line(*((0, audio(piece)) for piece in pieces), (0, audio(b"")))

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        heard = b""
        while chunk := (await adapter.recv_audio(1)).data:
            heard += chunk
        assert heard == sound

    play(scene, line)


@pytest.mark.parametrize("between", ["interruption", "user"])
def test_the_half_of_a_reply_that_is_over_is_forgotten(between: str) -> None:
    """Or all that follows would be noise."""
    line = Line((0, audio(b"\1\2\3")), (0, {"type": "interruption"} if between == "interruption" else ping()))
    line._script.append((0, audio(b"\4\5")))

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        assert (await adapter.recv_audio(1)).data == b"\1\2"
        if between == "user":
            await adapter.send_audio(AudioChunk(data=b""))
        assert (await adapter.recv_audio(1)).data == b"\4\5"

    play(scene, line)


def test_words_without_sound_are_not_given_to_the_next_reply() -> None:
    """What the agent wrote before the user's turn is not what it says after it."""
    line = Line(
        (0, {"type": "agent_response", "agent_response_event": {"agent_response": "Old."}}), (0.5, audio(b"\1\2"))
    )

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        with pytest.raises(TimeoutError):
            await adapter.recv_audio(0.2)
        await adapter.send_audio(AudioChunk(data=b"\1\2"))
        assert (await adapter.recv_audio(1)).transcript is None

    play(scene, line)


@pytest.mark.parametrize(
    ("formats", "warned"),
    [
        ({}, 0),
        ({"agent_output_audio_format": "pcm_24000", "user_input_audio_format": "pcm_24000"}, 0),
        ({"agent_output_audio_format": "ulaw_8000", "user_input_audio_format": "pcm_24000"}, 1),
        ({"agent_output_audio_format": "pcm_16000", "user_input_audio_format": "pcm_16000"}, 2),
    ],
)
def test_another_format_is_warned_of(formats: dict[str, str], warned: int, caplog: pytest.LogCaptureFixture) -> None:
    """Sound is not converted, so an agent that is set up otherwise is heard, and hears, at the wrong speed."""
    metadata = {"conversation_id": "conv_1", **formats}
    line = Line(
        (0, {"type": "conversation_initiation_metadata", "conversation_initiation_metadata_event": metadata}),
        (0, audio(b"\1\2")),
    )

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        await adapter.recv_audio(1)
        assert adapter.conversation_id == "conv_1"

    with caplog.at_level(logging.WARNING):
        play(scene, line)
    assert len(caplog.records) == warned
    for record, name in zip(caplog.records, ["agent_output_audio_format", "user_input_audio_format"], strict=False):
        assert name in record.getMessage()


# ------------------------------------------------------------------------------------------------------------- how long


def test_every_message_begins_the_wait_anew() -> None:
    """A server that pings is alive: a minute of it is waited out with a timeout of one second."""
    line = Line(*((0.9, ping(number)) for number in range(66)), (0.9, "no JSON"), (0.9, audio(b"\1\2")))

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        assert (await adapter.recv_audio(1)).data == b"\1\2"
        assert now() == pytest.approx(61.2)
        with pytest.raises(TimeoutError, match="No message for 1 s"):
            await adapter.recv_audio(1)
        assert now() == pytest.approx(62.2)

    play(scene, line)


@pytest.mark.parametrize(("pause", "pings"), [(0.9, 100), (0, 10**5)])
def test_there_may_be_an_end_to_waiting(pause: float, pings: int) -> None:
    """With a ceiling, pings alone do not keep it waiting, however fast they come."""
    line = Line(*[(pause, ping())] * pings)

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        if not pause:
            adapter.receive_ceiling = 0.0
        with pytest.raises(TimeoutError, match=r"ceiling of" if pause else "timed out"):
            await adapter.recv_audio(1)
        assert now() == (10 if pause else 0)

    play(scene, line, receive_ceiling=10)


@pytest.mark.parametrize("mode", ["tail", "1.6"])
def test_a_closed_socket_is_the_end_of_a_turn(mode: Any) -> None:
    """What was said is kept: an error would lose the whole run."""

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        turn = await take_turn(adapter)
        assert (turn.data, turn.transcript) == (b"\1\2\3\4", "Bye.")

    bye = {"type": "agent_response", "agent_response_event": {"agent_response": "Bye. "}}
    play(scene, Line((0, bye), (0, audio(b"\1\2")), (0, audio(b"\3\4")), (0, None)), mode=mode)


def test_a_turn_ends_where_it_is_too_long() -> None:
    """A server that never stops speaking is cut off after `response_max_duration`."""

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        assert (await take_turn(adapter)).duration_seconds == 30.0

    play(scene, Line(*[(0.5, audio(bytes(24_000)))] * 100))


def test_what_came_too_late_for_its_turn_is_had_before_the_next() -> None:
    """Scenario asks for it, for 0.4 s at most, so that it is not taken for the next answer."""

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        adapter.is_connected = lambda: True  # type: ignore[method-assign]
        late = await adapter.reconcile_pending_audio()
        assert late is not None
        assert late.data == b"\1\2\3\4"
        assert await adapter.reconcile_pending_audio() is None
        adapter.is_connected = lambda: False  # type: ignore[method-assign]
        assert await adapter.reconcile_pending_audio() is None

    play(scene, Line((0, audio(b"\1\2")), (0.1, audio(b"\3\4")), (0.3, audio(b"\5\6"))))


# ------------------------------------------------------------------------------------------------------------- mode 1.6


def test_the_microphone_sends_a_piece_every_twenty_milliseconds() -> None:
    """Silence from the start, speech as it is queued, its last piece filled up, and silence again; no time is lost."""
    line = Line()

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        adapter._microphone.start()
        adapter._microphone.start()
        await asyncio.sleep(0.05)
        await adapter.send_audio(AudioChunk(data=b"\1\2" * 600))
        await asyncio.sleep(0.075)
        assert adapter.audio_commit_count == 1

    play(scene, line, mode="1.6")
    silence = bytes(FRAME)
    speech = [b"\1\2" * 480, (b"\1\2" * 120).ljust(FRAME, b"\0")]
    assert [sent for _, sent in line.audio] == [silence, silence, *speech, silence, silence]
    assert [at for at, _ in line.audio] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.12])


def test_the_microphone_is_still_while_the_agent_has_the_word() -> None:
    """From its first sound to the user's next turn; an empty turn is none."""
    line = Line((0.05, audio(b"\1\2")))

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        adapter._microphone.start()
        await adapter.recv_audio(1)
        assert adapter.awaiting_user_turn
        await adapter.send_audio(AudioChunk(data=b""))
        await asyncio.sleep(1)
        assert len(line.audio) == 2
        await adapter.send_audio(AudioChunk(data=b"\1\2"))
        assert not adapter.awaiting_user_turn
        await asyncio.sleep(0.05)
        assert len(line.audio) == 4

    play(scene, line, mode="1.6")


def test_a_turn_may_be_told_by_its_words() -> None:
    """No sound of it is sent; where there are no words, its sound and a tail of whole pieces."""
    line = Line()

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        await adapter.send_audio(AudioChunk(data=b"\1\2", transcript=" hello "))
        assert adapter.audio_commit_count == 0
        await adapter.send_audio(AudioChunk(data=b"\1\2", transcript=" "))
        assert list(adapter._microphone._frames) == [b"\1\2".ljust(FRAME, b"\0")] + [bytes(FRAME)] * 2
        assert adapter.audio_commit_count == 1

    play(scene, line, mode="1.6", turn_commit_mode="text", silence_tail_bytes=FRAME + 2)
    assert line.messages == [{"type": "user_message", "text": "hello"}]


def test_pings_after_the_last_word_do_not_keep_it_waiting() -> None:
    """Once the agent has spoken, only its sound and its tools show that it is not done."""
    line = Line(
        (0.5, ping()),
        (0.5, ping()),
        (0.5, audio(b"\1\2")),
        (0.4, {"type": "agent_tool_request"}),  # the tool is silent for long, and so is the model after it
        (9, {"type": "agent_tool_response", "agent_tool_response": {"tool_name": "look_up", "is_called": True}}),
        (9, audio(b"\3\4")),
        *[(0.3, ping())] * 10,
    )

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        assert (await adapter.recv_audio(0.6)).data == b"\1\2"
        assert (await adapter.recv_audio(0.6)).data == b"\3\4"
        began = now()
        with pytest.raises(TimeoutError):
            await adapter.recv_audio(0.6)
        assert now() - began == pytest.approx(0.6)
        assert not adapter.agent_hung_up

    play(scene, line, mode="1.6")


@pytest.mark.parametrize(("timeout", "ceiling"), [(1, 45), (60, 60)])
def test_a_server_that_only_pings_is_given_up(timeout: float, ceiling: float) -> None:
    """After 45 s, and not before the timeout."""

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        with pytest.raises(TimeoutError, match=f"ceiling of {ceiling} s.* ping"):
            await adapter.recv_audio(timeout)
        assert now() == ceiling

    play(scene, Line(*[(0.7, ping())] * 200), mode="1.6")


def test_a_tool_of_the_client_ends_the_turn() -> None:
    """Nobody answers it, so nothing more would come."""

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        assert (await take_turn(adapter)).data == b"\1\2"

    play(scene, Line((0, audio(b"\1\2")), (0, {"type": "client_tool_call"}), (0, audio(b"\3\4"))), mode="1.6")


@pytest.mark.parametrize(
    ("fields", "hung_up"), [({"is_called": True}, True), ({"is_error": True}, False), ({"is_blocked": True}, False)]
)
def test_an_agent_that_hangs_up_is_known_to(fields: dict[str, Any], hung_up: bool) -> None:
    """Scenario takes it for the end of the scenario, not for a broken line."""
    tool = {"type": "agent_tool_response", "agent_tool_response": {"tool_name": "end_call", **fields}}

    async def scene(adapter: ElevenLabsAgentAdapter) -> None:
        assert (await adapter.recv_audio(1)).data == b""
        assert adapter.agent_hung_up == hung_up

    play(scene, Line((0, tool), (0, None)), mode="1.6")


# ---------------------------------------------------------------------------------------------------- a scripted server


class Peer:
    """A server on the loopback: says one piece of sound to whoever connects, and keeps what it was told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.heard: list[dict[str, Any]] = []
        self.signed: tuple[HTTPStatus, bytes] = (HTTPStatus.NOT_FOUND, b"{}")
        "The answer to a request for a signed URL."

    @property
    def template(self) -> str:
        return f"ws{self.address}/v1/convai/conversation?agent_id={{agent_id}}"


@asynccontextmanager
async def peer() -> AsyncGenerator[Peer]:
    """A running Peer."""

    def answer(connection: Any, request: Any) -> Any:
        side.paths.append(request.path)
        side.headers.append({name.lower(): value for name, value in request.headers.raw_items()})
        if "get-signed-url" not in request.path:
            return None
        status, body = side.signed
        headers = websockets.Headers({"content-length": str(len(body)), "X-LangWatch-Session-Id": "session_1"})
        return Response(status.value, status.phrase, headers, body)

    async def hold(socket: Any) -> None:
        await socket.send(json.dumps(audio(b"\1\2")))
        async for message in socket:
            side.heard.append(json.loads(message))

    async with asyncio.timeout(20), websockets.serve(hold, "127.0.0.1", 0, process_request=answer) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        side = Peer(f"://127.0.0.1:{port}")
        yield side


@pytest.mark.parametrize(
    ("options", "override"),
    [
        ({}, {"agent": {}}),
        ({"first_message_override": "Hi."}, {"agent": {"first_message": "Hi."}}),
        (
            {"system_prompt_override": "Be brief.", "overrides": {"agent": {"language": "es"}, "tts": {"speed": 2}}},
            {"agent": {"language": "es", "prompt": {"prompt": "Be brief."}}, "tts": {"speed": 2}},
        ),
    ],
)
def test_a_conversation_begins_with_its_overrides(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], override: dict[str, Any]
) -> None:
    """Dialled where CONVAI_URL_TEMPLATE points to, with the key in a header; what is not set is not sent."""

    async def run() -> None:
        async with peer() as side:
            monkeypatch.setattr(elevenlabs, "CONVAI_URL_TEMPLATE", side.template)
            adapter = ElevenLabsAgentAdapter("desk", KEY, **options)
            assert adapter.url == side.template.format(agent_id="desk")
            async with adapter as entered:
                assert entered is adapter
                assert adapter.is_connected()
                assert (await adapter.recv_audio(5)).data == b"\1\2"
            assert not adapter.is_connected()
            assert side.paths == ["/v1/convai/conversation?agent_id=desk"]
            assert side.headers[0]["xi-api-key"] == KEY
            first = {"type": "conversation_initiation_client_data", "conversation_config_override": override}
            assert side.heard == [first]

    asyncio.run(run())


def test_variables_are_sent_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are, numbers as numbers."""

    async def run() -> None:
        async with peer() as side:
            variables = {"name": "Ada", "age": 36, "known": True}
            adapter = ElevenLabsAgentAdapter(
                "a desk", KEY, base_url=f"http{side.address}/", dynamic_variables=variables
            )
            async with adapter:
                await adapter.recv_audio(5)
            assert side.paths == ["/v1/convai/conversation?agent_id=a%20desk"]
            assert side.heard[0]["dynamic_variables"] == variables

    asyncio.run(run())


@pytest.mark.parametrize("by", ["argument", "environment", "endpoint"])
def test_a_signed_url_is_dialled_without_a_key(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """It is asked for at base_url, ELEVENLABS_BASE_URL or the endpoint given; a gateway says that it is one."""

    class Endpoint:
        base_url = ""
        api_key = KEY

    async def run() -> None:
        async with peer() as side:
            side.signed = (HTTPStatus.OK, json.dumps({"signed_url": f"ws{side.address}/signed?x=1"}).encode())
            Endpoint.base_url = f"http{side.address}"
            options: dict[str, Any] = {"argument": {"base_url": Endpoint.base_url}, "endpoint": {"mint": Endpoint()}}
            if by == "environment":
                monkeypatch.setenv("ELEVENLABS_BASE_URL", Endpoint.base_url + "/")
            adapter = ElevenLabsAgentAdapter("desk", KEY, mode="1.6", **options.get(by, {}))
            assert not adapter.brokered
            async with adapter:
                assert (await adapter.recv_audio(5)).data == b"\1\2"
                assert adapter.brokered
            assert side.paths == ["/v1/convai/conversation/get-signed-url?agent_id=desk", "/signed?x=1"]
            assert side.headers[0]["xi-api-key"] == KEY
            assert "xi-api-key" not in side.headers[1]

    asyncio.run(run())


def test_a_key_stays_with_the_server_that_it_is_for(caplog: pytest.LogCaptureFixture) -> None:
    """Where that has no signed URL, its own socket is dialled, not the vendor's."""

    async def run() -> None:
        async with peer() as side:
            async with ElevenLabsAgentAdapter("desk", KEY, mode="1.6", base_url=f"http{side.address}") as adapter:
                await adapter.recv_audio(5)
            assert len(side.paths) == 2
            assert side.headers[-1].get("xi-api-key") == KEY

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())


def test_where_nobody_signs_the_agent_is_dialled_directly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A 404 is warned of; without a key, or with mint=False, nobody is asked."""

    async def run() -> None:
        async with peer() as side:
            monkeypatch.setattr(elevenlabs, "CONVAI_URL_TEMPLATE", side.template)
            monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
            base_url = f"http{side.address}"
            for key, mint, asked in ((KEY, None, 1), (KEY, False, 0), ("", None, 0)):
                side.paths.clear()
                async with ElevenLabsAgentAdapter("desk", key, mode="1.6", base_url=base_url, mint=mint) as adapter:
                    await adapter.recv_audio(5)
                    assert not adapter.brokered
                assert len(side.paths) == asked + 1
                assert side.headers[-1].get("xi-api-key") == key

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    (warning,) = caplog.records
    assert "404" in warning.getMessage()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (HTTPStatus.UNAUTHORIZED, b'{"detail": {"message": "no such key"}}', AuthError),
        (HTTPStatus.PAYMENT_REQUIRED, b"", SessionError),
        (HTTPStatus.OK, b"{}", SessionError),
        (HTTPStatus.OK, b"nothing", SessionError),
    ],
)
def test_a_refusal_to_sign_is_an_error(status: HTTPStatus, body: bytes, error: type[Exception]) -> None:
    """Who is refused must not get in by another way; the key is not told."""

    async def run() -> None:
        async with peer() as side:
            side.signed = (status, body)
            adapter = ElevenLabsAgentAdapter("desk", KEY, mode="1.6", base_url=f"http{side.address}")
            with pytest.raises(error) as told:
                await adapter.connect()
            assert KEY not in str(told.value)
            assert len(side.paths) == 1

    asyncio.run(run())


def test_a_server_that_is_gone_is_told_once() -> None:
    """The microphone ends with the socket; recv_audio says that there is no more."""

    async def run() -> None:
        async with peer() as side:
            adapter = ElevenLabsAgentAdapter("desk", KEY, mode="1.6", base_url=f"http{side.address}")
            side.signed = (HTTPStatus.OK, json.dumps({"signed_url": f"ws{side.address}/"}).encode())
            await adapter.connect()
            await adapter.recv_audio(5)
            await adapter._ws.close()
            assert (await adapter.recv_audio(5)).data == b""
            assert not adapter.is_connected()
            await adapter.disconnect()
            await adapter.disconnect()

    asyncio.run(run())


# --------------------------------------------------------------------------------------------------- an Antiphon server

AGENT: dict[str, Any] = json.loads((ROOT / "tests/compat/agents/scenario.json").read_text())
SAID = ["Hello, how can I help?", "We are open from nine to five.", "On Sundays we are closed."]
HEARD = ["what are your opening hours", "and on sunday"]


@asynccontextmanager
async def antiphon(folder: Path) -> AsyncGenerator[str]:
    """A server's address; it hears HEARD, and has the agent `scenario`, who needs authorization."""
    (folder / "agents").mkdir()
    agent = AGENT | {"platform_settings": {"auth": {"enable_auth": True}}}
    (folder / "agents" / "scenario.json").write_text(json.dumps(agent))
    settings = Settings.load(None, port=0, agents=folder / "agents", data=folder / "data", api_key=KEY)
    registry = Registry()
    registry.add("stt", "pocketsphinx", lambda _, context: create_speech_to_text({"lines": HEARD}, context))
    registry.add("vad", "silero", create_energy)
    app = create_app(settings, registry=registry)
    async with asyncio.timeout(60), listening(app, settings) as address:
        yield address


def voice(seconds: float) -> AudioChunk:
    """Loud enough for a detector that goes by energy, with silence about it."""
    samples = (round(9000 * math.sin(math.tau * 300 * at / 24_000)) for at in range(round(24_000 * seconds)))
    return AudioChunk(data=b"".join(struct.pack("<h", sample) for sample in samples))


@pytest.mark.parametrize("mode", ["tail", "1.6"])
def test_a_conversation_with_a_real_server(tmp_path: Path, mode: Any) -> None:
    """Greeting and two spoken turns, each heard whole and with its words; the agent needs authorization."""

    async def run() -> None:
        async with (
            antiphon(tmp_path) as address,
            ElevenLabsAgentAdapter("scenario", KEY, mode=mode, base_url=address) as adapter,
        ):
            turns = [await take_turn(adapter)]
            for understood in HEARD:
                turns.append(await take_turn(adapter, voice(0.8)))
                assert adapter.last_user_transcript == understood
            assert [turn.transcript for turn in turns] == SAID
            for turn in turns:
                assert turn.duration_seconds == pytest.approx(len(turn.transcript or "") * 0.03, abs=0.1)
            assert adapter.conversation_id

    asyncio.run(run())


@pytest.mark.component("espeak")
def test_an_agent_put_together_on_ones_own_side(tmp_path: Path) -> None:
    """It hears and speaks at the server, and thinks here: one answer a turn, all of it remembered."""
    seen: list[list[dict[str, Any]]] = []

    async def think(messages: list[dict[str, Any]]) -> str:
        seen.append([*messages])
        return f"Answer {len(seen)}."

    async def run() -> None:
        async with antiphon(tmp_path) as address:
            agent = ElevenLabsVoiceAgent(KEY, llm=think, voice="en-us", base_url=address, system_prompt="Be kind.")
            assert agent.voice == "elevenlabs/en-us"
            async with agent:
                greeting = await take_turn(agent)
                assert greeting.transcript == "Answer 1."
                assert 0.3 < greeting.duration_seconds < 3
                answer = await take_turn(agent, voice(0.8))
            assert (answer.transcript, agent.last_llm_response) == ("Answer 2.", "Answer 2.")
            assert agent.last_user_transcript == HEARD[0]
            assert (await agent.recv_audio(1)).data == b""
            assert [message["role"] for message in seen[1]] == ["system", "assistant", "user"]
            assert [message["content"] for message in seen[1]] == ["Be kind.", "Answer 1.", HEARD[0]]
            await agent.connect()
            assert agent.messages == seen[0]

    asyncio.run(run())


def test_a_refusal_of_the_server_is_told_without_its_answer(tmp_path: Path) -> None:
    """The status says enough; what the server writes may hold what nobody should read in a trace."""

    async def run() -> None:
        async with antiphon(tmp_path) as address:
            stt = ElevenLabsSTTProvider("sk_wrong", base_url=address)
            tts = ElevenLabsTTSProvider("en-us", "sk_wrong", base_url=address)
            with pytest.raises(SessionError, match=r"^speech to text: the server answered 401$"):
                await stt.transcribe(voice(0.1))
            with pytest.raises(SessionError, match=r"^text to speech: the server answered 401$"):
                await tts.synthesize("Hello.")
            assert await stt.transcribe(AudioChunk(data=b"")) == ""
            assert (await tts.synthesize(" ")).data == b""
        with pytest.raises(SessionError, match=r"no answer from 127\.0\.0\.1"):
            await stt.transcribe(voice(0.1))

    asyncio.run(run())


# ---------------------------------------------------------------------------------------------- putting agents together


class Parrot(STTProvider):
    """Hears how long it was spoken to."""

    async def transcribe(self, audio: AudioChunk) -> str:
        return f"{audio.duration_seconds:g} s"


class Beeper:
    """Speaks a tenth of a second for each character."""

    async def synthesize(self, text: str) -> AudioChunk:
        return AudioChunk(data=bytes(4_800 * len(text)))


def test_a_late_answer_is_forgotten_and_thought_of_again() -> None:
    """The conversation is not left with an answer that nobody heard."""
    pauses = [5.0, 0.5]

    async def think(messages: list[dict[str, Any]]) -> str:
        await asyncio.sleep(pauses.pop(0))
        return "Yes."

    async def run() -> None:
        agent = ComposableVoiceAgent(Parrot(), think, Beeper())
        await agent.send_audio(AudioChunk(data=bytes(48_000)))
        with pytest.raises(TimeoutError, match="no answer within 1 s"):
            await agent.recv_audio(1)
        chunk = await agent.recv_audio(1)
        assert (chunk.transcript, chunk.duration_seconds) == ("Yes.", pytest.approx(0.4))
        assert [message["content"] for message in agent.messages[1:]] == ["1 s", "Yes."]

    run_in_virtual_time(run())


@pytest.fixture
def completions() -> Iterator[tuple[str, list[Any]]]:
    """The address of a server with POST /chat/completions, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(
                (
                    self.path,
                    self.headers["authorization"],
                    json.loads(self.rfile.read(int(self.headers["content-length"]))),
                )
            )
            model = asked[-1][2]["model"]
            answer = {"choices": [{"message": {"content": "Indeed."}}]} if model == "small" else {"error": {}}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
        server.shutdown()
        thread.join()


def test_any_server_with_chat_completions_can_think(
    completions: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named as litellm names models, it is found at OPENAI_BASE_URL; an answer without a message is an error."""
    address, asked = completions
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    monkeypatch.setenv("OPENAI_API_KEY", "sk_model")
    monkeypatch.setitem(sys.modules, "litellm", None)

    async def run() -> None:
        agent = ComposableVoiceAgent(Parrot(), "openai/small", Beeper(), system_prompt="Agree.")
        assert (await take_turn(agent, AudioChunk(data=bytes(4_800)))).transcript == "Indeed."
        with pytest.raises(SessionError, match="without a message"):
            await ChatCompletions("large")([])

    asyncio.run(run())
    messages = [{"role": "system", "content": "Agree."}, {"role": "user", "content": "0.1 s"}]
    assert asked[0] == ("/v1/chat/completions", "Bearer sk_model", {"model": "small", "messages": messages})


def test_without_scenario_a_foreign_voice_is_refused() -> None:
    """Where it is given, not when it is to speak."""
    assert issubclass(ComposableVoiceAgent, VoiceAgentAdapter)
    ComposableVoiceAgent(Parrot(), "m", "elevenlabs/x")
    with pytest.raises(ValueError, match="openai/nova"):
        ComposableVoiceAgent(Parrot(), "m", "openai/nova")


# ---------------------------------------------------------------------------------------------------------- the example


def test_the_example_runs(tmp_path: Path) -> None:
    """What docs/scenario.md shows is examples/scenario/opening_hours.py, and it works with a server."""
    example = ROOT / "examples" / "scenario" / "opening_hours.py"
    assert example.read_text().split('"""', 2)[2].strip() in (ROOT / "docs" / "scenario.md").read_text()

    async def run() -> None:
        async with antiphon(tmp_path) as address:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(example),
                address,
                "scenario",
                KEY,
                env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate()
            assert process.returncode == 0
            assert out.decode().splitlines() == [
                f"agent: {SAID[0]}",
                f"user:  {HEARD[0]}",
                f"agent: {SAID[1]}",
            ]

    asyncio.run(run())
