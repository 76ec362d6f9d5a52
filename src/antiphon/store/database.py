"""One database: connections to read with, one transaction at a time to write with, migrations before either.

SQLite is embedded: write-ahead log, one writer, readers that never wait for it. What is acknowledged survives the death
of the process; a machine that loses power may lose the last moments (`synchronous = NORMAL`), and nothing older.
PostgreSQL serves many nodes: each statement of a write is atomic there by itself and by its transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from antiphon.errors import ConfigError, StoreError

READERS = 4
"Connections that read at the same time."
BUSY = 10.0
"Seconds that SQLite waits for another process that writes."
MIGRATING = 0x416E7469
"The key of PostgreSQL's advisory lock: of nodes that start together, one migrates."

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


class Database:
    """A migrated database. Make it with `open_database`."""

    def __init__(self, reader: AsyncEngine, writer: AsyncEngine) -> None:
        self._reader = reader
        self._writer = writer
        self._writing = asyncio.Lock()
        self.embedded = reader.dialect.name == "sqlite"
        "It belongs to this process alone."

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection that reads. Raises StoreError."""
        with _Translated():
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction: committed on leaving, rolled back when that raises. Raises StoreError."""
        async with AsyncExitStack() as stack:
            if self.embedded:  # its writers would only wait for each other, each in a thread
                await stack.enter_async_context(self._writing)
            stack.enter_context(_Translated())
            yield await stack.enter_async_context(self._writer.begin())

    async def ping(self) -> None:
        """Raises StoreError when it does not answer."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def scrub(self) -> None:
        """Have what was deleted leave the files: SQLite's database was overwritten at once, its write-ahead log is cut
        off here, unless somebody reads there just now. In PostgreSQL it is for vacuum. Raises StoreError."""
        if self.embedded:
            with _Translated():
                async with self._reader.connect() as connection:
                    await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    async def aclose(self) -> None:
        """Close every connection."""
        await self._reader.dispose()
        if self._writer is not self._reader:
            await self._writer.dispose()


@asynccontextmanager
async def open_database(url: str) -> AsyncGenerator[Database]:
    """Connect, migrate, close at the end.

    `url`: `sqlite:///path/to/file.db` or `postgresql://user:password@host:port/name`.

    Raises:
        ConfigError: the URL is wrong, or the driver is not installed.
        StoreError: the database cannot be reached or migrated.
    """
    address = _address(url)
    try:
        reader = _engine(address, READERS)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing: install antiphon[postgres]", path="database") from error
    writer = _engine(address, 1) if reader.dialect.name == "sqlite" else reader
    database = Database(reader, writer)
    try:
        try:
            with _Translated():
                async with writer.begin() as connection:
                    await connection.run_sync(_migrate)
        except (TypeError, ValueError) as error:  # the driver's, on the options of the URL
            raise ConfigError("the URL has an option that the driver does not know", path="database") from error
        yield database
    finally:
        await database.aclose()


def _address(url: str) -> URL:
    try:
        address = make_url(url)
        address = address.set(drivername=_DRIVERS[address.drivername])
    except (ArgumentError, KeyError, ValueError) as error:
        # Not the URL itself: it may hold a password.
        message = "should be sqlite:///path or postgresql://user:password@host/name"
        raise ConfigError(message, path="database") from error
    if address.drivername.startswith("sqlite"):
        if not address.database or address.database == ":memory:":
            raise ConfigError("a database in memory would be lost: name a file", path="database")
        try:
            Path(address.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the database cannot be kept: {error}", path="database") from error
    elif mode := address.query.get("sslmode"):  # the name that PostgreSQL's own clients and its hosts give it
        address = address.difference_update_query(("sslmode",)).update_query_dict({"ssl": mode})
    return address


def _engine(address: URL, size: int) -> AsyncEngine:
    if not address.drivername.startswith("sqlite"):
        return create_async_engine(
            address, pool_size=2 * size, max_overflow=2 * size, pool_pre_ping=True, hide_parameters=True
        )
    engine = create_async_engine(
        address,
        pool_size=size,
        max_overflow=0,
        pool_timeout=BUSY,
        connect_args={"timeout": BUSY},
        hide_parameters=True,  # values may be anybody's words, and logs show causes
    )
    event.listen(engine.sync_engine, "connect", _tune)
    if size == 1:
        event.listen(engine.sync_engine, "begin", _begin_immediately)
    return engine


def _tune(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by us: the driver's own begin too late
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
        "secure_delete = ON",  # what is erased is not to be found in the file
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    connection.create_function("lower", 1, _lower, deterministic=True)  # its own knows A to Z alone


def _lower(text: str | None) -> str | None:
    return text if text is None else text.lower()


def _begin_immediately(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: Connection) -> None:
    """Bring the tables up to date."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


class _Translated:
    """Errors of the database as errors of the store."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, (SQLAlchemyError, OSError, TimeoutError)):
            # The text of a database error holds the statement and its values, which may be anybody's words.
            cause = getattr(error, "orig", None) or error
            cause = cause.__cause__ or cause  # PostgreSQL's driver is wrapped once more
            raise StoreError(f"the database failed: {type(cause).__name__}") from error
