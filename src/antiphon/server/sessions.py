"""The conversations that are live in this process: begun, counted, written down, ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from antiphon.errors import SessionError, StoreError

from .recorder import ENCODING, Recorder
from .records import Analyse, Records
from .webhooks import PostCallWebhook

logger = logging.getLogger(__name__)

WRITE_INTERVAL = 0.5
"""Seconds between two writings of what the live conversations have journaled: a second at most may be lost, and a busy
machine takes its time to write."""

LAST_ATTEMPTS = 4
"Times that the record of a conversation that is over is tried to be written, in about seven seconds."

GOING_AWAY = 1001
"The WebSocket close code of a server that stops."
BUSY = 1002
"The protocol's close code for what is nobody's mistake (protocol.md 3.5)."


class ServerBusyError(SessionError):
    """There is no place for another conversation now. `close_code` is how to hang up."""

    def __init__(self, message: str, close_code: int = BUSY) -> None:
        super().__init__(message)
        self.close_code = close_code


@dataclass(slots=True)
class LiveConversation:
    """One conversation, from the moment its id is known until its record is written."""

    conversation_id: str
    agent_id: str
    hang_up: Callable[[int, str], None]
    "Ends it with a close code and a reason, whatever it is doing. Returns at once."
    kept: bool = True
    "Whether anything that is said in it may be written down."
    forgotten: bool = False
    "It was deleted while it lived."
    started_at: float | None = None
    "Seconds since 1970 at which its session began; None: it never came to one."
    unwritten: list[bytes] = field(default_factory=list[bytes])
    """Journal lines since the last writing. Unbounded, because a second's lines are few: audio is journaled by its size
    alone, and a client that floods the session is hung up on."""
    pieces: int = 0
    "Pieces of its journal that were written."
    recorder: Recorder | None = None
    "None: it is not recorded."
    webhooks: Sequence[PostCallWebhook] = ()
    "Where the record and the recording go when they are written."
    over: bool = False
    "Its session has ended: it takes no place any more, while its record is being written."
    analyse: Analyse | None = None
    "Judges it when it is over; None: nobody wants to know."

    def write(self, line: bytes) -> None:
        """Take one journal line. Returns at once: it is in the store within about a second."""
        if self.kept and not self.forgotten:
            self.unwritten.append(line)


class Sessions:
    """Starts, limits, lists, writes down and ends live conversations."""

    def __init__(self, records: Records, limit: int, finished: Callable[[], None] = lambda: None) -> None:
        """`limit`: how many may live at one time; `finished`: called when a record was written."""
        self.live: dict[str, LiveConversation] = {}
        "By conversation id."
        self._records = records
        self._finished = finished
        self._limit = limit
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._writing = asyncio.Lock()
        "Held while journals are appended to, so that lines stay in order."
        self._encoding = asyncio.Lock()
        "Held while settled sound is appended to recordings."

    @property
    def full(self) -> bool:
        """Whether there is no place for another conversation now."""
        return sum(not each.over for each in self.live.values()) >= self._limit

    @property
    def stopping(self) -> bool:
        """Whether the server is going away: no conversation begins any more."""
        return self._stopping

    @asynccontextmanager
    async def begin(
        self, conversation_id: str, agent_id: str, hang_up: Callable[[int, str], None]
    ) -> AsyncGenerator[LiveConversation]:
        """A place for one conversation; leaving the context writes its record.

        Raises:
            ServerBusyError: as many live as are allowed, or the server is stopping.
        """
        if self._stopping:
            raise ServerBusyError("the server is shutting down", GOING_AWAY)
        if self.full:
            raise ServerBusyError(f"all {self._limit} places are taken; try again later")
        conversation = LiveConversation(conversation_id, agent_id, hang_up)
        self.live[conversation_id] = conversation
        self._idle.clear()
        try:
            yield conversation
        finally:
            try:
                await self._finish(conversation)
            finally:
                del self.live[conversation_id]
                if not self.live:
                    self._idle.set()

    async def write_down(self) -> None:
        """Keep what happens in live conversations; runs until cancelled. However long sound takes, no words wait."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_lines())
            tasks.create_task(self._write_sound())

    async def _write_lines(self) -> None:
        while True:
            await asyncio.sleep(WRITE_INTERVAL)
            try:
                await self._append(*self.live.values())
            except StoreError:  # the next writing tries again
                logger.exception("journals could not be written")

    async def _write_sound(self) -> None:
        """All that has settled, in one trip to the thread that encodes."""
        while True:
            await asyncio.sleep(WRITE_INTERVAL)
            async with self._encoding:
                sounds = [
                    (conversation.conversation_id, recorder, sound)
                    for conversation in self.live.values()
                    if (recorder := conversation.recorder) is not None and (sound := recorder.take())
                ]
                if sounds:
                    await asyncio.get_running_loop().run_in_executor(ENCODING, self._append_sound, sounds)

    async def flush(self, conversation_id: str) -> None:
        """Bring what is known of one conversation into the store now, if it is live. Raises StoreError."""
        if conversation := self.live.get(conversation_id):
            await self._append(conversation)

    async def forget(self, conversation_id: str) -> None:
        """Write nothing more down of a conversation, if it is live."""
        if conversation := self.live.get(conversation_id):
            async with self._writing, self._encoding:
                conversation.forgotten = True
                conversation.unwritten.clear()
                conversation.recorder = None
                conversation.webhooks = ()
                conversation.analyse = None

    async def idle(self) -> None:
        """Wait until no conversation is live and every record is written."""
        await self._idle.wait()

    async def stop(self, timeout: float, *, drain: float = 0.0) -> None:
        """End every live conversation and wait for the records, at most so many seconds. None begins afterwards.

        `drain`: seconds that they get to end by themselves before.
        """
        self._stopping = True
        if drain and self.live:
            logger.info("draining", extra={"conversations": len(self.live), "seconds": drain})
            try:
                async with asyncio.timeout(drain):
                    await self.idle()
            except TimeoutError:
                pass
        for conversation in list(self.live.values()):
            conversation.hang_up(GOING_AWAY, "the server is shutting down")
        try:
            async with asyncio.timeout(timeout):
                await self.idle()
        except TimeoutError:
            logger.warning("%d conversations did not end in time", len(self.live))

    async def _append(self, *conversations: LiveConversation) -> None:
        """Write unwritten lines in one transaction. Raises StoreError: the lines stay unwritten."""
        async with self._writing:
            pieces: dict[str, tuple[int, bytes]] = {}
            taken: list[tuple[LiveConversation, int]] = []
            for conversation in conversations:
                if conversation.unwritten:
                    pieces[conversation.conversation_id] = conversation.pieces, b"".join(conversation.unwritten)
                    taken.append((conversation, len(conversation.unwritten)))
            alive = [conversation.conversation_id for conversation in conversations if conversation.pieces]
            if not pieces and not alive:
                return
            await self._records.append(pieces, alive)
            for conversation, lines in taken:
                del conversation.unwritten[:lines]
                conversation.pieces += 1

    def _append_sound(self, sounds: list[tuple[str, Recorder, bytes]]) -> None:
        for conversation_id, recorder, sound in sounds:
            try:
                self._records.append_audio(conversation_id, recorder.encode(sound))
            except Exception:
                extra = {"conversation_id": conversation_id}
                logger.exception("a recording could not be written: a part of it is lost", extra=extra)

    def _append_last_sound(self, conversation_id: str, recorder: Recorder, sound: bytes) -> None:
        try:
            if rest := recorder.finish(sound):
                self._records.append_audio(conversation_id, rest)
        except Exception:
            extra = {"conversation_id": conversation_id}
            logger.exception("a recording could not be written", extra=extra)

    async def _finish(self, conversation: LiveConversation) -> None:
        """The last lines, the rest of the recording, then the document. One that never came to a session has none."""
        identifier = conversation.conversation_id
        conversation.over = True
        if conversation.forgotten:
            return
        if (recorder := conversation.recorder) is not None:
            async with self._encoding:  # what was taken before is encoded before
                conversation.recorder = None
                sound = recorder.take_rest()
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(ENCODING, self._append_last_sound, identifier, recorder, sound)
        for attempt in range(LAST_ATTEMPTS):
            try:
                await self._append(conversation)
                if not conversation.kept and conversation.started_at is not None:
                    await self._records.keep_bare(identifier, conversation.agent_id, conversation.started_at)
                elif conversation.pieces:
                    await self._records.finish(
                        identifier, [webhook.queued for webhook in conversation.webhooks], conversation.analyse
                    )
                    self._finished()
                return
            except StoreError:
                extra = {"conversation_id": identifier}
                logger.exception("the record of a conversation could not be written yet", extra=extra)
                await asyncio.sleep(2.0**attempt)
            except Exception:
                logger.exception(
                    "the record of a conversation could not be written", extra={"conversation_id": identifier}
                )
                return
