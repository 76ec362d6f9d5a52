"""What `antiphon talk` calculates: transcript, levels, whose turn it is, the screen."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from antiphon.cli.talk import lines, picture
from antiphon.cli.talk.floor import PATIENCE, Floor
from antiphon.cli.talk.levels import QUIETEST, SpeechEnd, cells, decibels
from antiphon.cli.talk.screen import Screen
from antiphon.cli.talk.tools_file import load
from antiphon.cli.talk.transcript import Entry, Transcript
from antiphon.errors import ConfigError
from antiphon.protocol import events as ev

ROOT = Path(__file__).parents[2]


def folded(*events: ev.ServerEvent | ev.ClientEvent) -> Transcript:
    """The transcript after these, a second apart."""
    transcript = Transcript()
    for now, event in enumerate(events):
        transcript.take(event, float(now))
    return transcript


def part(text: str, kind: str) -> ev.AgentChatResponsePart:
    """A piece of a streamed answer."""
    return ev.AgentChatResponsePart(text=text, part=kind, event_id=1)  # pyright: ignore[reportArgumentType]


def test_an_interrupted_answer_is_kept_with_what_was_heard_of_it() -> None:
    """The correction finds its response by id, or else by its text."""
    for event_id in (7, 99):
        transcript = folded(
            ev.AgentResponse(text="One two three.", event_id=7),
            ev.Interruption(event_id=8),
            ev.AgentResponseCorrection(original="One two three.", corrected="One two", event_id=event_id),
        )
        (entry,) = transcript.entries
        assert (entry.heard, entry.is_interrupted, transcript.interruptions) == ("One two", True, 1)


def test_a_streamed_answer_is_one_entry_that_grows() -> None:
    """Its whole text, which comes too, is not shown a second time."""
    stream = [part("", "start"), part("Good ", "delta"), part("morning.", "delta")]
    assert folded(*stream).entries[0].is_unfinished
    for events in (
        [*stream, part("", "stop"), ev.AgentResponse(text="Good morning.", event_id=1)],
        [*stream, ev.AgentResponse(text="Good morning.", event_id=5), part("", "stop")],
    ):
        (entry,) = folded(*events).entries
        assert (entry.text, entry.is_unfinished) == ("Good morning.", False)


def test_a_tentative_transcript_is_replaced_by_the_final_one() -> None:
    """And the next turn is an entry of its own."""
    transcript = folded(
        ev.TentativeUserTranscript(text="what are"),
        ev.UserTranscript(text="what are your hours"),
        ev.UserTranscript(text="thanks"),
    )
    assert [entry.text for entry in transcript.entries] == ["what are your hours", "thanks"]


def test_a_tool_is_one_entry_from_call_to_result() -> None:
    """However often it is announced; a failure is marked."""
    call = ev.ClientToolCall(tool_name="weather", tool_call_id="c1", parameters={"city": "Rome"})
    watched = ev.AgentToolRequest(tool_name="weather", tool_call_id="c1", tool_type="client")
    result = ev.ClientToolResult(tool_call_id="c1", result={"sky": "blue"})
    (entry,) = folded(watched, call, result, ev.AgentToolResponse(tool_name="weather", tool_call_id="c1")).entries
    assert (entry.text, entry.result) == ('weather(city="Rome")', '{"sky": "blue"}')
    (entry,) = folded(call, ev.ClientToolResult(tool_call_id="c1", result="no", is_error=True)).entries
    assert entry.has_failed


def test_a_latency_belongs_to_its_answer_whichever_comes_first() -> None:
    """Sound may arrive before the text or after it."""
    before, after = folded(ev.UserTranscript(text="hi")), folded(ev.UserTranscript(text="hi"))
    before.answered(0.3, 0.9)
    before.take(ev.AgentResponse(text="Hello."), 1.0)
    after.take(ev.AgentResponse(text="Hello."), 1.0)
    after.answered(0.3, 1.1)
    assert before.entries[-1].latency == after.entries[-1].latency == 0.3


def test_a_latency_does_not_belong_to_what_was_said_before_the_user_spoke() -> None:
    """Not though the user's words wait in line while the answer sounds; nor to an answer after the next."""
    transcript = folded(ev.AgentResponse(text="Hello."))
    transcript.answered(0.5, 4.0)
    transcript.take(ev.UserTranscript(text="a story"), 4.001)
    transcript.take(ev.AgentResponse(text="Once upon a time."), 4.002)
    assert [entry.latency for entry in transcript.entries] == [None, None, 0.5]
    transcript.answered(0.5, 8.0)
    transcript.take(ev.AgentResponse(text="Are you still there?"), 30.0)
    assert [entry.latency for entry in transcript.entries][2:] == [0.5, None]


def test_a_meter_goes_by_decibels_of_full_scale() -> None:
    """Silence is its left end, full scale its right."""
    assert decibels(0) == decibels(1) == QUIETEST
    assert decibels(32768) == 0
    assert decibels(3276.8) == pytest.approx(-20)
    assert [cells(level, 24) for level in (-90, QUIETEST, -30, 0, 3)] == [0, 0, 12, 24, 24]


@pytest.mark.parametrize("noise", [0, 50, 300])
def test_the_end_of_speech_is_found_in_a_noisy_room(noise: float) -> None:
    """Speech is what stands out of the noise, once that has been heard."""
    speech = SpeechEnd()
    for index in range(150):
        speech.hear(noise if index < 50 or index >= 100 else 4_000, 0.02, (index + 1) * 0.02)
    assert speech.answered(3.0) == pytest.approx(1.0)
    assert speech.answered(4.0) is None


def test_the_floor_is_free_when_the_agent_has_answered_and_finished() -> None:
    """An answer that never comes is waited for with patience; a tool that runs holds the floor."""
    floor = Floor(0.0)
    assert floor.free_at(0.5) == 0.5
    floor.take(ev.AgentAudio(audio=b"", event_id=1), 1.0, 2.0)
    assert floor.free_at(0.5) == 3.5
    floor.said(4.0)
    assert floor.free_at(0.5) == 4.0 + PATIENCE
    floor.take(ev.ClientToolCall(tool_name="t", tool_call_id="c"), 5.0)
    assert floor.free_at(0.5) is None
    floor.take(ev.ClientToolResult(tool_call_id="c"), 6.0)
    floor.take(ev.AgentAudio(audio=b"", event_id=2), 7.0, 10.0)
    floor.take(ev.Interruption(event_id=3), 8.0)
    assert floor.free_at(0.5) == 8.5


def test_lines_hold_no_line_breaks() -> None:
    """One event, one line, whatever it says."""
    shown = lines.line(ev.AgentResponse(text="One.\nTwo."), 1.5)
    assert shown == "   1.500  agent        One. Two."
    assert lines.line(ev.Ping(event_id=1), 0.0) is None


def test_the_screen_shows_the_newest_that_fits() -> None:
    """Older entries leave at the top; meters and times stay."""
    transcript = Transcript(entries=[Entry("user", f"turn {index}", 0.0) for index in range(100)])
    console = Console(width=60, height=12, file=io.StringIO())
    console.print(Screen("title", transcript))
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue().splitlines()
    assert len(drawn) <= 12
    assert "turn 99" in "".join(drawn)
    assert "turn 90" not in "".join(drawn)
    assert "Ctrl-C ends" in drawn[-1]


def test_decorated_tools_win_over_public_functions(tmp_path: Path) -> None:
    """A ClientTools in the file says which functions are tools."""
    path = tmp_path / "tools.py"
    path.write_text(
        "from antiphon import ClientTools\ntools = ClientTools()\n\n"
        "@tools.tool\ndef weather(city: str) -> str:\n    return city\n\n"
        "def public(x: int) -> int:\n    return x\n"
    )
    assert list(load(path)[0].tools) == ["weather"]
    path.write_text("class Odd: ...\ndef weather(x: Odd) -> str: return ''\n")
    with pytest.raises(ConfigError, match="weather"):
        load(path)


def test_the_picture_in_the_documentation_is_what_the_screen_draws() -> None:
    """Made by `python -m antiphon.cli.talk.picture`."""
    assert (ROOT / "docs" / "talk.svg").read_text(encoding="utf-8") == picture.draw()
