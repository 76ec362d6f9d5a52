"""What an agent says when nothing else can be said, in its language, unless its author wrote something better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from antiphon.agents.config import AgentConfig
from antiphon.dialogue.clauses import ClauseSplitter
from antiphon.dialogue.settings import Lines


@dataclass(frozen=True, slots=True)
class Stock:
    """One language's."""

    apology: str
    reprompt: str
    fillers: tuple[str, ...]


STOCK = {
    "en": Stock(
        "Sorry, something went wrong on my side. Could you say that again?",
        "Sorry, I did not catch that. Could you say it again?",
        ("One moment, please.", "I am still on it.", "Thank you for your patience.", "It takes a little longer today."),
    ),
    "de": Stock(
        "Entschuldigung, bei mir ist etwas schiefgegangen. Können Sie das noch einmal sagen?",
        "Entschuldigung, das habe ich nicht verstanden. Können Sie es noch einmal sagen?",
        ("Einen Moment, bitte.", "Ich bin noch dabei.", "Danke für Ihre Geduld.", "Es dauert heute etwas länger."),
    ),
    "fr": Stock(
        "Pardon, quelque chose n'a pas marché de mon côté. Pouvez-vous répéter ?",
        "Pardon, je n'ai pas compris. Pouvez-vous répéter ?",
        (
            "Un instant, s'il vous plaît.",
            "Je m'en occupe.",
            "Merci de votre patience.",
            "C'est un peu plus long.",
        ),
    ),
    "es": Stock(
        "Perdón, algo ha salido mal por mi parte. ¿Puede repetirlo?",
        "Perdón, no le he entendido. ¿Puede repetirlo?",
        ("Un momento, por favor.", "Sigo en ello.", "Gracias por su paciencia.", "Hoy tarda un poco más."),
    ),
    "it": Stock(
        "Mi scusi, qualcosa è andato storto da parte mia. Può ripetere?",
        "Mi scusi, non ho capito. Può ripetere?",
        ("Un momento, per favore.", "Ci sto lavorando.", "Grazie per la pazienza.", "Oggi ci vuole un po' di più."),
    ),
    "pt": Stock(
        "Desculpe, algo correu mal do meu lado. Pode repetir?",
        "Desculpe, não percebi. Pode repetir?",
        (
            "Um momento, por favor.",
            "Ainda estou a tratar disso.",
            "Obrigado pela paciência.",
            "Hoje demora mais.",
        ),
    ),
    "nl": Stock(
        "Sorry, er ging bij mij iets mis. Kunt u dat herhalen?",
        "Sorry, dat heb ik niet verstaan. Kunt u het herhalen?",
        (
            "Een ogenblik, alstublieft.",
            "Ik ben er nog mee bezig.",
            "Dank u voor uw geduld.",
            "Het duurt iets langer.",
        ),
    ),
    "pl": Stock(
        "Przepraszam, coś poszło nie tak po mojej stronie. Czy można powtórzyć?",
        "Przepraszam, nie zrozumiałem. Czy można powtórzyć?",
        ("Chwileczkę, proszę.", "Jeszcze nad tym pracuję.", "Dziękuję za cierpliwość.", "Dziś trwa to trochę dłużej."),
    ),
}


ELSEWHERE = Stock(STOCK["en"].apology, "", ("Mm.",))
"Of any other language: an apology is better in English than not at all, and the model asks again in its own words."


def stock(language: str) -> Stock:
    """The lines of a language, from its code."""
    return STOCK.get(language.lower().split("-")[0], ELSEWHERE)


def fixed_lines(agent: AgentConfig) -> Lines:
    """What this agent says that no model thinks of."""
    config = agent.conversation_config
    own, soft, known = config.antiphon.lines, config.turn.soft_timeout_config, stock(config.agent.language)
    return Lines(
        first_message=config.agent.first_message,
        reprompt=own.reprompt or known.reprompt or None,
        apology=own.apology or known.apology,
        fillers=known.fillers if own.fillers is None else own.fillers,
        soft_timeouts=(soft.message, *soft.additional_soft_timeout_messages),
        shuffles=soft.randomize_fillers,
        composes=soft.use_llm_generated_message,
        farewell=config.agent.max_conversation_duration_message,
        goodbye=own.goodbye or "",
    )


def rehearsable(agent: AgentConfig) -> Iterator[str]:
    """Those of the agent's lines that can be spoken beforehand, clause by clause as they will be, most urgent first.

    A text with variables is different in every conversation. The first message waits for nobody: it is not among them.
    """
    lines, config = fixed_lines(agent), agent.conversation_config
    soft = lines.soft_timeouts if config.turn.soft_timeout_config.timeout_seconds > 0 else ()
    fillers = (*(lines.fillers if config.antiphon.max_silence_seconds else ()), *soft)
    for text in fillers:  # said in one piece
        if "{{" not in text:
            yield text
    for text in (lines.apology, lines.goodbye, lines.reprompt or "", lines.farewell):
        if "{{" not in text:
            splitter = ClauseSplitter()
            yield from (*splitter.push(text), *splitter.flush())
