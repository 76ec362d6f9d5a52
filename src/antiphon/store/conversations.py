"""Conversations: their journals while they live, their documents when they are over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, delete, func, insert, select, update

from antiphon.errors import ConflictError, NotFoundError

from .database import Database
from .deliveries import queued
from .resources import Page, dumps, fitting, page_of, paged, plain, upsert
from .schema import conversations, deliveries, journal

Status = Literal["initiated", "in-progress", "processing", "done", "failed"]

# Made once, as they are asked all the time: to make a statement takes twice as long as to run it.
_ITS = conversations.c.id == bindparam("its_id")
_ONE = select(conversations).where(_ITS)
_DOCUMENT = select(conversations.c.document).where(_ITS).with_for_update()
_CHANGE = update(conversations).where(_ITS)
_JOURNAL = select(journal.c.lines).where(journal.c.conversation_id == bindparam("its_id")).order_by(journal.c.number)


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
        await self._database.write(lambda connection: connection.execute(insert(conversations).values(values)))

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
        first = [{**_columns(one), "alive_at": now} for one in begun]

        def append(connection: Connection) -> None:
            if first:
                query = select(conversations.c.id).where(conversations.c.id.in_([row["id"] for row in first]))
                there = set(connection.scalars(query))
                if new := [row for row in first if row["id"] not in there]:
                    connection.execute(insert(conversations), new)
            known = _known(connection, living)
            if kept := [row for row in rows if row["conversation_id"] in known]:
                connection.execute(upsert(connection, journal), kept)
            if known:
                connection.execute(update(conversations).where(conversations.c.id.in_(known)).values(alive_at=now))

        await self._database.write(append)

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
        awaited = queued(conversation.id, webhooks, now)

        def finish(connection: Connection) -> None:
            _change(connection, conversation.id, values)
            if awaited:
                connection.execute(insert(deliveries), awaited)

        await self._database.write(finish)

    async def unfinished(self, *, stale_at: float) -> list[str]:
        """Ids of conversations that nobody has kept alive since `stale_at`, and that have no end."""
        open_ones = conversations.c.status.in_(("initiated", "in-progress", "processing"))
        query = select(conversations.c.id).where(open_ones, conversations.c.alive_at <= stale_at)
        return await self._database.read(lambda connection: list(connection.scalars(query)))

    # ---------------------------------------------------------------------------------------------- questions

    async def get(self, identifier: str) -> Conversation:
        """One, with its document. Raises NotFoundError."""

        def get(connection: Connection) -> Conversation:
            row = connection.execute(_ONE, {"its_id": plain(identifier)}).first()
            if row is None:
                raise NotFoundError("conversation", identifier)
            return _conversation(row)

        return await self._database.read(get)

    async def journal(self, identifier: str) -> list[bytes]:
        """Its lines so far, in order, in the pieces in which they were written."""
        which = {"its_id": plain(identifier)}
        return await self._database.read(lambda connection: list(connection.scalars(_JOURNAL, which)))

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
        return await self._database.read(
            lambda connection: page_of(connection.execute(query).all(), page_size, "started_at", _conversation)
        )

    async def documents(self, identifiers: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Those of conversations that have one, by id."""
        found = conversations.c.id.in_([plain(identifier) for identifier in identifiers])
        query = select(conversations).where(found, conversations.c.document.is_not(None))
        known = await self._database.read(lambda connection: _conversations(connection, query))
        return {each.id: each.document for each in known if each.document is not None}

    async def count(self, wanted: Wanted) -> int:
        """How many there are."""
        query = select(func.count()).select_from(conversations).where(*_conditions(wanted))
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def last_calls(self, agent_ids: Sequence[str]) -> dict[str, float]:
        """When the newest conversation of each of these agents began."""
        if not agent_ids:
            return {}
        query = (
            select(conversations.c.agent_id, func.max(conversations.c.started_at).label("began"))
            .where(conversations.c.agent_id.in_([plain(agent_id) for agent_id in agent_ids]))
            .group_by(conversations.c.agent_id)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.agent_id: row.began for row in rows}

    # ------------------------------------------------------------------------------------------------ changes

    async def rate(self, identifier: str, feedback: Mapping[str, Any], rating: int | None) -> None:
        """Keep what somebody thought of it, in its document and, if there are stars, in its column.

        Raises:
            NotFoundError: there is none of that id.
            ConflictError: it is not over, and has no document yet.
        """

        def rate(connection: Connection) -> None:
            row = connection.execute(_DOCUMENT, {"its_id": plain(identifier)}).first()
            if row is None:
                raise NotFoundError("conversation", identifier)
            if row.document is None:
                raise ConflictError("the conversation is not over yet")
            document: dict[str, Any] = msgspec.json.decode(row.document)
            document["metadata"]["feedback"] = {**(document["metadata"].get("feedback") or {}), **feedback}
            values: dict[str, Any] = {"document": dumps(document)}
            if rating is not None:
                values["rating"] = rating
            _change(connection, identifier, values)

        await self._database.write(rate)

    async def forget_audio(self, identifier: str, document: Mapping[str, Any]) -> None:
        """Its recording is gone. Raises NotFoundError."""
        values = {"document": dumps(document), "has_audio": False}
        await self._database.write(lambda connection: _change(connection, identifier, values))

    async def delete(self, identifier: str) -> None:
        """Forget it, its journal too. Raises NotFoundError."""

        def forget(connection: Connection) -> bool:
            # The conversation first: from then on nobody adds to its journal.
            which = conversations.c.id == plain(identifier)
            gone = connection.execute(delete(conversations).where(which)).rowcount
            connection.execute(delete(journal).where(journal.c.conversation_id == plain(identifier)))
            return gone > 0

        if not await self._database.write(forget):
            raise NotFoundError("conversation", identifier)

    async def ids(self, wanted: Wanted, *, limit: int = 1000) -> list[str]:
        """Ids, oldest first."""
        query = select(conversations.c.id).where(*_conditions(wanted)).order_by(conversations.c.started_at).limit(limit)
        return await self._database.read(lambda connection: list(connection.scalars(query)))

    async def forget_transcript(self, identifier: str, document: Mapping[str, Any]) -> None:
        """Its words are gone: its journal, whose it was, its title. Raises NotFoundError."""
        values = {"document": dumps(document), "user_id": None, "title": None}

        def forget(connection: Connection) -> None:
            _change(connection, identifier, values)
            connection.execute(delete(journal).where(journal.c.conversation_id == plain(identifier)))

        await self._database.write(forget)

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
        query = query.order_by(c.started_at).limit(limit)
        return await self._database.read(lambda connection: list(connection.scalars(query)))

    # ------------------------------------------------------------------------------------------------- archives

    async def following(self, identifier: str | None, limit: int, *, user_id: str | None = None) -> list[Conversation]:
        """Those, of one user or of all, that come after this id, by id, with their documents."""
        query = select(conversations).where(*_conditions(Wanted(user_id=user_id)))
        if identifier is not None:
            query = query.where(conversations.c.id > identifier)
        query = query.order_by(conversations.c.id).limit(limit)
        return await self._database.read(lambda connection: _conversations(connection, query))

    async def some(self, identifiers: Sequence[str]) -> set[str]:
        """Those of these ids that there are."""
        query = select(conversations.c.id).where(conversations.c.id.in_({plain(one) for one in identifiers}))
        return await self._database.read(lambda connection: set(connection.scalars(query)))

    async def restore(self, given: Sequence[Conversation]) -> None:
        """Keep these as they are, in place of those of the same ids and their journals: all of them or none."""
        if not given:
            return
        rows = [{**_columns(one), "alive_at": 0.0} for one in given]

        def restore(connection: Connection) -> None:
            connection.execute(upsert(connection, conversations), rows)
            connection.execute(delete(journal).where(journal.c.conversation_id.in_([row["id"] for row in rows])))

        await self._database.write(restore)

    async def restore_journal(self, identifier: str, lines: bytes) -> None:
        """Keep this as the journal of a conversation that has none."""
        row = {"conversation_id": plain(identifier), "number": 0, "lines": lines}
        await self._database.write(lambda connection: connection.execute(upsert(connection, journal), row))


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


def _change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    """Raises NotFoundError."""
    if not connection.execute(_CHANGE, {**values, "its_id": plain(identifier)}).rowcount:
        raise NotFoundError("conversation", identifier)


def _known(connection: Connection, identifiers: Iterable[str]) -> set[str]:
    """Those of these conversations that there are; nobody else changes or deletes them in this transaction's time."""
    query = select(conversations.c.id).where(conversations.c.id.in_(set(identifiers)))
    query = query.order_by(conversations.c.id)  # locked in one order by all, so that no two wait for each other
    return set(connection.scalars(query.with_for_update(key_share=True)))


def _conversations(connection: Connection, query: Select[Any]) -> list[Conversation]:
    return [_conversation(row) for row in connection.execute(query)]


def _conversation(row: Row[Any]) -> Conversation:
    values = {str(name): value for name, value in row._asdict().items()}  # pyright: ignore[reportPrivateUsage]
    del values["alive_at"]
    if values.get("document") is not None:
        values["document"] = msgspec.json.decode(values["document"])
    return Conversation(**values)
