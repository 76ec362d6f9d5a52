"""LiveKit Agents' side: its session and its own Silero; input, output and engines are subclasses of its base classes.

Options: `turn` is "min" (end of turn with the stop of voice activity) or "default" (plain voice activity detection as
shipped: 0.5 s of silence); `preemptive` lets the language model begin with the transcript, as shipped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, inference, llm, stt, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.vad import VADEventType
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities

from . import work
from .work import Engines, Microphone, Stamps

logging.getLogger("livekit").setLevel(logging.ERROR)

LOOP = None
"As it ships: the loop of asyncio."
SILENCE = {"min": 0.1, "default": 0.25}
ENDPOINTING: Mapping[str, dict[str, float]] = {"min": {"min_delay": 0.0}, "default": {}}


class _Voice(inference.VAD):
    def __init__(self, stamps: Stamps, silence: float) -> None:
        super().__init__(min_silence_duration=silence)
        self._stamps = stamps

    def stream(self) -> Any:
        stream = super().stream()
        events: Any = stream._event_ch
        send = events.send_nowait

        def stamped(event: Any) -> None:
            if event.type is VADEventType.END_OF_SPEECH:
                self._stamps.decisions.append(work.now())
            send(event)

        events.send_nowait = stamped
        return stream


class _Input(AudioInput):
    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    async def hear(self, audio: bytes) -> None:
        self._frames.put_nowait(rtc.AudioFrame(audio, work.RATE, 1, len(audio) // 2))

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.get()


class _Output(AudioOutput):
    """Plays by the clock."""

    def __init__(self, stamps: Stamps) -> None:
        super().__init__(label="ear", capabilities=AudioOutputCapabilities(pause=True), sample_rate=work.RATE)
        self._stamps = stamps
        self._began: float | None = None
        self._seconds = 0.0
        self._over: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        self._stamps.sounded()
        await super().capture_frame(frame)
        if self._began is None:
            self._began = work.now()
            self.on_playback_started(created_at=time.time())
        self._seconds += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._began is None:
            return
        left = max(0.0, self._began + self._seconds - work.now())
        self._over = asyncio.get_running_loop().call_later(left, self._finish, False)

    def clear_buffer(self) -> None:
        if self._over is not None:
            self._over.cancel()
        if self._began is not None:
            self._finish(True)

    def _finish(self, interrupted: bool) -> None:
        played = self._seconds if not interrupted else min(self._seconds, work.now() - (self._began or 0.0))
        self._began, self._seconds, self._over = None, 0.0, None
        self.on_playback_finished(playback_position=played, interrupted=interrupted)


class _Recognition(stt.RecognizeStream):
    async def _run(self) -> None:
        async for _ in self._input_ch:
            pass

    def ended(self, _at: float) -> None:
        asyncio.get_running_loop().call_later(self._stt.engines.stt, self._there)

    def _there(self) -> None:
        data = stt.SpeechData(language="en", text=work.TRANSCRIPT, confidence=1.0)
        self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data]))


class _SpeechToText(stt.STT):
    def __init__(self, engines: Engines) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.engines = engines
        self.recognition: _Recognition | None = None
        self.listening = asyncio.Event()

    async def _recognize_impl(self, *arguments: Any, **options: Any) -> Any:
        raise NotImplementedError

    def stream(self, *, conn_options: Any = DEFAULT_API_CONNECT_OPTIONS, **options: Any) -> _Recognition:
        self.recognition = _Recognition(stt=self, conn_options=conn_options)
        self.listening.set()
        return self.recognition


class _Thoughts(llm.LLMStream):
    async def _run(self) -> None:
        async for token in self._llm.engines.tokens():
            delta = llm.ChoiceDelta(role="assistant", content=token)
            self._event_ch.send_nowait(llm.ChatChunk(id="reply", delta=delta))


class _LanguageModel(llm.LLM):
    def __init__(self, engines: Engines, stamps: Stamps) -> None:
        super().__init__()
        self.engines = engines
        self._stamps = stamps

    def chat(
        self, *, chat_ctx: Any, tools: Any = None, conn_options: Any = DEFAULT_API_CONNECT_OPTIONS, **options: Any
    ) -> _Thoughts:
        self._stamps.thinking.append(work.now())
        return _Thoughts(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Sentence(tts.ChunkedStream):
    async def _run(self, output_emitter: Any) -> None:
        output_emitter.initialize(
            request_id="sentence",
            sample_rate=work.RATE,
            num_channels=1,
            mime_type="audio/pcm",
            frame_size_ms=round(work.PIECE * 1000),
        )
        async for piece in self._tts.engines.sound():
            output_emitter.push(piece)
        output_emitter.flush()


class _TextToSpeech(tts.TTS):
    def __init__(self, engines: Engines, stamps: Stamps) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=work.RATE, num_channels=1)
        self.engines = engines
        self._stamps = stamps

    def synthesize(self, text: str, *, conn_options: Any = DEFAULT_API_CONNECT_OPTIONS) -> _Sentence:
        self._stamps.speaking.append(work.now())
        return _Sentence(tts=self, input_text=text, conn_options=conn_options)


class Party:
    """Agent sessions in this process."""

    def __init__(self, speech: bytes, engines: Engines, options: Mapping[str, Any]) -> None:
        self._speech = speech
        self._engines = engines
        self._turn: str = options.get("turn", "min")
        self._preemptive: bool = options.get("preemptive", self._turn == "default")
        self._sessions: list[Any] = []
        self.starts: list[float] = []

    async def prepare(self) -> None:
        """Nothing is shared but the weights, which the library loads by itself."""

    async def start(self, tasks: asyncio.TaskGroup) -> tuple[Microphone, Stamps]:
        """One session, its microphone running."""
        began = work.now()
        stamps, engines = Stamps(), self._engines
        recogniser, ears = _SpeechToText(engines), _Input()
        session: Any = AgentSession(
            stt=recogniser,
            llm=_LanguageModel(engines, stamps),
            tts=_TextToSpeech(engines, stamps),
            vad=_Voice(stamps, SILENCE[self._turn]),
            turn_handling={
                "turn_detection": "vad",
                "endpointing": ENDPOINTING[self._turn],
                "preemptive_generation": {"enabled": self._preemptive},
            },
            aec_warmup_duration=None,
        )
        self._sessions.append(session)
        session.input.audio = ears
        session.output.audio = _Output(stamps)
        await session.start(Agent(instructions="You are at the desk."), record=False)
        await recogniser.listening.wait()
        self.starts.append((work.now() - began) * 1000)
        microphone = Microphone(self._speech, ears.hear)
        microphone.on_end = lambda at: recogniser.recognition.ended(at)
        tasks.create_task(microphone.run())
        return microphone, stamps

    async def aclose(self) -> None:
        """The process ends without its sessions' goodbyes."""
