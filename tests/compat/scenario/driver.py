"""Has Scenario 1.6.0 talk to an agent, and prints as one JSON object what its user would notice.

    .venv-compat/scenario/bin/python driver.py theirs|ours SERVER AGENT_ID API_KEY WHAT/MODE/WAY/COMMIT ...

`theirs` is the unmodified ElevenLabsAgentAdapter, and imports nothing of Antiphon. WHAT: `adapter` or `executor`. MODE:
that of our adapter. WAY: `dial` the socket directly, or `mint` a signed URL. COMMIT: how turns are told.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import struct
import sys
from typing import Any

import scenario
from scenario.voice import AudioChunk, STTProvider, VoiceAgentAdapter, create_audio_message, set_stt_provider
from scenario.voice.adapters import elevenlabs as theirs

PATIENCE = 15.0
LINES = ("what are your opening hours", "and on sunday")


class Warnings(logging.Handler):
    """What the adapters log as worth a warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(("scenario.voice", "antiphon")):
            self.lines.append(record.getMessage())


class Transcriber(STTProvider):
    """Asked for what the agent said, where the adapter does not know."""

    def __init__(self) -> None:
        self.asked = 0

    async def transcribe(self, audio: AudioChunk) -> str:
        self.asked += 1
        return f"{len(audio.data)} bytes of speech"


def voice(seconds: float, words: str) -> AudioChunk:
    """Loud enough for a detector that goes by energy."""
    samples = (round(9000 * math.sin(math.tau * 300 * at / 24_000)) for at in range(round(24_000 * seconds)))
    return AudioChunk(data=b"".join(struct.pack("<h", sample) for sample in samples), transcript=words)


def adapter_for(whose: str, way: str, server: str, agent_id: str, key: str, commit: str) -> Any:
    """The adapter, pointed at the server."""
    template = server.replace("http", "ws", 1) + "/v1/convai/conversation?agent_id={agent_id}"
    if whose == "theirs":
        theirs.CONVAI_URL_TEMPLATE = template
        options = {"mint": False} if way == "dial" else {"base_url": server}
        return theirs.ElevenLabsAgentAdapter(agent_id, key, turn_commit_mode=commit, **options)
    from antiphon.integrations.scenario import elevenlabs as ours

    ours.CONVAI_URL_TEMPLATE = template
    options = {} if way == "dial" else {"base_url": server}
    return ours.ElevenLabsAgentAdapter(agent_id, key, mode=whose, turn_commit_mode=commit, **options)


async def answer(adapter: Any) -> int:
    """Bytes of the agent's answer."""
    length = 0
    patience = PATIENCE
    while True:
        try:
            chunk = await adapter.recv_audio(patience)
        except TimeoutError:
            assert length, "no answer"
            return length
        if not chunk.data:
            return length
        length += len(chunk.data)
        patience = 0.6


async def by_adapter(adapter: Any) -> dict[str, Any]:
    """Greeting and two turns, with nothing but the adapter."""
    heard: list[int] = []
    understood: list[str | None] = []
    said: list[str | None] = []
    async with adapter:
        heard.append(await answer(adapter))
        said.append(adapter.last_agent_transcript)
        for words in LINES:
            await adapter.send_audio(voice(0.8, words))
            heard.append(await answer(adapter))
            understood.append(adapter.last_user_transcript)
            said.append(adapter.last_agent_transcript)
    return {"heard": heard, "understood": understood, "said": said}


async def by_executor(adapter: Any) -> dict[str, Any]:
    """The same in a scenario that is run by its executor; the user's turns are scripted."""
    script: list[Any] = [scenario.agent()]
    for words in LINES:
        script += [scenario.message(create_audio_message(voice(0.8, words))), scenario.agent()]
    result = await scenario.run(
        name="opening hours",
        description="Somebody asks when it is open.",
        agents=[adapter, Caller()],
        script=[*script, scenario.succeed("all was said")],
        verbose=False,
    )
    return {
        "success": result.success,
        "reasoning": result.reasoning,
        "segments": [[part.speaker, len(part.audio), part.transcript] for part in result.audio.segments],
        "latencies": result.latency.measurements,
        "understood": adapter.last_user_transcript,
        "said": adapter.last_agent_transcript,
    }


class Caller(scenario.AgentAdapter):
    """The user, whose lines are all in the script."""

    role = scenario.AgentRole.USER

    async def call(self, input: scenario.AgentInput) -> scenario.AgentReturnTypes:  # noqa: A002
        raise AssertionError("the script says it all")


async def play(whose: str, plays: list[str], server: str, agent_id: str, key: str) -> dict[str, Any]:
    """All of them at once: by name, what was noticed."""
    courses: dict[str, Any] = {}

    async def one(name: str) -> None:
        what, mode, way, commit = name.split("/")
        adapter = adapter_for(whose if whose == "theirs" else mode, way, server, agent_id, key, commit)
        assert isinstance(adapter, VoiceAgentAdapter)
        courses[name] = await (by_adapter if what == "adapter" else by_executor)(adapter)

    async with asyncio.TaskGroup() as tasks:
        for name in plays:
            tasks.create_task(one(name))
    return courses


def main(whose: str, server: str, agent_id: str, key: str, *plays: str) -> None:
    """Play, and print."""
    warnings = Warnings()
    logging.getLogger().addHandler(warnings)
    transcriber = Transcriber()
    set_stt_provider(transcriber)
    courses = asyncio.run(play(whose, list(plays), server, agent_id, key))
    known = {"warnings": warnings.lines, "transcriptions": transcriber.asked, "antiphon": "antiphon" in sys.modules}
    print("COURSES", json.dumps(known | {"plays": courses}))


if __name__ == "__main__":
    main(*sys.argv[1:])
