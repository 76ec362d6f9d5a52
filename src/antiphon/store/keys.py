"""API keys, by their digests: the keys themselves are nowhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from antiphon.errors import NotFoundError

from .database import Database
from .resources import plain
from .schema import api_keys

NOTED_EVERY = 60.0
"Seconds between two notes of a key's use: a busy key must not mean a busy database."


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of one."""

    id: str
    name: str
    digest: str
    "SHA-256, hexadecimal."
    hint: str
    "Its last characters, for people to know it by."
    scopes: Sequence[str]
    created_at: float
    revoked_at: float | None = None
    used_at: float | None = None


class ApiKeys:
    """The table of keys. Every question may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey) -> None:
        """Keep a new one."""
        values = {name: getattr(key, name) for name in ApiKey.__slots__}
        values |= {"name": plain(key.name), "scopes": json.dumps(list(key.scopes))}
        await self._database.write(lambda connection: connection.execute(insert(api_keys).values(values)))

    async def all(self) -> list[ApiKey]:
        """Every key, revoked ones too, oldest first."""
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        return await self._database.read(lambda connection: [_key(row) for row in connection.execute(query)])

    async def by_digest(self, digest: str) -> ApiKey | None:
        """The key with this digest, if it is valid."""
        query = select(api_keys).where(api_keys.c.digest == digest, api_keys.c.revoked_at.is_(None))
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else _key(row)

    async def any_valid(self) -> bool:
        """Whether there is one that opens anything."""
        query = select(api_keys.c.id).where(api_keys.c.revoked_at.is_(None)).limit(1)
        return await self._database.read(lambda connection: connection.execute(query).first() is not None)

    async def revoke(self, identifier: str, *, now: float) -> None:
        """It opens nothing any more; once revoked, it stays so. Raises NotFoundError."""

        def revoke(connection: Connection) -> None:
            known = connection.execute(select(api_keys.c.id).where(api_keys.c.id == identifier)).first()
            if known is None:
                raise NotFoundError("api_key", identifier)
            valid = (api_keys.c.id == identifier, api_keys.c.revoked_at.is_(None))
            connection.execute(update(api_keys).where(*valid).values(revoked_at=now))

        await self._database.write(revoke)

    async def note_use(self, key: ApiKey, *, now: float) -> None:
        """It was used now; noted at most once a minute."""
        if key.used_at is not None and now < key.used_at + NOTED_EVERY:
            return
        stale = or_(api_keys.c.used_at.is_(None), api_keys.c.used_at <= now - NOTED_EVERY)
        statement = update(api_keys).where(api_keys.c.id == key.id, stale).values(used_at=now)
        await self._database.write(lambda connection: connection.execute(statement))


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        row.id,
        row.name,
        row.digest,
        row.hint,
        tuple(json.loads(row.scopes)),
        row.created_at,
        row.revoked_at,
        row.used_at,
    )
