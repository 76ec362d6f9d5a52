"""Every kind of expectation, both ways: it holds where it should, and is told precisely where it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from antiphon.session.session import Ending
from antiphon.simulation.scenes.checking import check
from antiphon.simulation.scenes.history import History
from antiphon.simulation.scenes.reading import Located
from antiphon.simulation.scenes.running import Result

Read = Callable[[str], list[Located]]
Play = Callable[..., Result]

ORDER = """
caller:
  - says: where is order seven
tools:
  order_status: {returns: on its way, after: 0.5}
expect:
"""
CUT_OFF = """
caller:
  - says: long please
  - barges_in: stop it at once please
    into: 1.5
expect:
"""
SLOW = """
caller:
  - says: slow
expect:
"""


def failures(result: Result) -> list[str]:
    """What is told."""
    assert result.status in ("passed", "failed"), result.failures
    assert (result.status == "passed") == (not result.failures)
    return [failure.message for failure in result.failures]


HOLDS = [
    (ORDER, "agent_says: how can i help"),
    (ORDER, "{agent_says: it is on its way, within: 4}"),
    (ORDER, "{agent_says: hello, within: 0.5, since: start}"),
    (ORDER, "{agent_says: /./, times: 3}"),
    (ORDER, "{agent_says: /./, times: {at_least: 2, at_most: 3}}"),
    (ORDER, "caller_hears: it is on its way"),
    (ORDER, "agent_hears: order seven"),
    (ORDER, "{event: user_transcript, where: {user_transcript: where is order seven}}"),
    (ORDER, "{event: client_tool_call, where: {parameters.order: /^sev/, event_id: {above: 0, below: 1000}}}"),
    (ORDER, "{event: agent_tool_response, seen_by: journal, where: {is_error: false}}"),
    (ORDER, "{tool: order_status, arguments: {order: seven}, result: on its way, fails: false, times: 1}"),
    (ORDER, "{tool: order_status, arguments: {order: {contains: seven}}, within: 2}"),
    (ORDER, "{model_reads: on its way, role: tool}"),
    (ORDER, "{model_reads: you are the desk, role: system, times: 2}"),
    (ORDER, "{never: {agent_says: I cannot look}}"),
    (ORDER, "{never: {agent_says: it is on its way, within: 0.5}}"),
    (ORDER, "{never: {tool: order_status, arguments: {order: eight}}}"),
    (
        ORDER,
        "{in_order: [{agent_says: let me see}, {tool: order_status}, {agent_says: it is, within: 2, since: previous}]}",
    ),
    (ORDER, "{in_order: [{agent_says: /./}, {agent_says: /./}, {agent_says: /./}]}"),
    (ORDER, "answers_within: 3"),
    (ORDER, "silence_at_most: 3"),
    (ORDER, "{lasts: {at_least: 5, at_most: 20}}"),
    (ORDER, "{ends: {by: caller, code: 1000, reason: the client hung up, error_type: null}}"),
    (CUT_OFF, "interrupted_within: 1"),
    (CUT_OFF, "{never: {caller_hears: time to interrupt}}"),
    (CUT_OFF, "agent_says: time to interrupt"),
    (CUT_OFF, "{event: interruption, times: 1}"),
    (SLOW, "{agent_says: that took long, within: 4}"),
]


@pytest.mark.parametrize(("scene", "expectation"), HOLDS, ids=[expectation for _, expectation in HOLDS])
def test_what_is_so_is_not_complained_about(play: Play, scene: str, expectation: str) -> None:
    """No failure, and the scene passes."""
    assert failures(play(f"{scene}  - {expectation}\n")) == []


FAILS = [
    (
        ORDER,
        "agent_says: goodbye",
        "this never happened: the agent says “goodbye”; there was: “Hello, how can I help?”, ",
    ),
    (ORDER, "{agent_says: it is on its way, within: 1}", "the agent says “it is on its way”: after "),
    (ORDER, "{agent_says: /./, times: 2}", "the agent says /./: 3 times (at 0.0 s, "),
    (ORDER, "{agent_says: /./, times: {at_least: 4}}", "the agent says /./: 3 times (at 0.0 s, "),
    (ORDER, "caller_hears: it was", "this never happened: the caller hears “it was”; there was: "),
    (
        ORDER,
        "agent_hears: order eight",
        "this never happened: the agent hears “order eight”; there was: “where is order seven”",
    ),
    (
        ORDER,
        "{event: user_transcript, where: {user_transcript: order seven}}",
        "this never happened: the event user_transcript with user_transcript = 'order seven'; there was: user_",
    ),
    (
        ORDER,
        "{event: client_tool_call, where: {event_id: {above: 1000}}}",
        "this never happened: the event client_tool_call ",
    ),
    (
        ORDER,
        "{event: client_tool_call, where: {nothing: null}}",
        "this never happened: the event client_tool_call with ",
    ),
    (ORDER, "event: agent_tool_response", "this never happened: the event agent_tool_response"),
    (
        ORDER,
        "{tool: order_status, arguments: {order: eight}}",
        "this never happened: a call of the tool order_status with order = 'eight'; there was: order_status("
        '{"order": "seven"}) = on its way [',
    ),
    (ORDER, "{tool: order_status, fails: true}", "this never happened: a call of the tool order_status, failing"),
    (
        ORDER,
        "{tool: order_status, result: lost}",
        "this never happened: a call of the tool order_status, with “lost” in",
    ),
    (ORDER, "{tool: order_status, times: 2}", "a call of the tool order_status: 1 times (at "),
    (
        ORDER,
        "{model_reads: on its way, role: user}",
        "this never happened: the language model reads “on its way” from user",
    ),
    (
        ORDER,
        "{never: {agent_says: let me see}}",
        "the agent says “let me see”, which should never happen: “Let me see.”",
    ),
    (
        ORDER,
        "{never: {tool: order_status}}",
        "a call of the tool order_status, which should never happen: order_status(",
    ),
    (
        ORDER,
        "{in_order: [{tool: order_status}, {agent_says: how can i help}]}",
        "in order, number 2: after a call of the tool order_status (at ",
    ),
    (
        ORDER,
        "{in_order: [{agent_says: let me see}, {agent_says: let me see}]}",
        "in order, number 2: after the agent says ",
    ),
    (
        ORDER,
        "{in_order: [{agent_says: let me see}, {agent_says: it is, within: 0.1, since: previous}]}",
        "in order, number 2: after the agent says “let me see” (at ",
    ),
    (ORDER, "answers_within: 0.1", "“where is order seven” was answered after "),
    (ORDER, "{lasts: {at_most: 1}}", "the call lasted "),
    (ORDER, "{ends: {by: agent}}", "the caller ended the call, not the agent"),
    (ORDER, "{ends: {code: 1008}}", "the call ended with 1000, not 1008"),
    (ORDER, "{ends: {reason: boredom}}", "the call ended because of “the client hung up”, not “boredom”"),
    (ORDER, "{ends: {error_type: override_error}}", "the call ended with the error None, not override_error"),
    (CUT_OFF, "interrupted_within: 0.01", "“stop it at once please” interrupted the agent after "),
    (
        CUT_OFF,
        "caller_hears: time to interrupt",
        "this never happened: the caller hears “time to interrupt”; there was: ",
    ),
    (SLOW, "silence_at_most: 1", "nothing was heard for "),
]


@pytest.mark.parametrize(("scene", "expectation", "complaint"), FAILS, ids=[expectation for _, expectation, _ in FAILS])
def test_what_is_not_so_is_told(play: Play, scene: str, expectation: str, complaint: str) -> None:
    """In one sentence that says what there was instead, with its line."""
    result = play(f"{scene}  - {expectation}\n")
    (told,) = failures(result)
    assert told.startswith(complaint)
    (failure,) = result.failures
    assert failure.where == "expect.0"
    assert failure.place.rpartition(":")[0].endswith("a.scene.yaml")


def test_a_barge_in_that_changes_nothing_is_told(play: Play) -> None:
    """An agent without the event `interruption` cannot be interrupted."""
    result = play(
        """
        initiation: {config_override: {conversation: {client_events: [audio, agent_response]}}}
        caller: [{says: long please}, {barges_in: stop it at once please, into: 1.0}]
        expect: [interrupted_within: 1]
        """
    )
    assert failures(result) == ["“stop it at once please” did not interrupt the agent"]


def test_an_unanswered_turn_is_told(play: Play) -> None:
    """Where there was time enough for an answer."""
    result = play(
        """
        caller: [{says: slow}, {stays_silent: 1.5}, {hangs_up: true}]
        expect: [answers_within: 1]
        """
    )
    assert failures(result) == ["“slow” was not answered"]


def test_who_hangs_up_at_once_is_owed_no_answer(play: Play) -> None:
    """It could not have been late yet."""
    result = play("caller: [{says: slow}, {hangs_up: true}]\nexpect: [answers_within: 1]\n")
    assert failures(result) == []


def test_a_call_that_breaks_is_a_failure_even_if_nothing_is_expected(read: Read) -> None:
    """Unless the scene says how it ends."""
    history = History(
        deeds=[],
        failures=[],
        received=[],
        stretches=[],
        asked=[],
        ending=Ending(1002, "the agent lost its voice", "tts_cascade_error"),
        hung_up=False,
        seconds=4.0,
        greets=False,
        journal=b"",
    )
    silent, expecting = (located.scene for located in read(BREAKING))
    (failure,) = check(silent, history)
    assert failure.message == "the call ended with an error: 1002 the agent lost its voice (tts_cascade_error)"
    assert check(expecting, history) == []


BREAKING = """
agent: a.json
caller: []
scenes:
  - name: silent
  - name: expecting
    expect: [ends: {by: agent, error_type: tts_cascade_error}]
"""
