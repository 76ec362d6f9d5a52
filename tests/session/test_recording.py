"""The recording of a call: what the caller said, and what the caller heard of the agent."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import pytest

from antiphon.protocol import events as ev
from antiphon.record.recording import Recording
from antiphon.simulation.call import BargeIn, Call, HangUp, Speak
from antiphon.turns.playback import DELAY

Hold = Callable[..., Call]
RATE = 16_000
CHARACTER = 0.06
"Seconds that the scripted voice takes for one; a space is silent."
GREETING = "Hello, how can I help?"


def stretches(track: bytes, pause: float = 0.2) -> list[tuple[float, float]]:
    """(begin, end) in seconds of everything that sounds without so long a pause."""
    found: list[tuple[float, float]] = []
    samples = array("h", track)
    for index in range(0, len(samples), RATE // 100):
        if any(samples[index : index + RATE // 100]):
            at = index / RATE
            if found and at - found[-1][1] < pause:
                found[-1] = (found[-1][0], at + 0.01)
            else:
                found.append((at, at + 0.01))
    return found


@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize("wire", ["pcm_16000", "ulaw_8000"])
def test_of_an_interrupted_answer_is_recorded_what_was_heard(call: Hold, gate: bool, wire: str) -> None:
    """It breaks off at the interruption, at the word at which the correction does, though more had been sent."""
    recording = Recording(RATE)
    held = call(
        [Speak(), BargeIn(seconds=1.0, into=2.0), HangUp(3.0)],
        lines=["long story", "stop that"],
        chunk=0.02,
        recording=recording,
        asr={"user_input_audio_format": wire},
        tts={"agent_output_audio_format": wire},
        antiphon={"echo_gate": gate},
    )
    ((cut_at, _),) = [(at, event) for at, event in held.heard if isinstance(event, ev.Interruption)]
    (correction,) = held.events(ev.AgentResponseCorrection)
    user, agent = (stretches(track) for track in recording.tracks())
    greeting, answer = agent[:2]
    assert greeting[1] - greeting[0] == pytest.approx(CHARACTER * len(GREETING), abs=0.03)
    assert answer[1] == pytest.approx(cut_at, abs=CHARACTER + 0.02)
    assert (answer[1] - answer[0]) / CHARACTER == pytest.approx(len(correction.corrected), abs=7)
    sent = [at for at, event in held.heard if isinstance(event, ev.AgentAudio) and at < cut_at]
    assert answer[0] == pytest.approx(min(at for at in sent if at > greeting[1]) + DELAY, abs=0.02)
    assert [end - begin for begin, end in user[:2]] == pytest.approx([1.0, 1.0], abs=0.1)
    assert user[1][0] < cut_at < user[1][1]


def test_what_would_sound_after_the_end_is_not_recorded(call: Hold) -> None:
    """Who hangs up in the middle of an answer has not heard its rest."""
    recording = Recording(RATE)
    held = call([Speak(), BargeIn(seconds=0.0, into=1.5), HangUp()], lines=["long story"], recording=recording)
    sent = sum(len(event.audio) for event in held.events(ev.AgentAudio)) / (2 * RATE) - CHARACTER * len(GREETING)
    _, answer = stretches(recording.tracks()[1])
    assert answer[1] == pytest.approx(recording.seconds, abs=CHARACTER)
    assert answer[1] - answer[0] == pytest.approx(1.5, abs=0.2)
    assert sent > answer[1] - answer[0] + 0.1
