"""The ledger of what was heard."""

from __future__ import annotations

import random

import pytest

from antiphon.turns.playback import Playback

EACH = 0.1
"Seconds a character takes in these tests."


def reply(text: str, *, at: float = 0.0, gap_after: int | None = None, gap: float = 0.0) -> Playback:
    """A reply whose every character was sent as its own piece, in good time; with a pause in the sending, if asked."""
    playback = Playback()
    playback.write(text)
    now = at
    for index in range(len(text)):
        if gap_after is not None and index == gap_after:
            now = playback.ends_at + gap
        playback.sent(EACH, now, [(0.0, index + 1)])
    return playback


def test_nothing_is_heard_before_anything_was_sent() -> None:
    """An empty ledger is no claim."""
    playback = Playback()
    playback.write("hello")
    assert playback.heard(100.0) == 0


def test_all_is_heard_once_it_has_sounded() -> None:
    """To the last character."""
    assert reply("hello there").heard(5.0) == len("hello there")


def test_a_word_counts_once_more_than_half_of_it_has_sounded() -> None:
    """'there' begins at 0.6 s and takes 0.5."""
    text, playback = "hello there", reply("hello there")
    assert text[: playback.heard(0.70)] == "hello"
    assert text[: playback.heard(0.95)] == "hello there"


def test_a_gap_in_the_sending_is_a_gap_in_the_hearing() -> None:
    """A starved player falls silent, and goes on where it stopped."""
    text, playback = "hello there", reply("hello there", gap_after=6, gap=10.0)
    assert text[: playback.heard(5.0)] == "hello"
    assert playback.ends_at == pytest.approx(6 * EACH + 10.0 + 5 * EACH)


def test_text_that_was_never_spoken_is_never_heard() -> None:
    """However long one waits."""
    playback = reply("hello ")
    playback.write("there")
    assert playback.heard(100.0) == len("hello")


def test_scripts_without_spaces_are_heard_character_by_character() -> None:
    """One would otherwise hear all of a Japanese sentence or nothing."""
    text = "こんにちは元気ですか"
    assert reply(text).heard(0.45) == 5


def test_the_delay_of_the_line_is_not_heard_yet() -> None:
    """Sound that is still on its way has not been heard."""
    playback = Playback(delay=0.2)
    playback.write("yes")
    playback.sent(0.3, 0.0, [(0.0, 3)])
    assert playback.heard(0.1) == 0
    assert playback.heard(0.5) == 3


def test_the_ledger_agrees_with_a_player_that_shares_no_code_with_it() -> None:
    """Random texts, pauses and moments: never off by more than a word, and without bias."""
    rng = random.Random(7)
    errors: list[int] = []
    for _ in range(500):
        words = ["".join(rng.choices("abcdefgh", k=rng.randint(1, 9))) for _ in range(rng.randint(1, 12))]
        text = " ".join(words)
        playback = Playback()
        playback.write(text)
        now, sounding = 0.0, list[tuple[float, float]]()
        for index in range(len(text)):
            if rng.random() < 0.05:
                now += rng.random()
            begin = max(now, sounding[-1][1] if sounding else now)
            sounding.append((begin, begin + EACH))
            playback.sent(EACH, now, [(0.0, index + 1)])
        moment = rng.uniform(0.0, sounding[-1][1] + 0.5)
        begun = sum(1 for begin, _ in sounding if begin <= moment)
        position, truth = 0, 0.0
        for word in words:
            truth += min(1.0, max(0.0, (begun - position) / len(word)))
            position += len(word) + 1
        errors.append(len(text[: playback.heard(moment)].split()) - round(truth))
    assert max(map(abs, errors)) <= 1
    assert abs(sum(errors)) / len(errors) < 0.1
