"""`antiphon doctor`: what works on this machine, found out by doing it, and what to install for more."""

from __future__ import annotations

import asyncio
import platform
import time
from importlib.metadata import version
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from antiphon.audio.convert import Encoder
from antiphon.audio.formats import parse_format
from antiphon.engines.base import SAMPLE_RATE, EngineContext, SpeechToText, TextToSpeech, VoiceActivityModel
from antiphon.engines.registry import KINDS, Kind, Registry
from antiphon.errors import AntiphonError

PHRASE = "what are your opening hours"
SAMPLE_OPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("llm", "scripted"): {"rules": [{"say": "Hello."}]},
    ("llm", "openai"): {"base_url": "http://127.0.0.1:9/v1", "model": "none"},
    ("stt", "scripted"): {"lines": [PHRASE]},
}
"Enough for engines to be made that cannot be without options."
PURPOSE: dict[Kind, str] = {
    "vad": "voice activity",
    "turn": "end of turn",
    "stt": "speech to text",
    "llm": "language model",
    "tts": "text to speech",
}


def doctor() -> None:
    """Try every engine that is installed, and the microphone. Exit code 0: a spoken conversation can be held here."""
    console = Console(highlight=False)
    console.print(f"antiphon {version('antiphon')}, Python {platform.python_version()}, {platform.platform()}\n")
    findings = asyncio.run(_examine(Registry()))
    table = Table(box=None, pad_edge=False)
    for heading in ("", "engine", "kind", "finding"):
        table.add_column(heading)
    for works, kind, name, finding in findings:
        table.add_row("[green]ok[/green]" if works else "[yellow]no[/yellow]", name, PURPOSE[kind], finding)
    console.print(table)
    console.print(f"\n{_sound_device()}")
    working = {kind for works, kind, name, _ in findings if works and name != "scripted"}
    missing = [PURPOSE[kind] for kind in ("vad", "stt", "llm", "tts") if kind not in working]
    if missing:
        console.print(f"\n[yellow]Missing: {', '.join(missing)}.[/yellow] pip install 'antiphon\\[all]' has all of it.")
        raise typer.Exit(1)
    console.print("\n[green]A spoken conversation can be held on this machine:[/green] try `antiphon demo`.")


Finding = tuple[bool, Kind, str, str]


async def _examine(registry: Registry) -> list[Finding]:
    findings: list[Finding] = []
    for kind in KINDS:
        for name in registry.names(kind):
            try:
                finding = await _try(registry, kind, name)
            except AntiphonError as error:
                findings.append((False, kind, name, str(error)))
            else:
                findings.append((True, kind, name, finding))
    return findings


async def _try(registry: Registry, kind: Kind, name: str) -> str:
    context = EngineContext(language="en", phrasings=[PHRASE])
    engine = registry.create(kind, name, SAMPLE_OPTIONS.get((kind, name), {}), context)
    if kind == "vad":
        return _try_vad(engine)
    if kind == "turn":
        return "can be loaded"
    began = time.perf_counter()  # noqa: TID251 - a person is told how long things take here
    await engine.prepare()
    try:
        loaded = f"ready in {(time.perf_counter() - began) * 1000:.0f} ms"  # noqa: TID251
        if kind == "tts":
            return f"{loaded}; {await _try_tts(engine)}"
        if kind == "stt" and name != "scripted":
            return f"{loaded}; {await _try_stt(registry, engine)}"
        return loaded
    finally:
        await engine.aclose()


def _try_vad(model: VoiceActivityModel) -> str:
    detector = model.stream()
    score = detector.score(bytes(2 * detector.frame_samples))
    return f"silence scores {score:.2f}"


async def _try_tts(engine: TextToSpeech) -> str:
    began = time.perf_counter()  # noqa: TID251
    first, seconds = None, 0.0
    async for speech in engine.speak(PHRASE):
        first = first or time.perf_counter() - began  # noqa: TID251
        seconds += len(speech.audio) / (2 * engine.sample_rate)
    return f"first sound after {(first or 0.0) * 1000:.0f} ms, {seconds:.1f} s spoken"


async def _try_stt(registry: Registry, engine: SpeechToText) -> str:
    """Say a sentence, hear it back."""
    try:
        voice: TextToSpeech = registry.create("tts", "espeak", {}, EngineContext(language="en", voice_id="en-us+f5"))
        await voice.prepare()
    except AntiphonError:
        return "not tried on speech: there is no voice to try it with"
    try:
        encoder = Encoder(voice.sample_rate, parse_format(f"pcm_{SAMPLE_RATE}"))
        audio = b"".join([encoder.encode(speech.audio) async for speech in voice.speak(PHRASE)])
    finally:
        await voice.aclose()
    async with engine.stream() as recognition:
        recognition.feed(bytes(SAMPLE_RATE // 2) + audio + bytes(SAMPLE_RATE // 2))
        recognition.finish()
        async for transcript in recognition.transcripts():
            if transcript.final:
                return f"heard “{transcript.text}” for “{PHRASE}”"
    return "heard nothing"


def _sound_device() -> str:
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        return f"microphone and loudspeaker: no ({error}); pip install 'antiphon[audio]', and the system's PortAudio"
    devices = sounddevice.query_devices()  # pyright: ignore[reportUnknownMemberType]
    return f"microphone and loudspeaker: {len(devices)} sound devices"
