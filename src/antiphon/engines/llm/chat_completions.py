"""The OpenAI chat-completions wire, sans-I/O: a Request as the body to post, streamed chunks as Thoughts.

Many servers speak it, none quite alike. What is tolerated, and who was seen doing it:

- `function_call` beside `tool_calls` in the same deltas, both with the same content (llama-cpp-python 0.3.36);
- a call's arguments whole or in fragments, as text or as an object, empty or `null` for none; a call's id and name
  repeated in each fragment, or no id at all;
- parallel calls that all say index 0, or none: Gemini's endpoint and proxies before it;
- chunks without choices, without delta, with `reasoning_content`; a final chunk with `usage` and no choices;
- a whole `chat.completion` with `message` instead of a stream;
- errors as `{"error": {...}}`, `{"error": "text"}`, `{"object": "error", ...}` (vLLM) or an event named error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

from antiphon.engines.base import Message, Request, TextDelta, Thought, ToolCall, Usage

from .sse import ServerSentEvent

PATH = "/chat/completions"

RETRYABLE = (408, 409, 429)
"Statuses among 400 to 499 after which the same request may succeed."
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")

# ------------------------------------------------------------------------------------------------------- request


def body(request: Request, *, model: str, temperature: float | None, max_tokens: int) -> dict[str, Any]:
    """What to post for `request`. `temperature` None and `max_tokens` below 1: the server's own choice."""
    fields: dict[str, Any] = {
        "model": model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
    }
    if temperature is not None:
        fields["temperature"] = temperature
    if max_tokens > 0:
        fields["max_tokens"] = max_tokens
    if request.tools:
        fields["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in request.tools
        ]
    return fields


def _message(message: Message) -> dict[str, Any]:
    match message.role:
        case "assistant" if message.tool_calls:
            return {
                "role": "assistant",
                "content": message.text or None,
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": msgspec.json.encode(call.parameters).decode()},
                    }
                    for call in message.tool_calls
                ],
            }
        case "tool":  # the wire has no flag for a failed call: the text has to say it
            text = f"Error: {message.text}" if message.is_error else message.text
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": text}
        case _:
            return {"role": message.role, "content": message.text}


# -------------------------------------------------------------------------------------------------------- answer


class AnswerError(Exception):
    """The server's answer is a failure, or cannot be used.

    `retryable`: whether the same request may succeed later. `detail`: the server's own words about it.
    """

    def __init__(self, message: str, *, retryable: bool, detail: str = "") -> None:
        super().__init__(message)
        self.retryable = retryable
        self.detail = detail


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCallDelta(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_ToolCallDelta] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    object: str | None = None
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


class _PendingCall:
    """A tool call whose fragments are still coming."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.parameters: dict[str, Any] | None = None

    def add(self, call_id: str, function: _Function) -> None:
        """One more fragment."""
        self.id = self.id or call_id
        self.name = self.name or function.name or ""
        if isinstance(function.arguments, str):
            self.arguments.append(function.arguments)
        elif function.arguments is not None:
            self.parameters = function.arguments


class Answer:
    """One streamed answer: `feed` it the events in order, `close` it after the last.

    `ids`: the tool calls that the conversation already has; a call is given an id of its own where the server sends
    none, or one that is taken.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self.started = False
        "A piece of the answer itself has come; reasoning and empty chunks are none."
        self.finished = False
        "The server said that the answer is complete: only usage and the end mark follow."
        self._done = False
        self._seen = False
        self._finish_reason = ""
        self._ids = list(ids)
        self._calls: list[_PendingCall] = []
        self._slots: dict[int, _PendingCall] = {}
        self._function_call: _PendingCall | None = None
        self._usage: Usage | None = None

    def feed(self, event: ServerSentEvent) -> list[Thought]:
        """What this event adds to the answer.

        Raises:
            AnswerError: the event tells of a failure, or is no chunk of a chat completion.
        """
        data = event.data.strip()
        if data == "[DONE]":
            self._seen = self.finished = self._done = True
        if self._done or not data:
            return []
        chunk = _decode(data, is_error=event.name == "error")
        self._seen = True
        if chunk.usage is not None:
            self._usage = _usage(chunk.usage) or self._usage
        thoughts: list[Thought] = []
        for choice in chunk.choices or ():
            if choice.index:  # further alternatives are never asked for
                continue
            if (delta := choice.delta or choice.message) is not None:
                thoughts.extend(self._fold(delta))
            if choice.finish_reason:
                self.finished, self._finish_reason = True, choice.finish_reason
        return thoughts

    def close(self) -> list[Thought]:
        """The tool calls, complete now, and the usage, if the server told it.

        Raises:
            AnswerError: nothing of a chat completion came, or a call's arguments are not a JSON object. No call at all
                is made then: a tool run on guessed arguments is worse than telling the caller that it did not work.
        """
        if not self._seen:
            raise AnswerError("the answer was empty; is it the address of a chat-completions server?", retryable=False)
        pending = self._calls or ([self._function_call] if self._function_call is not None else [])
        thoughts: list[Thought] = [self._call(call) for call in pending]
        if self._usage is not None:
            thoughts.append(self._usage)
        return thoughts

    def _fold(self, delta: _Delta) -> list[Thought]:
        for fragment in delta.tool_calls or ():
            self.started = True
            self._slot(fragment).add(fragment.id or "", fragment.function or _Function())
        if delta.function_call is not None:
            self.started = True
            self._function_call = self._function_call or _PendingCall()
            self._function_call.add("", delta.function_call)
        if not delta.content:
            return []
        self.started = True
        return [TextDelta(delta.content)]

    def _slot(self, fragment: _ToolCallDelta) -> _PendingCall:
        """The call that a fragment belongs to: that of its index, unless it plainly begins another."""
        index = fragment.index or 0
        call = self._slots.get(index)
        named = fragment.function is not None and bool(fragment.function.name)
        begins = named and bool(fragment.id) and call is not None and fragment.id != call.id
        if call is None or begins:
            call = self._slots[index] = _PendingCall()
            self._calls.append(call)
        return call

    def _call(self, pending: _PendingCall) -> ToolCall:
        if not pending.name:
            raise AnswerError("the model called a tool without naming it", retryable=False)
        parameters = pending.parameters
        if parameters is None:
            parameters = self._parse(pending.name, "".join(pending.arguments))
        call_id = pending.id
        if not call_id or call_id in self._ids:
            call_id = self._free_id()
        self._ids.append(call_id)
        return ToolCall(call_id, pending.name, parameters)

    def _parse(self, name: str, arguments: str) -> dict[str, Any]:
        if arguments.strip() in ("", "null"):
            return {}
        try:
            return msgspec.json.decode(arguments, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError) as error:
            cause = "it was cut off at max_tokens" if self._finish_reason == "length" else str(error)
            raise AnswerError(
                f"the model called {name!r} with arguments that are no JSON object: {cause}", retryable=False
            ) from error

    def _free_id(self) -> str:
        number = len(self._ids) + 1
        while (call_id := f"call_{number}") in self._ids:
            number += 1
        return call_id


def _decode(data: str, *, is_error: bool) -> _Chunk:
    try:
        if is_error:
            raise _failure(msgspec.json.decode(data))
        chunk = msgspec.json.decode(data, type=_Chunk)
    except (msgspec.MsgspecError, RecursionError) as error:
        if is_error:
            raise _failure(data) from error
        raise AnswerError(f"the answer is no chat completion: {error}", retryable=False) from error
    if chunk.error:
        raise _failure(chunk.error)
    if chunk.object == "error":
        raise _failure(msgspec.json.decode(data))
    return chunk


def _failure(error: Any) -> AnswerError:
    """A request that was accepted and then failed may succeed later, unless the server blames the request."""
    fields = cast("Mapping[str, Any]", error if isinstance(error, Mapping) else {})
    code = fields.get("code")
    blamed = isinstance(code, int) and 400 <= code < 500 and code not in RETRYABLE
    blamed = blamed or fields.get("type") == "invalid_request_error"
    reason = error_text(error)
    message = error_code(error) or ("the server says why" if reason else "the server gave no reason")
    return AnswerError(message, retryable=not blamed, detail=reason)


def error_code(error: Any, depth: int = 3) -> str:
    """The server's name for an error, as `context_length_exceeded`; empty: there is none that is one word."""
    if not isinstance(error, Mapping) or depth == 0:
        return ""
    fields = cast("Mapping[str, Any]", error)
    names = (fields.get("code"), fields.get("type"))
    found = next((name for name in names if isinstance(name, str) and _CODE.fullmatch(name)), "")
    return error_code(fields.get("error"), depth - 1) or found


def error_text(error: Any, depth: int = 3) -> str:
    """The sentence in an error object, wherever this kind of server puts it; empty: there is none."""
    if isinstance(error, str):
        return error
    if isinstance(error, Mapping) and depth > 0:
        fields = cast("Mapping[str, Any]", error)
        for name in ("error", "message", "detail"):
            if text := error_text(fields.get(name), depth - 1):
                return text
    return ""


def _usage(fields: Mapping[str, Any]) -> Usage | None:
    read, written = fields.get("prompt_tokens"), fields.get("completion_tokens")
    return Usage(read, written) if isinstance(read, int) and isinstance(written, int) else None
