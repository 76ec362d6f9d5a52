"""The language model engine `openai`: any server with an OpenAI-compatible `/chat/completions`.

    conversation_config.antiphon.llm = {"engine": "openai"}

asks the server that `endpoint.resolve` finds for the agent's model. One answer is one streamed POST. Three limits hold:
to connect, to the first piece of the answer (over all tries), between two chunks. A try that fails before anything of
the answer came is repeated, if another may help and there is time left. Later there is no other try, for what was said
cannot be unsaid.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import httpx

from antiphon.engines.base import EngineContext, Request, Thought, closing
from antiphon.errors import ConfigError, EngineError

from . import chat_completions
from .chat_completions import Answer, AnswerError
from .endpoint import Endpoint, Options, resolve
from .options import parse
from .sse import MAX_EVENT, EventDecoder, ServerSentEvent

logger = logging.getLogger(__name__)

NAME = "openai"

AFTERWORD = 0.25
"""Seconds in which usage, end mark and the end of the response may follow a complete answer: read to its end, a
connection can be used again; a server that never ends it must not delay speech."""
KEEPALIVE = 60.0
"Seconds for which a connection is kept between turns: a TLS handshake less per turn."
MAX_ERROR_BODY = 8 * 1024
"Bytes read of a refusal."
MAX_REASON = 200
"Characters of a server's own words in an error."


def create(options: Mapping[str, Any], context: EngineContext) -> ChatCompletions:
    """Factory of the engine `llm: openai`.

    Raises:
        ConfigError: the options are wrong, or no server is known for the agent's model.
    """
    parsed = parse(options, Options)
    return ChatCompletions(resolve(parsed, context), parsed, context)


class _RequestError(EngineError):
    """With what the server said about when to come back."""

    def __init__(self, message: str, *, retryable: bool, retry_after: float | None = None, detail: str = "") -> None:
        super().__init__(NAME, message, retryable=retryable, detail=detail)
        self.retry_after = retry_after


class ChatCompletions:
    """A chat model behind HTTP; one connection pool for all of an agent's conversations."""

    def __init__(self, endpoint: Endpoint, options: Options, context: EngineContext) -> None:
        self._endpoint = endpoint
        self._options = options
        self._temperature = context.temperature
        self._max_tokens = context.max_tokens
        self._client = _client(endpoint, options)

    async def prepare(self) -> None:
        """Nothing to load: the server is asked with the first question, not before."""

    async def reply(self, request: Request) -> AsyncGenerator[Thought]:
        """The answer as it comes; tool calls at its end. Closing the iterator hangs up on the server.

        Raises:
            EngineError: `retryable` as far as the server's behaviour tells.
        """
        content = self._content(request)
        ids = [call.id for message in request.messages for call in message.tool_calls]
        now = asyncio.get_running_loop().time
        deadline = now() + self._options.first_token_timeout
        for tries_left in range(self._options.max_retries, -1, -1):
            answered = False
            try:
                async with closing(self._attempt(content, Answer(ids), deadline)) as thoughts:
                    async for thought in thoughts:
                        answered = True
                        yield thought
                return
            except _RequestError as failure:
                tries = self._options.max_retries - tries_left
                delay = failure.retry_after
                if delay is None:
                    delay = self._options.retry_delay * 2**tries
                if answered or not failure.retryable or not tries_left or now() + delay >= deadline:
                    raise
                logger.info("language model failed, trying again", extra={"error": str(failure), "delay": delay})
            await asyncio.sleep(delay)

    async def aclose(self) -> None:
        """Free the connections."""
        await self._client.aclose()

    def _content(self, request: Request) -> bytes:
        fields = chat_completions.body(
            request, model=self._endpoint.model, temperature=self._temperature, max_tokens=self._max_tokens
        )
        if self._endpoint.custom:
            if request.user_id is not None:
                fields["user_id"] = request.user_id
            if request.extra_body:
                fields["elevenlabs_extra_body"] = dict(request.extra_body)
        fields.update(self._options.body)
        return json.dumps({name: value for name, value in fields.items() if value is not None}, default=dict).encode()

    # --------------------------------------------------------------------------------------------------- one try

    async def _attempt(self, content: bytes, answer: Answer, deadline: float) -> AsyncGenerator[Thought]:
        response = await self._open(content, deadline)
        try:
            async with closing(_events(response)) as events:
                while (event := await self._next(events, answer, deadline)) is not None:
                    for thought in self._fold(answer, event):
                        yield thought
            for thought in self._fold(answer, None):
                yield thought
        finally:
            await response.aclose()

    async def _open(self, content: bytes, deadline: float) -> httpx.Response:
        request = self._client.build_request("POST", self._endpoint.url, content=content)
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._client.send(request, stream=True)
        except TimeoutError as error:
            raise self._too_late() from error
        except httpx.ConnectTimeout as error:
            limit = self._options.connect_timeout
            raise self._failure(f"could not be reached within {limit:g} s", retryable=True) from error
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise self._failure(f"could not be asked ({reason})", retryable=True) from error
        if response.is_success:
            return response
        try:
            raise await self._refusal(response, deadline)
        finally:
            await response.aclose()

    async def _next(
        self, events: AsyncIterator[ServerSentEvent], answer: Answer, deadline: float
    ) -> ServerSentEvent | None:
        """The next event; None: there is none any more."""
        stall = AFTERWORD if answer.finished else self._options.stall_timeout
        limit = asyncio.get_running_loop().time() + stall if answer.started or answer.finished else deadline
        try:
            async with asyncio.timeout_at(limit):
                return await anext(events)
        except StopAsyncIteration:
            return None
        except TimeoutError as error:
            if answer.finished:
                return None
            if not answer.started:
                raise self._too_late() from error
            raise self._failure(f"fell silent for {stall:g} s in the middle of an answer", retryable=True) from error
        except httpx.HTTPError as error:
            if answer.finished:
                return None
            reason = str(error) or type(error).__name__
            raise self._failure(f"broke off in the middle of an answer ({reason})", retryable=True) from error
        except ValueError as error:
            raise self._failure(f"sent no event stream ({error})", retryable=False) from error

    def _fold(self, answer: Answer, event: ServerSentEvent | None) -> list[Thought]:
        """What an event, or the end (None), adds to the answer."""
        try:
            return answer.close() if event is None else answer.feed(event)
        except AnswerError as error:
            # not chained: it holds the server's own words
            detail = self._reason(error.detail)
            raise self._failure(f"failed: {error}", retryable=error.retryable, detail=detail) from None

    # -------------------------------------------------------------------------------------------------- failures

    def _failure(
        self, message: str, *, retryable: bool, retry_after: float | None = None, detail: str = ""
    ) -> _RequestError:
        message = f"{self._endpoint.address} {message}"
        return _RequestError(message, retryable=retryable, retry_after=retry_after, detail=detail)

    def _too_late(self) -> _RequestError:
        limit = self._options.first_token_timeout
        return self._failure(f"gave no answer within {limit:g} s", retryable=True)

    async def _refusal(self, response: httpx.Response, deadline: float) -> _RequestError:
        status = response.status_code
        if response.is_redirect:  # not followed: the key would go to wherever the server points
            target = self._reason(response.headers.get("location", "").partition("?")[0])
            return self._failure(
                f"redirects to {target!r}: give the final address in {self._endpoint.url_path}", retryable=False
            )
        error = await _error_body(response, deadline)
        match status:
            case 401 | 403:
                key = f"check {self._endpoint.key_path}"
                advice = key if self._endpoint.headers else f"no key was sent, {key}"
            case 404:
                advice = f"check {self._endpoint.url_path} and the model's name {self._endpoint.model!r}"
            case _:
                advice = ""
        parts = (advice, chat_completions.error_code(error))
        message = f"refused with HTTP {status}" + "".join(f"; {part}" for part in parts if part)
        retryable = status in chat_completions.RETRYABLE or status >= 500
        detail = self._reason(chat_completions.error_text(error))
        return self._failure(message, retryable=retryable, retry_after=_retry_after(response.headers), detail=detail)

    def _reason(self, text: str) -> str:
        """A server's own words, fit for a record: on one line, short, without our secrets."""
        for secret in self._endpoint.secrets:
            text = text.replace(secret, "***")
        text = " ".join(text.split())
        return text if len(text) <= MAX_REASON else text[: MAX_REASON - 3] + "..."


def _client(endpoint: Endpoint, options: Options) -> httpx.AsyncClient:
    headers = {
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",  # compression holds small chunks back
        "Content-Type": "application/json",
        "User-Agent": "antiphon",
        **endpoint.headers,
    }
    try:
        return httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=options.connect_timeout),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE),
            follow_redirects=False,
            trust_env=not endpoint.is_loopback,  # a proxy would look for the server on its own machine
            verify=_certificates(),
        )
    except (ImportError, ValueError) as error:
        raise ConfigError(f"the proxy settings cannot be used: {error}", path="environment") from error


@cache
def _certificates() -> ssl.SSLContext:
    """One for all clients: reading the certificate store takes 40 to 80 ms, in which no conversation goes on."""
    return httpx.create_ssl_context()


async def _events(response: httpx.Response) -> AsyncGenerator[ServerSentEvent]:
    """The response's events. A server that does not stream has its whole answer in one."""
    if response.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        yield ServerSentEvent((await _read(response, MAX_EVENT)).decode("utf-8", "replace"))
        return
    decoder = EventDecoder()
    async with closing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            for event in decoder.feed(chunk):
                yield event
    for event in decoder.close():
        yield event


async def _error_body(response: httpx.Response, deadline: float) -> Any:
    """A refusal's body, as far as it comes in time; None: it is no JSON."""
    try:
        async with asyncio.timeout_at(deadline):
            body = await _read(response, MAX_ERROR_BODY)
        return json.loads(body)
    except (TimeoutError, httpx.HTTPError, ValueError, RecursionError):
        return None


async def _read(response: httpx.Response, limit: int) -> bytes:
    """The body; of one that is longer than `limit` bytes only the beginning."""
    body = b""
    async with closing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) >= limit:
                break
    return body[:limit]


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that the server asks to wait. A date is read against the server's own clock, told by its Date header."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, wait.total_seconds())
    except (TypeError, ValueError):
        return None
