"""Which tasks have a periodic snapshot due."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from hearth.store.bulk import Bulk
from hearth.store.tables import tasks


@dataclass(frozen=True, slots=True)
class Due:
    """A task whose next periodic snapshot is due, and what is needed to take it."""

    id: int
    account_id: int
    uuid: str
    spec: str
    filter: str | None
    interval: int
    open_snapshots: int
    running: int
    created_at: int
    ended_at: int | None


_NAMES = (
    "id",
    "account_id",
    "uuid",
    "spec",
    "snapshot_filter",
    "snapshot_interval",
    "open_snapshots",
    "running_count",
    "created_at",
    "ended_at",
)
_COLUMNS = tuple(tasks.c[_column] for _column in _NAMES)
_due = (
    select(*_COLUMNS)
    .where(tasks.c.snapshot_next_at.is_not(None), tasks.c.snapshot_next_at <= bindparam("now"))
    .order_by(tasks.c.snapshot_next_at, tasks.c.id)
    .limit(bindparam("limit"))
)


def is_any_due(connection: Connection, now: int) -> bool:
    """Answer whether a periodic snapshot is due."""
    return connection.execute(_due, {"now": now, "limit": 1}).first() is not None


def lock_due(connection: Connection, now: int, limit: int) -> list[Due]:
    """Return and lock tasks whose periodic snapshot is due; others than those that another server takes."""
    rows = connection.execute(_due.with_for_update(skip_locked=True, key_share=True), {"now": now, "limit": limit})
    return [Due(*row) for row in rows]


_plan = Bulk(
    lambda: (
        update(tasks)
        .where(tasks.c.id == bindparam("key"))
        .values(snapshot_next_at=bindparam("v_next"), open_snapshots=tasks.c.open_snapshots + bindparam("v_more"))
    ),
    ["v_next", "v_more", "key"],
)


def plan(connection: Connection, rows: Iterable[tuple[int | None, int, int]]) -> None:
    """Write when the next ones are due, and count those that began: rows of moment, how many, task."""
    _plan.run(connection, rows)
