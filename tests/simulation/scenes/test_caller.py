"""What a simulated caller does, step by step, and when they give up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from antiphon.simulation.scenes.running import Result

Play = Callable[..., Result]


def passed(result: Result) -> Result:
    """It has to."""
    assert result.status == "passed", result.failures
    return result


def failure(result: Result) -> tuple[str, str]:
    """Its only one: where, what."""
    assert result.status == "failed"
    (only,) = result.failures
    return only.where, only.message


def lines(result: Result, key: str) -> list[tuple[float, Any]]:
    """(at, value) of the journal's lines that have the key."""
    decoded = [json.loads(line) for line in result.journal.splitlines()]
    return [(line["at"], line[key]) for line in decoded if key in line]


def at(result: Result, who: str, text: str) -> float:
    """When it happened first."""
    return next(moment.at for moment in result.timeline if moment.who == who and text in moment.text)


def test_a_caller_waits_for_the_agent_to_finish(play: Play) -> None:
    """And for `after`; the greeting of 22 characters takes 1.32 s."""
    result = passed(play("caller: [{says: hello there, after: 1.0}]"))
    assert 2.3 <= at(result, "caller", "hello there") <= 2.5


def test_an_impatient_caller_does_not(play: Play) -> None:
    """`after` counts from the step before."""
    result = passed(play("caller: [{says: hello there, after: 0.3, patient: false}]"))
    assert at(result, "caller", "hello there") == pytest.approx(0.3)


def test_what_is_said_is_what_is_heard(play: Play) -> None:
    """Word for word, pauses within the sentence included."""
    passed(
        play(
            """
            caller: [{says: "I wonder about [0.3] your [0.2] hours"}]
            expect: [agent_hears: I wonder about your hours]
            """
        )
    )


def test_speech_to_text_may_hear_something_else(play: Play) -> None:
    """`heard_as`; the transcript shows both."""
    result = passed(
        play("caller: [{says: order seven, heard_as: order heaven}]\ntools: {order_status: {returns: lost}}")
    )
    assert at(result, "caller", "order seven")
    assert at(result, "agent", "hears “order heaven”")
    assert at(result, "tool", '"order": "heaven"')


def test_what_cannot_be_understood_is_asked_for_again(play: Play) -> None:
    """`heard_as` empty."""
    result = passed(play("caller: [{says: mumble mumble, heard_as: ''}]\nexpect: [agent_says: /say (it|that) again/]"))
    assert not [moment for moment in result.timeline if "hears" in moment.text]


def test_words_take_as_long_as_the_scene_says(play: Play) -> None:
    """And are told one by one meanwhile."""
    result = passed(play("caller: [{says: one two three four, seconds: 4}]"))
    (spoken,) = [text for text in lines(result, "engine") if text[1] == "stt"][-1:]
    assert spoken[0] - at(result, "caller", "one two") >= 4.0
    partial = [json.loads(line)["text"] for line in result.journal.splitlines() if b'"engine":"stt"' in line]
    assert partial == ["one", "one two", "one two three", "one two three four", "one two three four"]


def test_without_partials_only_the_whole_is_told(play: Play) -> None:
    """`hearing`; the transcript comes `delay` after the turn's end."""
    quick = passed(play("hearing: {partials: false}\ncaller: [{says: one two three}]"))
    slow = passed(play("hearing: {partials: false, delay: 0.7}\ncaller: [{says: one two three}]"))
    assert len([1 for line in quick.journal.splitlines() if b'"engine":"stt"' in line]) == 1
    assert at(slow, "agent", "You said") - at(quick, "agent", "You said") == pytest.approx(0.7, abs=0.05)


def test_a_barge_in_comes_when_the_words_have_sounded(play: Play) -> None:
    """Behind `hears`, `into` counts from what was heard: 'very long' is over 1.2 s after the answer's first sound."""
    result = passed(
        play(
            """
            caller: [{says: long please}, {hears: very long}, {barges_in: stop it please, into: 0.5}]
            expect: [interrupted_within: 1, {caller_hears: very long}]
            """
        )
    )
    assert at(result, "caller", "stop it") - at(result, "agent", "This is a very") == pytest.approx(1.7, abs=0.3)


def test_a_hum_is_no_turn(play: Play) -> None:
    """The agent goes on, and the caller waits for no answer to it."""
    passed(
        play(
            """
            caller: [{says: long please}, {hums: mm-hm, into: 1.5, seconds: 0.3}]
            expect: [{never: {event: interruption}}, {caller_hears: time to interrupt}]
            """
        )
    )


def test_a_noise_has_no_words(play: Play) -> None:
    """It is heard by voice activity alone."""
    result = passed(
        play("caller: [{says: long please}, {noise: 0.15, into: 1.5}]\nexpect: [caller_hears: time to interrupt]")
    )
    assert at(result, "caller", "noise 0.15 s")
    assert b'"kind":"SpeechStarted"' in result.journal


def test_a_caller_types_and_sends(play: Play) -> None:
    """Messages of the wire."""
    result = passed(
        play(
            """
            caller: [{sends: {type: contextual_update, text: page one}, after: 0.5}, {types: hello}]
            expect: [{model_reads: page one, role: system}, {agent_hears: hello}, {agent_says: you said}]
            """
        )
    )
    sent = [message for _, message in lines(result, "in") if "type" in message]
    assert [message["type"] for message in sent if message["type"] != "pong"][-2:] == [
        "contextual_update",
        "user_message",
    ]


def test_who_is_muted_sends_no_silence(play: Play) -> None:
    """Only while they speak."""
    result = passed(play("caller: [mutes: true, {says: hello there, seconds: 1}]"))
    chunks = [at for at, message in lines(result, "in") if "user_audio_chunk" in message]
    assert 10 <= len(chunks) <= 12


def test_silence_waits_for_no_answer(play: Play) -> None:
    """After it the caller goes on, answered or not."""
    result = passed(play("caller: [{says: slow}, {stays_silent: 1}, {types: hello, after: 0}]"))
    assert at(result, "caller", "types") < at(result, "caller", "slow") + 2.5


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("{returns: {at: home, days: [1, 2]}}", 'It is {"at": "home", "days": [1, 2]}.'),
        ("{fails: no line}", "I cannot look."),
    ],
)
def test_a_tool_answers_as_the_scene_has_it(play: Play, answer: str, told: str) -> None:
    """Any value, or an error."""
    result = passed(play(f"caller: [{{says: order seven please}}]\ntools: {{order_status: {answer}}}\npatience: 30\n"))
    assert at(result, "agent", told)


def test_a_tool_may_never_answer(play: Play) -> None:
    """The agent's own limit holds."""
    result = passed(play("caller: [{says: order seven please}]\ntools: {order_status: {never: true}}\n"))
    assert at(result, "tool", "fails: the client did not answer within 5 seconds [5.0 s]")


def test_calls_are_answered_one_after_another(play: Play) -> None:
    """The last answer stays; each takes its time."""
    result = passed(
        play(
            """
            caller: [says: order one please, says: order two please, says: order three please]
            tools: {order_status: [{returns: first}, {returns: second, after: 1.2}]}
            """
        )
    )
    told = [moment.text for moment in result.timeline if moment.who == "tool"]
    assert [text.split("= ")[1].split(" [")[0] for text in told] == ["first", "second", "second"]
    assert float(told[1].split("[")[1].split(" ")[0]) >= 1.2


def test_a_webhook_that_the_scene_answers_is_not_called(play: Play) -> None:
    """The address does not exist."""
    result = passed(
        play(
            """
            caller: [says: bring soup please]
            tools: {room_service: {returns: ten minutes}}
            expect: [{tool: room_service, arguments: {dish: soup}}, {agent_says: the kitchen says ten minutes}]
            """
        )
    )
    assert b"hotel.example" not in result.journal


# ----------------------------------------------------------------------------------------------------- giving up


def test_a_client_tool_that_the_scene_does_not_have_fails_it(play: Play) -> None:
    """The agent is told that it failed."""
    where, message = failure(play("caller: [says: order seven please]"))
    assert where == "tools"
    assert message == "the agent calls the client tool 'order_status': the scene's `tools` does not have it"


def test_who_does_not_hear_what_they_wait_for_gives_up(play: Play) -> None:
    """After `within`; what was heard instead is told."""
    result = play("caller: [{hears: goodbye, within: 3}, {says: never}]")
    assert failure(result) == (
        "caller.0",
        "the caller has waited 3 s to hear “goodbye”, and heard “Hello, how can I help?”",
    )
    assert result.virtual_seconds == pytest.approx(3.1)


def test_what_was_heard_is_used_up(play: Play) -> None:
    """The next `hears` looks behind it."""
    where, _ = failure(play("caller: [{hears: how can i help}, {hears: hello, within: 2}]"))
    assert where == "caller.1"


def test_who_is_not_answered_gives_up(play: Play) -> None:
    """After `patience`, whether or not there is a further step."""
    slow = "patience: 1.0\ncaller: [says: slow]"
    assert failure(play(slow)) == ("caller", "the agent has not answered within 1 s")


def test_an_agent_that_is_done_cannot_be_interrupted(play: Play) -> None:
    """The step says so; nothing hangs."""
    where, message = failure(play("patience: 4\ncaller: [{barges_in: stop, into: 60}]"))
    assert (where, message) == ("caller.0", "the agent has not spoken long enough to barges_in “stop”")


def test_a_call_has_a_limit(play: Play) -> None:
    """Against two who would talk for ever."""
    result = play("limit: 5\ncaller: [stays_silent: 100]")
    assert failure(result) == ("limit", "the call has not ended after 5 s")
    assert result.virtual_seconds == pytest.approx(5.0)


def test_steps_that_were_never_done_fail_the_scene(play: Play) -> None:
    """The agent ended the call before."""
    result = play(
        """
        initiation: {config_override: {}}
        caller: [stays_silent: 620, says: are you there]
        limit: 700
        expect: [ends: {by: agent}]
        """
    )
    assert failure(result) == ("caller.1", "the call had ended before the caller got to it: says “are you there”")


# ------------------------------------------------------------------------------------------- played by a model


def persona(rules: str, more: str = "") -> str:
    """A caller by these rules."""
    return f"caller: {{persona: A guest, goal: Learn it, llm: {{engine: scripted, rules: [{rules}]}}{more}}}\n"


def test_a_model_plays_the_caller(play: Play) -> None:
    """It is told what the agent said, its words are spoken, and it hangs up by a tool."""
    rules = "{when: on its way, say: Thank you., tool: {name: hang_up}, then: Bye.}, {say: 'Where is order seven?'}"
    result = passed(
        play(
            persona(rules)
            + "tools: {order_status: {returns: on its way}}\n"
            + "expect: [{in_order: [agent_hears: where is order seven, agent_says: it is on its way]}]\n"
        )
    )
    assert [moment.text for moment in result.timeline if moment.who == "caller"] == [
        "says Where is order seven?",
        "says Thank you.",
        "hangs_up",
    ]


def test_a_played_caller_stops_after_so_many_turns(play: Play) -> None:
    """And waits for the last answer."""
    result = passed(play(persona("{say: Go on please.}", ", max_turns: 3, opens_with: Good morning")))
    assert [moment.text for moment in result.timeline if moment.who == "caller"] == [
        "says Good morning",
        "says Go on please.",
        "says Go on please.",
    ]
    assert [moment.text for moment in result.timeline if moment.who == "agent"][-1] == "You said something."


def test_time_passes_while_a_played_caller_thinks(play: Play) -> None:
    """On the call's clock; the line stays open meanwhile."""
    quick, slow = (
        passed(play(persona(f"{{say: Go on please., delay: {delay}}}", ", max_turns: 1"))) for delay in (0.0, 1.5)
    )
    assert at(slow, "caller", "Go on") - at(quick, "caller", "Go on") == pytest.approx(1.5, abs=0.11)


def test_a_model_that_cannot_be_made_breaks_the_scene(play: Play) -> None:
    """With the engine's own words."""
    result = play("caller: {persona: x, llm: {engine: nobody}}")
    assert result.status == "broken"
    assert "there is no llm engine 'nobody'" in result.failures[0].message
