"""What followers of a task are told: its story from a line on, and how it stands now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from hearth.store.tables import history, streams, tasks

_COUNTS = ("waiting", "dispatched", "running", "uploading", "cancelling", "succeeded", "failed", "cancelled")
_COUNT_COLUMNS = tuple(tasks.c[f"{name}_count"] for name in _COUNTS)


@dataclass(frozen=True, slots=True)
class Stand:
    """How a task stands."""

    state: str
    is_deleted: bool
    total: int
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a task's history."""

    id: int
    at: int
    kind: str
    detail: str


def stand(connection: Connection, task_id: int) -> Stand | None:
    """Return how a task stands; None when nothing is left of it."""
    row = connection.execute(
        select(tasks.c.state, tasks.c.deleted_at, tasks.c.instance_total, *_COUNT_COLUMNS).where(tasks.c.id == task_id)
    ).first()
    if row is None:
        return None
    return Stand(row[0], row[1] is not None, row[2], dict(zip(_COUNTS, row[3:], strict=True)))


def lines_after(connection: Connection, task_id: int, after: int, limit: int) -> list[Line]:
    """Return the next lines of a task's history."""
    query = (
        select(history.c.id, history.c.at, history.c.kind, history.c.detail)
        .where(history.c.task_id == task_id, history.c.id > after)
        .order_by(history.c.id)
        .limit(limit)
    )
    return [Line(*row) for row in connection.execute(query)]


def newest_line(connection: Connection, task_id: int) -> int:
    """Return the id of the newest line of a task; 0 when there is none."""
    return connection.execute(select(func.max(history.c.id)).where(history.c.task_id == task_id)).scalar() or 0


def marks(connection: Connection, task_ids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    """Return for each task that is there a value that changes whenever its followers have something to read."""
    found: dict[int, list[Any]] = {}
    for begin in range(0, len(task_ids), 500):
        some = task_ids[begin : begin + 500]
        for row in connection.execute(
            select(tasks.c.id, tasks.c.state, tasks.c.deleted_at, *_COUNT_COLUMNS).where(tasks.c.id.in_(some))
        ):
            found[row[0]] = list(row[1:])
        sizes = select(streams.c.task_id, func.sum(streams.c.size_bytes)).where(streams.c.task_id.in_(some))
        for task_id, size in connection.execute(sizes.group_by(streams.c.task_id)):
            found.get(task_id, []).append(int(size))
        newest = select(history.c.task_id, func.max(history.c.id)).where(history.c.task_id.in_(some))
        for task_id, line in connection.execute(newest.group_by(history.c.task_id)):
            found.get(task_id, []).append(line)
    return {task_id: tuple(values) for task_id, values in found.items()}
