"""Voices in a row: the next one speaks when one fails, and goes on where it is known what was said."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import msgspec

from antiphon.audio.convert import Resampler
from antiphon.engines.base import Speech, TextToSpeech
from antiphon.errors import ConfigError, EngineError

from .progress import COOL_DOWN, Order, progress

FIRST_SOUND = 3.0
"Seconds to the first sound of a clause, as long as there is another voice to ask."

PATIENCE = 10.0
"Seconds to the first sound of the last voice there is."

GAP = 3.0
"Seconds between two pieces of a clause."


class TextToSpeechCascade:
    """Speaks with the first voice; when that errors or stalls, with the next, at the first one's sample rate.

    A clause that breaks off after it has begun to sound is finished by the next voice from the beginning of the word
    that the alignment had reached. Without an alignment nobody knows what was said, and EngineError is raised. With a
    single voice the cascade holds the limits alone.
    """

    def __init__(
        self,
        voices: Sequence[TextToSpeech],
        names: Sequence[str],
        *,
        first_sound: float = FIRST_SOUND,
        patience: float = PATIENCE,
        gap: float = GAP,
        cool_down: float = COOL_DOWN,
    ) -> None:
        if not voices or len(voices) != len(names):
            raise ValueError("a cascade needs voices, and a name for each")
        self._voices = voices
        self._names = names
        self._first_sound = first_sound
        self._patience = patience
        self._gap = gap
        self._order = Order(names, cool_down)

    @property
    def sample_rate(self) -> int:
        """Of the first voice; the others are converted to it."""
        return self._voices[0].sample_rate

    async def prepare(self) -> None:
        """Prepare every voice. A fallback that cannot be is logged and asked only when all else has failed."""
        await self._voices[0].prepare()
        for index, voice in enumerate(self._voices[1:], 1):
            try:
                await voice.prepare()
            except (ConfigError, EngineError) as error:
                self._order.failed(index, EngineError(self._names[index], str(error)))

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        """One clause. Raises EngineError: no voice could say it, or one broke off without saying where."""
        order = self._order.now()
        failure: EngineError | None = None
        said = 0
        for place, index in enumerate(order):
            name, voice = self._names[index], self._voices[index]
            begin = _word_start(text, said)
            repeated = said - begin
            sounded = False
            resampler = Resampler(voice.sample_rate, self.sample_rate)
            limit = self._patience if place == len(order) - 1 else self._first_sound
            try:
                async with progress(name, voice.speak(text[begin:])) as pieces:
                    while (speech := await pieces.next(self._gap if sounded else limit)) is not None:
                        sounded = True
                        self._order.works(index)
                        repeated, speech = _without(repeated, speech)
                        said += len("".join(speech.chars))
                        if audio := resampler.resample(speech.audio):
                            speech = msgspec.structs.replace(speech, audio=audio)
                        yield speech
                if audio := resampler.flush():
                    yield Speech(audio)
            except EngineError as error:
                self._order.failed(index, error)
                if sounded and not said:
                    raise
                failure = error
            else:
                return
        assert failure is not None, "there is at least one voice"
        raise failure

    async def aclose(self) -> None:
        """Free every voice."""
        for voice in self._voices:
            await voice.aclose()


def _word_start(text: str, at: int) -> int:
    """Where the word begins that `at` stands in; `at` itself between words."""
    if at >= len(text) or text[at].isspace():
        return at
    return max((index + 1 for index in range(at) if text[index].isspace()), default=0)


def _without(count: int, speech: Speech) -> tuple[int, Speech]:
    """The piece with its first characters' timings left out: they are said for the second time. And how many remain."""
    drop = min(count, len(speech.chars))
    if not drop:
        return count, speech
    kept = msgspec.structs.replace(
        speech, chars=speech.chars[drop:], starts=speech.starts[drop:], durations=speech.durations[drop:]
    )
    return count - drop, kept
