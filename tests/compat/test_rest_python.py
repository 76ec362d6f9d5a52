"""The unmodified elevenlabs SDK over the REST API of a fresh server: what its models require is in every answer."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.component("elevenlabs")
Calls = Callable[..., Any]
KNOWLEDGE = "conversational_ai.knowledge_base"


def sound(answer: dict[str, str]) -> bytes:
    """The bytes of an answer that is sound."""
    return base64.b64decode(answer["$bytes"])


# ------------------------------------------------------------------------------------------------------------ agents


CONFIG: dict[str, Any] = {
    "agent": {
        "first_message": "Welcome.",
        "language": "en",
        "prompt": {"prompt": "You are a porter.", "llm": "gpt-4o"},
    },
    "conversation": {"text_only": True},
}


@pytest.fixture
def agent(python: Calls) -> Iterator[str]:
    """The id of an agent made by the client, deleted afterwards."""
    made = python("conversational_ai.agents.create", name="Porter", conversation_config=CONFIG, tags=["night"])
    yield made["agent_id"]
    python("conversational_ai.agents.delete", agent_id=made["agent_id"])


def test_an_agent_is_made_changed_and_listed(python: Calls, agent: str) -> None:
    """An agent comes back as it was given; a change merges into it."""
    made = python("conversational_ai.agents.get", agent_id=agent)
    assert (made["name"], made["tags"]) == ("Porter", ["night"])
    assert made["conversation_config"]["agent"]["prompt"]["prompt"] == "You are a porter."
    change = {"agent": {"first_message": "Good evening."}}
    python("conversational_ai.agents.update", agent_id=agent, conversation_config=change, name="Night porter")
    changed = python("conversational_ai.agents.get", agent_id=agent)
    assert changed["name"] == "Night porter"
    assert changed["conversation_config"]["agent"]["first_message"] == "Good evening."
    assert changed["conversation_config"]["agent"]["prompt"]["prompt"] == "You are a porter."
    listed = python("conversational_ai.agents.list", search="Night", page_size=100)
    assert [each["agent_id"] for each in listed["agents"]] == [agent]
    summaries = python("conversational_ai.agents.summaries.get", agent_ids=[agent])
    assert list(summaries) == [agent]


def test_an_agent_is_duplicated_linked_and_embedded(python: Calls, agent: str) -> None:
    """A copy has an id of its own; the link and the widget are the agent's."""
    copy = python("conversational_ai.agents.duplicate", agent_id=agent, name="Second porter")["agent_id"]
    assert copy != agent
    assert python("conversational_ai.agents.get", agent_id=copy)["name"] == "Second porter"
    python("conversational_ai.agents.delete", agent_id=copy)
    assert python.refused("conversational_ai.agents.get", agent_id=copy) == (404, "agent_not_found")
    assert python("conversational_ai.agents.link.get", agent_id=agent)["agent_id"] == agent
    widget = python("conversational_ai.agents.widget.get", agent_id=agent)
    assert widget["agent_id"] == agent
    assert widget["widget_config"]["language"] == "en"


def test_an_agent_of_a_file_can_be_read_and_not_changed(python: Calls) -> None:
    """Agents of the folder are listed beside those of the store; a change of one is refused."""
    listed = python("conversational_ai.agents.list", page_size=100)["agents"]
    assert "hours" in {each["agent_id"] for each in listed}
    assert python("conversational_ai.agents.get", agent_id="hours")["name"] == "hours"
    status, _ = python.refused("conversational_ai.agents.update", agent_id="hours", name="Other")
    assert 400 <= status < 500


def test_live_conversations_are_counted(python: Calls) -> None:
    """None is live when nobody calls."""
    assert python("conversational_ai.analytics.live_count.get", agent_id="till")["count"] == 0


def test_language_models_are_listed(python: Calls) -> None:
    """The list is not empty, and every model in it has what clients read."""
    assert python("conversational_ai.llm.list")["llms"]


# ------------------------------------------------------------------------------------------------------------- tools


WEBHOOK_TOOL: dict[str, Any] = {
    "type": "webhook",
    "name": "room",
    "description": "Looks up a room.",
    "api_schema": {"url": "https://example.com/rooms/{number}", "method": "GET"},
}
CLIENT_TOOL: dict[str, Any] = {"type": "client", "name": "ring", "description": "Rings.", "expects_response": True}


@pytest.mark.parametrize("config", [WEBHOOK_TOOL, CLIENT_TOOL], ids=["webhook", "client"])
def test_a_tool_is_made_changed_and_deleted(python: Calls, config: dict[str, Any]) -> None:
    """A tool comes back as it was given, and changed as it was changed."""
    tool = python("conversational_ai.tools.create", request={"tool_config": config})["id"]
    assert python("conversational_ai.tools.get", tool_id=tool)["tool_config"]["name"] == config["name"]
    change = {"tool_config": {**config, "description": "Something else."}}
    python("conversational_ai.tools.update", tool_id=tool, request=change)
    listed = python("conversational_ai.tools.list", page_size=100)["tools"]
    (found,) = [each for each in listed if each["id"] == tool]
    assert found["tool_config"]["description"] == "Something else."
    python("conversational_ai.tools.delete", tool_id=tool)
    assert python.refused("conversational_ai.tools.get", tool_id=tool) == (404, "tool_not_found")


# ------------------------------------------------------------------------------------------------------------- tests


LLM_TEST: dict[str, Any] = {
    "type": "llm",
    "name": "Greets",
    "chat_history": [{"role": "user", "message": "hello", "time_in_call_secs": 0}],
    "success_condition": "The agent greets.",
    "success_examples": [{"response": "Hello!", "type": "success"}],
    "failure_examples": [{"response": "Go away.", "type": "failure"}],
}


def test_a_test_is_made_changed_and_deleted(python: Calls) -> None:
    """A test comes back as it was given, and as a whole as it was put."""
    test = python("conversational_ai.tests.create", request=LLM_TEST)["id"]
    assert python("conversational_ai.tests.get", test_id=test)["success_condition"] == "The agent greets."
    change = {**LLM_TEST, "success_condition": "The agent waves."}
    python("conversational_ai.tests.update", test_id=test, request=change)
    assert python("conversational_ai.tests.get", test_id=test)["success_condition"] == "The agent waves."
    assert test in {each["id"] for each in python("conversational_ai.tests.list", page_size=100)["tests"]}
    python("conversational_ai.tests.delete", test_id=test)
    status, _ = python.refused("conversational_ai.tests.get", test_id=test)
    assert status == 404


def test_tests_are_run_and_say_how_it_went(python: Calls, agent: str) -> None:
    """Each is pending, then passed or failed with the judge's reason; without a model that can judge, failed."""
    waving = {**LLM_TEST, "success_condition": "The agent waves."}
    tests = [python("conversational_ai.tests.create", request=test)["id"] for test in (LLM_TEST, waving)]

    def results(agent_id: str) -> list[tuple[str, str]]:
        asked = [{"test_id": test} for test in tests]
        identifier = python("conversational_ai.agents.run_tests", agent_id=agent_id, tests=asked)["id"]
        deadline = time.monotonic() + 20
        while True:
            runs = python("conversational_ai.tests.invocations.get", test_invocation_id=identifier)["test_runs"]
            if all(run["status"] != "pending" for run in runs):
                return [(run["status"], run["condition_result"]["rationale"]["summary"]) for run in runs]
            assert time.monotonic() < deadline, "the tests are still pending"

    assert results("rehearsing") == [("passed", "It does."), ("failed", "It does not wave.")]
    assert [status for status, _ in results(agent)] == ["failed", "failed"]


def test_a_conversation_is_simulated(python: Calls) -> None:
    """A simulated user talks to the agent; the transcript and what became of it come back."""
    user = {"first_message": "", "language": "en", "prompt": {"prompt": "You want to know the hours."}}
    specification = {"simulated_user_config": user}
    answer = python(
        "conversational_ai.agents.simulate_conversation", agent_id="rehearsing", simulation_specification=specification
    )
    said = [turn["message"] for turn in answer["simulated_conversation"]]
    assert said[1:3] == ["What are your opening hours?", "We are open from nine to five."]
    assert answer["analysis"]["transcript_summary"] == "The user asked for the hours."
    assert answer["analysis"]["call_successful"] == "success"


# ------------------------------------------------------------------------------------- secrets, settings, telephony


def test_a_secret_is_made_changed_and_deleted(python: Calls) -> None:
    """A secret is told by its name; its value comes back in no answer."""
    value = "canary-of-this-secret"
    made = python("conversational_ai.secrets.create", name="door", value=value)
    secret = made["secret_id"]
    changed = python("conversational_ai.secrets.update", secret_id=secret, name="gate", value=value)
    shown = python("conversational_ai.secrets.get", secret_id=secret)
    listed = python("conversational_ai.secrets.list")
    assert [each["name"] for each in listed["secrets"] if each["secret_id"] == secret] == ["gate"]
    assert shown["name"] == "gate"
    assert value not in str([made, changed, shown, listed])
    python("conversational_ai.secrets.delete", secret_id=secret)
    status, _ = python.refused("conversational_ai.secrets.get", secret_id=secret)
    assert status == 404


def test_settings_are_merged(python: Calls) -> None:
    """A change of the settings leaves the others as they are."""
    python("conversational_ai.settings.update", can_use_mcp_servers=True)
    python("conversational_ai.settings.update", rag_retention_period_days=5)
    settings = python("conversational_ai.settings.get")
    assert (settings["can_use_mcp_servers"], settings["rag_retention_period_days"]) == (True, 5)


def test_a_phone_number_is_made_assigned_and_deleted(python: Calls, agent: str) -> None:
    """A number is listed with its agent; calls from it are refused in words, not by an error."""
    request = {"provider": "twilio", "phone_number": "+15550100", "label": "Door", "sid": "AC1", "token": "t"}
    number = python("conversational_ai.phone_numbers.create", request=request)["phone_number_id"]
    python("conversational_ai.phone_numbers.update", phone_number_id=number, agent_id=agent)
    shown = python("conversational_ai.phone_numbers.get", phone_number_id=number)
    assert (shown["label"], shown["assigned_agent"]["agent_id"]) == ("Door", agent)
    assert [each["phone_number_id"] for each in python("conversational_ai.phone_numbers.list")] == [number]
    call = {"agent_id": agent, "agent_phone_number_id": number, "to_number": "+15550101"}
    assert python("conversational_ai.twilio.outbound_call", **call)["success"] is False
    assert python("conversational_ai.sip_trunk.outbound_call", **call)["success"] is False
    python("conversational_ai.phone_numbers.delete", phone_number_id=number)
    assert python("conversational_ai.phone_numbers.list") == []


# ------------------------------------------------------------------------------------------------- knowledge base


def test_a_text_is_kept_renamed_and_deleted(python: Calls) -> None:
    """A text document comes back as it was given, under its new name, until it is deleted."""
    made = python(f"{KNOWLEDGE}.documents.create_from_text", text="We open at nine.", name="Hours")
    document = python(f"{KNOWLEDGE}.documents.get", documentation_id=made["id"])
    assert (document["type"], document["name"], document["id"]) == ("text", "Hours", made["id"])
    python(f"{KNOWLEDGE}.documents.update", documentation_id=made["id"], name="Opening hours")
    listed = python(f"{KNOWLEDGE}.list", search="Opening")
    assert [each["name"] for each in listed["documents"]] == ["Opening hours"]
    assert "We open at nine." in python(f"{KNOWLEDGE}.documents.get_content", documentation_id=made["id"])
    assert python(f"{KNOWLEDGE}.documents.get_agents", documentation_id=made["id"])["agents"] == []
    python(f"{KNOWLEDGE}.documents.delete", documentation_id=made["id"])
    refused = python.refused(f"{KNOWLEDGE}.documents.get", documentation_id=made["id"])
    assert refused == (404, "document_not_found")


def test_a_file_is_kept(python: Calls) -> None:
    """A file that is uploaded is a document with its text, and is found by its type."""
    file = {"$file": ["menu.md", base64.b64encode(b"# Menu\n\nSoup of the day.").decode(), "text/markdown"]}
    made = python(f"{KNOWLEDGE}.documents.create_from_file", file=file, name="Menu")
    assert python(f"{KNOWLEDGE}.documents.get", documentation_id=made["id"])["type"] == "file"
    assert "Soup of the day." in python(f"{KNOWLEDGE}.documents.get_content", documentation_id=made["id"])
    listed = python(f"{KNOWLEDGE}.list", types=["file"], page_size=1)
    assert [each["id"] for each in listed["documents"]] == [made["id"]]


def test_a_page_that_cannot_be_read_is_refused(python: Calls) -> None:
    """A page on the server's own network is not fetched, and the client is told in an error it understands."""
    status, _ = python.refused(f"{KNOWLEDGE}.documents.create_from_url", url="http://127.0.0.1:9/")
    assert 400 <= status < 500


def test_an_index_is_asked_for(python: Calls) -> None:
    """Indexes of a document are listed once they were asked for, and counted over the workspace."""
    made = python(f"{KNOWLEDGE}.documents.create_from_text", text="A long story. " * 100, name="Story")
    model = "multilingual_e5_large_instruct"
    index = python(f"{KNOWLEDGE}.document.compute_rag_index", documentation_id=made["id"], model=model)
    listed = python("conversational_ai.get_document_rag_indexes", documentation_id=made["id"])
    assert [each["id"] for each in listed["indexes"]] == [index["id"]]
    assert index["model"] == model
    assert python("conversational_ai.rag_index_overview")["total_max_bytes"] > 0


# ------------------------------------------------------------------------------------- voices, models, user, speech


@pytest.mark.component("espeak")
def test_voices_are_listed_searched_and_shown(python: Calls) -> None:
    """Every voice of the list can be asked for; a search gives pages that follow each other."""
    voices = python("voices.get_all")["voices"]
    first = python("voices.search", page_size=2)
    second = python("voices.search", page_size=2, next_page_token=first["next_page_token"])
    found = [each["voice_id"] for each in first["voices"] + second["voices"]]
    assert found == [each["voice_id"] for each in voices[:4]]
    assert first["total_count"] == len(voices)
    voice = python("voices.get", voice_id=found[0])
    assert voice["name"] == voices[0]["name"]
    assert voice["fine_tuning"]["state"] == {}
    assert python("voices.settings.get", voice_id=found[0]) == python("voices.settings.get_default")
    assert python.refused("voices.get", voice_id="nobody") == (404, "voice_not_found")


@pytest.mark.component("espeak")
def test_models_are_listed(python: Calls) -> None:
    """There is a model that speaks, with its languages."""
    (speaking,) = [model for model in python("models.list") if model["can_do_text_to_speech"]]
    assert "en" in {language["language_id"].split("-")[0] for language in speaking["languages"]}


def test_the_user_has_a_subscription(python: Calls) -> None:
    """The user and the subscription have every key that a client reads."""
    subscription = python("user.subscription.get")
    assert subscription["tier"] == python("user.get")["subscription"]["tier"] == "self_hosted"
    assert subscription["status"] == "active"


@pytest.mark.component("espeak")
def test_speech_is_plain_streamed_and_timed(python: Calls) -> None:
    """The same text comes as bytes, as a stream and with times of its characters."""
    request = {"voice_id": "JBFqnCBsd6RMkjVDRZzb", "text": "Good morning.", "output_format": "pcm_16000"}
    whole = sound(python("text_to_speech.convert", model_id="eleven_multilingual_v2", **request))
    streamed = sound(python("text_to_speech.stream", **request))
    assert len(whole) == len(streamed) > 8_000
    timed = python("text_to_speech.convert_with_timestamps", **request)
    assert "".join(timed["alignment"]["characters"]) == "Good morning."
    parts = python("text_to_speech.stream_with_timestamps", **request)
    assert sum(len(base64.b64decode(part["audio_base64"])) for part in parts) == len(whole)


@pytest.mark.component("espeak")
@pytest.mark.component("pocketsphinx")
def test_speech_is_transcribed(python: Calls) -> None:
    """A recording is heard, and its words make up its text."""
    request = {"voice_id": "JBFqnCBsd6RMkjVDRZzb", "text": "Good morning.", "output_format": "wav_16000"}
    spoken = python("text_to_speech.convert", **request)["$bytes"]
    file = {"$file": ["morning.wav", spoken, "audio/wav"]}
    heard = python("speech_to_text.convert", model_id="scribe_v1", file=file, language_code="en")
    assert heard["language_code"].startswith("en")
    assert heard["text"]
    assert "".join(word["text"] for word in heard["words"]) == heard["text"]


# ----------------------------------------------------------------------------------------------------- conversations


def the_end_of(python: Calls, conversation_id: str) -> dict[str, Any]:
    """The record of a conversation once it is over; it is written after the caller has hung up."""
    while True:
        record = python("conversational_ai.conversations.get", conversation_id=conversation_id)
        if record["status"] in ("done", "failed"):
            return record


def test_a_conversation_leaves_a_record(python: Calls, talk: Callable[[str, str], str]) -> None:
    """What was said behind a signed address is in the record, in the list and in the recording."""
    address = python("conversational_ai.conversations.get_signed_url", agent_id="hours")["signed_url"]
    conversation_id = talk(address, "what are your opening hours")
    record = the_end_of(python, conversation_id)
    said = [(turn["role"], turn["message"]) for turn in record["transcript"]]
    assert [role for role, _ in said] == ["agent", "user", "agent"]
    assert said[1] == ("user", "what are your opening hours")
    assert record["has_audio"]
    (listed,) = python("conversational_ai.conversations.list", agent_id="hours")["conversations"]
    assert listed["conversation_id"] == conversation_id
    assert (listed["status"], listed["agent_name"]) == ("done", "hours")
    assert len(sound(python("conversational_ai.conversations.audio.get", conversation_id=conversation_id))) > 1_000


def test_feedback_is_kept_and_a_conversation_deleted(python: Calls, talk: Callable[[str, str], str]) -> None:
    """A like is in the record, until the conversation is deleted."""
    address = python("conversational_ai.conversations.get_signed_url", agent_id="hours")["signed_url"]
    conversation_id = talk(address, "goodbye")
    the_end_of(python, conversation_id)
    python("conversational_ai.conversations.feedback.create", conversation_id=conversation_id, feedback="like")
    record = python("conversational_ai.conversations.get", conversation_id=conversation_id)
    assert record["metadata"]["feedback"]["likes"] == 1
    python("conversational_ai.conversations.delete", conversation_id=conversation_id)
    refused = python.refused("conversational_ai.conversations.get", conversation_id=conversation_id)
    assert refused == (404, "conversation_not_found")


def test_a_webrtc_token_is_refused_with_the_way_out(python: Calls) -> None:
    """There is no WebRTC, and the error says so by name."""
    refused = python.refused("conversational_ai.conversations.get_webrtc_token", agent_id="hours")
    assert refused == (400, "webrtc_not_supported")


# --------------------------------------------------------------------------------------------------------- webhooks


def test_a_webhook_is_made_changed_and_deleted(python: Calls) -> None:
    """A webhook's secret is told once; what was changed is listed."""
    settings = {"auth_type": "hmac", "name": "Calls", "webhook_url": "https://example.com/calls"}
    made = python("webhooks.create", settings=settings)
    assert made["webhook_secret"]
    python("webhooks.update", webhook_id=made["webhook_id"], name="All calls", is_disabled=True, retry_enabled=True)
    (webhook,) = python("webhooks.list", include_usages=True)["webhooks"]
    assert (webhook["name"], webhook["is_disabled"]) == ("All calls", True)
    python("webhooks.delete", webhook_id=made["webhook_id"])
    assert python("webhooks.list")["webhooks"] == []


def test_a_token_is_made(python: Calls) -> None:
    """A single-use token, for a browser that is to have no key."""
    assert python("tokens.single_use.create", token_type="realtime_scribe")["token"]
