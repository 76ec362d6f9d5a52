"""Which of espeak-ng's voices an agent speaks with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

import msgspec

from antiphon.engines.base import Voice
from antiphon.errors import ConfigError

_SAME_NAME = """
    af ar as az be bg bn bs ca cs cy da de el es et fa fi fr ga gu he hi hr hu hy id is it ja ka kk kn ko ky lb lt lv mk
    ml mr ms ne nl pa pl pt pt-br ro ru sd sk sl sr sv sw ta te th tr uk ur vi
"""
LANGUAGES: Mapping[str, str] = {code: code for code in _SAME_NAME.split()} | {"en": "en-us", "no": "nb", "zh": "cmn"}
"Language codes of the protocol (agent.asyncapi.yaml: Language) -> espeak-ng's voice (1.52.0)."

NO_VOICE = frozenset({"gl", "ha", "jv", "ps", "so", "tl"})
"Language codes of the protocol that espeak-ng has no voice for: Galician, Hausa, Javanese, Pashto, Somali, Tagalog."

VARIANTS = ("f5", "m3", "f2", "m7", "f4", "m1", "f3", "m5")
"Ways of speaking that differ from each other, pleasant as far as this synthesiser goes; f5 is the best understood."

LANGUAGE_PATH = "conversation_config.agent.language"
VOICES_PATH = "conversation_config.antiphon.tts.voices"


class Installed(msgspec.Struct, frozen=True):
    """What the installed espeak-ng offers."""

    version: str
    sample_rate: int
    voices: Mapping[str, str]
    "Names in lower case -> names as espeak-ng writes them. `en-us`"
    variants: Mapping[str, str]
    "As above. `f5`, said after a plus sign."

    def voice(self, name: str) -> str | None:
        """`name` (`en-gb`, `en-gb+f3`) as espeak-ng writes it; None where it has no such voice."""
        voice, plus, variant = name.lower().partition("+")
        if voice not in self.voices or (plus and variant not in self.variants):
            return None
        return self.voices[voice] + (plus + self.variants[variant] if plus else "")


def parse_installed(answer: Iterable[str]) -> Installed:
    """The program's answer to "which voices are there?"."""
    facts: dict[str, list[str]] = {"version": [], "rate": [], "voice": [], "variant": []}
    for line in answer:
        fact, _, value = line.partition(" ")
        facts[fact].append(value)
    return Installed(
        version=facts["version"][0],
        sample_rate=int(facts["rate"][0]),
        voices={name.lower(): name for name in facts["voice"]},
        variants={name.lower(): name for name in facts["variant"]},
    )


def choose(installed: Installed, *, language: str, voice_id: str, voices: Mapping[str, str]) -> str:
    """The voice that speaks for `voice_id` in `language`.

    In this order: the agent's own entry in `voices` (`en-gb+f3`, or `+f3` for that variant of the agent's language); a
    `voice_id` that is itself a name of espeak-ng's; one of VARIANTS, always the same for the same id.

    Raises:
        ConfigError: there is no such voice, or none for the language.
    """
    if voice_id in voices:
        name = voices[voice_id]
        voice = installed.voice(_of_language(installed, language) + name if name.startswith("+") else name)
        if voice is None:
            raise ConfigError(
                f"espeak-ng has no voice {name!r}: name a language and perhaps a variant, like 'en-gb+f3'; languages: "
                f"{', '.join(sorted(installed.voices))}; variants: {', '.join(sorted(installed.variants))}",
                path=f"{VOICES_PATH}.{voice_id}",
            )
        return voice
    if (voice := installed.voice(voice_id)) is not None:
        return voice
    variants = [variant for variant in VARIANTS if variant in installed.variants] or [""]
    number = int.from_bytes(sha256(voice_id.encode()).digest()[:8], "big") if voice_id else 0
    variant = variants[number % len(variants)]
    return _of_language(installed, language) + (f"+{variant}" if variant else "")


def _of_language(installed: Installed, language: str) -> str:
    """Languages that the protocol does not know may be given by espeak-ng's own name."""
    code = language.lower()
    voice = installed.voice(LANGUAGES.get(code, code))
    if voice is None:
        raise ConfigError(
            f"espeak-ng {installed.version} has no voice for {language!r}: choose another language, another "
            f"text-to-speech engine (conversation_config.antiphon.tts.engine), or a voice that comes close under "
            f"{VOICES_PATH}",
            path=LANGUAGE_PATH,
        )
    return voice


_CODES = {voice: code for code, voice in LANGUAGES.items()}
_GENDERS = {"f": "female", "m": "male"}


def offered(installed: Installed) -> list[Voice]:
    """Voices to choose from: each language's as it is, and the VARIANTS of the first language's."""
    default = LANGUAGES["en"]
    variants = [f"{default}+{variant}" for variant in VARIANTS if default in installed.voices]
    found = [described(installed, name) for name in [*variants, *sorted(installed.voices)]]
    return [voice for voice in found if voice is not None]


def described(installed: Installed, voice_id: str) -> Voice | None:
    """What there is to say of the voice of that name; None: espeak-ng has none."""
    name = installed.voice(voice_id)
    if name is None:
        return None
    language, _, variant = name.lower().partition("+")
    base, _, accent = language.partition("-")
    code = _CODES.get(language) or _CODES.get(base) or base
    gender = _GENDERS.get(variant[:1], "") if variant[1:].isdecimal() else ""
    return Voice(id=name, name=name, language=code, accent=accent, gender=gender)
