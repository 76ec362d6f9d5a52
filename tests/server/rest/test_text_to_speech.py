"""Text to speech: a text in, sound in the wanted format out, and its times."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

from antiphon.audio import alaw, ulaw
from antiphon.audio.riff import parse_wav
from antiphon.engines.registry import Registry
from antiphon.server import Settings, create_app, listening
from antiphon.simulation.engines import create_text_to_speech

Serving = Callable[..., AbstractAsyncContextManager[Any]]
Scene = Callable[[httpx.AsyncClient], Awaitable[None]]

KEY = "sk_of_the_tests"
SPEAK = "/v1/text-to-speech/en-us"
TEXT = "Hello there. How are you?"


def play(serving: Serving, scene: Scene) -> None:
    """A scene with a client of a running server."""

    async def run() -> None:
        async with serving() as server:
            headers = {"xi-api-key": KEY}
            async with httpx.AsyncClient(base_url=server.address, headers=headers, trust_env=False) as client:
                await scene(client)
            assert server.services.speech.busy == 0

    asyncio.run(run())


async def speak(client: httpx.AsyncClient, path: str = SPEAK, text: str = TEXT, **query: str) -> httpx.Response:
    """The answer to a text."""
    return await client.post(path, params=query, json={"text": text})


@pytest.mark.component("espeak")
def test_every_format_is_the_same_speech(serving: Serving) -> None:
    """As long in all of them; what it costs is told in a header."""

    async def scene(client: httpx.AsyncClient) -> None:
        pcm = await speak(client, output_format="pcm_8000")
        assert (pcm.status_code, pcm.headers["content-type"]) == (200, "audio/pcm")
        assert pcm.headers["character-cost"] == str(len(TEXT))
        assert pcm.headers["request-id"]
        samples = len(pcm.content) // 2
        assert samples > 8_000
        for name, codec in (("ulaw", ulaw), ("alaw", alaw)):
            answer = await speak(client, output_format=f"{name}_8000")
            assert answer.content == codec.encode(pcm.content)
        wav = await speak(client, output_format="wav_24000")
        sound = parse_wav(wav.content)
        assert int.from_bytes(wav.content[40:44], "little") == len(wav.content) - 44
        assert (sound.rate, len(sound.channels)) == (24_000, 1)
        assert sound.seconds == pytest.approx(samples / 8_000, abs=0.01)
        mp3 = await speak(client)
        assert mp3.headers["content-type"] == "audio/mpeg"
        assert mp3.content[0] == 0xFF
        assert len(mp3.content) / 16_000 == pytest.approx(samples / 8_000, abs=0.15)

    play(serving, scene)


@pytest.mark.component("espeak")
def test_a_stream_brings_what_the_whole_answer_has(serving: Serving) -> None:
    """Byte for byte; the header of a streamed WAV file leaves its length open."""

    async def scene(client: httpx.AsyncClient) -> None:
        for name in ("pcm_16000", "mp3_44100_128"):
            whole = await speak(client, output_format=name)
            streamed = await speak(client, f"{SPEAK}/stream", output_format=name)
            assert streamed.content == whole.content
        wav = await speak(client, f"{SPEAK}/stream", output_format="wav_16000")
        assert parse_wav(wav.content).seconds > 1

    play(serving, scene)


@pytest.mark.component("espeak")
def test_every_character_has_its_time(serving: Serving) -> None:
    """In order, from the beginning to the end of the sound; so in the stream's lines, put together."""

    async def scene(client: httpx.AsyncClient) -> None:
        answer = (await speak(client, f"{SPEAK}/with-timestamps", output_format="pcm_16000")).json()
        alignment = answer["alignment"]
        starts = alignment["character_start_times_seconds"]
        ends = alignment["character_end_times_seconds"]
        assert "".join(alignment["characters"]) == TEXT
        assert starts[0] == 0.0
        assert starts == sorted(starts)
        audio = base64.b64decode(answer["audio_base64"])
        assert ends[-1] == pytest.approx(len(audio) / 32_000, abs=0.01)
        streamed = await speak(client, f"{SPEAK}/stream/with-timestamps", output_format="pcm_16000")
        lines = [json.loads(line) for line in streamed.text.splitlines()]
        assert len(lines) > 1
        timed = [line["alignment"] for line in lines if line["alignment"]]
        assert [each for part in timed for each in part["character_start_times_seconds"]] == starts
        assert "".join(each for part in timed for each in part["characters"]) == TEXT
        assert b"".join(base64.b64decode(line["audio_base64"]) for line in lines) == audio

    play(serving, scene)


@pytest.mark.component("espeak")
def test_what_engines_do_not_know_is_passed_over(serving: Serving) -> None:
    """Settings, a language that nobody speaks, seeds; speed is heard."""

    async def scene(client: httpx.AsyncClient) -> None:
        async def seconds(**body: Any) -> float:
            path = "/v1/text-to-speech/cjVigY5qzO86Huf0OWal?output_format=pcm_8000"
            answer = await client.post(path, json={"text": TEXT, **body})
            assert answer.status_code == 200, answer.text
            return len(answer.content) / 16_000

        usual = await seconds()
        assert await seconds(model_id="eleven_v3", seed=7, unknown={"a": None}, language_code="xx") == usual
        assert await seconds(voice_settings={"stability": 1, "speed": None, "style": 0.3}) == usual
        assert await seconds(voice_settings={"speed": 1.5}) < 0.8 * usual
        assert await seconds(language_code="deu") != usual
        assert await seconds(language_code="de-AT") == await seconds(language_code="de")

    play(serving, scene)


@pytest.mark.component("espeak")
def test_what_cannot_be_spoken_is_refused(serving: Serving) -> None:
    """With a 4xx, on the streaming paths too: nothing has been sent yet."""

    async def scene(client: httpx.AsyncClient) -> None:
        for path in ("", "/stream", "/with-timestamps", "/stream/with-timestamps"):
            for text, status in (("", "input_text_empty"), (" \n", "input_text_empty"), ("...", "input_text_empty")):
                answer = await speak(client, SPEAK + path, text)
                assert (answer.status_code, answer.json()["detail"]["status"]) == (400, status)
            answer = await speak(client, SPEAK + path, "x" * 40_001)
            assert (answer.status_code, answer.json()["detail"]["status"]) == (400, "max_character_limit_exceeded")
            answer = await speak(client, f"/v1/text-to-speech/nobody{path}")
            assert (answer.status_code, answer.json()["detail"]["status"]) == (404, "voice_not_found")
            for name in ("opus_48000_32", "mp3_44100", "mp3_8000_32", "pcm_16000_32", "wav_1", "x" * 99):
                answer = await speak(client, SPEAK + path, output_format=name)
                assert (answer.status_code, answer.json()["detail"]["status"]) == (400, "output_format_not_supported")
        for body in ("{}", '{"text": null}', "[]", "{"):
            answer = await client.post(SPEAK, content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 422
        nul = await client.post(
            SPEAK, content=b'{"text": "a \\ud83d \\u0000 b"}', headers={"content-type": "application/json"}
        )
        assert nul.status_code == 200

    play(serving, scene)


@pytest.mark.component("espeak")
def test_a_client_that_leaves_frees_what_spoke_for_it(serving: Serving) -> None:
    """In the middle of a stream; `play` asserts that nobody is busy at the end."""

    async def scene(client: httpx.AsyncClient) -> None:
        body = {"text": TEXT * 400}
        async with client.stream("POST", f"{SPEAK}/stream", json=body) as answer:
            assert answer.status_code == 200
            async for _ in answer.aiter_bytes():
                break
        assert (await speak(client)).headers["current-concurrent-requests"] in ("1", "2")
        while (await speak(client)).headers["current-concurrent-requests"] != "1":
            pass

    play(serving, scene)


def test_any_engine_can_be_the_default(tmp_path: Any) -> None:
    """One that does not say which voices it has takes any id; one without timings has its characters spread evenly."""

    async def run() -> None:
        (tmp_path / "agents").mkdir()
        settings = Settings.load(None, port=0, agents=tmp_path / "agents", data=tmp_path / "data", api_key=KEY)
        registry = Registry()
        registry.add("tts", "espeak", lambda _, context: create_text_to_speech({"alignment": False}, context))
        app = create_app(settings, registry=registry)
        async with (
            listening(app, settings) as address,
            httpx.AsyncClient(base_url=address, headers={"xi-api-key": KEY}, trust_env=False) as client,
        ):
            path = "/v1/text-to-speech/anybody/with-timestamps"
            answer = (await speak(client, path, "abcd", output_format="pcm_16000")).json()
            assert answer["alignment"] == {
                "characters": ["a", "b", "c", "d"],
                "character_start_times_seconds": [0.0, 0.06, 0.12, 0.18],
                "character_end_times_seconds": [0.06, 0.12, 0.18, 0.24],
            }
            voices = (await client.get("/v1/voices")).json()["voices"]
            assert [voice["voice_id"] for voice in voices] == ["default"]

    asyncio.run(run())
