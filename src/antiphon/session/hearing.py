"""The ears: the caller's audio -> observations for the turn machine, utterances for speech-to-text.

A plain call per piece of audio, in step with the turn machine: what is observed in one piece is acted upon before the
next is fed, so an utterance ends where the machine ended it. Only the transcripts are waited for (`listen`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from antiphon.audio.convert import Decoder
from antiphon.audio.echo import EchoGate
from antiphon.audio.formats import AudioFormat
from antiphon.audio.framing import Framer
from antiphon.audio.levels import last_sound
from antiphon.engines.base import SAMPLE_RATE, Interjected, Recognition, SpeechToText, TurnDetector, VoiceActivity
from antiphon.engines.cascades.progress import progress
from antiphon.errors import EngineError
from antiphon.protocol.events import VadScore
from antiphon.record.journal import Journal
from antiphon.record.recording import Recording
from antiphon.turns.endpointing import Endpointing, SpeechPolicy
from antiphon.turns.observations import Heard, Observation, Partial, SpeechStarted

from .outbox import Outbox

PRE_ROLL = 0.384
"Seconds before the detected beginning that speech-to-text gets too: detection is later than speech."
TAIL = 3.0
"Seconds of the newest audio kept for finding where speech really ended."
TURN = 8.0
"Seconds of the newest audio that a turn detector is shown."


class Hearing:
    """One caller's ears."""

    def __init__(
        self,
        *,
        vad: VoiceActivity,
        stt: SpeechToText,
        audio_format: AudioFormat,
        policy: SpeechPolicy,
        outbox: Outbox,
        journal: Journal,
        turn: TurnDetector | None = None,
        gate: EchoGate | None = None,
        recording: Recording | None = None,
    ) -> None:
        frame_seconds = vad.frame_samples / SAMPLE_RATE
        self._vad = vad
        self._stream = stt.stream()
        self._recognition: Recognition
        self._decoder = Decoder(audio_format)
        self._framer = Framer(vad.frame_samples * 2)
        self._endpointing = Endpointing(frame_seconds, policy)
        self._outbox = outbox
        self._journal = journal
        self._turn = turn
        self._gate = gate
        self._recording = recording
        self._shows_scores = outbox.wants("vad_score")
        self._pre_roll: deque[bytes] = deque(maxlen=round(PRE_ROLL / frame_seconds))
        self._tail: deque[bytes] = deque(maxlen=round((TAIL if turn is None else TURN) / frame_seconds))
        self._in_utterance = False
        self._over_agent = False
        "Speech-to-text knows that the utterance under way is spoken over the agent."
        self._finished: deque[int] = deque()
        "Utterances whose final transcript is due."
        self._audio_began = 0.0
        "The clock's time at which audio time was zero, as the fastest piece of this utterance tells it."

    async def __aenter__(self) -> Self:
        """Open the stream of utterances. Raises EngineError."""
        self._recognition = await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Free what speech-to-text holds for this caller."""
        await self._stream.__aexit__(kind, error, traceback)

    async def retune(self, stt: SpeechToText) -> None:
        """Hear with another recogniser from here on; `listen` has to be called anew. Raises EngineError."""
        stream = stt.stream()
        recognition = await stream.__aenter__()
        before, self._stream, self._recognition = self._stream, stream, recognition
        self._finished.clear()
        self._begin_anew()
        await before.__aexit__(None, None, None)

    @property
    def deadline(self) -> float | None:
        """When to call `tick` if no audio arrives before."""
        return self._endpointing.deadline

    def tick(self, now: float) -> list[Observation]:
        """The deadline has come."""
        return self._endpointing.stalled(now)

    def feed(self, audio: bytes, now: float) -> list[Observation]:
        """A piece of the caller's audio, in the client's format, any length. Raises EngineError."""
        observed: list[Observation] = []
        heard: list[bytes] = []
        began = False
        decoded = self._decoder.decode(audio)
        if self._recording is not None:
            self._recording.user(decoded, now)
        frames = self._framer.push(decoded)
        gated = self._gate is not None and self._gate.expects(now, len(frames))
        for frame in frames:
            score = self._vad.score(frame)
            if gated and self._gate is not None:
                score *= 1.0 - self._gate.echo(frame, now, score)
            if self._shows_scores:
                self._outbox.put(VadScore(score=round(score, 4)))
            seen = self._endpointing.score(score)
            if seen is not None:
                observed.append(seen)
                if type(seen) is SpeechStarted:
                    began = True
                    if not self._in_utterance:
                        self._in_utterance = True
                        heard.extend(self._pre_roll)
            self._tail.append(frame)
            (heard if self._in_utterance else self._pre_roll).append(frame)
        if (growing := self._endpointing.arrived(now)) is not None:
            observed.append(growing)
        if heard:
            self._recognition.feed(b"".join(heard))
        self._keep_time(now, restart=began)
        return observed

    def _keep_time(self, now: float, *, restart: bool) -> None:
        """Audio cannot arrive before it sounded: the piece that came with the least delay tells the time best."""
        began = now - self._endpointing.audio_time - self._framer.held / (SAMPLE_RATE * 2)
        if restart or began < self._audio_began or not self._in_utterance:
            self._audio_began = began

    def speech_ended_at(self) -> float:
        """When the user's last sound was made, on the clock: the anchor of every latency."""
        tail = b"".join(self._tail)[-round(TAIL * SAMPLE_RATE) * 2 :]
        quiet = len(tail) / (SAMPLE_RATE * 2) - (last_sound(tail, SAMPLE_RATE) or 0.0) if tail else 0.0
        return self._audio_began + self._endpointing.audio_time - quiet

    def over_agent(self) -> None:
        """What is being said is said over the agent: tell speech-to-text, once an utterance. Raises EngineError."""
        if self._in_utterance and not self._over_agent and isinstance(self._recognition, Interjected):
            self._over_agent = True
            self._recognition.over_agent()

    def end_utterance(self, utterance: int) -> None:
        """The turn is over: have what was heard transcribed."""
        self._begin_anew()
        self._finished.append(utterance)
        self._recognition.finish()

    def discard_utterance(self) -> None:
        """What was heard since the last utterance is no turn."""
        self._begin_anew()
        self._recognition.discard()

    def _begin_anew(self) -> None:
        """Who still speaks has begun another utterance with that."""
        self._in_utterance, self._over_agent = self._endpointing.speaking, False
        self._pre_roll.clear()
        self._endpointing.settled()

    async def listen(self, observe: Callable[[Observation], None]) -> None:
        """Pass transcripts on until cancelled. Raises EngineError; that they end by themselves is one, too.

        A recogniser that does not let go is left behind: a caller who has hung up must not wait for it.
        """
        guess = ""
        async with progress("stt", self._recognition.transcripts()) as transcripts:
            while (transcript := await transcripts.wait()) is not None:
                self._journal.engine("stt", {"text": transcript.text, "final": transcript.final})
                if transcript.final:
                    guess = ""
                    if self._finished:
                        observe(Heard(self._finished.popleft(), transcript.text))
                elif transcript.text != guess:
                    guess = transcript.text
                    observe(Partial(guess))
        raise EngineError("stt", "no more transcripts come")

    async def judge(self) -> float | None:
        """What the turn detector says of the sound so far; None: there is none. Raises EngineError."""
        return None if self._turn is None else await self._turn.complete(b"".join(self._tail))
