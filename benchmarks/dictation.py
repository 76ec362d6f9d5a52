"""How often a caller who dictates is cut off, and what that patience costs where nobody dictates.

The corpus is text with times, made by seed. Dictations: telephone numbers in several groupings, cards, order numbers,
dates of birth, spelled names and codes, e-mail and postal addresses, as answers to a question that asks for them or
within a sentence of the caller's own, with pauses of 0.3 to 1.2 s (evenly) inside, some with a hesitation or a
correction. Sentences: what callers answer to ordinary questions; hesitations: such answers with one
pause inside. A word takes 0.22 to 0.42 s; its partial transcript
comes so long after it as the recogniser is slow, in one of two styles: bare words, or figures and an eager full stop.
The real turn machine is driven with these; it is cut off where it ends the utterance within a pause.

The rival waits equally long in every pause: as long as the machine waits after a sentence, on average. A second rival
is given the machine's mean over all ends of turns, those of the dictations included.

What it does not show: word lists and corpus have the same author. People also stop for longer than 1.2 s, mishear the
question, and speak to recognisers that mistake words; and only English is spoken here.

    python -m benchmarks.dictation [--small] [--seed 1]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from antiphon.turns import observations as ob
from antiphon.turns.completeness import completeness, expectation
from antiphon.turns.machine import TurnMachine, TurnPolicy

DICTATIONS, SENTENCES, HESITATIONS = 2_000, 1_000, 1_000
FRAME = 0.032
PAUSE_AFTER = 0.192
"Silence after which voice activity tells of a pause (SpeechPolicy.stop_after)."
LONGEST = 5.0
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FIGURE = {word: str(figure) for figure, word in enumerate(DIGITS)} | {"oh": "0"}
NAMES = ("smith", "okonkwo", "garcia", "lindqvist", "maier", "tanaka", "oconnor", "petrov", "dubois", "silva")
STREETS = ("main street", "maple avenue", "station road", "park lane", "sunset boulevard", "mill road", "church street")
TOWNS = ("springfield", "portland", "franklin", "greenville", "bristol", "clinton", "salem", "madison")
STATES = ("illinois", "oregon", "ohio", "texas", "maine", "vermont")
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october")
DAYS = ("first", "second", "third", "fourth", "fifth", "tenth", "twelfth", "twentieth", "twenty first", "thirtieth")
YEARS = ("nineteen sixty four", "nineteen eighty", "nineteen ninety nine", "two thousand one", "nineteen seventy two")


@dataclass(frozen=True, slots=True)
class Turn:
    """What a caller says after `question`."""

    question: str
    groups: Sequence[str]
    "Between any two there is a pause."
    pauses: Sequence[float] = ()
    kind: str = "sentence"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one turn."""

    cut: int
    "Pauses in which the turn was taken to be over."
    delay: float
    "Seconds from the end of the last word to the end of the turn."


# ----------------------------------------------------------------------------------------------------- the corpus


def digits(rng: random.Random, *groups: int) -> list[str]:
    """Spoken digits in groups."""
    return [" ".join(rng.choice(DIGITS) for _ in range(count)) for count in groups]


def telephone(rng: random.Random) -> tuple[str, list[str]]:
    """With area code, as several countries group it, or as it comes."""
    shape = rng.choice([(3, 3, 4), (3, 3, 2, 2), (1, 3, 3, 4), (4, 3, 4), (5, 6), (5, 3, 3), (3, 3, 4), (3, 2, 2, 3)])
    question = rng.choice(["What is your phone number?", "May I have a number to reach you?", "And your phone number?"])
    return question, digits(rng, *shape)


def card(rng: random.Random) -> tuple[str, list[str]]:
    """Sixteen digits; some have fifteen."""
    shape = rng.choice([(4, 4, 4, 4), (4, 4, 4, 4), (4, 4, 4, 4), (4, 6, 5)])
    return "Could you read me your card number, please?", digits(rng, *shape)


def order(rng: random.Random) -> tuple[str, list[str]]:
    """Four to nine digits."""
    shape = rng.choice([(2, 2), (3, 3), (2, 2, 2), (4, 4), (3, 3, 3), (1, 4)])
    return rng.choice(["What's your order number?", "Please tell me your customer number."]), digits(rng, *shape)


def birth(rng: random.Random) -> tuple[str, list[str]]:
    """Month, day and year."""
    day = [f"{rng.choice(MONTHS)} {rng.choice(DAYS)}", rng.choice(YEARS)]
    return "What is your date of birth?", day


def name(rng: random.Random) -> tuple[str, list[str]]:
    """A name letter by letter."""
    letters = rng.choice(NAMES)
    at = rng.randint(2, len(letters) - 2)
    spelled = [" ".join(letters[:at]), " ".join(letters[at:])]
    question = "Could you spell your last name for me?"
    return (question, [letters, *spelled]) if rng.random() < 0.4 else (question, spelled)


def code(rng: random.Random) -> tuple[str, list[str]]:
    """Letters and digits."""
    letters = [rng.choice("abcdefghklmnpqrstuvwxyz") for _ in range(3)]
    return "And what is the booking code?", [" ".join(letters), *digits(rng, 3)]


def mail(rng: random.Random) -> tuple[str, list[str]]:
    """An e-mail address, said part by part."""
    host = rng.choice([["at gmail", "dot com"], ["at example dot org"], ["at post", "dot co dot uk"]])
    first = rng.choice([["anna dot", rng.choice(NAMES)], [" ".join(rng.choice(NAMES))], ["info"]])
    return rng.choice(["What's your e-mail address?", "And your email?"]), [*first, *host]


def address(rng: random.Random) -> tuple[str, list[str]]:
    """Street, town, state and code."""
    number = " ".join(digits(rng, rng.choice([1, 2, 3])))
    parts = [f"{number} {rng.choice(STREETS)}", rng.choice(TOWNS), f"{rng.choice(STATES)} {digits(rng, 5)[0]}"]
    return rng.choice(["What is your address?", "Where should we send it?"]), parts


KINDS: Sequence[Callable[[random.Random], tuple[str, list[str]]]] = (
    telephone,
    telephone,
    card,
    order,
    birth,
    name,
    code,
    mail,
    address,
)
LEADS = ("", "", "", "yes it's", "it's", "sure it is", "that's")
UNASKED = {
    "telephone": "you can call me back at my number is",
    "card": "i'd like to pay and my card number is",
    "order": "i'm calling about my order the order number is",
}
SAID = (
    ("How can I help you?", "i'd like to book a table for four"),
    ("How can I help you?", "what are your opening hours"),
    ("How can I help you?", "my heating does not work any more"),
    ("How can I help you?", "i want to cancel my appointment please"),
    ("How can I help you?", "can you tell me where my parcel is"),
    ("How can I help you?", "i would like to speak to somebody"),
    ("How can I help you?", "do you have a room for tonight"),
    ("How can I help you?", "i have a question about my bill"),
    ("How can I help you?", "i lost my card yesterday"),
    ("Is that correct?", "yes"),
    ("Is that correct?", "yes that's right"),
    ("Is that correct?", "no that's wrong"),
    ("Is that correct?", "no"),
    ("Shall I book it?", "yes please"),
    ("Shall I book it?", "sure go ahead"),
    ("Shall I book it?", "no thanks"),
    ("Would you like anything else?", "no that's all thank you"),
    ("Would you like anything else?", "nothing else"),
    ("For what day?", "next friday"),
    ("For what day?", "tomorrow in the morning"),
    ("And for how many people?", "for two"),
    ("And for how many people?", "five"),
    ("At what time?", "at half past seven"),
    ("At what time?", "around noon would be nice"),
    ("What kind of room would you like?", "a quiet one with a view"),
    ("What seems to be the problem?", "it makes a strange noise when i start it"),
    ("What seems to be the problem?", "the screen stays black"),
    ("Would the afternoon suit you?", "the afternoon is fine"),
    ("Would the afternoon suit you?", "i can't come in the afternoon"),
    ("Who is calling?", "this is anna"),
    ("Who is calling?", "my name is tom"),
    ("Goodbye.", "bye"),
    ("What is your phone number?", "i don't know it by heart"),
    ("What is your address?", "no i will pick it up"),
)
"Question and finished answer."
HESITATING = (
    ("How can I help you?", ("i'd like to", "book a table")),
    ("How can I help you?", ("can you tell me", "when you open")),
    ("How can I help you?", ("i have a question about my", "last bill")),
    ("How can I help you?", ("well um", "it's about the heating")),
    ("How can I help you?", ("i want to cancel my appointment because", "i am ill")),
    ("How can I help you?", ("my parcel has not come", "and i need it today")),
    ("How can I help you?", ("i would like a room", "with two beds")),
    ("Who is calling?", ("my name is", "tom")),
    ("Who is calling?", ("this is anna", "from the bakery")),
    ("Is that correct?", ("yes", "but i need a second bed")),
    ("Is that correct?", ("no", "i said friday")),
    ("For what day?", ("let me see", "next friday")),
    ("For what day?", ("next friday or", "saturday")),
    ("At what time?", ("at half past", "seven")),
    ("What seems to be the problem?", ("the screen is", "black")),
    ("What seems to be the problem?", ("it makes a noise when", "i start it")),
)
"Question, and an answer with a pause where people make one."


def dictation(rng: random.Random) -> Turn:
    """One caller who dictates."""
    kind = rng.choice(KINDS)
    question, groups = kind(rng)
    if kind.__name__ in UNASKED and rng.random() < 0.25:
        question, groups[0] = "How can I help you?", f"{UNASKED[kind.__name__]} {groups[0]}"
    elif lead := rng.choice(LEADS):
        groups[0] = f"{lead} {groups[0]}"
    if rng.random() < 0.1:
        groups.insert(rng.randrange(1, len(groups)), rng.choice(["um", "let me see", "and then", "no sorry"]))
    return Turn(question, groups, [rng.uniform(0.3, 1.2) for _ in groups[1:]], kind.__name__)


def hesitation(rng: random.Random) -> Turn:
    """One caller who pauses in a sentence."""
    question, groups = rng.choice(HESITATING)
    return Turn(question, groups, [rng.uniform(0.3, 1.2)], "hesitation")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Everything that is said."""

    dictations: Sequence[Turn]
    sentences: Sequence[Turn]
    hesitations: Sequence[Turn]


def corpus(seed: int, part: int = 1) -> Corpus:
    """The same for the same seed; `part`: how much smaller."""
    rng = random.Random(seed)
    said = (rng.choice(SAID) for _ in range(SENTENCES // part))
    return Corpus(
        sentences=[Turn(question, [text]) for question, text in said],
        dictations=[dictation(rng) for _ in range(DICTATIONS // part)],
        hesitations=[hesitation(rng) for _ in range(HESITATIONS // part)],
    )


def written(words: Sequence[str], style: str) -> str:
    """What a recogniser makes of the words so far."""
    if style == "bare":
        return " ".join(words)
    text = ""
    for word in words:
        figure = FIGURE.get(word)
        text += figure if figure and text[-1:].isdigit() else f" {figure or word}"
    return text.strip().capitalize() + "."


# --------------------------------------------------------------------------------------------------- the machine


@dataclass(frozen=True, slots=True)
class Recogniser:
    """How late partial transcripts are, and how they look."""

    lag: float
    style: str


def listen(turn: Turn, policy: TurnPolicy, recogniser: Recogniser, seed: int) -> Outcome:
    """Hold the turn with the real machine."""
    rng = random.Random(seed)
    machine = TurnMachine(policy)
    machine.handle(ob.Opened(greets=True), 0.0)
    machine.handle(ob.ReplyThought(1), 0.1)
    machine.handle(ob.ReplyAudible(1), 0.2)
    machine.handle(ob.ReplyOver(1, expects=expectation(turn.question, (), policy.language)), 1.0)
    now, said, due, cut = 2.0, list[str](), list[tuple[float, str]](), 0
    ended: list[int] = []
    for index, group in enumerate(turn.groups):
        machine.handle(ob.SpeechStarted(), now)
        for utterance in ended:  # its text comes when the caller speaks already: every pause is tried
            machine.handle(ob.Heard(utterance, written(said, recogniser.style)), now)
            said = []
        ended, began = [], now
        for word in group.split():
            now += rng.uniform(0.22, 0.42)
            said.append(word)
            due.append((now + recogniser.lag, written(said, recogniser.style)))
            tell(machine, due, now)
        last = index == len(turn.groups) - 1
        ended = pause(machine, due, now, now - began, LONGEST if last else turn.pauses[index])
        if last:
            return Outcome(cut, ended[1] / 1000 if ended else LONGEST)
        cut += bool(ended)
        ended = ended[:1]
        now += turn.pauses[index]
    raise AssertionError("a turn without words")


def tell(machine: TurnMachine, due: list[tuple[float, str]], now: float) -> list[ob.Command]:
    """The partial transcripts that have come by now."""
    commands: list[ob.Command] = []
    while due and due[0][0] <= now:
        commands += machine.handle(ob.Partial(due.pop(0)[1]), now)
    return commands


def pause(machine: TurnMachine, due: list[tuple[float, str]], began: float, speech: float, seconds: float) -> list[int]:
    """The pause, frame by frame; the utterance that was ended in it, and after how many milliseconds."""
    quiet, stopped = 0.0, False
    while quiet < seconds:
        quiet += FRAME
        now = began + quiet
        commands = tell(machine, due, now)
        if quiet >= PAUSE_AFTER and not stopped:
            stopped = True
            commands += machine.handle(ob.SpeechStopped(speech=speech), now)
        commands += machine.handle(ob.Silence(seconds=quiet), now)
        for command in commands:
            if isinstance(command, ob.EndUtterance):
                due.clear()  # the final transcript takes their place
                return [command.utterance, round(quiet * 1000)]
    return []


# -------------------------------------------------------------------------------------------------- the judgement


@dataclass(frozen=True, slots=True)
class Measured:
    """One policy on one corpus."""

    cut: float
    "Share of the pauses within dictations in which the turn was taken to be over."
    broken: float
    "Share of dictations with at least one such pause."
    sentence_delay: float
    "Mean, in seconds."
    dictation_delay: float
    "Mean at the end of a dictation."
    hesitations_cut: float
    by_kind: dict[str, float]
    "Share of pauses cut."


def measure(policy: TurnPolicy, recogniser: Recogniser, spoken: Corpus) -> Measured:
    """Every turn of the corpus."""
    outcomes = [listen(turn, policy, recogniser, seed) for seed, turn in enumerate(spoken.dictations)]
    delays = [listen(turn, policy, recogniser, seed).delay for seed, turn in enumerate(spoken.sentences)]
    hesitations = [listen(turn, policy, recogniser, seed).cut for seed, turn in enumerate(spoken.hesitations)]
    by_kind: dict[str, float] = {}
    for kind in sorted({turn.kind for turn in spoken.dictations}):
        of_kind = [(o.cut, len(t.pauses)) for o, t in zip(outcomes, spoken.dictations, strict=True) if t.kind == kind]
        by_kind[kind] = sum(cut for cut, _ in of_kind) / sum(count for _, count in of_kind)
    return Measured(
        sum(outcome.cut for outcome in outcomes) / sum(len(turn.pauses) for turn in spoken.dictations),
        fmean(outcome.cut > 0 for outcome in outcomes),
        fmean(delays),
        fmean(outcome.delay for outcome in outcomes),
        fmean(hesitations),
        by_kind,
    )


def fixed(delay: float) -> TurnPolicy:
    """The rival."""
    return TurnPolicy(fixed_silence=True, endpoint_delay=delay)


def compare(policy: TurnPolicy, recogniser: Recogniser, spoken: Corpus) -> tuple[Measured, Measured, Measured]:
    """The policy, the fixed wait with its mean delay on sentences, and that with its mean delay on everything."""
    ours = measure(policy, recogniser, spoken)
    sentences, dictations = len(spoken.sentences), len(spoken.dictations)
    overall = (ours.sentence_delay * sentences + ours.dictation_delay * dictations) / (sentences + dictations)
    return (
        ours,
        measure(fixed(ours.sentence_delay), recogniser, spoken),
        measure(fixed(overall), recogniser, spoken),
    )


EAGERNESS = {
    "normal": TurnPolicy(),
    "eager": replace(
        TurnPolicy(), endpoint_delay=0.35, finished_delay=0.25, unfinished_delay=0.9, dictation_delay=1.25
    ),
    "patient": replace(
        TurnPolicy(), endpoint_delay=0.9, finished_delay=0.65, unfinished_delay=1.6, dictation_delay=2.0
    ),
    "without spelling patience": replace(TurnPolicy(), spelling_patience=False),
}
"The delays proposed for `turn.turn_eagerness`."
RECOGNISERS = [Recogniser(lag, style) for style in ("bare", "figures") for lag in (0.0, 0.3)]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a twentieth")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    spoken = corpus(arguments.seed, 20 if arguments.small else 1)
    pauses = sum(len(turn.pauses) for turn in spoken.dictations)
    print(
        f"{len(spoken.dictations)} dictations with {pauses} pauses of 0.3-1.2 s, {len(spoken.sentences)} finished "
        f"sentences, {len(spoken.hesitations)} with a pause inside"
    )
    met = True
    for title, policy in EAGERNESS.items():
        for recogniser in RECOGNISERS if title == "normal" else RECOGNISERS[1:2]:
            measured = compare(policy, recogniser, spoken)
            report(title, recogniser, *measured)
            met &= not policy.spelling_patience or measured[0].cut <= measured[1].cut / 3
    print_cost()
    sys.exit(0 if met else 1)


def report(title: str, recogniser: Recogniser, ours: Measured, rival: Measured, second: Measured) -> None:
    """One comparison."""
    print(f"\n{title}, {recogniser.style} transcripts {recogniser.lag * 1000:.0f} ms late")
    print(f"  {'':30} pauses cut  dictations cut  hesitations cut   delay: sentence  dictation")
    for name, measured in (("words", ours), ("fixed wait, same for sentences", rival), ("fixed, same overall", second)):
        print(
            f"  {name:30} {measured.cut:10.1%} {measured.broken:15.1%} {measured.hesitations_cut:16.1%} "
            f"{measured.sentence_delay * 1000:14.0f} ms {measured.dictation_delay * 1000:7.0f} ms"
        )
    print(f"  false cut-offs against the fixed wait: {ours.cut / rival.cut:.2f} (at most 0.33)")
    print("  pauses cut by kind: " + ", ".join(f"{kind} {share:.0%}" for kind, share in ours.by_kind.items()))


def print_cost() -> None:
    """What a judgement takes; a few are made in every pause."""
    text = "well i wanted to ask whether you could move my appointment to next thursday because"
    took: list[float] = []
    for _ in range(200):
        began = time.perf_counter()
        for _ in range(50):
            completeness(text)
        took.append((time.perf_counter() - began) / 50)
    print(f"\na judgement of {len(text.split())} words takes {1e6 * min(took):.0f} us (at most 100)")


if __name__ == "__main__":
    main()
