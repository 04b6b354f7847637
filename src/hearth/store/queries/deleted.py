"""Rows of tasks that nobody sees any more."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from hearth.store.queries import history, instances, output, snapshots
from hearth.store.tables import task_tags, tasks


def next_task(connection: Connection) -> int | None:
    """Return a deleted task that still has rows."""
    return connection.execute(
        select(tasks.c.id).where(tasks.c.deleted_at.is_not(None)).order_by(tasks.c.deleted_at).limit(1)
    ).scalar()


def remove_some(connection: Connection, task_id: int, limit: int) -> None:
    """Remove up to `limit` rows of what belongs to the task, and at last the task."""
    if output.delete_some(connection, task_id, limit):
        return
    if snapshots.delete_some(connection, task_id, limit):
        return
    if instances.delete_some_attempts(connection, task_id, limit):
        return
    if instances.delete_some(connection, task_id, limit):
        return
    connection.execute(delete(task_tags).where(task_tags.c.task_id == task_id))
    if history.delete_some(connection, task_id, limit):
        return
    connection.execute(delete(tasks).where(tasks.c.id == task_id))
