"""A store of each kind, fresh for every test: a SQLite file, and a database of a PostgreSQL server of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from antiphon.store.store import Store, open_store

T = TypeVar("T")
Ask = Callable[[Coroutine[Any, Any, T]], T]
DEMOTED = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
"How root runs PostgreSQL, which refuses root."


class Cluster:
    """A PostgreSQL server on a free port, that trusts everybody and syncs nothing to disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._programs = _programs()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def _run(self, program: str, *arguments: str) -> None:
        command = [*(DEMOTED if os.geteuid() == 0 else ()), str(self._programs / program), *arguments]
        done = subprocess.run(
            command, cwd=self._folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        data = str(self._folder / "data")
        locale = ("--encoding=UTF8", "--locale=C.UTF-8")
        self._run("initdb", "--auth=trust", "--username=postgres", *locale, "--no-sync", data)
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        # Its log is a file: the server would keep a pipe open.
        log = self._folder / "log"
        self._run("pg_ctl", "start", "--wait", f"--pgdata={data}", f"--log={log}", f"--options={options}")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={self._folder / 'data'}")

    def psql(self, statement: str) -> None:
        """Run a statement as a superuser."""
        at = ("--host=127.0.0.1", f"--port={self.port}", "--username=postgres", "--no-psqlrc")
        self._run("psql", *at, f"--command={statement}", "postgres")

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database, which is gone afterwards."""
        name = f"antiphon_{next(self._numbers)}"
        self.psql(f"CREATE DATABASE {name}")
        try:
            yield f"postgresql://postgres@127.0.0.1:{self.port}/{name}"
        finally:
            self.psql(f"DROP DATABASE {name} WITH (FORCE)")


def _programs() -> Path:
    """The folder of PostgreSQL's programs; Debian keeps those of the server off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    assert initdb is not None
    return Path(initdb).resolve().parent


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running PostgreSQL server."""
    # Not in pytest's folder, into which only its owner may look.
    with tempfile.TemporaryDirectory(prefix="antiphon-postgresql-", ignore_cleanup_errors=True) as name:
        if os.geteuid() == 0:
            shutil.chown(name, "postgres", "postgres")
        cluster = Cluster(Path(name))
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def postgresql_url(cluster: Cluster) -> Iterator[str]:
    """The URL of an empty database of PostgreSQL. Needs its component."""
    with cluster.database() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.component("postgresql"))])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql_url")
    return f"sqlite:///{tmp_path}/antiphon.db"


@pytest.fixture
def ask() -> Iterator[Ask[Any]]:
    """`ask(store.resources.get(...))`: the answer to a question, in the event loop of this test."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def store(url: str, ask: Ask[Any]) -> Iterator[Store]:
    """An empty store of each kind."""
    opening = open_store(url)
    yield ask(opening.__aenter__())
    ask(opening.__aexit__(None, None, None))
