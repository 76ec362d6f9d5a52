"""A conversation as LlamaIndex's chat messages. Turn by turn: each begins with what the user has said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from . import core

Turns: TypeAlias = dict[int, list[Any]]
"Number of the turn -> its ChatMessages, at most one of the user's and one of the agent's. Turn 0 is the greeting."


def add_user_message(messages: Turns, message_id: int, text: str) -> None:
    """Adds what the user said to turn `message_id`."""
    if text:
        _add(messages, message_id, core.llms.MessageRole.USER, core.llms.TextBlock(text=text))


def add_agent_message(
    messages: Turns,
    message_id: int,
    text: str | None = None,
    audio: bytes | None = None,
    audio_format: str = "pcm_16000",
) -> None:
    """Adds what the agent said, as text or as base64 audio of that format, to turn `message_id`."""
    if text:
        _add(messages, message_id, core.llms.MessageRole.ASSISTANT, core.llms.TextBlock(text=text))
    if audio:
        block = core.llms.AudioBlock(audio=audio, format=audio_format)
        _add(messages, message_id, core.llms.MessageRole.ASSISTANT, block)


def correct_agent_message(messages: Turns, message_id: int, text: str, original: str | None = None) -> None:
    """Puts what was heard in place of the newest text that is `original`; without that, of the turn's newest."""
    turns = list(reversed(messages)) if original else [message_id]
    said = [block for turn in turns for block in reversed(_agent_texts(messages.get(turn, [])))]
    found = next((block for block in said if not original or block.text == original), None)
    if found is not None:
        found.text = text


def add_latency(latencies: list[int], latency: int) -> None:
    """Adds a round trip, in milliseconds."""
    latencies.append(latency)


def _add(messages: Turns, message_id: int, role: Any, block: Any) -> None:
    turn = messages.setdefault(message_id, [])
    message = next((message for message in turn if message.role == role), None)
    if message is None:
        turn.append(core.llms.ChatMessage(role=role, blocks=[block]))
    else:
        message.blocks.append(block)


def _agent_texts(turn: Iterable[Any]) -> list[Any]:
    of_the_agent = (message for message in turn if message.role == core.llms.MessageRole.ASSISTANT)
    return [block for message in of_the_agent for block in message.blocks if block.block_type == "text"]
