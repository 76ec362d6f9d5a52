"""@elevenlabs/elevenlabs-js, unmodified, over the REST API of a fresh server: strict about what answers must have."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.component("elevenlabs_js")
Calls = Callable[..., Any]
KNOWLEDGE = "conversationalAi.knowledgeBase"


def sound(answer: dict[str, str]) -> bytes:
    """The bytes of an answer that is sound."""
    return base64.b64decode(answer["$bytes"])


# ------------------------------------------------------------------------------------------------------------ agents


CONFIG: dict[str, Any] = {
    "agent": {"firstMessage": "Welcome.", "language": "en", "prompt": {"prompt": "You are a porter.", "llm": "gpt-4o"}},
    "conversation": {"textOnly": True},
}


@pytest.fixture
def agent(js: Calls) -> Iterator[str]:
    """The id of an agent made by the client, deleted afterwards."""
    made = js("conversationalAi.agents.create", {"name": "Porter", "conversationConfig": CONFIG, "tags": ["night"]})
    yield made["agentId"]
    js("conversationalAi.agents.delete", made["agentId"])


def test_an_agent_is_made_changed_and_listed(js: Calls, agent: str) -> None:
    """An agent comes back as it was given; a change merges into it."""
    made = js("conversationalAi.agents.get", agent)
    assert (made["name"], made["tags"]) == ("Porter", ["night"])
    assert made["conversationConfig"]["agent"]["prompt"]["prompt"] == "You are a porter."
    change = {"conversationConfig": {"agent": {"firstMessage": "Good evening."}}, "name": "Night porter"}
    js("conversationalAi.agents.update", agent, change)
    changed = js("conversationalAi.agents.get", agent)
    assert changed["name"] == "Night porter"
    assert changed["conversationConfig"]["agent"]["firstMessage"] == "Good evening."
    assert changed["conversationConfig"]["agent"]["prompt"]["prompt"] == "You are a porter."
    listed = js("conversationalAi.agents.list", {"search": "Night", "pageSize": 100})
    assert [each["agentId"] for each in listed["agents"]] == [agent]
    assert list(js("conversationalAi.agents.summaries.get", {"agentIds": [agent]})) == [agent]


def test_an_agent_is_duplicated_linked_and_embedded(js: Calls, agent: str) -> None:
    """A copy has an id of its own; the link and the widget are the agent's."""
    copy = js("conversationalAi.agents.duplicate", agent, {"name": "Second porter"})["agentId"]
    assert copy != agent
    assert js("conversationalAi.agents.get", copy)["name"] == "Second porter"
    js("conversationalAi.agents.delete", copy)
    assert js.refused("conversationalAi.agents.get", copy) == (404, "agent_not_found")
    assert js("conversationalAi.agents.link.get", agent)["agentId"] == agent
    widget = js("conversationalAi.agents.widget.get", agent)
    assert widget["agentId"] == agent
    assert widget["widgetConfig"]["language"] == "en"


def test_an_agent_of_a_file_can_be_read_and_not_changed(js: Calls) -> None:
    """Agents of the folder are listed beside those of the store; a change of one is refused."""
    listed = js("conversationalAi.agents.list", {"pageSize": 100})["agents"]
    assert "hours" in {each["agentId"] for each in listed}
    assert js("conversationalAi.agents.get", "hours")["name"] == "hours"
    status, _ = js.refused("conversationalAi.agents.update", "hours", {"name": "Other"})
    assert 400 <= status < 500


def test_live_conversations_are_counted(js: Calls) -> None:
    """None is live when nobody calls."""
    assert js("conversationalAi.analytics.liveCount.get", {"agentId": "till"})["count"] == 0


def test_language_models_are_listed(js: Calls) -> None:
    """The list is not empty, and every model in it has what clients require."""
    assert js("conversationalAi.llm.list")["llms"]


# ------------------------------------------------------------------------------------------------------------- tools


WEBHOOK_TOOL: dict[str, Any] = {
    "type": "webhook",
    "name": "room",
    "description": "Looks up a room.",
    "apiSchema": {"url": "https://example.com/rooms/{number}", "method": "GET"},
}
CLIENT_TOOL: dict[str, Any] = {"type": "client", "name": "ring", "description": "Rings.", "expectsResponse": True}


@pytest.mark.parametrize("config", [WEBHOOK_TOOL, CLIENT_TOOL], ids=["webhook", "client"])
def test_a_tool_is_made_changed_and_deleted(js: Calls, config: dict[str, Any]) -> None:
    """A tool comes back as it was given, and changed as it was changed."""
    tool = js("conversationalAi.tools.create", {"toolConfig": config})["id"]
    assert js("conversationalAi.tools.get", tool)["toolConfig"]["name"] == config["name"]
    js("conversationalAi.tools.update", tool, {"toolConfig": {**config, "description": "Something else."}})
    (found,) = [each for each in js("conversationalAi.tools.list", {"pageSize": 100})["tools"] if each["id"] == tool]
    assert found["toolConfig"]["description"] == "Something else."
    js("conversationalAi.tools.delete", tool)
    assert js.refused("conversationalAi.tools.get", tool) == (404, "tool_not_found")


# ------------------------------------------------------------------------------------------------------------- tests


LLM_TEST: dict[str, Any] = {
    "type": "llm",
    "name": "Greets",
    "chatHistory": [{"role": "user", "message": "hello", "timeInCallSecs": 0}],
    "successCondition": "The agent greets.",
    "successExamples": [{"response": "Hello!", "type": "success"}],
    "failureExamples": [{"response": "Go away.", "type": "failure"}],
}


def test_a_test_is_made_changed_and_deleted(js: Calls) -> None:
    """A test comes back as it was given, and as a whole as it was put."""
    test = js("conversationalAi.tests.create", LLM_TEST)["id"]
    assert js("conversationalAi.tests.get", test)["successCondition"] == "The agent greets."
    js("conversationalAi.tests.update", test, {**LLM_TEST, "successCondition": "The agent waves."})
    assert js("conversationalAi.tests.get", test)["successCondition"] == "The agent waves."
    assert test in {each["id"] for each in js("conversationalAi.tests.list", {"pageSize": 100})["tests"]}
    js("conversationalAi.tests.delete", test)
    status, _ = js.refused("conversationalAi.tests.get", test)
    assert status == 404


def test_tests_are_run_and_say_how_it_went(js: Calls) -> None:
    """Each is pending, then passed or failed with the judge's reason."""
    waving = {**LLM_TEST, "successCondition": "The agent waves."}
    asked = [{"testId": js("conversationalAi.tests.create", test)["id"]} for test in (LLM_TEST, waving)]
    identifier = js("conversationalAi.agents.runTests", "rehearsing", {"tests": asked})["id"]
    deadline = time.monotonic() + 20
    while True:
        runs = js("conversationalAi.tests.invocations.get", identifier)["testRuns"]
        if all(run["status"] != "pending" for run in runs):
            break
        assert time.monotonic() < deadline, "the tests are still pending"
    told = [(run["status"], run["conditionResult"]["rationale"]["summary"]) for run in runs]
    assert told == [("passed", "It does."), ("failed", "It does not wave.")]


def test_a_conversation_is_simulated(js: Calls) -> None:
    """A simulated user talks to the agent; the transcript and what became of it come back."""
    user = {"firstMessage": "", "language": "en", "prompt": {"prompt": "You want to know the hours."}}
    request = {"simulationSpecification": {"simulatedUserConfig": user}}
    answer = js("conversationalAi.agents.simulateConversation", "rehearsing", request)
    said = [turn["message"] for turn in answer["simulatedConversation"]]
    assert said[1:3] == ["What are your opening hours?", "We are open from nine to five."]
    assert answer["analysis"]["transcriptSummary"] == "The user asked for the hours."


# ------------------------------------------------------------------------------------- secrets, settings, telephony


def test_a_secret_is_made_changed_and_deleted(js: Calls) -> None:
    """A secret is told by its name; its value comes back in no answer."""
    value = "canary-of-this-secret"
    made = js("conversationalAi.secrets.create", {"name": "door", "value": value})
    secret = made["secretId"]
    changed = js("conversationalAi.secrets.update", secret, {"name": "gate", "value": value})
    shown = js("conversationalAi.secrets.get", secret)
    listed = js("conversationalAi.secrets.list")
    assert [each["name"] for each in listed["secrets"] if each["secretId"] == secret] == ["gate"]
    assert shown["name"] == "gate"
    assert value not in str([made, changed, shown, listed])
    js("conversationalAi.secrets.delete", secret)
    status, _ = js.refused("conversationalAi.secrets.get", secret)
    assert status == 404


def test_settings_are_merged(js: Calls) -> None:
    """A change of the settings leaves the others as they are."""
    js("conversationalAi.settings.update", {"canUseMcpServers": True})
    js("conversationalAi.settings.update", {"ragRetentionPeriodDays": 5})
    settings = js("conversationalAi.settings.get")
    assert (settings["canUseMcpServers"], settings["ragRetentionPeriodDays"]) == (True, 5)


def test_a_phone_number_is_made_assigned_and_deleted(js: Calls, agent: str) -> None:
    """A number is listed with its agent; calls from it are refused in words, not by an error."""
    request = {"provider": "twilio", "phoneNumber": "+15550100", "label": "Door", "sid": "AC1", "token": "t"}
    number = js("conversationalAi.phoneNumbers.create", request)["phoneNumberId"]
    js("conversationalAi.phoneNumbers.update", number, {"agentId": agent})
    shown = js("conversationalAi.phoneNumbers.get", number)
    assert (shown["label"], shown["assignedAgent"]["agentId"]) == ("Door", agent)
    assert [each["phoneNumberId"] for each in js("conversationalAi.phoneNumbers.list")] == [number]
    call = {"agentId": agent, "agentPhoneNumberId": number, "toNumber": "+15550101"}
    assert js("conversationalAi.twilio.outboundCall", call)["success"] is False
    assert js("conversationalAi.sipTrunk.outboundCall", call)["success"] is False
    js("conversationalAi.phoneNumbers.delete", number)
    assert js("conversationalAi.phoneNumbers.list") == []


# ------------------------------------------------------------------------------------------------- knowledge base


def test_a_text_is_kept_renamed_and_deleted(js: Calls) -> None:
    """A text document comes back as it was given, under its new name, until it is deleted."""
    made = js(f"{KNOWLEDGE}.documents.createFromText", {"text": "We open at nine.", "name": "Hours"})
    document = js(f"{KNOWLEDGE}.documents.get", made["id"])
    assert (document["type"], document["name"], document["id"]) == ("text", "Hours", made["id"])
    assert js(f"{KNOWLEDGE}.documents.update", made["id"], {"name": "Opening hours"})["type"] == "text"
    listed = js(f"{KNOWLEDGE}.list", {"search": "Opening"})
    assert [each["name"] for each in listed["documents"]] == ["Opening hours"]
    assert "We open at nine." in js(f"{KNOWLEDGE}.documents.getContent", made["id"])
    assert js(f"{KNOWLEDGE}.documents.getAgents", made["id"])["agents"] == []
    js(f"{KNOWLEDGE}.documents.delete", made["id"])
    assert js.refused(f"{KNOWLEDGE}.documents.get", made["id"]) == (404, "document_not_found")


def test_a_file_is_kept(js: Calls) -> None:
    """A file that is uploaded is a document with its text, and is found by its type."""
    file = {"$file": ["menu.md", base64.b64encode(b"# Menu\n\nSoup of the day.").decode(), "text/markdown"]}
    made = js(f"{KNOWLEDGE}.documents.createFromFile", {"file": file, "name": "Menu"})
    assert js(f"{KNOWLEDGE}.documents.get", made["id"])["type"] == "file"
    assert "Soup of the day." in js(f"{KNOWLEDGE}.documents.getContent", made["id"])
    listed = js(f"{KNOWLEDGE}.list", {"types": ["file"], "pageSize": 1})
    assert [each["id"] for each in listed["documents"]] == [made["id"]]


def test_a_page_that_cannot_be_read_is_refused(js: Calls) -> None:
    """A page on the server's own network is not fetched, and the client is told in an error it understands."""
    status, _ = js.refused(f"{KNOWLEDGE}.documents.createFromUrl", {"url": "http://127.0.0.1:9/"})
    assert 400 <= status < 500


def test_an_index_is_asked_for(js: Calls) -> None:
    """Indexes of a document are listed once they were asked for, and counted over the workspace."""
    made = js(f"{KNOWLEDGE}.documents.createFromText", {"text": "A long story. " * 100, "name": "Story"})
    model = "multilingual_e5_large_instruct"
    index = js(f"{KNOWLEDGE}.document.computeRagIndex", made["id"], {"model": model})
    listed = js("conversationalAi.getDocumentRagIndexes", made["id"])
    assert [each["id"] for each in listed["indexes"]] == [index["id"]]
    assert index["model"] == model
    assert js("conversationalAi.ragIndexOverview")["totalMaxBytes"] > 0


# ------------------------------------------------------------------------------------- voices, models, user, speech


@pytest.mark.component("espeak")
def test_voices_are_listed_searched_and_shown(js: Calls) -> None:
    """Every voice of the list can be asked for; a search gives pages that follow each other."""
    voices = js("voices.getAll")["voices"]
    first = js("voices.search", {"pageSize": 2})
    second = js("voices.search", {"pageSize": 2, "nextPageToken": first["nextPageToken"]})
    found = [each["voiceId"] for each in first["voices"] + second["voices"]]
    assert found == [each["voiceId"] for each in voices[:4]]
    assert first["totalCount"] == len(voices)
    assert js("voices.get", found[0])["name"] == voices[0]["name"]
    assert js("voices.settings.get", found[0]) == js("voices.settings.getDefault")
    assert js.refused("voices.get", "nobody") == (404, "voice_not_found")


@pytest.mark.component("espeak")
def test_models_are_listed(js: Calls) -> None:
    """There is a model that speaks, with its languages."""
    (speaking,) = [model for model in js("models.list") if model["canDoTextToSpeech"]]
    assert "en" in {language["languageId"].split("-")[0] for language in speaking["languages"]}


def test_the_user_has_a_subscription(js: Calls) -> None:
    """The user and the subscription have every key that a client requires."""
    subscription = js("user.subscription.get")
    assert subscription["tier"] == js("user.get")["subscription"]["tier"] == "self_hosted"
    assert subscription["status"] == "active"


@pytest.mark.component("espeak")
def test_speech_is_plain_streamed_and_timed(js: Calls) -> None:
    """The same text comes as bytes, as a stream and with times of its characters."""
    voice, request = "JBFqnCBsd6RMkjVDRZzb", {"text": "Good morning.", "outputFormat": "pcm_16000"}
    whole = sound(js("textToSpeech.convert", voice, {**request, "modelId": "eleven_multilingual_v2"}))
    streamed = sound(js("textToSpeech.stream", voice, request))
    assert len(whole) == len(streamed) > 8_000
    timed = js("textToSpeech.convertWithTimestamps", voice, request)
    assert "".join(timed["alignment"]["characters"]) == "Good morning."
    parts = js("textToSpeech.streamWithTimestamps", voice, request)
    assert sum(len(base64.b64decode(part["audioBase64"])) for part in parts) == len(whole)


@pytest.mark.component("espeak")
@pytest.mark.component("pocketsphinx")
def test_speech_is_transcribed(js: Calls) -> None:
    """A recording is heard, and its words make up its text."""
    request = {"text": "Good morning.", "outputFormat": "wav_16000"}
    spoken = js("textToSpeech.convert", "JBFqnCBsd6RMkjVDRZzb", request)["$bytes"]
    file = {"$file": ["morning.wav", spoken, "audio/wav"]}
    heard = js("speechToText.convert", {"modelId": "scribe_v1", "file": file, "languageCode": "en"})
    assert heard["languageCode"].startswith("en")
    assert heard["text"]
    assert "".join(word["text"] for word in heard["words"]) == heard["text"]


# ----------------------------------------------------------------------------------------------------- conversations


def the_end_of(js: Calls, conversation_id: str) -> dict[str, Any]:
    """The record of a conversation once it is over; it is written after the caller has hung up."""
    while True:
        record = js("conversationalAi.conversations.get", conversation_id)
        if record["status"] in ("done", "failed"):
            return record


def test_a_conversation_leaves_a_record(js: Calls, talk: Callable[[str, str], str]) -> None:
    """What was said behind a signed address is in the record, in the list and in the recording."""
    address = js("conversationalAi.conversations.getSignedUrl", {"agentId": "hours"})["signedUrl"]
    conversation_id = talk(address, "what are your opening hours")
    record = the_end_of(js, conversation_id)
    said = [(turn["role"], turn["message"]) for turn in record["transcript"]]
    assert [role for role, _ in said] == ["agent", "user", "agent"]
    assert said[1] == ("user", "what are your opening hours")
    assert record["hasAudio"]
    (listed,) = js("conversationalAi.conversations.list", {"agentId": "hours"})["conversations"]
    assert listed["conversationId"] == conversation_id
    assert (listed["status"], listed["agentName"]) == ("done", "hours")
    assert len(sound(js("conversationalAi.conversations.audio.get", conversation_id))) > 1_000


def test_feedback_is_kept_and_a_conversation_deleted(js: Calls, talk: Callable[[str, str], str]) -> None:
    """A like is in the record, until the conversation is deleted."""
    address = js("conversationalAi.conversations.getSignedUrl", {"agentId": "hours"})["signedUrl"]
    conversation_id = talk(address, "goodbye")
    the_end_of(js, conversation_id)
    js("conversationalAi.conversations.feedback.create", conversation_id, {"feedback": "like"})
    assert js("conversationalAi.conversations.get", conversation_id)["metadata"]["feedback"]["likes"] == 1
    js("conversationalAi.conversations.delete", conversation_id)
    refused = js.refused("conversationalAi.conversations.get", conversation_id)
    assert refused == (404, "conversation_not_found")


def test_a_webrtc_token_is_refused_with_the_way_out(js: Calls) -> None:
    """There is no WebRTC, and the error says so by name."""
    refused = js.refused("conversationalAi.conversations.getWebrtcToken", {"agentId": "hours"})
    assert refused == (400, "webrtc_not_supported")


# --------------------------------------------------------------------------------------------------------- webhooks


def test_a_webhook_is_made_changed_and_deleted(js: Calls) -> None:
    """A webhook's secret is told once; what was changed is listed."""
    settings = {"authType": "hmac", "name": "Calls", "webhookUrl": "https://example.com/calls"}
    made = js("webhooks.create", {"settings": settings})
    assert made["webhookSecret"]
    js("webhooks.update", made["webhookId"], {"name": "All calls", "isDisabled": True, "retryEnabled": True})
    (webhook,) = js("webhooks.list", {"includeUsages": True})["webhooks"]
    assert (webhook["name"], webhook["isDisabled"]) == ("All calls", True)
    js("webhooks.delete", made["webhookId"])
    assert js("webhooks.list")["webhooks"] == []


def test_a_token_is_made(js: Calls) -> None:
    """A single-use token, for a browser that is to have no key."""
    assert js("tokens.singleUse.create", "realtime_scribe")["token"]
