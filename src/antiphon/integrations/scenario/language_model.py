"""Which words follow upon others: any language model behind one call."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from antiphon.errors import SessionError

from .rest import post

__all__ = ["ChatCompletions", "LanguageModel", "language_model"]

LanguageModel: TypeAlias = Callable[[list[dict[str, Any]]], Awaitable[str]]
"From messages as OpenAI writes them to the next one's text. Tools are called, where there are any, inside of it."


class ChatCompletions:
    """A model behind POST /chat/completions, as OpenAI and most servers of open models offer it.

    `base_url`: by default OPENAI_BASE_URL, and without that OpenAI's. `api_key`: by default OPENAI_API_KEY.
    """

    def __init__(
        self, model: str, *, base_url: str | None = None, api_key: str | None = None, timeout: float = 60.0
    ) -> None:
        self.model = model.removeprefix("openai/")
        address = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        self._url = address.rstrip("/") + "/chat/completions"
        self._api_key = api_key or os.environ.get("OPENAI_API_KEY", "")
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"ChatCompletions({self.model!r}, api_key='***')"

    async def __call__(self, messages: list[dict[str, Any]]) -> str:
        """The text of the next message.

        Raises:
            SessionError: the server refuses, or does not answer.
        """
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._api_key}"}
        body = json.dumps({"model": self.model, "messages": messages}).encode()
        answer = await post(self._url, headers, body, timeout=self._timeout)
        try:
            return str(answer.json()["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError) as error:
            raise SessionError(f"language model: the server answered {answer.status} without a message") from error


def language_model(name: str) -> LanguageModel:
    """The model of that name: by litellm where it is installed, else by ChatCompletions."""
    try:
        import litellm  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        return ChatCompletions(name)
    library: Any = litellm

    async def complete(messages: list[dict[str, Any]]) -> str:
        completion = await library.acompletion(model=name, messages=messages)
        return str(completion.choices[0].message.content or "")

    return complete
