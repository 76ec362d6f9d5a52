"""Antiphon's side: real sessions with Silero and engines that wait as long as the work says.

The decision is stamped when `score` of the frame whose result ended the turn has returned, as for the peers; which
frame that was shows when the session ends the utterance (`finish` of speech-to-text).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from antiphon.agents.config import AgentConfig
from antiphon.engines.base import EngineContext, Request, Speech, TextDelta, Transcript, VoiceActivityModel
from antiphon.engines.registry import Registry
from antiphon.engines.vad import silero
from antiphon.protocol import events as ev
from antiphon.server.run import _loop_factory
from antiphon.session.assembly import assemble
from antiphon.session.engines import Engines as SessionEngines
from antiphon.session.engines import load_engines
from antiphon.session.session import Session

from . import work
from .work import Engines, Microphone, Stamps

LOOP = _loop_factory()
"As it ships: uvloop where there is one."

HEADER: Mapping[str, Any] = {
    "started_at": 0.0,
    "user_id": None,
    "initiation": {},
    "authorization_method": "public",
}


class Caller:
    """What the stub engines of one conversation know of it."""

    def __init__(self) -> None:
        self.stamps = Stamps()
        self.scored = 0.0
        "When the newest score was there."
        self.sensed: list[float] = []
        "When the conversation learned something: a score, a transcript, in a server also what time it is."
        self.on_end: Callable[[float], None] = lambda at: None
        "To be told the end of speech."
        self.ready = asyncio.Event()
        "Set when the conversation hears."


LINES = 100
"Lines of a journal that wait to be written: of about a second, as in the server."
CALLER: ContextVar[Caller] = ContextVar("caller")
"Whose conversation it is that asks an engine for a stream."


class _Voice:
    """Silero, with a stamp when each score is there."""

    def __init__(self, model: VoiceActivityModel) -> None:
        self._model = model

    def stream(self) -> Scores:
        return Scores(self._model.stream(), CALLER.get())


class Scores:
    """A caller's detector, and when its newest score was there."""

    def __init__(self, detector: Any, caller: Caller) -> None:
        self.frame_samples: int = detector.frame_samples
        self._score = detector.score
        self._caller = caller

    def score(self, frame: bytes) -> float:
        """As the detector has it."""
        score: float = self._score(frame)
        self._caller.scored = work.now()
        self._caller.sensed.append(self._caller.scored)
        return score


class _Recognition:
    """The transcript is there `engines.stt` after the true end of speech; a final one as soon as it is asked for."""

    def __init__(self, caller: Caller, engines: Engines) -> None:
        self._caller = caller
        self._engines = engines
        self._queue: asyncio.Queue[Transcript] = asyncio.Queue()
        self._there_at = float("inf")
        "When the transcript of the newest speech is there, on the loop's clock."
        self._finished = self._shown = False
        self._timer: asyncio.TimerHandle | None = None
        caller.on_end = self._ended

    def _ended(self, _at: float) -> None:
        loop = asyncio.get_running_loop()
        self._there_at, self._shown = loop.time() + self._engines.stt, False
        self._timer = loop.call_at(self._there_at, self._there)

    def _there(self) -> None:
        self._shown = True
        self._caller.sensed.append(work.now())
        self._queue.put_nowait(Transcript(work.TRANSCRIPT, final=self._finished))
        self._finished = False

    def feed(self, audio: bytes) -> None:
        """The sound is known beforehand."""

    def finish(self) -> None:
        self._caller.stamps.decisions.append(self._caller.scored)
        if self._shown:
            self._queue.put_nowait(Transcript(work.TRANSCRIPT, final=True))
            self._shown = False
        elif self._timer is not None and not self._timer.cancelled() and self._there_at != float("inf"):
            self._finished = True
        else:  # nothing was said: a noise
            self._queue.put_nowait(Transcript("", final=True))

    def discard(self) -> None:
        self._finished = False

    async def transcripts(self) -> AsyncGenerator[Transcript]:
        while True:
            yield await self._queue.get()


class _SpeechToText:
    def __init__(self, engines: Engines, recognition: type[_Recognition]) -> None:
        self._engines = engines
        self._recognition = recognition

    async def prepare(self) -> None: ...

    @asynccontextmanager
    async def stream(self) -> AsyncGenerator[_Recognition]:
        caller = CALLER.get()
        caller.ready.set()
        yield self._recognition(caller, self._engines)

    async def aclose(self) -> None: ...


class _LanguageModel:
    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def prepare(self) -> None: ...

    async def reply(self, request: Request) -> AsyncGenerator[TextDelta]:
        CALLER.get().stamps.thinking.append(work.now())
        async for token in self._engines.tokens():
            yield TextDelta(token)

    async def aclose(self) -> None: ...


class _TextToSpeech:
    sample_rate = work.RATE

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def prepare(self) -> None: ...

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        if (caller := CALLER.get(None)) is not None:  # nobody calls yet while it rehearses
            caller.stamps.speaking.append(work.now())
        async for piece in self._engines.sound():
            yield Speech(piece)

    async def aclose(self) -> None: ...


def registry(engines: Engines, *, recognition: type[_Recognition] = _Recognition) -> Registry:
    """The engines `stub` of all kinds."""
    names = Registry()

    def voice(options: Mapping[str, Any], context: EngineContext) -> Any:
        return _Voice(silero.create({}, context))

    names.add("vad", "stub", voice)
    names.add("stt", "stub", lambda options, context: _SpeechToText(engines, recognition))
    names.add("llm", "stub", lambda options, context: _LanguageModel(engines))
    names.add("tts", "stub", lambda options, context: _TextToSpeech(engines))
    return names


def document(*, speculative: bool = False, eagerness: str = "normal", mode: str = "turn") -> dict[str, Any]:
    """An agent with those engines; all else as it comes."""
    stub = {"engine": "stub"}
    return {
        "name": "Peer",
        "conversation_config": {
            "turn": {"turn_eagerness": eagerness, "speculative_turn": speculative, "mode": mode},
            "antiphon": {"llm": stub, "stt": stub, "tts": stub, "vad": stub},
        },
    }


class Party:
    """Conversations in this process."""

    def __init__(self, speech: bytes, engines: Engines, options: Mapping[str, Any]) -> None:
        self._speech = speech
        self._engines = engines
        self._registry = registry(engines)
        self._agent = AgentConfig.parse(document(**options), agent_id="agent")
        self._loaded: SessionEngines
        self.callers: list[Caller] = []
        self.starts: list[float] = []
        "Milliseconds from the assembly of a session until it hears."

    async def prepare(self) -> None:
        """Load what conversations share."""
        self._loaded = await load_engines(self._agent, self._registry, models={})

    async def start(self, tasks: asyncio.TaskGroup) -> tuple[Microphone, Stamps]:
        """One conversation, its microphone running."""
        session, caller = await self.begin(tasks)

        async def push(frame: bytes) -> None:
            session.receive(ev.UserAudio(frame))

        microphone = Microphone(self._speech, push)
        microphone.on_end = lambda at: caller.on_end(at)  # the stub may not be there yet
        tasks.create_task(microphone.run())
        return microphone, caller.stamps

    async def begin(self, tasks: asyncio.TaskGroup) -> tuple[Session, Caller]:
        """One conversation that nobody speaks in yet."""
        caller = Caller()
        self.callers.append(caller)
        begun: asyncio.Future[Session] = asyncio.get_running_loop().create_future()

        async def hold() -> None:
            CALLER.set(caller)
            stamps = caller.stamps
            journal: deque[bytes] = deque(maxlen=LINES)

            async def send(event: ev.ServerEvent) -> None:
                if type(event) is ev.AgentAudio:
                    stamps.sounded()

            session = assemble(
                self._agent,
                self._loaded,
                conversation_id=f"conv_{len(self.callers)}",
                send=send,
                write=journal.append,
                clock=asyncio.get_running_loop().time,
                header=HEADER,
            )
            begun.set_result(session)
            await session.run()

        began = work.now()
        tasks.create_task(hold())
        session = await begun
        await caller.ready.wait()
        self.starts.append((work.now() - began) * 1000)
        return session, caller

    async def aclose(self) -> None:
        """Free what conversations share."""
        await self._loaded.aclose()
