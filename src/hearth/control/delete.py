"""Delete a task: cancel it if it runs; once it has ended nobody sees it, and its rows go bit by bit."""

from __future__ import annotations

from sqlalchemy import Connection

from hearth.control.cancel import cancel
from hearth.control.site import Site
from hearth.store.queries import deleted

# Rows that one transaction removes.
SLICE = 500


async def delete_task(site: Site, account_id: int, ident: str) -> None:
    """Delete the task."""
    changes = await site.store.write(cancel, account_id, ident, site.now(), delete=True)
    site.fleet.stop(changes.stops)


def sweep_deleted(connection: Connection) -> bool:
    """Remove some rows of tasks that were deleted; return whether there may be more."""
    task_id = deleted.next_task(connection)
    if task_id is None:
        return False
    deleted.remove_some(connection, task_id, SLICE)
    return True
