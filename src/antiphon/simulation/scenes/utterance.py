"""What a simulated caller says: its words, when each of them sounds, and the sound itself.

Speech-to-text hears the same utterances: `SpokenWords` is where the caller's side writes them down and the scene's
recogniser, an engine like any other, looks them up by the time at which they sounded.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from antiphon.audio.convert import Encoder
from antiphon.audio.formats import AudioFormat
from antiphon.engines.base import TextToSpeech, Transcript
from antiphon.simulation.call import silence, voice

PER_WORD = 0.35
"Seconds that a word takes, where the scene does not say how long the whole does."
SHORTEST = 0.5
"Seconds that an utterance of one short word takes."
_PAUSE = re.compile(r"\[\s*(\d+(?:\.\d+)?)\s*\]")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of an utterance without a pause in it, and the pause behind it."""

    text: str
    pause: float


def parts(words: str) -> list[Part]:
    """`it is [0.8] five` -> `it is` and 0.8 s, `five` and none."""
    pieces = _PAUSE.split(words)
    texts, pauses = pieces[::2], [*map(float, pieces[1::2]), 0.0]
    return [Part(" ".join(text.split()), pause) for text, pause in zip(texts, pauses, strict=True) if text or pause]


def without_pauses(words: str) -> str:
    """The words as they are shown."""
    return " ".join(_PAUSE.sub(" ", words).split())


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something to be said."""

    text: str
    "As it is shown."
    sound: bytes
    "In the client's format, pauses included."
    seconds: float
    "Length of the sound, up to its last word."
    words: tuple[tuple[float, str], ...]
    "(seconds from the beginning to its end, word) as speech-to-text hears it."


class Mouth:
    """Makes utterances in one client's format."""

    def __init__(self, audio_format: AudioFormat, tts: TextToSpeech | None) -> None:
        self._format = audio_format
        self._tts = tts

    async def utterance(self, words: str, *, seconds: float | None = None, heard_as: str | None = None) -> Utterance:
        """What `words` sound like. `seconds`: without pauses. Raises EngineError."""
        spoken = parts(words)
        count = sum(len(part.text.split()) for part in spoken)
        each = (seconds if seconds is not None else max(SHORTEST, PER_WORD * count)) / max(1, count)
        sound: list[bytes] = []
        ends: list[float] = []
        at = 0.0
        for part in spoken:
            piece = await self._sound(part.text, each * len(part.text.split()))
            length = self._format.seconds(len(piece))
            number = len(part.text.split())
            ends.extend(at + length * (index + 1) / number for index in range(number))
            sound += [piece, quiet(self._format, part.pause)]
            at += length + self._format.seconds(len(sound[-1]))
        heard = heard_words(without_pauses(words) if heard_as is None else heard_as, ends)
        return Utterance(without_pauses(words), b"".join(sound), ends[-1] if ends else 0.0, heard)

    async def _sound(self, text: str, seconds: float) -> bytes:
        if self._tts is None or not text:
            return hum(self._format, seconds)
        encoder = Encoder(self._tts.sample_rate, self._format)
        pieces = [encoder.encode(speech.audio) async for speech in self._tts.speak(text)]
        return b"".join([*pieces, encoder.flush()])


def heard_words(text: str, ends: Sequence[float]) -> tuple[tuple[float, str], ...]:
    """The words that are heard, spread over those that are said, which end at `ends`."""
    words = text.split()
    if not ends or not words:
        return ()
    last = len(ends)
    return tuple((ends[max(0, -(-(index + 1) * last // len(words)) - 1)], word) for index, word in enumerate(words))


def hum(audio_format: AudioFormat, seconds: float) -> bytes:
    """What voice activity takes for speech, of any length."""
    return _repeated(voice(audio_format, 1.0), audio_format.bytes_of(seconds))


def quiet(audio_format: AudioFormat, seconds: float) -> bytes:
    """Silence of any length."""
    return _repeated(silence(audio_format, 1.0), audio_format.bytes_of(seconds))


def _repeated(second: bytes, size: int) -> bytes:
    return (second * (size // len(second) + 1))[:size]


# -------------------------------------------------------------------------------------------------- speech-to-text


@dataclass(slots=True)
class SpokenWords:
    """What the caller has said, word by word, for the recogniser of the same call."""

    said: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    "(the clock's time at which the word was over, word), in order; some of them still to come."

    def say(self, utterance: Utterance, now: float) -> None:
        """It begins now."""
        self.said += [(now + end, word) for end, word in utterance.words]


class SceneSpeechToText:
    """Hears what the caller says, word for word, because it is told."""

    def __init__(self, words: SpokenWords, *, delay: float, partials: bool) -> None:
        self._words = words
        self._delay = delay
        self._partials = partials

    async def prepare(self) -> None:
        """Nothing to load."""

    def stream(self) -> AbstractAsyncContextManager[SceneRecognition]:
        """The call's only caller."""
        return self._stream()

    @asynccontextmanager
    async def _stream(self) -> AsyncGenerator[SceneRecognition]:
        clock = asyncio.get_running_loop().time
        yield SceneRecognition(self._words, clock, delay=self._delay, partials=self._partials)

    async def aclose(self) -> None:
        """Nothing to free."""

    def factory(self, _options: Any, _context: Any) -> SceneSpeechToText:
        """As the registry wants it."""
        return self


class SceneRecognition:
    """The words that have sounded since the last utterance."""

    def __init__(self, words: SpokenWords, clock: Callable[[], float], *, delay: float, partials: bool) -> None:
        self._words = words
        self._clock = clock
        self._delay = delay
        self._partials = partials
        self._settled = 0
        "Words that belong to earlier utterances."
        self._shown = 0
        self._queue: asyncio.Queue[Transcript] = asyncio.Queue()  # a scene's words bound it

    def feed(self, audio: bytes) -> None:
        """The sound says nothing here but that time has passed."""
        heard = self._heard()
        if self._partials and heard > max(self._shown, self._settled):
            self._shown = heard
            self._queue.put_nowait(Transcript(self._text(heard), final=False))

    def finish(self) -> None:
        """What has sounded up to now was an utterance."""
        heard = self._heard()
        self._queue.put_nowait(Transcript(self._text(heard), final=True))
        self._settled = self._shown = heard

    def discard(self) -> None:
        """What has sounded up to now is forgotten."""
        self._settled = self._shown = self._heard()

    def _heard(self) -> int:
        now = self._clock() + 1e-6
        return sum(1 for end, _ in self._words.said if end <= now)

    def _text(self, heard: int) -> str:
        return " ".join(word for _, word in self._words.said[self._settled : heard])

    async def transcripts(self) -> AsyncGenerator[Transcript]:
        """As they come."""
        while True:
            transcript = await self._queue.get()
            if transcript.final and self._delay:
                await asyncio.sleep(self._delay)
            yield transcript
