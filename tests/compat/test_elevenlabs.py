"""The unmodified elevenlabs SDK, both of its conversations, against a real server in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
Play = Callable[..., Any]
HELLO = "Hello, how can I help?"
STORY: str = json.loads((HERE / "agents" / "storyteller.json").read_text())["conversation_config"]["antiphon"]["llm"][
    "rules"
][0]["say"]

pytestmark = [pytest.mark.component("elevenlabs"), pytest.mark.parametrize("mode", ["sync", "async"])]


def assert_hung_up(course: Any) -> None:
    """The caller ended it: told once, last, with the id that the server gave."""
    (metadata,) = course.frames("conversation_initiation_metadata")
    (disconnect,) = course.of("disconnect")
    (over,) = course.of("over")
    assert (disconnect["reason"], disconnect["close_code"], disconnect["message"]) == ("user", None, None)
    assert over["conversation_id"] == metadata["conversation_id"]
    assert course.of("frame")[0]["message"]["type"] == "conversation_initiation_metadata"


def assert_all_audio_was_played(course: Any) -> None:
    """The SDK drops audio whose id is not above the last interruption's: none may have been (protocol.md 1.4)."""
    arrived = [frame["bytes"] for frame in course.frames("audio")]
    played = [note["bytes"] for note in course.of("output")]
    assert played == arrived
    assert max(played) <= 6400  # 200 ms, so that an interruption is heard at once (protocol.md 4.3)


def test_greeting(play: Play, server: str, mode: str) -> None:
    """The first message comes as text and as sound of the right length; hanging up is clean."""
    course = play("greeting", mode, server, "hours")
    assert course.texts("agent_response") == [HELLO]
    assert_all_audio_was_played(course)
    seconds = sum(note["bytes"] for note in course.of("output")) / 32_000
    assert seconds == pytest.approx(len(HELLO) * 0.03, abs=0.1)
    said = "".join("".join(note["chars"]) for note in course.of("audio_alignment"))
    assert said == HELLO
    assert not course.of("interrupt", "user_transcript", "agent_response_correction")
    assert_hung_up(course)


def test_a_spoken_turn(play: Play, server: str, mode: str) -> None:
    """Speech in, transcript and answer out, in that order."""
    course = play("turn", mode, server, "hours")
    assert course.texts("user_transcript") == ["what are your opening hours"]
    assert course.texts("agent_response") == [HELLO, "We are open from nine to five."]
    order = [note["note"] for note in course.of("user_transcript", "agent_response")]
    assert order == ["agent_response", "user_transcript", "agent_response"]
    assert not course.of("interrupt")
    assert_all_audio_was_played(course)
    ids = [frame["event_id"] for frame in course.frames("audio")]
    assert ids == sorted(ids)
    assert ids[0] >= 1
    assert_hung_up(course)


def test_pings_are_answered(play: Play, server: str, mode: str) -> None:
    """Their ids are new ones, and the later ones tell the measured round trip."""
    course = play("two_turns", mode, server, "tools")
    pings = course.frames("ping")
    assert pings
    assert pings[0]["ping_ms"] is None
    assert len({ping["event_id"] for ping in pings}) == len(pings)
    assert all("ping_ms" in ping for ping in pings)
    measured = [note["ms"] for note in course.of("latency_measurement")]
    assert len(measured) == sum(bool(ping["ping_ms"]) for ping in pings)
    assert all(ms > 0 for ms in measured)


def test_tools_plain_and_async(play: Play, server: str, mode: str) -> None:
    """Each is called once with its parameters and its call's id; the answer is made of what it returned."""
    course = play("two_turns", mode, server, "tools")
    order, weather = course.of("tool")
    calls = course.frames("client_tool_call")
    assert [call["tool_name"] for call in calls] == ["order_status", "weather"]
    assert (order["name"], order["parameters"]["order"]) == ("order_status", "forty")
    assert (weather["name"], weather["parameters"]["city"]) == ("weather", "rome")
    assert [note["parameters"]["tool_call_id"] for note in (order, weather)] == [call["tool_call_id"] for call in calls]
    said = " ".join(course.texts("agent_response"))
    assert "Your order is shipped and arrives in 2 days." in said
    assert "It is sunny there." in said
    assert_all_audio_was_played(course)
    assert_hung_up(course)


def test_a_tool_that_fails(play: Play, server: str, mode: str) -> None:
    """The agent hears of it and goes on."""
    course = play("turn", mode, server, "till")
    assert [note["name"] for note in course.of("tool")] == ["broken"]
    assert course.texts("agent_response")[-1] == "I am sorry, that did not work."  # what a script says to an error
    assert_hung_up(course)


def test_a_barge_in(play: Play, server: str, mode: str) -> None:
    """Speech over a long answer stops it, corrects it to what was heard, and is answered itself; no sound is stale."""
    course = play("barge_in", mode, server, "storyteller")
    assert course.texts("user_transcript") == ["tell me a story", "please stop"]
    assert course.texts("agent_response") == [HELLO, STORY, "All right."]
    assert_all_audio_was_played(course)

    (interruption,) = course.frames("interruption")
    kinds = [(note["message"]["type"], note) for note in course.of("frame")]
    at = next(i for i, (kind, _) in enumerate(kinds) if kind == "interruption")
    before = [note["message"]["audio_event"]["event_id"] for kind, note in kinds[:at] if kind == "audio"]
    after = [note["message"]["audio_event"]["event_id"] for kind, note in kinds[at:] if kind == "audio"]
    assert max(before) < interruption["event_id"] < min(after)
    order = [kind for kind, _ in kinds[at:] if kind in ("interruption", "agent_response_correction", "user_transcript")]
    assert order == ["interruption", "agent_response_correction", "user_transcript"]

    (correction,) = course.of("agent_response_correction")
    assert correction["original"] == STORY
    assert STORY.startswith(correction["corrected"].removesuffix("...").rstrip())
    asked, barged = (note["at"] for note in course.of("speech"))
    (stopped,) = course.of("interrupt")
    assert barged < stopped["at"] < barged + 1.2  # before the caller had finished
    began = next(note["at"] for note in course.of("output") if note["at"] > asked + 0.8)
    heard = (stopped["at"] - began) / 0.03
    assert len(correction["corrected"]) == pytest.approx(heard, abs=20)  # characters that could have sounded by then
    assert_hung_up(course)


def test_a_file_that_is_dumped_at_once(play: Play, server: str, mode: str) -> None:
    """The documentation's own audio interface: all sound at the start, over the greeting, no silence after."""
    course = play("dump", mode, server, "hours")
    assert course.texts("user_transcript") == ["what are your opening hours"]
    assert course.texts("agent_response")[-1] == "We are open from nine to five."
    assert_all_audio_was_played(course)
    assert_hung_up(course)


def test_text_only(play: Play, server: str, mode: str) -> None:
    """Without an audio interface no sound is sent; the answer streams, and its parts make the whole."""
    course = play("text", mode, server, "hours")
    assert not course.frames("audio")
    assert course.texts("agent_response") == [HELLO, "We are open from nine to five."]
    parts = course.of("agent_chat_response_part")
    streams: list[str] = []
    for part in parts:
        if part["part"] == "start":
            streams.append("")
        streams[-1] += part["text"]
    assert streams[-1].strip() == "We are open from nine to five."
    assert parts[-1]["part"] == "stop"
    assert_hung_up(course)


def test_a_signed_url(play: Play, server: str, mode: str, key: str) -> None:
    """An agent that requires one lets in who asked with the key."""
    course = play("greeting", mode, server, "private", key=key)
    assert course.texts("agent_response") == [HELLO]
    assert_all_audio_was_played(course)
    assert_hung_up(course)


def test_a_wrong_key_gets_no_signed_url(play: Play, server: str, mode: str) -> None:
    """The SDK raises its ApiError from start_session()."""
    (error,) = play("refused", mode, server, "private", key="wrong").of("api error")
    assert (error["status"], error["body"]["detail"]["status"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("agent", ["private", "nobody"])
def test_who_may_not_in_is_told_why(play: Play, server: str, mode: str, agent: str) -> None:
    """An agent that needs a signature, and one that does not exist: 1008 and a sentence.

    The `error` message before it is seen only where the SDK comes to read: its initiation may meet the closed socket.
    """
    course = play("refused", mode, server, agent)
    (disconnect,) = course.of("disconnect")
    assert (disconnect["reason"], disconnect["close_code"]) == ("error", 1008)
    assert " " in disconnect["close_reason"]
    assert all(error["code"] == 1008 for error in course.frames("error"))


def test_the_server_hangs_up(play: Play, server: str, mode: str) -> None:
    """A caller who says nothing is let go with 1000: the SDK takes it for the agent's wish."""
    course = play("server_ends", mode, server, "impatient")
    (disconnect,) = course.of("disconnect")
    assert (disconnect["reason"], disconnect["close_code"], disconnect["message"]) == ("agent", 1000, None)
    (over,) = course.of("over")
    assert over["conversation_id"] == course.frames("conversation_initiation_metadata")[0]["conversation_id"]
    assert course.texts("agent_response")[0] == HELLO
