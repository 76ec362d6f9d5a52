"""Configuration + engines -> a Session. The only place that puts one together."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from antiphon.agents.config import AgentConfig
from antiphon.agents.tools import ToolConfig
from antiphon.agents.workspace import Workspace, tools_of
from antiphon.audio.formats import parse_format
from antiphon.engines.base import (
    SILENT_USER,
    EngineContext,
    LanguageModel,
    Message,
    Request,
    Scripted,
    SpeechToText,
    TextToSpeech,
    VoiceActivityModel,
)
from antiphon.engines.registry import Kind, Registry
from antiphon.errors import ConfigError
from antiphon.protocol.events import ServerEvent
from antiphon.protocol.server import EventIds
from antiphon.record.journal import Journal
from antiphon.record.transcript import Transcript
from antiphon.turns.endpointing import SpeechPolicy
from antiphon.turns.machine import TurnPolicy

from .context import messages
from .hearing import Hearing
from .outbox import Outbox
from .reply import Mind
from .session import Lines, Session
from .speaking import Voice
from .tools.runner import ToolRunner

ENDPOINT_DELAY = {"eager": 0.35, "normal": 0.5, "patient": 0.9}
"`turn.turn_eagerness`: seconds of silence after which the user's turn is over."

REPROMPT = "Sorry, I did not catch that. Could you say it again?"
APOLOGY = "Sorry, something went wrong on my side. Could you say that again?"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an engine was made from: two agents with equal recipes can share the engine."""

    kind: Kind
    name: str
    options: str
    context: str


@dataclass(slots=True)
class Engines:
    """What an agent hears, thinks and speaks with. Engines that were borrowed from another set are not closed here."""

    llm: LanguageModel
    vad: VoiceActivityModel | None = None
    stt: SpeechToText | None = None
    tts: TextToSpeech | None = None
    "None where the agent is text only."
    tools: Mapping[str, ToolConfig] = field(default_factory=dict[str, ToolConfig])
    recipes: Mapping[Kind, Recipe] = field(default_factory=dict[Kind, Recipe])
    owned: frozenset[Kind] = frozenset()

    async def aclose(self) -> None:
        """Free the engines that are its own."""
        if "llm" in self.owned:
            await self.llm.aclose()
        if self.stt is not None and "stt" in self.owned:
            await self.stt.aclose()
        if self.tts is not None and "tts" in self.owned:
            await self.tts.aclose()


async def load_engines(
    agent: AgentConfig,
    registry: Registry,
    *,
    models: Mapping[str, Mapping[str, Any]],
    workspace: Workspace | None = None,
    base: Engines | None = None,
) -> Engines:
    """Make and prepare an agent's engines, those of `base` taken over where they would be the same.

    Raises:
        ConfigError: an engine is unknown, cannot be had here, or does not suit the agent.
        EngineError: an engine failed to start.
    """
    context = await _context(agent, models, workspace)
    tools = await tools_of(agent, workspace)
    made: dict[Kind, Any] = {}
    recipes: dict[Kind, Recipe] = {}
    owned: set[Kind] = set()
    kinds: tuple[Kind, ...] = (
        ("llm",) if agent.conversation_config.conversation.text_only else ("llm", "vad", "stt", "tts")
    )
    try:
        for kind in kinds:
            recipe = recipes[kind] = _recipe(kind, agent, context)
            if base is not None and base.recipes.get(kind) == recipe:
                made[kind] = getattr(base, kind)
            else:
                made[kind] = registry.create(kind, recipe.name, json.loads(recipe.options), context)
                owned.add(kind)
                if kind != "vad":
                    await made[kind].prepare()
            if kind == "llm":
                context = _with_script(context, made[kind])
    except BaseException:
        for kind in owned - {"vad"}:
            if kind in made:
                await made[kind].aclose()
        raise
    return Engines(**made, tools=tools, recipes=recipes, owned=frozenset(owned))


async def engines_for(
    agent: AgentConfig,
    base: Engines,
    registry: Registry,
    *,
    models: Mapping[str, Mapping[str, Any]],
    workspace: Workspace | None = None,
) -> Engines:
    """The engines of one conversation: `base`, the agent's own, unless an override asks for another voice, language or
    model. What is new is to be closed with the result. Raises as `load_engines`."""
    return await load_engines(agent, registry, models=models, workspace=workspace, base=base)


async def _context(
    agent: AgentConfig, models: Mapping[str, Mapping[str, Any]], workspace: Workspace | None
) -> EngineContext:
    config = agent.conversation_config
    prompt = config.agent.prompt
    return EngineContext(
        agent_id=agent.agent_id,
        language=config.agent.language,
        keywords=list(config.asr.keywords),
        agent_texts=[config.agent.first_message] if config.agent.first_message else [],
        voice_id=config.tts.voice_id,
        speed=config.tts.speed,
        model=prompt.llm,
        temperature=prompt.temperature,
        max_tokens=prompt.max_tokens,
        custom_llm=await _with_secrets(prompt.custom_llm, workspace),
        models=models,
    )


async def _with_secrets(custom_llm: Mapping[str, Any] | None, workspace: Workspace | None) -> Mapping[str, Any] | None:
    """The custom model's key as text: the file names a secret of the workspace."""
    if custom_llm is None:
        return None
    key = custom_llm.get("api_key")
    if not isinstance(key, Mapping):
        return custom_llm
    secret_id = cast("Mapping[str, Any]", key).get("secret_id")
    if not isinstance(secret_id, str) or workspace is None:
        path = "conversation_config.agent.prompt.custom_llm.api_key"
        raise ConfigError("name a secret of the workspace: {'secret_id': ...}", path=path)
    return {**custom_llm, "api_key": await workspace.secret(secret_id)}


def _with_script(context: EngineContext, llm: LanguageModel) -> EngineContext:
    """A scripted model knows what callers may say: speech-to-text listens for that."""
    if not isinstance(llm, Scripted):
        return context
    return msgspec.structs.replace(
        context, phrasings=list(llm.phrasings), agent_texts=[*context.agent_texts, *llm.texts]
    )


_RELEVANT: Mapping[Kind, tuple[str, ...]] = {
    "llm": ("model", "temperature", "max_tokens", "custom_llm"),
    "vad": (),
    "stt": ("language", "keywords", "phrasings", "agent_texts"),
    "tts": ("language", "voice_id", "speed"),
}
"What of the context an engine of each kind looks at."


def _recipe(kind: Kind, agent: AgentConfig, context: EngineContext) -> Recipe:
    options: dict[str, Any] = dict(getattr(agent.conversation_config.antiphon, kind))
    relevant = {name: getattr(context, name) for name in _RELEVANT[kind]}
    return Recipe(
        kind, options.pop("engine"), json.dumps(options, sort_keys=True), json.dumps(relevant, sort_keys=True)
    )


# ----------------------------------------------------------------------------------------------------- sessions


def turn_policy(agent: AgentConfig, *, text_only: bool) -> TurnPolicy:
    """The agent's `turn` block, as the turn machine takes it. -1 is the API's "off"."""
    turn = agent.conversation_config.turn
    events = agent.conversation_config.effective_client_events
    return TurnPolicy(
        endpoint_delay=ENDPOINT_DELAY[turn.turn_eagerness],
        turn_timeout=None if text_only else _limit(turn.turn_timeout),
        initial_wait_time=None if text_only else _limit(turn.initial_wait_time),
        silence_end_call_timeout=_limit(turn.silence_end_call_timeout),
        max_duration=_limit(agent.conversation_config.conversation.max_duration_seconds),
        interruptible="interruption" in events,
        first_message_interruptible=not agent.conversation_config.agent.disable_first_message_interruptions,
    )


def _limit(seconds: float | None) -> float | None:
    return None if seconds is None or seconds < 0 else seconds


def assemble(
    agent: AgentConfig,
    engines: Engines,
    *,
    conversation_id: str,
    send: Callable[[ServerEvent], Awaitable[None]],
    write: Callable[[bytes], None],
    clock: Callable[[], float],
    header: Mapping[str, Any],
) -> Session:
    """One conversation with `agent`, whose overrides and variables are settled (`agents.initiation`).

    `send` takes events to the client, one after another; `write` takes journal lines; `clock` has the time base of the
    running loop; `header` is what the journal's first line says besides: started_at (epoch seconds), user_id,
    initiation (wire JSON), authorization_method.
    """
    config = agent.conversation_config
    text_only = config.conversation.text_only
    journal = Journal(write, clock)
    journal.begin(
        {
            "conversation_id": conversation_id,
            "agent_id": agent.agent_id,
            "agent_name": agent.name,
            **header,
            "language": config.agent.language,
            "text_only": text_only,
        }
    )
    ids, transcript = EventIds(), Transcript()
    events = config.effective_client_events
    if text_only and config.conversation.client_events is None:
        events |= {"agent_chat_response_part"}  # without sound, the streamed text is the main event (protocol.md S7)
    outbox = Outbox(send, journal, transcript, events)
    tools = ToolRunner(engines.tools, agent.dynamic_variables, outbox, ids)
    english = config.agent.language.lower().startswith("en")
    return Session(
        policy=turn_policy(agent, text_only=text_only),
        lines=Lines(config.agent.first_message, REPROMPT if english else None),
        mind=Mind(engines.llm, _requests(agent, transcript, tools, header), tools, APOLOGY),
        hearing=None if text_only else _hearing(agent, engines, outbox, ids, journal),
        voice=None if text_only else _voice(agent, engines, outbox, ids, journal, clock),
        input_format=parse_format(config.asr.user_input_audio_format),
        outbox=outbox,
        transcript=transcript,
        ids=ids,
        journal=journal,
        clock=clock,
    )


def _requests(
    agent: AgentConfig, transcript: Transcript, tools: ToolRunner, header: Mapping[str, Any]
) -> Callable[[], Request]:
    prompt, extra_body = agent.conversation_config.agent.prompt.prompt, agent.custom_llm_extra_body

    def request() -> Request:
        context = messages(prompt, transcript.entries)
        if _asks_nothing(context):
            context.append(Message("user", SILENT_USER))
        return Request(context, tools.specs, header.get("user_id"), extra_body)

    return request


def _asks_nothing(context: Sequence[Message]) -> bool:
    """Whether the agent had the last word; what the client told in the background is nobody's."""
    last = next((message for message in reversed(context) if message.role != "system"), None)
    return last is None or last.role == "assistant"


def _hearing(agent: AgentConfig, engines: Engines, outbox: Outbox, ids: EventIds, journal: Journal) -> Hearing:
    assert engines.vad is not None, "an agent that hears has engines to hear with"
    assert engines.stt is not None, "an agent that hears has engines to hear with"
    return Hearing(
        vad=engines.vad.stream(),
        stt=engines.stt,
        audio_format=parse_format(agent.conversation_config.asr.user_input_audio_format),
        policy=SpeechPolicy(),
        outbox=outbox,
        ids=ids,
        journal=journal,
    )


def _voice(
    agent: AgentConfig,
    engines: Engines,
    outbox: Outbox,
    ids: EventIds,
    journal: Journal,
    clock: Callable[[], float],
) -> Voice:
    assert engines.tts is not None, "an agent that speaks has an engine to speak with"
    return Voice(
        tts=engines.tts,
        audio_format=parse_format(agent.conversation_config.tts.agent_output_audio_format),
        outbox=outbox,
        ids=ids,
        journal=journal,
        clock=clock,
    )
