"""The engine `openai` against a loopback server that streams, stalls and refuses."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antiphon.engines.base import EngineContext, Message, Request, TextDelta, Thought, ToolCall, Usage
from antiphon.engines.llm.openai import ChatCompletions, create
from antiphon.errors import ConfigError, EngineError

KEY = "sk-canary-0123456789"
TIMES = {"connect_timeout": 5.0, "first_token_timeout": 5.0, "stall_timeout": 5.0, "retry_delay": 0.001}


def question(text: str = "Hello?", **fields: Any) -> Request:
    return Request([Message("user", text)], **fields)


def model(server: Any, *, context: EngineContext | None = None, **options: Any) -> ChatCompletions:
    return create({"base_url": server.url, **TIMES, **options}, context or EngineContext(model="m"))


async def collect(engine: ChatCompletions, request: Request | None = None) -> list[Thought]:
    try:
        return [thought async for thought in engine.reply(request or question())]
    finally:
        await engine.aclose()


async def failure(engine: ChatCompletions, request: Request | None = None) -> EngineError:
    with pytest.raises(EngineError) as error:
        await collect(engine, request)
    assert error.value.engine == "openai"
    return error.value


def run(case: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            await case()

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------------ exchange


def test_an_answer_streams_in(chat_server: Any) -> None:
    """Text as it comes, then the calls, then the usage; one POST with the context in it."""

    async def case() -> None:
        call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a":'}}
        answer = chat_server.stream(
            b": keep-alive\r\n\r\n",
            chat_server.says("Let "),
            chat_server.says("me see."),
            {"choices": [{"delta": {"tool_calls": [call]}}]},
            {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}}]},
            {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
            {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
        )
        async with chat_server(answer) as server:
            thoughts = await collect(model(server, api_key=KEY, context=EngineContext(model="m", temperature=0.0)))
        assert thoughts == [TextDelta("Let "), TextDelta("me see."), ToolCall("c1", "f", {"a": 1}), Usage(9, 4)]
        (request,) = server.requests
        assert (request.method, request.target) == ("POST", "/v1/chat/completions")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["accept-encoding"] == "identity"  # compression would hold small chunks back
        assert request.body == {
            "model": "m",
            "messages": [{"role": "user", "content": "Hello?"}],
            "stream": True,
            "temperature": 0.0,
        }

    run(case)


def test_text_is_handed_on_before_the_answer_is_complete(chat_server: Any) -> None:
    """The server is still in the middle of it."""

    async def case() -> None:
        steps = [
            chat_server.stream_head(),
            chat_server.piece(f"data: {json.dumps(chat_server.says('Well, '))}\n\n".encode()),
            chat_server.STALL,
        ]
        async with chat_server(steps) as server:
            engine = model(server)
            thoughts = engine.reply(question())
            assert await anext(thoughts) == TextDelta("Well, ")
            await thoughts.aclose()
            await engine.aclose()

    run(case)


def test_a_character_split_between_two_packets_is_whole(chat_server: Any) -> None:
    """Bytes are put together before they are text."""

    async def case() -> None:
        content = 'data: {"choices":[{"delta":{"content":"Grüße 😀"}}]}\r\n\r\n'.encode()
        pieces = [content[:45], content[45:46], content[46:51], content[51:]]
        async with chat_server(chat_server.stream(*pieces)) as server:
            assert await collect(model(server)) == [TextDelta("Grüße 😀")]

    run(case)


def test_only_a_custom_model_is_told_who_asks(chat_server: Any) -> None:
    """`user_id` and `elevenlabs_extra_body` are the custom model's contract; OpenAI itself refuses unknown fields."""

    async def case() -> None:
        async with chat_server(chat_server.stream(chat_server.says("Hi."))) as server:
            own = EngineContext(model="custom-llm", custom_llm={"url": server.url, "model_id": "own", "api_key": KEY})
            told = question(user_id="u1", extra_body={"tenant": {"id": 7}})
            await collect(create(TIMES, own), told)
            await collect(create(TIMES, own), question())
            await collect(model(server), told)
        with_both, without, elsewhere = (request.body for request in server.requests)
        assert with_both["user_id"] == "u1"
        assert with_both["elevenlabs_extra_body"] == {"tenant": {"id": 7}}
        assert with_both["model"] == "own"
        assert set(without) == set(elsewhere) == {"model", "messages", "stream"}

    run(case)


def test_headers_and_body_fields_can_be_added_and_left_out(chat_server: Any) -> None:
    """What a server needs beyond the standard, or cannot bear of it."""

    async def case() -> None:
        async with chat_server(chat_server.stream(chat_server.says("Hi."))) as server:
            options = {
                "headers": {"X-Team": "blue"},
                "body": {"stream_options": {"include_usage": True}, "temperature": None},
            }
            await collect(model(server, context=EngineContext(model="m", temperature=0.0, max_tokens=9), **options))
        assert server.requests[0].headers["x-team"] == "blue"
        assert server.requests[0].body == {
            "model": "m",
            "messages": [{"role": "user", "content": "Hello?"}],
            "stream": True,
            "max_tokens": 9,
            "stream_options": {"include_usage": True},
        }

    run(case)


def test_text_that_is_no_unicode_does_not_break_the_request(chat_server: Any) -> None:
    """A lone surrogate from a client's JSON goes out as it came in."""

    async def case() -> None:
        async with chat_server(chat_server.stream(chat_server.says("Hi."))) as server:
            await collect(model(server), question("a\ud800b"))
        assert server.requests[0].body["messages"][0]["content"] == "a\ud800b"

    run(case)


def test_a_connection_is_used_again(chat_server: Any) -> None:
    """The next turn pays for no handshake."""

    async def case() -> None:
        async with chat_server(chat_server.stream(chat_server.says("Hi."))) as server:
            engine = model(server)
            for _ in range(3):
                assert [thought async for thought in engine.reply(question())] == [TextDelta("Hi.")]
            await engine.aclose()
            assert len(server.requests) == 3
            assert server.connections == 1

    run(case)


# --------------------------------------------------------------------------------------------------- loose ends


def test_a_stream_without_an_end_mark_is_complete_when_it_ends(chat_server: Any) -> None:
    """Its last event may even lack the blank line."""

    async def case() -> None:
        last = f"data: {json.dumps(chat_server.says('there.'))}".encode()
        async with chat_server(chat_server.stream(chat_server.says("Hi "), last, done=False)) as server:
            assert await collect(model(server)) == [TextDelta("Hi "), TextDelta("there.")]

    run(case)


def test_a_connection_that_just_closes_ends_the_answer(chat_server: Any) -> None:
    """HTTP/1.0's way, without a length: small servers do it."""

    async def case() -> None:
        event = f"data: {json.dumps(chat_server.says('Hi.'))}\n\n".encode()
        head = chat_server.head(content_type="text/event-stream", connection="close")
        async with chat_server([head + event, chat_server.DROP]) as server:
            assert await collect(model(server)) == [TextDelta("Hi.")]

    run(case)


@pytest.mark.parametrize("text", ["Hi.", ""])
@pytest.mark.parametrize("then", ["drop", "stall"])
def test_a_complete_answer_is_complete_whatever_the_connection_does_next(
    chat_server: Any, then: str, text: str
) -> None:
    """After `finish_reason` nothing is missing, not even if the end mark never comes."""

    async def case() -> None:
        event = f"data: {json.dumps(chat_server.says(text, 'stop'))}\n\n".encode()
        async with chat_server([chat_server.stream_head(), chat_server.piece(event), then]) as server:
            engine = model(server, first_token_timeout=60.0, stall_timeout=60.0)
            assert await collect(engine) == [TextDelta(text) for _ in range(bool(text))]

    run(case)


def test_a_server_that_does_not_stream_is_understood(chat_server: Any) -> None:
    """The whole answer in one JSON document."""

    async def case() -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        message = {"role": "assistant", "content": "Hi.", "tool_calls": [call]}
        whole = chat_server.whole({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        async with chat_server(whole) as server:
            assert await collect(model(server)) == [TextDelta("Hi."), ToolCall("c1", "f", {})]

    run(case)


# ------------------------------------------------------------------------------------------------------- hanging up


def test_closing_the_iterator_hangs_up_on_the_server(chat_server: Any) -> None:
    """An interrupted agent must not keep a model busy."""

    async def case() -> None:
        event = f"data: {json.dumps(chat_server.says('Well, '))}\n\n".encode()
        async with chat_server([chat_server.stream_head(), chat_server.piece(event), chat_server.STALL]) as server:
            engine = model(server, stall_timeout=60.0)
            thoughts = engine.reply(question())
            await anext(thoughts)
            assert not server.hung_up.is_set()
            await thoughts.aclose()
            await server.hung_up.wait()
            await engine.aclose()

    run(case)


@pytest.mark.parametrize("started", [False, True])
def test_a_cancelled_reply_hangs_up_on_the_server(chat_server: Any, started: bool) -> None:
    """Before the first token as in the middle of the answer."""

    async def case() -> None:
        event = f"data: {json.dumps(chat_server.says('Well, '))}\n\n".encode()
        steps = [chat_server.stream_head(), chat_server.piece(event)] if started else []
        async with chat_server([*steps, chat_server.STALL]) as server:
            engine = model(server, first_token_timeout=60.0, stall_timeout=60.0)
            heard = asyncio.Event()

            async def listen() -> None:
                async for _ in engine.reply(question()):
                    heard.set()

            listening = asyncio.create_task(listen())
            await (heard if started else server.asked).wait()
            listening.cancel()
            await asyncio.wait({listening})
            assert listening.cancelled()
            await server.hung_up.wait()
            await engine.aclose()

    run(case)


# --------------------------------------------------------------------------------------------------------- failures


def test_a_server_that_is_not_there_can_be_tried_later() -> None:
    """Connection refused; the message says where."""

    async def case() -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            port = nobody.getsockname()[1]
            error = await failure(create({**TIMES, "base_url": f"http://127.0.0.1:{port}/v1"}, EngineContext()))
        assert error.retryable
        assert f"http://127.0.0.1:{port}/v1/chat/completions could not be asked" in str(error)

    run(case)


@pytest.mark.parametrize("sent", ["nothing", "head", "comments", "reasoning"])
def test_no_answer_in_time_is_a_failure(chat_server: Any, sent: str) -> None:
    """What is not part of the answer does not count as one: the caller hears nothing of it."""

    async def case() -> None:
        head, reasoning = chat_server.stream_head(), {"choices": [{"delta": {"reasoning_content": "Hm."}}]}
        steps = {
            "nothing": [],
            "head": [head],
            "comments": [head, chat_server.piece(b": processing\n\n")],
            "reasoning": [head, chat_server.piece(f"data: {json.dumps(reasoning)}\n\n".encode())],
        }[sent]
        async with chat_server([*steps, chat_server.STALL]) as server:
            error = await failure(model(server, first_token_timeout=0.05))
            assert error.retryable
            assert "no answer within 0.05 s" in str(error)
            assert len(server.requests) == 1
            await server.hung_up.wait()

    run(case)


def test_an_answer_that_stalls_is_a_failure(chat_server: Any) -> None:
    """After its first words; it is not begun again, for those have been said."""

    async def case() -> None:
        event = f"data: {json.dumps(chat_server.says('Well, '))}\n\n".encode()
        async with chat_server([chat_server.stream_head(), chat_server.piece(event), chat_server.STALL]) as server:
            engine = model(server, stall_timeout=0.05)
            thoughts = engine.reply(question())
            assert await anext(thoughts) == TextDelta("Well, ")
            with pytest.raises(EngineError, match=r"fell silent for 0\.05 s") as error:
                await anext(thoughts)
            assert error.value.retryable
            assert len(server.requests) == 1
            await server.hung_up.wait()
            await engine.aclose()

    run(case)


def test_an_answer_that_breaks_off_is_a_failure(chat_server: Any) -> None:
    """The connection is cut between two pieces."""

    async def case() -> None:
        event = f"data: {json.dumps(chat_server.says('Well, '))}\n\n".encode()
        async with chat_server([chat_server.stream_head(), chat_server.piece(event), chat_server.DROP]) as server:
            engine = model(server)
            thoughts = engine.reply(question())
            assert await anext(thoughts) == TextDelta("Well, ")
            with pytest.raises(EngineError, match="broke off") as error:
                await anext(thoughts)
            assert error.value.retryable
            assert len(server.requests) == 1
            await engine.aclose()

    run(case)


def test_a_try_that_breaks_off_before_the_first_token_is_repeated(chat_server: Any) -> None:
    """Nobody has heard anything of it: a dropped connection, a failure told in the stream, a 503, then an answer."""

    async def case() -> None:
        answers = [
            [chat_server.DROP],
            [chat_server.stream_head(), chat_server.DROP],
            chat_server.stream({"error": {"message": "overloaded"}}),
            chat_server.whole({"error": "busy"}, 503),
            chat_server.stream(chat_server.says("Hi.")),
        ]
        async with chat_server(*answers) as server:
            assert await collect(model(server, max_retries=4)) == [TextDelta("Hi.")]
            assert len(server.requests) == 5

    run(case)


def test_a_busy_server_is_asked_again_when_it_says(chat_server: Any) -> None:
    """429 with Retry-After, in seconds or as a date by the server's own clock; it goes before our own pace."""

    async def case() -> None:
        date, later = "Sat, 21 Nov 2026 02:00:00 GMT", "Sat, 21 Nov 2026 01:59:00 GMT"
        answers = [
            chat_server.whole({"error": {"message": "slow down"}}, 429, retry_after="0"),
            chat_server.whole({"error": {"message": "slow down"}}, 429, retry_after=later, date=date),
            chat_server.stream(chat_server.says("Hi.")),
        ]
        async with chat_server(*answers) as server:
            assert await collect(model(server, retry_delay=60.0)) == [TextDelta("Hi.")]

    run(case)


@pytest.mark.parametrize("retry_after", ["30", "Sat, 21 Nov 2026 02:00:30 GMT"])
def test_a_wait_that_is_too_long_is_not_waited(chat_server: Any, retry_after: str) -> None:
    """The caller is on the line: the failure comes at once, not after the time that is left."""

    async def case() -> None:
        busy = chat_server.whole(
            {"error": {"message": "slow down"}}, 429, retry_after=retry_after, date="Sat, 21 Nov 2026 02:00:00 GMT"
        )
        async with chat_server(busy) as server:
            error = await failure(model(server, first_token_timeout=20.0))
            assert error.retryable
            assert "HTTP 429: slow down" in error.full_text
            assert len(server.requests) == 1

    run(case)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_tries_are_counted(chat_server: Any, caplog: pytest.LogCaptureFixture, status: int) -> None:
    """The first and `max_retries` more, each after twice the wait."""

    async def case() -> None:
        async with chat_server(chat_server.whole({}, status)) as server:
            error = await failure(model(server, max_retries=2))
            assert error.retryable
            assert f"HTTP {status}" in str(error)
            assert len(server.requests) == 3

    caplog.set_level(logging.INFO, "antiphon")
    run(case)
    assert [record.__dict__["delay"] for record in caplog.records if record.name.startswith("antiphon")] == [
        0.001,
        0.002,
    ]


def test_all_tries_together_have_one_time_limit(chat_server: Any) -> None:
    """A server that always fails quickly does not hold the caller for longer than one that never answers."""

    async def case() -> None:
        async with chat_server(chat_server.whole({}, 500)) as server:
            engine = model(server, max_retries=10, retry_delay=0.02, first_token_timeout=0.1)
            assert (await failure(engine)).retryable
            assert len(server.requests) < 5  # all eleven would take 20 seconds

    run(case)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "context too long"),
        (401, "check conversation_config.antiphon.llm.api_key"),
        (403, "check conversation_config.antiphon.llm.api_key"),
        (404, "check conversation_config.antiphon.llm.base_url and the model's name 'm'"),
        (422, "context too long"),
    ],
)
def test_a_refusal_says_what_to_check(chat_server: Any, status: int, advice: str) -> None:
    """It is not tried again: the same request would be refused again."""

    async def case() -> None:
        async with chat_server(chat_server.whole({"error": {"message": "context too long"}}, status)) as server:
            error = await failure(model(server, api_key=KEY))
            assert not error.retryable
            assert advice in error.full_text
            assert error.detail == "context too long"
            assert "too long" not in str(error)
            assert len(server.requests) == 1

    run(case)


def test_a_missing_key_is_told_apart_from_a_wrong_one(chat_server: Any) -> None:
    """The advice names the operator's setting where the address came from there."""

    async def case() -> None:
        async with chat_server(chat_server.whole("no", 401)) as server:
            mapped = EngineContext(model="gpt-4o", models={"gpt-*": {"base_url": server.url}})
            assert "no key was sent, check llm_models['gpt-*'].api_key" in str(await failure(create(TIMES, mapped)))

    run(case)


def test_a_redirect_is_not_followed(chat_server: Any) -> None:
    """The key would go to wherever it points."""

    async def case() -> None:
        async with chat_server(chat_server.stream(chat_server.says("Stolen."))) as elsewhere:
            moved = [chat_server.head(307, location=f"{elsewhere.url}/{KEY}?x=1", content_length="0")]
            async with chat_server(moved) as server:
                error = await failure(model(server, api_key=KEY))
            assert not error.retryable
            assert f"redirects to '{elsewhere.url}/***'" in str(error)
            assert elsewhere.requests == []

    run(case)


@pytest.mark.parametrize(
    ("content", "content_type", "message"),
    [
        (b"<html>Welcome</html>", "text/html", "is it the address of a chat-completions server"),
        (b"data: <html>\n\n", "text/event-stream", "no chat completion"),
        (b"data: " + b"x" * 1_100_000, "text/event-stream", "longer than"),
        (b'{"models": []}', "application/json", ""),
        (b"not json", "application/json", "no chat completion"),
        (b"", "application/json", "is it the address of a chat-completions server"),
    ],
)
def test_what_is_no_answer_is_a_failure(chat_server: Any, content: bytes, content_type: str, message: str) -> None:
    """A success by its status, but nothing of a chat model."""

    async def case() -> None:
        head = chat_server.head(content_type=content_type, content_length=str(len(content)))
        async with chat_server([head + content]) as server:
            if message:
                error = await failure(model(server))
                assert not error.retryable
                assert message in str(error)
                assert len(server.requests) == 1
            else:  # well-formed, and says nothing: that it was silent is for the caller of `reply` to see
                assert await collect(model(server)) == []

    run(case)


def test_a_body_that_is_not_what_its_encoding_says_is_a_failure(chat_server: Any) -> None:
    """A broken compression is a broken connection."""

    async def case() -> None:
        head = chat_server.head(content_type="text/event-stream", content_encoding="gzip", content_length="4")
        async with chat_server([head + b"oops"]) as server:
            assert "broke off" in str(await failure(model(server, max_retries=0)))

    run(case)


# ------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("where", ["refusal", "stream"])
def test_no_key_is_ever_shown(chat_server: Any, caplog: pytest.LogCaptureFixture, where: str) -> None:
    """Not in errors, tracebacks, logs of any level or a repr, even if the server sends it back."""

    async def case() -> None:
        said = f"Incorrect key provided: {KEY}. " + "x" * 500
        answer = {
            "refusal": chat_server.whole({"error": {"message": said}}, 500),
            "stream": chat_server.stream({"error": {"message": said}}),
        }[where]
        async with chat_server(answer) as server:
            for options in ({"api_key": KEY}, {"headers": {"Authorization": f"Bearer {KEY}"}}):
                engine = model(server, max_retries=1, **options)
                error = await failure(engine)
                shown = f"{''.join(traceback.format_exception(error))} {error!r} {engine!r} {engine}"
                assert KEY not in f"{shown} {error.full_text}"
                assert "***" in error.detail
                assert len(error.full_text) < 500
                assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"

    caplog.set_level(logging.DEBUG)
    run(case)
    assert caplog.records
    for record in caplog.records:
        assert KEY not in f"{record.getMessage()} {record.__dict__}"


# ---------------------------------------------------------------------------------------------------------- proxies


def test_a_server_on_this_machine_is_asked_without_a_proxy(chat_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would look for it on its own machine; to others the environment's proxy leads."""

    async def case() -> None:
        async with (
            chat_server(chat_server.stream(chat_server.says("Hi."))) as server,
            chat_server([chat_server.DROP]) as proxy,
        ):
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            assert await collect(model(server)) == [TextDelta("Hi.")]
            assert proxy.requests == []
            there = create({**TIMES, "base_url": "http://llm.example/v1", "max_retries": 0}, EngineContext())
            await failure(there)
            assert proxy.requests[0].target == "http://llm.example/v1/chat/completions"

    run(case)


def test_a_proxy_setting_that_cannot_be_used_is_told_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the middle of the first call."""
    monkeypatch.setenv("HTTPS_PROXY", "gopher://proxy.example")
    with pytest.raises(ConfigError, match="proxy"):
        create({"base_url": "https://llm.example/v1"}, EngineContext())
