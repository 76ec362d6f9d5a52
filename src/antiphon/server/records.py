"""What is kept of conversations: between those that live and the store.

A conversation's journal is written in pieces of about a second; its document is folded out of the journal when it is
over. What a process left behind that died is finished by the next one, from as much as was written.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from antiphon.errors import AntiphonError, ConfigError, NotFoundError, StoreError
from antiphon.record.document import Recording as Track
from antiphon.record.document import conversation_document
from antiphon.record.journal import VERSION
from antiphon.store.conversations import Conversation, Conversations
from antiphon.store.recordings import FolderRecordings, Recordings

logger = logging.getLogger(__name__)

ABANDONED = 30.0
"""Seconds after which a conversation that nobody writes to has been left behind by a process that died, where several
share a database. One that has its database to itself need not wait."""
Analyse: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], Awaitable[Mapping[str, Any] | None]]
"Makes the `analysis` of a transcript; None: there is none. Does not raise."
BOTH: Collection[Track] = ("user", "response")
"The tracks of a recording."


class Records:
    """Journals, documents and recordings of conversations, by id."""

    def __init__(
        self, conversations: Conversations, recordings: Recordings, parts: Path, epoch: Callable[[], float]
    ) -> None:
        """`parts`: the folder in which recordings grow until they are whole."""
        try:
            parts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"recordings cannot be kept: {error}", path=str(parts)) from error
        self._conversations = conversations
        self._recordings = recordings
        self._parts = parts
        self._epoch = epoch

    async def append(self, pieces: Mapping[str, tuple[int, bytes]], alive: Iterable[str]) -> None:
        """Write pieces of journals, each with its number; the first of a conversation begins its record. `alive`:
        conversations that go on, whether or not anything happened in them. Raises StoreError."""
        begun = [_begun(identifier, lines) for identifier, (number, lines) in pieces.items() if number == 0]
        numbered = {identifier: [piece] for identifier, piece in pieces.items()}
        await self._conversations.append(numbered, alive, now=self._epoch(), begun=begun)

    def append_audio(self, conversation_id: str, mp3: bytes) -> None:
        """Add sound to a recording. Blocks. Raises OSError."""
        with self._part(conversation_id).open("ab") as part:
            part.write(mp3)

    async def finish(
        self,
        conversation_id: str,
        webhooks: Sequence[tuple[Mapping[str, Any], str]] = (),
        analyse: Analyse | None = None,
    ) -> None:
        """Keep the document of a conversation that is over, and its recording, and queue what is to be posted of it.

        `analyse` is asked for the document's `analysis` first; until it has answered, the conversation is `processing`.

        Raises:
            NotFoundError: nothing was ever written of it.
            StoreError: it could not be kept.
        """
        recorded = await self._finish_audio(conversation_id)
        try:
            document = await self._fold(conversation_id, BOTH if recorded else ())
            if analyse is not None:
                document["analysis"] = await analyse(document["transcript"])
            await self._conversations.finish(_row(document), webhooks=webhooks, now=self._epoch())
        except NotFoundError:  # it was erased while it lived, from outside this process
            await self._recordings.delete(conversation_id)
            raise

    async def _finish_audio(self, conversation_id: str) -> bool:
        """Whether there is a recording; a part of one becomes one."""
        part = self._part(conversation_id)
        try:
            sound = await asyncio.to_thread(part.read_bytes)
            await self._recordings.put(conversation_id, sound)
            await asyncio.to_thread(part.unlink)
        except FileNotFoundError:
            return False
        except (OSError, StoreError):
            logger.exception("a recording could not be kept", extra={"conversation_id": conversation_id})
            return False
        return True

    def _part(self, conversation_id: str) -> Path:
        return self._parts / f"{conversation_id}.mp3.part"

    async def document(self, conversation_id: str) -> dict[str, Any]:
        """What is known of a conversation, over or not. Raises NotFoundError, StoreError."""
        document = (await self._conversations.get(conversation_id)).document
        if document is None:
            document = await self._fold(conversation_id, ())
            if document["status"] != "in-progress":  # it is over, and its recording is being kept
                document["status"] = "processing"
        return document

    async def audio(self, conversation_id: str) -> bytes:
        """Its recording, MP3. Raises NotFoundError, StoreError."""
        return await self._recordings.get(conversation_id)

    def audio_file(self, conversation_id: str) -> Path | None:
        """Where its recording lies, if that is a file."""
        folder = self._recordings
        return folder.file(conversation_id) if isinstance(folder, FolderRecordings) else None

    async def rate(self, conversation_id: str, feedback: Mapping[str, Any], rating: int | None) -> None:
        """Keep what somebody thought of a conversation. Raises as the store's `rate`."""
        await self._conversations.rate(conversation_id, feedback, rating)

    async def delete(self, conversation_id: str) -> None:
        """Forget a conversation, with everything that was kept of it. Raises NotFoundError, StoreError."""
        await self._recordings.delete(conversation_id)
        await self._conversations.delete(conversation_id)
        await asyncio.to_thread(self._part(conversation_id).unlink, missing_ok=True)

    async def forget_audio(self, conversation_id: str) -> None:
        """Forget its recording alone. Raises NotFoundError, StoreError."""
        document = await self.document(conversation_id)
        document.update(has_audio=False, has_user_audio=False, has_response_audio=False)
        _note_deletion(document, "audio", self._epoch())
        await self._recordings.delete(conversation_id)
        await self._conversations.forget_audio(conversation_id, document)

    async def forget_transcript(self, conversation_id: str) -> None:
        """Forget what was said in a conversation that is over, and who said it; that it took place, when, for how long
        and how it ended is still known. Raises NotFoundError, StoreError."""
        document = await self.document(conversation_id)
        begun: dict[str, Any] = document.get("conversation_initiation_client_data") or {}
        for name in ("conversation_config_override", "custom_llm_extra_body", "dynamic_variables"):
            begun[name] = {}
        begun["user_id"] = None
        metadata: dict[str, Any] = document["metadata"]
        metadata["warnings"] = []
        if metadata.get("feedback"):
            metadata["feedback"].pop("comment", None)
        document.update(user_id=None, transcript=[], analysis=None, conversation_initiation_client_data=begun)
        if "antiphon" in document:
            document["antiphon"] = {**document["antiphon"], "turns": []}
        _note_deletion(document, "transcript", self._epoch())
        await self._conversations.forget_transcript(conversation_id, document)

    async def keep_bare(self, conversation_id: str, agent_id: str, started_at: float) -> None:
        """Keep that a conversation took place which is over now, and nothing of what was said. Raises StoreError."""
        about = {"conversation_id": conversation_id, "agent_id": agent_id, "started_at": started_at}
        ended_at = max(0.0, self._epoch() - started_at)
        lines = [{"at": 0.0, "journal": {"version": VERSION, **about}}, {"at": ended_at, "end": {"close_code": 1000}}]
        row = _row(conversation_document([json.dumps(line) for line in lines]))
        await self._conversations.begin(row, now=self._epoch())

    async def close_abandoned(self, *, alone: bool) -> int:
        """Finish what processes that died have left behind. `alone`: this process has the database to itself, and no
        conversation yet. Returns how many there were. Raises StoreError."""
        left = await self._conversations.unfinished(stale_at=self._epoch() - (0.0 if alone else ABANDONED))
        for conversation_id in left:
            try:
                await self._end_abandoned(conversation_id)
                await self.finish(conversation_id)
            except (AntiphonError, KeyError, ValueError):
                logger.exception("a conversation could not be finished", extra={"conversation_id": conversation_id})
        return len(left)

    async def _end_abandoned(self, conversation_id: str) -> None:
        """Write the last line, which nobody could."""
        pieces = await self._conversations.journal(conversation_id)
        last = next((line for line in reversed(b"".join(pieces).splitlines()) if line.endswith(b"}")), b'{"at": 0}')
        end = {"close_code": 1011, "reason": "the server died", "error_type": "server_died"}
        line = json.dumps({"at": json.loads(last)["at"], "end": end}).encode() + b"\n"
        await self._conversations.append({conversation_id: [(len(pieces), line)]}, (), now=self._epoch())

    async def _fold(self, conversation_id: str, recordings: Collection[Track]) -> dict[str, Any]:
        pieces = await self._conversations.journal(conversation_id)
        if not pieces:
            raise NotFoundError("conversation", conversation_id)

        def fold() -> dict[str, Any]:
            return conversation_document(b"".join(pieces).splitlines(), recordings=recordings)

        return await asyncio.to_thread(fold)


def _note_deletion(document: dict[str, Any], part: Literal["transcript", "audio"], now: float) -> None:
    """Write down when a part of it was forgotten (the API's `deletion_settings`)."""
    metadata: dict[str, Any] = document["metadata"]
    noted: dict[str, Any] = metadata.get("deletion_settings") or {}
    metadata["deletion_settings"] = {**noted, f"deleted_{part}_at_time_unix_secs": int(now)}


def _begun(conversation_id: str, lines: bytes) -> Conversation:
    header = json.loads(lines.split(b"\n", 1)[0])["journal"]
    initiation: dict[str, Any] = header.get("initiation") or {}
    return Conversation(
        id=conversation_id,
        agent_id=header["agent_id"],
        started_at=header["started_at"],
        user_id=header.get("user_id"),
        branch_id=initiation.get("branch_id"),
        text_only=header.get("text_only", False),
        language=header.get("language"),
    )


def _row(document: dict[str, Any]) -> Conversation:
    metadata: dict[str, Any] = document["metadata"]
    analysis: dict[str, Any] = document.get("analysis") or {}
    return Conversation(
        id=document["conversation_id"],
        agent_id=document["agent_id"],
        started_at=metadata["start_time_unix_secs"],
        user_id=document.get("user_id"),
        branch_id=document.get("branch_id"),
        status=document["status"],
        text_only=bool(metadata.get("text_only")),
        duration=metadata["call_duration_secs"],
        messages=sum(turn["message"] is not None for turn in document["transcript"]),
        successful=analysis.get("call_successful", "unknown"),
        title=analysis.get("call_summary_title"),
        language=metadata.get("main_language"),
        has_audio=document["has_audio"],
        document=document,
    )
