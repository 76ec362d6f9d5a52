"""The two tracks of a recorded conversation."""

from __future__ import annotations

from array import array

from antiphon.record.recording import Recording

RATE = 100
"Samples a second: few, so that they can be counted."


def sound(value: int, seconds: float) -> bytes:
    """A piece of sound that can be told from others."""
    return array("h", [value] * round(seconds * RATE)).tobytes()


def stretches(track: bytes) -> list[tuple[int, float]]:
    """(value, seconds), one after another."""
    found: list[tuple[int, float]] = []
    for value in array("h", track):
        if found and found[-1][0] == value:
            found[-1] = (value, round(found[-1][1] + 1 / RATE, 6))
        else:
            found.append((value, 1 / RATE))
    return found


def test_the_agents_sound_stands_where_it_sounded() -> None:
    """A piece that left before its time stands behind the one before it."""
    recording = Recording(RATE)
    recording.agent(sound(1, 0.5), 1.0)
    recording.agent(sound(2, 0.5), 1.1)
    recording.agent(sound(3, 0.5), 3.0)
    assert stretches(recording.tracks()[1]) == [(0, 1.0), (1, 0.5), (2, 0.5), (0, 1.0), (3, 0.5)]


def test_what_the_client_threw_away_is_not_in_the_recording() -> None:
    """From the cut on there is silence, until the agent speaks again."""
    recording = Recording(RATE)
    recording.agent(sound(1, 1.0), 0.0)
    recording.agent(sound(2, 1.0), 1.0)
    recording.cut(1.2)
    recording.agent(sound(3, 0.1), 1.5)
    assert stretches(recording.tracks()[1]) == [(1, 1.0), (2, 0.2), (0, 0.3), (3, 0.1)]


def test_a_cut_in_silence_takes_nothing_away() -> None:
    """All of it had sounded."""
    recording = Recording(RATE)
    recording.agent(sound(1, 0.5), 0.0)
    recording.cut(2.0)
    assert stretches(recording.tracks()[1]) == [(1, 0.5)]


def test_a_jittery_microphone_is_laid_end_to_end() -> None:
    """Chunks that come a little early or late leave no holes."""
    recording = Recording(RATE)
    for number, late in enumerate([0.0, 0.05, 0.2, 0.0, 0.1]):
        recording.user(sound(number + 1, 0.1), 0.1 * (number + 1) + late)
    assert stretches(recording.tracks()[0]) == [(1, 0.1), (2, 0.1), (3, 0.1), (4, 0.1), (5, 0.1)]


def test_what_the_caller_did_not_send_is_silence() -> None:
    """A muted microphone sends nothing; what comes after it stands at its time."""
    recording = Recording(RATE)
    recording.user(sound(1, 0.1), 0.1)
    recording.user(sound(2, 0.1), 2.1)
    assert stretches(recording.tracks()[0]) == [(1, 0.1), (0, 1.9), (2, 0.1)]


def test_both_tracks_are_of_one_length() -> None:
    """So that they can be laid side by side."""
    recording = Recording(RATE)
    recording.user(sound(1, 3.0), 3.0)
    recording.agent(sound(2, 1.0), 0.5)
    user, agent = recording.tracks()
    assert len(user) == len(agent) == 2 * 3 * RATE


def test_sound_that_was_held_up_stands_where_it_was_made() -> None:
    """A connection that stalls and then brings everything at once: no silence is left of it, and nothing moves."""
    recording = Recording(RATE)
    recording.user(sound(1, 0.5), 0.5)
    for piece in (2, 3, 4):
        recording.user(sound(piece, 0.5), 2.0)
    recording.user(sound(5, 0.5), 2.5)
    assert stretches(recording.tracks()[0]) == [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5), (5, 0.5)]


def both(taken: bytes) -> list[tuple[list[tuple[int, float]], ...]]:
    """The stretches of the left side and of the right."""
    samples = array("h", taken)
    return [tuple(stretches(samples[side::2].tobytes()) for side in (0, 1))]


def test_it_can_be_taken_in_parts() -> None:
    """The caller left, the agent right; a part is as long as was asked, and what follows fits on."""
    recording = Recording(RATE)
    recording.user(sound(1, 1.0), 1.0)
    recording.agent(sound(2, 1.0), 0.5)
    assert both(recording.take(-1.0)) == both(b"")
    assert both(recording.take(0.75)) == [([(1, 0.75)], [(0, 0.5), (2, 0.25)])]
    recording.cut(1.0)
    recording.agent(sound(3, 0.5), 1.5)
    assert recording.seconds == 2.0
    assert both(recording.take(recording.seconds)) == [
        ([(1, 0.25), (0, 1.0)], [(2, 0.25), (0, 0.5), (3, 0.5)]),
    ]
    assert recording.tracks() == (b"", b"")
    recording.user(sound(4, 0.5), 3.0)
    assert recording.seconds == 3.0
    assert both(recording.take(3.0)) == [([(0, 0.5), (4, 0.5)], [(0, 1.0)])]


def test_what_is_taken_beyond_the_end_is_silence() -> None:
    """A caller who sends nothing while the agent is silent; sound that comes for that time all the same is late."""
    recording = Recording(RATE)
    assert both(recording.take(1.0)) == [([(0, 1.0)], [(0, 1.0)])]
    recording.agent(sound(1, 0.5), 0.9)
    recording.cut(0.5)
    recording.user(sound(2, 0.5), 1.1)
    assert both(recording.take(1.5)) == [([(2, 0.5)], [(0, 0.5)])]
