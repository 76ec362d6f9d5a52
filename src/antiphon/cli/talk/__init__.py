"""`antiphon talk`: hold a conversation with an agent, Antiphon's or ElevenLabs', from a terminal."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import tempfile
from contextlib import AsyncExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from antiphon.cli.local_server import serving
from antiphon.errors import AntiphonError, ConfigError, DeviceError


def talk(
    agent: Annotated[str, typer.Argument(help="The agent's id.")] = "front_desk",
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            "--base-url",
            help="A server, as http://127.0.0.1:8080 or https://api.elevenlabs.io; left out: one is started here.",
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="For agents that need a signed URL [default: ANTIPHON_API_KEY, or ELEVENLABS_API_KEY]",
            show_default=False,
        ),
    ] = None,
    agents: Annotated[
        Path | None,
        typer.Option(help="Agents for the server that is started here [default: the demo's].", show_default=False),
    ] = None,
    text: Annotated[
        bool, typer.Option("--text", help="Type instead of speaking: a line of standard input is a turn.")
    ] = False,
    wav: Annotated[
        list[Path] | None, typer.Option(help="Say a WAV file instead of using the microphone; again for further turns.")
    ] = None,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Say the WAV files without waiting for the agent to finish.")
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(help="Keep the conversation as a WAV file: the user left; right, of the agent what was heard."),
    ] = None,
    tools: Annotated[
        Path | None,
        typer.Option(
            help="A Python file whose tools the agent may call: those of its ClientTools, or all public functions."
        ),
    ] = None,
    show_tools: Annotated[
        bool,
        typer.Option(
            "--show-tools", help="Print the tools of that file as an agent's configuration takes them, and end."
        ),
    ] = False,
    variable: Annotated[
        list[str] | None, typer.Option(help="A dynamic variable, as NAME=VALUE; again for more.")
    ] = None,
    user_id: Annotated[str | None, typer.Option(help="Who is talking, for the server's records.")] = None,
    environment: Annotated[str | None, typer.Option(help="The agent's environment.")] = None,
    input_device: Annotated[str | None, typer.Option(help="The microphone: number, name or part of the name.")] = None,
    output_device: Annotated[
        str | None, typer.Option(help="The loudspeaker: number, name or part of the name.")
    ] = None,
    list_devices: Annotated[bool, typer.Option("--list-devices", help="Print the sound devices, and end.")] = False,
    echo_cancellation: Annotated[
        bool,
        typer.Option("--echo-cancellation", help="Keep the loudspeaker out of the microphone, for want of headphones."),
    ] = False,
    mute: Annotated[bool, typer.Option("--mute", help="Listen only: silence is sent.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every event as a JSON object, one a line.")] = False,
    limit: Annotated[float | None, typer.Option(help="Seconds after which to hang up in any case.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log to standard error.")] = False,
) -> None:
    """Talk to an agent: with microphone and loudspeaker, WAV files, or typed. Ctrl-C ends; exit code 1 is an error."""
    _log(verbose)
    try:
        if list_devices:
            typer.echo(_devices())
            return
        if show_tools:
            typer.echo(_definitions(tools))
            return
        if text and (wav or record):
            raise ConfigError("there is no sound with --text: leave out --wav and --record")
        asyncio.run(
            _talk(
                url,
                agents,
                agent=agent,
                api_key=api_key or _key(url),
                wavs=wav or [],
                at_once=at_once,
                text=text,
                record=record,
                variables=dict(_variable(given) for given in variable or []),
                user_id=user_id,
                environment=environment,
                input_device=_device(input_device),
                output_device=_device(output_device),
                echo_cancellation=echo_cancellation,
                mute=mute,
                as_json=as_json,
                limit=limit,
                verbose=verbose,
                **_tools(tools),
            )
        )
    except (AntiphonError, OSError) as error:
        typer.echo(f"antiphon: {error}", err=True)
        raise typer.Exit(1) from error


async def _talk(url: str | None, agents: Path | None, *, api_key: str | None, verbose: bool, **wishes: Any) -> None:
    from .call import Call, Wishes
    from .sound import Spoken
    from .standard_error import quiet_libraries

    for path in wishes["wavs"]:
        Spoken(path)  # before anybody is rung up
    async with AsyncExitStack() as stack:
        if url is None:
            api_key = api_key or secrets.token_hex(16)
            folder = agents or stack.enter_context(as_file(files("antiphon.cli.demo") / "agents"))
            data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = await stack.enter_async_context(serving(folder, data, api_key))
        if not (verbose or wishes["text"] or wishes["wavs"]):
            stack.enter_context(quiet_libraries())
        await Call(Wishes(url=url, api_key=api_key, **wishes)).hold()


def _key(url: str | None) -> str | None:
    """The environment's key for that server: ElevenLabs' is not for others while there is another."""
    names = ("ANTIPHON_API_KEY", "ELEVENLABS_API_KEY")
    if (urlsplit(url or "").hostname or "").endswith("elevenlabs.io"):
        names = ("ELEVENLABS_API_KEY",)
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _variable(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not name or not equals:
        raise ConfigError(f"write NAME=VALUE, not {given!r}", path="--variable")
    return name, value


def _device(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.isdigit() else given


def _tools(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    from .tools_file import load

    return {"tools": load(path)[0]}


def _definitions(path: Path | None) -> str:
    if path is None:
        raise ConfigError("say which file: --tools FILE", path="--show-tools")
    from .tools_file import load

    return json.dumps(load(path)[1], indent=2, ensure_ascii=False)


def _devices() -> str:
    from antiphon.client.devices.portaudio import load_backend

    try:
        backend = load_backend()()
    except ImportError as error:
        raise DeviceError(str(error)) from error
    try:
        return backend.devices() or "there are no sound devices"
    finally:
        backend.close()


def _log(verbose: bool) -> None:
    """What goes wrong is told in a sentence; the log would tell it again, with a traceback."""
    if verbose:
        logging.basicConfig(level=logging.INFO)
    else:
        logging.getLogger("antiphon").addHandler(logging.NullHandler())
        logging.getLogger("websockets").addHandler(logging.NullHandler())
