"""A PostgreSQL server of the tests' own, from Debian's package, on a unix socket in its own folder."""

import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from shutil import chown, rmtree

import psycopg
import pytest

from tests.services.process import ServerProcess, new_folder, program, unavailable

# What is measured here is behaviour, not durability: a test's server need not survive a power cut.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200", "listen_addresses=")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server; databases are made and dropped through it."""

    socket_folder: Path
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.socket_folder}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database, give its SQLAlchemy URL, and drop it at the end with whoever is connected."""
        name = f"test_{next(self._numbers)}"
        self._administer(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def is_ready(self) -> bool:
        """Tell whether the server accepts connections."""
        try:
            self._administer("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _administer(self, statement: str) -> None:
        where = f"host={self.socket_folder} user=postgres dbname=postgres connect_timeout=10"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a server as an unprivileged user, and stop it at the end."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    newest_first = installed[::-1]
    initdb = program("initdb", package="postgresql", folders=newest_first)
    postgres = program("postgres", package="postgresql", folders=newest_first)
    folder = new_folder("postgres")
    data = folder / "data"
    as_user = _unprivileged(folder)
    try:
        words = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run([*as_user, initdb, "--pgdata", str(data), *words], check=True, capture_output=True, cwd=folder)
        settings = [word for setting in _FAST for word in ("-c", setting)]
        command = [*as_user, postgres, "-D", str(data), "-k", str(folder), *settings]
        server = PostgresServer(folder)
        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
        with ServerProcess(command, folder, stop_signal=signal.SIGINT) as process:
            process.await_ready(server.is_ready)
            yield server
    finally:
        rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> list[str]:
    """Return the words that make a command run as somebody whom PostgreSQL accepts, and give them the folder."""
    if os.geteuid() != 0:
        return []
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        unavailable("PostgreSQL refuses root and there is no user postgres", "apt-get install postgresql")
    chown(folder, account.pw_uid, account.pw_gid)
    setpriv = program("setpriv", package="util-linux")
    return [setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--pdeathsig=INT"]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server; `with postgres_server.database() as url` makes a database in it."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of a database that is empty and this test's own."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="module")
def module_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of a database that this module's tests share."""
    with postgres_server.database() as url:
        yield url
