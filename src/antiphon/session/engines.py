"""What an agent hears, thinks and speaks with, made by name from its document and shared by its conversations."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from antiphon.agents.config import AgentConfig
from antiphon.agents.tools import ToolConfig
from antiphon.agents.workspace import Workspace, tools_of
from antiphon.engines.base import (
    EngineContext,
    LanguageModel,
    Scripted,
    SpeechToText,
    TextToSpeech,
    TurnDetector,
    VoiceActivityModel,
)
from antiphon.engines.cascades.language_model import LanguageModelCascade
from antiphon.engines.cascades.speech_to_text import SpeechToTextCascade
from antiphon.engines.cascades.text_to_speech import TextToSpeechCascade
from antiphon.engines.registry import Kind, Registry
from antiphon.engines.rehearsed import Rehearsed
from antiphon.errors import ConfigError
from antiphon.turns.backchannels import backchannels

from .custom_llm import resolved
from .lines import rehearsable

logger = logging.getLogger(__name__)

REHEARSAL = 20.0
"Seconds that rehearsing all of an agent's lines may take: its start must not wait longer."


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
    turn: TurnDetector | None = None
    "None where pauses and words alone decide whose turn it is."
    tools: Mapping[str, ToolConfig] = field(default_factory=dict[str, ToolConfig])
    recipes: Mapping[Kind, Recipe] = field(default_factory=dict[Kind, Recipe])
    owned: frozenset[Kind] = frozenset()

    async def aclose(self) -> None:
        """Free the engines that are its own."""
        for kind in self.owned - {"vad"}:
            await getattr(self, kind).aclose()


async def load_engines(
    agent: AgentConfig,
    registry: Registry,
    *,
    models: Mapping[str, Mapping[str, Any]],
    workspace: Workspace | None = None,
    base: Engines | None = None,
    others: Sequence[Engines] = (),
    environment: Mapping[str, str] | None = None,
) -> Engines:
    """Make and prepare an agent's engines, those of `base` and of `others` taken over where they would be the same.

    `environment`: what `env_var_label` names; None: that of the process. Without a `base` the voice rehearses what the
    agent says when nothing else can be said; a conversation that asked for another voice does not wait for that.

    Raises:
        ConfigError: an engine is unknown, cannot be had here, or does not suit the agent.
        EngineError: an engine failed to start.
    """
    context = await _context(agent, models, workspace, os.environ if environment is None else environment)
    tools = await tools_of(agent, workspace)
    made: dict[Kind, Any] = {}
    recipes: dict[Kind, Recipe] = {}
    owned: set[Kind] = set()
    known = [*([] if base is None else [base]), *others]
    try:
        for kind in _kinds(agent):
            recipe = recipes[kind] = _recipe(kind, agent, context)
            shared = next((engines for engines in known if engines.recipes.get(kind) == recipe), None)
            if shared is not None:
                made[kind] = getattr(shared, kind)
            else:
                made[kind] = _make(kind, recipe, agent, registry, context)
                owned.add(kind)
                if kind != "vad":
                    await made[kind].prepare()
            if kind == "llm":
                context = _with_script(context, made[kind])
        if base is None and "tts" in made:
            await _rehearse(made["tts"], rehearsable(agent))
    except BaseException:
        for kind in owned - {"vad"}:
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
    others: Sequence[Engines] = (),
    environment: Mapping[str, str] | None = None,
) -> Engines:
    """The engines of one conversation: `base`, the agent's own, unless an override asks for another voice, language or
    model. What is new is to be closed with the result. Raises as `load_engines`."""
    return await load_engines(
        agent, registry, models=models, workspace=workspace, base=base, others=others, environment=environment
    )


def _kinds(agent: AgentConfig) -> tuple[Kind, ...]:
    """What the agent needs, the language model first: what it knows helps speech-to-text."""
    config = agent.conversation_config
    if config.conversation.text_only:
        return ("llm",)
    return ("llm", "vad", "stt", "tts") if config.antiphon.turn is None else ("llm", "vad", "turn", "stt", "tts")


async def _rehearse(voice: Rehearsed, lines: Iterable[str]) -> None:
    """Have the lines ready, as many as there is time for."""
    try:
        async with asyncio.timeout(REHEARSAL):
            await voice.rehearse(lines)
    except TimeoutError:
        logger.warning("not all lines could be rehearsed within %g s", REHEARSAL)


async def _context(
    agent: AgentConfig,
    models: Mapping[str, Mapping[str, Any]],
    workspace: Workspace | None,
    environment: Mapping[str, str],
) -> EngineContext:
    config = agent.conversation_config
    prompt = config.agent.prompt
    return EngineContext(
        agent_id=agent.agent_id,
        language=config.agent.language,
        keywords=list(config.asr.keywords),
        agent_texts=[config.agent.first_message] if config.agent.first_message else [],
        backchannels=_backchannels(agent),
        voice_id=config.tts.voice_id,
        speed=config.tts.speed,
        model=prompt.llm,
        temperature=prompt.temperature,
        max_tokens=prompt.max_tokens,
        custom_llm=await resolved(agent, workspace, environment),
        models=models,
    )


def _backchannels(agent: AgentConfig) -> list[str]:
    """What the turn machine takes for listening, where this agent can be interrupted at all."""
    config = agent.conversation_config
    if "interruption" not in config.effective_client_events:
        return []
    turn = config.turn
    languages = turn.interruption_ignore_term_languages or (config.agent.language,)
    common = [backchannels(language) for language in languages] if turn.merge_with_default_ignore_terms else []
    return sorted({term.casefold().strip() for term in turn.interruption_ignore_terms}.union(*common))


def _make(kind: Kind, recipe: Recipe, agent: AgentConfig, registry: Registry, context: EngineContext) -> Any:
    """The agent's own engine, held to its limits, with those behind it that take over when it fails.

    A fallback that cannot be made is logged and left out: the agent's own may never need it.
    """
    own = registry.create(kind, recipe.name, json.loads(recipe.options)["own"], context)
    if kind not in _CASCADED:
        return own
    engines, names = [own], [recipe.name]
    for label, options, its_context in _fallbacks(kind, agent, context):
        try:
            engines.append(registry.create(kind, label, options, its_context))
        except ConfigError as error:
            logger.warning("a fallback engine cannot be had: %s", error, extra={"agent_id": agent.agent_id})
        else:
            names.append(label)
    if kind == "tts":
        cascade: Any = TextToSpeechCascade(engines, names)  # its rate is a property: whose first voice, so its rate
        return Rehearsed(cascade)
    if kind == "stt":
        return own if len(engines) == 1 else SpeechToTextCascade(engines, names)
    return LanguageModelCascade(
        engines, names, first_token=agent.conversation_config.agent.prompt.cascade_timeout_seconds
    )


_CASCADED: tuple[Kind, ...] = ("llm", "stt", "tts")
"Kinds that can have fallbacks."


def _fallbacks(
    kind: Kind, agent: AgentConfig, context: EngineContext
) -> Iterator[tuple[str, dict[str, Any], EngineContext]]:
    """Name, options and context of each engine behind the agent's own, in the order in which they are asked."""
    config = agent.conversation_config
    for fallback in getattr(config.antiphon, f"{kind}_fallbacks"):
        options = dict(fallback)
        yield options.pop("engine"), options, context
    if kind != "llm":
        return
    backup = config.agent.prompt.backup_llm_config
    models = backup.order if backup.preference == "override" else ()
    if backup.preference == "default" and _BACKUP in context.models:
        models = (_BACKUP,)
    for model in models:
        yield "openai", {}, msgspec.structs.replace(context, model=model, custom_llm=None)


_BACKUP = "backup"
"The name in the setting `llm_models` of the model that the operator has in reserve."


def _with_script(context: EngineContext, llm: LanguageModel) -> EngineContext:
    """A scripted model knows what callers may say: speech-to-text listens for that."""
    llm = llm.first if isinstance(llm, LanguageModelCascade) else llm
    if not isinstance(llm, Scripted):
        return context
    return msgspec.structs.replace(
        context, phrasings=list(llm.phrasings), agent_texts=[*context.agent_texts, *llm.texts]
    )


_RELEVANT: Mapping[Kind, tuple[str, ...]] = {
    "llm": ("model", "temperature", "max_tokens", "custom_llm"),
    "vad": (),
    "turn": ("language",),
    "stt": ("language", "keywords", "phrasings", "agent_texts", "backchannels"),
    "tts": ("language", "voice_id", "speed"),
}
"What of the context an engine of each kind looks at."


def _recipe(kind: Kind, agent: AgentConfig, context: EngineContext) -> Recipe:
    options: dict[str, Any] = dict(getattr(agent.conversation_config.antiphon, kind))
    relevant = {name: getattr(context, name) for name in _RELEVANT[kind]}
    name = options.pop("engine")
    cascaded = _fallbacks(kind, agent, context) if kind in _CASCADED else ()
    behind = [[*each[:2], each[2].model] for each in cascaded]
    limit = agent.conversation_config.agent.prompt.cascade_timeout_seconds if kind == "llm" else None
    made_of = {"own": options, "behind": behind, "limit": limit}
    return Recipe(kind, name, json.dumps(made_of, sort_keys=True), json.dumps(relevant, sort_keys=True))
