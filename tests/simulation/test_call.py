"""The scripted caller keeps to its script: what it sends, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from antiphon.agents.config import AgentConfig
from antiphon.audio.convert import Decoder
from antiphon.audio.formats import FORMATS, AudioFormat
from antiphon.engines.registry import Registry
from antiphon.session.engines import load_engines
from antiphon.simulation.call import Call, HangUp, Mute, Speak, Step, hold, silence, voice
from antiphon.simulation.loop import run


def held(script: list[Step], *, chunk: float = 0.1, format_name: str = "pcm_16000", **registered: Any) -> Call:
    """A call with an agent that waits for the caller and then says one thing."""
    registry = Registry()
    for kind, factory in registered.items():
        registry.add(kind, "watched", factory)  # pyright: ignore[reportArgumentType]
    document = {
        "conversation_config": {
            "agent": {"first_message": ""},
            "asr": {"user_input_audio_format": format_name},
            "antiphon": {
                "llm": {"engine": "scripted", "rules": [{"say": "Yes."}]},
                "stt": {"engine": "watched" if "stt" in registered else "scripted", "lines": ["hello"]},
                "tts": {"engine": "scripted"},
                "vad": {"engine": "energy"},
            },
        }
    }

    async def scene() -> Call:
        agent = AgentConfig.parse(document, agent_id="scene")
        return await hold(agent, await load_engines(agent, registry, models={}), script, chunk=chunk)

    return run(scene())


def observed(call: Call, kind: str) -> list[bytes]:
    return [line for line in call.journal if b'"saw":{"kind":"%s"' % kind.encode() in line]


@pytest.mark.parametrize("format_name", ["pcm_8000", "pcm_16000", "pcm_22050", "pcm_44100", "pcm_48000", "ulaw_8000"])
@pytest.mark.parametrize("chunk", [0.02, 0.1, 0.25])
def test_a_caller_speaks_as_long_as_the_script_says(chunk: float, format_name: str) -> None:
    """In every format and with every length of chunk: to a frame of voice activity."""
    call = held([Mute(), Speak(seconds=1.0)], chunk=chunk, format_name=format_name)
    (stopped,) = observed(call, "SpeechStopped")
    assert abs(float(stopped.split(b'"speech":')[1].split(b"}")[0]) - 1.0) <= 0.064


def test_sound_arrives_when_it_has_been_made_not_before() -> None:
    """A chunk is sent when its last sample has sounded."""
    call = held([Speak(seconds=1.0, after=0.0)], chunk=0.25)
    first = next(line for line in call.journal if b"user_audio_chunk" in line)
    assert first.startswith(b'{"at":0.25,')
    (started,) = observed(call, "SpeechStarted")
    assert started.startswith(b'{"at":0.5,')


def test_who_hangs_up_is_gone() -> None:
    """At once, with no answer waited for."""
    call = held([Speak(seconds=1.0, after=0.0), HangUp(after=0.5)])
    assert call.ending is not None
    assert call.ending.reason == "the client hung up"
    assert float(call.journal[-1].split(b":")[1].split(b",")[0]) == pytest.approx(0.6)


@pytest.mark.parametrize("audio_format", FORMATS.values(), ids=lambda audio_format: audio_format.name)
def test_sound_and_silence_are_as_long_as_asked_for(audio_format: AudioFormat) -> None:
    """In the bytes of the format; silence decodes to silence."""
    assert len(voice(audio_format, 0.1)) == len(silence(audio_format, 0.1)) == audio_format.bytes_of(0.1)
    decoded = np.frombuffer(Decoder(audio_format).decode(silence(audio_format, 0.1)), np.int16)
    assert np.abs(decoded).max() < 10
