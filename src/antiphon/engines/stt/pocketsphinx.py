"""Speech-to-text by PocketSphinx: small, offline, English. Good where callers say what one can foresee.

What they may say is compiled into a small model when the agent is loaded: the agent's phrasings, its keywords and own
words, and everyday ones. An utterance that this model is not sure of is given to the large general model that comes
with PocketSphinx, which also listens alone where an agent gives neither phrasings nor keywords; when neither is sure,
the transcript is empty and the caller is asked again. What is said over the agent is read by a third model, in which
backchannels and the words that interrupt are likely: the first takes "mm-hm" for whatever the agent has sentences for.
Recognisers are processes of their own (`workers.py`).

How sure a reading is, its posterior probability tells: in the demo's domain, of 96 utterances by callers none was below
SURE, of 48 unrelated sentences none above. The large model's tells much less.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Container, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec

from antiphon.engines.base import EngineContext
from antiphon.errors import ConfigError

from .everyday import COMMON_BACKCHANNELS, INTERRUPTIONS, MURMURS, SENTENCES
from .language_model import Counts, Model, dictionary, words
from .pronunciation import pronounce, read_dictionary
from .workers import Pool, WorkerStream

PATH = "conversation_config.antiphon.stt"
PHRASING, KEYWORD, EVERYDAY, AGENT = 1.0, 0.3, 0.1, 0.05
"Weights of what the model is made from: what callers say, might say, always may say, and what they hear."
BACKCHANNEL, COMMON, INTERRUPTION = 6.0, 128.0, 96.0
"The same in the model of what they say over the agent: any backchannel, common ones, what interrupts."
PAIRS = 0.25
"Share of two backchannels in a row."

SURE = 1e-4
"Posterior probability from which a reading by an agent's own model is believed."
GENERAL_SURE = 2e-2
"The same of the large model, asked second."
GENERAL_ALONE = 1e-7
"The same where the large model is all there is: only noise falls below."


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`conversation_config.antiphon.stt` of the engine `pocketsphinx`."""

    engine: str = "pocketsphinx"
    slots: dict[str, list[str]] = {}
    'Words that may stand for each other: `{"name": ["anna", "tom"]}`. Where a phrasing has one, callers may say any.'
    pronunciations: dict[str, str] = {}
    'Phones of words that the dictionary lacks or has wrong: `{"okonkwo": "OW K AA N K W OW"}` (ARPAbet).'
    workers: Annotated[int, msgspec.Meta(ge=1)] | None = None
    "Recogniser processes; left out: one per processor."
    fallback: bool = True
    "Whether the large model is asked when the agent's own is not sure; takes about a second for a long sentence."
    patience: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    "Seconds to wait for a transcript before the process is taken for hung and replaced."


def create(options: Mapping[str, Any], context: EngineContext) -> PocketsphinxSpeechToText:
    """Factory of the engine `stt: pocketsphinx`.

    Raises:
        ConfigError: an option is wrong, the agent's language is not English, or the package is missing.
    """
    if not re.match(r"en\b", context.language.lower()):
        raise ConfigError(
            f"pocketsphinx hears English only, not {context.language!r}: change conversation_config.agent.language, or "
            "name another engine in conversation_config.antiphon.stt.engine",
            path=f"{PATH}.engine",
        )
    try:
        parsed = msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise ConfigError(message, path=PATH + where.rstrip("`")) from error
    return PocketsphinxSpeechToText(parsed, context)


SURE_AFTER = 0.75
"Seconds of speech before which its guesses are wrong too often to act upon (benchmarks/backchannels.py)."


class PocketsphinxSpeechToText:
    """One agent's recogniser."""

    sure_after = SURE_AFTER

    def __init__(self, options: Options, context: EngineContext) -> None:
        self._options = options
        self._context = context
        self._folder: Path | None = None
        self._model: dict[str, Any] = {}
        self._pool: Pool | None = None

    @property
    def model(self) -> Mapping[str, Any]:
        """What a worker opens a stream with; empty before `prepare`."""
        return self._model

    async def prepare(self) -> None:
        """Compile the model and start the workers. Raises ConfigError."""
        self._model = await asyncio.to_thread(self._compile)
        self._enter().start()

    def stream(self) -> AbstractAsyncContextManager[WorkerStream]:
        """One caller."""
        return self._stream()

    @asynccontextmanager
    async def _stream(self) -> AsyncGenerator[WorkerStream]:
        if not self._model:
            await self.prepare()
        stream = WorkerStream(self._enter(), self._model, self._options.patience)
        try:
            yield stream
        finally:
            stream.close()

    async def aclose(self) -> None:
        """Leave the workers and remove the model. The last engine of a loop ends its workers."""
        if self._pool is not None:
            self._pool.leave()
            self._pool = None
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder, self._model = None, {}

    def _enter(self) -> Pool:
        if self._pool is None:
            self._pool = Pool.enter(self._options.workers or os.cpu_count() or 1)
        return self._pool

    # -------------------------------------------------------------------------------------------------- the model

    def _compile(self) -> dict[str, Any]:
        """Write language model and dictionary; returns what a worker opens a stream with. Blocks for some 100 ms."""
        try:
            import pocketsphinx
        except ImportError as error:
            message = "PocketSphinx is missing: pip install 'antiphon[speech]'"
            raise ConfigError(message, path=f"{PATH}.engine") from error
        package: Any = pocketsphinx  # it has no types
        path_of: Callable[[str], str] = package.get_model_path
        known = path_of("en-us/cmudict-en-us.dict")
        general = {"lm": path_of("en-us/en-us.lm.bin"), "dictionary": known}
        if not self._context.phrasings and not self._context.keywords:
            return {**general, "sure": GENERAL_ALONE}
        pronunciations = read_dictionary(known) | {word: list(phones) for word, phones in MURMURS.items()}
        pronunciations |= {word.lower(): [phones] for word, phones in self._options.pronunciations.items()}
        counts, interjections = self._counts(), self._counts()
        self._add_interjections(interjections, pronunciations)
        unknown = [word for word in interjections.vocabulary if word not in pronunciations]
        pronunciations |= {word: [phones] for word, phones in (pronounce(unknown) if unknown else {}).items()}
        if silent := [word for word in unknown if word not in pronunciations]:
            raise ConfigError(
                f"the word {silent[0]!r} cannot be pronounced in English: give its phones",
                path=f"{PATH}.pronunciations",
            )
        self._folder = Path(tempfile.mkdtemp(prefix="antiphon-stt-"))
        lm, own = self._folder / "callers.arpa", self._folder / "callers.dict"
        lm.write_text(Model(counts).arpa(), encoding="utf-8")
        own.write_text(dictionary(interjections.vocabulary, pronunciations), encoding="utf-8")
        over = self._folder / "interjections.arpa" if self._context.backchannels else None
        if over is not None:
            over.write_text(Model(interjections).arpa(), encoding="utf-8")
        second = {**general, "sure": GENERAL_SURE} if self._options.fallback else None
        return {
            "lm": str(lm),
            "dictionary": str(own),
            "sure": SURE,
            "general": second,
            "interjections": str(over or ""),
        }

    def _counts(self) -> Counts:
        counts = Counts(self._options.slots)
        for sentence in self._context.phrasings:
            counts.add(sentence, PHRASING)
        for keyword in self._context.keywords:
            counts.add(keyword, KEYWORD)
        for slot in self._options.slots:
            counts.add("{" + slot + "}", KEYWORD)
        for sentence in SENTENCES:
            counts.add(sentence, EVERYDAY)
        for text in self._context.agent_texts:
            for part in re.split(r"[.!?,;:]|\{[^}]*\}", text):
                if words(part):
                    counts.add(part, AGENT)
        return counts

    def _add_interjections(self, counts: Counts, pronounceable: Container[str]) -> None:
        """Backchannels, of which there may be two in a row, and what interrupts."""
        backchannels = [b for b in self._context.backchannels if all(word in pronounceable for word in words(b))]
        common = [backchannel for backchannel in backchannels if backchannel in COMMON_BACKCHANNELS]
        for said, weight in ((backchannels, BACKCHANNEL), (common, COMMON)):
            counts.add_any(said, weight * len(said))
            counts.add_any(said, weight * len(said) * PAIRS, in_a_row=2)
        if self._context.backchannels:
            counts.add_any(INTERRUPTIONS, INTERRUPTION * len(INTERRUPTIONS))
