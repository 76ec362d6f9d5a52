"""The voice: clauses -> speech -> paced audio in the client's format, with the ledger kept as each piece leaves.

Audio leaves in pieces of at most CHUNK seconds and, after the first, at most LEAD seconds before it is due: enough for
a jittery network, little enough that an interruption leaves hardly anything to take back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from antiphon.audio.convert import Encoder
from antiphon.audio.formats import AudioFormat
from antiphon.engines.base import Speech, TextToSpeech, closing
from antiphon.protocol.events import AgentAudio, Alignment
from antiphon.protocol.server import EventIds
from antiphon.record.journal import Journal
from antiphon.turns.playback import Playback

from .outbox import Outbox

CHUNK = 0.1
LEAD = 0.4
EVEN_PACE = 15.0
"Characters a second that speech is assumed to run at where the engine gives no timings."


class Voice:
    """What a conversation speaks with: one engine, one outgoing format."""

    def __init__(
        self,
        *,
        tts: TextToSpeech,
        audio_format: AudioFormat,
        outbox: Outbox,
        ids: EventIds,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        self.tts = tts
        self.audio_format = audio_format
        self.outbox = outbox
        self.ids = ids
        self.journal = journal
        self.clock = clock

    async def say(self, text: str, start: int, playback: Playback, mark: Callable[[str], None]) -> None:
        """Speak one clause to its end; returns when its last piece has left, up to LEAD seconds before it sounds.

        `start`: where the clause stands in `playback.text`. `mark` is told `tts` at the first sound and `output` when
        that has been handed over. Raises EngineError.
        """
        spoken = text.strip()
        if not spoken:
            return
        clause = _Clause(self, start + text.index(spoken), len(spoken), playback, mark)
        async with closing(self.tts.speak(spoken)) as pieces:
            async for speech in pieces:
                mark("tts")
                self.journal.engine("tts", {"bytes": len(speech.audio)})
                await clause.add(speech)
        await clause.finish()


class _Clause:
    """One clause on its way out."""

    def __init__(self, voice: Voice, start: int, length: int, playback: Playback, mark: Callable[[str], None]) -> None:
        self._voice = voice
        self._start = start
        self._length = length
        self._playback = playback
        self._mark = mark
        self._encoder = Encoder(voice.tts.sample_rate, voice.audio_format)
        self._audio = bytearray()
        self._made = 0.0
        "Seconds of speech made so far."
        self._left = 0.0
        "Seconds of speech that have left."
        self._chars: deque[tuple[float, float, str]] = deque()
        "(start, duration, character) not yet sent; seconds from the clause's beginning."
        self._begun = 0
        "Characters of the clause that have left."

    async def add(self, speech: Speech) -> None:
        """Another piece from the engine."""
        for char, at, duration in zip(speech.chars, speech.starts, speech.durations, strict=True):
            self._chars.append((self._made + at, duration, char))
        self._made += len(speech.audio) / (2 * self._voice.tts.sample_rate)
        self._audio += self._encoder.encode(speech.audio)
        size = self._voice.audio_format.bytes_of(CHUNK)
        # One piece stays behind for `finish`, which tells what of the text is left with it.
        while len(self._audio) > size or (self._audio and not self._playback.seconds):
            await self._send(size)

    async def finish(self) -> None:
        """The engine is done."""
        self._audio += self._encoder.flush()
        size = self._voice.audio_format.bytes_of(CHUNK)
        while self._audio:
            await self._send(size, last=len(self._audio) <= size)

    async def _send(self, size: int, *, last: bool = False) -> None:
        voice, playback = self._voice, self._playback
        audio = bytes(self._audio[:size])
        seconds = voice.audio_format.seconds(len(audio))
        if playback.seconds:
            early = playback.ends_at + seconds - LEAD - voice.clock()
            if early > 0:
                await asyncio.sleep(early)
        await voice.outbox.room()
        del self._audio[:size]
        alignment, marks = self._align(seconds, last=last)
        voice.outbox.put(AgentAudio(audio=audio, event_id=voice.ids.next(), alignment=alignment))
        playback.sent(seconds, voice.clock(), marks)
        self._mark("output")

    def _align(self, seconds: float, *, last: bool) -> tuple[Alignment | None, list[tuple[float, int]]]:
        """What of the text begins in the next `seconds`: for the client, and for the ledger."""
        marks: list[tuple[float, int]] = []
        alignment = Alignment([], [], [])
        until = self._left + seconds
        while self._chars and (last or self._chars[0][0] < until):
            at, duration, char = self._chars.popleft()
            offset = min(max(0.0, at - self._left), seconds)
            self._begun += 1
            marks.append((offset, self._start + self._begun))
            alignment.chars.append(char)
            alignment.char_start_times_ms.append(round(offset * 1000))
            alignment.char_durations_ms.append(round(duration * 1000))
        if not marks and not self._chars and self._begun < self._length:
            self._begun = self._length if last else min(self._length, int(until * EVEN_PACE))
            marks.append((seconds, self._start + self._begun))
        self._left = until
        return (alignment if alignment.chars else None), marks
