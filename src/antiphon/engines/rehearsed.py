"""A voice that has its most urgent lines ready: what bridges a wait must not be waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence

from antiphon.engines.base import Speech, TextToSpeech, closing
from antiphon.errors import EngineError

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"Seconds that rehearsing one line may take: a voice that is slower will be asked when the line is needed."
ATTEMPTS = 6
"Times that each line is tried."
TOO_SLOW = 4
"Lines that take too long, before any did not, after which the voice is taken to be too slow for all of them."


class Rehearsed:
    """Speaks as the voice behind it; lines that were rehearsed come at once, even if that voice has failed since."""

    def __init__(self, voice: TextToSpeech) -> None:
        self._voice = voice
        self._lines: dict[str, Sequence[Speech]] = {}

    @property
    def sample_rate(self) -> int:
        """Of the voice."""
        return self._voice.sample_rate

    async def prepare(self) -> None:
        """Prepare the voice."""
        await self._voice.prepare()

    async def rehearse(self, lines: Iterable[str]) -> None:
        """Have these lines spoken beforehand. One that cannot be is logged, and tried again when it is needed."""
        wanted = list(dict.fromkeys(text for line in lines if (text := line.strip())))
        late = 0
        for _ in range(ATTEMPTS):  # every line once before any is tried again
            for text in wanted:
                if text in self._lines:
                    continue
                try:
                    async with asyncio.timeout(PATIENCE), closing(self._voice.speak(text)) as pieces:
                        self._lines[text] = [speech async for speech in pieces]
                except (EngineError, TimeoutError) as error:
                    logger.warning("a line could not be rehearsed: %s", error)
                    late += isinstance(error, TimeoutError)
                    if late >= TOO_SLOW and not self._lines:
                        return

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        """From memory, or by the voice."""
        known = self._lines.get(text.strip())
        if known:
            for speech in known:
                yield speech
            return
        async with closing(self._voice.speak(text)) as pieces:
            async for speech in pieces:
                yield speech

    async def aclose(self) -> None:
        """Free the voice."""
        await self._voice.aclose()
