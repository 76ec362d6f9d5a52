"""Speech to text: a recording in, its words and their times out."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.audio.riff import wav_header
from antiphon.engines.registry import Registry
from antiphon.engines.vad.energy import create as create_energy
from antiphon.server import Settings, create_app, listening
from antiphon.simulation.engines import create_speech_to_text

Serving = Callable[..., AbstractAsyncContextManager[Any]]
Scene = Callable[[httpx.AsyncClient], Awaitable[None]]

KEY = "sk_of_the_tests"
PATH = "/v1/speech-to-text"
FORWARD = Path("/usr/share/pocketsphinx/test/data/goforward.raw")


def wav(audio: bytes, rate: int = 16_000) -> bytes:
    """A WAV file."""
    return wav_header(rate, len(audio)) + audio


def spoken(*seconds: float) -> bytes:
    """So many seconds of sound, of silence, of sound, ... at 16 kHz."""
    parts: list[bytes] = []
    for place, length in enumerate(seconds):
        loud, count = 8_000 * (place % 2 == 0), round(16_000 * length)
        parts.append(struct.pack(f"<{count}h", *(round(loud * math.sin(at / 5)) for at in range(count))))
    return b"".join(parts)


async def transcript(client: httpx.AsyncClient, file: bytes, **fields: Any) -> httpx.Response:
    """The answer to a recording."""
    return await client.post(
        PATH, files={"file": ("a.wav", file, "audio/wav")}, data={"model_id": "scribe_v1", **fields}
    )


def play(tmp_path: Path, lines: list[str], scene: Scene) -> None:
    """A scene with a server whose default engine hears these lines, one an utterance."""

    async def run() -> None:
        (tmp_path / "agents").mkdir()
        settings = Settings.load(None, port=0, agents=tmp_path / "agents", data=tmp_path / "data", api_key=KEY)
        registry = Registry()
        registry.add("stt", "pocketsphinx", lambda _, context: create_speech_to_text({"lines": lines}, context))
        registry.add("vad", "silero", create_energy)
        app = create_app(settings, registry=registry)
        async with (
            listening(app, settings) as address,
            httpx.AsyncClient(base_url=address, headers={"xi-api-key": KEY}, trust_env=False) as client,
        ):
            await scene(client)

    asyncio.run(run())


@pytest.mark.component("pocketsphinx", "testdata")
def test_a_recording_is_understood(serving: Serving) -> None:
    """As WAV and as raw PCM; its times are within it, and `null` is nothing (rest.md 8.2)."""

    audio = FORWARD.read_bytes()

    async def run() -> None:
        async with (
            serving() as server,
            httpx.AsyncClient(
                base_url=server.address, headers={"xi-api-key": KEY}, trust_env=False, timeout=25
            ) as client,
        ):
            nothing = dict.fromkeys(("webhook_metadata", "entity_detection", "language_code", "source_url"), "null")
            answer = await transcript(client, wav(audio), **nothing)
            assert answer.status_code == 200, answer.text
            heard = answer.json()
            assert heard["text"].startswith("go forward ten ")
            assert heard["language_code"] == "en"
            assert [word["text"] for word in heard["words"] if word["type"] == "word"] == heard["text"].split()
            assert "".join(word["text"] for word in heard["words"]) == heard["text"]
            times = [time for word in heard["words"] for time in (word["start"], word["end"])]
            assert times == sorted(times)
            assert heard["audio_duration_secs"] == pytest.approx(len(audio) / 32_000, abs=0.001)
            assert 0 <= times[0] < times[-1] <= heard["audio_duration_secs"]
            raw = await transcript(client, audio, file_format="pcm_s16le_16")
            assert raw.json()["text"] == heard["text"]
            german = await transcript(client, wav(audio), language_code="deu")
            assert german.status_code == 400
            assert "English" in german.json()["detail"]["message"]

    asyncio.run(run())


def test_a_recording_is_heard_an_utterance_at_a_time(tmp_path: Path) -> None:
    """Cut at its pauses; an utterance's words are in its time, and what nobody understood is left out."""

    async def scene(client: httpx.AsyncClient) -> None:
        audio = bytes(32_000) + spoken(1.0, 1.0, 1.0, 0.2, 1.0, 1.5, 0.5)
        heard = (await transcript(client, wav(audio), diarize="true")).json()
        assert heard["text"] == "one two three"
        words = {word["text"]: word for word in heard["words"] if word["type"] == "word"}
        assert words["one"]["start"] == pytest.approx(1.0, abs=0.1)
        assert words["one"]["end"] < words["two"]["start"]
        assert words["two"]["end"] == pytest.approx(2.0, abs=0.1)
        assert (words["three"]["start"], words["three"]["end"]) == pytest.approx((3.0, 5.2), abs=0.1)
        assert {word["speaker_id"] for word in heard["words"]} == {"speaker_0"}

    play(tmp_path, ["one two", "three", ""], scene)


def test_times_are_as_fine_as_asked_for(tmp_path: Path) -> None:
    """None, of words, or of characters."""

    async def scene(client: httpx.AsyncClient) -> None:
        file = wav(spoken(1.0))
        none = (await transcript(client, file, timestamps_granularity="none")).json()["words"][0]
        assert (none["text"], none["start"], none["end"]) == ("word", None, None)
        characters = (await transcript(client, file, timestamps_granularity="character")).json()["words"][0][
            "characters"
        ]
        assert [each["text"] for each in characters] == list("word")
        assert characters[0]["start"] == 0.0

    play(tmp_path, ["word"], scene)


def test_channels_are_heard_one_by_one_where_that_is_asked_for(tmp_path: Path) -> None:
    """Else they are one."""

    async def scene(client: httpx.AsyncClient) -> None:
        audio = spoken(1.0)
        samples = struct.unpack(f"<{len(audio) // 2}h", audio)
        both = struct.pack(f"<{len(audio)}h", *(value for sample in samples for value in (sample, sample)))[
            : 2 * len(audio)
        ]
        header = bytearray(wav_header(16_000, len(both)))
        header[22:24], header[32:34] = struct.pack("<H", 2), struct.pack("<H", 4)
        heard = (await transcript(client, bytes(header) + both)).json()
        assert heard["text"] == "hello"
        parted = (await transcript(client, bytes(header) + both, use_multi_channel="true")).json()
        assert [(part["channel_index"], part["text"]) for part in parted["transcripts"]] == [(0, "hello"), (1, "hello")]

    play(tmp_path, ["hello"], scene)


def test_silence_is_no_words(tmp_path: Path) -> None:
    """And no error."""

    async def scene(client: httpx.AsyncClient) -> None:
        heard = (await transcript(client, wav(bytes(64_000)))).json()
        assert (heard["text"], heard["words"], heard["audio_duration_secs"]) == ("", [], 2.0)

    play(tmp_path, ["never"], scene)


def test_what_cannot_be_heard_is_refused(tmp_path: Path) -> None:
    """With a 4xx that says what is understood."""

    async def scene(client: httpx.AsyncClient) -> None:
        def refused(answer: httpx.Response) -> tuple[int, str]:
            return answer.status_code, answer.json()["detail"]["status"]

        for file in (b"ID3 mp3", b"OggS", wav(b"")[:30]):
            answer = await transcript(client, file)
            assert refused(answer) == (400, "audio_format_not_supported")
            assert "WAV" in answer.json()["detail"]["message"]
        assert refused(await transcript(client, b"")) == (400, "file_empty")
        assert refused(await transcript(client, wav(b""))) == (400, "file_empty")
        good = wav(spoken(0.5))
        assert refused(await transcript(client, good, webhook="true")) == (400, "webhook_not_supported")
        assert refused(await transcript(client, good, model_id="null")) == (400, "model_id_missing")
        both = await transcript(client, good, source_url="https://example.com/a.wav")
        assert refused(both) == (400, "file_missing")
        url = {"model_id": "scribe_v1", "source_url": "http://127.0.0.1:1/a.wav"}
        assert refused(await client.post(PATH, data=url)) == (400, "source_url_not_usable")
        assert refused(await client.post(PATH, data={"model_id": "x", "file": "null"})) == (400, "file_missing")
        assert refused(await client.post(PATH, json={})) == (400, "model_id_missing")
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nxi-api-key: {KEY}\r\ncontent-length: 999999999\r\n\r\n"
        writer.write(head.encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()
        await writer.wait_closed()

    play(tmp_path, [], scene)
