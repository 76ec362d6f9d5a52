"""A user played by a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from antiphon.engines.base import SILENT_USER, LanguageModel, Message

from .judge import said

HANG_UP = "HANG_UP"
INSTRUCTIONS = (
    "You play a person who talks to an assistant. You are the user and never the assistant: ask, answer and react as "
    "that person would, in one or two short sentences, without stage directions. When you have what you came for, or "
    f"there is nothing left to say, end your message with {HANG_UP}."
)


class SimulatedUser:
    """Says what comes next, out of the conversation so far."""

    def __init__(self, llm: LanguageModel, prompt: str, *, first_message: str = "", language: str = "") -> None:
        self._llm = llm
        self._first_message = first_message
        spoken = f"\nSpeak the language {language}." if language else ""
        self._system = f"{INSTRUCTIONS}{spoken}\n\nWho you are and what you want:\n{prompt}".strip()

    async def next(self, transcript: Sequence[Mapping[str, Any]]) -> tuple[str, bool]:
        """The user's next words, and whether the user hangs up after them. No words: nothing more is said.

        Raises EngineError.
        """
        if self._first_message and not any(turn.get("role") == "user" for turn in transcript):
            return self._first_message, False
        messages = [
            Message("system", self._system),
            *(
                Message("assistant" if turn["role"] == "user" else "user", str(turn["message"]))
                for turn in transcript
                if turn.get("message")
            ),
        ]
        if messages[-1].role != "user":
            messages.append(Message("user", SILENT_USER))
        answer = await said(self._llm, messages)
        text, end, _ = answer.partition(HANG_UP)
        return text.strip(), bool(end)
