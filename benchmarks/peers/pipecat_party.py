"""Pipecat's side: its pipeline, its Silero, its aggregators; transport and engines are subclasses of its base classes.

Options: `turn` is "min" (end of turn with the stop of voice activity) or "default" (plain voice activity detection as
shipped: 0.2 s of silence, then 0.6 s for more speech). The output is paced as its WebSocket transports pace it: each
frame of 40 ms takes 20 ms to write.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams, VADState
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from . import work
from .work import Engines, Microphone, Stamps

logger.remove()
logger.add(sys.stderr, level="ERROR")

LOOP = None
"As it ships: the loop of asyncio."
SILENCE = {"min": 0.1, "default": 0.2}
MORE_SPEECH = {"min": 0.0, "default": 0.6}
"Seconds: VADParams.stop_secs and user_speech_timeout."


class _Voice(SileroVADAnalyzer):
    def __init__(self, stamps: Stamps, stop_secs: float) -> None:
        super().__init__(params=VADParams(stop_secs=stop_secs))
        self._stamps = stamps
        self._before = VADState.QUIET

    async def analyze_audio(self, buffer: bytes) -> VADState:
        state = await super().analyze_audio(buffer)
        if state is VADState.QUIET and self._before is not VADState.QUIET:
            self._stamps.decisions.append(work.now())
        self._before = state
        return state


class _Input(BaseInputTransport):
    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def hear(self, audio: bytes) -> None:
        await self.push_audio_frame(InputAudioRawFrame(audio=audio, sample_rate=work.RATE, num_channels=1))


class _Output(BaseOutputTransport):
    def __init__(self, params: TransportParams, stamps: Stamps) -> None:
        super().__init__(params)
        self._stamps = stamps
        self._written_until = 0.0

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now = work.now()
        if any(frame.audio[:8]):  # it also plays silence
            self._stamps.sounded()
        self._written_until = max(now, self._written_until) + len(frame.audio) / 2 / work.RATE / 2
        await asyncio.sleep(self._written_until - now)
        return True


class _SpeechToText(STTService):
    def __init__(self, engines: Engines) -> None:
        super().__init__(ttfs_p99_latency=engines.stt)
        self._engines = engines

    def ended(self, _at: float) -> None:
        asyncio.get_running_loop().call_later(self._engines.stt, self._there)

    def _there(self) -> None:
        self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        await self.push_frame(TranscriptionFrame(text=work.TRANSCRIPT, user_id="", timestamp="", finalized=True))

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        yield None


class _LanguageModel(LLMService):
    def __init__(self, engines: Engines, stamps: Stamps) -> None:
        super().__init__()
        self._engines = engines
        self._stamps = stamps

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        self._stamps.thinking.append(work.now())
        await self.push_frame(LLMFullResponseStartFrame())
        async for token in self._engines.tokens():
            await self.push_frame(LLMTextFrame(token))
        await self.push_frame(LLMFullResponseEndFrame())


class _TextToSpeech(TTSService):
    def __init__(self, engines: Engines, stamps: Stamps) -> None:
        super().__init__(push_start_frame=True, push_stop_frames=True, sample_rate=work.RATE)
        self._engines = engines
        self._stamps = stamps

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        self._stamps.speaking.append(work.now())
        async for piece in self._engines.sound():
            yield TTSAudioRawFrame(audio=piece, sample_rate=work.RATE, num_channels=1, context_id=context_id)


class Party:
    """Pipelines in this process."""

    def __init__(self, speech: bytes, engines: Engines, options: Mapping[str, Any]) -> None:
        self._speech = speech
        self._engines = engines
        self._turn: str = options.get("turn", "min")
        self.starts: list[float] = []

    async def prepare(self) -> None:
        """Nothing is shared."""

    async def start(self, tasks: asyncio.TaskGroup) -> tuple[Microphone, Stamps]:
        """One pipeline, its microphone running."""
        began = work.now()
        stamps, engines = Stamps(), self._engines
        params = TransportParams(
            audio_in_enabled=True,
            audio_in_sample_rate=work.RATE,
            audio_out_enabled=True,
            audio_out_sample_rate=work.RATE,
        )
        ears, mouth = _Input(params), _Output(params, stamps)
        stt = _SpeechToText(engines)
        context = LLMContext(messages=[{"role": "system", "content": "You are at the desk."}])
        aggregators = LLMContextAggregatorPair(
            context,
            user_params=LLMUserAggregatorParams(
                vad_analyzer=_Voice(stamps, SILENCE[self._turn]),
                user_turn_strategies=UserTurnStrategies(
                    start=[VADUserTurnStartStrategy()],
                    stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=MORE_SPEECH[self._turn])],
                ),
            ),
        )
        processors = [
            ears,
            stt,
            aggregators.user(),
            _LanguageModel(engines, stamps),
            _TextToSpeech(engines, stamps),
            mouth,
            aggregators.assistant(),
        ]
        worker = PipelineWorker(
            Pipeline(processors),
            params=PipelineParams(audio_in_sample_rate=work.RATE, audio_out_sample_rate=work.RATE),
            enable_rtvi=False,
            idle_timeout_secs=None,
        )
        started = asyncio.Event()

        @worker.event_handler("on_pipeline_started")
        async def _on_started(_worker: Any, _frame: Frame) -> None:
            started.set()

        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        tasks.create_task(runner.run(auto_end=False))
        await started.wait()
        self.starts.append((work.now() - began) * 1000)
        microphone = Microphone(self._speech, ears.hear)
        microphone.on_end = stt.ended
        tasks.create_task(microphone.run())
        return microphone, stamps

    async def aclose(self) -> None:
        """Nothing is shared."""
