"""The conversations that are live in this process: begun, counted, written down, ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from antiphon.errors import SessionError

from .conversations import ConversationFolder
from .recorder import Recorder

logger = logging.getLogger(__name__)

WRITE_INTERVAL = 1.0
"Seconds between two writings of what the live conversations have journaled."

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
    unwritten: list[bytes] = field(default_factory=list[bytes])
    """Journal lines since the last writing. Unbounded, because a second's lines are few: audio is journaled by its size
    alone, and a client that floods the session is hung up on."""
    recorder: Recorder | None = None
    "None: it is not recorded."

    def write(self, line: bytes) -> None:
        """Take one journal line. Returns at once: it reaches the disk within about a second."""
        self.unwritten.append(line)


class Sessions:
    """Starts, limits, lists, writes down and ends live conversations."""

    def __init__(self, folder: ConversationFolder, limit: int) -> None:
        self.live: dict[str, LiveConversation] = {}
        "By conversation id."
        self._folder = folder
        self._limit = limit
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._writing = asyncio.Lock()
        "Held while journals are appended to, so that lines stay in order."

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
        if len(self.live) >= self._limit:
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
        """Keep the journals of live conversations on disk; runs until cancelled."""
        while True:
            await asyncio.sleep(WRITE_INTERVAL)
            await self._append(*self.live.values())

    async def flush(self, conversation_id: str) -> None:
        """Bring what is known of one conversation to the disk now, if it is live."""
        if conversation := self.live.get(conversation_id):
            await self._append(conversation)

    async def idle(self) -> None:
        """Wait until no conversation is live and every record is written."""
        await self._idle.wait()

    async def stop(self, timeout: float) -> None:
        """End every live conversation and wait for the records, at most so many seconds. None begins afterwards."""
        self._stopping = True
        for conversation in list(self.live.values()):
            conversation.hang_up(GOING_AWAY, "the server is shutting down")
        try:
            async with asyncio.timeout(timeout):
                await self.idle()
        except TimeoutError:
            logger.warning("%d conversations did not end in time", len(self.live))

    async def _append(self, *conversations: LiveConversation) -> None:
        """Write unwritten lines and settled sound: one trip to a thread for all."""
        async with self._writing:
            batch: dict[str, list[bytes]] = {}
            sounds: list[tuple[str, Recorder, bytes]] = []
            for conversation in conversations:
                if conversation.unwritten:
                    batch[conversation.conversation_id], conversation.unwritten = conversation.unwritten, []
                if (recorder := conversation.recorder) is not None and (sound := recorder.take()):
                    sounds.append((conversation.conversation_id, recorder, sound))
            if batch or sounds:
                await asyncio.to_thread(self._append_now, batch, sounds)

    def _append_now(self, batch: dict[str, list[bytes]], sounds: list[tuple[str, Recorder, bytes]]) -> None:
        for conversation_id, lines in batch.items():
            try:
                self._folder.append(conversation_id, lines)
            except OSError:
                extra = {"conversation_id": conversation_id}
                logger.exception("a journal could not be written: its last lines are lost", extra=extra)
        for conversation_id, recorder, sound in sounds:
            try:
                self._folder.append_audio(conversation_id, recorder.encode(sound))
            except Exception:
                extra = {"conversation_id": conversation_id}
                logger.exception("a recording could not be written: a part of it is lost", extra=extra)

    def _finish_audio(self, conversation_id: str, recorder: Recorder, sound: bytes) -> None:
        try:
            if rest := recorder.finish(sound):
                self._folder.append_audio(conversation_id, rest)
                self._folder.finish_audio(conversation_id)
        except Exception:
            extra = {"conversation_id": conversation_id}
            logger.exception("a recording could not be written", extra=extra)

    async def _finish(self, conversation: LiveConversation) -> None:
        """The last lines, the rest of the recording, then the document. One that never came to a session has none."""
        await self._append(conversation)
        if (recorder := conversation.recorder) is not None:
            async with self._writing:  # what was taken before is encoded before
                conversation.recorder = None
                sound = recorder.take_rest()
            await asyncio.to_thread(self._finish_audio, conversation.conversation_id, recorder, sound)
        try:
            await asyncio.to_thread(self._folder.finish, conversation.conversation_id)
        except FileNotFoundError:
            pass
        except Exception:
            extra = {"conversation_id": conversation.conversation_id}
            logger.exception("the record of a conversation could not be written", extra=extra)
