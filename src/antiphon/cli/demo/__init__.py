"""`antiphon demo`: a whole voice conversation on this machine, shown live, recorded, measured.

A server is started as anybody would start it; a synthetic caller rings it up over the real socket with real sound. What
the caller says stands in `caller_lines.json`, which the server never reads.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any

import typer

from antiphon.cli.local_server import serving
from antiphon.errors import AntiphonError, SessionError

TOPICS = ("hours", "order", "number", "appointment", "name", "goodbye")
"The course of the conversation; the line about the order talks over the agent."
LIMIT = 100.0
"Seconds after which a demo that hangs is given up."


def demo(
    seed: Annotated[int | None, typer.Option(help="Which lines the caller says; the same seed, the same call.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for conversation.json, conversation.wav, waterfall.svg.")] = Path(
        "demo"
    ),
) -> None:
    """Hold a conversation between a synthetic caller and the demo agent, offline, with real sound."""
    chosen = secrets.randbelow(10_000) if seed is None else seed
    try:
        out.mkdir(parents=True, exist_ok=True)
        asyncio.run(_demo(chosen, out))
    except TimeoutError as error:
        typer.echo("antiphon: the demo took too long and was given up", err=True)
        raise typer.Exit(1) from error
    except (AntiphonError, OSError) as error:
        typer.echo(f"antiphon: {error}", err=True)
        raise typer.Exit(1) from error


def draw_script(rng: random.Random) -> list[tuple[str, str]]:
    """One line for every topic: (topic, text)."""
    lines: dict[str, list[str]] = json.loads((files(__name__) / "caller_lines.json").read_text(encoding="utf-8"))
    return [(topic, rng.choice(lines[topic])) for topic in TOPICS]


async def _demo(seed: int, out: Path) -> None:
    from . import show
    from .caller import SyntheticCaller, prepare

    rng = random.Random(seed)
    show.title(seed)
    lines = await prepare(draw_script(rng), rng)
    caller = SyntheticCaller(lines, rng)
    key = secrets.token_hex(16)
    with as_file(files(__name__) / "agents") as agents:
        async with asyncio.timeout(LIMIT), serving(agents, out / "data", key) as address:
            transcripts, conversation_id = await _call(address, caller)
            document = await _document(address, key, conversation_id)
    _keep(out, seed, caller, transcripts, document)


async def _call(address: str, caller: Any) -> tuple[list[tuple[float, str]], str]:
    """Ring up, talk, hang up. Returns what the agent understood, and the conversation's id."""
    from antiphon import Antiphon, AsyncConversation, ClientTools
    from antiphon.protocol.events import UserTranscript

    from . import show

    tools = ClientTools()
    tools.register("order_status", lambda parameters: _order(parameters["order_number"]))
    conversation = AsyncConversation(
        Antiphon(address), "front_desk", requires_auth=False, audio_interface=caller, client_tools=tools
    )
    transcripts: list[tuple[float, str]] = []
    loop = asyncio.get_running_loop()

    async def on_event(event: Any) -> None:  # async: on the loop, in time
        if isinstance(event, UserTranscript):
            transcripts.append((loop.time() - caller.began, event.text))
        show.event(event)

    conversation.on_event = on_event
    async with conversation:
        conversation_id = await conversation.connected()
        async with asyncio.TaskGroup() as tasks:
            finished = tasks.create_task(caller.done.wait())
            lost = tasks.create_task(conversation.wait_for_session_end())
            await asyncio.wait({finished, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not finished.done():
                raise SessionError("the conversation ended before the caller was done")
            await conversation.end_session()
    return transcripts, conversation_id


def _order(number: str) -> dict[str, str]:
    """The shop's computer: every order is somewhere."""
    states = ("packed", "on its way", "at the post office")
    return {"status": states[len(number) % len(states)], "arrives": "tomorrow"}


async def _document(address: str, key: str, conversation_id: str) -> dict[str, Any]:
    """The conversation's record, once the server has closed it."""
    from antiphon.client import Antiphon

    client = Antiphon(address, key)._client_wrapper  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    while True:
        document = await asyncio.to_thread(client.get, f"/v1/convai/conversations/{conversation_id}", {})
        if document["status"] in ("done", "failed"):
            return document
        await asyncio.sleep(0.1)


def _keep(out: Path, seed: int, caller: Any, transcripts: list[tuple[float, str]], document: dict[str, Any]) -> None:
    """Write the three files, measure the recording, show the result."""
    from . import measure, picture, show

    recording = out / "conversation.wav"
    caller.recording().save(recording)
    turns = measure.turns(recording, caller.said, transcripts, document)
    document["antiphon"]["demo"] = {
        "seed": seed,
        "turns": [
            {
                "said": turn.said,
                "heard": turn.heard,
                "wrong_words": turn.wrong_words,
                "recorded_latency": turn.latency,
                "waterfall_sum": round(sum(turn.stages.values()), 6),
                "overhead": turn.overhead,
            }
            for turn in turns
        ],
    }
    (out / "conversation.json").write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    (out / "waterfall.svg").write_text(picture.draw(turns), encoding="utf-8")
    show.summary(turns, out)
