"""The caller of a chaos conversation: follows its script, but waits for nobody for ever; and keeps what it heard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from antiphon.audio.formats import AudioFormat
from antiphon.protocol import events as ev
from antiphon.protocol.client import ClientProtocol
from antiphon.simulation.call import silence, voice

from .case import Act

PATIENCE = 6.0
"Seconds after which an act is done although what it waits for has not happened."
BURST_SILENCE = 0.8


class ChaosCaller:
    """A party of `simulation.call.join`."""

    def __init__(self, script: Sequence[Act], *, audio_format: AudioFormat, chunk: float, tool_delay: float) -> None:
        self.protocol = ClientProtocol()
        self.chunk = chunk
        self.heard: list[tuple[float, ev.ServerEvent]] = []
        "(seconds since the call began, event) in order; pings left out."
        self.did: list[tuple[float, Act]] = []
        "What was done when."
        self._script = list(script)
        self._format = audio_format
        self._tool_delay = tool_delay
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._loud = ev.UserAudio(voice(audio_format, chunk))
        self._quiet = ev.UserAudio(silence(audio_format, chunk))
        self._muted = self._gone = False
        self._free_at = 0.0
        "When the newest act was done."
        self._speaking_until = 0.0
        self._agent_from: float | None = None
        self._agent_until = 0.0
        self._agent_spoke = False
        "Since the newest act."
        self._owed: list[tuple[float, str]] = []
        "(time, id) of tool calls to be answered."

    def receive(self, text: str) -> None:
        """A message of the server."""
        now = self._loop.time() - self._began
        for event in self.protocol.receive(text):
            match event:
                case ev.Ping():
                    continue
                case ev.AgentAudio(audio=audio):
                    if now >= self._agent_until:
                        self._agent_from = now
                    self._agent_until = max(now, self._agent_until) + self._format.seconds(len(audio))
                    self._agent_spoke = True
                case ev.Interruption():
                    self._agent_from, self._agent_until = None, now
                case ev.ClientToolCall(tool_call_id=call_id):
                    self._owed.append((now + self._tool_delay, call_id))
                case _:
                    pass
            self.heard.append((round(now, 6), event))

    def listen(self) -> bool:
        """The sound of the chunk that ends now, and what is due."""
        now = self._loop.time() - self._began
        if now - self.chunk / 2 < self._speaking_until:
            self.protocol.send(self._loud)
        elif not self._muted:
            self.protocol.send(self._quiet)
        while self._owed and self._owed[0][0] <= now:
            self.protocol.send(ev.ClientToolResult(tool_call_id=self._owed.pop(0)[1], result="found"))
        while self._script and not self._gone and self._due(self._script[0], now):
            act = self._script.pop(0)
            self.did.append((round(now, 6), act))
            self._do(act, now)
        return not self._gone and bool(self._script)

    def _due(self, act: Act, now: float) -> bool:
        if now < self._free_at:
            return False
        if act.when == "now" or now >= self._free_at + act.after + PATIENCE:
            return now >= self._free_at + act.after
        if act.when == "over":
            return self._agent_from is not None and self._agent_from + act.after <= now < self._agent_until
        return self._agent_spoke and now >= max(self._agent_until, self._free_at) + act.after

    def _do(self, act: Act, now: float) -> None:
        self._free_at, self._agent_spoke = now, False
        match act.kind:
            case "speak":
                self._speaking_until = self._free_at = now + act.seconds
            case "burst":
                sound = voice(self._format, act.seconds) + silence(self._format, BURST_SILENCE)
                self.protocol.send(ev.UserAudio(sound))
            case "type":
                self.protocol.send(ev.UserMessage(text="what about it"))
            case "busy":
                self.protocol.send(ev.UserActivity())
            case "mute":
                self._muted = not self._muted
            case "wait":
                self._free_at = now + act.seconds
            case "hang_up":
                self._gone = True
