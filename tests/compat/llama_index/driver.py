"""Has a LlamaIndex voice agent talk to an agent, and prints as one JSON object what its user would notice.

    .venv-compat/llama_index/bin/python driver.py published|ours BASE_URL API_KEY

`published` is llama-index-voice-agents-elevenlabs 0.6.0, which cannot be instantiated as it comes: PATCHES is what it
needs. It imports nothing of Antiphon.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from llama_index.core.base.response.schema import Response
from llama_index.core.query_engine import CustomQueryEngine
from llama_index.core.tools import FunctionTool, QueryEngineTool, ToolMetadata
from llama_index.core.tools.types import BaseTool

PATIENCE = 15.0
ORDER = {"status": "on its way", "days": 3}

PATCHES = {
    "base": [
        ("from websockets import connect, ConnectionClosedOK", "from websockets.exceptions import ConnectionClosedOK"),
        ("from statistics import mean", "from statistics import mean\nfrom websockets.sync.client import connect"),
        (  # end_session, wait_for_session_end and the signed URL use what this sets
            "        self.client = client\n",
            "        Conversation.__init__(\n"
            "            self, client, agent_id, requires_auth=requires_auth, audio_interface=interface\n"
            "        )\n"
            "        self.client = client\n",
        ),
        (
            "    def interrupt(self) -> None:",
            "    def send(self, audio) -> None:\n        self._ws.send(audio)\n\n    def interrupt(self) -> None:",
        ),
        (
            '**event))\n            if int(event["event_id"])',
            'base_64_encoded_audio="", **event))\n            if int(event["event_id"])',
        ),
        (  # else the device stays open
            "            self.audio_interface.start(input_callback)",
            "            self._audio_started = True\n            self.audio_interface.start(input_callback)",
        ),
        (
            '            self._events.append(PingEvent(type_t="ping", **event))',
            '            event["ping_ms"] = event["ping_ms"] or 0\n'
            '            self._events.append(PingEvent(type_t="ping", **event))',
        ),
        (
            'self._events.append(ClientToolCallEvent(type_t="client_tool_call", **event))',
            'event = message["client_tool_call"]\n'
            '            self._events.append(ClientToolCallEvent(type_t="client_tool_call", **event))',
        ),
    ],
    "utils": [
        (
            "bind(*args, **kwargs)",
            'bind(**{name: value for name, value in args[0].items() if name != "tool_call_id"})',
        ),
    ],
}
"What it takes for version 0.6.0 to run: module -> what to replace in its text, and by what."


def published() -> Any:
    """The published class, patched."""
    for name, patches in reversed(PATCHES.items()):
        module = import_module(f"llama_index.voice_agents.elevenlabs.{name}")
        path = Path(module.__file__ or "")
        text = path.read_text(encoding="utf-8")
        for old, new in patches:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        exec(compile(text, path, "exec"), vars(module))
    return import_module("llama_index.voice_agents.elevenlabs.base").ElevenLabsVoiceAgent


class Device:
    """Keeps what it is given to play, and hears what `say` puts in. It is an interface of either SDK."""

    def __init__(self) -> None:
        self.played = 0
        self.interruptions = 0
        self.stopped = 0
        self._sounds_until = 0.0
        self._hear: Callable[[bytes], None] = lambda audio: None

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        self._hear = input_callback

    def stop(self) -> None:
        self.stopped += 1

    def output(self, audio: bytes) -> None:
        self.played += len(audio)
        self._sounds_until = max(self._sounds_until, time.monotonic()) + len(audio) / 32_000

    def interrupt(self) -> None:
        self.interruptions += 1

    def is_silent(self) -> bool:
        """Whether a listener has heard everything by now, and a moment of nothing."""
        return time.monotonic() > self._sounds_until + 0.2

    def say(self) -> None:
        """A second of sound, loud enough for a detector that goes by energy, and two of silence."""
        for piece in spoken():
            self._hear(piece)


def spoken() -> Iterator[bytes]:
    tone = (round(9000 * math.sin(math.tau * 300 * at / 16_000)) for at in range(16_000))
    sound = b"".join(struct.pack("<h", sample) for sample in tone) + bytes(64_000)
    return (sound[at : at + 8_000] for at in range(0, len(sound), 8_000))


def until(condition: Callable[[], bool], what: str) -> None:
    """Polls: the published class tells nobody when something happens."""
    given_up = threading.Event()
    for _ in range(round(PATIENCE / 0.02)):
        if condition():
            return
        given_up.wait(0.02)
    raise TimeoutError(f"it did not come to this: {what}")


def texts(agent: Any) -> list[list[str]]:
    """The messages so far: role and texts."""
    return [
        [message.role.value, *(block.text for block in message.blocks if block.block_type == "text")]
        for message in agent.export_messages()
    ]


def said(agent: Any, text: str) -> Callable[[], bool]:
    """Whether this has been said by now, and sounded to its end as far as bytes tell."""
    return lambda: any(text in parts for _, *parts in texts(agent))


def order_status(order: str) -> dict[str, Any]:
    """Where an order is."""
    return ORDER | {"order": order}


def order_tool() -> FunctionTool:
    return FunctionTool.from_defaults(order_status)


@contextmanager
def conversation(agent_class: Any, client: Any, agent_id: str, **options: Any) -> Iterator[tuple[Any, Device]]:
    device = Device()
    agent = agent_class(client, agent_id, False, interface=device, **options)
    agent.start()
    try:
        until(said(agent, "Hello, how can I help?"), "greeting")
        until(lambda: device.played >= 20_000 and device.is_silent(), "greeting is heard")
        yield agent, device
    finally:
        agent.stop()


def course(agent: Any, device: Device) -> dict[str, Any]:
    return {
        "messages": texts(agent),
        "audio_blocks": sum(
            len(block.resolve_audio().read())
            for message in agent.export_messages()
            for block in message.blocks
            if block.block_type == "audio"
        ),
        "events": [event.type_t for event in agent.export_events()],
        "classes": sorted({type(event).__name__ for event in agent.export_events()}),
        "latency": agent.average_latency,
        "played": device.played,
        "stopped": device.stopped,
        "interruptions": device.interruptions,
    }


def hours(agent_class: Any, client: Any) -> dict[str, Any]:
    """Asked by voice, without a tool."""
    with conversation(agent_class, client, "hours") as (agent, device):
        device.say()
        until(said(agent, "We are open from nine to five."), "answer")
        until(lambda: device.played >= 47_000, "answer is heard")
    return course(agent, device)


def order(agent_class: Any, client: Any, tool: Any) -> dict[str, Any]:
    """Asked by voice, answered with the help of a tool."""
    with conversation(agent_class, client, "tools", tools=[tool]) as (agent, device):
        device.say()
        until(said(agent, "Your order is on its way and arrives in 3 days."), "answer")
    return course(agent, device)


def as_published(client: Any, agent_class: Any) -> dict[str, Any]:
    return {"hours": hours(agent_class, client), "order": order(agent_class, client, order_tool())}


# ------------------------------------------------------------------------------------------------ what only ours does


class Forecast(CustomQueryEngine):
    """A query engine whose answer is no JSON."""

    def custom_query(self, query_str: str) -> Response:
        return Response(response=f"sunny ({query_str})")


class Nameless(BaseTool):
    """A tool that does not say what it takes."""

    @property
    def metadata(self) -> ToolMetadata:
        return ToolMetadata("no schema", name="nameless", fn_schema=None)

    def __call__(self, input: Any) -> Any:  # noqa: A002 - LlamaIndex's name
        raise NotImplementedError


async def order_status_later(order: str) -> dict[str, Any]:
    """Where an order is."""
    await asyncio.sleep(0)
    return ORDER | {"order": order}


def weather(agent_class: Any, client: Any) -> dict[str, Any]:
    """Asked in writing, answered by a query engine."""
    answers = QueryEngineTool.from_defaults(Forecast(), name="engine", description="weather")

    async def ask(city: str) -> Any:
        return (await answers.acall(input=city)).raw_output

    tool = FunctionTool.from_defaults(async_fn=ask, name="weather", description="weather")
    with conversation(agent_class, client, "tools", tools=[tool]) as (agent, device):
        agent.send_user_message("what is the weather in rome")
        until(said(agent, "It is sunny (rome) there."), "answer")
    return course(agent, device)


def story(agent_class: Any, client: Any) -> dict[str, Any]:
    """Silenced by the program, then interrupted by the user."""
    from antiphon.integrations.llama_index import PingEvent

    with conversation(agent_class, client, "storyteller", keep_audio=False) as (agent, device):
        agent.send_user_message("tell me a story")
        until(lambda: device.played > 60_000, "the story is heard")
        agent.interrupt()
        silenced = device.interruptions
        agent.send_user_message("please stop")
        until(said(agent, "All right."), "the next answer")
        until(lambda: len(agent.events(PingEvent)) > 1, "a round trip is measured")
    return course(agent, device) | {"silenced": silenced, "round trips": [p.ping_ms for p in agent.events(PingEvent)]}


async def awaited(agent_class: Any, client: Any) -> dict[str, Any]:
    """As LlamaIndex declares the methods: as coroutines. The user's voice is sent by `send`."""
    device = Device()
    agent = agent_class(client, "hours", True, interface=device, tools=[order_tool()])
    await agent.start()
    await asyncio.to_thread(until, lambda: device.played >= 20_000 and device.is_silent(), "greeting is heard")
    for piece in spoken():
        await agent.send(piece)
    await asyncio.to_thread(until, said(agent, "We are open from nine to five."), "answer")
    await agent.interrupt()
    await agent.stop()
    return course(agent, device)


def unwilling(agent_class: Any, client: Any) -> dict[str, Any]:
    """An agent that is not started, with a tool that cannot be used."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        agent = agent_class(client, "hours", False, interface=Device(), tools=[Nameless(), order_tool()])
    agent.stop()
    return {
        "warnings": [str(warning.message) for warning in caught],
        "where": [Path(warning.filename).name for warning in caught],
        "tools": list(agent.client_tools.tools),
        "latency": agent.average_latency,
        "messages": agent.export_messages(),
    }


def overridden(agent_class: Any, client: Any) -> dict[str, Any]:
    """By a subclass that is async, as LlamaIndex declares the method, with a hook that fails."""
    seen: list[str] = []
    errors: list[str] = []

    class Watched(agent_class):
        async def handle_message(self, message: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            seen.append(message["type"])
            await super().handle_message(message, *args, **kwargs)

    device = Device()
    agent = Watched(client, "hours", False, interface=device, on_error=lambda error: errors.append(str(error)))

    def fail(**turn: Any) -> None:
        raise LookupError("the hook is broken")

    agent._callback_user_transcript = fail
    agent.start()
    until(lambda: device.played >= 20_000 and device.is_silent(), "greeting is heard")
    device.say()
    until(said(agent, "We are open from nine to five."), "answer")
    agent.stop()
    return {"seen": sorted(set(seen)), "errors": errors}


def parts(agent_class: Any) -> dict[str, Any]:
    """Events of messages that are not as they should be, definitions of tools, results of tools."""
    from antiphon.client.tools import ClientTools
    from antiphon.integrations.llama_index import events, tool_definitions, tools
    from antiphon.protocol.events import ClientToolCall

    def with_id(tool_call_id: str, times: int = 1) -> str:
        """Wants to know which call it is."""
        return tool_call_id * times

    async def results() -> dict[str, Any]:
        client_tools = ClientTools()
        engine = QueryEngineTool.from_defaults(Forecast(), name="forecast", description="weather")
        later = FunctionTool.from_defaults(async_fn=order_status_later, name="later")
        tools.register(client_tools, [order_tool(), later, engine, FunctionTool.from_defaults(with_id)])
        calls = {
            "order_status": {"order": "7"},
            "later": {"order": "8"},
            "forecast": {"input": "rome"},
            "with_id": {},
        }
        answers = {
            name: await client_tools.run(ClientToolCall(name, f"call_{name}", given)) for name, given in calls.items()
        }
        wrong = await client_tools.run(ClientToolCall("order_status", "call_9", {"number": 1}))
        return {name: answer.result for name, answer in answers.items()} | {"wrong": [wrong.is_error, wrong.result]}

    odd = [{"type": "ping"}, {"type": "audio", "audio_event": {"audio_base_64": None}}, {"type": "new", "x": 1}]
    return {
        "odd": [[type(event).__name__, event.type_t] for event in map(events.event_of, odd)],
        "definitions": tool_definitions([order_tool(), Nameless()]),
        "results": asyncio.run(results()),
    }


def as_ours(client: Any, agent_class: Any) -> dict[str, Any]:
    later = FunctionTool.from_defaults(async_fn=order_status_later, name="order_status")
    return {
        "hours": hours(agent_class, client),
        "order": order(agent_class, client, order_tool()),
        "async order": order(agent_class, client, later),
        "weather": weather(agent_class, client),
        "story": story(agent_class, client),
        "awaited": asyncio.run(awaited(agent_class, client)),
        "unwilling": unwilling(agent_class, client),
        "overridden": overridden(agent_class, client),
        "parts": parts(agent_class),
    }


def main(whose: str, base_url: str, key: str) -> None:
    if whose == "published":
        from elevenlabs import ElevenLabs

        courses = as_published(ElevenLabs(base_url=base_url, api_key=key), published())
    else:
        from antiphon import Antiphon
        from antiphon.integrations.llama_index import ElevenLabsVoiceAgent

        courses = as_ours(Antiphon(base_url, key), ElevenLabsVoiceAgent)
    print("COURSES " + json.dumps(courses | {"antiphon": "antiphon" in sys.modules}))


if __name__ == "__main__":
    main(*sys.argv[1:])
