"""The program that speaks: which sound belongs to which word, and how it answers."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
from array import array
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from antiphon.engines.tts import espeak_link
from antiphon.engines.tts.espeak_program import HEADER, SLICE, SOUND, WORD, Words, first_sound, last_sound

LOUD = SOUND + 1


def samples(*runs: tuple[int, int]) -> array[int]:
    """(how many, how loud), ..."""
    return array("h", [value for count, value in runs for _ in range(count)])


def words(
    length: int, *buffers: tuple[array[int], list[tuple[int, int]]], pause: int = 3
) -> list[tuple[int, int, int]]:
    """What comes out: (samples, until, voiced) of each word."""
    out: list[tuple[int, int, int]] = []
    machine = Words(length, pause, lambda audio, until, voiced: out.append((len(audio), until, voiced)))
    for buffer in buffers:
        machine.take(*buffer)
    machine.finish()
    return out


def test_sound_is_what_exceeds_a_threshold() -> None:
    """On either side of zero; the ends are exact to the sample."""
    quiet_loud_quiet = samples((5, SOUND), (3, -LOUD), (4, -SOUND))
    assert (first_sound(quiet_loud_quiet), last_sound(quiet_loud_quiet)) == (5, 8)
    assert (first_sound(samples((5, 0))), last_sound(samples((5, 0)))) == (5, 0)
    assert last_sound(array("h")) == 0


def test_each_word_lasts_until_the_next_begins() -> None:
    """Whichever buffer it begins in; the pause between is counted to the word before."""
    out = words(
        9,
        (samples((10, LOUD)), [(0, 0)]),
        (samples((4, LOUD), (6, 0)), []),
        (samples((10, LOUD)), [(4, 20), (7, 25)]),
    )
    assert out == [(20, 4, 14), (5, 7, 5), (5, 9, 5)]


def test_silence_before_the_first_word_is_left_out() -> None:
    """And the alignment moves with it, even if whole words are silent."""
    assert words(3, (samples((10, 0)), [(0, 0)]), (samples((2, 9), (8, LOUD)), [])) == [(8, 3, 8)]
    assert words(5, (samples((10, 0)), [(0, 0), (2, 4)]), (samples((10, LOUD)), [(4, 15)])) == [(5, 4, 5), (5, 5, 5)]


def test_silence_after_the_last_word_is_cut_to_the_pause() -> None:
    """Or to what there is of it."""
    assert words(3, (samples((10, LOUD), (50, 0)), [(0, 0)])) == [(13, 3, 10)]
    assert words(3, (samples((10, LOUD), (2, 0)), [(0, 0)])) == [(12, 3, 10)]


def test_nothing_comes_of_silence() -> None:
    """No word, if nothing is heard."""
    assert words(3, (samples((100, 5)), [(0, 0)])) == []
    assert words(3) == []


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(0, 0), (2, 4), (2, 6), (2, 8)], [(4, 2, 4), (16, 9, 16)]),
        ([(0, 0), (5, 4), (3, 8), (6, 12)], [(4, 5, 4), (8, 6, 8), (8, 9, 8)]),
        ([(0, 0), (9, 4), (12, 8)], [(20, 9, 20)]),
        ([(0, 0), (2, 8), (3, 4)], [(8, 2, 8), (12, 9, 12)]),
        ([(-1, 0), (2, 99)], [(20, 2, 20)]),
        ([(2, 0), (3, 0), (4, 5)], [(5, 4, 5), (15, 9, 15)]),
        ([], [(20, 9, 20)]),
    ],
    ids=["repeated", "going back", "behind the text", "back in time", "outside the sound", "together", "none"],
)
def test_misplaced_words_do_not_disturb_the_order(
    events: list[tuple[int, int]], expected: list[tuple[int, int, int]]
) -> None:
    """A word begins only further on in the text, and in the sound."""
    assert words(9, (samples((20, LOUD)), events)) == expected


# ------------------------------------------------------------------------------------------------------ as a program


class Conversation:
    """The program, spoken to as its docstring says."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, kind: bytes, number: int, payload: bytes = b"") -> None:
        assert self.process.stdin
        self.process.stdin.write(HEADER.pack(len(payload), kind, number) + payload)
        self.process.stdin.flush()

    def speak(self, number: int, text: str, voice: str = "en-us") -> None:
        self.send(b"S", number, f"{voice}\t175\t50\t1000\n{text}".encode())

    def frame(self) -> tuple[bytes, int, bytes]:
        assert self.process.stdout
        length, kind, number = HEADER.unpack(self.process.stdout.read(HEADER.size))
        return kind, number, self.process.stdout.read(length)

    def answers(self, *numbers: int) -> dict[int, list[tuple[bytes, bytes]]]:
        """All frames until each of these requests has ended."""
        frames: dict[int, list[tuple[bytes, bytes]]] = {number: [] for number in numbers}
        open_requests = set(numbers)
        while open_requests:
            kind, number, payload = self.frame()
            frames[number].append((kind, payload))
            if kind in b"EF":
                open_requests.remove(number)
        return frames

    def close(self) -> None:
        """Kill it, if it still runs."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()
        self.process.wait(10)


@pytest.fixture
def program() -> Iterator[Conversation]:
    with closing(Conversation(espeak_link.command())) as conversation:
        yield conversation


@pytest.mark.component("espeak")
def test_both_ends_agree_on_the_frames() -> None:
    """The program shares no code with the server: what is written down twice is the same."""
    assert espeak_link.HEADER.format == HEADER.format
    assert espeak_link.WORD.format == WORD.format


@pytest.mark.component("espeak")
def test_a_request_is_answered_word_by_word(program: Conversation) -> None:
    """Audio in writes that cannot be torn apart, then where the word ends; at last the end."""
    program.speak(7, "Hello there.")
    frames = program.answers(7)[7]
    assert all(
        len(payload) <= 2 * SLICE and HEADER.size + 2 * SLICE <= select.PIPE_BUF for k, payload in frames if k == b"D"
    )
    ends = [WORD.unpack(payload) for kind, payload in frames if kind == b"W"]
    assert [until for until, _ in ends] == [6, 12]
    assert frames[0][0] == b"D"
    assert abs(struct.unpack_from("<h", frames[0][1])[0]) > SOUND
    assert frames[-1] == (b"E", b"")


@pytest.mark.component("espeak")
def test_requests_run_side_by_side(program: Conversation) -> None:
    """The same text under many numbers, more than run at a time: each is answered whole."""
    for number in range(1, 31):
        program.speak(number, "One two three.")
    answers = program.answers(*range(1, 31))
    assert all(answer == answers[1] for answer in answers.values())


@pytest.mark.component("espeak")
def test_an_aborted_request_stops(program: Conversation) -> None:
    """What is to be said would fill the pipe: the end never comes, the next request's does."""
    program.speak(1, "This is said many times. " * 40)
    assert program.frame()[:2] == (b"D", 1)
    for number in (1, 1, 99):
        program.send(b"A", number)
    program.speak(2, "Two.")
    kinds: list[bytes] = []
    while True:
        kind, number, _ = program.frame()
        if number == 2 and kind == b"E":
            break
        if number == 1:
            kinds.append(kind)
    assert b"E" not in kinds
    assert b"F" not in kinds


@pytest.mark.component("espeak")
def test_a_voice_that_is_not_there_fails_that_request_only(program: Conversation) -> None:
    """With a reason for people."""
    program.speak(1, "One.", voice="zz")
    program.speak(2, "Two.")
    answers = program.answers(1, 2)
    assert answers[1] == [(b"F", b"eSpeak NG has no voice 'zz'")]
    assert answers[2][-1] == (b"E", b"")


@pytest.mark.component("espeak")
def test_a_request_whose_process_dies_fails_that_request_only(program: Conversation) -> None:
    """As it would if the text crashed the library."""
    program.speak(1, "This is said many times. " * 40)
    assert program.frame()[:2] == (b"D", 1)
    (child,) = children(program.process.pid)
    os.kill(child, signal.SIGSEGV)
    program.speak(2, "Two.")
    answers = program.answers(1, 2)
    assert answers[1][-1] == (b"F", b"eSpeak NG ended with -11 on this text")
    assert answers[2][-1] == (b"E", b"")


@pytest.mark.component("espeak")
def test_it_ends_with_its_input(program: Conversation) -> None:
    """And so do the processes that it has started: its output ends too, in the middle of what was being said."""
    program.speak(1, "This is said many times. " * 40)
    assert program.frame()[:2] == (b"D", 1)
    assert program.process.stdin
    assert program.process.stdout
    program.process.stdin.close()
    assert program.process.wait(10) == 0
    assert HEADER.pack(0, b"E", 1) not in program.process.stdout.read()


@pytest.mark.parametrize("library", ["/nowhere/libespeak-ng.so", "libm.so.6"])
def test_a_library_that_cannot_be_loaded_is_reported(library: str) -> None:
    """As a failure of everything, number 0; a library that is another one too."""
    with closing(Conversation([sys.executable, "-I", "-S", str(espeak_link.PROGRAM), library])) as program:
        kind, number, payload = program.frame()
        assert (kind, number) == (b"F", 0)
        assert payload
        assert program.process.wait(10) == 0


def test_it_loads_little() -> None:
    """Nothing of ours, no site-packages, none of the slow parts of the standard library."""
    command = [sys.executable, "-I", "-S", "-X", "importtime", str(espeak_link.PROGRAM), "/nowhere"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    modules = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert {"ctypes", "select"} <= modules
    assert not modules & {"antiphon", "numpy", "asyncio", "typing", "re", "json", "espeakng_loader", "site", "pathlib"}


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
