"""A simulated caller: does what the scene says, sound by sound, and keeps a note of all of it.

Nothing here waits: `listen` is called once for every chunk of sound and does what has become due. Only a caller who is
played by a language model thinks, in `run`, beside the call.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from antiphon.audio.formats import AudioFormat
from antiphon.protocol import events as ev
from antiphon.protocol.client import ClientProtocol

from . import document as doc
from .ears import Ears
from .matching import expression, plain, said
from .utterance import SpokenWords, Utterance, quiet

FAREWELL = 1.0
"Seconds of quiet after the last answer before the caller hangs up."

Kind: TypeAlias = Literal["says", "barges_in", "hums", "noise", "types", "sends", "hangs_up"]


@dataclass(frozen=True, slots=True)
class Act:
    """A step of the scene, made ready."""

    step: doc.Step
    where: str
    "Its place in the scene's document."
    wait: float = 0.0
    "`after`, `into`, `within` or the length of a silence, drawn."
    utterance: Utterance | None = None
    event: ev.ClientEvent | None = None


@dataclass(frozen=True, slots=True)
class Deed:
    """Something the caller did."""

    at: float
    until: float
    "The end of its last word or sound."
    kind: Kind
    text: str
    where: str

    @property
    def is_turn(self) -> bool:
        """Whether it asks for an answer."""
        return self.kind in ("says", "barges_in", "types")

    @property
    def is_sound(self) -> bool:
        """Whether it can be heard."""
        return self.kind in ("says", "barges_in", "hums", "noise")


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that was not as the scene has it."""

    message: str
    where: str
    "Its place in the scene's document; empty: the call as a whole."
    at: float | None = None
    "Seconds since the call began, where it can be said."
    place: str = ""
    "File and line of that place."


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What comes of a call of a client tool, made ready."""

    result: Any
    is_error: bool
    after: float
    never: bool = False


@dataclass(slots=True)
class Notes:
    """What the caller did, and what went wrong."""

    deeds: list[Deed] = field(default_factory=list[Deed])
    failures: list[Failure] = field(default_factory=list[Failure])
    hung_up: bool = False
    received: list[tuple[float, ev.ServerEvent]] = field(default_factory=list[tuple[float, ev.ServerEvent]])
    "Events of the client, pings left out."


class SceneCaller:
    """The client's side of a scene's call."""

    def __init__(
        self,
        acts: Sequence[Act],
        *,
        input_format: AudioFormat,
        ears: Ears,
        words: SpokenWords,
        tools: Mapping[str, Sequence[ToolAnswer]],
        scene: doc.Scene,
        clock: Callable[[], float],
        text_only: bool,
        awaits_greeting: bool,
        persona: Persona | None = None,
    ) -> None:
        self.protocol = ClientProtocol()
        self.chunk = scene.chunk
        self.notes = Notes()
        self._acts = list(acts)
        self._format = input_format
        self._ears = ears
        self._words = words
        self._tools = {name: list(answers) for name, answers in tools.items()}
        self._patience = scene.patience
        self._limit = scene.limit
        self._clock = clock
        self._began = clock()
        self._text_only = text_only
        self._persona = persona
        self._silent = quiet(input_format, scene.chunk)
        self._sound = bytearray()
        self._muted = text_only
        self._stepped_at = self._speaking_until = self._silent_until = 0.0
        self._heard_at: float | None = None
        "When the `hears` just before was fulfilled."
        self._listened = 0
        "Characters of what was heard that earlier steps have used up."
        self._awaits_since: float | None = 0.0 if awaits_greeting else None
        "Since when an answer is waited for."
        self._answering_since: float | None = None
        "Since when an answer has been under way."
        self._complete: set[int] = set()
        "Event ids of messages that are complete."
        self._results: list[tuple[float, ev.ClientToolResult]] = []

    @property
    def now(self) -> float:
        """Seconds since the call began."""
        return round(self._clock() - self._began, 6)

    @property
    def left_over(self) -> Act | None:
        """The first step that was never done."""
        return self._acts[0] if self._acts else None

    # -------------------------------------------------------------------------------------------------- hearing

    def receive(self, text: str) -> None:
        """A message of the server."""
        now = self.now
        for event in self.protocol.receive(text):
            if isinstance(event, ev.Ping):
                continue
            self._ears.receive(event, now)
            match event:
                case ev.AgentAudio():
                    self._answered(now)
                case ev.AgentResponse(event_id=event_id) if self._text_only:
                    self._answered(now)
                    if event_id in self._complete:  # it was, before its text had come all the way
                        self._answering_since = None
                case ev.Interruption():
                    self._awaits_since, self._answering_since = now, None
                case ev.ClientToolCall():
                    self._call_tool(event, now)
                case _:
                    pass
            self.notes.received.append((now, event))

    def _answered(self, now: float) -> None:
        self._awaits_since = None
        if self._answering_since is None:
            self._answering_since = now

    def answer_complete(self, event_id: int) -> None:
        """The agent has said all it has to say for now: a person would hear that by the sense of it."""
        self._complete.add(event_id)
        self._answering_since = None

    def _call_tool(self, call: ev.ClientToolCall, now: float) -> None:
        answers = self._tools.get(call.tool_name)
        if not answers:
            answer = ToolAnswer(f"the scene has no tool {call.tool_name!r}", is_error=True, after=0.0)
            message = f"the agent calls the client tool {call.tool_name!r}: the scene's `tools` does not have it"
            self.notes.failures.append(Failure(message, "tools", now))
        else:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if not answer.never:
            result = ev.ClientToolResult(tool_call_id=call.tool_call_id, result=answer.result, is_error=answer.is_error)
            self._results.append((now + answer.after, result))

    # --------------------------------------------------------------------------------------------------- acting

    def listen(self) -> bool:
        """The caller's sound of the chunk that ends now, and whatever is due. False: the caller has hung up."""
        now = self.now
        self._send_sound()
        for due, result in list(self._results):
            if due <= now:
                self._results.remove((due, result))
                self.protocol.send(result)
        while self._acts and not self.notes.hung_up and self._due(self._acts[0], now):
            self._do(self._acts.pop(0), now)
        self._lose_patience(now)
        if not self._acts and not self.notes.hung_up:
            self._go_on_or_hang_up(now)
        return not self.notes.hung_up

    def _send_sound(self) -> None:
        size = len(self._silent)
        if self._sound:
            piece = bytes(self._sound[:size])
            del self._sound[:size]
            self.protocol.send(ev.UserAudio(piece + self._silent[len(piece) :]))
        elif not self._muted:
            self.protocol.send(ev.UserAudio(self._silent))

    def _free_at(self) -> float:
        """When the step before is, or will be, done."""
        return max(self._stepped_at, self._speaking_until, self._silent_until)

    def _quiet_for(self, seconds: float, now: float) -> bool:
        """Whether it is the caller's turn, and has been for so long."""
        if self._awaits_since is not None or now < max(self._ears.until, self._silent_until) + seconds:
            return False
        done = self._answering_since is None
        return done or now >= max(self._ears.until, self._answering_since or 0.0) + self._patience

    def _due(self, act: Act, now: float) -> bool:
        if now < max(self._speaking_until, self._silent_until):
            return False
        match act.step:
            case doc.BargesIn() | doc.Hums():
                return self._over_the_agent(act.wait, now)
            case doc.Noise(into=into):
                return now >= self._free_at() + act.wait if into is None else self._over_the_agent(act.wait, now)
            case doc.Says(patient=patient) | doc.Types(patient=patient) | doc.Sends(patient=patient):
                if patient:
                    return self._quiet_for(act.wait, now)
                return now >= self._free_at() + act.wait
            case doc.HangsUp():
                return now >= self._free_at() + act.wait
            case doc.Hears(hears=wanted):
                return self._has_heard(wanted, now)
            case doc.StaysSilent() | doc.Mutes():
                return True

    def _over_the_agent(self, into: float, now: float) -> bool:
        began = self._ears.began(now)
        return began is not None and now >= max(began, self._heard_at or 0.0) + into

    def _has_heard(self, wanted: str, now: float) -> bool:
        heard = self._ears.heard(now)
        fresh = heard[self._listened :]
        if not said(wanted, fresh):
            return False
        pattern = expression(wanted)
        found = pattern.search(fresh) if pattern is not None else None
        self._listened = len(heard) if found is None else self._listened + found.end()
        return True

    def _do(self, act: Act, now: float) -> None:
        self._stepped_at = now
        self._heard_at = now if isinstance(act.step, doc.Hears) else None
        match act.step:
            case doc.Says() | doc.BargesIn():
                self._speak(act, now)
                self._awaits_since, self._answering_since = self._speaking_until, None
            case doc.Hums() | doc.Noise():
                self._speak(act, now)
            case doc.Types():
                assert act.event is not None, "what is typed is a message"
                self.protocol.send(act.event)
                self._note(act, now, now)
                self._awaits_since, self._answering_since = now, None
            case doc.Sends():
                assert act.event is not None, "what is sent is a message"
                self.protocol.send(act.event)
                self._note(act, now, now)
                if isinstance(act.event, ev.UserMessage | ev.MultimodalMessage):
                    self._awaits_since, self._answering_since = now, None
            case doc.StaysSilent():
                self._silent_until = now + act.wait
                self._awaits_since = None
            case doc.Mutes(mutes=mutes):
                self._muted = mutes
            case doc.HangsUp():
                self._note(act, now, now)
                self.notes.hung_up = True
            case doc.Hears():
                pass

    def _speak(self, act: Act, now: float) -> None:
        assert act.utterance is not None, "what is said has been made ready"
        self._sound += act.utterance.sound
        self._words.say(act.utterance, self._clock())
        self._speaking_until = now + self._format.seconds(len(act.utterance.sound))
        self._note(act, now, now + act.utterance.seconds)

    def _note(self, act: Act, at: float, until: float) -> None:
        kind = doc.verb(type(act.step))
        value = getattr(act.step, kind)
        match act.step:
            case doc.HangsUp():
                text = ""
            case doc.Sends(sends=message):
                text = json.dumps(message, ensure_ascii=False)
            case _:
                text = act.utterance.text if act.utterance is not None else str(value)
        self.notes.deeds.append(Deed(at, round(until, 6), kind, text, act.where))  # pyright: ignore[reportArgumentType]

    # ------------------------------------------------------------------------------------------------- giving up

    def _lose_patience(self, now: float) -> None:
        if self.notes.hung_up:
            return
        act = self._acts[0] if self._acts else None
        where = act.where if act is not None else "caller"
        if now >= self._limit:
            self._give_up(f"the call has not ended after {self._limit:g} s", "limit", now)
        elif isinstance(act, Act) and isinstance(act.step, doc.Hears):
            if now > self._free_at() + act.step.within:
                fresh = " / ".join(self._ears.heard(now)[self._listened :].split("\n")).strip(" /")
                waited = f"the caller has waited {act.step.within:g} s to hear {shown(act.step.hears)}"
                self._give_up(f"{waited}, and heard {shown(fresh) if fresh else 'nothing'}", where, now)
        elif act is not None and isinstance(act.step, doc.BargesIn | doc.Hums | doc.Noise):
            if not self._ears.playing(now) and now > max(self._free_at(), self._ears.until) + self._patience:
                self._give_up(f"the agent has not spoken long enough to {describe(act.step)}", where, now)
        elif self._awaits_since is not None and now > max(self._awaits_since, self._ears.until) + self._patience:
            self._give_up(f"the agent has not answered within {self._patience:g} s", where, now)

    def _give_up(self, message: str, where: str, now: float) -> None:
        self.notes.failures.append(Failure(message, where, now))
        self.notes.hung_up = True

    def _go_on_or_hang_up(self, now: float) -> None:
        if self._persona is not None and not self._persona.over:
            if now >= self._speaking_until and self._quiet_for(self._persona.after, now):
                heard = self._ears.heard(now)
                self._persona.ask(heard[self._listened :])
                self._listened = len(heard)
            return
        if now >= self._free_at() and self._quiet_for(FAREWELL, now):
            self.notes.hung_up = True

    # ------------------------------------------------------------------------------------- played by a model

    async def run(self) -> None:
        """Think for a caller who is played by a language model; forever. Raises EngineError."""
        if self._persona is not None:
            await self._persona.run(self._acts.append)
        await asyncio.Event().wait()


class Persona(Protocol):
    """Where a caller's next step comes from, if a language model plays the caller."""

    after: float
    "Seconds of quiet before it is asked."

    @property
    def over(self) -> bool:
        """Whether there will be no further step."""
        ...

    def ask(self, heard: str) -> None:
        """It is the caller's turn; `heard`: what the agent said since the last one. Asked again: nothing happens."""
        ...

    async def run(self, do: Callable[[Act], None]) -> None:
        """Think when asked, until it is over. Raises EngineError."""
        ...


def shown(text: str) -> str:
    """A text in a message: expressions as they are, words in quotes."""
    return text if len(text) > 1 and text.startswith("/") and not plain(text[:1]) else f"“{text}”"


def describe(step: doc.Step) -> str:
    """A step in a few words: `says “hello”`."""
    kind = doc.verb(type(step))
    value = getattr(step, kind)
    return f"{kind} {shown(value) if isinstance(value, str) else value}"
