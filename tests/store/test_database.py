"""The database itself: addresses, migrations, transactions, and what is left of it after a `kill -9`."""

from __future__ import annotations

import asyncio
import functools
import random
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from benchmarks.kills import kill_one
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.util import await_only

from antiphon.errors import ConfigError, ConflictError, NotFoundError, StoreError
from antiphon.store.conversations import Conversation
from antiphon.store.database import READERS, Database, open_database
from antiphon.store.schema import metadata, resources
from antiphon.store.store import Store, open_store

Ask = Callable[[Coroutine[Any, Any, Any]], Any]
ROW = {
    "kind": "agent",
    "id": "agent_1",
    "name": "whispered",
    "document": "{}",
    "archived": False,
    "created_at": 1.0,
    "updated_at": 1.0,
}


@pytest.fixture
def embedded(tmp_path: Path, ask: Ask) -> Iterator[Store]:
    """An empty store in SQLite."""
    opening = open_store(f"sqlite:///{tmp_path}/antiphon.db")
    yield ask(opening.__aenter__())
    ask(opening.__aexit__(None, None, None))


async def opened(url: str) -> None:
    async with open_database(url) as database:
        await database.ping()


# --------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "url",
    [
        "",
        "secret",
        "mysql://user:secret@host/name",
        "postgresql://user:secret@host:secret/name",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
    ],
)
def test_an_address_that_makes_no_sense_is_told(ask: Ask, url: str) -> None:
    """Without the address, in which a password may stand."""
    with pytest.raises(ConfigError) as caught:
        ask(opened(url))
    assert caught.value.path == "database"
    assert "secret" not in str(caught.value)


def test_a_folder_for_the_file_is_made(ask: Ask, tmp_path: Path) -> None:
    """Where that is possible."""
    ask(opened(f"sqlite:///{tmp_path}/deep/down/antiphon.db"))
    assert (tmp_path / "deep/down/antiphon.db").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be kept"):
        ask(opened(f"sqlite:///{tmp_path}/file/antiphon.db"))


def test_a_file_of_something_else_is_left_alone(ask: Ask, tmp_path: Path) -> None:
    """It is no database."""
    file = tmp_path / "antiphon.db"
    file.write_text("these are my notes\n" * 100)
    before = file.read_bytes()
    with pytest.raises(StoreError, match="DatabaseError"):
        ask(opened(f"sqlite:///{file}"))
    assert file.read_bytes() == before


def test_a_missing_driver_is_told_with_its_extra(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite needs nothing more; PostgreSQL does."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigError, match=r"asyncpg is missing: install antiphon\[postgres\]"):
        ask(opened("postgresql://user:secret@127.0.0.1/name"))


@pytest.mark.component("postgresql")
def test_a_server_that_does_not_answer_is_a_store_error(ask: Ask) -> None:
    """Nothing listens on port 1."""
    with pytest.raises(StoreError, match=r"^the database failed: ConnectionRefusedError$"):
        ask(opened("postgresql://user:secret@127.0.0.1:1/name"))


@pytest.mark.component("postgresql")
def test_what_the_server_refuses_is_a_store_error(ask: Ask, cluster: Any, postgresql_url: str) -> None:
    """It says what, and no more."""
    with pytest.raises(StoreError, match=r"^the database failed: InvalidCatalogNameError$"):
        ask(opened(f"{postgresql_url}_secret"))
    cluster.psql("CREATE ROLE secret")
    with pytest.raises(StoreError, match=r"^the database failed: InvalidAuthorizationSpecificationError$"):
        ask(opened(postgresql_url.replace("postgres@", "secret:secret@")))


@pytest.mark.component("postgresql")
def test_options_of_a_postgresql_address_are_understood(ask: Ask, postgresql_url: str) -> None:
    """`sslmode`, as hosts of PostgreSQL write it; `postgres://`; one that nobody knows is told."""
    url = postgresql_url
    ask(opened(f"{url}?sslmode=disable"))
    ask(opened(url.replace("postgresql://", "postgres://")))
    with pytest.raises(StoreError, match="ConnectionError"):  # it has no certificate
        ask(opened(f"{url}?sslmode=require"))
    with pytest.raises(ConfigError) as caught:
        ask(opened(f"{url}?colour=secret"))
    assert "secret" not in str(caught.value)


# -------------------------------------------------------------------------------------------------------- migrations


async def differences(url: str) -> list[Any]:
    def compare(connection: Connection) -> list[Any]:
        # SQLite spells the default '' in a way that Alembic takes for another.
        defaults = connection.dialect.name != "sqlite"
        options = {"compare_type": True, "compare_server_default": defaults}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, metadata)

    async with open_database(url) as database:
        return await database.read(compare)


def test_migrations_make_the_tables_of_the_schema(url: str, ask: Ask) -> None:
    """Alembic finds nothing to add, to drop or to change."""
    assert ask(differences(url)) == []


def test_what_is_up_to_date_is_left_as_it_is(url: str, ask: Ask) -> None:
    """Opening twice loses nothing."""

    async def twice() -> None:
        async with open_store(url) as store:
            await store.resources.create("agent", "agent_1", "x", {}, now=1.0)
        async with open_store(url) as store:
            assert (await store.resources.get("agent", "agent_1")).name == "x"
        assert await differences(url) == []

    ask(twice())


def test_processes_that_start_together_migrate_once(url: str, ask: Ask) -> None:
    """One does it, the others wait; each then works."""
    program = (
        "import asyncio, sys\n"
        "from antiphon.store.store import open_store\n"
        "async def main():\n"
        "    async with open_store(sys.argv[1]) as store:\n"
        "        await store.resources.create('agent', sys.argv[2], 'x', {}, now=1.0)\n"
        "input()\n"
        "asyncio.run(main())\n"
    )
    nodes = [
        subprocess.Popen([sys.executable, "-c", program, url, str(node)], stdin=subprocess.PIPE) for node in range(4)
    ]
    for node in nodes:
        assert node.stdin is not None
        node.stdin.write(b"\n")
        node.stdin.close()
    assert [node.wait(60) for node in nodes] == [0, 0, 0, 0]

    async def count() -> int:
        async with open_store(url) as store:
            return await store.resources.count("agent")

    assert ask(count()) == 4
    assert ask(differences(url)) == []


# ------------------------------------------------------------------------------------------------------ transactions


class Held:
    """A transaction that has added ROW and stays open: `async with Held(database) as held`. It ends when it is let go,
    at the latest on leaving, by `failure` if there is one.
    """

    def __init__(self, database: Database, failure: Exception | None = None) -> None:
        self._database = database
        self._failure = failure
        self._begun = asyncio.Event()
        self._go = asyncio.Event()
        self._go_threads = threading.Event()
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Held:
        self.writing = asyncio.create_task(self._database.write(self._work))
        async with asyncio.timeout(10.0):
            await self._begun.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.let_go()
        await asyncio.wait({self.writing})

    def let_go(self) -> None:
        self._go.set()
        self._go_threads.set()

    def _work(self, connection: Connection) -> None:
        connection.execute(insert(resources).values(ROW))
        self._loop.call_soon_threadsafe(self._begun.set)
        if self._database.embedded:
            assert self._go_threads.wait(10.0)
        else:  # in the loop's thread: waiting as the driver does
            await_only(self._go.wait())
        if self._failure is not None:
            raise self._failure


async def ids(store: Store) -> list[str]:
    return sorted(one.id for one in await store.resources.all("agent"))


def test_what_fails_is_rolled_back(store: Store, ask: Ask) -> None:
    """All of it; what was raised comes out as it is, and the next transaction finds nothing in its way."""
    for error in (RuntimeError("mine"), NotFoundError("agent", "x"), ConflictError("mine"), StoreError("mine")):

        def fail(connection: Connection, error: Exception = error) -> None:
            connection.execute(insert(resources).values(ROW))
            raise error

        with pytest.raises(type(error)) as caught:
            ask(store.database.write(fail))
        assert caught.value is error
        assert ask(ids(store)) == []
    ask(store.resources.create("agent", "agent_1", "x", {}, now=1.0))


def test_a_failure_of_the_database_tells_its_cause(store: Store, ask: Ask) -> None:
    """Callers look at it: a key that is taken means something to them."""
    add = insert(resources).values(ROW)
    ask(store.database.write(lambda connection: connection.execute(add)))
    with pytest.raises(StoreError) as caught:
        ask(store.database.write(lambda connection: connection.execute(add)))
    assert isinstance(caught.value.__cause__, IntegrityError)
    with pytest.raises(StoreError) as caught:
        ask(store.database.read(lambda connection: connection.execute(text("SELECT nothing"))))
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert ask(ids(store)) == ["agent_1"]


def test_whose_caller_is_cancelled_in_its_midst_is_whole_or_nothing(store: Store, ask: Ask) -> None:
    """A thread cannot be stopped, and finishes; PostgreSQL rolls back. What comes next finds nothing in its way."""

    async def cancel() -> None:
        async with Held(store.database) as held:
            held.writing.cancel()
            await asyncio.wait({held.writing})  # which does not wait for the thread
            assert held.writing.cancelled()
        await store.resources.create("agent", "agent_2", "x", {}, now=1.0)
        assert await ids(store) == (["agent_1", "agent_2"] if store.database.embedded else ["agent_2"])

    ask(cancel())


def test_whose_caller_is_cancelled_may_still_fail(store: Store, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """It is rolled back; nobody is there to be told."""

    async def cancel() -> None:
        async with Held(store.database, RuntimeError("mine")) as held:
            held.writing.cancel()
            await asyncio.wait({held.writing})
        await store.resources.create("agent", "agent_2", "x", {}, now=1.0)
        assert await ids(store) == ["agent_2"]

    ask(cancel())
    assert caplog.records == []


def test_what_waits_for_its_turn_goes_with_its_caller(embedded: Store, ask: Ask) -> None:
    """Nothing of it happens, and those behind it have their turn."""
    done: list[str] = []

    async def cancel() -> None:
        async with Held(embedded.database) as held, asyncio.TaskGroup() as tasks:
            first = tasks.create_task(embedded.database.write(lambda _: done.append("first")))
            second = tasks.create_task(embedded.database.write(lambda _: done.append("second")))
            await asyncio.sleep(0)  # both are in the queue
            first.cancel()
            await asyncio.wait({first})
            assert done == []
            held.let_go()
        assert second.done()
        assert done == ["second"]

    ask(cancel())


def test_one_writes_at_a_time(embedded: Store, ask: Ask) -> None:
    """In one thread, in the order in which they came."""
    writing = threading.Lock()
    order: list[int] = []
    threads: set[str] = set()

    def write(number: int, connection: Connection) -> None:
        assert writing.acquire(blocking=False)
        order.append(number)
        threads.add(threading.current_thread().name)
        connection.execute(insert(resources).values({**ROW, "id": f"agent_{number}"}))
        writing.release()

    async def everybody() -> None:
        await asyncio.gather(*(embedded.database.write(functools.partial(write, number)) for number in range(40)))

    ask(everybody())
    assert order == list(range(40))
    assert threads == {"antiphon-store-writer_0"}
    assert len(ask(ids(embedded))) == 40


def test_several_read_at_a_time(embedded: Store, ask: Ask) -> None:
    """Each in a thread with a connection of its own."""
    meeting = threading.Barrier(READERS, timeout=10.0)

    def meet(connection: Connection) -> int:
        meeting.wait()
        return id(connection.connection.dbapi_connection)

    async def everybody() -> list[int]:
        return await asyncio.gather(*(embedded.database.read(meet) for _ in range(READERS)))

    assert len(set(ask(everybody()))) == READERS


def test_closing_finishes_what_was_asked(embedded: Store, ask: Ask) -> None:
    """What is under way and what waits behind it, without holding up the loop; who asks meanwhile connects anew, once
    all is closed."""

    def threads(_: Connection) -> list[str]:
        return [one.name for one in threading.enumerate() if one.name.startswith("antiphon-store")]

    async def close() -> None:
        async with Held(embedded.database) as held, asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(embedded.resources.create("agent", "agent_2", "x", {}, now=1.0))
            await asyncio.sleep(0)
            closing = tasks.create_task(embedded.database.aclose())
            assert await asyncio.to_thread(held.writing.done) is False  # the loop is free
            assert not closing.done()
            meanwhile = tasks.create_task(embedded.database.read(threads))
            held.let_go()
            await closing
            assert held.writing.done()
            assert waiting.done()
        assert meanwhile.result() == ["antiphon-store-reader_0"]
        await embedded.resources.create("agent", "agent_3", "x", {}, now=1.0)
        assert await ids(embedded) == ["agent_1", "agent_2", "agent_3"]

    ask(close())


def test_readers_do_not_wait_for_writers(store: Store, ask: Ask) -> None:
    """They see what was committed, however long a transaction takes; more readers than connections wait for each
    other alone."""

    async def read_meanwhile() -> None:
        await store.resources.create("agent", "agent_0", "x", {}, now=1.0)
        async with Held(store.database):
            pages = await asyncio.gather(*(store.resources.page("agent") for _ in range(40)))
            assert all([one.id for one in page.items] == ["agent_0"] for page in pages)
        assert await store.resources.count("agent") == 2

    ask(read_meanwhile())


def test_errors_hold_no_words_of_anybody(store: Store, ask: Ask) -> None:
    """Neither their text, nor the statement in the trace that a log would show of what our own code wrote."""

    wrong = insert(resources).values({**ROW, "archived": None})
    with pytest.raises(StoreError) as caught:
        ask(store.database.write(lambda connection: connection.execute(wrong)))
    assert str(caught.value) in ("the database failed: IntegrityError", "the database failed: NotNullViolationError")
    if store.database.embedded:  # PostgreSQL's own words, in the cause, quote the row
        assert "whispered" not in "".join(traceback.format_exception(caught.value))
    assert "parameters hidden" in str(caught.value.__cause__)


def test_a_closed_database_reports_it(url: str, ask: Ask) -> None:
    """`ping` is what a health check asks."""

    async def broken() -> None:
        async with open_database(url) as database:
            await database.ping()
            await database.write(lambda connection: connection.execute(text("DROP TABLE journal")))
        async with open_store(url) as store:
            await store.conversations.journal("conv_1")

    with pytest.raises(StoreError):
        ask(broken())


@pytest.mark.component("postgresql")
def test_a_connection_that_broke_is_made_again(ask: Ask, cluster: Any, postgresql_url: str) -> None:
    """PostgreSQL was restarted: the next question finds it."""

    async def break_it() -> None:
        async with open_store(postgresql_url) as store:
            await store.resources.create("agent", "agent_1", "x", {}, now=1.0)
            ours = "usename = current_user AND datname LIKE 'antiphon%'"
            cluster.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
            assert await store.resources.count("agent") == 1

    ask(break_it())


def test_another_process_may_write_to_the_file(ask: Ask, tmp_path: Path) -> None:
    """A backup or a repair: we wait for it, and it for us."""
    file = tmp_path / "antiphon.db"

    async def both() -> None:
        async with open_store(f"sqlite:///{file}") as store:
            other = sqlite3.connect(file, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(store.resources.create("agent", "agent_1", "x", {}, now=1.0))
                assert await store.resources.count("agent") == 0
                other.execute("INSERT INTO contents VALUES ('document', '1', 'text/plain', x'00')")
                other.execute("COMMIT")
            assert await store.resources.content("document", "1") == ("text/plain", b"\0")
            assert other.execute("SELECT count(*) FROM resources").fetchone() == (1,)
            other.close()

    ask(both())


def test_sqlite_is_tuned(ask: Ask, tmp_path: Path) -> None:
    """Write-ahead log, so that readers never wait; foreign keys, so that no line is left without its conversation."""

    async def pragmas(database: Database) -> list[Any]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return await database.read(lambda connection: [connection.scalar(text(f"PRAGMA {name}")) for name in names])

    async def look() -> list[Any]:
        async with open_database(f"sqlite:///{tmp_path}/antiphon.db") as database:
            return await pragmas(database)

    assert ask(look()) == ["wal", 1, 1]


# ------------------------------------------------------------------------------------------------------------- death


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """`kill -9` at a random moment, four times on one file: no piece is lost, none is half, the file is intact."""
    chance = random.Random(4)
    acknowledged = 0
    for _ in range(4):
        survival = kill_one(tmp_path / "antiphon.db", acknowledged, chance)
        assert survival.lost == 0
        assert survival.intact
        assert acknowledged < survival.found <= survival.acknowledged + 1
        acknowledged = survival.found


def test_a_conversation_without_an_end_is_found_after_a_kill(tmp_path: Path, ask: Ask) -> None:
    """Whoever opens the database next can finish it."""
    kill_one(tmp_path / "antiphon.db", 0, random.Random(1))

    async def look() -> tuple[list[str], Conversation]:
        async with open_store(f"sqlite:///{tmp_path}/antiphon.db") as store:
            left = await store.conversations.unfinished(stale_at=1e9)
            return sorted(left), await store.conversations.get("conv_0")

    left, found = ask(look())
    assert left == ["conv_0", "conv_1", "conv_2"]
    assert found.document is None
