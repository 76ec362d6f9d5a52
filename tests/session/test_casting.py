"""What a conversation changes to while it goes on is made once, shared where it can be, and closed with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from antiphon.agents.config import AgentConfig
from antiphon.agents.folder import FolderWorkspace
from antiphon.agents.initiation import in_language, initiate, transferred
from antiphon.engines.base import EngineContext
from antiphon.engines.registry import Registry
from antiphon.errors import EngineError, SessionError
from antiphon.session.casting import Casting
from antiphon.session.engines import Engines, load_engines
from antiphon.simulation.engines import ScriptedTextToSpeech, create_text_to_speech
from antiphon.simulation.loop import run

ANTIPHON = {
    "llm": {"engine": "scripted", "rules": [{"say": "Yes."}]},
    "stt": {"engine": "scripted"},
    "tts": {"engine": "counted"},
    "vad": {"engine": "energy"},
}
DESK: dict[str, Any] = {
    "antiphon": ANTIPHON,
    "tts": {"voice_id": "v1"},
    "language_presets": {"de": {"overrides": {"tts": {"voice_id": "v2"}}}, "xx": {}},
}


class Voices:
    """Makes scripted voices and counts them; there is none for the language `xx`."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.closed: list[str] = []

    def create(self, options: Mapping[str, Any], context: EngineContext) -> Counted:
        return Counted(create_text_to_speech(options, context), context, self)

    def registry(self) -> Registry:
        registry = Registry()
        registry.add("tts", "counted", self.create)
        return registry


class Counted:
    """A scripted voice that takes a second to start."""

    def __init__(self, voice: ScriptedTextToSpeech, context: EngineContext, voices: Voices) -> None:
        self.sample_rate, self.speak = voice.sample_rate, voice.speak
        self.context, self.voices = context, voices

    async def prepare(self) -> None:
        await asyncio.sleep(1.0)
        if self.context.language == "xx":
            raise EngineError("counted", "no such language")
        self.voices.made.append(self.context.voice_id)

    async def aclose(self) -> None:
        self.voices.closed.append(self.context.voice_id)


@pytest.fixture
def workspace(tmp_path: Path) -> FolderWorkspace:
    """Two agents: `desk`, in three languages, and `billing`, with a voice of its own."""
    billing = {"antiphon": ANTIPHON, "tts": {"voice_id": "v3"}}
    for name, config in (("desk", DESK), ("billing", billing)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"agent_id": name, "conversation_config": config}))
    return FolderWorkspace.load(tmp_path)


def begun(agent: AgentConfig) -> AgentConfig:
    system = {"system__conversation_id": "conv_1"}
    return initiate(agent, config_override={}, dynamic_variables={}, custom_llm_extra_body={}, system_variables=system)


async def casting(workspace: FolderWorkspace, voices: Voices) -> tuple[AgentConfig, Engines, Casting]:
    """The desk in one conversation, its engines, and what it may change to."""
    agent = await workspace.agent("desk")
    base = await load_engines(agent, registry := voices.registry(), models={}, workspace=workspace)
    return begun(agent), base, Casting(registry, models={}, workspace=workspace, base=base)


def test_another_language_has_its_own_voice_and_the_old_one_is_kept(workspace: FolderWorkspace) -> None:
    """What is the same in both is shared; going back costs nothing; only what was made for it is closed."""

    async def scene() -> None:
        voices = Voices()
        agent, base, cast = await casting(workspace, voices)
        german = await cast.engines(in_language(agent, "de"))
        assert german.vad is base.vad
        assert german.llm is base.llm
        assert german.tts is not base.tts
        english = await cast.engines(in_language(in_language(agent, "de"), "en"))
        assert (english.tts, english.stt) == (base.tts, base.stt)
        assert (await cast.engines(in_language(agent, "de"))).tts is german.tts
        assert voices.made == ["v1", "v2"]
        await cast.aclose()
        await cast.aclose()
        assert voices.closed == ["v2"]

    run(scene())


def test_another_agent_takes_over_with_its_own_engines(workspace: FolderWorkspace) -> None:
    """It is found by its id; two that ask at once get the same engines."""

    async def scene() -> None:
        voices = Voices()
        agent, base, cast = await casting(workspace, voices)
        billing = transferred(agent, await cast.agent("billing"), keeps_tts_overrides=False, system_variables={})
        first, second = await asyncio.gather(cast.engines(billing), cast.engines(billing))
        assert first.tts is second.tts is not base.tts
        assert voices.made == ["v1", "v3"]
        await cast.aclose()
        assert voices.closed == ["v3"]

    run(scene())


def test_what_cannot_be_had_leaves_the_conversation_as_it_is(workspace: FolderWorkspace) -> None:
    """An unknown agent, a voice that does not start: an error that a tool reports, and nothing left open."""

    async def scene() -> None:
        voices = Voices()
        agent, base, cast = await casting(workspace, voices)
        with pytest.raises(SessionError, match="no agent with id 'nobody'"):
            await cast.agent("nobody")
        with pytest.raises(SessionError, match="no such language"):
            await cast.engines(in_language(agent, "xx"))
        assert voices.closed == ["v1"]  # the voice of `xx`, which has the agent's own id
        assert (await cast.engines(agent)).tts is base.tts
        with pytest.raises(SessionError, match="no agent"):
            await Casting(Registry(), models={}, workspace=None, base=base).agent("desk")

    run(scene())
