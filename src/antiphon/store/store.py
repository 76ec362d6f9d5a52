"""Everything that is kept, behind one name."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .conversations import Conversations
from .database import Database, open_database
from .deliveries import Deliveries
from .keys import ApiKeys
from .resources import Resources
from .sealing import Sealer
from .spent import SpentTokens


@dataclass(frozen=True, slots=True)
class Store:
    """The questions that can be asked of the database, by what they are about."""

    database: Database
    resources: Resources
    "Agents, tools, tests, documents, secrets, settings: whatever has an id and a JSON document."
    conversations: Conversations
    deliveries: Deliveries
    "Webhooks that are still to be delivered."
    keys: ApiKeys
    spent: SpentTokens
    "Single-use tokens that have been used."


@asynccontextmanager
async def open_store(url: str, sealer: Sealer | None = None) -> AsyncGenerator[Store]:
    """The store in a database, migrated; see `open_database`. What is secret is sealed with `sealer`.

    Raises ConfigError, StoreError.
    """
    async with open_database(url) as database:
        yield Store(
            database,
            Resources(database, sealer),
            Conversations(database),
            Deliveries(database),
            ApiKeys(database),
            SpentTokens(database),
        )
