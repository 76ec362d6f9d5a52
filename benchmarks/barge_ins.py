"""How well the record knows what was heard: random barge-ins against a simulated client that knows for certain.

The client shares no code with the ledger: a line with half a round trip of 0-200 ms each way and 0-60 ms of jitter on
every message, a player that gathers 0-100 ms before it begins, runs dry where pieces come late, and throws everything
away when the interruption arrives. Which word sounded when is known from the timings of the speech: of espeak-ng for
texts in fourteen languages (spoken_texts.json), and of made-up words with made-up pauses. A word was heard if half of
it sounded.

First the ledger alone, with pieces as the dialogue cuts and paces them; then whole calls through `simulation.call`,
where four consumers have to tell the same: the correction event, the model's context, the stored record and the
recording.

    python -m benchmarks.barge_ins [--barge-ins 10000] [--calls 200] [--seed 1] [--speak]

`--speak` makes spoken_texts.json anew. What this does not show: clients whose buffer is larger than 100 ms, and voices
that give no timings and do not speak evenly (that row is an estimate with an error of its own).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from array import array
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from antiphon.agents.config import AgentConfig
from antiphon.audio.formats import parse_format
from antiphon.dialogue.clauses import ClauseSplitter
from antiphon.dialogue.speech import CHUNK, LEAD, Clause, Message, Piece
from antiphon.engines.base import EngineContext, Request, Speech, closing
from antiphon.engines.registry import Registry
from antiphon.protocol import events as ev
from antiphon.record.document import conversation_document
from antiphon.record.recording import Recording
from antiphon.session.engines import load_engines
from antiphon.session.session import Session
from antiphon.simulation.call import BargeIn, HangUp, Speak, hold
from antiphon.simulation.loop import run
from antiphon.simulation.player import Line, Player
from antiphon.turns.playback import Playback

TEXTS = Path(__file__).with_name("spoken_texts.json")
RATE = 16_000
GAP = 0.2
"How often the sending is held up somewhere in the middle."

# --------------------------------------------------------------------------------------------- speech with its timing


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text as speech: when each of its characters sounds, for how long."""

    language: str
    text: str
    seconds: float
    starts: Sequence[float]
    durations: Sequence[float]

    def words(self) -> list[tuple[float, float, int]]:
        """(begin, end, index of its last letter) of every word; of Japanese and Chinese, of every character."""
        whole = r"[^\W_]" if self.language in ("ja", "cmn") else r"\S+"
        words: list[tuple[float, float, int]] = []
        for match in re.finditer(whole, self.text):
            letters = [i for i in range(*match.span()) if self.text[i].isalnum()]
            if letters:
                first, last = letters[0], letters[-1]
                words.append((self.starts[first], self.starts[last] + self.durations[last], last))
        return words

    def part(self, begin: int, end: int) -> Speech:
        """What a voice makes of a part of it: silence, with the timing."""
        start, last = self.starts[begin], end
        while end < len(self.text) and self.text[end].isspace():
            end += 1  # a pause belongs to what is before it
        until = self.starts[end] if end < len(self.text) else self.seconds
        return Speech(
            bytes(2 * round((until - start) * RATE)),
            list(self.text[begin:last]),
            [at - start for at in self.starts[begin:last]],
            self.durations[begin:last],
        )


def spoken_texts() -> list[Spoken]:
    """As espeak-ng spoke them."""
    return [Spoken(**one) for one in json.loads(TEXTS.read_text(encoding="utf-8"))]


def made_up(rng: random.Random) -> Spoken:
    """Words of a length and pauses that nobody would think of, at 60 to 90 ms a letter."""
    text, starts, durations, at = "", list[float](), list[float](), 0.0
    for _ in range(rng.randint(3, 25)):
        word = "".join(rng.choices("abcdefghiklmnoprstuvw", k=max(2, round(rng.gauss(5, 2.5)))))
        each = rng.uniform(0.06, 0.09)
        pause, after = (rng.uniform(0.1, 0.4), rng.choice(",.;")) if rng.random() < 0.15 else (0.0, "")
        for char in word:
            text, at = text + char, at + each
            starts.append(at - each)
            durations.append(each)
        for char in after + " ":
            text += char
            starts.append(at)
            durations.append(pause / (len(after) + 1))
            at += pause / (len(after) + 1)
    return Spoken("made up", text, at, starts, durations)


# ------------------------------------------------------------------------------------------------------ the ledger


def pieces(spoken: Spoken, message: Message, *, timed: bool) -> Iterable[Piece]:
    """The pieces that leave, as the dialogue cuts them: clause by clause."""
    splitter = ClauseSplitter()
    output = parse_format("pcm_16000")
    begin = 0
    for number, text in enumerate([*splitter.push(spoken.text), *splitter.flush()]):
        end = begin + len(text)
        if text.strip():
            clause = Clause(number, text, message, begin, RATE, output)
            lead = text.index(text.strip())
            speech = spoken.part(begin + lead, begin + lead + len(text.strip()))
            clause.add(speech if timed else Speech(speech.audio))
            clause.finish()
            while not clause.empty:
                yield clause.take()
        begin = end


def barge_in(spoken: Spoken, rng: random.Random, *, timed: bool) -> tuple[int, int]:
    """One of them: (words that were heard, words that the ledger says were)."""
    message = Message()
    message.write(spoken.text)
    round_trip = rng.uniform(0.0, 0.2)
    line = Line(round_trip, 0.06, rng)
    player = Player(buffer=rng.uniform(0.0, 0.1))
    moment = rng.uniform(0.0, spoken.seconds)
    held_up_at = rng.uniform(0.0, spoken.seconds) if rng.random() < GAP else None
    now = ends_at = 0.0
    for number, piece in enumerate(pieces(spoken, message, timed=timed)):
        now = max(now, ends_at + CHUNK - LEAD) if number else 0.0
        if held_up_at is not None and ends_at >= held_up_at:
            now, held_up_at = now + rng.uniform(0.05, 1.0), None
        if now >= moment:
            break
        at = max(now, ends_at)
        message.playback.sent(piece.seconds, at, piece.marks)
        ends_at = at + piece.seconds
        player.receive(line.carry(now), piece.seconds, number)
    player.interrupt(line.carry(moment))
    words = spoken.words()
    heard = message.playback.heard(moment)
    told = sum(last < heard for _, _, last in words)
    return sum((begin + end) / 2 <= player.seconds for begin, end, _ in words), told


@dataclass(slots=True)
class Score:
    """What came of many."""

    errors: list[int] = field(default_factory=list[int])

    @property
    def exact(self) -> float:
        """Share without an error."""
        return sum(error == 0 for error in self.errors) / len(self.errors)

    @property
    def close(self) -> float:
        """Share that is off by a word at most."""
        return sum(abs(error) <= 1 for error in self.errors) / len(self.errors)

    @property
    def bias(self) -> float:
        """Words too many, on average."""
        return sum(self.errors) / len(self.errors)


def scores(count: int, seed: int) -> dict[str, Score]:
    """`count` barge-ins with timings, and as many without."""
    rng = random.Random(seed)
    texts = spoken_texts()
    found: dict[str, Score] = {}
    for timed in (True, False):
        suffix = "" if timed else ", no timings"
        for _ in range(count):
            spoken = rng.choice(texts) if rng.random() < 0.75 else made_up(rng)
            heard, told = barge_in(spoken, rng, timed=timed)
            for name in ("all", spoken.language):
                found.setdefault(name + suffix, Score()).errors.append(told - heard)
    return found


# ------------------------------------------------------------------------------------------------------ whole calls


class TimedVoice:
    """Speaks texts of the catalogue with their timings; every sample says how many samples came before it."""

    sample_rate = RATE

    def __init__(self, spoken: Spoken) -> None:
        self._spoken = spoken
        self._made = 0

    async def prepare(self) -> None:
        """Nothing to load."""

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        """A word or two at a time."""
        begin = self._spoken.text.find(text)
        if begin < 0:
            yield Speech(bytes(2 * RATE // 2))  # the sound of anything else is silent
            return
        whole = self._spoken.part(begin, begin + len(text))
        samples = len(whole.audio) // 2
        values = array("h", (1 + (self._made + index) // 8 for index in range(samples)))
        self._made += samples
        yield Speech(values.tobytes(), whole.chars, whole.starts, whole.durations)

    async def aclose(self) -> None:
        """Nothing to free."""


class Reader:
    """The scripted model, and what it was given to read."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.requests: list[Request] = []

    async def prepare(self) -> None:
        """Nothing to check."""

    async def reply(self, request: Request) -> AsyncGenerator[Any]:
        """As the script has it."""
        self.requests.append(request)
        async with closing(self._model.reply(request)) as thoughts:
            async for thought in thoughts:
                yield thought

    async def aclose(self) -> None:
        """Nothing to free."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """What four consumers of the ledger say was heard of one message."""

    correction: str
    context: str
    record: str
    ledger: float
    "Seconds that sounded, as the ledger has it..."
    recording: float
    "...and that can be heard on the agent's track."

    @property
    def agree(self) -> bool:
        """They all say the same, the recording to the sample."""
        same = self.correction == self.context == self.record
        return same and abs(self.ledger - self.recording) < 1.5 / RATE


async def call_with_barge_in(spoken: Spoken, into: float, chunk: float) -> Accounts | None:
    """One call that is cut off `into` seconds into an answer; None: the answer was over by then."""
    registry = Registry()
    readers: list[Reader] = []

    def reader(options: Mapping[str, Any], context: EngineContext) -> Reader:
        rules = [{"when": "go", "say": spoken.text}, {"say": "Very well."}]
        readers.append(Reader(Registry().create("llm", "scripted", {"rules": rules}, context)))
        return readers[-1]

    registry.add("llm", "reader", reader)
    registry.add("tts", "timed", lambda _options, _context: TimedVoice(spoken))
    engines = {
        "llm": {"engine": "reader"},
        "tts": {"engine": "timed"},
        "stt": {"engine": "scripted", "lines": ["go", "stop it now please"]},
        "vad": {"engine": "energy"},
    }
    document = {"conversation_config": {"agent": {"first_message": ""}, "antiphon": engines}}
    agent = AgentConfig.parse(document, agent_id="benchmark")
    loaded = await load_engines(agent, registry, models={})
    script = [Speak(0.5), BargeIn(0.9, into=into), HangUp(2.5)]
    recording = Recording(RATE)
    with ledgers_asked() as sounded:
        call = await hold(agent, loaded, script, chunk=chunk, recording=recording)
    answers = [event for event in call.events(ev.AgentResponse) if event.text == spoken.text.strip()]
    if not call.events(ev.Interruption) or not answers:
        return None
    corrected = {event.event_id: event.corrected for event in call.events(ev.AgentResponseCorrection)}
    turns = conversation_document(call.journal)["transcript"]
    context = [message.text for message in readers[0].requests[-1].messages if message.role == "assistant"]
    return Accounts(
        correction=corrected.get(answers[0].event_id, answers[0].text),
        context=context[0] if context else "",
        record=next((turn["message"] for turn in turns if turn["role"] == "agent"), ""),
        ledger=sum(sounded),
        recording=sum(value != 0 for value in array("h", recording.tracks()[1])) / RATE,
    )


@contextmanager
def ledgers_asked() -> Generator[list[float]]:
    """Seconds that have sounded of each message that is cut off, as its ledger has it; the call shows only words."""
    ledgers, sounded = list[Playback](), list[float]()
    sent, hush = Playback.sent, Session.hush

    def keep(ledger: Playback, *args: Any, **kwargs: Any) -> float:
        if ledger.started_at is None:
            ledgers.append(ledger)
        return sent(ledger, *args, **kwargs)

    def ask(session: Session, at: float) -> None:
        sounded.extend(ledger.cut(at).seconds for ledger in ledgers)
        ledgers.clear()
        hush(session, at)

    with patch.object(Playback, "sent", keep), patch.object(Session, "hush", ask):
        yield sounded


async def agreement(count: int, seed: int) -> list[Accounts]:
    """Calls that are cut off somewhere."""
    rng = random.Random(seed)
    texts = [spoken for spoken in spoken_texts() if spoken.seconds > 1.5]
    found: list[Accounts] = []
    while len(found) < count:
        spoken = rng.choice(texts)
        into = rng.uniform(0.0, spoken.seconds - 0.5)
        accounts = await call_with_barge_in(spoken, into, rng.choice((0.02, 0.1, 0.25)))
        if accounts is not None:
            found.append(accounts)
    return found


# --------------------------------------------------------------------------------------------------------- figures


async def speak() -> None:
    """Have the texts of spoken_texts.json spoken anew."""
    lines: list[str] = []
    for one in spoken_texts():
        language = {"cmn": "zh"}.get(one.language, one.language)
        voice = Registry().create("tts", "espeak", {}, EngineContext(language=language))
        await voice.prepare()
        at, starts, durations = 0.0, list[float](), list[float]()
        async for speech in voice.speak(one.text):
            starts.extend(round(at + start, 4) for start in speech.starts)
            durations.extend(round(duration, 4) for duration in speech.durations)
            at += len(speech.audio) / (2 * voice.sample_rate)
        await voice.aclose()
        body = {"language": one.language, "text": one.text, "seconds": round(at, 4)}
        lines.append(json.dumps({**body, "starts": starts, "durations": durations}, ensure_ascii=False))
    TEXTS.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--barge-ins", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speak", action="store_true", help="make spoken_texts.json anew")
    arguments = parser.parse_args()
    if arguments.speak:
        asyncio.run(speak())
    began = time.perf_counter()
    print(f"{'speech':<24}{'barge-ins':>10}{'exact':>9}{'<= 1 word':>11}{'bias':>9}")
    for name, score in scores(arguments.barge_ins, arguments.seed).items():
        figures = f"{score.exact:>9.2%}{score.close:>11.2%}{score.bias:>+9.3f}"
        print(f"{name:<24}{len(score.errors):>10}{figures}")
    accounts = run(agreement(arguments.calls, arguments.seed))
    agreed = sum(one.agree for one in accounts)
    print(f"correction, context, record and recording agree in {agreed} of {len(accounts)} calls")
    print(f"{time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
