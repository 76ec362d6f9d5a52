"""One database: connections to read with, one transaction at a time to write with, migrations before either.

SQLite is embedded: write-ahead log, one writer, readers that never wait for it. What is acknowledged survives the death
of the process; a machine that loses power may lose the last moments (`synchronous = NORMAL`), and nothing older.
PostgreSQL serves many nodes: each statement of a write is atomic there by itself and by its transaction.

Whoever asks hands over a function of a connection, which is called once, with a connection that is nobody else's
meanwhile: with SQLite in a thread, with PostgreSQL in the event loop's. It may only touch what nobody changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from antiphon.errors import ConfigError, StoreError

T = TypeVar("T")
Work: TypeAlias = Callable[[Connection], T]
"A question or a transaction, whole. What it returns must not need the connection any more."
READERS = 4
"Connections that read at the same time."
BUSY = 10.0
"Seconds that SQLite waits for another process that writes."
MIGRATING = 0x416E7469
"The key of PostgreSQL's advisory lock: of nodes that start together, one migrates."

_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


class Database:
    """A migrated database. Make it with `open_database`.

    Who is cancelled does not know what became of a transaction: not begun, it never will be; begun, it may have been
    committed, as a whole.
    """

    def __init__(self, reader: _Threads | _Server, writer: _Threads | _Server) -> None:
        self._reader = reader
        self._writer = writer
        self._open = asyncio.Event()
        self._open.set()
        self.embedded = isinstance(writer, _Threads)
        "It belongs to this process alone."

    async def read(self, work: Work[T]) -> T:
        """What `work` finds. Raises StoreError, and what `work` raises."""
        await self._open.wait()
        with _Translated():
            return await self._reader.run(work)

    async def write(self, work: Work[T]) -> T:
        """What `work` returns, in a transaction: committed then, rolled back when it raises. Raises StoreError, and
        what `work` raises."""
        await self._open.wait()
        with _Translated():
            return await self._writer.run(work)

    async def ping(self) -> None:
        """Raises StoreError when it does not answer."""
        await self.read(lambda connection: connection.scalar(text("SELECT 1")))

    async def scrub(self) -> None:
        """Have what was deleted leave the files: SQLite's database was overwritten at once, its write-ahead log is cut
        off here, unless somebody reads there just now. In PostgreSQL it is for vacuum. Raises StoreError."""
        if self.embedded:
            await self.read(lambda connection: connection.scalar(text("PRAGMA wal_checkpoint(TRUNCATE)")))

    async def aclose(self) -> None:
        """Close every connection; SQLite first finishes what it was asked. Who asks meanwhile waits for that."""
        self._open.clear()
        try:
            await self._reader.aclose()
            await self._writer.aclose()
        finally:
            self._open.set()


class _Threads:
    """Connections to SQLite, which blocks: each is used in a thread. A single one writes, the thread's queue being the
    order of transactions; several read.

    Work is one trip to a thread and back, however many statements it has: a trip costs as much as a statement or two.
    Whose caller is cancelled before it has begun is dropped; what has begun is finished, before the thread takes the
    next. The queue needs no bound: in it is one work of each task that waits.
    """

    def __init__(self, address: URL, size: int) -> None:
        self.engine = create_engine(
            address,
            pool_size=size,
            max_overflow=0,
            pool_timeout=BUSY,
            connect_args={"timeout": BUSY},
            hide_parameters=True,  # values may be anybody's words, and logs show causes
        )
        event.listen(self.engine, "connect", _tune)
        self._connection: Callable[[], AbstractContextManager[Connection]] = self.engine.connect
        if size == 1:
            event.listen(self.engine, "begin", _begin_immediately)
            self._connection = self.engine.begin
        self._size = size
        self._threads = self._new_threads()

    async def run(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)

    async def aclose(self) -> None:
        threads, self._threads = self._threads, self._new_threads()  # first: the waiting may be cancelled
        await asyncio.to_thread(self._close, threads)

    def _new_threads(self) -> ThreadPoolExecutor:  # each is started when it is first needed
        name = "antiphon-store-writer" if self._size == 1 else "antiphon-store-reader"
        return ThreadPoolExecutor(self._size, thread_name_prefix=name)

    def _run(self, work: Work[T]) -> T:
        with self._connection() as connection:
            return work(connection)

    def _close(self, threads: ThreadPoolExecutor) -> None:
        threads.shutdown()
        self.engine.dispose()


class _Server:
    """Connections to PostgreSQL, whose driver waits without blocking. `connection`: makes one, in a transaction or not.

    Whose caller is cancelled is rolled back, unless it was about to be committed.
    """

    def __init__(
        self, engine: AsyncEngine, connection: Callable[[], AbstractAsyncContextManager[AsyncConnection]]
    ) -> None:
        self._engine = engine
        self._connection = connection

    async def run(self, work: Work[T]) -> T:
        async with self._connection() as connection:
            return await connection.run_sync(work)

    async def aclose(self) -> None:
        await self._engine.dispose()


@asynccontextmanager
async def open_database(url: str) -> AsyncGenerator[Database]:
    """Connect, migrate, close at the end.

    `url`: `sqlite:///path/to/file.db` or `postgresql://user:password@host:port/name`.

    Raises:
        ConfigError: the URL is wrong, or the driver is not installed.
        StoreError: the database cannot be reached or migrated.
    """
    address = _address(url)
    if address.drivername.startswith("sqlite"):
        database = Database(_Threads(address, READERS), _Threads(address, 1))
    else:
        engine = _engine(address)
        database = Database(_Server(engine, engine.connect), _Server(engine, engine.begin))
    try:
        try:
            await database.write(_migrate)
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


def _engine(address: URL) -> AsyncEngine:
    try:
        return create_async_engine(
            address, pool_size=2 * READERS, max_overflow=2 * READERS, pool_pre_ping=True, hide_parameters=True
        )
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is missing: install antiphon[postgres]", path="database") from error


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
