"""The journal's lines: JSON, in order, with their times; sound by its size alone."""

from __future__ import annotations

import json
from typing import Any

from antiphon.protocol import events as ev
from antiphon.record.journal import VERSION, Journal
from antiphon.turns.observations import Heard, SpeechStarted


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.25

    def __call__(self) -> float:
        return self.now


def written(*steps: Any) -> list[dict[str, Any]]:
    """The lines of a journal on which these are done, 0.1 s apart."""
    lines: list[bytes] = []
    clock = Clock()
    journal = Journal(lines.append, clock)
    for step in steps:
        step(journal)
        clock.now += 0.1
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return [json.loads(line) for line in lines]


def test_times_count_from_the_beginning() -> None:
    """Whatever the clock said then; to the microsecond."""
    lines = written(
        lambda j: j.begin({"agent_id": "a"}), lambda j: j.saw(SpeechStarted()), lambda j: j.end(1000, "", None)
    )
    assert [line["at"] for line in lines] == [0.0, 0.1, 0.2]


def test_the_first_line_says_whose_journal_it_is_and_the_last_how_it_ended() -> None:
    """And in which version of the format it is written."""
    first, last = written(lambda j: j.begin({"agent_id": "a"}), lambda j: j.end(1002, "why", "llm_timeout"))
    assert first["journal"] == {"version": VERSION, "agent_id": "a"}
    assert last["end"] == {"close_code": 1002, "reason": "why", "error_type": "llm_timeout"}


def test_sound_is_kept_by_its_size() -> None:
    """Both ways; the quick line of the caller's sound is the same JSON as the slow one."""
    heard, said = written(
        lambda j: j.received(ev.UserAudio(b"12345")), lambda j: j.emitted(ev.AgentAudio(audio=b"123", event_id=7))
    )
    assert heard == {"at": 0.0, "in": {"user_audio_chunk": {"bytes": 5}}}
    assert said["out"] == {"audio_event": {"event_id": 7, "bytes": 3}, "type": "audio"}


def test_very_early_and_very_late_times_are_json() -> None:
    """A float prints with an exponent when it is small: that is JSON too."""
    lines: list[bytes] = []
    clock = Clock()
    journal = Journal(lines.append, clock)
    for later in (1e-6, 1e-5, 86_400.123456):
        clock.now = 1000.25 + later
        journal.received(ev.UserAudio(b""))
    assert [json.loads(line)["at"] for line in lines] == [1e-6, 1e-5, 86_400.123456]


def test_pings_pongs_and_scores_are_not_kept() -> None:
    """They say nothing of the conversation and would be most of it."""
    assert not written(
        lambda j: j.emitted(ev.Ping(event_id=1)),
        lambda j: j.received(ev.Pong(event_id=1)),
        lambda j: j.emitted(ev.VadScore(score=0.5)),
    )


def test_messages_observations_and_results_are_told_apart() -> None:
    """`in`, `out`, `saw`, `engine`: what nobody here knows is kept whole."""
    unknown, out, saw, engine = written(
        lambda j: j.received(ev.UnknownEvent({"type": "news", "x": 1})),
        lambda j: j.emitted(ev.UserTranscript(text="hi", event_id=2)),
        lambda j: j.saw(Heard(1, "hi")),
        lambda j: j.engine("stt", {"text": "hi", "final": True}),
    )
    assert unknown["in"] == {"type": "news", "x": 1}
    assert out["out"]["user_transcription_event"] == {"user_transcript": "hi", "event_id": 2}
    assert saw["saw"] == {"kind": "Heard", "utterance": 1, "text": "hi"}
    assert engine == {"at": engine["at"], "engine": "stt", "text": "hi", "final": True}
