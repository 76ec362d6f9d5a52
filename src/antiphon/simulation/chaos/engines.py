"""The engine `chaos`: any other engine, with faults. Registered for language models, speech-to-text and text-to-speech.

    {"engine": "chaos", "of": {"engine": "openai", "model": "..."}, "seed": 7,
     "faults": {"stall": 0.1, "dribble": 0.1, "429": 0.1, "jitter": 0.3, "drop": 0.05, "reorder": 0.05}}

Every call draws what befalls it from the seed and its own number (faults.py): a reply of the model, a clause of the
voice, an utterance that is recognised. With the same calls, the same happens again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec

from antiphon.engines.base import (
    EngineContext,
    LanguageModel,
    Recognition,
    Request,
    Speech,
    SpeechToText,
    TextDelta,
    TextToSpeech,
    Thought,
    Transcript,
    closing,
)
from antiphon.engines.registry import Factory, Kind, Registry
from antiphon.errors import ConfigError

from .faults import Fault, check, draw, suffer

CRUMB = 0.3
"Seconds between two crumbs of a dribbling model."


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the engine is configured with."""

    of: dict[str, Any]
    "The engine behind it, with its options."
    seed: int = 0
    faults: dict[str, float] = {}
    "How likely each is to befall a call."
    engine: str = "chaos"


def factory(kind: Kind, registry: Registry) -> Factory:
    """The factory of the engine `chaos` for one kind, with the engines of `registry` behind it."""

    def create(options: Mapping[str, Any], context: EngineContext) -> Any:
        path = f"conversation_config.antiphon.{kind}"
        try:
            parsed = msgspec.convert(dict(options), Options)
        except msgspec.ValidationError as error:
            raise ConfigError(str(error), path=path) from error
        check(parsed.faults, f"{path}.faults")
        inner = dict(parsed.of)
        name = inner.pop("engine", None)
        if not isinstance(name, str):
            raise ConfigError("the engine behind it should be named", path=f"{path}.of")
        return _KINDS[kind](registry.create(kind, name, inner, context), parsed)

    return create


def create_language_model(options: Mapping[str, Any], context: EngineContext) -> ChaoticLanguageModel:
    """Factory of the engine `llm: chaos`."""
    return factory("llm", _installed())(options, context)


def create_speech_to_text(options: Mapping[str, Any], context: EngineContext) -> ChaoticSpeechToText:
    """Factory of the engine `stt: chaos`."""
    return factory("stt", _installed())(options, context)


def create_text_to_speech(options: Mapping[str, Any], context: EngineContext) -> ChaoticTextToSpeech:
    """Factory of the engine `tts: chaos`."""
    return factory("tts", _installed())(options, context)


@cache
def _installed() -> Registry:
    return Registry()


class _Dice:
    """Counts the calls."""

    def __init__(self, options: Options, kind: str) -> None:
        self._options = options
        self._kind = kind
        self._calls = 0

    def throw(self) -> Fault:
        self._calls += 1
        return draw(self._options.faults, self._options.seed, self._kind, self._calls)


class ChaoticLanguageModel:
    """A model whose answers may stall, dribble, fail."""

    def __init__(self, model: LanguageModel, options: Options) -> None:
        self._model = model
        self._dice = _Dice(options, "llm")

    async def prepare(self) -> None:
        """Prepare the model."""
        await self._model.prepare()

    async def reply(self, request: Request) -> AsyncGenerator[Thought]:
        """The model's answer, as the fault leaves it."""
        async with closing(suffer(self._model.reply(request), self._dice.throw(), "llm", _text_crumbs)) as thoughts:
            async for thought in thoughts:
                yield thought

    async def aclose(self) -> None:
        """Free the model."""
        await self._model.aclose()


def _text_crumbs(thought: Thought) -> Iterable[tuple[Thought, float]]:
    if not isinstance(thought, TextDelta):
        return [(thought, CRUMB)]
    return [(TextDelta(thought.text[at : at + 3]), CRUMB) for at in range(0, len(thought.text), 3)]


class ChaoticTextToSpeech:
    """A voice whose clauses may stall, dribble, fail."""

    def __init__(self, voice: TextToSpeech, options: Options) -> None:
        self._voice = voice
        self._dice = _Dice(options, "tts")
        self.sample_rate = voice.sample_rate

    async def prepare(self) -> None:
        """Prepare the voice."""
        await self._voice.prepare()
        self.sample_rate = self._voice.sample_rate

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        """The voice's clause, as the fault leaves it."""
        async with closing(suffer(self._voice.speak(text), self._dice.throw(), "tts", self._crumbs)) as pieces:
            async for speech in pieces:
                yield speech

    def _crumbs(self, speech: Speech) -> Iterable[tuple[Speech, float]]:
        """A character at a time where they have timings, else 50 ms; each twice as late as it is long."""
        total = len(speech.audio) // 2
        cuts = [round(start * self.sample_rate) for start in speech.starts]
        cuts = [*(cuts or range(0, total, max(1, self.sample_rate // 20))), total]
        cuts[0] = 0
        begins: list[int] = []
        for index in range(len(cuts) - 1):
            if not begins or cuts[index] > cuts[begins[-1]]:
                begins.append(index)
        while len(begins) > 1 and cuts[begins[-1]] == total:
            begins.pop()  # a character without sound goes with another
        for begin, end in pairwise([*begins, len(cuts) - 1]):
            chars = range(begin, end) if speech.chars else range(0)
            crumb = Speech(
                speech.audio[2 * cuts[begin] : 2 * cuts[end]],
                [speech.chars[char] for char in chars],
                [(cuts[char] - cuts[begin]) / self.sample_rate for char in chars],
                [speech.durations[char] for char in chars],
            )
            yield crumb, len(crumb.audio) / self.sample_rate

    async def aclose(self) -> None:
        """Free the voice."""
        await self._voice.aclose()


class ChaoticSpeechToText:
    """A recogniser whose transcripts may be late, lost, or followed by none."""

    def __init__(self, recogniser: SpeechToText, options: Options) -> None:
        self._recogniser = recogniser
        self._options = options

    async def prepare(self) -> None:
        """Prepare the recogniser."""
        await self._recogniser.prepare()

    def stream(self) -> AbstractAsyncContextManager[ChaoticRecognition]:
        """One caller's stream."""
        return self._stream()

    @asynccontextmanager
    async def _stream(self) -> AsyncGenerator[ChaoticRecognition]:
        async with self._recogniser.stream() as recognition:
            yield ChaoticRecognition(recognition, _Dice(self._options, "stt"))

    async def aclose(self) -> None:
        """Free the recogniser."""
        await self._recogniser.aclose()


class ChaoticRecognition:
    """One caller's utterances, each with its own fault."""

    def __init__(self, recognition: Recognition, dice: _Dice) -> None:
        self._recognition = recognition
        self._dice = dice
        self.feed = recognition.feed
        self.finish = recognition.finish
        self.discard = recognition.discard

    async def transcripts(self) -> AsyncGenerator[Transcript]:
        """One utterance after another. Only partial transcripts are lost or swapped: a final one is answered for."""
        async with closing(self._recognition.transcripts()) as transcripts:
            final: Transcript | None = None
            while final is None or final.final:
                final = None
                utterance = _Utterance(transcripts)
                async with closing(suffer(utterance.partials(), self._dice.throw(), "stt", _whole)) as partials:
                    async for partial in partials:
                        yield partial
                final = utterance.final
                if final is None:
                    return
                yield final


class _Utterance:
    """The partial transcripts of one utterance; then `final`, None at the end of the stream."""

    def __init__(self, transcripts: AsyncIterator[Transcript]) -> None:
        self._transcripts = transcripts
        self.final: Transcript | None = None

    async def partials(self) -> AsyncGenerator[Transcript]:
        async for transcript in self._transcripts:
            if transcript.final:
                self.final = transcript
                return
            yield transcript


def _whole(transcript: Transcript) -> Iterable[tuple[Transcript, float]]:
    return [(transcript, CRUMB)]


_KINDS: Mapping[Kind, Callable[[Any, Options], Any]] = {
    "llm": ChaoticLanguageModel,
    "stt": ChaoticSpeechToText,
    "tts": ChaoticTextToSpeech,
}
