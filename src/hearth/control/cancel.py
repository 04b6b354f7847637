"""Cancel a task: what waits ends at once, what runs when its container is gone."""

from __future__ import annotations

from msgspec.structs import replace
from sqlalchemy import Connection

from hearth.control import find
from hearth.control.changes import Changes
from hearth.control.site import Site
from hearth.domain.errors import Missing
from hearth.store.queries import tasks


async def cancel_task(site: Site, account_id: int, ident: str) -> None:
    """Cancel the task; a task that has ended stays as it is."""
    changes = await site.store.write(cancel, account_id, ident, site.now())
    site.fleet.stop(changes.stops)


def cancel(connection: Connection, account_id: int, ident: str, now: int, *, delete: bool = False) -> Changes:
    """Cancel in the caller's transaction; with `delete` the task goes away once it has ended."""
    task_id = find.task(connection, account_id, ident).id
    changes = Changes(connection, now)
    changes.load_tasks([task_id])
    task = changes.tasks.get(task_id)
    if task is None or (task.delete_requested and task.state.is_final):
        raise Missing("task", ident)  # it was deleted while we waited for its lock
    wanted: dict[str, object] = {}
    if not task.state.is_final and not task.cancel_requested:
        wanted["cancel_requested_at"] = now
    if delete and not task.delete_requested:
        wanted["delete_requested_at"] = now
    if wanted:
        tasks.set_columns(connection, task_id, {**wanted, "modified_at": now})
        changes.tasks[task_id] = replace(
            task,
            cancel_requested=task.cancel_requested or "cancel_requested_at" in wanted,
            delete_requested=task.delete_requested or delete,
        )
        if not task.state.is_final:
            changes.cancel_task(task_id)
        changes.save()
    return changes
