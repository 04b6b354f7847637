"""End tasks that waited too long for a node, and remove ended ones whose time is over."""

from __future__ import annotations

from sqlalchemy import Connection

from hearth.control.changes import Changes
from hearth.domain.instance import Failure
from hearth.store.door import Store
from hearth.store.queries import clean_up, tasks
from hearth.store.queries.tasks import TaskRow

# Tasks that one transaction ends or removes.
SLICE = 50
SECOND = 1_000_000
QUEUE_TIME_EXCEEDED = "QUEUE_TIME_EXCEEDED"


async def keep_limits(store: Store, now: int) -> None:
    """End and remove all tasks whose time is over. Most often there is none: then nothing waits for the writer."""
    if not await store.read(clean_up.is_any_due, now):
        return
    for work in (end_overdue, remove_expired):
        while await store.write(work, now):
            pass


def end_overdue(connection: Connection, now: int) -> bool:
    """End some tasks of which no instance came to a node in time; return whether there may be more.

    A deadline is looked at once, when it is over: dispatching costs nothing more for it.
    """
    ids = clean_up.past_deadline(connection, now, SLICE)
    if not ids:
        return False
    changes = Changes(connection, now)
    changes.load_tasks(ids)
    rows = tasks.many(connection, ids)
    for task_id in ids:
        task = changes.tasks.get(task_id)
        if task is not None and task.requeued == 0 and len(task.progress.waiting) == task.progress.total:
            changes.fail_waiting(task_id, _too_late(rows[task_id], now))
    changes.save()
    clean_up.forget_deadlines(connection, ids)
    return len(ids) == SLICE


def _too_late(row: TaskRow, now: int) -> Failure:
    allowed = row.parsed_spec().max_queue_seconds
    return Failure(
        QUEUE_TIME_EXCEEDED,
        f"no instance was given to a node within maxTimeQueueSeconds, {allowed} seconds: "
        f"all {row.instance_total} waited {(now - row.created_at) // SECOND} seconds",
    )


def remove_expired(connection: Connection, now: int) -> bool:
    """Remove some tasks whose completionTimeToLive is over; return whether there may be more."""
    ids = clean_up.expired(connection, now, SLICE)
    clean_up.remove(connection, ids, now)
    return len(ids) == SLICE
