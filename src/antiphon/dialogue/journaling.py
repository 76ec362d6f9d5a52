"""Items as lines of the journal, and back: what a replay reads is what was written here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from antiphon.engines.base import Speech, TextDelta, ToolCall, Usage
from antiphon.protocol import codec
from antiphon.protocol import events as ev
from antiphon.record.journal import Journal
from antiphon.turns import observations as ob

from . import items as it
from .outcome import Outcome
from .settings import Settings


def write(item: it.Item, journal: Journal) -> None:
    """Keep an item. The turn machine's observations are not kept here: they are when the machine is told them."""
    match item:
        case it.Thought(reply=reply, round=number, thought=TextDelta(text=text)):
            journal.engine("llm", {"reply": reply, "round": number, "text": text})
        case it.Thought(reply=reply, round=number, thought=ToolCall() as call):
            body = {"tool": call.name, "id": call.id, "parameters": call.parameters}
            journal.engine("llm", {"reply": reply, "round": number, **body})
        case it.Thought(reply=reply, round=number, thought=thought):
            journal.engine("llm", {"reply": reply, "round": number, "usage": thought})
        case it.ThoughtsOver(reply=reply, round=number, error=error):
            journal.engine("llm", {"reply": reply, "round": number, "over": True, "error": error})
        case it.Spoken(reply=reply, clause=clause, speech=speech):
            journal.engine(
                "tts",
                {
                    "reply": reply,
                    "clause": clause,
                    "bytes": len(speech.audio),
                    "chars": speech.chars,
                    "starts": speech.starts,
                    "durations": speech.durations,
                },
            )
        case it.SpeechOver(reply=reply, clause=clause, error=error):
            journal.engine("tts", {"reply": reply, "clause": clause, "over": True, "error": error})
        case it.ToolDone(reply=reply, call_id=call_id, outcome=outcome):
            journal.engine("tool", {"reply": reply, "id": call_id, "outcome": outcome})
        case it.Announced(event=event):
            journal.engine("tool", {"announced": codec.journal_json(event)})
        case it.Composed(reply=reply, text=text):
            journal.engine("llm", {"reply": reply, "composed": text})
        case it.UtteranceEnded(utterance=utterance, speech_ended=ended):
            journal.engine("ears", {"utterance": utterance, "speech_ended": ended})
        case it.Switched(settings=settings):
            changed = None if settings is None else settings.document()
            rest = {"reply": item.reply, "transferred": item.transferred, "greets": item.greets, "error": item.error}
            journal.engine("change", {**rest, "settings": changed})
        case it.Drained():
            journal.engine("transport", {"drained": True})
        case ev.Event() | ev.UserAudio() | ev.UnknownEvent():
            journal.received(item)
        case _:
            pass


OUTSIDE = (
    ob.Opened,
    ob.SpeechStarted,
    ob.Speaking,
    ob.SpeechStopped,
    ob.Silence,
    ob.Stalled,
    ob.Partial,
    ob.TurnJudged,
    ob.Heard,
    ob.Closed,
)
"Observations that come to the dialogue from outside; the others follow from what it is told."

_OBSERVATION = msgspec.json.Decoder(ob.Observation)


def read(line: Mapping[str, Any]) -> it.Item | None:
    """The item that a line of the journal keeps; None: it keeps none. Raises msgspec.ValidationError, ProtocolError."""
    if "saw" in line:
        seen = msgspec.convert(line["saw"], ob.Observation)
        return seen if isinstance(seen, OUTSIDE) else None
    if "in" in line:
        return _client_event(cast("dict[str, Any]", line["in"]))
    if "engine" in line:
        return _engine(cast("dict[str, Any]", line))
    return None


def _client_event(message: dict[str, Any]) -> ev.ClientEvent | None:
    chunk: Any = message.get("user_audio_chunk")
    if isinstance(chunk, dict):
        return None  # what was heard in it stands in the journal as observations
    return codec.decode_client(msgspec.json.encode(message).decode())


def _engine(line: dict[str, Any]) -> it.Item | None:
    match line:
        case {"engine": "llm", "reply": reply, "round": number}:
            return _thought(line, reply, number)
        case {"engine": "llm", "reply": reply, "composed": text}:
            return it.Composed(reply, text)
        case {"engine": "tts", "reply": reply, "clause": clause, "over": True}:
            return it.SpeechOver(reply, clause, line.get("error"))
        case {"engine": "tts", "reply": reply, "clause": clause, "bytes": size}:
            return it.Spoken(reply, clause, Speech(bytes(size), line["chars"], line["starts"], line["durations"]))
        case {"engine": "tool", "announced": message}:
            return it.Announced(codec.decode_server(msgspec.json.encode(message).decode()))
        case {"engine": "tool", "reply": reply, "id": call_id, "outcome": outcome}:
            return it.ToolDone(reply, call_id, msgspec.convert(outcome, Outcome))
        case {"engine": "ears", "utterance": utterance, "speech_ended": ended}:
            return it.UtteranceEnded(utterance, ended)
        case {"engine": "change", "reply": reply, "settings": changed}:
            settings = None if changed is None else Settings.parse(changed)
            return it.Switched(reply, line["transferred"], line["greets"], line["error"], settings)
        case {"engine": "transport"}:
            return it.Drained()
        case _:
            return None


def _thought(line: dict[str, Any], reply: int, number: int) -> it.Item:
    if line.get("over"):
        return it.ThoughtsOver(reply, number, line.get("error"))
    if "text" in line:
        return it.Thought(reply, number, TextDelta(line["text"]))
    if "usage" in line:
        return it.Thought(reply, number, msgspec.convert(line["usage"], Usage))
    return it.Thought(reply, number, ToolCall(line["id"], line["tool"], line["parameters"]))
