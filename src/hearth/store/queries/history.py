"""What happened to a task, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select

from hearth.store.queries import touched
from hearth.store.tables import history


def line(account_id: int, task_id: int, at: int, kind: str, detail: str) -> dict[str, object]:
    """Return a line as `add` takes it."""
    return {"account_id": account_id, "task_id": task_id, "at": at, "kind": kind, "detail": detail}


def fact(account_id: int, task_id: int, at: int, kind: str, **detail: object) -> dict[str, object]:
    """Return a line whose detail is more than a word."""
    return line(account_id, task_id, at, kind, msgspec.json.encode(detail).decode())


def add(connection: Connection, lines: Sequence[dict[str, Any]]) -> None:
    """Store lines, in order."""
    if lines:
        for told in lines:
            touched.touch(connection, told["task_id"])
        connection.execute(insert(history), lines)


def of_task(connection: Connection, task_id: int) -> list[tuple[int, str, str]]:
    """Return (at, kind, detail) of a task, oldest first."""
    query = select(history.c.at, history.c.kind, history.c.detail).where(history.c.task_id == task_id)
    return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(history.c.id))]


def delete_some(connection: Connection, task_id: int, limit: int) -> int:
    """Forget up to `limit` lines of a deleted task's story; return how many."""
    query = select(history.c.id).where(history.c.task_id == task_id).order_by(history.c.id).limit(limit)
    ids = list(connection.execute(query).scalars())
    if ids:
        connection.execute(delete(history).where(history.c.task_id == task_id, history.c.id <= ids[-1]))
    return len(ids)
