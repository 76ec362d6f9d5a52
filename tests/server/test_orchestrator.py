"""A client that brings its own agent, and what it may not bring."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from antiphon.errors import RemoteProtocolError
from antiphon.protocol.events import EnclaveSetup
from antiphon.server.orchestrator import MAX_SETUP_CHARACTERS, configuration

Serving = Callable[..., AbstractAsyncContextManager[Any]]
OPEN = {"allow_client_config": True, "client_config_engines": ["scripted", "scripted.*", "energy"]}
KEY = "sk_of_the_tests"


def socket(server: Any) -> str:
    return f"{server.address.replace('http', 'ws', 1)}/v1/convai/orchestrator"


def refused(
    serving: Serving, setup: dict[str, Any], *, headers: Any = None, close_code: int = 1008, **settings: Any
) -> str:
    """The reason of a refusal."""

    async def scene() -> str:
        async with (
            serving(**{**OPEN, **settings}) as server,
            server.call(url=socket(server), additional_headers=headers) as caller,
        ):
            with suppress(ConnectionClosed):  # who has no key is refused before the setup
                await caller.say({"type": "enclave_setup_config", **setup})
            code, reason = await caller.closed()
            assert code == close_code
            return reason

    return asyncio.run(scene())


def test_it_is_off_unless_allowed(serving: Serving) -> None:
    """Without the setting the path does not exist."""

    async def scene() -> None:
        async with serving() as server:
            with pytest.raises(InvalidStatus):
                async with server.call(url=socket(server)):
                    pass

    asyncio.run(scene())


@pytest.mark.parametrize("whole", [True, False])
def test_a_client_talks_to_the_agent_it_brings(serving: Serving, document: Any, whole: bool) -> None:
    """A document or its conversation_config, then a conversation as any other."""

    async def scene() -> None:
        async with serving(**OPEN) as server:
            async with server.call(url=socket(server)) as caller:
                config = document() if whole else document()["conversation_config"]
                setup = {"agent_config_dict": config, "prompt_knowledge_base": "We close at five."}
                await caller.say({"type": "enclave_setup_config", **setup})
                await caller.initiate()
                metadata = await caller.hear("conversation_initiation_metadata")
                assert (await caller.hear("agent_response"))["agent_response"] == "Hello, how can I help?"
                await caller.say({"type": "user_message", "text": "book Monday"})
                while (await caller.hear("agent_response"))["agent_response"] != "I have booked Monday.":
                    pass
            assert (await server.record(metadata["conversation_id"]))["agent_id"] == "client_config"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("prompt", "block", "named"),
    [
        ({"tool_ids": ["t"]}, {}, "tool_ids"),
        ({"custom_llm": {"url": "http://127.0.0.1"}}, {}, "custom_llm"),
        ({}, {"llm": {"engine": "openai"}}, "openai"),
        ({}, {"vad": {"engine": "energy", "path": "/etc/passwd"}}, "energy.path"),
        ({}, {"tts_fallbacks": [{"engine": "command"}]}, "command"),
        ({}, {"vad": {"path": "/etc/passwd"}}, "None"),
    ],
)
def test_what_is_not_listed_is_refused(
    serving: Serving, prompt: dict[str, Any], block: dict[str, Any], named: str
) -> None:
    """The reason names it."""
    config = {"agent": {"prompt": prompt}, "antiphon": block}
    assert named in refused(serving, {"agent_config_dict": config})


def test_a_public_server_wants_the_key(serving: Serving, document: Any) -> None:
    """Neither a loopback caller without it nor a web page from elsewhere gets in."""
    public = {"public_url": "https://voice.example.com"}
    assert "key" in refused(serving, {"agent_config_dict": document()}, **public)
    assert "key" in refused(serving, {"agent_config_dict": document()}, headers={"origin": "https://evil.example"})
    headers = {"authorization": f"Bearer {KEY}"}
    assert "agent_config_dict" in refused(serving, {"agent_config_dict": None}, headers=headers, **public)


def test_the_key_may_stand_in_the_address(serving: Serving) -> None:
    """`wss://key:sk_...@host/`: for clients that connect to an address as it is. Any user name will do."""
    public = {"public_url": "https://voice.example.com"}
    for pair in (f"key:{KEY}", f":{KEY}"):
        headers = {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}
        assert "agent_config_dict" in refused(serving, {"agent_config_dict": None}, headers=headers, **public)
    for value in (b64encode(b"key:wrong").decode(), b64encode(KEY.encode()).decode(), "no base64", "/w=="):
        headers = {"authorization": f"Basic {value}"}
        assert "key" in refused(serving, {"agent_config_dict": None}, headers=headers, **public)


def test_a_setup_has_a_size_limit(serving: Serving, document: Any) -> None:
    """1 MiB, however much a message of a conversation may weigh: 1009."""
    base = {"type": "enclave_setup_config", "agent_config_dict": None, "prompt_knowledge_base": ""}
    room = MAX_SETUP_CHARACTERS - len(json.dumps(base))
    assert "agent_config_dict" in refused(serving, {**base, "prompt_knowledge_base": "a" * room})
    large = {**base, "prompt_knowledge_base": "a" * (room + 1)}
    assert "1 MiB" in refused(serving, large, close_code=1009)


def test_knowledge_is_a_text_or_a_list_of_texts() -> None:
    """It stands behind the prompt, each text in a paragraph of its own; anything else is refused."""
    config = {"agent": {"prompt": {"prompt": "You are a front desk."}}}
    for knowledge, prompt in (
        ("We close at five.", "You are a front desk.\n\nWe close at five."),
        (["One.", "Two."], "You are a front desk.\n\nOne.\n\nTwo."),
        ([], "You are a front desk."),
    ):
        agent = configuration(EnclaveSetup(agent_config=config, knowledge_base=knowledge), ())
        assert agent.conversation_config.agent.prompt.prompt == prompt
    for wrong in (7, {"text": "One."}, ["One.", 2]):
        with pytest.raises(RemoteProtocolError, match="prompt_knowledge_base"):
            configuration(EnclaveSetup(agent_config=config, knowledge_base=wrong), ())


def test_the_setup_has_to_come_first_and_in_time(serving: Serving) -> None:
    """Another message, a binary one, or none at all: 1008."""

    async def scene() -> None:
        async with serving(**OPEN, initiation_timeout=0.05) as server:
            for first in ({"type": "conversation_initiation_client_data"}, b"binary", None):
                async with server.call(url=socket(server)) as caller:
                    if first is not None:
                        await caller.say(first)
                    code, reason = await caller.closed()
                    assert code == 1008
                    assert reason

    asyncio.run(scene())


def test_webhooks_to_where_they_may_not_go_are_refused(serving: Serving, document: Any) -> None:
    """Private addresses and short secrets, before the conversation begins."""
    setup = {"agent_config_dict": document(), "post_call_transcription_webhook": {"url": "http://10.0.0.1/"}}
    assert "webhook_hosts" in refused(serving, setup)
    setup["post_call_transcription_webhook"] = {"url": "http://127.0.0.1/", "hmac_secret": "short"}
    assert "16" in refused(serving, setup)
