"""The agent's own voice in the caller's microphone is told from the caller's, and nothing else is suppressed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from antiphon.audio.echo import FRAME, RATE, EchoGate

Sound = NDArray[np.float64]

FRAME_SECONDS = FRAME / RATE


def syllables(seconds: float, seed: int, level: float = 3_000.0) -> Sound:
    """Noise that rises and falls like speech, each syllable with a spectrum of its own."""
    rng = np.random.default_rng(seed)
    frequencies = np.fft.rfftfreq(4_096, 1 / RATE)
    sound = np.zeros(round(seconds * RATE))
    at = 0
    while at < len(sound):
        length = int(rng.integers(1_600, 4_000))
        spectrum = np.zeros(len(frequencies))
        for _ in range(3):
            spectrum += np.exp(-(((frequencies - rng.uniform(200, 4_500)) / rng.uniform(80, 300)) ** 2))
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(4_096)) * spectrum)[:length]
        noise *= np.hanning(length) / np.sqrt(np.mean(noise**2))
        sound[at : at + length] = noise[: len(sound) - at]
        at += length + int(rng.integers(0, 2_400))
    return sound * level / np.sqrt(np.mean(sound**2))


def in_a_room(sound: Sound, seconds: float = 0.25, seed: int = 1) -> Sound:
    """A direct path and a tail as loud, falling by 60 dB in `seconds`."""
    at = np.arange(round(RATE * seconds)) / RATE
    tail = np.random.default_rng(seed).standard_normal(len(at)) * 10 ** (-3 * at / seconds)
    response = tail / np.sqrt(np.sum(tail**2))
    response[0] = 1.0
    size = 1 << (len(sound) + len(response)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)[: len(sound)]
    return wet * np.sqrt(np.mean(sound**2) / np.mean(wet**2))


def pcm(sound: Sound) -> bytes:
    return np.clip(np.rint(sound), -32_768, 32_767).astype("<i2").tobytes()


def noise(seconds: float, level: float = 20.0) -> Sound:
    return np.random.default_rng(99).standard_normal(round(seconds * RATE)) * level


def hear(
    gate: EchoGate,
    microphone: Sound,
    agent: Sound | None = None,
    *,
    begins: float = 0.0,
    clock: float = 0.0,
    piece: float = 0.1,
    jitter: float = 0.0,
    drop: tuple[float, float] | None = None,
) -> list[float]:
    """What the gate says of each frame.

    The agent's sound begins at `begins` on the microphone's clock and is told 0.3 s ahead; the microphone's comes in
    pieces. `clock` is added to all times. `drop`: (when it is told, from when on).
    """
    draw, answers = random.Random(3), []
    pending = [] if agent is None else list(pieces(pcm(agent), begins))
    frames = [pcm(microphone[at : at + FRAME]) for at in range(0, len(microphone) - FRAME + 1, FRAME)]
    count = round(piece * RATE)
    newest = 0.0
    for end in range(count, len(microphone) + 1, count):
        newest = max(newest, end / RATE + draw.uniform(0, jitter))
        while pending and pending[0][0] - 0.3 <= newest and (drop is None or newest < drop[0]):
            at, audio = pending.pop(0)
            gate.sent(audio, clock + at)
        if drop is not None and newest >= drop[0]:
            gate.dropped(clock + drop[1])
            drop, pending = None, []
        while (len(answers) + 1) * FRAME <= end:
            answers.append(gate.echo(frames[len(answers)], clock + newest))
    return answers


def pieces(audio: bytes, at: float) -> Iterator[tuple[float, bytes]]:
    draw = random.Random(4)
    begin = 0
    while begin < len(audio):
        size = draw.choice((640, 1_280, 3_200))
        yield at + begin / 2 / RATE, audio[begin : begin + size]
        begin += size


def between(answers: list[float], begin: float, end: float) -> list[float]:
    """Of the frames that lie wholly in these seconds."""
    return answers[int(np.ceil(begin / FRAME_SECONDS)) : int(end / FRAME_SECONDS)]


def echoing(agent: Sound, late: float, gain: float, seconds: float, begins: float = 0.0) -> Sound:
    """The microphone of a silent caller."""
    microphone = noise(seconds)
    begin = round((begins + late) * RATE)
    heard = in_a_room(agent)[: len(microphone) - begin] * 10 ** (gain / 20)
    microphone[begin : begin + len(heard)] += heard
    return microphone


def test_where_nothing_was_sent_nothing_is_echo() -> None:
    """Speech, noise and silence are the caller's."""
    assert set(hear(EchoGate(), syllables(3, 1))) == {0.0}
    assert set(hear(EchoGate(), np.zeros(RATE))) == {0.0}


@pytest.mark.parametrize("gain", [-20.0, -13.0, -6.0])
@pytest.mark.parametrize("late", [0.05, 0.2, 0.4, 0.6])
def test_an_echo_is_explained_from_its_first_frame(late: float, gain: float) -> None:
    """Also before the gate knows how late and how loud it is, and until the room is still."""
    agent = syllables(6, 2)
    answers = hear(EchoGate(), echoing(agent, late, gain, 8, begins=0.5), agent, begins=0.5)
    assert set(between(answers, 0.6, 6.5 + late)) == {1.0}


@pytest.mark.parametrize("piece", [0.02, 0.1, 0.25])
def test_pieces_and_jitter_do_not_matter(piece: float) -> None:
    """An echo is explained whether the microphone's sound comes in small pieces or in large ones, late or on time."""
    agent = syllables(6, 5)
    answers = hear(EchoGate(), echoing(agent, 0.2, -10, 8, begins=0.5), agent, begins=0.5, piece=piece, jitter=0.06)
    assert set(between(answers, 0.8, 6.5)) == {1.0}


@pytest.mark.parametrize("louder", [0.0, 6.0, 20.0])
def test_a_caller_who_speaks_over_the_echo_is_let_through(louder: float) -> None:
    """Once it is known how loud the echo is: most frames, from 0.3 s after the onset at the latest."""
    agent, onset, late = syllables(8, 6), 4.0, 0.2
    microphone = echoing(agent, late, -12, 8, begins=0.2)
    begin = round(onset * RATE)
    words = syllables(2, 7, 3_000 * 10 ** ((-12 + louder) / 20))
    microphone[begin : begin + len(words)] += words
    answers = hear(EchoGate(), microphone, agent, begins=0.2)
    assert set(between(answers, 0.5, onset)) == {1.0}
    assert min(between(answers, onset, onset + 0.3)) == 0.0
    assert np.mean(between(answers, onset + 0.3, onset + 1.5)) < 0.35


def test_the_gate_closes_again_when_the_caller_has_finished() -> None:
    """What the agent goes on to say after a backchannel is echo again 0.5 s later."""
    agent = syllables(8, 8)
    microphone = echoing(agent, 0.2, -12, 8, begins=0.2)
    microphone[4 * RATE : 4 * RATE + 8_000] += syllables(0.5, 9, 3_000)
    answers = hear(EchoGate(), microphone, agent, begins=0.2)
    assert min(between(answers, 4.0, 4.5)) == 0.0
    assert set(between(answers, 5.2, 7.9)) == {1.0}


def test_with_a_headset_the_caller_is_let_through_at_once() -> None:
    """Where 3 s of the agent's sound did not come back there is no echo: not a frame of the caller's is lost."""
    agent = syllables(6, 10)
    microphone = noise(6)
    microphone[4 * RATE : 5 * RATE] += syllables(1, 11, 500)
    answers = hear(EchoGate(), microphone, agent, begins=0.2)
    assert set(between(answers, 3.5, 6)) == {0.0}


def test_an_echo_that_appears_later_is_learned() -> None:
    """The headset is unplugged: half a second or so passes, then it is echo."""
    agent = syllables(14, 12)
    microphone = echoing(agent, 0.15, -10, 14)
    microphone[: 6 * RATE] = noise(6)
    answers = hear(EchoGate(), microphone, agent)
    assert set(between(answers, 3.5, 6)) == {0.0}
    assert set(between(answers, 8, 13.9)) == {1.0}


def test_the_tail_is_suspect_no_longer_than_the_room_rings() -> None:
    """A second after the agent's last sound a caller as soft as the echo is let through from the first frame on."""
    agent = syllables(4, 13)
    microphone = echoing(agent, 0.2, -10, 7)
    microphone[round(5.0 * RATE) : 6 * RATE] += syllables(1, 14, 900)
    answers = hear(EchoGate(), microphone, agent)
    assert set(between(answers, 5.0, 6.0)) == {0.0}


def test_what_was_dropped_explains_nothing() -> None:
    """After an interruption the caller is alone: the rest of what had been sent ahead is not expected back."""
    agent = syllables(8, 15)
    microphone = echoing(agent, 0.1, -10, 8)
    microphone[round(4.1 * RATE) :] = noise(3.9)[: len(microphone) - round(4.1 * RATE)]
    microphone[5 * RATE : 7 * RATE] += syllables(2, 16, 300)
    answers = hear(EchoGate(), microphone, agent, drop=(4.0, 4.0))
    assert set(between(answers, 1, 4)) == {1.0}
    assert set(between(answers, 5.0, 7)) == {0.0}


def test_a_reply_after_a_dropped_one_is_explained() -> None:
    """What is sent after the interruption sounds when it is said to, not behind what was thrown away."""
    gate, first, second = EchoGate(), syllables(4, 17), syllables(3, 18)
    gate.sent(pcm(first), 1.0)
    gate.dropped(3.0)
    gate.sent(pcm(second), 4.0)
    microphone = noise(8)
    for sound, begins in ((first[: 2 * RATE], 1.2), (second, 4.2)):
        begin = round(begins * RATE)
        microphone[begin : begin + len(sound)] += in_a_room(sound) * 0.3
    answers = hear(gate, microphone)
    assert set(between(answers, 1.1, 7.3)) == {1.0}


def test_only_differences_of_times_matter() -> None:
    """The clock may begin anywhere."""
    agent = syllables(4, 19)
    microphone = echoing(agent, 0.2, -10, 5)
    microphone[3 * RATE :] += syllables(2, 20, 1_500)
    results = [hear(EchoGate(), microphone, agent, clock=clock) for clock in (0.0, 1_000.0, 86_400.0 * 30)]
    assert results[0] == results[1] == results[2]


def test_the_same_call_gives_the_same_answers() -> None:
    """Twice, to the bit."""
    agent = syllables(4, 21)
    microphone = echoing(agent, 0.3, -15, 5) + syllables(5, 22, 200)
    assert hear(EchoGate(), microphone, agent, jitter=0.05) == hear(EchoGate(), microphone, agent, jitter=0.05)


@pytest.mark.parametrize("length", [0, 2, 1_022, 1_023, 1_026])
def test_a_frame_of_another_length_is_an_error(length: int) -> None:
    """And the gate says so."""
    with pytest.raises(ValueError, match="one frame"):
        EchoGate().echo(bytes(length), 0.0)


def test_half_a_sample_is_an_error() -> None:
    """In what was sent."""
    with pytest.raises(ValueError, match="whole samples"):
        EchoGate().sent(bytes(3), 0.0)


def test_nothing_that_is_sent_or_heard_breaks_it() -> None:
    """Random bytes, pieces of any size, times that jump to and fro: each answer is 0 or 1, and memory stays bounded."""
    draw, gate = random.Random(23), EchoGate()
    size = sum(table.nbytes for table in vars(gate).values() if isinstance(table, np.ndarray))
    now = 100.0
    for _ in range(2_000):
        now += draw.choice((0.0, 0.032, 0.25, 5.0, -1.0))
        match draw.randrange(5):
            case 0:
                gate.sent(draw.randbytes(2 * draw.choice((0, 1, 160, 4_000, 40_000))), now + draw.uniform(-2, 30))
            case 1:
                gate.dropped(now + draw.uniform(-3, 3))
            case _:
                assert 0.0 <= gate.echo(draw.randbytes(2 * FRAME), now) <= 1.0
    assert sum(table.nbytes for table in vars(gate).values() if isinstance(table, np.ndarray)) < size + 4 * FRAME
