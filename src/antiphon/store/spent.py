"""Single-use tokens that have been used: what makes them single-use on every node."""

from __future__ import annotations

from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError

from antiphon.errors import StoreError

from .database import Database
from .schema import spent_tokens


class SpentTokens:
    """The table of spent tokens. Every question may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def spend(self, token_id: str, expires_at: float) -> bool:
        """Use a token: True for one caller in all the world, False ever after.

        `expires_at`: from when on the token is void by itself, so that it need not be remembered.
        """
        # The primary key decides, in either database, also between two that come at once.
        statement = insert(spent_tokens).values(token_id=token_id, expires_at=expires_at)
        try:
            await self._database.write(lambda connection: connection.execute(statement))
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise
        return True

    async def sweep(self, *, now: float) -> int:
        """Forget tokens that have expired. Returns how many."""
        statement = delete(spent_tokens).where(spent_tokens.c.expires_at <= now)
        return await self._database.write(lambda connection: connection.execute(statement).rowcount)
