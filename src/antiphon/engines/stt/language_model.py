"""What an agent's callers may say -> a small trigram model and the dictionary it needs, as PocketSphinx reads them.

The sentences known beforehand (an agent's phrasings, its keywords, its own words, and the everyday ones) are too few
to count on, so counts are smoothed: each order of the model is interpolated with the one below, down to all words
alike (Witten and Bell's method). Where a sentence has a member of a slot (a day, a time, a run of digits), it stands
for all of them.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .everyday import DIGITS, RUN_LENGTHS, SLOTS, Slot, evenly

History = tuple[str, ...]
Element = list[tuple[tuple[str, ...], float]]
"One place of a sentence: the words that may stand there, each group with its probability."

BEGIN, END = "<s>", "</s>"
FLOOR = 0.05
"Share of a unigram's probability that all words of the vocabulary have alike."


def words(text: str) -> list[str]:
    """Lower-case words of a text, places such as `{day}` kept whole."""
    return re.findall(r"\{[a-z_]+\}|[a-z][a-z']*", text.lower().replace("’", "'"))


class Counts:
    """Weighted counts of one to three words in a row."""

    def __init__(self, slots: Mapping[str, Sequence[str]]) -> None:
        self._slots: dict[str, Slot] = {
            **SLOTS,
            **{name: evenly([s.lower() for s in said]) for name, said in slots.items()},
        }
        self._own = {word: name for name, said in slots.items() for word in map(str.lower, said)}
        self.by_history: dict[History, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        "History of at most two words -> what followed it, how often."

    def add(self, sentence: str, weight: float) -> None:
        """Count a sentence, with every alternative of its slots."""
        for elements, share in self._alternatives(self._with_slots(words(sentence))):
            if elements:
                self._count(elements, weight * share)

    def add_any(self, groups: Sequence[str], weight: float, *, in_a_row: int = 1) -> None:
        """Count sentences of so many of the groups, each as likely as the other, for `weight` together."""
        element = [(tuple(words(group)), share) for group, share in evenly(groups).items()]
        if element:
            self._count([element] * in_a_row, weight)

    def _with_slots(self, tokens: list[str]) -> list[str]:
        """Members of slots give way to the slot: who may say Monday may say Tuesday."""
        replaced: list[str] = []
        index = 0
        while index < len(tokens):
            token = tokens[index]
            run = next((i for i, t in enumerate(tokens[index:]) if t not in DIGITS), len(tokens) - index)
            if run >= 2:
                replaced.append("{digits}")
                index += run
                continue
            if token in self._own:
                token = "{" + self._own[token] + "}"
            elif token in SLOTS["day"]:
                token = "{day}"
            elif token in SLOTS["time"] and replaced and replaced[-1] in ("at", "by", "until", "before", "after"):
                token = "{time}"
            replaced.append(token)
            index += 1
        return replaced

    def _alternatives(self, tokens: Sequence[str]) -> Iterator[tuple[list[Element], float]]:
        """The sentence for every length that its runs of digits may have."""
        if "{digits}" not in tokens:
            yield [self._element(token) for token in tokens], 1.0
            return
        at = tokens.index("{digits}")
        for length, share in RUN_LENGTHS.items():
            digits: list[Element] = [self._element("{digit}") for _ in range(length)]
            for rest, rest_share in self._alternatives(tokens[at + 1 :]):
                yield [*(self._element(token) for token in tokens[:at]), *digits, *rest], share * rest_share

    def _element(self, token: str) -> Element:
        if token == "{digit}":
            return [((digit,), 1 / len(DIGITS)) for digit in DIGITS]
        if token.startswith("{"):
            slot = self._slots.get(token[1:-1], {})
            return [(tuple(words(group)), share) for group, share in slot.items()] or [((), 1.0)]
        return [((token,), 1.0)]

    def _count(self, elements: Sequence[Element], weight: float) -> None:
        """All alternatives at once: for every history that can stand before an element, how likely it is."""
        histories: dict[History, float] = {(BEGIN,): 1.0}
        for element in (*elements, [((END,), 1.0)]):
            after: dict[History, float] = defaultdict(float)
            for history, likely in histories.items():
                for group, share in element:
                    reached = history
                    for word in group:
                        self._follow(reached, word, weight * likely * share)
                        reached = (*reached, word)[-2:]
                    after[reached] += likely * share
            histories = after

    def _follow(self, history: History, word: str, count: float) -> None:
        for length in range(len(history) + 1):
            self.by_history[history[len(history) - length :]][word] += count

    @property
    def vocabulary(self) -> list[str]:
        """Every word, sorted."""
        return sorted(word for word in self.by_history[()] if word != END)


class Model:
    """Probabilities with everything unseen in its place."""

    def __init__(self, counts: Counts) -> None:
        self._words = [*counts.vocabulary, END]
        self.explicit: dict[History, dict[str, float]] = {}
        self.backoff: dict[History, float] = {}
        self._estimate((), counts.by_history[()])
        for order in (1, 2):
            for history, followers in counts.by_history.items():
                if len(history) == order:
                    self._estimate(history, followers)

    def probability(self, word: str, history: History) -> float:
        """How likely `word` is after `history`."""
        known = self.explicit.get(history)
        if known is not None and word in known:
            return known[word]
        if not history:
            return 1e-9
        return self.backoff.get(history, 1.0) * self.probability(word, history[1:])

    def _estimate(self, history: History, followers: Mapping[str, float]) -> None:
        total = sum(followers.values())
        if not history:
            even = 1 / len(self._words)
            self.explicit[()] = {w: (1 - FLOOR) * followers.get(w, 0.0) / total + FLOOR * even for w in self._words}
            return
        # Witten and Bell: as much is kept for the unseen as new followers have turned up so far.
        kinds = sum(min(1.0, count) for count in followers.values())
        unseen = kinds / (total + kinds)
        shorter = history[1:]
        known = {
            word: (1 - unseen) * count / total + unseen * self.probability(word, shorter)
            for word, count in followers.items()
        }
        self.explicit[history] = known
        left = 1 - sum(self.probability(word, shorter) for word in known)
        self.backoff[history] = max(1e-9, 1 - sum(known.values())) / max(1e-9, left)

    def arpa(self) -> str:
        """The model as a file."""
        orders: list[list[History]] = [sorted(h for h in self.explicit if len(h) == order) for order in range(3)]
        sizes = [len(self._words) + 1, *(sum(len(self.explicit[h]) for h in orders[order]) for order in (1, 2))]
        lines = ["\\data\\", *(f"ngram {order}={size}" for order, size in enumerate(sizes, 1)), "", "\\1-grams:"]
        lines.append(f"-99 {BEGIN} {_log(self.backoff.get((BEGIN,), 1.0))}")
        for word, probability in sorted(self.explicit[()].items()):
            lines.append(f"{_log(probability)} {word} {_log(self.backoff.get((word,), 1.0))}")
        for order in (1, 2):
            lines += ["", f"\\{order + 1}-grams:"]
            for history in orders[order]:
                for word, probability in sorted(self.explicit[history].items()):
                    backoff = f" {_log(self.backoff.get((*history, word), 1.0))}" if order == 1 else ""
                    lines.append(f"{_log(probability)} {' '.join(history)} {word}{backoff}")
        return "\n".join([*lines, "", "\\end\\", ""])


def _log(probability: float) -> str:
    return f"{math.log10(max(probability, 1e-10)):.4f}"


def dictionary(vocabulary: Iterable[str], pronunciations: Mapping[str, Sequence[str]]) -> str:
    """The lines of a PocketSphinx dictionary; of several pronunciations, the later ones are numbered."""
    lines: list[str] = []
    for word in vocabulary:
        for index, phones in enumerate(pronunciations[word]):
            lines.append(f"{word} {phones}" if index == 0 else f"{word}({index + 1}) {phones}")
    return "\n".join([*lines, ""])
