"""The ledger of what was heard."""

from __future__ import annotations

import random

import pytest

from antiphon.turns.playback import Playback

EACH = 0.1
"Seconds a character takes in these tests."


def reply(text: str, *, at: float = 0.0, gap_after: int | None = None, gap: float = 0.0) -> Playback:
    """A reply whose every character was sent as its own piece, in good time; with a pause in the sending, if asked."""
    playback = Playback(delay=0.0)
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
    assert reply(text).heard(0.44) == 4
    assert reply(text).heard(0.46) == 5
    assert reply("สวัสดี").heard(0.16) == 3, "a vowel sign goes with its consonant"


def test_korean_is_heard_word_by_word() -> None:
    """It has spaces, though its letters are as wide as Chinese ones."""
    text = "안녕하세요 반갑습니다"
    assert reply(text).heard(0.2) == 0
    assert reply(text).heard(0.3) == len("안녕하세요")


def test_punctuation_belongs_to_the_word_before_it_and_takes_no_time_from_it() -> None:
    """A pause behind a comma does not make the word before it longer."""
    playback = Playback(delay=0.0)
    playback.write("well, yes")
    playback.sent(1.0, 0.0, [(0.0, 1), (0.05, 2), (0.1, 3), (0.15, 4), (0.2, 5), (0.9, 6), (0.9, 7)])
    assert playback.heard(0.09) == 0
    assert playback.heard(0.11) == len("well,")


def test_a_word_whose_end_has_not_been_sent_is_judged_by_what_has() -> None:
    """Held in the middle of a word: more than half of its letters were out, or not."""
    playback = Playback(delay=0.0)
    playback.write("extraordinary")
    playback.sent(0.4, 0.0, [(0.1 * i, i + 1) for i in range(4)])
    assert playback.heard(9.0) == 0
    playback.sent(0.4, 0.4, [(0.1 * i, i + 5) for i in range(4)])
    assert playback.heard(9.0) == len("extraordinary")


def test_between_two_marks_the_text_advances_evenly() -> None:
    """Voices without timings give one mark for a whole piece."""
    playback = Playback(delay=0.0)
    playback.write("one two six")
    playback.sent(1.1, 0.0, [(1.1, 11)])
    heard = [playback.heard(moment) for moment in (0.14, 0.16, 0.54, 0.56, 0.94, 0.96)]
    assert heard == [0, 3, 3, 7, 7, 11]


def test_what_the_client_gathers_before_it_plays_is_counted_once() -> None:
    """After a gap a player that had run dry plays what comes at once."""
    playback = Playback(delay=0.05)
    assert playback.sent(0.1, 0.0) == pytest.approx(0.05)
    assert playback.sent(0.1, 0.1) == pytest.approx(0.15)
    assert playback.sent(0.1, 1.0) == pytest.approx(1.0)


def test_a_report_of_the_client_wins_over_what_was_assumed() -> None:
    """It began late, and what follows is late too; or it plays faster than was thought."""
    late = reply("hello there")
    late.played_until(0.2, 0.5)
    assert late.played(0.5) == pytest.approx(0.2)
    assert late.played(0.9) == pytest.approx(0.6)
    assert late.ends_at == pytest.approx(1.4)
    early = reply("hello there", at=1.0)
    early.played_until(0.5, 1.0)
    assert early.played(1.0) == pytest.approx(0.5)
    assert early.played(1.1) == pytest.approx(0.6)
    assert early.played(0.8) == pytest.approx(0.3)


def test_what_sounded_when_is_told_in_stretches() -> None:
    """One for each time that the player began."""
    playback = reply("hello there", gap_after=6, gap=2.0)
    ranges = playback.ranges(3.0)
    assert [(round(r.at, 6), round(r.begin, 6), round(r.end, 6)) for r in ranges] == [(0.0, 0.0, 0.6), (2.6, 0.6, 1.0)]
    cut = playback.cut(3.0)
    assert cut.seconds == pytest.approx(1.0) == pytest.approx(sum(r.end - r.begin for r in cut.ranges))
    assert cut.characters == playback.heard(3.0)


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
        playback = Playback(delay=0.0)
        playback.write(text)
        now, sounding = 0.0, list[tuple[float, float]]()
        for index in range(len(text)):
            if rng.random() < 0.05:
                now += rng.random()
            begin = max(now, sounding[-1][1] if sounding else now)
            sounding.append((begin, begin + EACH))
            playback.sent(EACH, now, [(0.0, index + 1)])
        moment = rng.uniform(0.0, sounding[-1][1] + 0.5)
        played = sum(min(EACH, max(0.0, moment - begin)) for begin, _ in sounding)
        position, truth = 0, 0
        for word in words:
            truth += played >= (position + len(word) / 2) * EACH - 1e-9
            position += len(word) + 1
        errors.append(len(text[: playback.heard(moment)].split()) - truth)
    assert max(map(abs, errors)) <= 1
    assert sum(map(bool, errors)) <= 2, "but for rounding, at the very moment"
