"""Which server answers, under which model name, with which key: settled once, when the engine is made.

The first of these that applies:

1. `base_url` in the engine's options, in the agent's file;
2. `agent.prompt.custom_llm`, if the agent's model is `custom-llm` (rest.md 4);
3. the operator's setting `llm_models`: the pattern that fits the model's name; an equal name before any pattern, a
   longer pattern before a shorter one.

A key belongs to the address it stands beside: the operator's keys are never sent to an address from an agent's file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Annotated, Any, TypeAlias

import httpx
import msgspec

from antiphon.engines.base import EngineContext
from antiphon.errors import ConfigError

from . import chat_completions
from .options import PATH, parse

CUSTOM_LLM = "custom-llm"
MODEL_PATH = "conversation_config.agent.prompt.llm"
CUSTOM_PATH = "conversation_config.agent.prompt.custom_llm"


class Environment(msgspec.Struct, forbid_unknown_fields=True):
    """A key that is kept in an environment variable."""

    env: str


Key: TypeAlias = str | Environment | None

SECRET_LENGTH = 8
"Characters from which on a header's value is taken for something that messages must not repeat."

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`conversation_config.antiphon.llm` of the engine `openai`."""

    engine: str = "openai"
    base_url: str | None = None
    "Up to and without `/chat/completions`. Left out: see the module's docstring."
    model: str | None = None
    "The name to send, and to look up in `llm_models`. Left out: the agent's `prompt.llm`."
    api_key: Key = None
    'Sent as a bearer token: text, or `{"env": "NAME"}`.'
    headers: dict[str, str] = {}
    "Sent besides; they win over the engine's own."
    body: dict[str, Any] = {}
    'Fields of the request besides, as `{"reasoning_effort": "low"}`; they win over the engine\'s own.'
    connect_timeout: _Seconds = 5.0
    "Seconds to reach the server."
    first_token_timeout: _Seconds = 15.0
    "Seconds from the request to the first piece of the answer, all tries together."
    stall_timeout: _Seconds = 10.0
    "Seconds between two chunks of an answer."
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 2
    "Further tries, as long as nothing of the answer has come."
    retry_delay: Annotated[float, msgspec.Meta(ge=0)] = 0.25
    "Seconds before the first further try, doubled each time; a server's Retry-After goes before it."


class _CustomModel(msgspec.Struct):
    """`agent.prompt.custom_llm`; unknown keys are left alone, as everywhere in an agent's configuration."""

    url: str
    model_id: str | None = None
    api_key: str | None = None
    request_headers: dict[str, str] | None = None
    api_version: str | None = None
    api_type: str | None = None


class _MappedModel(msgspec.Struct, forbid_unknown_fields=True):
    """One value of the setting `llm_models`."""

    base_url: str
    model: str | None = None
    api_key: Key = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to post, and how to be let in. Its repr holds no key."""

    url: httpx.URL = field(repr=False)
    "Complete, with query."
    model: str
    custom: bool
    "The agent's own server: it is told `user_id` and `elevenlabs_extra_body`, which others refuse as unknown."
    url_path: str
    key_path: str
    "Where address and key were given, for messages."
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    "What must never be told to anybody but the server."

    @property
    def address(self) -> str:
        """The URL for messages: without user, password and query."""
        return str(self.url.copy_with(username=None, password=None, query=None))

    @property
    def is_loopback(self) -> bool:
        """The server runs on this machine."""
        host = self.url.host
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


def resolve(options: Options, context: EngineContext) -> Endpoint:
    """The endpoint of an agent.

    Raises:
        ConfigError: no address is configured for the model, or address, key or headers cannot be used.
    """
    if options.base_url is not None:
        return _explicit(options.base_url, options, context)
    if context.model == CUSTOM_LLM:
        return _custom(options, context)
    return _mapped(options, context)


def _explicit(base_url: str, options: Options, context: EngineContext) -> Endpoint:
    own_name = context.model
    if context.model == CUSTOM_LLM and context.custom_llm is not None:
        own_name = str(context.custom_llm.get("model_id") or CUSTOM_LLM)
    return _endpoint(
        _url(base_url, f"{PATH}.base_url"),
        options.model or own_name,
        _token(options.api_key, f"{PATH}.api_key"),
        _headers(options.headers, f"{PATH}.headers"),
        custom=context.model == CUSTOM_LLM,
        url_path=f"{PATH}.base_url",
        key_path=f"{PATH}.api_key",
    )


def _custom(options: Options, context: EngineContext) -> Endpoint:
    if context.custom_llm is None:
        raise ConfigError("the model is 'custom-llm': say where it is", path=CUSTOM_PATH)
    own = parse(context.custom_llm, _CustomModel, CUSTOM_PATH)
    if own.api_type not in (None, "chat_completions"):
        raise ConfigError(
            f"{own.api_type!r} is not spoken here, only 'chat_completions'", path=f"{CUSTOM_PATH}.api_type"
        )
    url = _url(own.url, f"{CUSTOM_PATH}.url")
    if own.api_version:
        url = url.copy_merge_params({"api-version": own.api_version})
    key, key_path = own.api_key, f"{CUSTOM_PATH}.api_key"
    if options.api_key is not None:
        key, key_path = options.api_key, f"{PATH}.api_key"
    return _endpoint(
        url,
        options.model or own.model_id or CUSTOM_LLM,
        _token(key, key_path),
        _headers(own.request_headers or {}, f"{CUSTOM_PATH}.request_headers")
        | _headers(options.headers, f"{PATH}.headers"),
        custom=True,
        url_path=f"{CUSTOM_PATH}.url",
        key_path=key_path,
    )


def _mapped(options: Options, context: EngineContext) -> Endpoint:
    name = options.model or context.model
    fits = [pattern for pattern in context.models if fnmatchcase(name.lower(), pattern.lower())]
    if not name or not fits:
        known = ", ".join(sorted(context.models)) or "nothing"
        raise ConfigError(
            f"no address is known for the model {name!r}: add it, or a pattern that fits, to the setting llm_models "
            f"(which has {known}), or name a base_url in {PATH}",
            path=MODEL_PATH,
        )
    pattern = max(fits, key=lambda pattern: (pattern.lower() == name.lower(), len(pattern)))
    path = f"llm_models[{pattern!r}]"
    mapped = parse(context.models[pattern], _MappedModel, path)
    key, key_path = mapped.api_key, f"{path}.api_key"
    if options.api_key is not None:
        key, key_path = options.api_key, f"{PATH}.api_key"
    return _endpoint(
        _url(mapped.base_url, f"{path}.base_url"),
        mapped.model or name,
        _token(key, key_path),
        _headers(options.headers, f"{PATH}.headers"),
        custom=False,
        url_path=f"{path}.base_url",
        key_path=key_path,
    )


def _endpoint(
    url: httpx.URL, model: str, token: str, headers: dict[str, str], *, custom: bool, url_path: str, key_path: str
) -> Endpoint:
    bearer = {"authorization": f"Bearer {token}"} if token else {}
    values = [text for value in headers.values() for text in (value, value.rpartition(" ")[2])]
    return Endpoint(
        url=url,
        model=model,
        custom=custom,
        url_path=url_path,
        key_path=key_path,
        headers=bearer | headers,
        secrets=tuple(filter(None, [token, *(text for text in values if len(text) >= SECRET_LENGTH)])),
    )


def _url(address: str, path: str) -> httpx.URL:
    try:
        url = httpx.URL(address.strip())
    except httpx.InvalidURL as error:
        raise ConfigError(f"no address of a server: {error}", path=path) from error
    if url.scheme not in ("http", "https") or not url.host or "%" in url.host:
        raise ConfigError("an address such as http://127.0.0.1:11434/v1 is needed", path=path)
    if url.userinfo:  # they would stand in every log line that names the address
        raise ConfigError("user and password do not belong into the address: use a header", path=path)
    route = url.path.rstrip("/")
    return url if route.endswith(chat_completions.PATH) else url.copy_with(path=route + chat_completions.PATH)


def _token(key: Key, path: str) -> str:
    if isinstance(key, Environment):
        name = key.env
        if name.upper().startswith("ANTIPHON_"):  # the server's own secrets are not an agent's to send away
            raise ConfigError(f"{name} is a setting of this server, no key for a model", path=f"{path}.env")
        key = os.environ.get(name)
        if not key:
            raise ConfigError(f"the environment variable {name} is not set", path=f"{path}.env")
    return _sendable((key or "").strip(), path)


def _headers(headers: Mapping[str, str], path: str) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no name of a header", path=path)
        _sendable(value, f"{path}.{name}")
    return {name.lower(): value for name, value in headers.items()}


def _sendable(value: str, path: str) -> str:
    """Checked here, because the HTTP library's own complaint would print the value."""
    if not value.isascii() or not value.isprintable():
        raise ConfigError("it holds characters that cannot be sent in a header", path=path)
    return value
