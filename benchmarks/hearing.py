"""How much the built-in speech recogniser mishears: the demo's callers, and people.

Callers: lines of the demo, spoken by espeak-ng and by flite (where it is installed) over a noise floor, in calls of six
lines drawn by seed, to the demo's agent. People: the recordings of Debian's pocketsphinx-testdata whose sentences
are known, with fitting phrasings. Strangers: sentences that have nothing to do with the agent, which it should not
believe to have understood. Engine alone, no server; sound is fed as fast as it is taken.

    python -m benchmarks.hearing [--calls 10]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import shutil
import subprocess
import tempfile
import time
from array import array
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from antiphon.audio.convert import Encoder
from antiphon.audio.formats import parse_format
from antiphon.audio.wav import read_wav
from antiphon.cli import demo
from antiphon.cli.demo.measure import distance, words
from antiphon.engines.base import EngineContext, Recognition, Scripted, SpeechToText, TextToSpeech
from antiphon.engines.registry import Registry

RECORDINGS = Path("/usr/share/pocketsphinx/test/data")
RANKS = ["ace", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "jack", "queen", "king", "lady"]
SUITS = ["clubs", "hearts", "diamonds", "spades"]
STRANGERS = (
    "the quick brown fox jumps over the lazy dog",
    "my grandmother used to bake wonderful apple pies in september",
    "quantum mechanics describes nature at the smallest scales",
    "the orchestra played beethoven until the audience fell asleep",
    "seventeen penguins marched across the frozen lake",
    "i think the engine needs a new fuel pump and some oil",
    "what a terrible storm we had during the football match",
    "she painted the kitchen green and regretted it immediately",
)

Spoken = tuple[str, bytes]
"What is said, and its sound: s16le, 16 kHz."


def telephone(rate: int, audio: bytes, seed: int) -> bytes:
    """As it arrives: 16 kHz, quiet around it, a noise floor of rms 30."""
    encoder = Encoder(rate, parse_format("pcm_16000"))
    padded = bytes(2 * 8000) + encoder.encode(audio) + encoder.flush() + bytes(2 * 8000)
    rng = random.Random(seed)
    noisy = (max(-32768, min(32767, sample + round(rng.gauss(0, 30)))) for sample in array("h", padded))
    return array("h", noisy).tobytes()


async def espeak(text: str) -> tuple[int, bytes]:
    """The voice of the demo's caller."""
    options = {"voices": {"caller": "en-us+f5"}, "rate_wpm": 150}
    voice: TextToSpeech = Registry().create("tts", "espeak", options, EngineContext(voice_id="caller"))
    try:
        return voice.sample_rate, b"".join([speech.audio async for speech in voice.speak(text)])
    finally:
        await voice.aclose()


async def flite(text: str) -> tuple[int, bytes]:
    """Another synthetic voice."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        await asyncio.to_thread(subprocess.run, ["flite", "-voice", "slt", "-t", text, "-o", file.name], check=True)
        return read_wav(file.name)


async def hear(ears: Recognition, audio: bytes) -> tuple[str, float]:
    """The transcript, and the seconds from the end of the utterance to it."""
    for begin in range(0, len(audio), 3200):
        ears.feed(audio[begin : begin + 3200])
        await asyncio.sleep(0.01)  # about ten times real time: a queue would be measured as latency
    await asyncio.sleep(0.3)
    began = time.perf_counter()
    ears.finish()
    async for transcript in ears.transcripts():
        if transcript.final:
            return transcript.text, time.perf_counter() - began
    raise AssertionError("the stream ended")


async def measure(title: str, engine: SpeechToText, calls: Sequence[Sequence[Spoken]]) -> None:
    """Each call is a caller of its own. Prints what was misheard."""
    wrong = said = first_wrong = first_said = unheard = 0
    delays: list[float] = []
    for call in calls:
        async with engine.stream() as ears:
            for index, (text, audio) in enumerate(call):
                heard, delay = await hear(ears, audio)
                errors = distance(words(text), words(heard))
                wrong, said, unheard = wrong + errors, said + len(words(text)), unheard + (not heard)
                if not index:
                    first_wrong, first_said = first_wrong + errors, first_said + len(words(text))
                delays.append(delay)
    print(
        f"{title}: {wrong} of {said} words wrong = {wrong / said:.1%} "
        f"(first utterances {first_wrong / first_said:.1%}), "
        f"{unheard} of {len(delays)} utterances not understood, "
        f"end to transcript median {median(delays) * 1000:.0f} ms, max {max(delays) * 1000:.0f} ms",
        flush=True,
    )


async def engine_for(
    phrasings: Sequence[str], texts: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> SpeechToText:
    """The recogniser of an agent."""
    context = EngineContext(phrasings=phrasings, agent_texts=texts)
    engine: SpeechToText = Registry().create("stt", "pocketsphinx", options or {}, context)
    await engine.prepare()
    return engine


async def demo_engine() -> SpeechToText:
    """That of the demo's agent, made from its file as the server makes it."""
    document = json.loads((files("antiphon.cli.demo") / "agents" / "front_desk.json").read_text(encoding="utf-8"))
    config = document["conversation_config"]
    llm = Registry().create("llm", "scripted", {"rules": config["antiphon"]["llm"]["rules"]}, EngineContext())
    assert isinstance(llm, Scripted)
    options = {name: value for name, value in config["antiphon"]["stt"].items() if name != "engine"}
    return await engine_for(llm.phrasings, [config["agent"]["first_message"], *llm.texts], options)


async def callers(calls: int) -> None:
    """The demo's lines, and strangers."""
    engine = await demo_engine()
    try:
        for name, voice in (("espeak-ng", espeak), ("flite", flite)):
            if name == "flite" and shutil.which("flite") is None:
                continue
            scripts = [[text for _, text in demo.draw_script(random.Random(seed))] for seed in range(calls)]
            spoken = [[(t, telephone(*await voice(t), seed)) for t in script] for seed, script in enumerate(scripts)]
            await measure(f"demo callers, {name}", engine, spoken)
        strangers = [[(text, telephone(*await espeak(text), 0))] for text in STRANGERS]
        await measure("strangers (should not be understood)", engine, strangers)
    finally:
        await engine.aclose()


async def people(transcription: str) -> None:
    """Recordings of people, with fitting phrasings."""
    card = "{rank} of {suit}"
    engine = await engine_for(
        [card, f"{card} {card}", f"{card} {card} {card}", "{rank} {rank} of {suit}", "{rank} {rank}"],
        options={"slots": {"rank": RANKS, "suit": SUITS}},
    )
    try:
        known = [re.fullmatch(r"<s> (.*?)\s*</s> \((\d+)\)", line.strip()) for line in transcription.splitlines()]
        spoken = [(m[1], read_wav(RECORDINGS / "cards" / f"{m[2]}.wav")[1]) for m in known if m]
        await measure("people, playing cards", engine, [spoken])
    finally:
        await engine.aclose()
    engine = await engine_for(["go forward ten meters", "go backward five meters", "turn left", "turn right", "stop"])
    try:
        audio = await asyncio.to_thread((RECORDINGS / "goforward.raw").read_bytes)
        await measure("people, robot", engine, [[("go forward ten meters", audio)]])
    finally:
        await engine.aclose()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10)
    calls: int = parser.parse_args().calls
    asyncio.run(callers(calls))
    if RECORDINGS.exists():
        asyncio.run(people((RECORDINGS / "cards" / "cards.transcription").read_text(encoding="utf-8")))
    else:
        print("people: install Debian's pocketsphinx-testdata")


if __name__ == "__main__":
    main()
