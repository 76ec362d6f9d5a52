"""The database itself: addresses, migrations, transactions, and what is left of it after a `kill -9`."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from benchmarks.kills import kill_one
from sqlalchemy import Connection, insert, text

from antiphon.errors import ConfigError, NotFoundError, StoreError
from antiphon.store.conversations import Conversation
from antiphon.store.database import Database, open_database
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

    async with open_database(url) as database, database.read() as connection:
        return await connection.run_sync(compare)


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


def test_what_fails_is_rolled_back(store: Store, ask: Ask) -> None:
    """All of it; and the next transaction finds nothing in its way."""

    async def fail(error: Exception) -> None:
        async with store.database.write() as connection:
            await connection.execute(insert(resources).values(ROW))
            raise error

    for error in (RuntimeError("mine"), NotFoundError("agent", "x")):
        with pytest.raises(type(error)):
            ask(fail(error))
        with pytest.raises(NotFoundError):
            ask(store.resources.get("agent", "agent_1"))
    ask(store.resources.create("agent", "agent_1", "x", {}, now=1.0))


def test_who_is_cancelled_is_rolled_back(store: Store, ask: Ask) -> None:
    """In the midst of a transaction, or waiting for its turn."""

    async def cancel() -> None:
        inside = asyncio.Event()

        async def write() -> None:
            async with store.database.write() as connection:
                await connection.execute(insert(resources).values(ROW))
                inside.set()
                await asyncio.Event().wait()

        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(write())
            await inside.wait()
            waiting = tasks.create_task(store.resources.create("agent", "agent_2", "x", {}, now=1.0))
            if store.database.embedded:
                await asyncio.sleep(0)
                waiting.cancel()
            writer.cancel()
        names = [one.id for one in await store.resources.all("agent")]
        assert names == ([] if store.database.embedded else ["agent_2"])
        await store.resources.create("agent", "agent_1", "x", {}, now=1.0)

    ask(cancel())


def test_readers_do_not_wait_for_writers(store: Store, ask: Ask) -> None:
    """They see what was committed, however long a transaction takes; more readers than connections wait for each
    other alone."""

    async def read_meanwhile() -> None:
        await store.resources.create("agent", "agent_0", "x", {}, now=1.0)
        async with store.database.write() as connection:
            await connection.execute(insert(resources).values(ROW))
            pages = await asyncio.gather(*(store.resources.page("agent") for _ in range(40)))
            assert all([one.id for one in page.items] == ["agent_0"] for page in pages)
        assert await store.resources.count("agent") == 2

    ask(read_meanwhile())


def test_errors_hold_no_words_of_anybody(store: Store, ask: Ask) -> None:
    """Neither their text, nor the statement in the trace that a log would show of what our own code wrote."""

    async def fail() -> None:
        async with store.database.write() as connection:
            await connection.execute(insert(resources).values({**ROW, "archived": None}))

    with pytest.raises(StoreError) as caught:
        ask(fail())
    assert str(caught.value) in ("the database failed: IntegrityError", "the database failed: NotNullViolationError")
    if store.database.embedded:  # PostgreSQL's own words, in the cause, quote the row
        assert "whispered" not in "".join(traceback.format_exception(caught.value))
    assert "parameters hidden" in str(caught.value.__cause__)


def test_a_closed_database_reports_it(url: str, ask: Ask) -> None:
    """`ping` is what a health check asks."""

    async def broken() -> None:
        async with open_database(url) as database:
            await database.ping()
            async with database.write() as connection:
                await connection.execute(text("DROP TABLE journal"))
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
        async with database.read() as connection:
            names = ("journal_mode", "synchronous", "foreign_keys")
            return [(await connection.execute(text(f"PRAGMA {name}"))).scalar_one() for name in names]

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
