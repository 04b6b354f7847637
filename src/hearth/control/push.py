"""Push the resources of a running task to the nodes that hold it (contract: PATCH of a task)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from hearth.control import find
from hearth.control.site import Site
from hearth.domain.errors import Invalid
from hearth.store.queries import instances, tasks


@dataclass(frozen=True, slots=True)
class Pushed:
    """A task whose resources have a new version, and which nodes hold it."""

    task_id: int
    version: int
    node_ids: list[int]


async def push_resources(site: Site, account_id: int, ident: str) -> None:
    """Let running instances have new and changed files of the task's buckets; raise when none runs.

    The version is on disk before this returns, and each comparison with a node that is behind says it again.
    """
    pushed = await site.store.write(push, account_id, ident, site.now())
    site.fleet.update(pushed.task_id, pushed.version, pushed.node_ids)


def push(connection: Connection, account_id: int, ident: str, now: int) -> Pushed:
    """Count one more push in the caller's transaction."""
    task_id = find.task(connection, account_id, ident).id
    tasks.lock_standings(connection, [task_id])
    row = find.task(connection, account_id, ident)  # as it is now that nobody else changes it
    if not row.dispatched_count + row.running_count:
        raise Invalid("", f"the task is not running: its state is {row.state}, and no node holds an instance to update")
    version = row.resources_version + 1
    tasks.set_columns(connection, task_id, {"resources_version": version, "modified_at": now})
    return Pushed(task_id, version, instances.nodes_of(connection, task_id))
