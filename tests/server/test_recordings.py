"""Recordings of conversations: what is kept, what REST answers, what is posted."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.errors import NotFoundError
from antiphon.server import recorder as recorders
from antiphon.server.recorder import BIT_RATE, RATE, Recorder
from antiphon.server.webhooks import sign

Serving = Callable[..., AbstractAsyncContextManager[Any]]
KEY = "sk_of_the_tests"
SECRET = "a secret of the tests"
CHUNK = base64.b64encode(bytes(3200)).decode()
"A tenth of a second that nobody speaks in."
FLAGS = ("has_audio", "has_user_audio", "has_response_audio", "has_auxiliary_audio")


def seconds(mp3: bytes) -> float:
    """How long it is: frames of a constant bit rate, of MPEG 2 layer III in stereo."""
    assert mp3[0] == 0xFF
    assert mp3[1] & 0xFE == 0xF2
    assert mp3[3] >> 6 in (0, 1)
    return len(mp3) * 8 / (BIT_RATE * 1000)


async def conversation(server: Any, agent_id: str = "voice") -> str:
    """One in which both sides are heard; returns its id once its record is written."""
    async with server.call(agent_id) as caller:
        await caller.initiate()
        metadata = await caller.hear("conversation_initiation_metadata")
        for _ in range(5):
            await caller.say({"user_audio_chunk": CHUNK})
        await caller.hear("agent_response")
        await caller.hear("audio" if agent_id != "desk" else "ping")
    await server.services.sessions.idle()
    return metadata["conversation_id"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no urgency of their own")
def test_sound_is_encoded_by_a_thread_that_steps_back() -> None:
    """Whatever else wants the processor, conversations first of all, gets it before."""
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    theirs = recorders.ENCODING.submit(os.getpriority, os.PRIO_PROCESS, 0).result()
    assert theirs == min(19, ours + recorders.STEP_BACK)
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours


def test_a_conversation_leaves_its_recording(serving: Serving, tmp_path: Path) -> None:
    """The record says so, and REST answers it, to who has the key; it may be asked for in ranges, as players do."""

    async def scene() -> None:
        async with serving() as server:
            identifier = await conversation(server)
            record = await server.record(identifier)
            assert [record[flag] for flag in FLAGS] == [True, True, True, False]
            path = f"/v1/convai/conversations/{identifier}/audio"
            answer = await server.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "audio/mpeg"
            assert 0.5 <= seconds(answer.content) <= 10.0
            part = await server.get(path, range="bytes=0-3")
            assert (part.status_code, part.content) == (206, answer.content[:4])
            assert (await server.get(path, key=None)).status_code == 401
        assert not list(tmp_path.rglob("*.part"))  # noqa: ASYNC240

    asyncio.run(scene())


@pytest.mark.parametrize(
    "privacy", [{"record_voice": False}, {"zero_retention_mode": True}, None], ids=["off", "zero retention", "text"]
)
def test_what_may_not_be_recorded_is_not(
    serving: Serving, document: Any, agents: Path, tmp_path: Path, privacy: dict[str, Any] | None
) -> None:
    """Because the agent says so, or because there is no sound: 404, in the errors' shape."""
    silent = document(text_only=False)
    silent["platform_settings"]["privacy"] = privacy
    (agents / "silent.json").write_text(json.dumps(silent))

    async def scene() -> None:
        async with serving() as server:
            identifier = await conversation(server, "desk" if privacy is None else "silent")
            record = await server.record(identifier)
            assert [record[flag] for flag in FLAGS] == [False, False, False, False]
            for unrecorded in (identifier, "conv_none"):
                answer = await server.get(f"/v1/convai/conversations/{unrecorded}/audio")
                assert answer.status_code == 404
                assert answer.json()["detail"]["status"] == "conversation_audio_not_found"
        assert not list(tmp_path.rglob("*.mp3*"))  # noqa: ASYNC240

    asyncio.run(scene())


def test_a_conversation_that_goes_on_has_no_recording_yet(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is settled of it is on the disk already."""
    monkeypatch.setattr(recorders, "SETTLING", 0.0)

    async def scene() -> None:
        async with serving() as server, server.call("voice") as caller:
            await caller.initiate()
            identifier = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
            part = tmp_path / "data" / "recordings" / f"{identifier}.mp3.part"
            while not part.exists() or not part.stat().st_size:
                await caller.say({"user_audio_chunk": CHUNK})
                await caller.hear("ping")
            assert (await server.get(f"/v1/convai/conversations/{identifier}/audio")).status_code == 404
            assert (await server.get(f"/v1/convai/conversations/{identifier}")).json()["has_audio"] is False

    asyncio.run(scene())


def test_words_do_not_wait_for_sound(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that dies while its encoder is busy elsewhere has what was said until then."""
    monkeypatch.setattr(recorders, "SETTLING", 0.0)
    release = threading.Event()

    async def scene() -> None:
        async with serving() as server, asyncio.timeout(60):
            try:
                async with server.call("voice") as caller:
                    await caller.initiate()
                    identifier = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
                    await caller.hear("agent_response")
                    recorders.ENCODING.submit(release.wait, 60)
                    await caller.say({"user_audio_chunk": CHUNK})
                    await caller.hear("ping")
                    await caller.say({"type": "user_message", "text": "book Monday"})
                    kept = b""
                    while b"book Monday" not in kept:
                        await caller.hear("ping")
                        kept = b"".join(await server.services.store.conversations.journal(identifier))
            finally:
                release.set()

    asyncio.run(scene())


def test_a_recording_in_parts_is_as_long_as_the_conversation() -> None:
    """Sound stays in memory until it is settled; nothing is lost between the parts."""
    now = 100.0
    recorder = Recorder(lambda: now)
    mp3 = b""
    for second in range(60):
        recorder.recording.user(bytes(2 * RATE), second + 1.0)
        recorder.recording.agent(bytes(RATE), second + 0.5)
        now = 100.0 + second + 1.0
        mp3 += recorder.encode(recorder.take())
        assert len(recorder.recording.tracks()[0]) <= 2 * RATE * (recorders.SETTLING + 1)
    mp3 += recorder.finish(recorder.take_rest())
    assert seconds(mp3) == pytest.approx(60.0, abs=0.3)


def test_a_conversation_without_a_sound_leaves_no_recording() -> None:
    """An encoder that was given nothing has nothing to say."""
    recorder = Recorder(lambda: 0.0)
    assert recorder.encode(recorder.take()) == b""
    assert recorder.finish(recorder.take_rest()) == b""


@pytest.mark.parametrize("text_only", [False, True])
def test_the_recording_is_posted_to_who_asks_for_it(serving: Serving, document: Any, text_only: bool) -> None:
    """rest.md 3.2: MP3 in base64, chunked, signed; without sound only the transcript is posted."""
    received: dict[str, tuple[bytes, bytes]] = {}
    arrived = asyncio.Event()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = b""
        if b"transfer-encoding: chunked" in head:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
        else:
            size = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(size)
        received[json.loads(body)["type"]] = head, body
        arrived.set()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async def scene() -> None:
        receiver = await asyncio.start_server(receive, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/hook"
        allowed = ["scripted", "scripted.*", "energy"]
        async with receiver, serving(allow_client_config=True, client_config_engines=allowed) as server:
            url = f"{server.address.replace('http', 'ws', 1)}/v1/convai/orchestrator"
            async with server.call(url=url) as caller:
                hook = {"url": address, "hmac_secret": SECRET}
                setup = {
                    "agent_config_dict": document(text_only=text_only),
                    "post_call_transcription_webhook": hook,
                    "post_call_audio_webhook": hook,
                }
                await caller.say({"type": "enclave_setup_config", **setup})
                await caller.initiate()
                identifier = (await caller.hear("conversation_initiation_metadata"))["conversation_id"]
                await caller.hear("agent_response" if text_only else "audio")
            await arrived.wait()
            await server.services.sessions.idle()
            answer = await server.get(f"/v1/convai/conversations/{identifier}/audio")
        assert received.keys() == {"post_call_transcription", *(() if text_only else ("post_call_audio",))}
        if not text_only:
            head, body = received["post_call_audio"]
            message = json.loads(body)
            assert message["event_timestamp"] == 1_700_000_000
            assert message["data"].keys() == {"agent_id", "conversation_id", "full_audio"}
            assert message["data"]["conversation_id"] == identifier
            assert base64.b64decode(message["data"]["full_audio"]) == answer.content
            assert b"transfer-encoding: chunked" in head
            assert f"elevenlabs-signature: {sign(SECRET, body, 1_700_000_000)}".encode() in head

    asyncio.run(scene())


@pytest.mark.component("s3")
@pytest.mark.usefixtures("bucket_credentials")
def test_a_bucket_keeps_recordings_as_a_folder_does(serving: Serving, tmp_path: Path) -> None:
    """REST answers the whole and parts of them, and deletes them; nothing of them stays in the data folder."""

    async def scene() -> None:
        async with serving(recordings=f"s3://calls/{tmp_path.name}") as server:
            identifier = await conversation(server)
            path = f"/v1/convai/conversations/{identifier}"
            answer = await server.get(f"{path}/audio")
            assert answer.status_code == 200
            assert 0.5 <= seconds(answer.content) <= 10.0
            part = await server.get(f"{path}/audio", range="bytes=4-9")
            assert (part.status_code, part.content) == (206, answer.content[4:10])
            assert not list(tmp_path.rglob("*.mp3*"))  # noqa: ASYNC240
            assert await server.services.records.audio(identifier) == answer.content
            async with httpx.AsyncClient(base_url=server.address, trust_env=False) as client:
                assert (await client.delete(path, headers={"xi-api-key": KEY})).status_code == 200
            assert (await server.get(f"{path}/audio")).status_code == 404
            with pytest.raises(NotFoundError):
                await server.services.records.audio(identifier)

    asyncio.run(scene())
