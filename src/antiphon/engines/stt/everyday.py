"""What anybody may say to anybody: numbers, days, times, yes and no. Every model knows it besides what its agent knows.

A slot is a kind of word group: where an agent's phrasing has one member, callers may say any other. `{digits}` stands
for a run of spoken digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

DIGITS = ("zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_HOURS = (*DIGITS[2:], "ten", "eleven", "twelve")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_ORDINALS = (
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
    "thirtieth",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")

Slot = Mapping[str, float]
"Word group -> how likely; they sum to 1."


def evenly(groups: Sequence[str], share: float = 1.0) -> dict[str, float]:
    """All equally likely, `share` together."""
    return {group: share / len(groups) for group in groups}


SLOTS: Mapping[str, Slot] = {
    "day": evenly(_DAYS, 0.75)
    | evenly(("today", "tomorrow", "tonight"), 0.15)
    | evenly([f"next {d}" for d in _DAYS], 0.1),
    "time": evenly(_HOURS, 0.4)
    | evenly([f"{h} {m}" for h in _HOURS for m in ("thirty", "fifteen", "forty five")], 0.22)
    | evenly([f"{h} o'clock" for h in _HOURS], 0.14)
    | evenly([f"half past {h}" for h in _HOURS], 0.08)
    | evenly([f"quarter {side} {h}" for h in _HOURS for side in ("past", "to")], 0.06)
    | evenly([f"{h} in the {part}" for h in _HOURS for part in ("morning", "afternoon", "evening")], 0.06)
    | evenly(("noon", "midnight"), 0.04),
    "date": evenly([f"{m} {o}" for m in _MONTHS for o in _ORDINALS], 0.5)
    | evenly([f"the {o} of {m}" for m in _MONTHS for o in _ORDINALS], 0.5),
    "number": evenly((*DIGITS[2:], "ten", "eleven", "twelve"), 0.6)
    | evenly(_TEENS, 0.1)
    | evenly(_TENS, 0.15)
    | evenly([f"{t} {d}" for t in _TENS for d in DIGITS[2:]], 0.15),
}

RUN_LENGTHS: Mapping[int, float] = {1: 0.1, 2: 0.1, 3: 0.2, 4: 0.3, 5: 0.15, 6: 0.1, 8: 0.05}
"How many digits people say in a row."

SENTENCES = (
    "yes", "no", "yes please", "no thank you", "no thanks", "okay", "sure", "right", "hello", "hi", "good morning",
    "good afternoon", "good evening", "thank you", "thanks", "thank you very much", "goodbye", "bye", "please", "sorry",
    "wait", "stop", "one moment", "never mind", "i don't know", "what did you say", "can you repeat that please",
    "that's right", "that is correct", "that is wrong", "i would like to", "i want to", "could you", "can you", "can i",
    "do you", "tell me", "is there", "{digits}", "it is {digits}", "number {digits}", "{day}", "{time}", "{date}",
    "{day} at {time}", "at {time}", "on {day}", "on {date}", "{time} on {day}", "{day} morning", "{day} afternoon",
    "{day} evening", "{number}", "for {number} people", "in the morning", "in the afternoon", "in the evening",
)  # fmt: skip

INTERRUPTIONS = (
    "stop", "stop stop", "stop it", "wait", "wait wait", "wait a moment", "wait a minute", "wait a second", "hold on",
    "hang on", "no", "no no", "no no no", "no wait", "no that's wrong", "no that is wrong", "that's wrong",
    "that's not right", "excuse me", "sorry", "pardon", "i'm sorry", "one moment", "one moment please",
    "just a moment", "one second", "listen", "hello", "never mind", "i have a question", "can i ask something",
    "can i say something", "what do you mean", "cancel", "cancel that",
)  # fmt: skip
"What anybody says to take the floor from somebody who speaks."

COMMON_BACKCHANNELS = (
    "mm", "hm", "mm hm", "um hum", "uh huh", "oh", "yeah", "yes", "yep", "right", "okay", "alright", "sure", "i see",
    "oh i see", "got it", "exactly", "that's right",
)  # fmt: skip
"What they say most who only listen."

MURMURS: Mapping[str, Sequence[str]] = {
    "mm": ("M",), "mmm": ("M",), "hm": ("HH M",), "hmm": ("HH M",), "mhm": ("M HH M",), "uh": ("AH",),
    "huh": ("HH AH",),
}  # fmt: skip
"Phones of backchannels that the dictionary lacks, or has as a reader would say them."
