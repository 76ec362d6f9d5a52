"""What an agent hears, thinks and speaks with, made by name from its document and shared by its conversations."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

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
    VoiceActivityModel,
)
from antiphon.engines.cascades.language_model import LanguageModelCascade
from antiphon.engines.cascades.text_to_speech import TextToSpeechCascade
from antiphon.engines.registry import Kind, Registry
from antiphon.errors import ConfigError

logger = logging.getLogger(__name__)


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
                engine = registry.create(kind, recipe.name, json.loads(recipe.options)["own"], context)
                made[kind] = _cascade(kind, engine, recipe.name, agent, registry, context)
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


def _cascade(kind: Kind, own: Any, name: str, agent: AgentConfig, registry: Registry, context: EngineContext) -> Any:
    """The agent's own engine, held to its limits, with those behind it that take over when it fails.

    A fallback that cannot be made is logged and left out: the agent's own may never need it.
    """
    if kind not in ("llm", "tts"):
        return own
    engines, names = [own], [name]
    for label, options, its_context in _fallbacks(kind, agent, context):
        try:
            engines.append(registry.create(kind, label, options, its_context))
        except ConfigError as error:
            logger.warning("a fallback engine cannot be had: %s", error, extra={"agent_id": agent.agent_id})
        else:
            names.append(label)
    if kind == "tts":
        return TextToSpeechCascade(engines, names)
    return LanguageModelCascade(
        engines, names, first_token=agent.conversation_config.agent.prompt.cascade_timeout_seconds
    )


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
    "stt": ("language", "keywords", "phrasings", "agent_texts"),
    "tts": ("language", "voice_id", "speed"),
}
"What of the context an engine of each kind looks at."


def _recipe(kind: Kind, agent: AgentConfig, context: EngineContext) -> Recipe:
    options: dict[str, Any] = dict(getattr(agent.conversation_config.antiphon, kind))
    relevant = {name: getattr(context, name) for name in _RELEVANT[kind]}
    name = options.pop("engine")
    behind = [[*each[:2], each[2].model] for each in _fallbacks(kind, agent, context)] if kind in ("llm", "tts") else []
    limit = agent.conversation_config.agent.prompt.cascade_timeout_seconds if kind == "llm" else None
    made_of = {"own": options, "behind": behind, "limit": limit}
    return Recipe(kind, name, json.dumps(made_of, sort_keys=True), json.dumps(relevant, sort_keys=True))
