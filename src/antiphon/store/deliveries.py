"""Webhooks that are still to be delivered: a queue that outlives the process, for one node or for many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, select, update

from .database import Database
from .resources import dumps
from .schema import deliveries


@dataclass(frozen=True, slots=True)
class Delivery:
    """One of them."""

    id: int
    target: Mapping[str, Any]
    "Where it goes: `webhook_id`, or `url` and `secret`."
    conversation_id: str
    event: str
    attempts: int
    "Made so far."
    created_at: float


class Deliveries:
    """The queue. Every question may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, now: float, *, until: float, limit: int) -> list[Delivery]:
        """Take what is due, for nobody else to take before `until`."""
        due = (deliveries.c.due_at <= now, deliveries.c.claimed_until <= now)
        query = select(deliveries).where(*due).order_by(deliveries.c.due_at).limit(limit)
        if not self._database.embedded:
            query = query.with_for_update(skip_locked=True)

        def claim(connection: Connection) -> list[Delivery]:
            claimed = [_delivery(row) for row in connection.execute(query)]
            if claimed:
                which = deliveries.c.id.in_([delivery.id for delivery in claimed])
                connection.execute(update(deliveries).where(which).values(claimed_until=until))
            return claimed

        return await self._database.write(claim)

    async def done(self, delivery_id: int) -> None:
        """Delivered, or given up."""
        statement = delete(deliveries).where(deliveries.c.id == delivery_id)
        await self._database.write(lambda connection: connection.execute(statement))

    async def later(self, delivery_id: int, *, due_at: float, failure: str | None = None) -> None:
        """Try again then. `failure`: why the attempt that was made has failed; None: none was made."""
        values: dict[str, Any] = {"due_at": due_at, "claimed_until": 0.0}
        if failure is not None:
            values.update(attempts=deliveries.c.attempts + 1, failure=failure)
        statement = update(deliveries).where(deliveries.c.id == delivery_id).values(values)
        await self._database.write(lambda connection: connection.execute(statement))

    async def next_due(self) -> float | None:
        """When the next one is due; None: nothing waits."""
        greatest = func.max if self._database.embedded else func.greatest
        query = select(func.min(greatest(deliveries.c.due_at, deliveries.c.claimed_until)))
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def waiting(self, conversation_id: str | None = None) -> list[Delivery]:
        """All of them, or those of a conversation, oldest first."""
        query = select(deliveries).order_by(deliveries.c.id)
        if conversation_id is not None:
            query = query.where(deliveries.c.conversation_id == conversation_id)
        return await self._database.read(lambda connection: [_delivery(row) for row in connection.execute(query)])

    async def forget(self, conversation_id: str) -> int:
        """Deliver nothing of a conversation any more. Returns how many deliveries waited."""
        statement = delete(deliveries).where(deliveries.c.conversation_id == conversation_id)
        return await self._database.write(lambda connection: connection.execute(statement).rowcount)


def queued(conversation_id: str, wanted: Sequence[tuple[Mapping[str, Any], str]], now: float) -> list[dict[str, Any]]:
    """The rows of deliveries, target and event of each, for somebody's transaction to insert."""
    return [
        {
            "target": dumps(target),
            "conversation_id": conversation_id,
            "event": event,
            "attempts": 0,
            "due_at": now,
            "created_at": now,
        }
        for target, event in wanted
    ]


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        row.id, msgspec.json.decode(row.target), row.conversation_id, row.event, row.attempts, row.created_at
    )
