"""The conversation itself: connecting, saying what is to be said, ending."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from antiphon.audio.formats import parse_format
from antiphon.client.disconnection import DisconnectionDetails
from antiphon.client.initiation import ConversationInitiationData
from antiphon.client.rest import Antiphon
from antiphon.conversational_ai.conversation import AsyncConversation
from antiphon.errors import AntiphonError, AuthError, DeviceError, SessionError
from antiphon.protocol import events as ev

from .floor import Floor
from .screen import Screen
from .sound import SpeakingFile, Spoken, Tap
from .tools_file import ObservedTools
from .transcript import Transcript
from .views import JsonLines, Lines, LiveScreen, Typed, View

OPENING = 1.0
"Seconds that an agent may take to begin its greeting before a file or a pipe speaks first."
BETWEEN = 0.4
"Seconds of silence after the agent's answer before a file or a pipe goes on."
_CONNECT = 20.0
_POLL = 0.1
_NO_SOUND = "use --wav FILE or --text instead, or choose another device (--list-devices)"


@dataclass
class Wishes:
    """What the command line asks for."""

    agent: str
    url: str
    api_key: str | None = None
    wavs: list[Path] = field(default_factory=list[Path])
    at_once: bool = False
    text: bool = False
    record: Path | None = None
    tools: ObservedTools = field(default_factory=ObservedTools)
    variables: dict[str, Any] = field(default_factory=dict[str, Any])
    user_id: str | None = None
    environment: str | None = None
    input_device: int | str | None = None
    output_device: int | str | None = None
    echo_cancellation: bool = False
    mute: bool = False
    as_json: bool = False
    limit: float | None = None


class Call:
    """One conversation, from ringing up to hanging up."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._transcript = Transcript()
        self._floor = Floor(self._began)
        self._ended = asyncio.Event()
        self._details: DisconnectionDetails | None = None
        self._failure: Exception | None = None
        self._asked_at: float | None = None
        self._seconds = parse_format("pcm_16000").seconds
        self._file = SpeakingFile()
        self._spoken = [Spoken(path) for path in wishes.wavs]
        self._tap = None if wishes.text else Tap(
            self._device(), record=wishes.record is not None, is_muted=self._is_muted, on_answer=self._answered
        )  # fmt: skip
        wishes.tools.observe = self._take
        self._conversation = self._made(requires_auth=wishes.api_key is not None)
        self._view = self._chosen_view()

    async def hold(self) -> None:
        """Talks until one side ends it.

        Raises:
            AntiphonError: it could not be held, or it broke off.
            OSError: the server is not there, or the recording cannot be written.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._ended.set)
        try:
            await self._converse()
        except* Exception as failed:
            raise failed.exceptions[0] from failed
        finally:
            self._view.close(self._transcript, self._now())
            if (
                self._tap is not None
                and self._wishes.record is not None
                and self._transcript.conversation_id is not None
            ):
                self._tap.save(self._wishes.record)
        if self._failure is not None:
            raise self._explained(self._failure)
        if self._details is not None and self._details.reason == "error":
            raise SessionError(f"the conversation broke off: {self._why()}")

    # ------------------------------------------------------------------------------------------------- both ends

    async def _converse(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            drawing = tasks.create_task(self._view.run())
            try:
                await self._connect()
                speaking = tasks.create_task(self._speak())
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._wishes.limit):
                        await self._ended.wait()
                speaking.cancel()
            finally:
                drawing.cancel()
                await self._hang_up()

    async def _connect(self) -> None:
        try:
            await self._conversation.start_session()
        except AuthError as refused:
            self._conversation = self._made(requires_auth=False)  # the key is another server's; the agent may be public
            try:
                await self._conversation.start_session()
                await self._named()
            except SessionError as error:
                raise refused from error
            return
        await self._named()

    async def _named(self) -> None:
        waiting = asyncio.ensure_future(self._ended.wait())  # noqa: TID251 - awaited below, in this very function
        naming = asyncio.ensure_future(self._conversation.connected(_CONNECT))  # noqa: TID251
        try:
            await asyncio.wait({waiting, naming}, return_when=asyncio.FIRST_COMPLETED)
            if naming.done():
                naming.result()
        except TimeoutError as error:
            raise SessionError(f"the server at {self._wishes.url} does not answer") from error
        except SessionError as error:
            raise self._explained(error.__cause__ or error) from error
        finally:
            waiting.cancel()
            naming.cancel()
            await asyncio.wait({waiting, naming})

    def _explained(self, error: BaseException) -> Exception:
        """What went wrong, in one sentence and with what to do about it."""
        if isinstance(error, DeviceError):
            what, _, devices = str(error).partition(" The sound devices are:\n")
            if devices.strip() == "none":
                what = "there is no sound device."
            return DeviceError(f"{' '.join(what.split())} U{_NO_SOUND[1:]}.")
        if isinstance(error, OSError):
            return SessionError(f"there is no server at {self._wishes.url}: {error}")
        if self._transcript.error is not None:
            return SessionError(self._why())
        return error if isinstance(error, AntiphonError) else SessionError(str(error))

    def _why(self) -> str:
        if self._transcript.error is not None:
            return self._transcript.error
        details = self._details
        return (
            (details.message or details.close_reason or f"code {details.close_code}") if details else "no reason given"
        )

    async def _hang_up(self) -> None:
        try:
            await self._conversation.end_session()
            await self._conversation.wait_for_session_end()
        except Exception as error:  # noqa: BLE001 - explained when all is closed
            if self._transcript.conversation_id is not None:
                self._failure = error

    def _made(self, *, requires_auth: bool) -> AsyncConversation:
        wishes = self._wishes
        made = AsyncConversation(
            Antiphon(wishes.url, wishes.api_key),
            wishes.agent,
            wishes.user_id,
            requires_auth=requires_auth,
            audio_interface=self._tap,
            config=ConversationInitiationData(dynamic_variables=wishes.variables),
            client_tools=wishes.tools,
            environment=wishes.environment,
            callback_disconnect=self._disconnected,
            on_event=self._event,
        )
        made.muted = wishes.mute
        return made

    def _device(self) -> Any:
        if self._wishes.wavs:
            return self._file
        from antiphon.conversational_ai.default_audio_interface import AsyncDefaultAudioInterface

        try:
            return AsyncDefaultAudioInterface(
                input_device=self._wishes.input_device,
                output_device=self._wishes.output_device,
                echo_cancellation=self._wishes.echo_cancellation,
                on_loss=self._lost_on_thread,
            )
        except ImportError as error:
            raise DeviceError(f"{error}; {_NO_SOUND}") from error

    def _is_muted(self) -> bool:
        return self._conversation.muted

    # ---------------------------------------------------------------------------------------------- what happens

    async def _event(self, event: ev.ServerEvent) -> None:  # async: on the loop, in time
        self._take(event)

    async def _disconnected(self, details: DisconnectionDetails) -> None:
        self._details = details
        self._ended.set()

    def _lost_on_thread(self, device: str) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is talking any more
            self._loop.call_soon_threadsafe(self._lost, device)

    def _lost(self, device: str) -> None:
        self._failure = self._failure or DeviceError(f"the {device} is gone.")
        self._ended.set()

    def _take(self, event: ev.ServerEvent | ev.ClientEvent) -> None:
        seconds = 0.0
        if isinstance(event, ev.ConversationMetadata):
            self._seconds = parse_format(event.agent_output_audio_format).seconds
        elif isinstance(event, ev.AgentAudio):
            seconds = self._seconds(len(event.audio))
        elif isinstance(event, ev.AgentResponse | ev.AgentChatResponsePart) and self._asked_at is not None:
            self._answered(self._loop.time() - self._asked_at)
            self._asked_at = None
        self._floor.take(event, self._loop.time(), seconds)
        self._transcript.take(event, self._now())
        self._view.take(event, self._now())

    def _answered(self, latency: float) -> None:
        self._transcript.answered(latency, self._now())
        self._view.answered(latency, self._now())

    def _now(self) -> float:
        return self._loop.time() - self._began

    # ---------------------------------------------------------------------------------------------- what is said

    async def _speak(self) -> None:
        if self._wishes.text:
            await self._type()
        elif self._wishes.wavs:
            await self._play()
        else:
            return  # the user speaks
        self._ended.set()

    async def _play(self) -> None:
        for index, spoken in enumerate(self._spoken):
            if not self._wishes.at_once:
                await self._free(BETWEEN if index else OPENING)
            self._file.say(spoken)
            await asyncio.sleep(spoken.seconds)
            self._floor.said(self._loop.time())
        await self._free(OPENING)

    async def _type(self) -> None:
        waits = not sys.stdin.isatty()
        waiting = _lines(self._loop)
        quiet = OPENING
        while (line := await waiting.get()) is not None:
            if not line.strip():
                continue
            if waits:
                await self._free(quiet)
            quiet = BETWEEN
            message = ev.UserMessage(text=line.strip())
            await self._conversation.send(message)
            self._asked_at = self._loop.time()
            self._floor.said(self._asked_at)
            self._take(message)
        await self._free(BETWEEN)

    async def _free(self, quiet: float) -> None:
        """Until the agent has nothing more to say."""
        while True:
            at = self._floor.free_at(quiet)
            left = at - self._loop.time() if at is not None else _POLL
            if at is not None and left <= 0:
                return
            await asyncio.sleep(min(left, _POLL))

    def _chosen_view(self) -> View:
        if self._wishes.as_json:
            return JsonLines()
        if not sys.stdout.isatty():
            return Lines()
        console = Console(highlight=False)
        if self._tap is None:
            return Typed(console, self._transcript) if sys.stdin.isatty() else Lines()
        tap = self._tap
        screen = Screen(f"antiphon talk · {self._wishes.agent} · {self._wishes.url}", self._transcript)

        def refresh() -> None:
            screen.input_rms, screen.output_rms = tap.input_rms, tap.output_rms
            screen.seconds, screen.is_muted = self._now(), self._is_muted()

        return LiveScreen(console, screen, refresh)


def _lines(loop: asyncio.AbstractEventLoop) -> asyncio.Queue[str | None]:
    """Standard input, line by line, then None. Read in a thread, which a terminal may keep waiting for ever."""
    lines: asyncio.Queue[str | None] = asyncio.Queue()  # unbounded: what a person or a script types

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="antiphon-stdin", daemon=True).start()
    return lines
