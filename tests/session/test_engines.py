"""An agent's engines: made once, shared where they would be the same, with those behind them that take over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from antiphon.agents.config import AgentConfig
from antiphon.agents.initiation import initiate
from antiphon.engines.base import (
    SILENT_USER,
    EngineContext,
    Message,
    Recognition,
    Request,
    Speech,
    TextDelta,
    Thought,
    Transcript,
)
from antiphon.engines.registry import KINDS, Kind, Registry
from antiphon.errors import ConfigError, EngineError, NotFoundError
from antiphon.session.engines import Engines, engines_for, load_engines
from antiphon.simulation.loop import run

REQUEST = Request([Message("user", SILENT_USER)])


class Engine:
    """Any engine: says its label, or fails; knows what was done to it."""

    sample_rate = 16_000

    def __init__(self, kind: Kind, options: Mapping[str, Any], context: EngineContext) -> None:
        self.kind, self.options, self.context = kind, dict(options), context
        self.label = str(options.get("label") or context.model)
        self.prepared = self.closed = 0
        self.spoken: list[str] = []

    async def prepare(self) -> None:
        self.prepared += 1
        if self.options.get("breaks") == "prepare":
            raise EngineError(self.label, "cannot start")

    async def aclose(self) -> None:
        self.closed += 1

    async def reply(self, request: Request) -> AsyncGenerator[Thought]:
        if self.options.get("breaks"):
            raise EngineError(self.label, "no")
        yield TextDelta(self.label)

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        self.spoken.append(text)
        if self.options.get("breaks"):
            raise EngineError(self.label, "no")
        await asyncio.sleep(self.options.get("delay", 0.0))
        yield Speech(self.label.encode() * 2)

    @asynccontextmanager
    async def stream(self) -> AsyncGenerator[Recognition]:
        if self.options.get("breaks"):
            raise EngineError(self.label, "no")
        yield Ear(self.label)

    async def complete(self, audio: bytes) -> float:
        return 0.5


class Ear:
    def __init__(self, label: str) -> None:
        self.label = label

    def feed(self, audio: bytes) -> None: ...

    def finish(self) -> None: ...

    def discard(self) -> None: ...

    async def transcripts(self) -> AsyncGenerator[Transcript]:
        yield Transcript(self.label, final=True)


class Workshop(Registry):
    """Makes engines called `any` (and `openai`, as backup models are) and remembers them; `none` cannot be had."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Engine] = []
        for kind in KINDS:
            for name in ("any", "openai"):
                self.add(kind, name, lambda options, context, kind=kind: self._make(kind, options, context))
            self.add(kind, "none", self._refuse)

    def _make(self, kind: Kind, options: Mapping[str, Any], context: EngineContext) -> Engine:
        engine = Engine(kind, options, context)
        self.made.append(engine)
        return engine

    @staticmethod
    def _refuse(options: Mapping[str, Any], context: EngineContext) -> Engine:
        raise ConfigError("cannot be had here", path="antiphon.x")

    def of(self, kind: Kind) -> list[Engine]:
        return [engine for engine in self.made if engine.kind == kind]


class Secrets:
    """A workspace with one secret."""

    async def secret(self, secret_id: str) -> str:
        if secret_id != "key":
            raise NotFoundError("secret", secret_id)
        return "hush"


def agent(antiphon: Mapping[str, Any] | None = None, **blocks: Mapping[str, Any]) -> AgentConfig:
    engines = {kind: {"engine": "any", "label": kind} for kind in ("llm", "vad", "stt", "tts")}
    config = {"antiphon": {**engines, **(antiphon or {})}, **blocks}
    allowed = {"overrides": {"conversation_config_override": {"tts": True, "conversation": True}}}
    document = {"conversation_config": config, "platform_settings": allowed}
    return AgentConfig.parse(document, agent_id="desk", path="agents/desk.json")


def started(base: AgentConfig, override: Mapping[str, Any] | None = None, **variables: Any) -> AgentConfig:
    return initiate(
        base,
        config_override=override or {},
        dynamic_variables=variables,
        custom_llm_extra_body={},
        system_variables={"system__conversation_id": "conv_1"},
    )


async def load(loaded: AgentConfig, workshop: Workshop, **more: Any) -> Engines:
    return await load_engines(loaded, workshop, models=more.pop("models", {}), **more)


async def answer(engines: Engines) -> str:
    return "".join([each.text async for each in engines.llm.reply(REQUEST) if isinstance(each, TextDelta)])


# ------------------------------------------------------------------------------------------------------- making


def test_engines_are_made_prepared_and_closed_once() -> None:
    """Whatever an agent needs, and nothing else."""

    async def scene() -> None:
        workshop = Workshop()
        engines = await load(agent({"turn": {"engine": "any", "label": "turn"}}), workshop)
        assert sorted(engine.kind for engine in workshop.made) == sorted(KINDS)
        assert engines.turn is workshop.of("turn")[0]
        await engines.aclose()
        needed = [engine for engine in workshop.made if engine.kind != "vad"]  # which is only asked for streams
        assert {(engine.prepared, engine.closed) for engine in needed} == {(1, 1)}

    run(scene())


@pytest.mark.parametrize(
    ("blocks", "included", "left_out"),
    [
        ({"turn": {"interruption_ignore_terms": ["Roger"]}}, {"mm hm", "okay", "roger"}, {"genau"}),
        ({"turn": {"interruption_ignore_term_languages": ["de"]}}, {"mm hm", "genau"}, {"yeah"}),
        ({"turn": {"merge_with_default_ignore_terms": False}}, set[str](), {"mm hm"}),
        ({"conversation": {"client_events": ["audio"]}}, set[str](), {"mm hm"}),
    ],
)
def test_speech_to_text_knows_which_backchannels_to_expect(
    blocks: dict[str, Any], included: set[str], left_out: set[str]
) -> None:
    """Those that the turn machine ignores; none where nobody can interrupt the agent."""

    async def scene() -> None:
        await load(agent(**blocks), workshop := Workshop())
        expected = set(workshop.of("stt")[0].context.backchannels)
        assert included <= expected
        assert not left_out & expected

    run(scene())


def test_an_agent_without_a_turn_detector_has_none() -> None:
    """Nor has one without sound any engine but its model."""

    async def scene() -> None:
        workshop = Workshop()
        assert (await load(agent(), workshop)).turn is None
        assert workshop.of("turn") == []
        silent = Workshop()
        engines = await load(agent({"turn": {"engine": "any"}}, conversation={"text_only": True}), silent)
        assert (engines.turn, engines.tts, [engine.kind for engine in silent.made]) == (None, None, ["llm"])

    run(scene())


@pytest.mark.parametrize("kind", ["llm", "turn", "stt", "tts"])
def test_an_engine_that_fails_to_start_leaves_none_behind(kind: Kind) -> None:
    """The agent is refused, and what had been made is closed."""

    async def scene() -> None:
        workshop = Workshop()
        broken = {"turn": {"engine": "any"}, kind: {"engine": "any", "label": kind, "breaks": "prepare"}}
        with pytest.raises(EngineError, match="cannot start"):
            await load(agent(broken), workshop)
        assert all(engine.closed == 1 for engine in workshop.made if engine.kind != "vad")

    run(scene())


# ---------------------------------------------------------------------------------------------------- fallbacks

BROKEN = {"engine": "any", "label": "own", "breaks": "asked"}


def test_a_fallback_takes_over_for_every_kind_that_has_some() -> None:
    """Thinking, hearing and speaking, in the order of the file; the agent's own are asked first."""

    async def scene() -> None:
        behind = [{"engine": "any", "label": "two", "breaks": "asked"}, {"engine": "any", "label": "three"}]
        blocks = dict.fromkeys(("llm", "stt", "tts"), BROKEN)
        engines = await load(agent(blocks | {f"{kind}_fallbacks": behind for kind in blocks}), workshop := Workshop())
        assert [engine.label for engine in workshop.of("llm")] == ["own", "two", "three"]
        assert await answer(engines) == "three"
        assert engines.stt is not None
        assert engines.tts is not None
        async with engines.stt.stream() as stream:
            assert [each.text async for each in _first(stream)] == ["three"]
        assert [speech.audio async for speech in engines.tts.speak("Hi.")] == [b"threethree"]
        await engines.aclose()
        assert all(engine.closed == 1 for engine in workshop.made if engine.kind != "vad")

    run(scene())


async def _first(stream: Recognition) -> AsyncGenerator[Transcript]:
    stream.finish()
    async for transcript in stream.transcripts():
        yield transcript
        return


def test_a_single_recogniser_is_not_wrapped() -> None:
    """There is nobody to take over, so its failures are its own."""

    async def scene() -> None:
        engines = await load(agent(), workshop := Workshop())
        assert engines.stt is workshop.of("stt")[0]

    run(scene())


@pytest.mark.parametrize("kind", ["llm", "stt", "tts"])
def test_a_fallback_that_cannot_be_had_is_only_warned_of(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    """The agent's own may never need it. Its own, however, must be there."""

    async def scene() -> None:
        behind = [{"engine": "none"}, {"engine": "any", "label": "slow", "breaks": "prepare"}]
        await load(agent({f"{kind}_fallbacks": behind}), Workshop())
        with pytest.raises(ConfigError, match="cannot be had here"):
            await load(agent({kind: {"engine": "none"}}), Workshop())

    with caplog.at_level(logging.WARNING):
        run(scene())
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "a fallback engine cannot be had",
        "an engine failed",
    ]


@pytest.mark.parametrize(
    ("backup", "models", "order"),
    [
        ({}, {}, []),
        ({}, {"backup": {}}, ["backup"]),
        ({"preference": "disabled"}, {"backup": {}}, []),
        ({"preference": "override", "order": ["b", "a"]}, {"backup": {}}, ["b", "a"]),
        ({"preference": "override"}, {"backup": {}}, []),
        ({"preference": "disabled", "order": ["a"]}, {}, []),
    ],
    ids=repr,
)
def test_backup_models_stand_behind_the_fallbacks(
    backup: Mapping[str, Any], models: Mapping[str, Any], order: list[str]
) -> None:
    """`default`: the operator's, if there is one; `override`: the agent's, in its order; `disabled`: none."""

    async def scene() -> None:
        prompt = {"llm": "own-model", "backup_llm_config": backup, "custom_llm": {"url": "http://x"}}
        loaded = agent({"llm_fallbacks": [{"engine": "any", "label": "fallback"}]}, agent={"prompt": prompt})
        await load(loaded, workshop := Workshop(), models=models)
        assert [engine.label for engine in workshop.of("llm")] == ["llm", "fallback", *order]
        assert [engine.context.model for engine in workshop.of("llm")] == ["own-model", "own-model", *order]
        assert [engine.context.custom_llm is None for engine in workshop.of("llm")] == [False, False, *map(bool, order)]

    run(scene())


def test_a_model_has_the_agents_own_time_before_the_next_is_asked() -> None:
    """`cascade_timeout_seconds`."""

    async def scene() -> float:
        class Slow(Engine):
            async def reply(self, request: Request) -> AsyncGenerator[Thought]:
                await asyncio.sleep(100.0)
                yield TextDelta("late")

        workshop = Workshop()
        workshop.add("llm", "slow", lambda options, context: Slow("llm", options, context))
        antiphon = {"llm": {"engine": "slow"}, "llm_fallbacks": [{"engine": "any", "label": "quick"}]}
        engines = await load(agent(antiphon, agent={"prompt": {"cascade_timeout_seconds": 2.5}}), workshop)
        began = asyncio.get_running_loop().time()
        assert await answer(engines) == "quick"
        return asyncio.get_running_loop().time() - began

    assert run(scene()) == pytest.approx(2.5)


# ------------------------------------------------------------------------------------------------------ sharing


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        ({}, ""),
        ({"turn": {"turn_timeout": 3}}, ""),
        ({"agent": {"first_message": "Hi."}}, "stt"),
        ({"agent": {"language": "de"}}, "stt tts turn"),
        ({"agent": {"prompt": {"llm": "m"}}}, "llm"),
        ({"agent": {"prompt": {"cascade_timeout_seconds": 3}}}, "llm"),
        ({"tts": {"voice_id": "v"}}, "tts"),
        ({"asr": {"keywords": ["k"]}}, "stt"),
        ({"antiphon": {"vad": {"engine": "any", "label": "x"}}}, "vad"),
        ({"antiphon": {"turn": {"engine": "any", "label": "x"}}}, "turn"),
        ({"antiphon": {"stt_fallbacks": [{"engine": "any"}]}}, "stt"),
        ({"antiphon": {"tts_fallbacks": [{"engine": "any"}]}}, "tts"),
        ({"antiphon": {"llm_fallbacks": [{"engine": "any"}]}}, "llm"),
    ],
    ids=repr,
)
def test_a_conversation_takes_over_every_engine_that_would_be_the_same(change: dict[str, Any], anew: str) -> None:
    """And closes those alone that were made for it."""

    async def scene() -> None:
        turn = {"turn": {"engine": "any"}}
        base = await load(agent(turn), workshop := Workshop())
        blocks = {name: block for name, block in change.items() if name != "antiphon"}
        other = agent({**turn, **change.get("antiphon", {})}, **blocks)
        begun = len(workshop.made)
        engines = await engines_for(other, base, workshop, models={})
        made = workshop.made[begun:]
        assert engines.owned == {engine.kind for engine in made} == set(anew.split())
        await engines.aclose()
        assert all(engine.closed == (engine in made and engine.kind != "vad") for engine in workshop.made)

    run(scene())


# --------------------------------------------------------------------------------------------------- rehearsing

LINES = {"lines": {"fillers": ["Wait, please, I am looking it up now."], "apology": "Oh. Again?", "goodbye": "Bye."}}


def test_what_bridges_a_wait_is_spoken_beforehand() -> None:
    """Fillers whole, the rest clause by clause: as they will be asked for. Then the voice is not asked again."""

    async def scene() -> None:
        soft = {"timeout_seconds": 2.0, "message": "Hm.", "additional_soft_timeout_messages": ["Hm, {{name}}."]}
        loaded = agent(LINES, turn={"soft_timeout_config": soft}, agent={"max_conversation_duration_message": "Over."})
        engines = await load(loaded, workshop := Workshop())
        (voice,) = workshop.of("tts")
        rehearsed = ["Wait, please, I am looking it up now.", "Hm.", "Oh. ", "Again?", "Bye.", "Over."]
        assert {text.strip() for text in rehearsed} <= set(voice.spoken)
        assert not any("{{" in text for text in voice.spoken)
        asked = len(voice.spoken)
        assert engines.tts is not None
        for text in rehearsed:
            assert [speech.audio async for speech in engines.tts.speak(text)] == [b"ttstts"]
        assert len(voice.spoken) == asked
        assert engines.tts.sample_rate == 16_000

    run(scene())


def test_a_conversation_with_another_voice_does_not_wait_for_a_rehearsal() -> None:
    """It begins at once; the lines are spoken when they are needed."""

    async def scene() -> None:
        base = await load(agent(LINES), workshop := Workshop())
        await engines_for(agent(LINES, tts={"voice_id": "v"}), base, workshop, models={})
        assert [bool(voice.spoken) for voice in workshop.of("tts")] == [True, False]

    run(scene())


@pytest.mark.parametrize("voice", [{"breaks": "asked"}, {"delay": 4.0}, {"delay": 100.0}], ids=repr)
def test_a_voice_that_cannot_rehearse_does_not_keep_the_agent_from_starting(voice: Mapping[str, Any]) -> None:
    """It is not waited for longer than ten seconds."""

    async def scene() -> float:
        began = asyncio.get_running_loop().time()
        await load(agent({**LINES, "tts": {"engine": "any", "label": "tts", **voice}}), Workshop())
        return asyncio.get_running_loop().time() - began

    assert run(scene()) <= 10.5


# ------------------------------------------------------------------------------------------------- custom models


def custom(**custom_llm: Any) -> AgentConfig:
    prompt = {"llm": "custom-llm", "custom_llm": {"url": "http://x", **custom_llm}}
    return agent(agent={"prompt": prompt})


def told(workshop: Workshop) -> Mapping[str, Any]:
    given = workshop.of("llm")[-1].context.custom_llm
    assert given is not None
    return given


def test_keys_and_headers_of_a_custom_model_come_from_where_they_are_kept() -> None:
    """A secret of the workspace, a variable of the environment, a variable of the conversation, or text."""
    document = custom(
        api_key={"env_var_label": "KEY"},
        request_headers={
            "X-A": "text",
            "X-B": {"secret_id": "key"},
            "X-C": {"env_var_label": "KEY"},
            "X-D": {"variable_name": "secret__token"},
        },
    )

    async def scene() -> None:
        workshop = Workshop()
        more = {"workspace": Secrets(), "environment": {"KEY": "k"}}
        base = await load(document, workshop, **more)
        assert told(workshop)["request_headers"] == {"X-A": "text", "X-B": "hush", "X-C": "k"}
        engines = await load(started(document, secret__token="t"), workshop, base=base, **more)
        assert engines.owned == {"llm"}
        assert told(workshop)["api_key"] == "k"
        assert told(workshop)["request_headers"] == {"X-A": "text", "X-B": "hush", "X-C": "k", "X-D": "t"}

    run(scene())


@pytest.mark.parametrize(
    ("setting", "place", "words"),
    [
        ({"api_key": {"secret_id": "lost"}}, "api_key", "no secret with id 'lost'"),
        ({"api_key": {}}, "api_key", "name a secret of the workspace"),
        ({"api_key": {"env_var_label": "LOST"}}, "api_key", "no environment variable 'LOST'"),
        ({"api_key": {"env_var_label": "ANTIPHON_API_KEY"}}, "api_key", "a setting of this server"),
        ({"request_headers": {"X-A": {"secret_id": "lost"}}}, "request_headers.X-A", "no secret"),
        ({"request_headers": {"X-A": {"variable_name": "lost"}}}, "request_headers.X-A", "no value for the dynamic"),
    ],
    ids=repr,
)
def test_what_is_not_there_is_told_by_its_place(setting: Mapping[str, Any], place: str, words: str) -> None:
    """File and JSON path, never a value."""

    async def scene() -> None:
        environment = {"ANTIPHON_API_KEY": "hush"}
        with pytest.raises(ConfigError, match=words) as caught:
            await load(started(custom(**setting)), Workshop(), workspace=Secrets(), environment=environment)
        assert caught.value.path == f"agents/desk.json: conversation_config.agent.prompt.custom_llm.{place}"
        assert "hush" not in str(caught.value)

    run(scene())
