"""Conversations: their journals while they live, their documents when they are over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from antiphon.errors import ConflictError, NotFoundError

from .database import Database
from .deliveries import enqueue
from .resources import Page, dumps, fitting, page_of, paged, plain, upsert
from .schema import conversations, deliveries, journal

Status = Literal["initiated", "in-progress", "processing", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What lists show of a conversation, and its document."""

    id: str
    agent_id: str
    started_at: float
    "Seconds since 1970."
    user_id: str | None = None
    branch_id: str | None = None
    status: Status = "in-progress"
    text_only: bool = False
    duration: float = 0.0
    "Seconds."
    messages: int = 0
    successful: str = "unknown"
    "`success`, `failure` or `unknown`."
    rating: int | None = None
    title: str | None = None
    language: str | None = None
    has_audio: bool = False
    document: dict[str, Any] | None = None
    "None: it is not over, or was not asked for."


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which conversations to list. None: whatever it is."""

    agent_id: str | None = None
    user_id: str | None = None
    branch_id: str | None = None
    successful: str | None = None
    status: Sequence[str] = field(default_factory=tuple[str, ...])
    text_only: bool | None = None
    started_after: float | None = None
    started_before: float | None = None
    longer_than: float | None = None
    shorter_than: float | None = None
    rated_from: float | None = None
    rated_to: float | None = None
    languages: Sequence[str] = field(default_factory=tuple[str, ...])
    search: str | None = None
    "Words of the title."


class Conversations:
    """The tables of conversations and their journals. Every question may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---------------------------------------------------------------------------------------- while they live

    async def begin(self, conversation: Conversation, *, now: float) -> None:
        """One begins."""
        values = {**_columns(conversation), "alive_at": now}
        async with self._database.write() as connection:
            await connection.execute(insert(conversations).values(values))

    async def append(
        self,
        lines: Mapping[str, Sequence[tuple[int, bytes]]],
        alive: Iterable[str],
        *,
        now: float,
        begun: Sequence[Conversation] = (),
    ) -> None:
        """Add numbered pieces, each some whole lines, to journals, and note who is alive: all of it or nothing.

        `begun`: conversations of which these are the first lines. Lines of a conversation that was deleted meanwhile
        are dropped. A piece of a number that is there replaces it, and what has begun has begun: nobody knows whether
        a write that failed on the way back was made, and may try again.
        """
        rows = [
            {"conversation_id": identifier, "number": number, "lines": chunk}
            for identifier, numbered in lines.items()
            for number, chunk in numbered
        ]
        living = set(alive) | set(lines)
        async with self._database.write() as connection:
            if begun:
                query = select(conversations.c.id).where(conversations.c.id.in_([one.id for one in begun]))
                there = set((await connection.execute(query)).scalars())
                new = [{**_columns(one), "alive_at": now} for one in begun if one.id not in there]
                if new:
                    await connection.execute(insert(conversations), new)
            known = await _known(connection, living)
            rows = [row for row in rows if row["conversation_id"] in known]
            if rows:
                await connection.execute(upsert(connection, journal), rows)
            if known:
                await connection.execute(
                    update(conversations).where(conversations.c.id.in_(known)).values(alive_at=now)
                )

    async def finish(
        self,
        conversation: Conversation,
        *,
        webhooks: Sequence[tuple[Mapping[str, Any], str]] = (),
        now: float = 0.0,
    ) -> None:
        """It is over: its document and columns are as given, and `webhooks` are to be delivered, target and event of
        each, from `now` on: all of it or nothing. Its journal stays. Raises NotFoundError.
        """
        values = _columns(conversation)
        del values["id"], values["rating"], values["started_at"]  # it knows better when it began
        async with self._database.write() as connection:
            which = conversations.c.id == plain(conversation.id)
            if not (await connection.execute(update(conversations).where(which).values(values))).rowcount:
                raise NotFoundError("conversation", conversation.id)
            await enqueue(connection, conversation.id, webhooks, now)

    async def unfinished(self, *, stale_at: float) -> list[str]:
        """Ids of conversations that nobody has kept alive since `stale_at`, and that have no end."""
        open_ones = conversations.c.status.in_(("initiated", "in-progress", "processing"))
        query = select(conversations.c.id).where(open_ones, conversations.c.alive_at <= stale_at)
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())

    # ---------------------------------------------------------------------------------------------- questions

    async def get(self, identifier: str) -> Conversation:
        """One, with its document. Raises NotFoundError."""
        query = select(conversations).where(conversations.c.id == plain(identifier))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFoundError("conversation", identifier)
        return _conversation(row)

    async def journal(self, identifier: str) -> list[bytes]:
        """Its lines so far, in order, in the pieces in which they were written."""
        query = select(journal.c.lines).where(journal.c.conversation_id == plain(identifier)).order_by(journal.c.number)
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def page(
        self, wanted: Wanted, *, cursor: str | None = None, page_size: int = 30, descending: bool = True
    ) -> Page[Conversation]:
        """A part of the list, newest first unless asked otherwise, without documents. Raises CursorError."""
        columns = [column for column in conversations.c if column.name != "document"]
        query = paged(
            select(*columns).where(*_conditions(wanted)),
            conversations.c.started_at,
            conversations.c.id,
            cursor,
            page_size,
            descending=descending,
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return page_of(rows, page_size, "started_at", _conversation)

    async def documents(self, identifiers: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Those of conversations that have one, by id."""
        found = conversations.c.id.in_([plain(identifier) for identifier in identifiers])
        query = select(conversations).where(found, conversations.c.document.is_not(None))
        async with self._database.read() as connection:
            known = [_conversation(row) for row in await connection.execute(query)]
        return {each.id: each.document for each in known if each.document is not None}

    async def count(self, wanted: Wanted) -> int:
        """How many there are."""
        query = select(func.count()).select_from(conversations).where(*_conditions(wanted))
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def last_calls(self, agent_ids: Sequence[str]) -> dict[str, float]:
        """When the newest conversation of each of these agents began."""
        if not agent_ids:
            return {}
        query = (
            select(conversations.c.agent_id, func.max(conversations.c.started_at).label("began"))
            .where(conversations.c.agent_id.in_([plain(agent_id) for agent_id in agent_ids]))
            .group_by(conversations.c.agent_id)
        )
        async with self._database.read() as connection:
            return {row.agent_id: row.began for row in await connection.execute(query)}

    # ------------------------------------------------------------------------------------------------ changes

    async def rate(self, identifier: str, feedback: Mapping[str, Any], rating: int | None) -> None:
        """Keep what somebody thought of it, in its document and, if there are stars, in its column.

        Raises:
            NotFoundError: there is none of that id.
            ConflictError: it is not over, and has no document yet.
        """
        which = conversations.c.id == plain(identifier)
        query = select(conversations.c.document).where(which).with_for_update()
        async with self._database.write() as connection:
            row = (await connection.execute(query)).first()
            if row is None:
                raise NotFoundError("conversation", identifier)
            if row.document is None:
                raise ConflictError("the conversation is not over yet")
            document: dict[str, Any] = msgspec.json.decode(row.document)
            document["metadata"]["feedback"] = {**(document["metadata"].get("feedback") or {}), **feedback}
            values: dict[str, Any] = {"document": dumps(document)}
            if rating is not None:
                values["rating"] = rating
            await connection.execute(update(conversations).where(which).values(values))

    async def forget_audio(self, identifier: str, document: Mapping[str, Any]) -> None:
        """Its recording is gone. Raises NotFoundError."""
        await self._change(identifier, has_audio=False, document=dumps(document))

    async def delete(self, identifier: str) -> None:
        """Forget it, its journal too. Raises NotFoundError."""
        async with self._database.write() as connection:
            # The conversation first: from then on nobody adds to its journal.
            which = conversations.c.id == plain(identifier)
            gone = (await connection.execute(delete(conversations).where(which))).rowcount
            await connection.execute(delete(journal).where(journal.c.conversation_id == plain(identifier)))
        if not gone:
            raise NotFoundError("conversation", identifier)

    async def ids(self, wanted: Wanted, *, limit: int = 1000) -> list[str]:
        """Ids, oldest first."""
        query = select(conversations.c.id).where(*_conditions(wanted)).order_by(conversations.c.started_at).limit(limit)
        async with self._database.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def forget_transcript(self, identifier: str, document: Mapping[str, Any]) -> None:
        """Its words are gone: its journal, whose it was, its title. Raises NotFoundError."""
        values = {"document": dumps(document), "user_id": None, "title": None}
        which = conversations.c.id == plain(identifier)
        async with self._database.write() as connection:
            if not (await connection.execute(update(conversations).where(which).values(values))).rowcount:
                raise NotFoundError("conversation", identifier)
            await connection.execute(delete(journal).where(journal.c.conversation_id == plain(identifier)))

    async def over(
        self, agent_id: str, *, ended_before: float, having: Literal["anything", "audio", "journal"], limit: int
    ) -> list[str]:
        """Ids of an agent's conversations that were over by then, of which there is still a recording, a journal, or
        anything, oldest first. One whose webhooks are still to be delivered is not among them."""
        c = conversations.c
        awaited = select(deliveries.c.id).where(deliveries.c.conversation_id == c.id)
        query = select(c.id).where(
            c.agent_id == plain(agent_id),
            c.status.in_(("done", "failed")),
            c.started_at + c.duration <= ended_before,
            ~awaited.exists(),
        )
        if having == "audio":
            query = query.where(c.has_audio)
        elif having == "journal":
            query = query.where(select(journal.c.number).where(journal.c.conversation_id == c.id).exists())
        async with self._database.read() as connection:
            return list((await connection.execute(query.order_by(c.started_at).limit(limit))).scalars())

    # ------------------------------------------------------------------------------------------------- archives

    async def following(self, identifier: str | None, limit: int, *, user_id: str | None = None) -> list[Conversation]:
        """Those, of one user or of all, that come after this id, by id, with their documents."""
        query = select(conversations).where(*_conditions(Wanted(user_id=user_id)))
        if identifier is not None:
            query = query.where(conversations.c.id > identifier)
        query = query.order_by(conversations.c.id).limit(limit)
        async with self._database.read() as connection:
            return [_conversation(row) for row in await connection.execute(query)]

    async def some(self, identifiers: Sequence[str]) -> set[str]:
        """Those of these ids that there are."""
        query = select(conversations.c.id).where(conversations.c.id.in_({plain(one) for one in identifiers}))
        async with self._database.read() as connection:
            return set((await connection.execute(query)).scalars())

    async def restore(self, given: Sequence[Conversation]) -> None:
        """Keep these as they are, in place of those of the same ids and their journals: all of them or none."""
        if not given:
            return
        rows = [{**_columns(one), "alive_at": 0.0} for one in given]
        async with self._database.write() as connection:
            await connection.execute(upsert(connection, conversations), rows)
            which = journal.c.conversation_id.in_([row["id"] for row in rows])
            await connection.execute(delete(journal).where(which))

    async def restore_journal(self, identifier: str, lines: bytes) -> None:
        """Keep this as the journal of a conversation that has none."""
        row = {"conversation_id": plain(identifier), "number": 0, "lines": lines}
        async with self._database.write() as connection:
            await connection.execute(upsert(connection, journal), row)

    async def _change(self, identifier: str, **values: Any) -> None:
        async with self._database.write() as connection:
            which = conversations.c.id == plain(identifier)
            if not (await connection.execute(update(conversations).where(which).values(values))).rowcount:
                raise NotFoundError("conversation", identifier)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    c = conversations.c
    equal = {
        c.agent_id: wanted.agent_id,
        c.user_id: wanted.user_id,
        c.branch_id: wanted.branch_id,
        c.successful: wanted.successful,
        c.text_only: wanted.text_only,
    }
    row = fitting(conversations, {column.name: value for column, value in equal.items()})
    found: list[ColumnElement[bool]] = [column == row[column.name] for column in equal if row[column.name] is not None]
    if wanted.status:
        found.append(c.status.in_([plain(status) for status in wanted.status]))
    if wanted.languages:
        found.append(c.language.in_(wanted.languages))
    if wanted.rated_from is not None:
        found.append(c.rating >= wanted.rated_from)
    if wanted.rated_to is not None:
        found.append(c.rating <= wanted.rated_to)
    if wanted.started_after is not None:
        found.append(c.started_at >= wanted.started_after)
    if wanted.started_before is not None:
        found.append(c.started_at <= wanted.started_before)
    if wanted.longer_than is not None:
        found.append(c.duration >= wanted.longer_than)
    if wanted.shorter_than is not None:
        found.append(c.duration <= wanted.shorter_than)
    if wanted.search:
        found.append(func.lower(c.title).contains(plain(wanted.search).lower(), autoescape=True))
    return found


def _columns(conversation: Conversation) -> dict[str, Any]:
    values = {name: getattr(conversation, name) for name in Conversation.__slots__}
    document = values["document"]
    values["document"] = None if document is None else dumps(document)
    return fitting(conversations, values)


async def _known(connection: AsyncConnection, identifiers: Iterable[str]) -> set[str]:
    """Those of these conversations that there are; nobody else changes or deletes them in this transaction's time."""
    query = select(conversations.c.id).where(conversations.c.id.in_(set(identifiers)))
    query = query.order_by(conversations.c.id)  # locked in one order by all, so that no two wait for each other
    return set((await connection.execute(query.with_for_update(key_share=True))).scalars())


def _conversation(row: Row[Any]) -> Conversation:
    values = {str(name): value for name, value in row._asdict().items()}  # pyright: ignore[reportPrivateUsage]
    del values["alive_at"]
    if values.get("document") is not None:
        values["document"] = msgspec.json.decode(values["document"])
    return Conversation(**values)
