"""LlamaIndex's voice agents against a real server: its own, patched as far as it needs, and ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

HERE = Path(__file__).parent
PYTHON = HERE.parent.parent / ".venv-compat" / "llama_index" / "bin" / "python"
SOURCE = HERE.parent.parent / "src"

HELLO = ["assistant", "Hello, how can I help?"]
NINE_TO_FIVE = ["assistant", "We are open from nine to five."]
ASKED_HOURS = [HELLO, ["user", "what are your opening hours"], NINE_TO_FIVE]
ON_ITS_WAY = "Your order is on its way and arrives in 3 days."
CALLING = "Calling tool: order_status with parameters: {'order': 'forty'}"

pytestmark = pytest.mark.component("llama_index")


def bytes_of(*texts: str) -> int:
    """Of the scripted engine's speech: 30 ms a character at 16 kHz."""
    return sum(round(len(text) * 0.03 * 32_000) for text in texts)


def courses_of(whose: str, server: str, key: str) -> dict[str, Any]:
    """What was noticed in all plays, in one process."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"NO_PROXY": "*"} | ({} if whose == "published" else {"PYTHONPATH": str(SOURCE)})
    command = [PYTHON, HERE / "llama_index" / "driver.py", whose, server, key]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-4_000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("COURSES "))
    courses = json.loads(line.removeprefix("COURSES "))
    assert courses["antiphon"] == (whose != "published")
    return courses


@pytest.fixture(scope="module")
def published(server: str, key: str) -> dict[str, Any]:
    """The published package, patched."""
    return courses_of("published", server, key)


@pytest.fixture(scope="module")
def ours(server: str, key: str) -> dict[str, Any]:
    """Our voice agent."""
    return courses_of("ours", server, key)


@pytest.fixture(params=["published", "ours"])
def either(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What both have to do."""
    return request.getfixturevalue(request.param)


def test_a_question_is_asked_by_voice_and_answered(either: dict[str, Any]) -> None:
    """Both turns are exported as chat messages, and what was played is in them as sound."""
    course = either["hours"]
    assert course["messages"] == ASKED_HOURS
    assert course["played"] == pytest.approx(bytes_of(HELLO[1], NINE_TO_FIVE[1]), abs=4_800)
    assert course["audio_blocks"] == course["played"]
    assert course["stopped"] == 1


def test_the_agent_calls_a_function_tool(either: dict[str, Any]) -> None:
    """It gets the parameters by name; what it returns is what the agent goes on with."""
    user, agent = either["order"]["messages"][1:]
    assert user == ["user", "where is order forty"]
    assert [agent[1], agent[-1]] == ["One moment.", ON_ITS_WAY]
    assert agent[2].startswith("Calling tool: order_status with parameters: {")
    assert "ClientToolCallEvent" in either["order"]["classes"]


def test_events_have_the_names_of_the_published_package(either: dict[str, Any]) -> None:
    """A class for each of the messages that it knows."""
    assert {
        "AgentResponseEvent",
        "AudioEvent",
        "ConversationInitEvent",
        "PingEvent",
        "UserTranscriptionEvent",
    } <= set(either["hours"]["classes"])


def test_every_message_is_an_event_in_order(ours: dict[str, Any]) -> None:
    """Those too that LlamaIndex has no class for."""
    kinds = ours["hours"]["events"]
    assert kinds[0] == "conversation_initiation_metadata"
    assert "agent_chat_response_part" in kinds
    assert kinds.index("user_transcript") < len(kinds) - 1 - kinds[::-1].index("agent_response")


@pytest.mark.parametrize("play", ["order", "async order"])
def test_a_tool_call_is_noted_without_its_id(ours: dict[str, Any], play: str) -> None:
    """Of a plain function, and of an async one."""
    assert ours[play]["messages"][2] == ["assistant", "One moment.", CALLING, ON_ITS_WAY]


def test_what_was_typed_is_among_the_messages(ours: dict[str, Any]) -> None:
    """The server does not repeat it; here the answer comes from a query engine."""
    _, user, agent = ours["weather"]["messages"]
    assert user == ["user", "what is the weather in rome"]
    assert agent[-1] == "It is sunny (rome) there."


def test_an_interrupted_answer_is_kept_as_it_was_heard(ours: dict[str, Any]) -> None:
    """`interrupt` silences the device at once; the server's interruption does too, and corrects the message."""
    course = ours["story"]
    assert course["silenced"] == 1
    assert course["interruptions"] == 2
    story = course["messages"][2][1]
    assert story.startswith("Once upon a time")
    assert len(story) < 200
    assert course["messages"][3:] == [["user", "please stop"], ["assistant", "All right."]]
    assert {"InterruptionEvent", "AgentResponseCorrectionEvent"} <= set(course["classes"])


def test_audio_need_not_be_kept(ours: dict[str, Any]) -> None:
    """`keep_audio=False`: it is played all the same."""
    assert ours["story"]["audio_blocks"] == 0
    assert ours["story"]["played"] > 0


def test_the_average_latency_is_that_of_measured_round_trips(ours: dict[str, Any]) -> None:
    """The first ping has none and does not count; before there is one the average is 0."""
    first, *measured = ours["story"]["round trips"]
    assert first is None
    assert ours["story"]["latency"] == pytest.approx(mean(measured), abs=1)
    assert ours["unwilling"]["latency"] == 0


def test_its_methods_can_be_awaited(ours: dict[str, Any]) -> None:
    """As LlamaIndex declares them, on an event loop; here with a signed URL, and the user's voice by `send`."""
    assert ours["awaited"]["messages"] == ASKED_HOURS
    assert ours["awaited"]["stopped"] == 1


def test_a_tool_without_schema_is_left_out_with_a_warning(ours: dict[str, Any]) -> None:
    """It points at the line that made the voice agent; the other tools are there."""
    assert ours["unwilling"]["tools"] == ["order_status"]
    assert ours["unwilling"]["warnings"] == [
        "tool 'nameless' is left out: it has no function schema to tell its parameters by"
    ]
    assert ours["unwilling"]["where"] == ["driver.py"]


def test_stopping_what_was_never_started_does_nothing(ours: dict[str, Any]) -> None:
    """Nor does it fail."""
    assert ours["unwilling"]["messages"] == []


def test_a_subclass_may_handle_messages_and_a_hook_may_fail(ours: dict[str, Any]) -> None:
    """Every message passes through `handle_message`, be it async; a failing hook is reported and ends nothing."""
    assert ours["overridden"]["errors"] == ["the hook is broken"]
    assert {"audio", "ping", "agent_response", "user_transcript"} <= set(ours["overridden"]["seen"])


def test_a_message_that_is_not_as_it_should_be_is_a_plain_event(ours: dict[str, Any]) -> None:
    """Nothing that a server sends keeps the conversation from going on."""
    assert ours["parts"]["odd"] == [
        ["VoiceAgentEvent", "ping"],
        ["VoiceAgentEvent", "audio"],
        ["VoiceAgentEvent", "new"],
    ]


def test_tools_become_definitions_for_an_agent(ours: dict[str, Any]) -> None:
    """As the agent's configuration takes client tools; one without a schema is left out."""
    (definition,) = ours["parts"]["definitions"]
    assert (definition["type"], definition["name"], definition["expects_response"]) == ("client", "order_status", True)
    assert definition["parameters"]["properties"]["order"]["type"] == "string"
    assert definition["parameters"]["required"] == ["order"]


def test_any_tool_gets_its_arguments_and_answers_in_text(ours: dict[str, Any]) -> None:
    """Plain, async, query engine; the call's id only where it is asked for, and optional parameters may be missing."""
    results = ours["parts"]["results"]
    assert json.loads(results["order_status"]) == {"status": "on its way", "days": 3, "order": "7"}
    assert json.loads(results["later"])["order"] == "8"
    assert results["forecast"] == "sunny (rome)"
    assert results["with_id"] == "call_with_id"
    assert results["wrong"][0] is True


def test_without_llama_index_the_error_says_what_to_install() -> None:
    """The extra, by name."""
    program = "import sys; sys.modules['llama_index'] = None\nimport antiphon.integrations.llama_index"
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    command = [PYTHON, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert "pip install 'antiphon[llama-index]'" in done.stderr


def test_the_example_works(server: str) -> None:
    """examples/llama_index/order_status.py, with LlamaIndex as it is installed."""
    example = HERE.parent.parent / "examples" / "llama_index" / "order_status.py"
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "NO_PROXY": "*"}
    command = [PYTHON, example, server, "tools"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "user: where is order forty" in done.stdout
    assert ON_ITS_WAY in done.stdout
