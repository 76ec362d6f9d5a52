"""One scene, from its document to what came of it. Each has a registry, engines and virtual time of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import multiprocessing
import random
import re
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import msgspec
import numpy as np

from antiphon.agents.config import AgentConfig
from antiphon.agents.folder import FolderWorkspace
from antiphon.agents.initiation import initiate, time_variables
from antiphon.agents.workspace import Workspace
from antiphon.audio.convert import Encoder
from antiphon.audio.formats import AudioFormat, parse_format
from antiphon.engines.base import EngineContext, LanguageModel, Request, TextToSpeech, Thought, closing
from antiphon.engines.registry import Registry
from antiphon.errors import AntiphonError, ConfigError, ProtocolError
from antiphon.protocol import events as ev
from antiphon.protocol.codec import decode_client
from antiphon.session.engines import Engines, load_engines
from antiphon.simulation.call import Call, join
from antiphon.simulation.loop import run

from . import document as doc
from .caller import Act, Failure, SceneCaller, ToolAnswer, describe
from .checking import check
from .ears import Ears
from .history import Asked, History, payload
from .persona import PlayedCaller
from .reading import Located
from .utterance import Mouth, SceneSpeechToText, SpokenWords, Utterance

EngineChoice: TypeAlias = Literal["scripted", "agent"]
Status: TypeAlias = Literal["passed", "failed", "broken"]

NOISE_LEVEL = 6_000
"Largest sample of a noise."


@dataclass(frozen=True, slots=True)
class Options:
    """How scenes are run."""

    seed: int | None = None
    "Instead of the scenes' own."
    engines: EngineChoice = "scripted"
    "`agent`: hear, think and speak with what the agent names; virtual time stands still while they work."
    record: Path | None = None
    "Folder for the journals."


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of what happened, for people."""

    at: float
    who: str
    "caller, agent, tool, call"
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a scene."""

    name: str
    file: str
    line: int
    seed: int
    status: Status
    "`broken`: it could not be run; the failure says why."
    failures: tuple[Failure, ...] = ()
    timeline: tuple[Moment, ...] = ()
    virtual_seconds: float = 0.0
    "Length of the call."
    real_seconds: float = 0.0
    journal: bytes = field(default=b"", repr=False)
    recorded: str = ""
    "The journal's file, where it was kept."


def run_scene(located: Located, options: Options, *, repetition: int = 0) -> Result:
    """Hold the scene's call and check what is expected. Never raises an AntiphonError: that is a broken scene.

    `repetition` is added to the seed.
    """
    scene = located.scene
    seed = (scene.seed if options.seed is None else options.seed) + repetition
    began = time.perf_counter()  # noqa: TID251 - a person is told how long it took
    result = Result(scene.name, str(located.file), located.line, seed, "broken")
    try:
        history = run(_Stage(located, options, seed).play())
    except* AntiphonError as group:
        error = _first(group)
        result = replace(result, failures=(Failure(str(error), ""),))
    else:
        failures = (*history.failures, *check(scene, history))
        result = replace(
            result,
            status="failed" if failures else "passed",
            failures=failures,
            timeline=tuple(Moment(*line) for line in history.timeline()),
            virtual_seconds=history.seconds,
            journal=history.journal,
        )
    placed = tuple(replace(f, place=located.place(f.where)) for f in result.failures)
    result = replace(result, failures=placed)
    if options.record is not None and result.journal:
        result = replace(result, recorded=_keep(options.record, result))
    return replace(result, real_seconds=time.perf_counter() - began)  # noqa: TID251


def run_scenes(scenes: Sequence[Located], options: Options, *, jobs: int = 1, repeat: int = 1) -> Iterator[Result]:
    """What comes of each scene, as it comes, in their order: the same for any number of jobs (processes)."""
    tasks = [(located, options, repetition) for located in scenes for repetition in range(repeat)]
    if jobs <= 1 or len(tasks) <= 1:
        yield from map(_run_one, tasks)
        return
    with ProcessPoolExecutor(min(jobs, len(tasks)), multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_run_one, tasks)


def _run_one(task: tuple[Located, Options, int]) -> Result:
    located, options, repetition = task
    return run_scene(located, options, repetition=repetition)


def _first(group: BaseExceptionGroup[AntiphonError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _keep(folder: Path, result: Result) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    stem = Path(result.file).name.removesuffix(Path(result.file).suffix).removesuffix(".scene")
    name = re.sub(r"[^\w.-]+", "-", f"{stem}.{result.name}.{result.seed}").strip("-").lower()
    file = folder / f"{name}.jsonl"
    file.write_bytes(result.journal)
    return str(file)


# ---------------------------------------------------------------------------------------------------- the engines


class _ListenedTo:
    """A language model whose requests are noted."""

    def __init__(self, llm: LanguageModel) -> None:
        self._llm = llm
        self.asked: list[Asked] = []

    async def prepare(self) -> None:
        await self._llm.prepare()

    async def reply(self, request: Request) -> AsyncGenerator[Thought]:
        self.asked.append(Asked(asyncio.get_running_loop().time(), tuple((m.role, m.text) for m in request.messages)))
        async with closing(self._llm.reply(request)) as thoughts:
            async for thought in thoughts:
                yield thought

    async def aclose(self) -> None:
        await self._llm.aclose()


class _Stage:
    """Everything that a scene's call needs, put together."""

    def __init__(self, located: Located, options: Options, seed: int) -> None:
        self._scene = located.scene
        self._folder = located.file.parent
        self._options = options
        self._random = random.Random(seed)
        self._seed = seed
        self._words = SpokenWords()

    def _draw(self, duration: Any) -> float:
        if isinstance(duration, list):
            low, high = cast("list[float]", duration)
            return round(self._random.uniform(low, high), 3)
        return float(duration)

    async def play(self) -> History:
        """Hold the call."""
        scene = self._scene
        workspace, document, agent_id, path = await self._find_agent()
        configured = AgentConfig.parse(self._with_engines(document), agent_id=agent_id, path=path)
        agent = self._initiated(configured)
        registry = Registry()
        delay = self._draw(scene.hearing.delay)
        hearing = SceneSpeechToText(self._words, delay=delay, partials=scene.hearing.partials)
        registry.add("stt", "scene", hearing.factory)
        engines = await load_engines(agent, registry, models={}, workspace=workspace)
        try:
            return await self._call(agent, self._with_tools(engines), registry)
        finally:
            await engines.aclose()

    async def _call(self, agent: AgentConfig, engines: Engines, registry: Registry) -> History:
        scene, config = self._scene, agent.conversation_config
        text_only = config.conversation.text_only
        input_format = parse_format(config.asr.user_input_audio_format)
        mouth = Mouth(input_format, await self._voice(registry, engines, agent))
        acts = await self._acts(mouth, input_format, text_only=text_only)
        persona = await self._persona(registry, mouth, agent, text_only=text_only)
        listened = _ListenedTo(engines.llm)
        ears = Ears(parse_format(config.tts.agent_output_audio_format))
        clock = asyncio.get_running_loop().time
        began = clock()
        caller = SceneCaller(
            acts,
            input_format=input_format,
            ears=ears,
            words=self._words,
            tools=self._tools(),
            scene=scene,
            clock=clock,
            text_only=text_only,
            awaits_greeting=bool(config.agent.first_message),
            persona=persona,
        )
        call = Call()

        def write(line: bytes) -> None:
            call.journal.append(line)
            if b'"type":"agent_response_complete"' in line and (out := msgspec.json.decode(line).get("out")):
                caller.answer_complete(payload(out)["event_id"])

        await join(
            agent,
            dataclasses.replace(engines, llm=listened),
            caller,
            call,
            conversation_id="conv_simulated",
            initiation=self._initiation(),
            write=write,
            beside=caller.run,
        )
        assert call.ending is not None, "a call that is over has an ending"
        if caller.left_over is not None and not caller.notes.hung_up:
            act = caller.left_over
            message = f"the call had ended before the caller got to it: {describe(act.step)}"
            caller.notes.failures.append(Failure(message, act.where, round(clock() - began, 3)))
        return History.of(
            call,
            notes=caller.notes,
            ears=ears,
            asked=[replace(asked, at=round(asked.at - began, 6)) for asked in listened.asked],
            seconds=round(clock() - began, 3),
            greets=bool(config.agent.first_message),
        )

    # -------------------------------------------------------------------------------------------------- the agent

    async def _find_agent(self) -> tuple[Workspace | None, Mapping[str, Any], str, str]:
        """Its workspace, its document, its id, and its file."""
        agent = self._scene.agent
        if self._scene.agents is not None:
            workspace = FolderWorkspace.load(self._folder / self._scene.agents)
            if isinstance(agent, str):
                found = await workspace.agent(agent)
                return workspace, found.raw, found.agent_id, found.path
            return workspace, agent, "scene", ""
        if not isinstance(agent, str):
            return None, agent, "scene", ""
        file = self._folder / agent
        try:
            document = json.loads(file.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot be read: {error}", path=str(file)) from error
        if not isinstance(document, dict):
            raise ConfigError("should be an object", path=str(file))
        known = cast("dict[str, Any]", document)
        return None, known, str(known.get("agent_id") or file.stem), str(file)

    def _with_engines(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The agent's document with the engines that this run has it use."""
        config: Any = document.get("conversation_config")
        if not isinstance(config, Mapping):
            return document  # a mistake, told when it is parsed
        known = cast("Mapping[str, Any]", config)
        own: dict[str, Any] = dict(known.get("antiphon") or {})
        if self._options.engines == "scripted":
            own |= {"stt": {"engine": "scene"}, "vad": {"engine": "energy"}, "tts": {"engine": "scripted"}}
            own |= {"turn": None, "stt_fallbacks": [], "tts_fallbacks": [], "llm_fallbacks": []}
            llm: Any = self._scene.engines.get("llm") or own.get("llm") or {}
            if self._scene.engines.get("llm") is None and llm.get("engine") != "scripted":
                message = (
                    "the agent does not think with the engine `scripted`: give the scene `engines: {llm: ...}`, or run "
                    "it with --engines agent"
                )
                raise ConfigError(message, path="conversation_config.antiphon.llm")
        own |= self._scene.engines
        return {**document, "conversation_config": {**known, "antiphon": own}}

    def _initiation(self) -> ev.ConversationInitiation:
        asked = self._scene.initiation
        return ev.ConversationInitiation(
            config_override=asked.config_override,
            dynamic_variables=asked.dynamic_variables,
            custom_llm_extra_body=asked.custom_llm_extra_body,
            user_id=asked.user_id,
        )

    def _initiated(self, agent: AgentConfig) -> AgentConfig:
        asked = self._scene.initiation
        zone = agent.conversation_config.agent.prompt.timezone
        return initiate(
            agent,
            config_override=asked.config_override,
            dynamic_variables=asked.dynamic_variables,
            custom_llm_extra_body=asked.custom_llm_extra_body,
            system_variables={"system__conversation_id": "conv_simulated", **time_variables(0.0, zone)},
        )

    def _with_tools(self, engines: Engines) -> Engines:
        """Tools of any kind that the scene answers for are asked for at the client, where the scene is."""
        tools = dict(engines.tools)
        for name in self._scene.tools:
            tool = tools.get(name)
            if tool is None:
                known = ", ".join(sorted(tools)) or "none"
                raise ConfigError(f"the agent has no tool of this name (it has: {known})", path=f"tools.{name}")
            if tool.type == "system":
                raise ConfigError("a system tool does what it does: a scene cannot answer for it", path=f"tools.{name}")
            if tool.type != "client":
                parameters = tool.json_schema() if tool.parameters is None else tool.parameters
                tools[name] = tool.model_copy(
                    update={"type": "client", "expects_response": True, "parameters": parameters, "api_schema": None}
                )
        return dataclasses.replace(engines, tools=tools)

    # ------------------------------------------------------------------------------------------------- the caller

    async def _voice(self, registry: Registry, engines: Engines, agent: AgentConfig) -> TextToSpeech | None:
        """What the caller speaks with; None: a hum."""
        if self._scene.voice is None:
            return engines.tts if self._options.engines == "agent" else None
        options = dict(self._scene.voice)
        name = options.pop("engine")
        context = EngineContext(
            language=agent.conversation_config.agent.language, voice_id=str(options.pop("voice_id", ""))
        )
        voice: TextToSpeech = registry.create("tts", name, options, context)
        await voice.prepare()
        return voice

    async def _persona(
        self, registry: Registry, mouth: Mouth, agent: AgentConfig, *, text_only: bool
    ) -> PlayedCaller | None:
        persona = self._scene.caller
        if not isinstance(persona, doc.Persona):
            return None
        options = dict(persona.llm)
        context = EngineContext(
            language=agent.conversation_config.agent.language, model=str(options.get("model") or "")
        )
        llm: LanguageModel = registry.create("llm", options.pop("engine"), options, context)
        await llm.prepare()
        return PlayedCaller(persona, llm, mouth, after=self._draw(persona.after), types=text_only)

    def _tools(self) -> dict[str, list[ToolAnswer]]:
        answers: dict[str, list[ToolAnswer]] = {}
        for name, given in self._scene.tools.items():
            listed = given if isinstance(given, list) else [given]
            answers[name] = [
                ToolAnswer(
                    answer.returns if answer.fails is None else answer.fails,
                    answer.fails is not None,
                    self._draw(answer.after),
                    answer.never is True,
                )
                for answer in listed
            ]
        return answers

    async def _acts(self, mouth: Mouth, input_format: AudioFormat, *, text_only: bool) -> list[Act]:
        steps = self._scene.caller
        if isinstance(steps, doc.Persona):
            return []
        acts: list[Act] = []
        for index, step in enumerate(steps):
            where = f"caller.{index}"
            if text_only and isinstance(step, doc.Says | doc.BargesIn | doc.Hums | doc.Noise):
                raise ConfigError("the agent is text only: it cannot hear; use `types`", path=where)
            acts.append(await self._act(step, where, mouth, input_format))
        return acts

    async def _act(self, step: doc.Step, where: str, mouth: Mouth, input_format: AudioFormat) -> Act:
        match step:
            case doc.Says():
                return Act(step, where, self._draw(step.after), await self._utter(mouth, step.says, step))
            case doc.BargesIn():
                return Act(step, where, self._draw(step.into), await self._utter(mouth, step.barges_in, step))
            case doc.Hums():
                return Act(step, where, self._draw(step.into), await self._utter(mouth, step.hums, step))
            case doc.Noise():
                seconds = self._draw(step.noise)
                wait = self._draw(step.after if step.into is None else step.into)
                sound = self._noise(input_format, seconds)
                return Act(step, where, wait, Utterance(f"{seconds:g} s", sound, seconds, ()))
            case doc.Types():
                return Act(step, where, self._draw(step.after), event=ev.UserMessage(text=step.types))
            case doc.Sends():
                try:
                    event = decode_client(json.dumps(step.sends))
                except ProtocolError as error:
                    raise ConfigError(f"is no message of a client: {error}", path=f"{where}.sends") from error
                return Act(step, where, self._draw(step.after), event=event)
            case doc.StaysSilent():
                return Act(step, where, self._draw(step.stays_silent))
            case doc.HangsUp():
                return Act(step, where, self._draw(step.after))
            case doc.Hears() | doc.Mutes():
                return Act(step, where)

    async def _utter(self, mouth: Mouth, words: str, step: doc.Says | doc.BargesIn | doc.Hums) -> Utterance:
        seconds = None if step.seconds is None else self._draw(step.seconds)
        return await mouth.utterance(words, seconds=seconds, heard_as=step.heard_as)

    def _noise(self, audio_format: AudioFormat, seconds: float) -> bytes:
        samples = np.random.default_rng(self._seed).integers(
            -NOISE_LEVEL, NOISE_LEVEL, round(seconds * audio_format.rate), np.int16
        )
        return Encoder(audio_format.rate, audio_format).encode(samples.tobytes())
