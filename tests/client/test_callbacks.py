"""Callbacks: right values, right order, and no harm to the conversation."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any
from unittest.mock import AsyncMock

import pytest

from antiphon.client.delivery import Callbacks, EventStream
from antiphon.protocol.events import (
    AgentAudio,
    AgentChatResponsePart,
    AgentResponse,
    AgentResponseCorrection,
    Alignment,
    ConversationMetadata,
    Interruption,
    Ping,
    UserTranscript,
)


def test_every_callback_gets_its_arguments_in_order(scene: Any) -> None:
    """Async functions, plain ones and mocks alike; everything received before the end is delivered before it."""

    @scene
    async def _(server: Any) -> None:
        calls: list[tuple[Any, ...]] = []

        async def response(text: str) -> None:
            await asyncio.sleep(0)
            calls.append(("response", text))

        correction = AsyncMock()
        conversation, peer = await server.begin(
            callback_agent_response=response,
            callback_agent_response_correction=correction,
            callback_agent_chat_response_part=lambda text, part: calls.append(("part", text, part)),
            callback_user_transcript=functools.partial(lambda kind, text: calls.append((kind, text)), "transcript"),
            callback_latency_measurement=lambda ms: calls.append(("latency", ms)),
            callback_audio_alignment=lambda alignment: calls.append(("alignment", alignment.chars)),
            callback_disconnect=lambda details: calls.append(("disconnect", details.reason)),
        )
        for event in (
            Ping(event_id=1, ping_ms=20),
            AgentResponse(text=" Hello ", event_id=1),
            AgentAudio(audio=b"\0\0", event_id=1, alignment=Alignment(["H"], [0], [50])),
            Interruption(event_id=2),
            AgentResponseCorrection(original="Hello", corrected="Hel", event_id=1),
            UserTranscript(text="hi", event_id=3),
            AgentChatResponsePart(text="x", part="delta", event_id=4),
        ):
            await peer.say(event)
        await peer.socket.close()
        await conversation.wait_for_session_end()
        assert calls == [
            ("latency", 20),
            ("response", "Hello"),
            ("alignment", ["H"]),
            ("transcript", "hi"),
            ("part", "x", "delta"),
            ("disconnect", "agent"),
        ]
        correction.assert_awaited_once_with("Hello", "Hel")


def test_a_callback_that_raises_ends_nothing(scene: Any, ended: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Plain or async, TimeoutError and CancelledError included: logged, and the next one is called."""

    @scene
    async def _(server: Any) -> None:
        errors = iter([ValueError("v"), TimeoutError("t"), asyncio.CancelledError(), StopIteration(1)])
        heard = asyncio.Event()

        async def fails_async(text: str) -> None:
            if text == "last":
                heard.set()
            raise asyncio.CancelledError

        def fails(text: str) -> None:
            raise next(errors)

        conversation, peer = await server.begin(callback_agent_response=fails_async, callback_user_transcript=fails)
        for _ in range(4):
            await peer.say(UserTranscript(text="x"))
            await peer.say(AgentResponse(text="x"))
        await peer.say(AgentResponse(text="last"))
        await heard.wait()
        await peer.say(Ping(event_id=1))
        await peer.hear("pong")
        await ended(conversation)

    assert sum(record.message.startswith("a callback") for record in caplog.records) == 9


@pytest.mark.parametrize("plain", [True, False])
def test_a_slow_callback_delays_neither_pongs_nor_audio(scene: Any, ended: Any, plain: bool) -> None:
    """The original's pong is late by as much as the callback takes (protocol.md 5.2)."""

    @scene
    async def _(server: Any) -> None:
        release, release_async = threading.Event(), asyncio.Event()
        played: list[bytes] = []

        class Speaker:
            def start(self, input_callback: Any) -> None: ...
            def stop(self) -> None: ...
            def interrupt(self) -> None: ...
            def output(self, audio: bytes) -> None:
                played.append(audio)
                loop.call_soon_threadsafe(sounded.set)

        async def slow(text: str) -> None:
            await release_async.wait()

        loop, sounded = asyncio.get_running_loop(), asyncio.Event()
        conversation, peer = await server.begin(
            callback_agent_response=(lambda text: release.wait(5)) if plain else slow, audio_interface=Speaker()
        )
        await peer.say(AgentResponse(text="slow"))
        await peer.say(Ping(event_id=1))
        await peer.say(AgentAudio(audio=b"ab", event_id=1))
        assert await peer.hear("pong")
        await sounded.wait()
        assert played == [b"ab"]
        release.set()
        release_async.set()
        await ended(conversation)


def test_a_stuck_callback_does_not_keep_the_session(scene: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It gets two seconds after the end; then the end is told all the same."""

    @scene
    async def _(server: Any) -> None:
        told: list[Any] = []
        conversation, peer = await server.begin(
            on_event=lambda event: threading.Event().wait(30), callback_disconnect=told.append
        )
        await peer.socket.close()
        await conversation.wait_for_session_end(timeout=15)
        assert [details.reason for details in told] == ["agent"]

    assert [record.message for record in caplog.records] == ["callbacks did not end with the session and are left"]


@pytest.mark.parametrize("plain", [True, False])
def test_a_callback_can_end_the_session(scene: Any, plain: bool) -> None:
    """`lambda text: conversation.end_session()` too; what comes after in the callback still runs."""

    @scene
    async def _(server: Any) -> None:
        order: list[str] = []

        async def end(text: str) -> None:
            await conversation.end_session()
            order.append("after")

        conversation, peer = await server.begin(
            callback_agent_response=(lambda text: conversation.end_session()) if plain else end,
            callback_disconnect=lambda details: order.append(details.reason),
        )
        await peer.say(AgentResponse(text="Good bye."))
        assert await peer.hear_end() == (1000, "")
        assert await conversation.wait_for_session_end() == "conv_1"
        assert order == (["user"] if plain else ["after", "user"])


def test_a_callback_may_be_changed_while_it_lasts(scene: Any, ended: Any) -> None:
    """Callbacks are attributes, looked up for every event."""

    @scene
    async def _(server: Any) -> None:
        first, second = asyncio.Queue[str](), asyncio.Queue[str]()
        conversation, peer = await server.begin(callback_agent_response=first.put)
        await peer.say(AgentResponse(text="one"))
        assert await first.get() == "one"
        conversation.callback_agent_response = second.put
        await peer.say(AgentResponse(text="two"))
        assert await second.get() == "two"
        await ended(conversation)


def test_on_event_sees_everything(scene: Any) -> None:
    """Interruptions too, which no callback of the original reports (elevenlabs-python issue 672)."""

    @scene
    async def _(server: Any) -> None:
        seen: list[Any] = []
        conversation, peer = await server.begin(on_event=seen.append)
        await peer.say(Interruption(event_id=5, reason="user"))
        await peer.say({"type": "vad_score", "vad_score_event": {"vad_score": 0.5}})
        await peer.socket.close()
        await conversation.wait_for_session_end()
        assert [type(event).__name__ for event in seen] == ["ConversationMetadata", "Interruption", "VadScore"]


def test_callbacks_that_fall_behind_lose_events_not_memory(caplog: pytest.LogCaptureFixture) -> None:
    """1024 calls wait at most; the loss is logged once."""

    async def play() -> None:
        done: list[int] = []

        async def work(i: int) -> None:
            done.append(i)

        callbacks = Callbacks()
        for i in range(2000):
            callbacks.put(work, i)
        callbacks.close()
        await callbacks.run()
        assert done == list(range(1024))

    asyncio.run(play())
    assert [record.message for record in caplog.records] == ["callbacks are too slow: events are lost to them"]


def test_a_loop_that_falls_behind_loses_the_oldest_events(caplog: pytest.LogCaptureFixture) -> None:
    """64 events wait for a loop that has not begun, silently; 1024 for one that has, then with a word in the log."""

    async def play() -> None:
        stream = EventStream()
        for i in range(100):
            stream.put(ConversationMetadata(str(i)))
        assert not caplog.records
        assert (await anext(aiter(stream))) == ConversationMetadata("36")
        for i in range(2000):
            stream.put(ConversationMetadata(str(i)))
        stream.close()
        ids = [event.conversation_id async for event in stream]
        assert (len(ids), ids[-1]) == (1024, "1999")

    asyncio.run(play())
    assert len(caplog.records) == 1
