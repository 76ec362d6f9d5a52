"""The REST calls that a conversation needs."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, Mock

import pytest

import antiphon
from antiphon import Antiphon, AsyncConversation
from antiphon.errors import AuthError, NotFoundError, SessionError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Api:
    """A REST server that answers what it is told to and notes what it is asked."""

    def __init__(self) -> None:
        self.status, self.body = 200, b'{"signed_url": "ws://127.0.0.1:1/x?conversation_signature=s"}'
        self.asked: list[tuple[str, str | None]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.asked.append((self.path, self.headers["xi-api-key"]))
                self.send_response(api.status)
                self.end_headers()
                self.wfile.write(api.body)

            def log_message(self, *_: object) -> None: ...

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    thread = threading.Thread(target=lambda: api.http.serve_forever(0.01))
    thread.start()
    yield api
    api.http.shutdown()
    thread.join()
    api.http.server_close()


def test_a_signed_url_is_asked_for_with_the_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path, the query and the header of the API (protocol.md 3.2); a proxy is not asked the way to loopback."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    client = Antiphon(api.url + "/", api_key="secret")
    answer = client.conversational_ai.conversations.get_signed_url(agent_id="a b", environment="staging")
    assert answer.signed_url == "ws://127.0.0.1:1/x?conversation_signature=s"
    assert api.asked == [("/v1/convai/conversation/get-signed-url?agent_id=a%20b&environment=staging", "secret")]


def test_any_call_can_be_made(api: Api) -> None:
    """Below the same base, with the same key: what the server keeps of a conversation, for one."""
    api.body = b'{"status": "done"}'
    wrapper = Antiphon(api.url, "secret")._client_wrapper
    assert wrapper.get("/v1/convai/conversations/conv_1", {}) == {"status": "done"}
    assert api.asked == [("/v1/convai/conversations/conv_1", "secret")]


def test_the_key_may_come_from_the_environment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """ANTIPHON_API_KEY, unless one is given; without any, none is sent."""
    for key in ("from the environment", None):
        if key is None:
            monkeypatch.delenv("ANTIPHON_API_KEY", raising=False)
        else:
            monkeypatch.setenv("ANTIPHON_API_KEY", key)
        Antiphon(api.url).conversational_ai.conversations.get_signed_url(agent_id="a")
        assert api.asked.pop()[1] == key


@pytest.mark.parametrize(
    ("status", "body", "error", "text"),
    [
        (401, {"detail": {"status": "invalid_api_key", "message": "wrong key"}}, AuthError, "wrong key"),
        (404, {"detail": {"status": "document_not_found", "message": "no"}}, NotFoundError, "no agent with id 'a'"),
        (500, "crash", SessionError, "answered 500"),
        (200, {"url": "?"}, SessionError, "without a signed_url"),
        (200, [], SessionError, "without a signed_url"),
        (200, "no json", SessionError, "get-signed-url"),
    ],
)
def test_a_refusal_is_told_in_its_own_words(api: Api, status: int, body: Any, error: type, text: str) -> None:
    """Each kind has its own error, and it is raised from start_session()."""
    api.status, api.body = status, body.encode() if isinstance(body, str) else json.dumps(body).encode()
    conversation = AsyncConversation(Antiphon(api.url, "k"), "a", requires_auth=True)
    with pytest.raises(error, match=text):
        asyncio.run(conversation.start_session())


def test_a_server_that_is_not_there_is_an_error_of_the_session() -> None:
    """Not a urllib error, which no caller expects."""
    with pytest.raises(SessionError, match="refused"):
        Antiphon("http://127.0.0.1:1", "k").conversational_ai.conversations.get_signed_url(agent_id="a")


@pytest.mark.parametrize("mock", [Mock, AsyncMock])
def test_sync_and_async_clients_both_sign(scene: Any, ended: Any, mock: type[Mock]) -> None:
    """The original fails with AsyncElevenLabs (issues 484, 811). Called once, off the loop, with both keywords."""

    @scene
    async def _(server: Any) -> None:
        signed = f"{server.url.replace('http', 'ws')}/v1/convai/conversation?agent_id=a&conversation_signature=s"
        threads = []
        answer = SimpleNamespace(signed_url=signed)
        get_signed_url = mock(return_value=answer)
        if mock is Mock:
            get_signed_url.side_effect = lambda **_: threads.append(threading.current_thread()) or answer
        client = Mock()
        client.conversational_ai.conversations.get_signed_url = get_signed_url
        conversation = AsyncConversation(client, "a", requires_auth=True)
        await conversation.start_session()
        peer = await server.accept()
        assert peer.path == (
            f"/v1/convai/conversation?agent_id=a&conversation_signature=s&source=python_sdk&version={antiphon.__version__}"
        )
        get_signed_url.assert_called_once_with(agent_id="a", environment=None)
        assert threading.main_thread() not in threads
        await ended(conversation)
