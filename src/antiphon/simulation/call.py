"""A whole call in one process: a scripted caller and a session, joined back to back by the two halves of the protocol.

No socket lies between them, everything else is real: every message is encoded, decoded and checked as on the wire, and
the caller's sound goes through voice activity detection. Under virtual time a minute takes milliseconds.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

from antiphon.agents.config import AgentConfig
from antiphon.agents.workspace import Workspace
from antiphon.audio.convert import Encoder
from antiphon.audio.formats import AudioFormat, parse_format
from antiphon.protocol import events as ev
from antiphon.protocol.client import ClientProtocol
from antiphon.protocol.codec import client_json
from antiphon.protocol.server import ServerProtocol
from antiphon.record.recording import Recording
from antiphon.session.assembly import assemble
from antiphon.session.casting import Casting
from antiphon.session.engines import Engines
from antiphon.session.session import Ending, Session
from antiphon.session.tools.hosts import HostPolicy

CHUNK = 0.1
"Seconds of the caller's sound in one message, unless said otherwise."

# --------------------------------------------------------------------------------------------------- the script


@dataclass(frozen=True, slots=True)
class Speak:
    """Wait until the agent has finished, then speak."""

    seconds: float = 1.0
    after: float = 0.4
    "Seconds of quiet between the agent's last sound and the caller's first."
    patient: bool = True
    "False: wait for nobody; `after` counts from the step before."


@dataclass(frozen=True, slots=True)
class BargeIn:
    """Wait until the agent speaks, then speak over it."""

    seconds: float = 1.0
    into: float = 1.0
    "Seconds after the agent's first sound."


@dataclass(frozen=True, slots=True)
class Say:
    """Wait until the agent has finished, then send a message that is no sound."""

    event: ev.ClientEvent
    after: float = 0.4
    patient: bool = True
    "False: wait for nobody; `after` counts from the step before."


@dataclass(frozen=True, slots=True)
class Burst:
    """Wait until the agent has finished, then send speech, and silence after it, in one message."""

    speech: float = 1.0
    silence: float = 0.0
    after: float = 0.4


@dataclass(frozen=True, slots=True)
class Mute:
    """From here on the caller sends sound only while speaking: no silence between turns."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """Hang up, whatever is going on."""

    after: float = 0.0
    "Seconds after the step before."


Step: TypeAlias = Speak | BargeIn | Say | Burst | Mute | Wait | HangUp
Tool: TypeAlias = Callable[[dict[str, Any]], Any]


@lru_cache(maxsize=16)
def voice(audio_format: AudioFormat, seconds: float) -> bytes:
    """Sound that an energy detector takes for speech: 150 Hz and its harmonics."""
    samples = round(audio_format.rate * seconds)
    step = 2 * math.pi * 150 / audio_format.rate
    wave = (round(3000 * sum(math.sin(step * k * i) / k for k in (1, 2, 3))) for i in range(samples))
    return _encoded(audio_format, struct.pack(f"<{samples}h", *wave))


@lru_cache(maxsize=16)
def silence(audio_format: AudioFormat, seconds: float) -> bytes:
    """What a microphone sends when nobody speaks."""
    return _encoded(audio_format, bytes(2 * round(audio_format.rate * seconds)))


def _encoded(audio_format: AudioFormat, audio: bytes) -> bytes:
    return Encoder(audio_format.rate, audio_format).encode(audio)


# ------------------------------------------------------------------------------------------------------ the call


@dataclass(slots=True)
class Call:
    """What happened: events as the caller saw them, and the journal."""

    heard: list[tuple[float, ev.ServerEvent]] = field(default_factory=list)
    "(seconds since the call began, event) in order; pings left out."
    journal: list[bytes] = field(default_factory=list)
    ending: Ending | None = None

    def events(self, *kinds: type[Any]) -> list[Any]:
        """The events of these kinds, in order."""
        return [event for _, event in self.heard if isinstance(event, kinds)]

    @property
    def texts(self) -> list[str]:
        """Who said what, in the order in which the caller was told."""
        lines: list[str] = []
        for _, event in self.heard:
            match event:
                case ev.UserTranscript(text=text):
                    lines.append(f"user: {text}")
                case ev.AgentResponse(text=text):
                    lines.append(f"agent: {text}")
                case ev.AgentResponseCorrection(corrected=text):
                    lines.append(f"heard: {text}")
                case _:
                    pass
        return lines


class Caller:
    """The client's side: a microphone that follows the script, and ears that keep the time."""

    def __init__(
        self,
        script: Sequence[Step],
        *,
        audio_format: AudioFormat,
        tools: Mapping[str, Tool],
        chunk: float,
        call: Call,
        clock: Callable[[], float],
        awaits_greeting: bool,
    ) -> None:
        self.protocol = ClientProtocol()
        self._script = list(script)
        self._format = audio_format
        self._tools = tools
        self.chunk = chunk
        self._call = call
        self._clock = clock
        self._began = clock()
        self._loud = ev.UserAudio(voice(audio_format, chunk))
        self._quiet = ev.UserAudio(silence(audio_format, chunk))
        self._muted = self._hung_up = False
        self._stepped_at = self._began
        self._speaking_until = 0.0
        self._agent_began: float | None = None
        self._agent_until = 0.0
        self._awaiting_answer = awaits_greeting

    def receive(self, text: str) -> None:
        """A message of the server."""
        now = self._clock()
        for event in self.protocol.receive(text):
            match event:
                case ev.Ping():
                    continue
                case ev.AgentAudio(audio=audio):
                    if self._agent_began is None or now > self._agent_until:
                        self._agent_began = now
                    seconds = self._format.seconds(len(audio))
                    self._agent_until = max(now, self._agent_until) + seconds
                    self._awaiting_answer = False
                case ev.AgentResponse():
                    self._awaiting_answer = False
                case ev.Interruption():
                    self._agent_until, self._agent_began = now, None
                    self._awaiting_answer = True
                case ev.ClientToolCall():
                    self._answer_tool(event)
                case _:
                    pass
            self._call.heard.append((round(now - self._began, 6), event))

    def _answer_tool(self, call: ev.ClientToolCall) -> None:
        tool = self._tools.get(call.tool_name)
        if tool is not None:
            self.protocol.send(ev.ClientToolResult(tool_call_id=call.tool_call_id, result=tool(call.parameters)))

    def listen(self) -> bool:
        """The caller's sound of the chunk that ends now, and whatever the script says is due. False: it is over."""
        now = self._clock()
        speaking = now - self.chunk / 2 < self._speaking_until
        if speaking:
            self.protocol.send(self._loud)
        elif not self._muted:
            self.protocol.send(self._quiet)
        while self._script and self._due(self._script[0], now):
            self._do(self._script.pop(0), now)
            self._stepped_at = now
        on_the_line = bool(self._script) or speaking or self._awaiting_answer or now < self._agent_until + 1.0
        return on_the_line and not self._hung_up

    def _due(self, step: Step, now: float) -> bool:
        if isinstance(step, HangUp):
            return now >= self._stepped_at + step.after
        if now < self._speaking_until:
            return False
        match step:
            case Mute() | Wait():
                return True
            case BargeIn(into=into):
                return self._agent_began is not None and self._agent_began + into <= now < self._agent_until
            case Speak(after=after, patient=False) | Say(after=after, patient=False):
                return now >= self._stepped_at + after
            case Speak(after=after) | Say(after=after) | Burst(after=after):
                return not self._awaiting_answer and now >= self._agent_until + after

    def _do(self, step: Step, now: float) -> None:
        match step:
            case HangUp():
                self._hung_up = True
            case Mute():
                self._muted = True
            case Wait(seconds=seconds):
                self._agent_until = max(self._agent_until, now + seconds)
            case Speak(seconds=seconds) | BargeIn(seconds=seconds):
                self._speaking_until, self._awaiting_answer = now + seconds, True
            case Burst():
                sound = voice(self._format, step.speech) + silence(self._format, step.silence)
                self.protocol.send(ev.UserAudio(sound))
                self._awaiting_answer = True
            case Say(event=event):
                self.protocol.send(event)
                self._awaiting_answer |= isinstance(event, (ev.UserMessage, ev.MultimodalMessage))


async def hold(
    agent: AgentConfig,
    engines: Engines,
    script: Sequence[Step],
    *,
    tools: Mapping[str, Tool] | None = None,
    chunk: float = CHUNK,
    conversation_id: str = "conv_simulated",
    casting: Casting | None = None,
    workspace: Workspace | None = None,
    hosts: HostPolicy | None = None,
    recording: Recording | None = None,
) -> Call:
    """Hold one call on the running loop's clock, to the end of the script. The caller hangs up.

    The last four: as for `session.assembly.assemble`.
    """
    loop = asyncio.get_running_loop()
    call = Call()
    audio_format = parse_format(agent.conversation_config.asr.user_input_audio_format)
    caller = Caller(
        script,
        audio_format=audio_format,
        tools=tools or {},
        chunk=chunk,
        call=call,
        clock=loop.time,
        awaits_greeting=bool(agent.conversation_config.agent.first_message),
    )

    await join(
        agent,
        engines,
        caller,
        call,
        conversation_id=conversation_id,
        casting=casting,
        workspace=workspace,
        hosts=hosts,
        recording=recording,
    )
    return call


class Party(Protocol):
    """The client's side of a call, one chunk of sound after another."""

    protocol: ClientProtocol
    chunk: float

    def receive(self, text: str) -> None:
        """A message of the server. Returns at once."""
        ...

    def listen(self) -> bool:
        """A chunk has passed: put the caller's sound, and whatever else is due, into `protocol`. False: hang up."""
        ...


async def join(
    agent: AgentConfig,
    engines: Engines,
    caller: Party,
    call: Call,
    *,
    conversation_id: str,
    initiation: ev.ConversationInitiation | None = None,
    write: Callable[[bytes], None] | None = None,
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    casting: Casting | None = None,
    workspace: Workspace | None = None,
    hosts: HostPolicy | None = None,
    recording: Recording | None = None,
) -> None:
    """Join a caller and an agent back to back, until one of them hangs up; `call` gets the journal and the ending.

    `agent`: its overrides and variables are settled (`agents.initiation`); `initiation`: what the client asked for, for
    the record. `write` gets the lines of the journal instead of `call`. `beside` runs as long as the call does: what a
    caller has to wait for.
    """
    loop = asyncio.get_running_loop()
    initiation = initiation or ev.ConversationInitiation()
    server = ServerProtocol(
        ev.ConversationMetadata(
            conversation_id=conversation_id,
            agent_output_audio_format=agent.conversation_config.tts.agent_output_audio_format,
            user_input_audio_format=agent.conversation_config.asr.user_input_audio_format,
        )
    )

    async def send(event: ev.ServerEvent) -> None:
        caller.receive(server.send(event))

    asked = {} if initiation == ev.ConversationInitiation() else client_json(initiation)
    session = assemble(
        agent,
        engines,
        conversation_id=conversation_id,
        send=send,
        write=write or call.journal.append,
        clock=loop.time,
        header={
            "started_at": 0.0,
            "user_id": initiation.user_id,
            "initiation": asked,
            "authorization_method": "public",
        },
        workspace=workspace,
        hosts=hosts,
        casting=casting,
        recording=recording,
    )
    caller.receive(server.send(server.metadata))
    caller.protocol.open(initiation)
    async with asyncio.TaskGroup() as tasks:
        microphone = tasks.create_task(_microphone(caller, server, session))
        other = tasks.create_task(beside()) if beside is not None else None
        call.ending = await session.run()
        microphone.cancel()
        if other is not None:
            other.cancel()


async def _microphone(caller: Party, server: ServerProtocol, session: Session) -> None:
    loop = asyncio.get_running_loop()
    at = loop.time()
    going_on = True
    while going_on:
        at += caller.chunk
        await asyncio.sleep(at - loop.time())
        going_on = caller.listen()
        for text in caller.protocol.messages_to_send():
            event = server.receive(text, loop.time())
            if event is not None:
                session.receive(event)
    session.disconnect()
