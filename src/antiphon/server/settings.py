"""What the operator decides, in one frozen value.

Each setting can be given in the environment (`ANTIPHON_PING_INTERVAL`) or in a TOML file (`ping_interval = 5.0`), some
on the command line too; the command line wins over the environment, the environment over the file. What an *agent* does
is not decided here but in the agent's own file.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from antiphon.errors import ConfigError

PREFIX = "ANTIPHON_"

COMMAND_LINE = ("host", "port", "agents", "data", "public_url", "tls_cert", "tls_key", "allow_client_config")
"Settings that `antiphon serve` also takes as options; a key on a command line would be there for all to read."


def _web_address(value: str | None) -> str | None:
    if value is None:
        return None
    scheme, separator, rest = value.partition("://")
    if scheme not in ("http", "https") or not separator or not rest.strip("/"):
        raise ValueError("an address such as https://voice.example.com is needed")
    if "?" in rest or "#" in rest:
        raise ValueError("an address without query and fragment is needed")
    return value.rstrip("/")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class LanguageModelEndpoint(BaseModel):
    """Where the models of one name pattern are served: any OpenAI-compatible `/chat/completions`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    base_url: str
    "Up to and without `/chat/completions`, as `http://127.0.0.1:11434/v1`."
    model: str | None = None
    "The name under which that server knows the model; left out: the name in the agent's file."
    api_key: SecretStr | None = None
    "Sent as a bearer token."


class Settings(BaseSettings):
    """Every setting of the server."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    "Address to listen on. `0.0.0.0`: every network interface."
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    "Port to listen on. `0`: any free one, which the line `antiphon ready` names."
    agents: Path = Path("agents")
    "Folder of the agents' files, one `*.json` per agent."
    data: Path = Path("data")
    "Folder of what the server keeps: conversations, the generated workspace key, the secret behind signed addresses."
    database: SecretStr | None = None
    """Where agents, tools, keys and conversations are kept: `postgresql://user:password@host/name`, or
    `sqlite:///path/to/file.db`. Left out, it is `antiphon.db` in the data folder."""
    recordings: str | None = None
    """Where recordings are kept: a folder, or `s3://bucket/prefix` with the usual `AWS_...` variables beside it. Left
    out, it is `recordings` in the data folder."""
    otlp_endpoint: str | None = None
    """Where traces go: an OpenTelemetry collector's address for OTLP over HTTP, as `http://127.0.0.1:4318/v1/traces`.
    Left out, there are none."""
    log_format: Literal["text", "json"] = "text"
    "Lines for people, or one JSON object a line for machines."
    drain_timeout: Annotated[float, Field(ge=0)] = 0.0
    """Seconds that live conversations get to end by themselves when the server is told to stop; meanwhile none begins,
    and `/ready` says so. Then they are ended."""
    retention_interval: Annotated[float, Field(gt=0)] = 600.0
    """Seconds between two times that conversations are forgotten whose agents' `privacy.retention_days` are over. The
    first is at the start."""
    public_url: Annotated[str | None, AfterValidator(_web_address)] = None
    """The server's address as clients see it, as `https://voice.example.com/prefix`; signed addresses begin with it.
    Left out, they follow the request that asks for one."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ("127.0.0.1", "::1")
    """Addresses of reverse proxies whose `X-Forwarded-Host` and `X-Forwarded-Proto` are believed; `*`: anybody's.
    In the environment, separated by commas."""
    tls_cert: Path | None = None
    "PEM file of the certificate, with its chain; with `tls_key` the server speaks https and wss."
    tls_key: Path | None = None
    "PEM file of the certificate's private key."
    api_key: SecretStr | None = None
    """The workspace key, which opens everything. Left out, one is generated, kept as `workspace.key` in the data folder
    and printed once; but not for a `host` that is not loopback: there a key has to be set, or made with `antiphon keys
    create`."""
    signing_secret: SecretStr | None = None
    """What signed addresses and single-use tokens are made with; the same for several servers that accept each other's.
    Left out, one is generated and kept as `signing.secret` in the data folder."""
    secret_key: SecretStr | None = None
    """What secrets in the database are sealed with, long and random; the same for several servers on one database.
    After a comma, earlier ones: they open what they have sealed, and the next start seals it with the first. Left out,
    it is made of `signing_secret`; where that is left out too, one is generated and kept as `secret.key` in the data
    folder."""
    rate_limit_per_minute: Annotated[float, Field(ge=0)] = 30_000.0
    """REST requests a minute, of one key, and of one address without a key; a sixth of that at once. More are answered
    with 429. `0`: as many as they like. Counted in each process."""
    workspace_concurrency_limit: Annotated[int, Field(ge=-1)] = -1
    """Conversations at one time, over all agents. Agents with `bursting_enabled` may go beyond, up to three times as
    many, at most 300. `-1`: no limit but `max_sessions`. Counted in each process."""
    workspace_daily_limit: Annotated[int, Field(ge=-1)] = -1
    "Conversations that may begin on one day (UTC), over all agents. `-1`: no limit."
    llm_models: Mapping[str, LanguageModelEndpoint] = {}
    """Language models by name: a pattern (`gpt-*`, `*`) -> `base_url`, `model`, `api_key`. An agent that names a model
    which no pattern matches is refused at the start. As an environment variable: the same as JSON."""
    allow_client_config: bool = False
    """Whether clients may bring their own agent, at `/v1/convai/orchestrator`: with the workspace key, or from this
    machine while the server listens on loopback only and has no `public_url`."""
    client_config_engines: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """What such an agent may name in its `antiphon` block beyond the defaults: an engine (`openai`), one of its options
    (`openai.base_url`), all of them (`scripted.*`); and `custom_llm`, `mcp_servers`, `base_url`, `request_headers`
    for those fields anywhere. In the environment, separated by commas."""
    webhook_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Hosts, addresses and networks (`10.0.0.0/8`) that post-call webhooks may go to though they are not public. While
    the server listens on loopback only, its own machine is one. In the environment, separated by commas."""
    tool_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Hosts, addresses and networks that agents' webhook tools and MCP servers may be at though they are not public: a
    model or a caller must not reach what only this machine can. In the environment, separated by commas."""
    initiation_timeout: Annotated[float, Field(ge=0)] = 1.0
    "Seconds to wait for a client's initiation before its conversation begins with the agent's defaults."
    ping_interval: Annotated[float, Field(gt=0)] = 5.0
    "Seconds between the protocol's pings, by which the round trip is measured. A late pong is never punished."
    unread_timeout: Annotated[float, Field(gt=0)] = 30.0
    "Seconds for which a client may leave unread what it was sent before its connection is closed."
    max_sessions: Annotated[int, Field(ge=1)] = 1000
    "Live conversations at one time; further ones are refused."
    shutdown_timeout: Annotated[float, Field(ge=0, le=60)] = 1.5
    "Seconds that live conversations get to close and write their records when the server is told to stop."
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    "What is logged, to standard error; `debug` may hold what was said."

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key are needed together")
        return self

    @property
    def database_url(self) -> str:
        """`database`, or where it is when nothing is said."""
        if self.database is not None:
            return self.database.get_secret_value()
        return f"sqlite:///{(self.data / 'antiphon.db').absolute()}"

    @classmethod
    def load(cls, config: Path | None = None, **overrides: Any) -> Settings:
        """The settings from command line (`overrides`; None: not given), environment, file and defaults, in this order.

        `config`: a TOML file; None: the one that `ANTIPHON_CONFIG` names, if any.

        Raises:
            ConfigError: a value is impossible or a name in the file unknown; `path` says which, and where it was given.
        """
        if config is None and (named := os.environ.get(f"{PREFIX}CONFIG")):
            config = Path(named)
        given = {name: value for name, value in overrides.items() if value is not None}
        in_file = _read(config) if config is not None else {}
        from_file = {name: value for name, value in in_file.items() if not os.environ.get(_variable(name))}
        try:
            return cls(**{**from_file, **given})
        except SettingsError as error:  # an environment variable that should hold JSON
            raise ConfigError(f"{error}: {error.__cause__}", path="environment") from error
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            name = where.partition(".")[0]
            if name in given:
                where = f"--{where.replace('_', '-')}"
            elif name in from_file:
                where = f"{config}: {where}"
            elif name:
                where = _variable(where)
            raise ConfigError(problem["msg"].removeprefix("Value error, "), path=where) from error

    @property
    def on_loopback(self) -> bool:
        """Whether it listens where only programs of this machine can reach it, a proxy among them."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine can call: it listens on loopback and has no public address."""
        return self.on_loopback and self.public_url is None

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """`llm_models` as engines take it: plain values, the keys in clear."""
        return {
            pattern: {
                "base_url": endpoint.base_url,
                "model": endpoint.model,
                "api_key": endpoint.api_key.get_secret_value() if endpoint.api_key else None,
            }
            for pattern, endpoint in self.llm_models.items()
        }


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _read(config: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(error), path=str(config)) from error
    for name in values:
        if name not in Settings.model_fields:
            known = ", ".join(Settings.model_fields)
            raise ConfigError(f"there is no such setting (known: {known})", path=f"{config}: {name}")
    return values


def reference() -> str:
    """Every setting, as Markdown: what `docs/settings.md` holds."""
    lines = [
        "# Settings of the server",
        "",
        "A setting is given on the command line, in the environment or in a TOML file, which `--config FILE` or",
        f"`{PREFIX}CONFIG` names and which uses the names below. The command line wins over the environment, the",
        "environment over the file. A name in the file that is none of these stops the start.",
        "",
    ]
    for name, field in Settings.model_fields.items():
        places = f"`{_variable(name)}`"
        if name in COMMAND_LINE:
            places = f"`--{name.replace('_', '-')}`, {places}"
        lines += [f"## {name}", "", _sentences(field), "", f"{places}; default: {_shown(field.default)}.", ""]
    lines += ["## One entry of llm_models", ""]
    lines += [f"- `{name}`: {_sentences(field)}" for name, field in LanguageModelEndpoint.model_fields.items()]
    lines += [
        "",
        "```toml",
        '[llm_models."gpt-*"]',
        'base_url = "http://127.0.0.1:11434/v1"',
        'model = "qwen3:8b"',
        "```",
    ]
    return "\n".join(lines) + "\n"


def _sentences(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _shown(default: object) -> str:
    if default is None or default == {}:
        return "none"
    return f"`{json.dumps(default, default=str)}`"
