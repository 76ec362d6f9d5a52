"""Whether words spoken over the agent only say "I am listening": such words take nobody's turn."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_PUNCTUATION = re.compile(r"[^\w'\s]+|_")
_APOSTROPHES = str.maketrans("’‘ʼ", "'''")
_LONGEST = 12
"In words: whoever says more has something to say."

_NOISES = "mm, mmm, mhm, mmhm, mm hm, mm hmm, mmhmm, mhmm, hm, hmm, hmmm, m hm, uh huh, uhhuh, aha, ah, oh, ooh"
"Much the same everywhere."

_PHRASES = {
    "en": (
        "yeah, yes, yep, yup, ya, ok, okay, k, right, alright, all right, sure, i see, got it, gotcha, good, "
        "great, cool, nice, "
        "fine, exactly, true, of course, indeed, absolutely, definitely, totally, makes sense, that makes sense, "
        "sounds good, "
        "uh hum, um hum, um hm, um hmm, mm, wow, really, oh really, i know, i understand, understood, perfect, "
        "awesome, "
        "interesting, very good, fair enough, oh i see, ah i see, oh ok, ah ok, oh okay, ah okay, oh yeah, "
        "that's right, right right"
    ),
    "de": (
        "ja, jaja, jo, jep, ok, okay, gut, genau, stimmt, richtig, klar, alles klar, verstehe, ich verstehe, "
        "verstanden, ach so, achso, "
        "ach ja, aha, so so, in ordnung, natürlich, sicher, super, schön, prima, toll, interessant, sehr gut, na "
        "klar, ach"
    ),
    "fr": (
        "oui, ouais, ok, okay, d'accord, bien, très bien, je vois, c'est ça, bien sûr, exactement, exact, tout à "
        "fait, voilà, ah oui, "
        "ah bon, ah d'accord, entendu, compris, je comprends, super, parfait, euh oui, hein, ah ouais, effectivement"
    ),
    "es": (
        "sí, si, ok, okay, vale, ya, claro, claro que sí, bien, muy bien, entiendo, ya veo, de acuerdo, exacto, "
        "eso, eso es, así es, "
        "ajá, aja, correcto, perfecto, bueno, por supuesto, está bien, comprendo, genial, ah sí, ah ya, entendido"
    ),
    "it": (
        "sì, si, ok, okay, va bene, bene, certo, capisco, ho capito, esatto, giusto, d'accordo, ah ok, ah sì, "
        "già, perfetto, "
        "ottimo, chiaro, naturalmente, infatti, benissimo, capito, eh sì, eh già, ecco"
    ),
    "pt": (
        "sim, tá, tá bom, está bem, ok, okay, certo, claro, entendi, entendo, percebo, pois, pois é, pois sim, "
        "isso, isso mesmo, "
        "exato, exatamente, com certeza, bom, beleza, aham, uhum, ah sim, ah tá, é, perfeito, compreendo, legal, sei"
    ),
    "nl": (
        "ja, jaja, ja ja, jawel, oké, oke, ok, okay, goed, precies, klopt, juist, zeker, natuurlijk, ik snap "
        "het, ik begrijp het, "
        "begrepen, snap ik, ah ja, oh ja, ach zo, prima, duidelijk, ja hoor, mooi, inderdaad, o ja"
    ),
    "pl": (
        "tak, no tak, no, aha, okej, ok, okay, dobrze, dobra, jasne, rozumiem, zrozumiałem, zrozumiałam, "
        "właśnie, dokładnie, "
        "zgadza się, oczywiście, pewnie, ach tak, no właśnie, no dobrze, świetnie, super, mhm"
    ),
    "ja": (
        "はい, ええ, うん, うんうん, そう, そうですか, そうですね, そうですよね, なるほど, へえ, "
        "へー, ほう, わかりました, 分かりました, はいはい, たしかに, 確かに, ああ, あー, うーん"
    ),
    "zh": (
        "嗯, 嗯嗯, 对, 对对, 对对对, 好, 好的, 好吧, 是, 是的, 是啊, 哦, 噢, 啊, "
        "行, 可以, 明白, 明白了, 知道了, 我知道了, 没错, 这样啊, 原来如此, 對, 對對, 沒錯, 這樣啊"
    ),
    "ko": (
        "네, 네네, 예, 응, 아, 어, 음, 그래요, 그렇군요, "
        "그렇죠, 맞아요, 알겠습니다, 알겠어요, 아 네, 아 그래요, 아하, 좋아요"
    ),
    "hi": ("हाँ, हां, जी, जी हाँ, जी हां, अच्छा, ठीक है, ठीक, सही, हम्म, समझ गया, समझ गई, बिल्कुल, ओके, हाँ जी, हां जी"),
    "ar": "نعم, أيوه, ايوه, أجل, حسنا, حسناً, طيب, تمام, صحيح, فهمت, مفهوم, آه, أوكي, بالضبط, أكيد, ماشي",
}


def is_backchannel(text: str, language: str = "en", terms: frozenset[str] = frozenset(), defaults: bool = True) -> bool:
    """Whether the whole utterance consists of backchannels, alone or one after the other ("okay, right").

    `terms`: the agent's own, each a whole utterance. `defaults`: whether the language's count, too; of a language
    without a list the noises alone ("mm-hm"). Case and punctuation do not matter; of nothing, nothing is said.
    """
    spoken = _plain(text)
    if not spoken:
        return False
    if terms and any(_plain(term) == spoken for term in terms):
        return True
    return defaults and _consists_of(spoken, _phrases(language))


def may_become_backchannel(
    text: str, language: str = "en", terms: frozenset[str] = frozenset(), defaults: bool = True
) -> bool:
    """Whether a partial transcript is a backchannel or the beginning of one: "I" of "I see", "of" of "of course".

    Nothing is the beginning of anything. Arguments as for `is_backchannel`.
    """
    spoken = _plain(text)
    if any(f"{_plain(term)} ".startswith(f"{spoken} ") for term in terms):
        return True
    return not spoken or (defaults and _begins(spoken, _phrases(language), _beginnings(language)))


def backchannels(language: str = "en") -> frozenset[str]:
    """A language's backchannels, in lower case and without punctuation: what speech-to-text may be told to expect."""
    return _phrases(language)


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()
    return " ".join(_PUNCTUATION.sub(" ", text).split())


@cache
def _phrases(language: str) -> frozenset[str]:
    listed = _PHRASES.get(language.replace("_", "-").partition("-")[0].lower(), "")
    return frozenset(_plain(phrase) for phrase in f"{_NOISES}, {listed}".split(",") if phrase.strip())


@cache
def _beginnings(language: str) -> frozenset[str]:
    """Every phrase without its last words."""
    parted = [phrase.split(" ") for phrase in _phrases(language)]
    return frozenset(" ".join(words[:length]) for words in parted for length in range(1, len(words)))


def _consists_of(spoken: str, phrases: frozenset[str]) -> bool:
    """Whether it falls apart into phrases and nothing else."""
    words = spoken.split(" ")
    return len(words) <= _LONGEST and len(words) in _ends(words, phrases)


def _begins(spoken: str, phrases: frozenset[str], beginnings: frozenset[str]) -> bool:
    """Whether it falls apart into phrases and, at its end, the beginning of one."""
    words = spoken.split(" ")
    if len(words) > _LONGEST:
        return False
    ends = _ends(words, phrases)
    return len(words) in ends or any(" ".join(words[end:]) in beginnings for end in ends if end < len(words))


def _ends(words: list[str], phrases: frozenset[str]) -> set[int]:
    """After which words whole phrases have been said and nothing else, the very beginning included."""
    reached = {0}
    for end in range(1, len(words) + 1):
        if any(begin in reached and " ".join(words[begin:end]) in phrases for begin in range(end)):
            reached.add(end)
    return reached
