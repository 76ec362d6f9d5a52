"""Which voice speaks for which agent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from antiphon.engines.tts.espeak_link import Program, command
from antiphon.engines.tts.espeak_voices import (
    LANGUAGES,
    NO_VOICE,
    VARIANTS,
    Installed,
    choose,
    described,
    offered,
    parse_installed,
)
from antiphon.errors import ConfigError

CONTRACT = Path(__file__).parents[2] / "wire" / "agent.asyncapi.yaml"

SOME = Installed(
    version="1.52.0",
    sample_rate=22_050,
    voices={"en-us": "en-US", "en-gb": "en", "de": "de", "eu": "eu"},
    variants={name: name for name in (*VARIANTS, "annie")} | {"annie": "Annie"},
)


def chosen(language: str = "en", voice_id: str = "", voices: dict[str, str] | None = None) -> str:
    return choose(SOME, language=language, voice_id=voice_id, voices=voices or {})


@pytest.fixture(scope="module")
def installed() -> Installed:
    """What the espeak-ng that is installed here offers."""
    program = Program(command(), patience=20)
    try:
        return asyncio.run(program.installed())
    finally:
        program.close()


def test_every_language_of_the_protocol_is_in_one_of_the_tables() -> None:
    """Of the wire's own description: what can be spoken, and what cannot."""
    # BaseLoader leaves text as it is: to the others, Norwegian (no) is False.
    contract = yaml.load(CONTRACT.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    codes = contract["components"]["schemas"]["Language"]["enum"]
    assert len(codes) >= 70
    assert set(codes) == LANGUAGES.keys() | NO_VOICE
    assert not LANGUAGES.keys() & NO_VOICE


@pytest.mark.component("espeak")
def test_the_table_of_languages_is_that_of_espeak_itself(installed: Installed) -> None:
    """It has every voice that the table names, and none for the languages that the table says it cannot speak."""
    assert [voice for voice in LANGUAGES.values() if installed.voice(voice) is None] == []
    assert [code for code in NO_VOICE if installed.voice(code) is not None] == []
    assert [name for name in VARIANTS if name not in installed.variants] == []


@pytest.mark.component("espeak")
@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_speaks(espeak: Any, say: Any, language: str) -> None:
    """Numbers are words in every language."""

    async def main() -> None:
        async with espeak(language=language) as engine:
            said = await say(engine, "1 2 3")
            assert said.text == "1 2 3"
            assert 0.5 < said.seconds < 4

    asyncio.run(main())


@pytest.mark.component("espeak")
@pytest.mark.parametrize("language", sorted(NO_VOICE))
def test_a_language_without_a_voice_is_refused(espeak: Any, language: str) -> None:
    """By the name of the setting, and with what can be done; an entry in `voices` is one of those things."""

    async def main() -> None:
        async with espeak(language=language, voice_id="x") as engine:
            with pytest.raises(ConfigError, match=rf"^conversation_config\.agent\.language: .*'{language}'") as refused:
                await engine.prepare()
            assert "conversation_config.antiphon.tts.voices" in str(refused.value)
        async with espeak({"voices": {"x": "es"}}, language=language, voice_id="x") as engine:
            await engine.prepare()

    asyncio.run(main())


def test_an_id_without_an_entry_has_a_voice_of_its_own() -> None:
    """Always the same for the same id, different ones for different ids, in the agent's language."""
    voices = {chosen(voice_id=f"id{number}") for number in range(200)}
    assert voices == {f"en-US+{variant}" for variant in VARIANTS}
    assert chosen(voice_id="cjVigY5qzO86Huf0OWal") == chosen(voice_id="cjVigY5qzO86Huf0OWal")
    assert chosen("de", "id1") == chosen("en", "id1").replace("en-US", "de")
    assert chosen() == f"en-US+{VARIANTS[0]}"


def test_the_name_of_a_voice_is_that_voice() -> None:
    """In any case of letters; with an unknown variant it is an id like any other."""
    assert chosen(voice_id="en-gb+f3") == "en+f3"
    assert chosen(voice_id="EN-US+ANNIE") == "en-US+Annie"
    assert chosen("en", voice_id="de") == "de"
    assert chosen("en", voice_id="de+zzz").startswith("en-US+")


def test_the_agents_own_table_comes_first() -> None:
    """A voice, or a variant of the agent's language."""
    assert chosen(voice_id="x", voices={"x": "en-gb+annie"}) == "en+Annie"
    assert chosen("de", voice_id="x", voices={"x": "+f2"}) == "de+f2"
    assert chosen("de", voice_id="en-us", voices={"en-us": "de"}) == "de"


@pytest.mark.parametrize("name", ["", "xx", "en-us+", "en-us+zzz", "+zzz", "../../de", "de\tx", "Annie"])
def test_an_unknown_voice_is_refused_by_its_place_in_the_file(name: str) -> None:
    """With what there is."""
    with pytest.raises(ConfigError, match=r"^conversation_config\.antiphon\.tts\.voices\.x: .*en-gb.*annie"):
        chosen(voice_id="x", voices={"x": name})


def test_a_language_may_be_one_that_only_espeak_knows() -> None:
    """By its own name for it."""
    assert chosen("eu").startswith("eu+")


def test_the_programs_answer_is_read() -> None:
    """Names that differ only in case are looked up in lower case; names may contain spaces."""
    answer = ["version 1.52.0", "rate 22050", "voice af", "voice en-US", "variant Mr serious"]
    assert parse_installed(answer) == Installed(
        "1.52.0", 22_050, {"af": "af", "en-us": "en-US"}, {"mr serious": "Mr serious"}
    )


@pytest.mark.component("espeak")
def test_what_is_offered_can_be_chosen(installed: Installed) -> None:
    """Every id is a voice by itself, whatever the language; its language is one of the protocol's where it has that."""
    voices = offered(installed)
    assert len({voice.id for voice in voices}) == len(voices)
    for voice in voices:
        assert choose(installed, language="ja", voice_id=voice.id, voices={}) == voice.id
        assert described(installed, voice.id.upper()) == voice
    languages = {voice.language for voice in voices}
    assert set(LANGUAGES) - {"pt-br"} <= languages | {"pt"}
    assert described(installed, "nobody") is None
    assert described(installed, "de+nobody") is None
