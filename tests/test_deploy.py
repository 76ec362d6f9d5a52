"""What servers are deployed with, Dockerfile, compose file, systemd unit, says nothing that the code does not know."""

from __future__ import annotations

import configparser
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from antiphon.cli import app
from antiphon.server.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parent.parent
KEY = "sk_of_the_tests"


def settings_of(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What these variables make of the settings; each has to be one of them."""
    ours = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}CONFIG"}
    assert ours.keys() <= known, "these are no settings"
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def parsed(command: list[str]) -> dict[str, Any]:
    """What the command line makes of `antiphon ...`."""
    name, *arguments = command
    assert name.rpartition("/")[2] == "antiphon"
    verb, *options = arguments
    group = typer.main.get_command(app)
    with group.commands[verb].make_context(verb, options) as context:  # type: ignore[attr-defined]
        return {name: value for name, value in context.params.items() if value is not None}


@pytest.fixture
def compose() -> dict[str, Any]:
    """The compose file."""
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.fixture
def unit() -> dict[str, dict[str, str]]:
    """The systemd unit. Of keys that come twice, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((ROOT / "deploy" / "antiphon.service").read_text())
    return {section: dict(parser[section]) for section in parser.sections()}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def substituted(value: str, environment: dict[str, str]) -> str:
    """A value of the compose file with its variables, as `${NAME:-default}` and `${NAME:?message}`."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda m: environment.get(m[1]) or m[2] or "", value)


def test_the_compose_files_variables_are_settings(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """And with what .env has to say, they make sense; nothing secret stands in the file itself."""
    example = (ROOT / "deploy" / "env.example").read_text()
    asked = re.findall(r"^(\w+)=", example, re.MULTILINE)
    service = compose["services"]["antiphon"]
    used = set(re.findall(r"\$\{(\w+)", yaml.safe_dump(compose)))
    assert used == set(asked), "the example names what is asked for"
    filled = {"ANTIPHON_API_KEY": KEY, "POSTGRES_PASSWORD": "hunter2", "ANTIPHON_PUBLIC_URL": ""}
    environment = {name: substituted(value, filled) for name, value in service["environment"].items()}
    settings = settings_of(environment, monkeypatch)
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == KEY
    assert settings.database_url == "postgresql://antiphon:hunter2@postgres/antiphon"
    assert seconds(service["stop_grace_period"]) > settings.drain_timeout + 2 * settings.shutdown_timeout


def test_the_compose_file_starts_the_server_when_its_database_is_healthy(compose: dict[str, Any]) -> None:
    """Both have health checks and volumes that outlive them, and every volume is declared."""
    services = compose["services"]
    assert services["antiphon"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for service in services.values():
        assert service["healthcheck"]["test"][0] == "CMD"
        named = {volume.split(":")[0] for volume in service["volumes"] if not volume.startswith(".")}
        assert named
        assert named <= compose["volumes"].keys()
    compile(services["antiphon"]["healthcheck"]["test"][-1], "healthcheck", "exec")


def test_the_images_extras_exist() -> None:
    """What is installed into it is what pyproject.toml offers; what is copied into it is there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = instructions()
    (install,) = [rest for word, rest in said if word == "RUN" and "pip install" in rest]
    extras = re.search(r'"\.\[([^\]]+)\]"', install)
    assert extras is not None
    assert set(extras[1].split(",")) <= project["optional-dependencies"].keys()
    for sources in [rest.split()[:-1] for word, rest in said if word == "COPY"]:
        assert all((ROOT / source).exists() for source in sources)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {source for word, rest in said if word == "COPY" for source in rest.split()[:-1]} <= allowed


def test_the_image_serves_as_nobody_in_particular() -> None:
    """Not as root, on every interface of its own, with a health check that is Python."""
    said = dict(instructions())
    assert said["USER"] not in ("root", "0")
    assert said["FROM"] == "python:3.11-slim"
    entry, command = (yaml.safe_load(said[word]) for word in ("ENTRYPOINT", "CMD"))
    assert parsed([*entry, *command])["host"] == "0.0.0.0"
    check = yaml.safe_load(said["HEALTHCHECK"].partition("CMD ")[2])
    assert check[:2] == ["python", "-c"]
    compile(check[2], "healthcheck", "exec")


def test_the_units_command_is_one(unit: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line takes it, its variables are settings, and it is given the time to drain."""
    service = unit["Service"]
    given = parsed(shlex.split(service["ExecStart"]))
    assert given["data"] == Path(f"/var/lib/{service['StateDirectory']}")
    assert given["data"] == Path(service["WorkingDirectory"])
    environment = dict(part.split("=", 1) for part in shlex.split(service["Environment"]))
    settings = settings_of(environment, monkeypatch)
    assert settings.drain_timeout > 0
    assert float(service["TimeoutStopSec"]) > settings.drain_timeout + 2 * settings.shutdown_timeout


def test_the_unit_may_do_no_more_than_it_needs(unit: dict[str, dict[str, str]]) -> None:
    """A user of its own, no privileges, a file system that it cannot write to but for its state."""
    service = unit["Service"]
    hardened = {"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes"}
    assert hardened.items() <= service.items()
    assert service["CapabilityBoundingSet"] == ""
    assert service["RestartPreventExitStatus"] == "2", "the exit code of a server that cannot start"
