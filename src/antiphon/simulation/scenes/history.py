"""What happened in a scene's call, as expectations look at it. Times are seconds since the call began."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from antiphon.protocol import events as ev
from antiphon.protocol.codec import server_json
from antiphon.session.session import Ending
from antiphon.simulation.call import Call

from .caller import Deed, Failure, Notes
from .ears import Ears, Stretch

_ENOUGH = 12
"Letters and digits by which the beginning of a message is found in what sounded."


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the language model."""

    at: float
    messages: tuple[tuple[str, str], ...]
    "(role, text)"


@dataclass(slots=True)
class AgentMessage:
    """Something the agent said."""

    at: float
    "Its first sound; of a text, when it came."
    text: str
    heard: str
    "What of it was heard."
    event_id: int


@dataclass(slots=True)
class ToolUse:
    """A call of a tool of any kind."""

    at: float
    name: str
    call_id: str
    arguments: Any
    result: str | None = None
    is_error: bool = False
    done_at: float | None = None

    def shown(self) -> str:
        """The call in one line."""
        call = f"{self.name}({json.dumps(self.arguments, ensure_ascii=False)})"
        if self.done_at is None:
            return f"{call}: no result"
        outcome = "fails: " if self.is_error else "= "
        return f"{call} {outcome}{self.result} [{self.done_at - self.at:.1f} s]"


@dataclass(slots=True)
class History:
    """A call, folded."""

    deeds: Sequence[Deed]
    failures: Sequence[Failure]
    "Of the caller's own steps."
    received: Sequence[tuple[float, ev.ServerEvent]]
    stretches: Sequence[Stretch]
    asked: Sequence[Asked]
    ending: Ending
    hung_up: bool
    "It was the caller who ended the call."
    seconds: float
    greets: bool
    journal: bytes
    out: list[tuple[float, dict[str, Any]]] = field(default_factory=list[tuple[float, dict[str, Any]]])
    "Every event of the session, as its journal has it."
    messages: list[AgentMessage] = field(default_factory=list[AgentMessage])
    transcripts: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    tools: list[ToolUse] = field(default_factory=list[ToolUse])

    @classmethod
    def of(
        cls, call: Call, *, notes: Notes, ears: Ears, asked: Sequence[Asked], seconds: float, greets: bool
    ) -> History:
        """The history of a call that is over."""
        assert call.ending is not None, "a call that is over has an ending"
        history = cls(
            deeds=notes.deeds,
            failures=notes.failures,
            received=notes.received,
            stretches=ears.stretches,
            asked=asked,
            ending=call.ending,
            hung_up=notes.hung_up,
            seconds=seconds,
            greets=greets,
            journal=b"".join(call.journal),
        )
        history._fold(call.journal, _Sounding(ears.letters))
        return history

    def client_messages(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """What the client got, as on the wire, without its sound."""
        for at, event in self.received:
            quiet = msgspec.structs.replace(event, audio=b"") if isinstance(event, ev.AgentAudio) else event
            yield at, server_json(quiet)

    # ---------------------------------------------------------------------------------------------------- folding

    def _fold(self, journal: Sequence[bytes], sounding: _Sounding) -> None:
        first_audio: float | None = None
        for text in journal:
            line: dict[str, Any] = msgspec.json.decode(text)
            at = float(line["at"])
            if (received := line.get("in", {})).get("type") == "user_message" and received.get("text"):
                self.transcripts.append((at, received["text"]))
            message: dict[str, Any] | None = line.get("out")
            if message is None:
                continue
            self.out.append((at, message))
            kind = message["type"]
            if kind == "audio":
                first_audio = at if first_audio is None else first_audio
            elif kind in ("agent_response_complete", "user_transcript", "interruption"):
                first_audio = None
            self._take(at, kind, message, first_audio, sounding)

    def _take(
        self, at: float, kind: str, message: dict[str, Any], first_audio: float | None, sounding: _Sounding
    ) -> None:
        body = payload(message)
        match kind:
            case "user_transcript":
                self.transcripts.append((at, body["user_transcript"]))
            case "agent_response":
                text = body["agent_response"]
                sounded = sounding.begins(text)
                begin = sounded if sounded is not None else at if first_audio is None else first_audio
                self.messages.append(AgentMessage(begin, text, text, body["event_id"]))
            case "agent_response_correction":
                for said in self.messages:
                    if said.event_id == body["event_id"]:
                        said.heard = body["corrected_agent_response"]
            case "agent_tool_request":
                use = ToolUse(at, body["tool_name"], body["tool_call_id"], body.get("parameters") or {})
                self.tools.append(use)
            case "agent_tool_response_full_payload":
                for use in self.tools:
                    if use.call_id == body["tool_call_id"] and use.done_at is None:
                        use.result, use.is_error = body.get("full_tool_result", ""), bool(body.get("is_error"))
                        use.done_at = at
                        break
            case _:
                pass

    # -------------------------------------------------------------------------------------------------- for people

    def timeline(self) -> list[tuple[float, str, str]]:
        """Who did what, in order."""
        lines: list[tuple[float, str, str]] = [(d.at, "caller", f"{d.kind} {d.text}".rstrip()) for d in self.deeds]
        said = {deed.text for deed in self.deeds}
        lines += [(at, "agent", f"hears “{text}”") for at, text in self.transcripts if text not in said]
        for message in self.messages:
            cut = "" if message.heard == message.text else f"  [cut off; meant: {message.text}]"
            lines.append((message.at, "agent", f"{message.heard or '(nothing of it was heard)'}{cut}"))
        lines += [(use.at, "tool", use.shown()) for use in self.tools]
        lines += [(at, "agent", "is interrupted") for at, message in self.out if message["type"] == "interruption"]
        ending = self.ending
        kind = f", {ending.error_type}" if ending.error_type else ""
        who = "caller hangs up" if self.hung_up else f"agent ends the call: {ending.reason}"
        lines.sort(key=lambda line: line[0])
        lines.append((self.seconds, "call", f"{who} ({ending.close_code}{kind})"))
        return lines


def payload(message: dict[str, Any]) -> dict[str, Any]:
    """The one object of a server's message; the message itself where its fields lie beside the type."""
    inner = next((value for key, value in message.items() if key != "type"), None)
    return cast("dict[str, Any]", inner) if isinstance(inner, dict) and len(message) == 2 else message


class _Sounding:
    """When each letter sounded, to find where a message began. Asked for messages in their order."""

    def __init__(self, letters: Sequence[tuple[float, str]]) -> None:
        plain = [(at, char.casefold()) for at, char in letters if char.isalnum()]
        self._times = [at for at, char in plain for _ in char]
        self._text = "".join(char for _, char in plain)
        self._from = 0

    def begins(self, text: str) -> float | None:
        """The first sound of a message; None: it did not sound, or came without times."""
        wanted = "".join(char.casefold() for char in text if char.isalnum())
        if not wanted:
            return None
        found = self._text.find(wanted[:_ENOUGH], self._from)
        if found < 0:
            return None
        self._from = found + 1
        return round(self._times[found], 6)
