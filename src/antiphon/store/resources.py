"""Whatever has an id and a JSON document: agents, tools, tests, documents, secrets, settings."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Row,
    Select,
    String,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from antiphon.errors import ConflictError, NotFoundError, StoreError

from .database import Database
from .schema import contents, resources
from .sealing import SEALED_KINDS, Sealer, is_sealed, unknown_key

T = TypeVar("T")
SortBy = Literal["created_at", "updated_at", "name"]
TICK = 1e-6
"Seconds between versions that were made at the same time: each has an `updated_at` of its own."

_ONE = select(resources).where(resources.c.kind == bindparam("kind"), resources.c.id == bindparam("id"))
"Made once, as it is asked all the time: to make a statement takes twice as long as to run it."


@dataclass(frozen=True, slots=True)
class Resource:
    """One of them."""

    kind: str
    id: str
    name: str
    document: dict[str, Any]
    created_at: float
    updated_at: float
    archived: bool = False
    parent: str = ""
    "What it belongs to: a document's folder."


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list."""

    items: Sequence[T]
    next_cursor: str | None
    "What asks for the part after it; None: there is none."

    @property
    def has_more(self) -> bool:
        """Whether there is."""
        return self.next_cursor is not None


class Resources:
    """The table of resources. Every question may raise StoreError.

    `sealer`: seals documents that are secret; None: they are kept as they are, and sealed ones cannot be read.
    """

    def __init__(self, database: Database, sealer: Sealer | None = None) -> None:
        self._database = database
        self._sealer = sealer

    async def create(
        self, kind: str, identifier: str, name: str, document: Mapping[str, Any], *, now: float, parent: str = ""
    ) -> Resource:
        """Keep a new one. Raises ConflictError: there is one of that id."""
        values = self._columns(Resource(kind, identifier, name, dict(document), now, now, parent=parent))

        def create(connection: Connection) -> Resource:
            connection.execute(insert(resources).values(**values))
            return self._resource(connection.execute(_ONE, {"kind": kind, "id": plain(identifier)}).one())

        try:
            return await self._database.write(create)
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise ConflictError(f"there is a {kind} with id {identifier!r} already") from error
            raise

    async def get(self, kind: str, identifier: str) -> Resource:
        """One. Raises NotFoundError."""

        def get(connection: Connection) -> Resource:
            row = connection.execute(_ONE, {"kind": kind, "id": plain(identifier)}).first()
            if row is None:
                raise NotFoundError(kind, identifier)
            return self._resource(row)

        return await self._database.read(get)

    async def some(self, kind: str, identifiers: Sequence[str]) -> list[Resource]:
        """Those of these ids that there are, in the order of the ids."""
        if not identifiers:
            return []
        query = select(resources).where(resources.c.kind == kind, resources.c.id.in_(set(map(plain, identifiers))))
        found = {one.id: one for one in await self._database.read(lambda connection: self._found(connection, query))}
        return [found[identifier] for identifier in dict.fromkeys(identifiers) if identifier in found]

    async def all(self, kind: str) -> list[Resource]:
        """Every one of a kind, oldest first."""
        query = select(resources).where(resources.c.kind == kind).order_by(resources.c.created_at, resources.c.id)
        return await self._database.read(lambda connection: self._found(connection, query))

    async def update(
        self,
        kind: str,
        identifier: str,
        *,
        now: float,
        name: str | None = None,
        document: Mapping[str, Any] | None = None,
        archived: bool | None = None,
        parent: str | None = None,
        expected: float | None = None,
    ) -> Resource:
        """Change what is given. `expected`: the `updated_at` that the change was made from.

        The new one is `now`, or just after the old one where the clock has not moved on since.

        Raises:
            NotFoundError: there is none of that id.
            ConflictError: somebody else has changed it since `expected`.
        """
        before = resources.c.updated_at
        values: dict[str, Any] = {"updated_at": case((before < now, now), else_=before + TICK)}
        if name is not None:
            values["name"] = plain(name)
        if document is not None:
            values["document"] = self._kept(kind, identifier, document)
        if archived is not None:
            values["archived"] = archived
        if parent is not None:
            values["parent"] = plain(parent)
        which = _is(kind, identifier)
        if expected is not None:
            which = and_(which, resources.c.updated_at == expected)

        def change(connection: Connection) -> Resource:
            changed = connection.execute(update(resources).where(which).values(values)).rowcount
            row = connection.execute(_ONE, {"kind": kind, "id": plain(identifier)}).first()
            if row is None or (not changed and expected is None):  # it was made just after it was looked for
                raise NotFoundError(kind, identifier)
            if not changed:
                raise ConflictError(f"the {kind} {identifier!r} was changed by somebody else at the same time")
            return self._resource(row)

        return await self._database.write(change)

    async def put(self, kind: str, identifier: str, name: str, document: Mapping[str, Any], *, now: float) -> Resource:
        """Keep it, whether there was one or not."""
        try:
            return await self.update(kind, identifier, now=now, name=name, document=document)
        except NotFoundError:
            pass
        try:
            return await self.create(kind, identifier, name, document, now=now)
        except ConflictError:  # somebody else was faster
            return await self.update(kind, identifier, now=now, name=name, document=document)

    async def delete(self, kind: str, identifier: str) -> None:
        """Forget it, with its content. Raises NotFoundError."""

        def forget(connection: Connection) -> bool:
            gone = connection.execute(delete(resources).where(_is(kind, identifier))).rowcount
            connection.execute(delete(contents).where(contents.c.kind == kind, contents.c.id == plain(identifier)))
            return gone > 0

        if not await self._database.write(forget):
            raise NotFoundError(kind, identifier)

    async def page(
        self,
        kind: str,
        *,
        cursor: str | None = None,
        page_size: int = 30,
        search: str | None = None,
        archived: bool | None = None,
        parent: str | None = None,
        sort_by: SortBy = "created_at",
        descending: bool = True,
    ) -> Page[Resource]:
        """A part of the list. `search`: what the name contains, in any case. Raises CursorError."""
        query = select(resources).where(resources.c.kind == kind)
        if search:
            query = query.where(func.lower(resources.c.name).contains(plain(search).lower(), autoescape=True))
        if archived is not None:
            query = query.where(resources.c.archived == archived)
        if parent is not None:
            query = query.where(resources.c.parent == plain(parent))
        query = paged(query, resources.c[sort_by], resources.c.id, cursor, page_size, descending=descending)
        return await self._database.read(
            lambda connection: page_of(connection.execute(query).all(), page_size, sort_by, self._resource)
        )

    async def count(self, kind: str | None = None) -> int:
        """How many there are, of a kind or of all."""
        query = select(func.count()).select_from(resources)
        if kind is not None:
            query = query.where(resources.c.kind == kind)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    # ------------------------------------------------------------------------------------------------- archives

    async def following(self, place: tuple[str, str] | None, limit: int) -> list[tuple[Resource, str | None]]:
        """Of all kinds, by kind and id, those that come after this kind and id, each with its content's media type."""
        own = and_(contents.c.kind == resources.c.kind, contents.c.id == resources.c.id)
        query = select(resources, contents.c.media_type).outerjoin(contents, own)
        if place is not None:
            kind, identifier = place
            later = and_(resources.c.kind == kind, resources.c.id > identifier)
            query = query.where(or_(resources.c.kind > kind, later))
        query = query.order_by(resources.c.kind, resources.c.id).limit(limit)
        return await self._database.read(
            lambda connection: [(self._resource(row), row.media_type) for row in connection.execute(query)]
        )

    async def restore(self, given: Sequence[Resource]) -> None:
        """Keep these as they are, times included, in place of those of the same ids: all of them or none."""
        if rows := [self._columns(one) for one in given]:
            await self._database.write(lambda connection: connection.execute(upsert(connection, resources), rows))

    # ------------------------------------------------------------------------------------------------- contents

    async def put_content(self, kind: str, identifier: str, media_type: str, data: bytes) -> None:
        """Keep the bytes of a resource."""
        row = fitting(contents, {"kind": kind, "id": plain(identifier), "media_type": media_type, "data": data})
        await self._database.write(lambda connection: connection.execute(upsert(connection, contents), row))

    async def content(self, kind: str, identifier: str) -> tuple[str, bytes]:
        """Media type and bytes. Raises NotFoundError."""
        query = select(contents).where(contents.c.kind == kind, contents.c.id == plain(identifier))
        row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None:
            raise NotFoundError(kind, identifier)
        return row.media_type, row.data

    # ------------------------------------------------------------------------------------------------------ rows

    async def seal(self) -> int:
        """Seal what is secret and is not sealed yet, or with an earlier key. Returns how many documents that were.

        Raises SealError: one is sealed with a key that is not known.
        """
        if self._sealer is None:
            return 0
        count = 0
        query = select(resources).where(resources.c.kind.in_(SEALED_KINDS))
        for row in await self._database.read(lambda connection: connection.execute(query).all()):
            document = self._resource(row).document
            if self._sealer.is_current(row.document):
                continue
            same = and_(_is(row.kind, row.id), resources.c.document == row.document)  # or somebody has changed it
            sealed = update(resources).where(same).values(document=self._kept(row.kind, row.id, document))
            count += await self._database.write(
                lambda connection, statement=sealed: connection.execute(statement).rowcount
            )
        if count:
            await self._database.scrub()
        return count

    def _kept(self, kind: str, identifier: str, document: Mapping[str, Any]) -> str:
        text = dumps(document)
        if self._sealer is None or kind not in SEALED_KINDS:
            return text
        return self._sealer.seal(kind, plain(identifier), text)

    def _columns(self, resource: Resource) -> dict[str, Any]:
        values = {
            "kind": resource.kind,
            "id": resource.id,
            "name": resource.name,
            "parent": resource.parent,
            "document": self._kept(resource.kind, resource.id, resource.document),
            "archived": resource.archived,
            "created_at": resource.created_at,
            "updated_at": resource.updated_at,
        }
        return fitting(resources, values)

    def _found(self, connection: Connection, query: Select[Any]) -> list[Resource]:
        return [self._resource(row) for row in connection.execute(query)]

    def _resource(self, row: Row[Any]) -> Resource:
        text: str = row.document
        if is_sealed(text):
            if self._sealer is None:
                raise unknown_key(row.kind, row.id, text)
            text = self._sealer.open(row.kind, row.id, text)
        return Resource(
            kind=row.kind,
            id=row.id,
            name=row.name,
            document=msgspec.json.decode(text),
            created_at=row.created_at,
            updated_at=row.updated_at,
            archived=row.archived,
            parent=row.parent,
        )


# --------------------------------------------------------------------------------------------------------- JSON


def dumps(document: object) -> str:
    """JSON text that every database takes and every reader understands.

    Half a surrogate pair becomes `?`; a number that JSON does not know, null, as in JavaScript.
    """
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(document), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in cast("Sequence[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain(text: str) -> str:
    """A text as a column can hold it: databases refuse NUL and half a surrogate pair, which become `?`."""
    return text.replace("\0", "?").encode("utf-8", "replace").decode()


def fitting(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a row is to hold, as its columns can hold it: texts are plain, and cut where a column has an end.

    PostgreSQL would refuse the row, and with it all that is written at the same time. Ids are never cut.
    """
    row = dict(values)
    for name, value in values.items():
        if isinstance(value, str):
            column = table.c[name]
            length = None if column.primary_key else cast("String", column.type).length
            row[name] = plain(value)[:length]
    return row


def upsert(connection: Connection, table: Table) -> Insert:
    """An insert that replaces the row of the same key."""
    statement = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
    changed = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=table.primary_key.columns, set_=changed)


def _is(kind: str, identifier: str) -> ColumnElement[bool]:
    return and_(resources.c.kind == kind, resources.c.id == plain(identifier))


# -------------------------------------------------------------------------------------------------------- paging


def paged(query: Select[Any], column: Any, key: Any, cursor: str | None, size: int, *, descending: bool) -> Select[Any]:
    """The query for one part of it and one row more, which shows that there is more."""
    if cursor:
        value, identifier = _place(cursor, column.type.python_type)
        beyond = (column < value, key < identifier) if descending else (column > value, key > identifier)
        query = query.where(or_(beyond[0], and_(column == value, beyond[1])))
    order = (column.desc(), key.desc()) if descending else (column.asc(), key.asc())
    return query.order_by(*order).limit(size + 1)


def page_of(rows: Sequence[Row[Any]], size: int, sorted_by: str, item: Callable[[Row[Any]], T]) -> Page[T]:
    """The part that these rows are."""
    more = len(rows) > size
    rows = rows[:size]
    cursor = _cursor(getattr(rows[-1], sorted_by), rows[-1].id) if more and rows else None
    return Page([item(row) for row in rows], cursor)


def _cursor(*place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _place(cursor: str, kind: type) -> tuple[Any, str]:
    try:
        value, identifier = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if type(value) is not kind or not isinstance(identifier, str):
            raise ValueError("a cursor holds a value of the column and an id")
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise CursorError("the cursor is none that this server gave out") from error
    return plain(value) if isinstance(value, str) else value, plain(identifier)


class CursorError(StoreError):
    """A list was asked for from a place that it never named."""
