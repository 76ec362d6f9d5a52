"""Text-to-speech by eSpeak NG: many languages, no network, a millisecond a word. Intelligible rather than pleasant.

The library is GPL-3.0-or-later and never loaded here: `espeak_program.py` runs it in processes of its own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from itertools import accumulate, pairwise
from typing import Any

import msgspec

from antiphon.engines.base import EngineContext, Speech, Voice
from antiphon.errors import ConfigError, EngineError

from .espeak_link import Program, ProgramError, Request, Word, command
from .espeak_voices import Installed, choose, described, offered
from .speakable import Block, blocks, is_pause

SAMPLE_RATE = 22_050
PATIENCE = 5.0
"Seconds without a sign of life after which the program is taken for hung."
SLOWEST, FASTEST = 80, 450
"Words a minute that espeak-ng can do."

SENTENCE_PAUSE, PHRASE_PAUSE, NO_PAUSE = 0.15, 0.1, 0.05
"Seconds kept after the last sound of a text that ends a sentence, ends at a comma or the like, or is to go on."
SENTENCE_ENDS = frozenset(".!?…。！？｡؟।")
PHRASE_ENDS = frozenset(",;:、，；：،؛—–")
CLOSERS = "\"'”’»)]」』 \n"
SHORTEST_PAUSE = 0.03
"Seconds of silence after a word that are a pause: punctuation and spaces are given it."


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`conversation_config.antiphon.tts`."""

    engine: str = "espeak"
    voices: dict[str, str] = {}
    "`conversation_config.tts.voice_id` -> voice of espeak-ng: `en-gb+f3`; `+f3`: that variant of the agent's language."
    rate_wpm: int = 175
    "Words a minute at `conversation_config.tts.speed` 1."
    pitch: int = 50
    "0 (low) to 99 (high); the variants differ in pitch by themselves."

    def __post_init__(self) -> None:
        if not SLOWEST <= self.rate_wpm <= FASTEST:
            raise ValueError(f"rate_wpm is {SLOWEST} to {FASTEST} words a minute, not {self.rate_wpm}")
        if not 0 <= self.pitch <= 99:
            raise ValueError(f"pitch is 0 to 99, not {self.pitch}")


def create(options: Mapping[str, Any], context: EngineContext) -> Espeak:
    """The `espeak` engine; see Options.

    Raises:
        ConfigError: an option is wrong, or espeak-ng is not installed.
    """
    try:
        parsed = msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise ConfigError(message, path="conversation_config.antiphon.tts" + where.rstrip("`")) from error
    return Espeak(command(), parsed, context)


class Espeak:
    """One voice. Its program is started when it is first needed, and again whenever it has died."""

    sample_rate = SAMPLE_RATE

    def __init__(
        self, command: list[str], options: Options, context: EngineContext, *, patience: float = PATIENCE
    ) -> None:
        self._command = command
        self._options = options
        self._context = context
        self._patience = patience
        self._rate = round(min(max(options.rate_wpm * context.speed, SLOWEST), FASTEST))
        self._voice = ""
        self._program: Program | None = None
        self._closed = False

    async def prepare(self) -> None:
        """Start the program and choose the voice.

        Raises:
            ConfigError: there is no such voice, or none for the agent's language.
            EngineError: the program does not run.
        """
        installed = await self._installed()
        if installed.sample_rate != SAMPLE_RATE:
            raise EngineError("espeak", f"its voices have {installed.sample_rate} samples a second, not {SAMPLE_RATE}")
        context = self._context
        self._voice = choose(
            installed, language=context.language, voice_id=context.voice_id, voices=self._options.voices
        )
        # The program loads a voice, and measures how loud it is, when it first speaks with it.
        async for _ in self._words(Block("1", [0], 1)):
            pass

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        """A word at a time. Yields nothing where there is nothing to say: white space, emoji, `...`.

        Markup and emoji are not spoken, but covered by the alignment. Raises EngineError.
        """
        if not self._voice:
            await self.prepare()
        done = 0
        for block in blocks(text):
            spoken = frozenset(block.sources)
            async with aclosing(self._words(block)) as words:
                async for word in words:
                    end = block.sources[word.until] if word.until < len(block.text) else block.end
                    yield _speech(word, text[done:end], [index in spoken for index in range(done, end)])
                    done = end
        if 0 < done < len(text):
            rest = text[done:]
            yield _speech(Word(bytes(2 * round(NO_PAUSE * SAMPLE_RATE)), 0, 0), rest, [False] * len(rest))

    async def voices(self) -> list[Voice]:
        """See Voiced."""
        return offered(await self._installed())

    async def voice(self, voice_id: str) -> Voice | None:
        """See Voiced: any language with any variant."""
        return described(await self._installed(), voice_id)

    async def _installed(self) -> Installed:
        program = self._running()
        try:
            return await program.installed()
        except ProgramError as error:
            raise self._failed(program, error) from error

    async def aclose(self) -> None:
        """End the program. Who is speaking gets an EngineError."""
        self._closed = True
        if self._program is not None:
            self._program.close()
            self._program = None

    async def _words(self, block: Block) -> AsyncGenerator[Word]:
        """The sound of a block. If the program dies, a new one goes on where it was: the same text sounds the same."""
        request = Request(
            text=block.text,
            voice=self._voice,
            rate=self._rate,
            pitch=self._options.pitch,
            pause=round(_pause(block.text) * SAMPLE_RATE),
        )
        given = 0
        for is_last_attempt in (False, True):
            program = self._running()
            made = 0
            try:
                async with aclosing(program.speak(request)) as words:
                    async for word in words:
                        made += 1
                        if made > given:
                            given = made
                            yield word
                return
            except ProgramError as error:
                failure = self._failed(program, error)
                if self._closed or is_last_attempt:
                    raise failure from error

    def _running(self) -> Program:
        if self._closed:
            raise EngineError("espeak", "it was closed")
        if self._program is None:
            try:
                self._program = Program(self._command, patience=self._patience)
            except OSError as error:
                raise EngineError("espeak", f"its program cannot be started: {error}", retryable=True) from error
        return self._program

    def _failed(self, program: Program, error: ProgramError) -> EngineError:
        """Make room for another program if this one is lost."""
        if error.lost:
            program.close()
            if self._program is program:
                self._program = None
        return EngineError("espeak", str(error), retryable=not self._closed)


def _pause(text: str) -> float:
    last = text.rstrip(CLOSERS)[-1:]
    return SENTENCE_PAUSE if last in SENTENCE_ENDS else PHRASE_PAUSE if last in PHRASE_ENDS else NO_PAUSE


def _speech(word: Word, text: str, spoken: list[bool]) -> Speech:
    """Give every character of `text` its time: the word's letters share its sound, what follows them its pause.

    Without a pause all share the sound. Characters that are not spoken get no time, if any others do.
    """
    samples = len(word.audio) // 2
    body = len(text)
    if word.voiced and samples - word.voiced >= SHORTEST_PAUSE * SAMPLE_RATE:
        while body and (not spoken[body - 1] or is_pause(text[body - 1])):
            body -= 1
    if body in (0, len(text)):
        shares = _shares(samples, spoken)
    else:
        shares = [*_shares(word.voiced, spoken[:body]), *_shares(samples - word.voiced, spoken[body:])]
    bounds = [min(bound, samples) / SAMPLE_RATE for bound in accumulate(shares, initial=0.0)]
    bounds[-1] = samples / SAMPLE_RATE  # whatever was lost in rounding
    return Speech(word.audio, list(text), bounds[:-1], [end - begin for begin, end in pairwise(bounds)])


def _shares(samples: int, spoken: list[bool]) -> list[float]:
    count = sum(spoken)
    if not count:
        return [samples / len(spoken)] * len(spoken)
    return [samples / count if is_spoken else 0.0 for is_spoken in spoken]
