"""Antiphon's server as it ships (uvicorn, uvloop), with the engines of the work: one process, told to stop by a line.

Prints its address, then, when a line comes in, its stamps as JSON. The stub speech-to-text learns of the end of speech
from the sound itself, so its clock is late by the length of a frame. The journal shows when an interruption was said;
its decision is what the conversation learned last before: a score, a transcript, or by its clock that time is up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from antiphon.server.app import create_app
from antiphon.server.run import _loop_factory, listening
from antiphon.server.sessions import LiveConversation
from antiphon.server.settings import Settings

from . import work
from .antiphon_party import CALLER, Caller, _Recognition, document, registry
from .worker import ENGINES

MARK = 320
"Bytes at the end of the speech by which it is known again: 10 ms."


class _Listening(_Recognition):
    """It knows when the caller stops: it has heard that speech before."""

    mark = b""

    def __init__(self, caller: Caller, engines: work.Engines) -> None:
        super().__init__(caller, engines)
        self._tail = b""

    def feed(self, audio: bytes) -> None:
        heard = self._tail + audio
        if self.mark in heard:
            self._ended(work.now())
            heard = b""
        self._tail = heard[-MARK:]


async def serve(arguments: argparse.Namespace) -> dict[str, Any]:
    """Serve until a line comes in."""
    caller = Caller()
    CALLER.set(caller)
    engines = ENGINES[arguments.engines]
    interruptions: list[float] = []
    write = LiveConversation.write

    def clock() -> float:
        caller.sensed.append(at := work.now())
        return at

    def stamped(conversation: LiveConversation, journal_line: bytes) -> None:
        if b'"interruption_event"' in journal_line:
            interruptions.append(caller.sensed[-1])
        write(conversation, journal_line)

    LiveConversation.write = stamped
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(Path(folder), arguments.options)
        app = create_app(settings, registry=registry(engines, recognition=_Listening), clock=clock)
        async with listening(app, settings) as address:
            print(address, flush=True)
            await asyncio.to_thread(sys.stdin.readline)
    return {
        "decisions": caller.stamps.decisions,
        "interruptions": interruptions,
        "thinking": caller.stamps.thinking,
        "processor": work.processor(),
    }


def _settings(folder: Path, options: dict[str, Any]) -> Settings:
    agents = folder / "agents"
    agents.mkdir()
    (agents / "agent.json").write_text(json.dumps({"agent_id": "agent", **document(**options)}))
    return Settings(agents=agents, data=folder / "data", port=0, api_key="key", log_level="error")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--engines", choices=ENGINES, default="instant")
    parser.add_argument("--options", type=json.loads, default={})
    arguments = parser.parse_args()
    _Listening.mark = arguments.speech.read_bytes()[-MARK:]
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        print(json.dumps(runner.run(serve(arguments))), flush=True)


if __name__ == "__main__":
    main()
