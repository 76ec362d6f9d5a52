"""`antiphon talk`: hold a conversation from the terminal, here with a sound file for a caller."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from contextlib import AsyncExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any

import typer

from antiphon.cli.local_server import serving
from antiphon.errors import AntiphonError

QUIET = 1.5
"Seconds of silence on both sides, after the file's end, that end the conversation."


def talk(
    wav: Annotated[Path, typer.Option(help="What the caller says: a WAV file, spoken in real time.", exists=True)],
    out: Annotated[Path, typer.Option(help="Where to write what the agent said, as a WAV file.")],
    agent: Annotated[str, typer.Argument(help="The agent's id.")] = "front_desk",
    url: Annotated[
        str | None, typer.Option(help="A running server, as http://127.0.0.1:8080; left out: one is started here.")
    ] = None,
    agents: Annotated[
        Path | None, typer.Option(help="Agents for the server that is started here [default: the demo's].")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="ANTIPHON_API_KEY", help="Workspace key, for agents that need a signed URL.")
    ] = None,
    limit: Annotated[float, typer.Option(help="Seconds after which to hang up in any case.")] = 300.0,
) -> None:
    """Say a sound file to an agent, print what is said, keep the agent's side."""
    try:
        asyncio.run(_talk(wav, out, agent, url, agents, api_key, limit))
    except (AntiphonError, OSError) as error:
        typer.echo(f"antiphon: {error}", err=True)
        raise typer.Exit(1) from error


async def _talk(
    wav: Path, out: Path, agent: str, url: str | None, agents: Path | None, api_key: str | None, limit: float
) -> None:
    from antiphon.audio.wav import read_wav
    from antiphon import Antiphon, AsyncConversation, FileAudioInterface

    from .demo import show

    rate, audio = read_wav(wav)
    async with AsyncExitStack() as stack:
        if url is None:
            api_key = api_key or secrets.token_hex(16)
            folder = agents or stack.enter_context(as_file(files("antiphon.cli.demo") / "agents"))
            data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = await stack.enter_async_context(serving(folder, data, api_key))
        silence = _Silence(len(audio) / (2 * rate))
        conversation = AsyncConversation(
            Antiphon(url, api_key),
            agent,
            requires_auth=False,
            audio_interface=FileAudioInterface(wav, out),
        )

        async def on_event(event: Any) -> None:  # async: on the loop, in time
            silence.notice(event)
            show.event(event)

        conversation.on_event = on_event
        async with conversation:
            await conversation.connected()
            silence.begin()
            try:
                async with asyncio.timeout(limit):
                    await silence.wait(conversation)
            except TimeoutError:
                typer.echo("antiphon: the limit is reached", err=True)
    typer.echo(f"  {out}")


class _Silence:
    """Tells when the file has been said and the agent has nothing more to say to it."""

    def __init__(self, file_seconds: float) -> None:
        self._file_seconds = file_seconds
        self._quiet_from = 0.0
        self._owed = False
        "The caller has said something that is not answered yet."

    def begin(self) -> None:
        """The caller begins to speak."""
        self._quiet_from = asyncio.get_running_loop().time() + self._file_seconds

    def notice(self, event: Any) -> None:
        """An event of the conversation."""
        from antiphon.protocol import events as ev

        now = asyncio.get_running_loop().time()
        match event:
            case ev.AgentAudio(audio=audio):
                self._quiet_from = max(now, self._quiet_from) + len(audio) / 32_000
                self._owed = False
            case ev.Interruption():
                self._quiet_from = now
            case ev.UserTranscript():
                self._owed = True
            case _:
                pass

    async def wait(self, conversation: Any) -> None:
        """Until then, or until the conversation is over."""
        while True:
            left = self._quiet_from + QUIET - asyncio.get_running_loop().time()
            if left <= 0 and not self._owed:
                return
            try:
                await conversation.wait_for_session_end(timeout=max(left, 0.1))
            except TimeoutError:
                continue
            return
