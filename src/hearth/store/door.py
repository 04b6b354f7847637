"""The one door to the database: `await store.write(fn, ...)` and `await store.read(fn, ...)`.

`fn` is a plain function whose first argument is a connection; it runs on a thread of the store. Writes that
wait at the same moment share one transaction and one fsync (group commit): each runs behind a savepoint, so
one that fails takes nothing of the others with it, and none is acknowledged before the commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from hearth.domain.errors import Unavailable
from hearth.store.hints import HintedCompiler
from hearth.store.queries import touched

P = ParamSpec("P")
T = TypeVar("T")

# Longer groups would make the first writer of a group wait for the last.
GROUP_LIMIT = 64
# How long SQLite waits for another process that writes.
BUSY_SECONDS = 30


# How often a write is tried that the database threw back because of another server's.
TRIES = 5
_THROWN_BACK = {"40001", "40P01"}  # PostgreSQL's words for serialization failure and deadlock


@dataclass(slots=True)
class _Write:
    function: Callable[[Connection], Any]
    done: Future[Any]
    tries: int = 0


def open_engine(url: str, *, readers: int = 4) -> Engine:
    """Return an engine with the settings that durability needs (SQLite: WAL, synchronous FULL)."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_size=readers + 2, max_overflow=4, pool_pre_ping=True, hide_parameters=True)
    engine = create_engine(
        url,
        hide_parameters=True,  # errors are logged, and users' secrets are among the parameters
        poolclass=QueuePool,
        pool_size=readers + 1,
        max_overflow=2,
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS, "cached_statements": 512},
    )
    engine.dialect.statement_compiler = HintedCompiler

    @event.listens_for(engine, "connect")
    def _on_connect(raw: sqlite3.Connection, _record: object) -> None:
        # The driver must not open transactions by itself: BEGIN is ours (see _begin).
        raw.isolation_level = None
        _use_wal(raw)
        for pragma in (
            "synchronous=FULL",
            "foreign_keys=ON",
            "cache_size=-65536",
            "mmap_size=268435456",
            "temp_store=MEMORY",
            "wal_autocheckpoint=4000",
        ):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("hearth_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _use_wal(raw: sqlite3.Connection) -> None:
    """Switch to the write-ahead log; the switch of a new file does not wait for others by itself."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            raw.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


class Store:
    """Reads and writes of one database, from a running event loop."""

    def __init__(self, engine: Engine, *, readers: int = 4) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        # SQLite's transactions are snapshots by themselves.
        self._reading = engine if self.is_sqlite else engine.execution_options(isolation_level="REPEATABLE READ")
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(max_workers=readers, thread_name_prefix="store-read")
        self._writer = threading.Thread(target=self._write_groups, name="store-write", daemon=True)
        self._writer.start()
        self._closed = False
        # Called on the writer's thread with the tasks that a commit touched (queries/touched.py).
        self.on_commit: Callable[[set[int]], None] | None = None

    async def write(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function` in a transaction; return when it is durable, raise what it raised when it is not."""
        self._require_open()
        done: Future[T] = Future()
        self._writes.put(_Write(lambda connection: function(connection, *args, **kwargs), done))
        # Once queued a write happens; a caller that is cancelled must not make it half true.
        return await asyncio.shield(asyncio.wrap_future(done))

    async def read(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function` on a consistent view of the database."""
        self._require_open()

        def run() -> T:
            with self._reading.connect() as connection, connection.begin():
                return function(connection, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    def close(self) -> None:
        """Finish the writes that were queued, then let go of the database."""
        if not self._closed:
            self._closed = True
            self._writes.put(None)
            self._writer.join()
            self._readers.shutdown(wait=True)
            self.engine.dispose()

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed: this server is stopping")

    def _write_groups(self) -> None:
        open_ = True
        while open_:
            first = self._writes.get()
            group: list[_Write] = []
            while first is not None:
                group.append(first)
                if len(group) >= GROUP_LIMIT:
                    break
                try:
                    first = self._writes.get_nowait()
                except queue.Empty:
                    break
            else:
                open_ = False
            if group:
                self._commit(group)

    def _commit(self, group: list[_Write]) -> None:
        outcomes: list[tuple[_Write, Any, BaseException | None]] = []
        changed: set[int] = set()
        try:
            with self.engine.connect().execution_options(hearth_write=True) as connection:
                with connection.begin():
                    for write in group:
                        outcomes.append(self._run(connection, write))
                    changed = touched.take(connection)
        except BaseException as failure:  # the commit failed: nobody in the group was heard
            outcomes = [(write, None, failure) for write in group]
        for write, value, error in outcomes:
            if error is not None and _is_thrown_back(error) and write.tries < TRIES:
                write.tries += 1
                self._commit([write])  # alone, so that it holds no locks for others
                continue
            with contextlib.suppress(Exception):  # the loop that waited may be gone
                if error is None:
                    write.done.set_result(value)
                else:
                    write.done.set_exception(error)
        if changed and self.on_commit is not None:
            self.on_commit(changed)

    def _run(self, connection: Connection, write: _Write) -> tuple[_Write, Any, BaseException | None]:
        savepoint = connection.begin_nested()
        try:
            value = write.function(connection)
            savepoint.commit()
        except Exception as error:
            savepoint.rollback()
            return write, None, error
        return write, value, None


def _is_thrown_back(error: BaseException) -> bool:
    """Answer whether the database asks to try again: it undid one of two transactions that waited for each other."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _THROWN_BACK


def ping(connection: Connection) -> bool:
    """Answer whether the database answers."""
    return bool(connection.execute(text("SELECT 1")).scalar())
