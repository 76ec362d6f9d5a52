"""What every language-model engine must do (engines/base.py: LanguageModel).

Each engine under test answers by the same rules. `scripted` has them itself; `openai` asks a chat-completions server on
the loopback interface, which has them, so that all it yields has crossed the wire. A new engine adds a function that
makes it, answering by RULES, to ENGINES.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import StreamingResponse
from starlette.routing import Route

from antiphon.engines.base import (
    EngineContext,
    LanguageModel,
    Message,
    Request,
    TextDelta,
    Thought,
    ToolCall,
    ToolSpec,
    closing,
)
from antiphon.engines.registry import Registry

RULES: list[dict[str, Any]] = [
    {
        "when": r"order (\d+)",
        "say": "Let me see.",
        "tool": {"name": "get_order", "parameters": {"order_id": "{1}", "depth": {"a": ["ü", 1, None]}}},
        "then": "Order {1} is {result.status}.",
        "error": "That failed: {result}",
    },
    {"when": "hang up", "tool": {"name": "end_call"}, "then": "Bye."},
    {"when": "count", "say": "One two three four five six seven eight nine ten."},
    {"when": "slow", "say": "At last.", "delay": 30.0},
    {"say": 'Grüße: 東京 😀 «x»\n{{y}} \\ " done.'},
]
TOOLS = [
    ToolSpec("get_order", "Looks an order up.", {"type": "object", "properties": {"order_id": {"type": "string"}}})
]

Make: TypeAlias = Callable[[], AbstractAsyncContextManager[LanguageModel]]


@asynccontextmanager
async def scripted() -> AsyncGenerator[LanguageModel]:
    engine = Registry().create("llm", "scripted", {"rules": RULES}, EngineContext())
    yield engine
    await engine.aclose()


@asynccontextmanager
async def openai() -> AsyncGenerator[LanguageModel]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        app = Starlette(routes=[Route("/v1/chat/completions", chat_completions, methods=["POST"])])
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([listener]))
            engine = Registry().create(
                "llm", "openai", {}, EngineContext(model="any", models={"*": {"base_url": url}}, temperature=0.0)
            )
            yield engine
            await engine.aclose()
            server.should_exit = True


async def chat_completions(request: HttpRequest) -> StreamingResponse:
    """A chat-completions server with the rules for a model."""
    body = await request.json()
    model = Registry().create("llm", "scripted", {"rules": RULES}, EngineContext())
    thoughts = model.reply(Request([read(message) for message in body["messages"]]))
    return StreamingResponse(events(thoughts), media_type="text/event-stream")


def read(message: dict[str, Any]) -> Message:
    calls = [
        ToolCall(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls", ())
    ]
    text, call_id = message["content"] or "", message.get("tool_call_id", "")
    is_error = message["role"] == "tool" and text.startswith("Error: ")
    return Message(message["role"], text.removeprefix("Error: "), calls, call_id, is_error)


async def events(thoughts: AsyncIterator[Thought]) -> AsyncGenerator[str]:
    """Text word by word, a call's arguments three characters at a time."""
    async with closing(thoughts) as stream:
        async for thought in stream:
            match thought:
                case TextDelta(text=text):
                    yield event({"content": text})
                case ToolCall(id=call_id, name=name, parameters=parameters):
                    text = json.dumps(parameters)
                    yield event({"tool_calls": [{"index": 0, "id": call_id, "function": {"name": name}}]})
                    for part in (text[at : at + 3] for at in range(0, len(text), 3)):
                        yield event({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
                case _:
                    pass
    yield "data: [DONE]\n\n"


def event(delta: dict[str, Any]) -> str:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n"


ENGINES: list[Make] = [scripted, openai]


@pytest.fixture(params=ENGINES, ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


def check(make: Make, case: Callable[[LanguageModel], Any]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), make() as engine:
            await engine.prepare()
            await case(engine)

    asyncio.run(main())


def ask(text: str, *before: Message) -> Request:
    return Request([Message("system", "Be brief."), *before, Message("user", text)], TOOLS)


async def collect(engine: LanguageModel, request: Request) -> list[Thought]:
    return [thought async for thought in engine.reply(request)]


def text_of(thoughts: list[Thought]) -> str:
    return "".join(thought.text for thought in thoughts if isinstance(thought, TextDelta))


def calls_of(thoughts: list[Thought]) -> list[ToolCall]:
    return [thought for thought in thoughts if isinstance(thought, ToolCall)]


def test_pieces_joined_are_the_answer(make: Make) -> None:
    """In several pieces, none empty, every character in its place."""

    async def case(engine: LanguageModel) -> None:
        thoughts = await collect(engine, ask("hello"))
        assert text_of(thoughts) == RULES[-1]["say"]
        texts = [thought.text for thought in thoughts if isinstance(thought, TextDelta)]
        assert len(texts) > 1
        assert all(texts)

    check(make, case)


def test_a_call_is_whole(make: Make) -> None:
    """It has an id, its name, and its parameters as they are in JSON; words before it come before it."""

    async def case(engine: LanguageModel) -> None:
        thoughts = await collect(engine, ask("order 12"))
        (call,) = calls_of(thoughts)
        assert text_of(thoughts[: thoughts.index(call)]) == "Let me see."
        assert call.id
        assert call.name == "get_order"
        assert call.parameters == {"order_id": "12", "depth": {"a": ["ü", 1, None]}}
        (call,) = calls_of(await collect(engine, ask("hang up")))
        assert (call.name, call.parameters) == ("end_call", {})

    check(make, case)


@pytest.mark.parametrize(
    ("result", "is_error", "answer"),
    [('{"status": "open"}', False, "Order 12 is open."), ("no answer", True, "That failed: no answer")],
)
def test_a_result_is_answered(make: Make, result: str, is_error: bool, answer: str) -> None:
    """The context holds the call and its result; the answer goes on from there, told whether it failed."""

    async def case(engine: LanguageModel) -> None:
        thoughts = await collect(engine, ask("order 12"))
        (call,) = calls_of(thoughts)
        context = [
            *ask("order 12").messages,
            Message("assistant", text_of(thoughts), [call]),
            Message("tool", result, tool_call_id=call.id, is_error=is_error),
        ]
        thoughts = await collect(engine, Request(context, TOOLS))
        assert text_of(thoughts) == answer
        assert calls_of(thoughts) == []

    check(make, case)


def test_ids_of_calls_differ_within_a_conversation(make: Make) -> None:
    """Three orders, three calls, three ids."""

    async def case(engine: LanguageModel) -> None:
        context: list[Message] = []
        ids: set[str] = set()
        for number in range(3):
            request = ask(f"order {number}", *context)
            (call,) = calls_of(await collect(engine, request))
            ids.add(call.id)
            context = [
                *request.messages[1:],
                Message("assistant", "Let me see.", [call]),
                Message("tool", "{}", tool_call_id=call.id),
                Message("assistant", "Well."),
            ]
        assert len(ids) == 3

    check(make, case)


def test_a_closed_iterator_ends_the_answer_and_nothing_else(make: Make) -> None:
    """The engine answers the next question; other answers under way go on."""

    async def case(engine: LanguageModel) -> None:
        other = engine.reply(ask("count"))
        first = await anext(other)
        stream = engine.reply(ask("count"))
        async with closing(stream) as thoughts:
            await anext(thoughts)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert text_of([first, *[thought async for thought in other]]) == RULES[2]["say"]
        assert text_of(await collect(engine, ask("count"))) == RULES[2]["say"]

    check(make, case)


def test_an_iterator_may_be_closed_before_it_was_used(make: Make) -> None:
    """The reply was cancelled before it began."""

    async def case(engine: LanguageModel) -> None:
        async with closing(engine.reply(ask("count"))):
            pass
        assert text_of(await collect(engine, ask("count"))) == RULES[2]["say"]

    check(make, case)


def test_waiting_for_an_answer_can_be_cancelled(make: Make) -> None:
    """At once, however long the model would think; the engine answers the next question."""

    async def case(engine: LanguageModel) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await collect(engine, ask("slow"))
        assert text_of(await collect(engine, ask("count"))) == RULES[2]["say"]

    check(make, case)


def test_answers_side_by_side_do_not_mix(make: Make) -> None:
    """One engine serves all conversations of an agent."""

    async def case(engine: LanguageModel) -> None:
        async with asyncio.TaskGroup() as tasks:
            answers = [tasks.create_task(collect(engine, ask(f"order {number}"))) for number in range(20)]
        orders = [calls_of(answer.result())[0].parameters["order_id"] for answer in answers]
        assert orders == [str(number) for number in range(20)]

    check(make, case)


def test_closing_twice_is_closing_once(make: Make) -> None:
    """Whoever shuts down need not know who else did."""

    async def case(engine: LanguageModel) -> None:
        await engine.aclose()
        await engine.aclose()

    check(make, case)
