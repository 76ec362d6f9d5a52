"""The language model engine `scripted`: answers by rules. No model, no network, the same answer every time.

    {"engine": "scripted", "rules": [
        {"when": "order (?:number )?(?P<number>\\d+)", "examples": ["where is order one two three"],
         "say": "Let me see.", "tool": {"name": "get_order", "parameters": {"order_id": "{number}"}},
         "then": "Order {number} is {result.status}."},
        {"say": "Sorry, I can only tell you about orders."}]}

The first rule that fits the last user text answers; the last rule always fits. A rule with a tool says its text and
calls it; asked again with the result, the same rule goes on with `then`. Nothing is remembered between two requests:
everything is read from the context, so a conversation can be replayed, and one engine serves any number of callers.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from antiphon.engines.base import (
    CONTEXT_PREFIX,
    SILENT_USER,
    EngineContext,
    Message,
    Request,
    TextDelta,
    Thought,
    ToolCall,
)
from antiphon.errors import ConfigError

from . import template
from .options import PATH, parse

logger = logging.getLogger(__name__)

MAX_TEXT = 2000
"Characters of a user's text that are matched: a pattern that tries too hard must not stop the server."
ERROR = "I am sorry, that did not work."
"Said when a tool failed and the rule has no `error`."


class Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The call that a rule makes."""

    name: str
    parameters: dict[str, Any] = {}
    "Its texts, at any depth, may have places to fill in; they stay texts."


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule of the script."""

    when: str | None = None
    "Regular expression, searched in the last user text, upper or lower case."
    context: str | None = None
    "Regular expression, searched in each contextual update that the client sent; one has to fit, too."
    system: str | None = None
    "Regular expression, searched in the system prompt; it has to fit, too."
    examples: list[str] = []
    "What callers may say to get here: speech recognition listens for it."
    say: str = ""
    "The answer. Places: `{1}`, `{name}` for the groups of `when`."
    tool: Tool | None = None
    "Called after `say`."
    then: str = ""
    "The answer once the tool has run. Places besides: `{result}`, `{result.path.0}`."
    error: str = ""
    "The answer when it failed; `{result}` says how."
    delay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    "Seconds before the answer begins, after a tool as well."


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`conversation_config.antiphon.llm` of the engine `scripted`."""

    rules: list[Rule]
    engine: str = "scripted"


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with its expressions ready."""

    rule: Rule
    when: re.Pattern[str]
    context: re.Pattern[str] | None
    system: re.Pattern[str] | None = None

    def match(self, turn: _Turn) -> re.Match[str] | None:
        """The match of `when`, if the rule fits."""
        if self.system is not None and not self.system.search(turn.system):
            return None
        if self.context is not None and not any(map(self.context.search, turn.updates)):
            return None
        return self.when.search(turn.text)

    def calls(self, tool: str) -> bool:
        """Whether the rule calls that tool."""
        return self.rule.tool is not None and self.rule.tool.name == tool


def create(options: Mapping[str, Any], context: EngineContext) -> ScriptedLanguageModel:
    """Factory of the engine `llm: scripted`.

    Raises:
        ConfigError: a rule is wrong; the path says which: `conversation_config.antiphon.llm.rules[3].when`.
    """
    return ScriptedLanguageModel(compile_rules(parse(options, Options).rules))


class ScriptedLanguageModel:
    """A LanguageModel that answers by rules, and tells what it expects to hear (base.Scripted)."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._rules = rules
        self.phrasings: Sequence[str] = caller_phrasings([compiled.rule for compiled in rules])
        self.texts: Sequence[str] = agent_texts([compiled.rule for compiled in rules])

    async def prepare(self) -> None:
        """Nothing to load."""

    async def reply(self, request: Request) -> AsyncGenerator[Thought]:
        """The answer of the first rule that fits, word by word; then its tool call."""
        turn = _Turn.read(request.messages)
        rule, match, result = self._find(turn)
        if rule.delay:
            await asyncio.sleep(rule.delay)
        if result is not None:
            answer = _after_tool(rule, match, result)
        else:
            answer = template.fill(rule.say, lambda place: _group(match, place))
        for word in _words(answer):
            yield TextDelta(word)
        if rule.tool is not None and result is None:
            parameters = template.fill_all(rule.tool.parameters, lambda place: _group(match, place))
            yield ToolCall(f"call_{turn.calls + 1}", rule.tool.name, parameters)

    async def aclose(self) -> None:
        """Nothing to free."""

    def _find(self, turn: _Turn) -> tuple[Rule, re.Match[str], Message | None]:
        """The first rule that fits, its match, and the tool's result if it is to go on with one."""
        asked = self._rules if turn.result is not None else ()
        for compiled in asked:
            if compiled.calls(turn.tool) and (match := compiled.match(turn)) is not None:
                return compiled.rule, match, turn.result
        for compiled in self._rules:
            if (match := compiled.match(turn)) is not None:
                return compiled.rule, match, None
        raise AssertionError("the last rule always fits")


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a request asks: the last user text, and where the turn has got to."""

    text: str
    updates: Sequence[str]
    calls: int
    "Tool calls that the conversation has had."
    result: Message | None
    "Of a tool, if that was the last thing to happen."
    tool: str
    "That tool's name."
    system: str
    "The system prompt."

    @classmethod
    def read(cls, messages: Sequence[Message]) -> _Turn:
        calls = [call for message in messages for call in message.tool_calls]
        last = next((message for message in reversed(messages) if message.role != "system"), None)
        text, result = "", None
        if last is not None and last.role != "assistant":
            text = next((message.text for message in reversed(messages) if message.role == "user"), "")
            result = last if last.role == "tool" else None
        text = text.strip()[:MAX_TEXT]
        return cls(
            text="" if text == SILENT_USER else text,
            updates=[
                message.text.removeprefix(CONTEXT_PREFIX)
                for message in messages
                if message.role == "system" and message.text.startswith(CONTEXT_PREFIX)
            ],
            calls=len(calls),
            result=result,
            system=messages[0].text if messages and messages[0].role == "system" else "",
            tool=next((call.name for call in reversed(calls) if last and call.id == last.tool_call_id), ""),
        )


def _group(match: re.Match[str], place: str) -> str:
    return match[int(place) if place.isdecimal() else place] or ""


def _after_tool(rule: Rule, match: re.Match[str], result: Message) -> str:
    def value(place: str) -> str:
        name, *path = place.split(".")
        if name != template.RESULT:
            return _group(match, place)
        found = template.result_value(result.text, path)
        if found is None:
            logger.warning(
                "a tool's result has no such value", extra={"tool_call_id": result.tool_call_id, "at": place}
            )
        return found or ""

    return template.fill((rule.error or ERROR) if result.is_error else rule.then, value)


def _words(text: str) -> Iterator[str]:
    """The words with the space after them; joined they are the text."""
    return (match[0] for match in re.finditer(r"\s*\S+\s*", text))


# -------------------------------------------------------------------------------------------------------- script


def caller_phrasings(rules: Sequence[Rule]) -> list[str]:
    """What callers may say according to the rules' author, each once."""
    return _known(example for rule in rules for example in rule.examples)


def agent_texts(rules: Sequence[Rule]) -> list[str]:
    """What the agent may say, as far as it is known beforehand: the rules' texts without their places, each once."""
    return _known(text for rule in rules for text in (rule.say, rule.then, rule.error))


def _known(texts: Iterator[str]) -> list[str]:
    return [text for text in dict.fromkeys(map(template.blank, texts)) if text]


def compile_rules(rules: Sequence[Rule]) -> list[CompiledRule]:
    """The rules, checked.

    Raises:
        ConfigError: an expression is wrong, a place has nothing to fill it, a rule says and does nothing, a rule can
            never be reached, or the last one is not a default with only `say`.
    """
    path = f"{PATH}.rules"
    if not rules:
        raise ConfigError("at least a last rule with only `say` is needed", path=path)
    compiled = [_compile(rule, f"{path}[{index}]") for index, rule in enumerate(rules)]
    for index, rule in enumerate(rules[:-1]):
        if not rule.when and not rule.context and not rule.system:
            raise ConfigError("without `when` it always fits: no rule after it is reached", path=f"{path}[{index}]")
    default = rules[-1]
    if not default.say or default.when or default.context or default.system or default.tool is not None:
        raise ConfigError(
            "the last rule is the default: it needs `say` and nothing else", path=f"{path}[{len(rules) - 1}]"
        )
    return compiled


def _compile(rule: Rule, path: str) -> CompiledRule:
    when = _expression(rule.when or "", f"{path}.when")
    context = _expression(rule.context, f"{path}.context") if rule.context is not None else None
    system = _expression(rule.system, f"{path}.system") if rule.system is not None else None
    if template.RESULT in when.groupindex:
        raise ConfigError("`result` is the tool's: give the group another name", path=f"{path}.when")
    if not rule.say and rule.tool is None:
        raise ConfigError("a rule needs `say`, `tool` or both", path=path)
    if rule.tool is None and (rule.then or rule.error):
        raise ConfigError("`then` and `error` follow a tool call: there is no `tool`", path=path)
    groups = {*map(str, range(when.groups + 1)), *when.groupindex}
    _check_places([rule.say], groups, f"{path}.say")
    if rule.tool is not None:
        _check_places(_texts(rule.tool.parameters), groups, f"{path}.tool.parameters")
    _check_places([rule.then], {*groups, template.RESULT}, f"{path}.then")
    _check_places([rule.error], {*groups, template.RESULT}, f"{path}.error")
    return CompiledRule(rule, when, context, system)


def _expression(pattern: str, path: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ConfigError(f"{pattern!r} is no regular expression: {error}", path=path) from error


def _check_places(texts: Sequence[str], known: set[str], path: str) -> None:
    for place in (place for text in texts for place in template.places(text)):
        name, dot, _ = place.partition(".")
        if name not in known or (dot and name != template.RESULT):
            names = ", ".join(f"{{{name}}}" for name in sorted(known))
            raise ConfigError(f"nothing fills {{{place}}}; known here: {names}", path=path)


def _texts(values: Any) -> list[str]:
    """Every text in a rule's parameters."""
    found: list[str] = []
    template.fill_all(values, lambda place: found.append(f"{{{place}}}") or "")
    return found
