"""Recognisers in a row: the next one takes a caller over when one fails, and is given what was being said again."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from antiphon.engines.base import SAMPLE_RATE, Guessing, Interjected, Recognition, SpeechToText, Transcript
from antiphon.errors import ConfigError, EngineError

from .progress import COOL_DOWN, Order, Progress, progress

logger = logging.getLogger(__name__)

FINAL = 8.0
"Seconds from the end of an utterance to its final transcript."

OPENING = 5.0
"Seconds that opening a caller's stream may take, and closing one that failed."

REPLAYED = 60.0
"Seconds of the utterances under way that the next recogniser is given: the newest ones."


@dataclass(slots=True)
class _Utterance:
    """What was fed of one utterance, so that another recogniser can hear it too."""

    audio: deque[bytes] = field(default_factory=deque[bytes])
    size: int = 0
    due: float | None = None
    "When its final transcript has to be there; None: it is not finished."
    over_agent: bool = False
    "It began while the agent spoke."

    def feed(self, audio: bytes) -> None:
        self.audio.append(audio)
        self.size += len(audio)
        while len(self.audio) > 1 and self.size > REPLAYED * SAMPLE_RATE * 2:
            self.size -= len(self.audio.popleft())


class SpeechToTextCascade:
    """Hears with the first recogniser that works; each caller's stream falls back by itself.

    A recogniser is replaced whose stream cannot be opened, that raises EngineError or ends, or whose final transcript
    does not come within `final` seconds. The next one hears the utterance under way from its beginning (its newest
    minute), and those that were finished and not answered. Every `finish()` is answered once, whoever answers.
    """

    def __init__(
        self,
        recognisers: Sequence[SpeechToText],
        names: Sequence[str],
        *,
        final: float = FINAL,
        opening: float = OPENING,
        cool_down: float = COOL_DOWN,
    ) -> None:
        if not recognisers or len(recognisers) != len(names):
            raise ValueError("a cascade needs recognisers, and a name for each")
        self._recognisers = recognisers
        self._names = names
        self._final = final
        self._opening = opening
        self._order = Order(names, cool_down)

    @property
    def sure_after(self) -> float:
        """Of the agent's own recogniser (base.Guessing); 0 where it says nothing of it."""
        first = self._recognisers[0]
        return first.sure_after if isinstance(first, Guessing) else 0.0

    async def prepare(self) -> None:
        """Prepare every recogniser. A fallback that cannot be is logged and asked only when all else has failed."""
        await self._recognisers[0].prepare()
        for index, recogniser in enumerate(self._recognisers[1:], 1):
            try:
                await recogniser.prepare()
            except (ConfigError, EngineError) as error:
                self._order.failed(index, EngineError(self._names[index], str(error)))

    @asynccontextmanager
    async def stream(self) -> AsyncGenerator[Recognition]:
        """One caller's stream. Raises EngineError: no recogniser could open one."""
        caller = _Caller(self._recognisers, self._names, self._order, self._final, self._opening)
        async with caller:
            yield caller

    async def aclose(self) -> None:
        """Free every recogniser."""
        for recogniser in self._recognisers:
            await recogniser.aclose()


class _Caller:
    """One caller's stream, on whichever recogniser hears it now."""

    def __init__(
        self, recognisers: Sequence[SpeechToText], names: Sequence[str], order: Order, final: float, opening: float
    ) -> None:
        self._recognisers = recognisers
        self._names = names
        self._order = order
        self._final = final
        self._opening = opening
        self._left: list[int] = order.now()
        "Recognisers not yet tried since the last that worked, in order."
        self._index = self._left[0]
        self._context: AbstractAsyncContextManager[Recognition] | None = None
        self._recognition: Recognition | None = None
        self._finished: deque[_Utterance] = deque()
        "Those whose final transcript is due. As many as the turns that are waited for: one, in a conversation."
        self._current = _Utterance()
        self._limit: asyncio.Timeout | None = None
        "Of the wait for the next transcript, while there is one."
        self._fault: EngineError | None = None
        "Of a recogniser that failed while it was fed."

    # ------------------------------------------------------------------------------------------ the caller's side

    def feed(self, audio: bytes) -> None:
        """To the recogniser, and kept."""
        self._current.feed(audio)
        self._tell(lambda recognition: recognition.feed(audio))

    def over_agent(self) -> None:
        """To the recogniser, if it wants to know (base.Interjected)."""
        self._current.over_agent = True
        self._tell(_interjected)

    def finish(self) -> None:
        """To the recogniser, with a limit."""
        self._current.due = asyncio.get_running_loop().time() + self._final
        self._finished.append(self._current)
        self._current = _Utterance()
        if self._fault is None:
            self._wait_until(self._finished[0].due)
        self._tell(lambda recognition: recognition.finish())

    def discard(self) -> None:
        """To the recogniser; what was kept is forgotten."""
        self._current = _Utterance()
        self._tell(lambda recognition: recognition.discard())

    def _tell(self, what: Callable[[Recognition], None]) -> None:
        """Nobody may hear just now: whoever comes next is told everything again."""
        if self._recognition is None or self._fault is not None:
            return
        try:
            what(self._recognition)
        except EngineError as error:
            self._fault = error
            self._wait_until(asyncio.get_running_loop().time())

    def _wait_until(self, when: float | None) -> None:
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(when)

    async def transcripts(self) -> AsyncGenerator[Transcript]:
        """Of whoever hears. Raises EngineError when there is nobody left."""
        while True:
            recognition = self._recognition
            if recognition is None:  # a reader that comes again after everybody failed
                raise EngineError(self._names[self._index], "no recogniser is left")
            try:
                async with progress(self._names[self._index], recognition.transcripts()) as items:
                    while (transcript := await self._next(items)) is not None:
                        if transcript.final:
                            if not self._finished:
                                continue  # answered before, by the recogniser that was replaced
                            self._answered()
                        yield transcript
                raise EngineError(self._names[self._index], "no more transcripts come")
            except EngineError as error:
                await self._replace(error)

    # ----------------------------------------------------------------------------------------------- replacing

    async def __aenter__(self) -> _Caller:
        await self._open(None)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._close()

    async def _next(self, items: Progress[Transcript]) -> Transcript | None:
        """The next transcript. Raises EngineError: the recogniser failed, or a final one is late.

        The wait has no limit while nothing is due; `finish()` gives it one.
        """
        if self._fault is not None:
            raise self._fault
        try:
            async with asyncio.timeout_at(self._finished[0].due if self._finished else None) as self._limit:
                return await items.wait()
        except TimeoutError as error:
            message = f"no final transcript within {self._final:g} s"
            late = EngineError(self._names[self._index], message, retryable=True)
            raise (self._fault or late) from error
        finally:
            self._limit = None

    def _answered(self) -> None:
        self._finished.popleft()
        self._order.works(self._index)
        self._left = [index for index in self._order.now() if index != self._index]

    async def _replace(self, error: EngineError) -> None:
        self._order.failed(self._index, error)
        await self._close()
        await self._open(error)

    async def _open(self, failure: EngineError | None) -> None:
        """Have the next recogniser hear, from the oldest utterance that is not answered. Raises EngineError."""
        while self._left:
            self._index = self._left.pop(0)
            name = self._names[self._index]
            context = self._recognisers[self._index].stream()
            try:
                async with asyncio.timeout(self._opening):
                    recognition = await context.__aenter__()
            except EngineError as error:
                failure = error
            except TimeoutError as error:
                failure = EngineError(name, f"no stream within {self._opening:g} s", retryable=True)
                failure.__cause__ = error
            else:
                self._context, self._recognition, self._fault = context, recognition, None
                self._replay()
                return
            self._order.failed(self._index, failure)
        assert failure is not None, "there is at least one recogniser"
        raise failure

    def _replay(self) -> None:
        due = asyncio.get_running_loop().time() + self._final
        for utterance in self._finished:
            self._feed(utterance)
            self._tell(lambda recognition: recognition.finish())
            utterance.due = due
        self._feed(self._current)

    def _feed(self, utterance: _Utterance) -> None:
        if utterance.audio:
            self._tell(lambda recognition: recognition.feed(b"".join(utterance.audio)))
        if utterance.over_agent:
            self._tell(_interjected)

    async def _close(self) -> None:
        context, self._context, self._recognition = self._context, None, None
        if context is None:
            return
        try:
            async with asyncio.timeout(self._opening):
                await context.__aexit__(None, None, None)
        except (EngineError, TimeoutError) as error:
            logger.warning("a recogniser did not close: %s", error, extra={"engine": self._names[self._index]})


def _interjected(recognition: Recognition) -> None:
    if isinstance(recognition, Interjected):
        recognition.over_agent()
